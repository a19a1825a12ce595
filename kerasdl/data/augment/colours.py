"""Transforms of the colours and the sharpness of photographs, as contrastive learning and ImageNet recipes have them.

All round floats to whole numbers and compute with whole numbers, so that the result does not depend on the device.
"""

import numpy as np
import tensorflow as tf

from kerasdl.data.augment import operations
from kerasdl.data.augment.draws import Batch, batch_size, integers, sometimes, split, whole

TURN = 1536  # steps of hue around the circle, 256 from one of red, yellow, green, cyan, blue, magenta to the next
SIGMAS = np.linspace(0.1, 2.0, 256)  # of blur, in pixels


def color_jitter(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, brightness: float = 0.4,
                 contrast: float = 0.4, saturation: float = 0.4, hue: float = 0.1, p: float = 1.0) -> Batch:
    """Change brightness, contrast, saturation and hue of each image at random (as in Howard, 2013).

    A factor of 1 - x to 1 + x for each of the first three, and a turn of the hue. An image of one channel has only
    brightness and contrast.

    Departure: they follow in this order. torchvision draws the order, on which the result depends only where values
    are clipped, and through the hue.

    Args:
        brightness: x of the factor, 0 to 1.
        contrast: x of its factor, 0 to 1.
        saturation: x of its factor, 0 to 1.
        hue: greatest turn either way in circles of 360 degrees, 0 to 0.5.
        p: probability that an image is changed, 0 to 1.
    """
    shape = (batch_size(images), 1, 1, 1)

    def drawn(own: tf.Tensor, reach: int) -> tf.Tensor:
        return tf.cast(integers(own, shape, -reach, reach + 1), tf.float32)

    *for_factors, for_hue, for_whether = split(seed, 5)
    changed = whole(images)
    tones = (operations.brightness, operations.contrast, operations.color)
    for own, tone, reach in zip(for_factors, tones, (brightness, contrast, saturation), strict=True):
        changed = tone(changed, 256 + drawn(own, round(256 * reach)))
    if images.shape[-1] == 3:
        changed = turn_hue(changed, drawn(for_hue, round(TURN * hue)))
    return sometimes(changed, images, for_whether, p), labels


def grey(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, p: float = 0.2) -> Batch:
    """Take the colour from an image of three channels with probability p (as in Chen et al., 2020, SimCLR).

    Args:
        p: 0 to 1.
    """
    changed = tf.broadcast_to(operations.luma(whole(images)), tf.shape(images))
    return sometimes(changed, images, seed, p), labels


def solarize(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, p: float = 0.2) -> Batch:
    """Invert the pixels of 128 and more of an image with probability p (as in Grill et al., 2020, BYOL).

    Args:
        p: 0 to 1.
    """
    return sometimes(operations.solarize(whole(images), 128.0), images, seed, p), labels


def blur(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, p: float = 0.5) -> Batch:
    """Blur an image with probability p by a Gaussian (as in Chen et al., 2020, SimCLR).

    Its deviation is 0.1 to 2 pixels and its window a tenth of the shorter side, at least three pixels. The image is
    reflected at its border.

    Args:
        p: 0 to 1.
    """
    for_sigma, for_whether = split(seed)
    height, width = images.shape[1:3]
    radius = min(max(1, min(height, width) // 20), min(height, width) - 1)
    sigmas = integers(for_sigma, (batch_size(images),), 0, len(SIGMAS))
    weights = tf.gather(_kernels(radius), sigmas, axis=1)[..., None, None, None]  # (taps, B, 1, 1, 1)
    padded = tf.pad(whole(images), [[0, 0], [radius, radius], [radius, radius], [0, 0]], mode="REFLECT")
    rows = _weighted(padded, weights, 1, height)  # in 4096ths
    rows = tf.floor(rows / 256 + 0.5)  # in 16ths: the next products are exact too
    columns = _weighted(rows, weights, 2, width)
    return sometimes(whole(columns / 65536), images, for_whether, p), labels


def turn_hue(images: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
    """Turn the hue of HSV by `steps`, whole numbers (B, 1, 1, 1): `TURN` is once around, a third makes red green.

    Args:
        images: (B, H, W, 3) whole numbers 0..255, float32. So is the result.
    """
    red, green, blue = tf.split(images, 3, axis=-1)
    high = tf.reduce_max(images, axis=-1, keepdims=True)
    chroma = high - tf.reduce_min(images, axis=-1, keepdims=True)

    def hue(start: int, above: tf.Tensor, below: tf.Tensor) -> tf.Tensor:
        """Return start + 256 (above - below) / chroma, rounded; the half keeps the quotient off whole numbers."""
        return start + tf.floor((512 * (above - below) + chroma + 0.5) / (2 * tf.maximum(chroma, 1)))

    turned = tf.where(high == red, hue(0, green, blue),
                      tf.where(high == green, hue(512, blue, red), hue(1024, red, green))) + steps
    # A channel is at its highest for a third of the circle, at its lowest for a third, and between them in between.
    at = tf.cast(turned, tf.int32) + tf.constant([1280, 768, 256])
    lowered = tf.clip_by_value(512 - tf.abs(at % TURN - 512), 0, 256)
    return whole(high - chroma * tf.cast(lowered, tf.float32) / 256)


def _weighted(images: tf.Tensor, weights: tf.Tensor, axis: int, length: int) -> tf.Tensor:
    """Return the sum of the windows of `length` along an axis, each times its weights (taps, B, 1, 1, 1).

    A loop: XLA would fuse the sums over rows and over columns, and compute the first again for each pixel.
    """
    first = tf.gather(images, tf.range(length), axis=axis)

    def add(total: tf.Tensor, tap: tuple) -> tf.Tensor:
        start, weight = tap
        return total + weight * tf.gather(images, start + tf.range(length), axis=axis)

    return tf.foldl(add, (tf.range(len(weights)), weights), tf.zeros_like(first))


def _kernels(radius: int) -> tf.Tensor:
    """Return Gaussian weights (2 * radius + 1, SIGMAS) in whole 4096ths, which sum to 4096."""
    weights = np.exp(-(np.arange(-radius, radius + 1)[:, None] / SIGMAS) ** 2 / 2)
    weights = np.round(4096 * weights / weights.sum(axis=0))
    weights[radius] += 4096 - weights.sum(axis=0)
    return tf.constant(weights, tf.float32)
