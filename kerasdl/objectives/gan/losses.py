"""What generator and discriminator learn from logits, and the penalties on a discriminator's slope: pure functions.

Losses take the discriminator's logits of real and of generated pictures, both (B, 1), and give one number a picture,
(B, 1); a loss is a *function* here and its mean is taken once, in the step. A relativistic loss compares the i-th real
picture with the i-th generated one.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

softplus = tf.math.softplus


def nonsaturating(real, fake):
    """Goodfellow et al. 2014, section 3: log D for the generator, as log(1 - D) has no slope where D is sure."""
    return softplus(-real) + softplus(fake)


def nonsaturating_generator(real, fake):
    return softplus(-fake)


def hinge(real, fake):
    """Lim & Ye 2017, arXiv:1705.02894."""
    return tf.nn.relu(1 - real) + tf.nn.relu(1 + fake)


def wgan(real, fake):
    """Arjovsky et al. 2017, arXiv:1701.07875; it needs a penalty."""
    return fake - real


def plain_generator(real, fake):
    return -fake


def lsgan(real, fake):
    """Mao et al. 2017, arXiv:1611.04076, with targets 1 and 0."""
    return 0.5 * (tf.square(real - 1) + tf.square(fake))


def lsgan_generator(real, fake):
    return 0.5 * tf.square(fake - 1)


def relativistic(real, fake):
    """Jolicoeur-Martineau 2018, arXiv:1807.00734; with R1 and R2 it is R3GAN (Huang et al. 2025, arXiv:2501.05441)."""
    return softplus(fake - real)


def relativistic_generator(real, fake):
    return softplus(real - fake)


class Loss(NamedTuple):
    """Two functions (real logits, fake logits) -> (B, 1)."""

    discriminator: Callable
    generator: Callable
    relative: bool = False  # whether the generator's reads the real logits


LOSSES = {
    "nonsaturating": Loss(nonsaturating, nonsaturating_generator),
    "hinge": Loss(hinge, plain_generator),
    "lsgan": Loss(lsgan, lsgan_generator),
    "wgan": Loss(wgan, plain_generator),
    "relativistic": Loss(relativistic, relativistic_generator, relative=True),
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
