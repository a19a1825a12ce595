"""Poisson sampling: each example is in a step's batch with the same chance, whatever the others do.

It is what the accounts of differentially private training assume. Which examples a step has follows from (seed, step).
A batch has a fixed number of places, of which those that stay empty hold the index of no example.
"""

from collections.abc import Callable
from fractions import Fraction

import tensorflow as tf

OVERFLOW = 1e-15  # the chance that a step has more examples than places; those that are left over are not learned from
STREAM = 1100  # of kerasdl.data.pipeline.key
LOWEST, VALUES = -2**63, 2**64  # of an int64


def capacity(size: int, batch: int, multiple: int = 1) -> int:
    """Return the places of a batch.

    Args:
        size: examples of the split.
        batch: how many of them a step has on average.
        multiple: what the number of places is a multiple of.
    """
    from scipy.stats import binom

    places = min(size, int(binom.isf(OVERFLOW, size, batch / size)) + 1)
    return -(-places // multiple) * multiple


def drawer(seed: int, size: int, batch: int, places: int, key: Callable) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function from a step to its examples, ascending int64 (places,); `size` is that of an empty place.

    Args:
        seed: of the run.
        size: examples of the split.
        batch: how many of them a step has on average.
        places: of a batch.
        key: kerasdl.data.pipeline.key.
    """
    below = min(LOWEST + int(Fraction(batch, size) * VALUES), LOWEST + VALUES - 1)

    def draw(step: tf.Tensor) -> tf.Tensor:
        draws = tf.random.stateless_uniform((size,), key(seed, step, STREAM), None, None, tf.int64, alg="philox")
        taken = tf.where(draws < below)[:places, 0]
        found = tf.pad(taken, [[0, places - tf.shape(taken)[0]]], constant_values=size)
        return tf.ensure_shape(found, (places,))

    return draw


def there(index: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return indices that can be looked up, and float32 1 for an example and 0 for an empty place."""
    return tf.minimum(index, size - 1), tf.cast(index < size, tf.float32)
