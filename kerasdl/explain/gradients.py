"""Outputs of a model and their gradients by one of its inputs, in batches of one size, on TensorFlow and JAX.

What differs between the two backends is in `value_and_gradient`, `_on_tensorflow` and `_on_jax`.
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


def value_and_gradient(function: Callable[[Any], Any], x: Any) -> tuple[Any, Any]:
    """Return a function's numbers for each example (B,), and the gradient of each by that example, as tensors.

    It may stand in a loss, whose own gradient then passes through this one.
    """
    if keras.backend.backend() == "jax":
        import jax

        def total(x):
            values = function(x)
            return ops.sum(values), values

        (_, values), gradient = jax.value_and_grad(total, has_aux=True)(x)
        return values, gradient
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        values = function(x)
    return values, tape.gradient(values, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def score(answers: Any, hot: Any) -> Any:
    """Return the chosen output (B,) of answers (B, K) by one-hot rows."""
    return ops.sum(ops.cast(answers, "float32") * hot, axis=-1)


def _parts(call: Callable[[Any], Any], by: int) -> tuple[Callable, Callable]:
    """Return what is compiled, of a call of the model: (*inputs) -> answers, and (hot, *inputs) -> score, gradient."""
    def given(inputs):
        return inputs[0] if len(inputs) == 1 else list(inputs)

    def gradients(hot, *inputs):
        return value_and_gradient(
            lambda x: score(call(given((*inputs[:by], x, *inputs[by + 1:]))), hot), inputs[by])

    return lambda *inputs: call(given(inputs)), gradients


def _on_tensorflow(model: keras.Model, by: int) -> tuple[Callable, Callable]:
    import tensorflow as tf

    def compiled(function):
        graph = tf.function(function, reduce_retracing=True, autograph=False)
        return lambda *arrays: graph(*map(tf.convert_to_tensor, arrays))

    outputs, gradients = _parts(lambda x: model(x, training=False), by)
    return compiled(outputs), compiled(gradients)


def _on_jax(model: keras.Model, by: int) -> tuple[Callable, Callable]:
    import jax

    def compiled(place):
        def pure(weights, *arrays):  # which would be constants of the compiled function
            return _parts(lambda x: model.stateless_call(*weights, x, training=False)[0], by)[place](*arrays)

        fast = jax.jit(pure)
        return lambda *arrays: fast([[weight.value for weight in weights] for weights in (
            model.trainable_variables, model.non_trainable_variables)], *arrays)

    return compiled(0), compiled(1)
