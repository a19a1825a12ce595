"""The operations that RandAugment and AutoAugment draw from, on whole batches: `TONES` and `MOVES`.

As in PIL, every operation takes and gives whole numbers 0..255, here in float32. Factors are whole 256ths and
quotients keep off the ties, so that every step is exact, and does not depend on the device that rounds.

Everywhere: images are (B, H, W, C) with 1 or 3 channels. How strong an operation is follows from its level, 0 (all
but autocontrast, equalize and invert do nothing) to 1, and its sign, -1 or 1.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from kerasdl.data.augment.draws import whole

GREY = 128.0
ENHANCING = ("color", "contrast", "brightness", "sharpness")


def luma(images: tf.Tensor) -> tf.Tensor:
    """Return the luma (B, H, W, 1); an image of one channel is its own."""
    if images.shape[-1] == 1:
        return images
    return tf.floor((tf.reduce_sum(images * [299.0, 587.0, 114.0], axis=-1, keepdims=True) + 500.5) / 1000)


def brightness(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Scale the distance of each pixel from black. Factors of this and the next three are in whole 256ths."""
    return _enhance(images, 0.0, factor)


def color(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Scale the distance from the grey image."""
    return _enhance(images, luma(images), factor)


def contrast(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Scale the distance from the mean grey."""
    pixels = images.shape[1] * images.shape[2]
    total = tf.reduce_sum(tf.cast(luma(images), tf.int32), axis=(1, 2, 3), keepdims=True)
    mean = (2 * total + pixels) // (2 * pixels)
    return _enhance(images, tf.cast(mean, tf.float32), factor)


def sharpness(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Scale the distance from PIL's smooth filter: the 3x3 mean with the centre five times, the border as it was."""
    if min(images.shape[1:3]) < 3:
        return images  # all border
    centre = images[:, 1:-1, 1:-1]
    rows = images[:, :-2] + images[:, 1:-1] + images[:, 2:]
    block = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    smooth = tf.floor((block + 4 * centre + 6.5) / 13)
    return _enhance(images, images + tf.pad(smooth - centre, [[0, 0], [1, 1], [1, 1], [0, 0]]), factor)


def posterize(images: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """Round down to a multiple of `step`, a power of 2."""
    return tf.floor(images / step) * step


def solarize(images: tf.Tensor, threshold: tf.Tensor | float) -> tf.Tensor:
    """Invert the pixels that reach a threshold."""
    return tf.where(images >= threshold, 255 - images, images)


def invert(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Exchange black and white. The strength is ignored, by this and the next two."""
    return 255 - images


def autocontrast(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Stretch each channel to 0..255."""
    low = tf.reduce_min(images, axis=(1, 2), keepdims=True)
    high = tf.reduce_max(images, axis=(1, 2), keepdims=True)
    return tf.where(high > low, tf.floor((255 * (images - low) + 0.5) / tf.maximum(high - low, 1)), images)


def equalize(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
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


TONES = {function.__name__: function for function in (
    autocontrast, equalize, invert, solarize, posterize, color, contrast, brightness, sharpness)}
MOVES = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")


def strength(name: str, level: float, sign: int) -> float:
    """Return the second argument of a tone: colours change by up to 90 %, posterize drops up to 4 of 8 bits."""
    if name in ENHANCING:
        return 256 + sign * round(256 * 0.9 * level)
    return {"posterize": 2 ** round(4 * level), "solarize": round(256 * (1 - level))}.get(name, 1)


def matrix(name: str, level: float, sign: int, height: int, width: int) -> np.ndarray:
    """Return the matrix (2, 3) of a move from (y, x, 1) in the result to (y, x) in the image, about the centre.

    Tones have the identity.
    """
    found = np.eye(2, 3)
    angle, shear, shift = sign * np.radians(30 * level), sign * 0.3 * level, sign * 0.45 * level
    if name == "rotate":
        found[:, :2] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    elif name == "shear_x":
        found[1, 0] = shear
    elif name == "shear_y":
        found[0, 1] = shear
    elif name == "translate_x":
        found[1, 2] = shift * width
    elif name == "translate_y":
        found[0, 2] = shift * height
    return (np.round(1024 * found) / 1024).astype(np.float32)


def tone(images: tf.Tensor, names: Sequence[str], operations: tf.Tensor, strengths: tf.Tensor) -> tf.Tensor:
    """Return each image after its operation, if that is a tone. All that `names` has are computed, one is kept.

    Args:
        images: (B, H, W, C) float32, whole numbers 0..255.
        names: of operations.
        operations: (B,) integers, indices into `names`.
        strengths: (B,) of each image's operation.
    """
    result, strengths = images, tf.cast(strengths, tf.float32)[:, None, None, None]
    for index, name in enumerate(names):
        if name in TONES:
            chosen = (operations == index)[:, None, None, None]
            result = tf.where(chosen, TONES[name](images, strengths), result)
    return result


def move(images: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
    """Return each image after its moves, by one gather of the nearest pixels, with grey 128 around them.

    Args:
        images: (B, H, W, C) float32.
        matrices: (moves, B, 2, 3), see `matrix`.
    """
    _, height, width, channels = images.shape
    batch = tf.shape(images)[0]
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


def _enhance(images: tf.Tensor, base: tf.Tensor | float, factor: tf.Tensor) -> tf.Tensor:
    """Return base + factor (images - base), the factor in whole 256ths, whose sums are exact."""
    return whole((256 * base + factor * (images - base)) / 256)
