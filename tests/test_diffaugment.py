"""What a discriminator sees is changed so that gradients pass: pictures move by whole pixels, squares are cut out."""

import numpy as np
import pytest
import tensorflow as tf

from kerasdl.objectives.gan import diffaugment


@pytest.mark.parametrize("name", diffaugment.POLICIES)
def test_a_gradient_passes_through_augmentation(name):
    images = tf.constant(np.random.default_rng(0).uniform(-1, 1, (6, 8, 8, 3)), tf.float32)

    def draw(shape, i):
        return tf.random.stateless_uniform((6, *shape), (0, i))

    with tf.GradientTape() as tape:
        tape.watch(images)
        augmented = diffaugment.compose([name])(images, draw)
        total = tf.reduce_sum(tf.square(augmented))
    assert augmented.shape == images.shape
    assert tf.reduce_any(tape.gradient(total, images) != 0) and tf.reduce_any(augmented != images)


def test_translation_moves_whole_pixels_and_cutout_takes_a_square():
    images = tf.constant(np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 1)), tf.float32)
    for share, shift in ((0.0, -2), (0.5, 0), (0.999, 2)):
        moved = diffaugment.translation(images, lambda shape, i, share=share: tf.fill((2, *shape), share)).numpy()
        expected = np.full_like(moved, -1)
        here, there = slice(max(shift, 0), 16 + min(shift, 0)), slice(max(-shift, 0), 16 + min(-shift, 0))
        expected[:, here, here] = images.numpy()[:, there, there]
        np.testing.assert_allclose(moved, expected, atol=1e-6)
    cut = diffaugment.cutout(images, lambda shape, i: tf.fill((2, *shape), 0.5)).numpy()
    np.testing.assert_array_equal(cut[:, 4:12, 4:12], 0)
    assert (cut != 0).sum() == 2 * (16 * 16 - 8 * 8)
