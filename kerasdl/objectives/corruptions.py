"""What is taken from an image that a network is to bring back: noise, holes and colour, in one table.

Each function is pure and takes a whole batch. Its randomness comes from the seed alone, and it compiles with XLA.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

GREY = 128  # what a network sees in a hole
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, as in JPEG (ITU-R BT.601)
STROKES, CORNERS = 3, 4  # of a free-form hole: lines, and straight parts of each
Corrupt = Callable[[tf.Tensor, tf.Tensor, Any], tuple[tf.Tensor, tf.Tensor]]


@dataclass(frozen=True)
class Corruption:
    """A way to corrupt images.

    Attributes:
        corrupt: (images (B, H, W, C), seed (2,), settings) -> what the network sees, of the same form, and (B, H, W, 1)
            with 1 for pixels that are hidden. Both have the dtype of the images.
        count: (height, width, settings) -> how many pixels of each image are hidden.
        holes: whether pixels are hidden and the others stay, so that a user says with a mask where.
        colour: whether only the colour is hidden.
    """

    corrupt: Corrupt
    count: Callable[[int, int, Any], int]
    holes: bool = False
    colour: bool = False


def noise(images: tf.Tensor, seed: tf.Tensor, settings: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Add Gaussian noise of `settings.deviation` grey levels; the result is rounded to 0..255, as in a file."""
    drawn = tf.random.stateless_normal(tf.shape(images), seed, stddev=settings.deviation, alg="philox")
    seen = tf.clip_by_value(tf.round(tf.cast(images, tf.float32) + drawn), 0, 255)
    return tf.cast(seen, images.dtype), tf.ones_like(images[..., :1])


def block(images: tf.Tensor, seed: tf.Tensor, settings: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Hide `settings.holes` rectangles of equal size, of which no two share a row."""
    count, (height, width) = tf.shape(images)[0], images.shape[1:3]
    tall, wide = sides(height, width, settings)
    free = height - settings.holes * tall  # rows between the holes, before the first and after the last
    above = tf.random.stateless_uniform((count, settings.holes), key(seed, 0), 0, free + 1, tf.int32, alg="philox")
    top = tf.sort(above, axis=1) + tall * tf.range(settings.holes)
    left = tf.random.stateless_uniform((count, settings.holes), key(seed, 1), 0, width - wide + 1, tf.int32,
                                       alg="philox")
    rows = within(tf.range(height), top, tall)[:, :, :, None]
    columns = within(tf.range(width), left, wide)[:, :, None, :]
    return covered(images, tf.reduce_any(rows & columns, axis=1))


def freeform(images: tf.Tensor, seed: tf.Tensor, settings: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Hide strokes: the pixels that are nearest to some bent lines, exactly as many as `freeform_count` says.

    So a stroke is as thick as that number makes it. Yu et al. 2019 (arXiv:1806.03589) draw such lines with brushes of
    random widths, which hide another number of pixels each time.
    """
    height, width = images.shape[1:3]
    corners = lines(tf.shape(images)[0], height, width, seed)
    apart = tf.round(1024 * tf.reshape(distance(corners, height, width), (-1, height * width)))  # equal ones stay equal
    rank = tf.argsort(tf.argsort(apart, axis=1, stable=True), axis=1, stable=True)
    hidden = rank < freeform_count(height, width, settings)
    return covered(images, tf.reshape(hidden, (-1, height, width)))


def grey(images: tf.Tensor, seed: tf.Tensor, settings: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Take the colour: red, green and blue become the luma, rounded as in a file of a grey image."""
    seen = tf.round(tf.reduce_sum(tf.cast(images, tf.float32) * LUMA, axis=-1, keepdims=True))
    return tf.repeat(tf.cast(seen, images.dtype), 3, axis=-1), tf.ones_like(images[..., :1])


def sides(height: int, width: int, settings: Any) -> tuple[int, int]:
    """Return the rows and columns of each rectangle: it has the proportions of the image, to the nearest pixel."""
    scale = math.sqrt(settings.share / settings.holes)
    return round(height * scale), round(width * scale)


def block_count(height: int, width: int, settings: Any) -> int:
    tall, wide = sides(height, width, settings)
    return settings.holes * tall * wide if settings.holes * tall <= height and wide <= width else 0  # they do not fit


def freeform_count(height: int, width: int, settings: Any) -> int:
    return round(height * width * settings.share)


def every_pixel(height: int, width: int, settings: Any) -> int:
    return height * width


CORRUPTIONS: Mapping[str, Corruption] = {
    "noise": Corruption(noise, every_pixel), "block": Corruption(block, block_count, holes=True),
    "freeform": Corruption(freeform, freeform_count, holes=True), "grey": Corruption(grey, every_pixel, colour=True)}


def covered(images: tf.Tensor, hidden: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return images with GREY where `hidden` (B, H, W) is true, and that as numbers (B, H, W, 1)."""
    hidden = hidden[..., None]
    return tf.where(hidden, tf.cast(GREY, images.dtype), images), tf.cast(hidden, images.dtype)


def within(places: tf.Tensor, first: tf.Tensor, size: int) -> tf.Tensor:
    """Return which of the places (L,) are in each range (B, holes) of this size, (B, holes, L)."""
    after = places - first[..., None]
    return (after >= 0) & (after < size)


def lines(count: tf.Tensor, height: int, width: int, seed: tf.Tensor) -> tf.Tensor:
    """Return the corners (B, STROKES, CORNERS + 1, 2) of random lines in units of pixels, which stay in the image."""
    shape = tf.stack([count, STROKES, CORNERS])
    begin = tf.random.stateless_uniform(tf.stack([count, STROKES, 1, 2]), key(seed, 0), alg="philox")
    turn = tf.random.stateless_uniform(shape, key(seed, 1), 0, 2 * math.pi, alg="philox")
    length = tf.random.stateless_uniform(shape, key(seed, 2), 0.1, 0.4, alg="philox")  # of the image's sides
    moves = tf.stack([length * tf.sin(turn), length * tf.cos(turn)], axis=-1)
    corners = tf.concat([begin, begin + tf.cumsum(moves, axis=2)], axis=2)
    return tf.clip_by_value(corners, 0, 1) * tf.constant([height - 1, width - 1], tf.float32)


def distance(corners: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Return the squared distance of each pixel from the nearest line, (B, H, W).

    Of a pixel p and a straight part from a to b it is |p - a - t (b - a)|^2 with t = (p - a)(b - a) / |b - a|^2, kept
    in 0..1.
    """
    place = tf.stack(tf.meshgrid(tf.range(height), tf.range(width), indexing="ij"), axis=-1)
    place = tf.cast(place, tf.float32)[None]
    nearest = None
    for stroke in range(STROKES):
        for part in range(CORNERS):
            first, last = (corners[:, stroke, part + end, None, None] for end in (0, 1))
            way, off = last - first, place - first
            along = tf.reduce_sum(off * way, -1) / tf.maximum(tf.reduce_sum(way * way, -1), 1e-6)
            left = off - tf.clip_by_value(along, 0, 1)[..., None] * way
            apart = tf.reduce_sum(left * left, -1)
            nearest = apart if nearest is None else tf.minimum(nearest, apart)
    return nearest


def key(seed: tf.Tensor, number: int) -> tf.Tensor:
    """Return a seed of its own for each draw."""
    return tf.random.fold_in(seed, tf.constant(number, tf.int64), alg="philox")
