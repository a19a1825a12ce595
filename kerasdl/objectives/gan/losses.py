"""Losses of generator and discriminator, and the gradient that their penalties measure: pure functions.

A loss takes the discriminator's logits of real and of generated images, both (B, 1), and returns one number for each
image, (B, 1). The training step takes the mean. A relativistic loss compares the i-th real image with the i-th
generated one.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

softplus = tf.math.softplus


def nonsaturating(real, fake):
    """-log D(real) - log(1 - D(fake)), with D = sigmoid(logit): Goodfellow et al. 2014, section 3."""
    return softplus(-real) + softplus(fake)


def nonsaturating_generator(real, fake):
    """-log D(fake), because log(1 - D) has a vanishing gradient where the discriminator is confident."""
    return softplus(-fake)


def relativistic(real, fake):
    """Jolicoeur-Martineau 2018, arXiv:1807.00734; with R1 and R2 it is R3GAN (Huang et al. 2025, arXiv:2501.05441)."""
    return softplus(fake - real)


def relativistic_generator(real, fake):
    return softplus(real - fake)


class Loss(NamedTuple):
    """Two functions (real logits, fake logits) -> (B, 1)."""

    discriminator: Callable
    generator: Callable
    relative: bool = False  # whether the generator's loss depends on the real logits


LOSSES = {
    "nonsaturating": Loss(nonsaturating, nonsaturating_generator),
    "relativistic": Loss(relativistic, relativistic_generator, relative=True),
}


def gradient_norm_sq(discriminator: Callable, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the logits (B, 1), and the squared norm (B,) of each logit's gradient with respect to its image.

    The discriminator must treat each image separately, so it has no batch normalisation.
    """
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = discriminator(images)
    gradient = tape.gradient(logits, images)
    return logits, tf.reduce_sum(tf.square(gradient), axis=list(range(1, images.shape.rank)))
