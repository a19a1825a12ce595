"""Sequences of different lengths: how long each is, batches of similar lengths, and padding that is cut off.

Padding changes no answer of a network, but it takes time. So an epoch's batches have examples of similar lengths, and a
batch is as long as its longest example, rounded up to one of a few lengths. A `split` here is a kerasdl.data.Split.
"""

from typing import Any

import numpy as np
import tensorflow as tf

POOL = 32  # batches whose examples are sorted by length together
SHAPES = 8  # lengths that a batch may have: where a step is compiled for a shape, each takes a compilation


def lengths(split: Any) -> np.ndarray | None:
    """Return how many steps or tokens each example has (N,), int32; None where all fill the split's length, and of
    other kinds of examples."""
    if split.kind not in ("tokens", "sequence") or not isinstance(split.x, np.ndarray):
        return None
    there: Any = split.x != 0 if split.kind == "tokens" else ~np.isnan(split.x).all(axis=-1)
    found = np.where(there.any(1), there.shape[1] - there[:, ::-1].argmax(1), 0).astype("int32")
    return None if (found == there.shape[1]).all() else found


def takes_any_length(network: Any) -> bool:
    """Return whether a keras.Model takes tokens (B, T) or steps (B, T, F) of any T."""
    shape = network.inputs[0].shape
    return len(shape) in (2, 3) and shape[1] is None


def by_length(order: tf.Tensor, length: tf.Tensor, batches: tf.Tensor, batch: int) -> tf.Tensor:
    """Return an epoch's order in which the examples of a batch have similar lengths.

    Args:
        order: the examples in the order of the epoch, int64 (steps * batch,).
        length: of every example of the split (N,).
        batches: the order of the batches, int64 (steps,).
        batch: examples a step.
    """
    pool = tf.range(tf.size(order)) // (POOL * batch)
    longest = tf.reduce_max(length) + 1
    alike = tf.gather(order, tf.argsort(pool * longest + tf.gather(length, order), stable=True))
    return tf.reshape(tf.gather(tf.reshape(alike, (-1, batch)), batches), (-1,))


def trimmed(x: tf.Tensor) -> tf.Tensor:
    """Return tokens (B, T), or steps of numbers (B, T, F), without the padding that all examples of the batch end with.

    What is left is one of SHAPES lengths, equally far apart.
    """
    steps = x.shape[1]
    there = x != 0 if x.shape.rank == 2 else tf.logical_not(tf.reduce_all(tf.math.is_nan(x), axis=-1))
    last = tf.reduce_max(tf.where(tf.reduce_any(there, 0), tf.range(1, steps + 1), 1))
    unit = -(-steps // SHAPES)
    return x[:, :tf.minimum(-(-last // unit) * unit, steps)]
