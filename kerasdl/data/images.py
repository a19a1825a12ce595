"""Image files as examples: one number of channels, one size."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasdl.errors import DataError


def read_raw(path: Path) -> np.ndarray:
    """Return the image as the file has it, uint8 (H, W, channels); of a GIF the first frame.

    Raises:
        DataError: the file cannot be read, or does not decode.
    """
    try:
        return tf.io.decode_image(tf.io.read_file(os.fsencode(path)), expand_animations=False).numpy()
    except tf.errors.InvalidArgumentError:
        raise DataError(f"{path} does not decode as an image. Mend or remove it.") from None
    except tf.errors.OpError as error:
        raise DataError(f"{path} cannot be read: {error.message.rpartition('; ')[2]}.") from None


def load_image(path: Path, shape: tuple[int, ...], image_size: Sequence[int] | None) -> np.ndarray:
    """Return an image file as an example, uint8 of this shape, resized if there is an image_size.

    Raises:
        DataError: the file cannot be read, does not decode, or has another size and is not resized.
    """
    image = read_raw(path)
    if image_size is None and image.shape[:2] != shape[:2]:
        raise DataError(f"{path} is {image.shape[0]}x{image.shape[1]}, where {shape[0]}x{shape[1]} was expected. "
                        "To bring all images to one size, pass data_args.image_size=(H, W).")
    return conform(tf.constant(image), shape, image_size is not None).numpy()


def decode(data: tf.Tensor, shape: tuple[int, ...], resize: bool) -> tf.Tensor:
    """Return the bytes of an image file (a string tensor) as an example, uint8 of this shape. For a graph."""
    return conform(tf.io.decode_image(data, expand_animations=False), shape, resize)


def conform(image: tf.Tensor, shape: tuple[int, ...], resize: bool) -> tf.Tensor:
    """Return the image with the channels (alpha dropped, grey repeated, colour made grey) and the size of `shape`."""
    size, channels = tf.shape(image)[:2], tf.shape(image)[2]  # unknown until the file is read
    colour = tf.broadcast_to(image[..., : tf.where(channels <= 2, 1, 3)], tf.concat([size, [3]], 0))
    image = colour if shape[2] == 3 else tf.cond(
        channels <= 2, lambda: image[..., :1], lambda: tf.image.rgb_to_grayscale(colour))
    if resize:
        image = resized(image, shape)
    return tf.ensure_shape(image, shape)


def resized(image: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """Return the image with the height and width of `shape`, uint8."""
    image = tf.image.resize(image, shape[:2], antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(image, 0, 255)), "uint8")


def height_width(image_size: Sequence[int] | int) -> tuple[int, int]:
    """Return the image_size of a recipe, (height, width) or one number for both, as (height, width).

    Raises:
        DataError: anything else.
    """
    size = tuple(image_size) if isinstance(image_size, (list, tuple)) else (image_size,) * 2
    if len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise DataError(f"image_size must be (height, width). Received: {image_size!r}.")
    return size
