"""Draws that depend on the seed alone, and the few helpers that every transform needs."""

import tensorflow as tf

Batch = tuple[tf.Tensor, tf.Tensor]


def batch_size(images: tf.Tensor) -> tf.Tensor | int:
    """Return the number of images, as a tensor if it is unknown while tracing."""
    return images.shape[0] or tf.shape(images)[0]


def integers(seed: tf.Tensor, shape: tuple, low: int, high: int) -> tf.Tensor:
    """Draw from low..high - 1. With and without XLA, TensorFlow draws the same integers, but different floats."""
    return tf.random.stateless_uniform(shape, seed, low, high, tf.int32, alg="philox")


def split(seed: tf.Tensor, count: int = 2) -> list[tf.Tensor]:
    """Return `count` independent seeds."""
    return tf.unstack(tf.random.split(seed, count, alg="philox"))


def sometimes(changed: tf.Tensor, images: tf.Tensor, seed: tf.Tensor, p: float) -> tf.Tensor:
    """Return each changed image with probability p, else the image as it was, in the dtype of `images`."""
    chosen = integers(seed, (batch_size(images), 1, 1, 1), 0, 2**24) < round(p * 2**24)
    return tf.where(chosen, tf.cast(changed, images.dtype), images)


def whole(images: tf.Tensor) -> tf.Tensor:
    """Return pixels rounded to whole numbers 0..255, in float32."""
    return tf.clip_by_value(tf.floor(tf.cast(images, tf.float32) + 0.5), 0.0, 255.0)


def gather(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Return images made of these rows (B, H) and columns (B, W), a choice for each image."""
    return tf.gather(tf.gather(images, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
