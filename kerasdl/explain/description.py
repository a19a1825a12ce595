"""Explain a model as a whole: what it depends on over many examples, or what its filters look for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from kerasdl.errors import UserError
from kerasdl.explain import methods
from kerasdl.explain.explanation import check_settings
from kerasdl.explain.network import Network


@dataclass(frozen=True)
class Material:
    """What a description may read besides the model.

    Attributes:
        x: (N, ...) examples that the model did not learn from; None: there are none.
        y: (N,) class indices, (N, labels) of 0 and 1, or (N, outputs) numbers.
        classes: their names; empty of numbers.
        columns: of rows, {column: its categories, or None for a number}, in the order of x.
        shape: of an example, for models that take sequences of any length.
        seed: of all that is random.
        offsets: of rows, {column: what was subtracted from its numbers}.
        numbers: the names of several numbers; empty where they have none.
    """

    x: np.ndarray | None = None
    y: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    columns: Mapping[str, list[str] | None] = field(default_factory=dict)
    shape: tuple[int, ...] = ()
    seed: int = 0
    offsets: Mapping[str, float] = field(default_factory=dict)
    numbers: tuple[str, ...] = ()

    @property
    def several(self) -> bool:
        """Whether an example has several labels."""
        return bool(self.classes) and self.y is not None and self.y.ndim == 2

    def named(self, index: int) -> str:
        """Return the name of a class or of a number, or of an output without one."""
        names = self.classes or self.numbers
        return names[index] if index < len(names) else f"output {index + 1}"

    def blocks(self) -> dict[str, slice]:
        """Return the places of each column: one of a number, several of a text."""
        if self.x is None:
            return {}
        columns = self.columns or {f"x{place}": None for place in range(self.x.shape[1])}
        found, start = {}, 0
        for name, categories in columns.items():
            found[name] = slice(start, start + (len(categories) if categories else 1))
            start = found[name].stop
        return found


def describe(model: keras.Model | Network, method: str, material: Material | None = None, *, kind: str | None = None,
             **settings: Any) -> dict[str, np.ndarray]:
    """Return arrays by name: what a method says of a model as a whole; see the method's `describe`.

    Args:
        model: a model of the zoo, or another one that takes raw examples and gives logits (B, K).
        method: a file of kerasdl/explain/methods that explains a model.
        material: examples and names; which ones a method needs is in its `NEEDS`.
        kind: "image", "row", "sequence" or "tokens"; None: by the name of the model's input.
        **settings: of the method.

    Raises:
        UserError: an unknown method, one that does not fit the model or explains examples, or one that needs labels.
    """
    network, material = model if isinstance(model, Network) else Network(model, kind), material or Material()
    module = methods.check(method, network)
    if methods.is_attribution(module):
        raise UserError(f"{method} explains answers for examples: kerasdl.explain(model, x, {method!r}).")
    if module.NEEDS and (material.x is None or material.y is None):
        raise UserError(f"{method} needs examples and their labels: Material(x=..., y=...).")
    check_settings(method, module.describe, settings)
    return module.describe(network, material, **settings)
