"""The averaged network: an exponential moving average of every weight, batch-norm statistics included.

Keras' `use_ema` averages trainable variables only, and so pairs averaged kernels with the statistics of the last ones.
And it is made of optimizer slots that callbacks swap in and out; here the average is an ordinary network of its own.
"""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from kerasdl.zoo.precision import with_weights


def copy(network: keras.Model) -> keras.Model:
    """Return the same architecture with weights of its own, equal to the network's now."""
    return with_weights(keras.models.clone_model(network), network)


class Averager:
    """Move `average`'s weights towards `network`'s each step. A plain object, so that Keras does not track it."""

    def __init__(self, network: keras.Model, average: keras.Model, decay: float):
        self.decay = decay
        pairs = zip(average.variables, network.variables, strict=True)
        still = {id(weight) for layer in network.layers if not layer.trainable for weight in layer.weights}
        self.pairs = [(slow, fast) for slow, fast in pairs if "float" in slow.dtype and id(fast) not in still]

    def update(self, step) -> None:
        """Move in a replica after a step.

        The first steps weigh more, min(decay, (1 + step) / (10 + step)), or the start would linger.
        """
        tf.distribute.get_replica_context().merge_call(self._move, args=(self.share(step),))

    def share(self, step):
        """Return which part of the way to the network the average moves in this step."""
        step = ops.cast(step, "float32")
        return 1 - ops.minimum(self.decay, (1 + step) / (10 + step))

    def updated(self, values: Mapping[int, Any], step: Any) -> dict[int, Any]:
        """Return new values of variables after a step, {id: value}, with the average moved, on JAX."""
        share = self.share(step)
        return {**values, **{id(slow): values[id(slow)] + share * (values[id(fast)] - values[id(slow)])
                             for slow, fast in self.pairs}}

    def _move(self, strategy, share) -> None:
        """Move each replica's own copy, which is the same everywhere: an assignment in a replica would be summed."""
        for slow, fast in self.pairs:
            strategy.extended.update(slow.value, lambda slow, fast, share: slow.assign(slow + share * (fast - slow)),
                                     args=(fast.value, share), group=False)
