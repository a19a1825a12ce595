"""The model that is attacked: its compiled calls, and batches of one size."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasdl.attacks import losses
from kerasdl.errors import UserError
from kerasdl.gradients import compiled, ends_in_softmax

BATCH = 128


class Attacked:
    """A classifier that is attacked: raw images (B, H, W, C), 0..255, -> logits (B, classes).

    Args:
        model: the classifier, with its own scaling of the pixels inside.
        batch: images at a time; all calls have this size, so that each is compiled once.

    Raises:
        UserError: it ends in a softmax, whose gradient would look as if the model hid it.
    """

    def __init__(self, model: keras.Model, batch: int = BATCH):
        if ends_in_softmax(model):
            raise UserError(f"An attack is on logits, and {model.name} ends in a softmax. Take it out.")
        self.model, self.batch = model, batch
        self._made: dict[Any, Callable] = {}

    @classmethod
    def of(cls, model: "keras.Model | Attacked") -> "Attacked":
        """Return a model as one that is attacked; what is compiled for it already is kept."""
        return model if isinstance(model, cls) else cls(model)

    @property
    def classes(self) -> int:
        """How many classes it knows."""
        return int(self.model.output_shape[-1])

    def answers(self, x: Any) -> Any:
        """Return the logits of a batch, as in inference: batch normalisation with its own statistics, no dropout."""
        return ops.cast(self.model(x, training=False), "float32")

    def cross_entropy(self, x: Any, rows: Any) -> tuple[Any, Any]:
        """Return the cross-entropy (B,) of a batch with its targets (B, classes), and its logits."""
        logits = self.answers(x)
        return losses.cross_entropy(logits, rows), logits

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Return the logits (N, classes) of images (N, H, W, C)."""
        if not len(x):
            return np.zeros((0, self.classes), "float32")
        return self.run("logits", self.answers, [x.astype("float32")])[0]

    def right(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return which answers are right, (N,) bool. An answer of equal logits is that of the lowest class."""
        return self.logits(x).argmax(1) == y

    def rows(self, y: np.ndarray) -> np.ndarray:
        """Return classes (N,) one-hot (N, classes), float32."""
        return np.eye(self.classes, dtype="float32")[y]

    def retried(self, x: np.ndarray, y: np.ndarray, attempts: Sequence[Callable[[np.ndarray], np.ndarray]]
                ) -> np.ndarray:
        """Return images after attempts in turn, each of which is for those that are still answered correctly.

        Args:
            x: images (N, H, W, C).
            y: their classes (N,).
            attempts: places of images -> what an attack makes of these.
        """
        found, left = x.copy(), np.flatnonzero(self.right(x, y))
        for attempt in attempts:
            if not len(left):
                break
            found[left] = attempt(left)
            left = left[self.right(found[left], y[left])]
        return found

    def run(self, name: Any, function: Callable, arrays: Sequence[np.ndarray], *shared: Any) -> list[np.ndarray]:
        """Return what a function gives for arrays of N rows each, in batches of one size.

        Args:
            name: what the compiled function is kept by; the same name is the same function.
            function: of tensors, a batch of each array and then `shared`; gives one tensor or several with B rows.
            arrays: (N, ...) each, N > 0.
            *shared: numbers and arrays that are the same for every batch.
        """
        made = self._made.setdefault(name, compiled(self.model, function))
        parts = []
        numbers = [np.asarray(number, "float32") for number in shared]
        for start in range(0, len(arrays[0]), self.batch):
            rows = np.minimum(np.arange(start, start + self.batch), len(arrays[0]) - 1)  # the last one fills it up
            found = made(*(array[rows] for array in arrays), *numbers)
            parts.append([ops.convert_to_numpy(values) for values in
                          (found if isinstance(found, (tuple, list)) else (found,))])
        return [np.concatenate(values)[:len(arrays[0])] for values in zip(*parts, strict=True)]
