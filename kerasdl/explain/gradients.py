"""Outputs of a model and their gradients by one of its inputs, in batches of one size."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasdl.gradients import compiled, value_and_gradient

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
        self._outputs, self._gradients = compiled(model, self._answers), compiled(model, self._slopes)

    def _answers(self, *inputs: Any) -> Any:
        return self.model(inputs[0] if len(inputs) == 1 else list(inputs), training=False)

    def _slopes(self, hot: Any, *inputs: Any) -> tuple[Any, Any]:
        def chosen(x):
            return score(self._answers(*inputs[:self.by], x, *inputs[self.by + 1:]), hot), ()

        value, _, gradient = value_and_gradient(chosen, inputs[self.by])
        return value, gradient

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


def score(answers: Any, hot: Any) -> Any:
    """Return the chosen output (B,) of answers (B, K) by one-hot rows."""
    return ops.sum(ops.cast(answers, "float32") * hot, axis=-1)
