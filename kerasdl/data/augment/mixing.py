"""Transforms that mix an image and its label with those of its neighbour."""

import numpy as np
import tensorflow as tf
from scipy.special import betaincinv

from kerasdl.data.augment.draws import Batch, batch_size, integers, split
from kerasdl.data.augment.places import box
from kerasdl.errors import UserError


def mixup(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, alpha: float = 0.2) -> Batch:
    """Blend images and labels: share * own + (1 - share) * neighbour's (Zhang et al., 2017).

    The share is drawn per image. The neighbour is the image before it: batches are shuffled already.

    Args:
        alpha: share ~ Beta(alpha, alpha), 0.01 to 100; small alphas blend little.
    """
    images = tf.cast(images, tf.float32)
    share = _beta(seed, batch_size(images), alpha)
    blended = _blend(images, _neighbour(images), share[:, None, None, None])
    return blended, _blend_labels("mixup", labels, share)


def cutmix(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, alpha: float = 1.0) -> Batch:
    """Paste a box of its neighbour into each image, and blend the labels by area (Yun et al., 2019).

    Args:
        alpha: an image keeps a share ~ Beta(alpha, alpha) of its area, more where the border cuts the box;
            0.01 to 100.
    """
    for_share, for_place = split(seed)
    side = tf.sqrt(1 - _beta(for_share, batch_size(images), alpha))[:, None]  # (B, 1), in sides of the image
    height, width = (tf.cast(side * length, tf.int32) for length in images.shape[1:3])
    pasted = box(images, height, width, for_place)
    share = 1 - tf.reduce_mean(tf.cast(pasted, tf.float32), axis=(1, 2, 3))
    return tf.where(pasted, _neighbour(images), images), _blend_labels("cutmix", labels, share)


def _beta(seed: tf.Tensor, batch: tf.Tensor | int, alpha: float) -> tf.Tensor:
    """Return (B,) draws of Beta(alpha, alpha), by quantiles: TensorFlow's gamma draws do not compile with XLA."""
    quantiles = tf.constant(betaincinv(alpha, alpha, np.linspace(0, 1, 4097)), tf.float32)
    draw = integers(seed, (batch,), 0, 2**24)
    cell, within = draw // 4096, tf.cast(draw % 4096, tf.float32) / 4096
    return _blend(tf.gather(quantiles, cell + 1), tf.gather(quantiles, cell), within)


def _blend(own: tf.Tensor, other: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    return share * own + (1 - share) * other


def _blend_labels(name: str, labels: tf.Tensor | None, share: tf.Tensor) -> tf.Tensor:
    if labels is None or labels.shape.rank != 2 or not labels.dtype.is_floating:
        got = "none" if labels is None else f"{labels.dtype.name} {labels.shape}"
        raise UserError(f"{name} needs labels as floats of shape (batch, classes), not {got}; one-hot them.")
    return _blend(labels, _neighbour(labels), tf.cast(share, labels.dtype)[:, None])


def _neighbour(rows: tf.Tensor) -> tf.Tensor:
    return tf.roll(rows, shift=1, axis=0)
