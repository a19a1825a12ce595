"""The operations of RandAugment (Cubuk et al., 2020), on whole batches: 8 `TONES` and 5 `MOVES`.

As in PIL, every operation takes and gives whole numbers 0..255, here in float32. Factors are whole 256ths and
quotients keep off the ties, so that every step is exact, and does not depend on the device that rounds.

Everywhere: images are (B, H, W, C) with 1 or 3 channels, level is magnitude / 30 and sign is -1 or 1.
"""

import numpy as np
import tensorflow as tf

GREY = 128.0


def apply(images: tf.Tensor, operations: tf.Tensor, signs: tf.Tensor, level: float) -> tf.Tensor:
    """Return each image after the operations that it drew.

    Args:
        images: (B, H, W, C), 0..255, any dtype.
        operations: (layers, B) integers, indices into `OPERATIONS`.
        signs: (layers, B) integers, -1 or 1.
        level: 0 (all but autocontrast and equalize do nothing) to 1.

    Returns:
        (B, H, W, C) float32, whole numbers 0..255.
    """
    result = _whole(tf.cast(images, tf.float32))
    for operation, sign in zip(tf.unstack(operations), tf.unstack(signs), strict=True):
        result = _tone(result, operation, sign, level)
    return _move(result, operations, signs, level)


def _whole(images: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(tf.floor(images + 0.5), 0.0, 255.0)


def _enhance(images: tf.Tensor, base: tf.Tensor | float, level: float, sign: tf.Tensor) -> tf.Tensor:
    """Move away from `base`, or towards it, by up to 90 %: in whole 256ths, whose sums are exact."""
    factor = 256 + sign * round(256 * 0.9 * level)
    return _whole((256 * base + factor * (images - base)) / 256)


def _grey(images: tf.Tensor) -> tf.Tensor:
    """Return the luma (B, H, W, 1); an image of one channel is its own."""
    if images.shape[-1] == 1:
        return images
    return tf.floor((tf.reduce_sum(images * [299.0, 587.0, 114.0], axis=-1, keepdims=True) + 500.5) / 1000)


def _brightness(images: tf.Tensor, level: float, sign: tf.Tensor) -> tf.Tensor:
    return _enhance(images, 0.0, level, sign)


def _color(images: tf.Tensor, level: float, sign: tf.Tensor) -> tf.Tensor:
    return _enhance(images, _grey(images), level, sign)


def _contrast(images: tf.Tensor, level: float, sign: tf.Tensor) -> tf.Tensor:
    pixels = images.shape[1] * images.shape[2]
    total = tf.reduce_sum(tf.cast(_grey(images), tf.int32), axis=(1, 2, 3), keepdims=True)
    mean = (2 * total + pixels) // (2 * pixels)
    return _enhance(images, tf.cast(mean, tf.float32), level, sign)


def _sharpness(images: tf.Tensor, level: float, sign: tf.Tensor) -> tf.Tensor:
    """Blend with PIL's smooth filter: the 3x3 mean with the centre counted five times, the border as it was."""
    centre = images[:, 1:-1, 1:-1]
    rows = images[:, :-2] + images[:, 1:-1] + images[:, 2:]
    block = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    smooth = tf.floor((block + 4 * centre + 6.5) / 13)
    return _enhance(images, images + tf.pad(smooth - centre, [[0, 0], [1, 1], [1, 1], [0, 0]]), level, sign)


def _autocontrast(images: tf.Tensor, level: float, sign: tf.Tensor) -> tf.Tensor:
    """Stretch each channel to 0..255."""
    low = tf.reduce_min(images, axis=(1, 2), keepdims=True)
    high = tf.reduce_max(images, axis=(1, 2), keepdims=True)
    return tf.where(high > low, tf.floor((255 * (images - low) + 0.5) / tf.maximum(high - low, 1)), images)


def _equalize(images: tf.Tensor, level: float, sign: tf.Tensor) -> tf.Tensor:
    """Make each channel's histogram flat, as PIL does; an image under 256 pixels stays as it was."""
    height, width, channels = images.shape[1:]
    batch = tf.shape(images)[0]
    cell = tf.cast(images, tf.int32) + 256 * tf.reshape(tf.range(batch * channels), (batch, 1, 1, channels))
    ones = tf.ones(batch * height * width * channels)
    counts = tf.math.unsorted_segment_sum(ones, tf.reshape(cell, [-1]), 256 * batch * channels)
    below = tf.cumsum(tf.reshape(counts, (batch, channels, 256)), axis=-1, exclusive=True)
    is_top = tf.cast(images == tf.reduce_max(images, axis=(1, 2), keepdims=True), tf.float32)
    step = tf.floor((height * width - tf.reduce_sum(is_top, axis=(1, 2)) + 0.5) / 255)[..., None]  # (B, C, 1)
    table = tf.floor((below + tf.floor(step / 2) + 0.5) / tf.maximum(step, 1))
    table = tf.where(step > 0, tf.minimum(table, 255.0), tf.range(256, dtype=tf.float32))
    return tf.gather(tf.reshape(table, [-1]), cell)


def _posterize(images: tf.Tensor, level: float, sign: tf.Tensor) -> tf.Tensor:
    """Drop up to 4 of 8 bits."""
    step = 2 ** round(4 * level)
    return tf.floor(images / step) * step


def _solarize(images: tf.Tensor, level: float, sign: tf.Tensor) -> tf.Tensor:
    """Invert what is brighter than a threshold, which falls from 256 to 0."""
    return tf.where(images >= round(256 * (1 - level)), 255 - images, images)


TONES = {
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "solarize": _solarize,
    "posterize": _posterize,
    "color": _color,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
}
MOVES = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
OPERATIONS = ("identity", *TONES, *MOVES)


def _tone(images: tf.Tensor, operation: tf.Tensor, sign: tf.Tensor, level: float) -> tf.Tensor:
    """Return each image after the tone that it drew: operation and sign are (B,). All are computed, one is kept."""
    result, sign = images, tf.cast(sign, tf.float32)[:, None, None, None]
    for name, tone in TONES.items():
        chosen = (operation == OPERATIONS.index(name))[:, None, None, None]
        result = tf.where(chosen, tone(images, level, sign), result)
    return result


def _move(images: tf.Tensor, operations: tf.Tensor, signs: tf.Tensor, level: float) -> tf.Tensor:
    """Return each image after the moves that it drew, by one gather: operations and signs are (layers, B)."""
    _, height, width, channels = images.shape
    batch = tf.shape(images)[0]
    matrices = tf.gather(_matrices(level, height, width), 2 * operations + (signs + 1) // 2)
    y = (tf.range(height, dtype=tf.float32) - (height - 1) / 2)[None, :, None]
    x = (tf.range(width, dtype=tf.float32) - (width - 1) / 2)[None, None, :]
    for m in reversed(tf.unstack(matrices[..., None, None])):  # (B, 2, 3, 1, 1), the last move undone first
        # No matmul: a TPU would round to bfloat16. Sixteenths of a pixel keep the next products exact.
        y, x = m[:, 0, 0] * y + m[:, 0, 1] * x + m[:, 0, 2], m[:, 1, 0] * y + m[:, 1, 1] * x + m[:, 1, 2]
        y, x = tf.floor(16 * y + 0.5) / 16, tf.floor(16 * x + 0.5) / 16
    row = tf.cast(tf.floor(y + height / 2), tf.int32)  # (B, H, W)
    column = tf.cast(tf.floor(x + width / 2), tf.int32)
    inside = (0 <= row) & (row < height) & (0 <= column) & (column < width)
    pixel = (tf.range(batch)[:, None, None] * height + row) * width + column
    moved = tf.gather(tf.reshape(images, (-1, channels)), tf.where(inside, pixel, 0))
    return tf.where(inside[..., None], moved, GREY)


def _matrices(level: float, height: int, width: int) -> np.ndarray:
    """Return matrices (2 * operations, 2, 3) from (y, x, 1) in the result to (y, x) in the image, about the centre.

    Entry 2 * operation is for the sign -1, the next for 1. Tones have the identity.
    """
    matrices = np.tile(np.eye(2, 3), (len(OPERATIONS), 2, 1, 1))
    for column, sign in enumerate((-1, 1)):
        angle, shear, shift = sign * np.radians(30 * level), sign * 0.3 * level, sign * 0.45 * level
        rotation = [[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0]]
        matrices[OPERATIONS.index("rotate"), column] = rotation
        matrices[OPERATIONS.index("shear_x"), column, 1, 0] = shear
        matrices[OPERATIONS.index("shear_y"), column, 0, 1] = shear
        matrices[OPERATIONS.index("translate_x"), column, 1, 2] = shift * width
        matrices[OPERATIONS.index("translate_y"), column, 0, 2] = shift * height
    return (np.round(1024 * matrices) / 1024).reshape(-1, 2, 3).astype(np.float32)
