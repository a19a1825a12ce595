"""Transforms that move pixels: mirror images, shifts, crops and squares that are cut out."""

import math

import numpy as np
import tensorflow as tf

from kerasdl.data.augment.draws import Batch, batch_size, gather, integers, split, whole
from kerasdl.errors import UserError

FILLS = ("mean", "black")  # of cutout
TRIES = 10  # of random_resized_crop


def flip(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> Batch:
    """Mirror each image left to right with probability 1/2."""
    mirrored = integers(seed, (batch_size(images), 1, 1, 1), 0, 2) == 1
    return tf.where(mirrored, tf.reverse(images, axis=[2]), images), labels


def alternating_flip(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, *, flip_parity: tf.Tensor) -> Batch:
    """Mirror each image left to right in every other epoch, half of them in the first (Jordan 2024, arXiv:2404.00498).

    With `flip` a quarter of the images looks the same in three epochs running, and a network learns less from it.

    Raises:
        UserError: if `flip_parity` is not given.
    """
    if flip_parity is None:
        raise UserError("alternating_flip needs to know which images to mirror: augment(images, labels, seed, "
                        "flip_parity), where flip_parity (B,) is 0 or 1 for each image and the other one in the next "
                        "epoch. Or take flip.")
    return tf.where(tf.reshape(flip_parity, (-1, 1, 1, 1)) == 1, tf.reverse(images, axis=[2]), images), labels


def pad_crop(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, pad: int = 4) -> Batch:
    """Pad by reflection and cut a window of the old size at a random place (after He et al., 2015).

    Args:
        pad: pixels on each side, 0 to the shorter side - 1.
    """
    rows, columns = _moved(images, pad, seed)
    return gather(images, _reflect(rows, images.shape[1]), _reflect(columns, images.shape[2])), labels


def translate(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, pixels: int = 2) -> Batch:
    """Shift each image by up to `pixels` whole pixels, up or down and left or right; what comes in is 0.

    Args:
        pixels: 0 to the shorter side - 1.
    """
    rows, columns = _moved(images, pixels, seed)
    height, width = images.shape[1:3]
    inside = _within(rows, 0, height)[:, :, None] & _within(columns, 0, width)[:, None, :]
    moved = gather(images, tf.clip_by_value(rows, 0, height - 1), tf.clip_by_value(columns, 0, width - 1))
    return tf.where(inside[..., None], moved, tf.zeros((), images.dtype)), labels


def random_resized_crop(
    images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, scale: float = 0.08, ratio: float = 4 / 3
) -> Batch:
    """Cut a box of random area and shape from each image and enlarge it to the old size (Szegedy et al., 2015).

    The area is uniform and the logarithm of width / height too, as in torchvision. Of ten such boxes the first that
    fits into the image is taken, at a random place. If none fits, it is the largest centred box whose shape is
    allowed. Interpolation is bilinear, without antialiasing, as no side shrinks. Floats are rounded to whole numbers.

    Args:
        scale: least share of the area, 0.01 to 1; the greatest is 1.
        ratio: greatest width / height, 1 to 10; the least is 1 / ratio.
    """
    (top, left), (height, width) = _crops(images, seed, scale, ratio)
    # Shares of the two neighbours are whole 256ths, so that all sums are exact: any device rounds them alike.
    upper, lower, share = _neighbours(top, height, images.shape[1])
    pixels, share = whole(images), share[:, :, None, None]
    pixels = (256 - share) * tf.gather(pixels, upper, axis=1, batch_dims=1) \
        + share * tf.gather(pixels, lower, axis=1, batch_dims=1)
    before, after, share = _neighbours(left, width, images.shape[2])
    share = share[:, None, :, None]
    pixels = (256 - share) * tf.gather(pixels, before, axis=2, batch_dims=1) \
        + share * tf.gather(pixels, after, axis=2, batch_dims=1)
    return tf.cast(whole(pixels / 256**2), images.dtype), labels


def cutout(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, size: int = 8, fill: str = "mean") -> Batch:
    """Fill a square of each image (DeVries and Taylor, 2017).

    Its centre is any pixel, so the border may cut it.

    Args:
        size: side of the square in pixels, 0 to the shorter side.
        fill: "mean", the image's own mean colour, where the paper has that of the data set; or "black", whose edges
            stand out among the patches of a whitened network.
    """
    colour = tf.zeros((), images.dtype)
    if fill == "mean":
        colour = tf.cast(tf.round(tf.reduce_mean(tf.cast(images, tf.float32), (1, 2), keepdims=True)), images.dtype)
    return tf.where(box(images, size, size, seed), colour, images), labels


def box(images: tf.Tensor, height: tf.Tensor | int, width: tf.Tensor | int, seed: tf.Tensor) -> tf.Tensor:
    """Return (B, H, W, 1) booleans: a box whose centre is any pixel; height and width are one for all or (B, 1)."""
    for_row, for_column = split(seed)
    top = integers(for_row, (batch_size(images), 1), 0, images.shape[1]) - height // 2
    left = integers(for_column, (batch_size(images), 1), 0, images.shape[2]) - width // 2
    rows = _within(tf.range(images.shape[1]), top, top + height)
    columns = _within(tf.range(images.shape[2]), left, left + width)
    return (rows[:, :, None] & columns[:, None, :])[..., None]


def _within(index: tf.Tensor, start: tf.Tensor | int, stop: tf.Tensor | int) -> tf.Tensor:
    return (start <= index) & (index < stop)


def _moved(images: tf.Tensor, reach: int, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return rows (B, H) and columns (B, W) of windows that are shifted by up to `reach`."""
    down, right = tf.unstack(integers(seed, (2, batch_size(images), 1), -reach, reach + 1))
    return down + tf.range(images.shape[1]), right + tf.range(images.shape[2])


def _reflect(index: tf.Tensor, length: int) -> tf.Tensor:
    """Return indices inside an axis: -1 becomes 1, length becomes length - 2."""
    return (length - 1) - tf.abs((length - 1) - tf.abs(index))


def _crops(images: tf.Tensor, seed: tf.Tensor, scale: float, ratio: float) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """Return (top, left) and (height, width) of a box for each image, each (B, 1) integers."""
    height, width = images.shape[1:3]
    sides = tf.constant([height, width])
    for_area, for_ratio, for_place = split(seed, 3)
    shape = (TRIES, batch_size(images), 1)
    area = tf.cast(integers(for_area, shape, max(1, round(scale * height * width)), height * width + 1), tf.float32)
    stretch = np.exp(np.linspace(-0.5, 0.5, 4096) * math.log(ratio))  # the root of width / height
    stretch = tf.constant(np.stack([1 / stretch, stretch], axis=-1), tf.float32)
    tried = tf.round(tf.sqrt(area) * tf.gather(stretch, integers(for_ratio, shape[:2], 0, stretch.shape[0])))
    tried = tf.cast(tried, tf.int32)  # (TRIES, B, 2)
    fits = tf.reduce_all((tried > 0) & (tried <= sides), axis=-1, keepdims=True)
    size = tf.constant([min(height, round(width * ratio)), min(width, round(height * ratio))])
    for fit, one in zip(reversed(tf.unstack(fits)), reversed(tf.unstack(tried)), strict=True):
        size = tf.where(fit, one, size)
    space = sides - size
    drawn = integers(for_place, (shape[1], 2), 0, 2**16) * (space + 1) // 2**16
    place = tf.where(tf.reduce_any(fits, axis=0), drawn, space // 2)
    return tf.split(place, 2, axis=-1), tf.split(size, 2, axis=-1)


def _neighbours(start: tf.Tensor, size: tf.Tensor, length: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the two pixels, each (B, length), between which each pixel of an enlarged side lies, and its 256ths.

    The side has `size` pixels from `start` on, both (B, 1). Pixel i of the result has its centre at
    (i + 1/2) size / length - 1/2, within the side.
    """
    scaled = (2 * tf.range(length, dtype=tf.int64) + 1) * tf.cast(size, tf.int64) * 128
    at = tf.cast((scaled + length // 2) // length, tf.int32) - 128
    at = tf.clip_by_value(at, 0, 256 * (size - 1))
    first = at // 256
    return start + first, start + tf.minimum(first + 1, size - 1), tf.cast(at % 256, tf.float32)
