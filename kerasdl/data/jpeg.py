"""The fast way into a JPEG file that holds nothing but its pixels.

Pillow and TensorFlow use the same decoder, libjpeg-turbo, and with the accurate DCT they give the same bits. TensorFlow
copies the pixels less often and needs no Python while it decodes, so that threads do not wait for each other. What more
a file may hold, such as an orientation, a colour profile or CMYK, is Pillow's: see kerasdl.data.images.
"""

import numpy as np
import tensorflow as tf
from PIL import Image

START = b"\xff\xd8\xff"
APP1, APP15 = 0xE1, 0xEF  # the segments of EXIF, profiles, Adobe's colours and everything else but JFIF's


def pixels(data: tf.Tensor) -> tf.Tensor:
    """Return the pixels of a plain JPEG, uint8 (H, W, 1 or 3); of any other file none, (0, 0, 0). For a graph.

    Args:
        data: the bytes of a file, a string tensor.

    Raises:
        tf.errors.InvalidArgumentError: the file begins as a JPEG and does not decode.
    """
    return tf.cond(tf.strings.substr(data, 0, len(START)) == START, lambda: _plain_pixels(data), _none)


def _plain_pixels(data: tf.Tensor) -> tf.Tensor:
    values = tf.io.decode_raw(data, tf.uint8)
    # In compressed pixels, 0xFF is followed by 0 or a restart. The difference of uint8 is large below APP1.
    more = tf.reduce_any((values[:-1] == 0xFF) & (values[1:] - APP1 <= APP15 - APP1))
    height, width, channels = tf.unstack(tf.io.extract_jpeg_shape(data))
    fits = height * width <= (Image.MAX_IMAGE_PIXELS or 0)  # without a limit, Pillow reads them
    plain = ~more & ((channels == 1) | (channels == 3)) & fits
    return tf.cond(plain, lambda: tf.io.decode_jpeg(data, dct_method="INTEGER_ACCURATE"), _none)


def _none() -> tf.Tensor:
    return tf.zeros((0, 0, 0), tf.uint8)


_decoded = tf.function(pixels, input_signature=[tf.TensorSpec((), tf.string)], autograph=False)


def read(data: bytes) -> np.ndarray | None:
    """Return the pixels of a plain JPEG, uint8 (H, W, 1 or 3); None of any other file, and of what does not decode."""
    try:
        found = _decoded(data).numpy()
    except tf.errors.InvalidArgumentError:  # Pillow may read more than TensorFlow
        return None
    return found if found.size else None
