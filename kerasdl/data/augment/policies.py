"""Policies that draw operations for each image: RandAugment, AutoAugment and AugMix."""

import numpy as np
import tensorflow as tf

from kerasdl.data.augment import operations
from kerasdl.data.augment.autoaugment_tables import POLICIES
from kerasdl.data.augment.draws import Batch, batch_size, integers, split, whole

SIGNS = (-1, 1)
RANDAUGMENT = ("identity", "autocontrast", "equalize", "solarize", "posterize", "color", "contrast", "brightness",
               "sharpness", "rotate", "shear_x", "shear_y", "translate_x", "translate_y")  # the order fixes the draws
AUGMIX = ("autocontrast", "equalize", "posterize", "solarize", "rotate", "shear_x", "shear_y", "translate_x",
          "translate_y")  # none of brightness, contrast, colour and sharpness, which are test corruptions
CHAINS, LONGEST = 3, 3  # of AugMix, and operations of a chain
EXPONENTIAL = np.round(-64 * np.log((np.arange(4096) + 0.5) / 4096)).clip(1).astype("float32")  # draws, by quantiles:
# divided by their sum, some of them are one of Dirichlet(1, ..., 1). Whole numbers, so that every sum is exact.


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


def augmix(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, magnitude: float = 9) -> Batch:
    """Mix each image with three versions of itself, each by a chain of operations (Hendrycks et al., 2020).

    A chain has one to three operations. The versions are mixed with weights ~ Dirichlet(1, 1, 1), and their mixture
    with the image by a share ~ Beta(1, 1).

    Departures: the paper's loss, which compares the answers to two mixtures of an image, is left out; every operation
    has the same magnitude, where the paper draws one; moves are as in `randaugment`. The result is rounded to whole
    numbers.

    Args:
        magnitude: strength, 0 (only autocontrast and equalize still act) to 30.
    """
    for_operation, for_sign, for_length, for_weight, for_share = split(seed, 5)
    batch = batch_size(images)
    drawn = integers(for_operation, (CHAINS, LONGEST, batch), 0, len(AUGMIX)) + 1  # 0 is the identity
    length = integers(for_length, (CHAINS, 1, batch), 1, LONGEST + 1)
    drawn = tf.where(tf.range(LONGEST)[None, :, None] < length, drawn, 0)
    variant = len(SIGNS) * drawn + integers(for_sign, (CHAINS, LONGEST, batch), 0, len(SIGNS))
    names = ("identity", *AUGMIX)
    tables = _tables([(name, magnitude / 30) for name in names], images)
    strengths, matrices = (tf.gather(table, variant) for table in tables)
    weights = tf.gather(EXPONENTIAL, integers(for_weight, (CHAINS, batch), 0, len(EXPONENTIAL)))[..., None, None, None]
    share = tf.cast(integers(for_share, (batch, 1, 1, 1), 0, 257), tf.float32)  # in 256ths
    own = whole(images)

    def chain(mixed: tf.Tensor, one: tuple) -> tf.Tensor:
        operation, strength, matrix, weight = one
        changed = own
        for place in range(LONGEST):
            changed = operations.tone(changed, names, operation[place], strength[place])
        return mixed + weight * operations.move(changed, matrix)

    # A loop, as in `autoaugment`.
    mixed, total = tf.foldl(chain, (drawn, strengths, matrices, weights), tf.zeros_like(own)), tf.reduce_sum(weights, 0)
    mixed = tf.floor((2 * mixed + total + 0.5) / (2 * total))
    return tf.cast(whole((share * own + (256 - share) * mixed) / 256), images.dtype), labels


def _tables(levels: list[tuple[str, float]], images: tf.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return strengths (2 * entries,) and matrices (2 * entries, 2, 3) of (name, level): an entry for each sign."""
    signed = [(name, level, sign) for name, level in levels for sign in SIGNS]
    strengths = np.array([operations.strength(*entry) for entry in signed], np.float32)
    return strengths, np.array([operations.matrix(*entry, *images.shape[1:3]) for entry in signed])
