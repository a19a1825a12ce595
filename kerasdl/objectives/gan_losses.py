"""What generator and discriminator learn from logits, and the penalties on a discriminator's slope: pure functions.

Losses take the discriminator's logits of real and of generated pictures, both (B, 1), and give one number a picture,
(B,); a loss is a *function* here and its mean is taken once, in the step. A relativistic loss compares the i-th real
picture with the i-th generated one.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

softplus = tf.math.softplus


class Loss(NamedTuple):
    """Each (real logits, fake logits) -> (B, 1)."""

    discriminator: Callable
    generator: Callable
    relative: bool = False  # whether the generator's reads the real logits


LOSSES = {
    # Goodfellow et al. 2014, section 3: the generator maximises log D, for log(1 - D) has no slope where D wins.
    "nonsaturating": Loss(lambda real, fake: softplus(-real) + softplus(fake), lambda real, fake: softplus(-fake)),
    # Lim & Ye 2017, arXiv:1705.02894
    "hinge": Loss(lambda real, fake: tf.nn.relu(1 - real) + tf.nn.relu(1 + fake), lambda real, fake: -fake),
    # Mao et al. 2017, arXiv:1611.04076, with targets 1 and 0
    "lsgan": Loss(lambda real, fake: 0.5 * (tf.square(real - 1) + tf.square(fake)),
                  lambda real, fake: 0.5 * tf.square(fake - 1)),
    # Arjovsky et al. 2017, arXiv:1701.07875; it needs a penalty
    "wgan": Loss(lambda real, fake: fake - real, lambda real, fake: -fake),
    # Jolicoeur-Martineau 2018, arXiv:1807.00734; with R1 and R2 it is R3GAN (Huang et al. 2025, arXiv:2501.05441)
    "relativistic": Loss(lambda real, fake: softplus(fake - real), lambda real, fake: softplus(real - fake), True),
}


def slope(discriminator: Callable, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Logits (B, 1), and the squared length (B,) of each one's gradient with respect to its picture.

    It is right for a discriminator that looks at each picture by itself, so without batch normalisation.
    """
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = discriminator(images)
    gradient = tape.gradient(logits, images)
    return logits, tf.reduce_sum(tf.square(gradient), axis=list(range(1, images.shape.rank)))


def between(real: tf.Tensor, fake: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Pictures on the lines from fake to real ones, for WGAN-GP; `share` (B, 1, 1, 1) is uniform in 0..1."""
    return fake + share * (real - fake)


def unit_slope(squared: tf.Tensor) -> tf.Tensor:
    """Squared distance of a slope from 1 (Gulrajani et al. 2017, arXiv:1704.00028). At 0 the root has no derivative."""
    return tf.square(tf.sqrt(squared + 1e-12) - 1)
