"""Outputs of a model and their gradients by one of its inputs, in batches of one size, on TensorFlow and JAX.

What differs between the two backends is in `_on_tensorflow` and `_on_jax`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

BATCH = 64


class Differentiable:
    """A model whose outputs (B, K) are differentiated by one of its inputs. Weights are read at each call.

    Args:
        model: of one input or several; without dropout, and batch normalisation has its moving statistics.
        by: the place of the input among `model.inputs`.
        batch: how many examples at once.
    """

    def __init__(self, model: keras.Model, by: int = 0, batch: int = BATCH):
        self.model, self.by, self.batch = model, by, batch
        compiled = _on_jax if keras.backend.backend() == "jax" else _on_tensorflow
        self._outputs, self._gradients = compiled(model, by)

    def outputs(self, *inputs: np.ndarray) -> np.ndarray:
        """Return the model's answers, (N, ...) float32."""
        return batched(lambda *some: (self._outputs(*some),), inputs, self.batch)[0]

    def gradients(self, target: np.ndarray, *inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the output of each example's target (N,), and its gradient by the input, as that is shaped; float32.

        Args:
            target: (N,) which of the K outputs.
            inputs: of the model.
        """
        hot = np.eye(self.model.output_shape[-1], dtype="float32")[target]
        score, gradient = batched(self._gradients, (hot, *inputs), self.batch)
        return score, gradient


def batched(call: Callable[..., Sequence[Any]], arrays: Sequence[np.ndarray], size: int) -> tuple[np.ndarray, ...]:
    """Call a function of arrays (B, ...) on parts of some (N, ...), and return its results joined, float32.

    The last part is filled up with copies of its last example, because each new size would be compiled.
    """
    parts = []
    for start in range(0, len(arrays[0]), size):
        some = [array[start:start + size] for array in arrays]
        count = len(some[0])
        if start and count < size:
            some = [np.concatenate([array, np.repeat(array[-1:], size - count, axis=0)]) for array in some]
        parts.append([np.asarray(ops.convert_to_numpy(found), "float32")[:count] for found in call(*some)])
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _score(answers, hot):
    return ops.sum(ops.cast(answers, "float32") * hot, axis=-1)


def _given(inputs):
    return inputs[0] if len(inputs) == 1 else list(inputs)


def _on_tensorflow(model: keras.Model, by: int) -> tuple[Callable, Callable]:
    import tensorflow as tf

    @tf.function(reduce_retracing=True, autograph=False)
    def outputs(*inputs):
        return model(_given(inputs), training=False)

    @tf.function(reduce_retracing=True, autograph=False)
    def gradients(hot, *inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs[by])
            score = _score(model(_given(inputs), training=False), hot)
        return score, tape.gradient(score, inputs[by], unconnected_gradients=tf.UnconnectedGradients.ZERO)

    def of_tensors(function):
        return lambda *arrays: function(*map(tf.convert_to_tensor, arrays))

    return of_tensors(outputs), of_tensors(gradients)


def _on_jax(model: keras.Model, by: int) -> tuple[Callable, Callable]:
    import jax

    def answers(weights, inputs):
        return model.stateless_call(*weights, _given(inputs), training=False)[0]

    def gradients(weights, hot, *inputs):
        def total(x):
            score = _score(answers(weights, [*inputs[:by], x, *inputs[by + 1:]]), hot)
            return ops.sum(score), score

        (_, score), gradient = jax.value_and_grad(total, has_aux=True)(inputs[by])
        return score, gradient

    compiled = jax.jit(lambda weights, *inputs: answers(weights, inputs)), jax.jit(gradients)

    def with_weights(function):
        return lambda *arrays: function([[weight.value for weight in weights] for weights in (
            model.trainable_variables, model.non_trainable_variables)], *arrays)

    return with_weights(compiled[0]), with_weights(compiled[1])
