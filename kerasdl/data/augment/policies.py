"""Policies that draw operations for each image: RandAugment and AutoAugment."""

import numpy as np
import tensorflow as tf

from kerasdl.data.augment import operations
from kerasdl.data.augment.autoaugment_tables import POLICIES
from kerasdl.data.augment.draws import Batch, batch_size, integers, split, whole

SIGNS = (-1, 1)
RANDAUGMENT = ("identity", "autocontrast", "equalize", "solarize", "posterize", "color", "contrast", "brightness",
               "sharpness", "rotate", "shear_x", "shear_y", "translate_x", "translate_y")  # the order fixes the draws


def randaugment(
    images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, layers: int = 2, magnitude: float = 9
) -> Batch:
    """Apply to each image `layers` operations drawn from fourteen (Cubuk et al., 2020).

    Departures: the moves of all layers become one, after the tones, by nearest pixel, and grey 128 around it;
    solarize grows with the magnitude, as the others do. Floats are rounded to whole numbers.

    Args:
        layers: operations an image, 1 to 10.
        magnitude: strength, 0 (only autocontrast and equalize still act) to 30.
    """
    shape = (layers, batch_size(images))
    for_operation, for_sign = split(seed)
    drawn = integers(for_operation, shape, 0, len(RANDAUGMENT))
    variant = len(SIGNS) * drawn + integers(for_sign, shape, 0, len(SIGNS))
    tables = _tables([(name, magnitude / 30) for name in RANDAUGMENT], images)
    strengths, matrices = (tf.gather(table, variant) for table in tables)
    changed = whole(images)
    for operation, strength in zip(tf.unstack(drawn), tf.unstack(strengths), strict=True):
        changed = operations.tone(changed, RANDAUGMENT, operation, strength)
    return tf.cast(operations.move(changed, matrices), images.dtype), labels


def autoaugment(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, policy: str = "cifar10") -> Batch:
    """Apply to each image one of 25 pairs of operations that were searched for a data set (Cubuk et al., 2019).

    Each operation of a pair has its own probability and magnitude, see `autoaugment_tables`. Magnitudes mean what
    they mean in torchvision: the greatest is the strongest, and moves and changes of colour take either sign.

    Departures: as in `randaugment`, moves are about the centre, by nearest pixel, with grey 128 around the image, and
    a shift is at most 45 % of the side (150 of 331 pixels in the paper). The threshold of solarize falls from 256 to 0,
    where torchvision begins at 255. Floats are rounded to whole numbers.

    Args:
        policy: "cifar10" or "imagenet".
    """
    for_pair, for_whether, for_sign = split(seed, 3)
    pairs, batch = POLICIES[policy], batch_size(images)
    entries = [operation for layer in zip(*pairs, strict=True) for operation in layer]  # all first ones, all second
    names = ("identity", *sorted({name for name, _, _ in entries}))
    drawn = integers(for_pair, (batch,), 0, len(pairs)) + [[0], [len(pairs)]]  # (2, B) indices into entries
    variant = len(SIGNS) * drawn + integers(for_sign, (2, batch), 0, len(SIGNS))
    strengths, matrices = (tf.gather(table, variant) for table in _tables(
        [(name, magnitude / 9) for name, _, magnitude in entries], images))
    tenths = tf.gather([round(10 * probability) for _, probability, _ in entries], drawn)
    happens = integers(for_whether, (2, batch), 0, 10) < tenths
    chosen = tf.where(happens, tf.gather([names.index(name) for name, _, _ in entries], drawn), 0)
    matrices = tf.where(happens[..., None, None], matrices, np.eye(2, 3, dtype=np.float32))

    def layer(images: tf.Tensor, own: tuple) -> tf.Tensor:
        operation, strength, matrix = own
        return operations.move(operations.tone(images, names, operation, strength), matrix[None])

    # A loop: XLA would fuse two layers in a row, and compute the first again for each pixel that the second reads.
    changed = tf.foldl(layer, (chosen, strengths, matrices), whole(images))
    return tf.cast(changed, images.dtype), labels


def _tables(levels: list[tuple[str, float]], images: tf.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return strengths (2 * entries,) and matrices (2 * entries, 2, 3) of (name, level): an entry for each sign."""
    signed = [(name, level, sign) for name, level in levels for sign in SIGNS]
    strengths = np.array([operations.strength(*entry) for entry in signed], np.float32)
    return strengths, np.array([operations.matrix(*entry, *images.shape[1:3]) for entry in signed])
