"""What may vary in a search: a dimension is a choice or a range, perhaps only under a condition. It is data, and light.

A dimension knows the values that the user wrote, and the keras-tuner hyperparameter that stands for it. keras-tuner
counts a range with a step wrongly (hp.Float(0, 1, step=.2) never gives 1), makes numbers of booleans, and takes neither
tuples nor mixed types, so what is not a plain number or word is there a choice of labels.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from kerasdl.errors import UserError

Conditions = tuple[tuple[str, tuple[Any, ...]], ...]  # (key of the space, values at which the dimension is active)


def choice(*values: Any) -> "Choice":
    """One of these values: words, numbers, booleans, None or tuples, mixed as you like.

    The Bayesian oracle takes numbers of one type in the order of their size, and anything else as categories.

    Raises:
        UserError: without a value, with one twice, or with what cannot be compared, such as a dictionary.
    """
    values = tuple(frozen(value) for value in values)
    if wrong := [value for value in values if not isinstance(value, Hashable)]:
        raise UserError(f"A choice has words, numbers, booleans, None or tuples. Received: {wrong[0]!r}.")
    if not values:
        raise UserError("A choice needs values: choice(64, 128). Received: choice().")
    labels = [repr(value) for value in values]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice:
        raise UserError(f"A choice has each value once. Received {twice} twice.")
    return Choice(values=values)


def uniform(low: float, high: float, step: float | None = None) -> "Uniform":
    """A float from low to high, both included; with a step only low, low + step, ..., high.

    Raises:
        UserError: if low is above high, or the steps do not arrive at high.
    """
    low, high = _ends("uniform", low, high)
    if step is not None:
        if not _number(step) or step <= 0:
            raise UserError(f"uniform: a step is a number above 0. Received: {step!r}.")
        if (Decimal(repr(high)) - Decimal(repr(low))) % Decimal(repr(float(step))):
            raise UserError(f"uniform({low:g}, {high:g}, step={step:g}) does not arrive at {high:g}: "
                            "choose the ends so that they are a whole number of steps apart.")
        step = float(step)
    return Uniform(low=low, high=high, step=step)


def log(low: float, high: float) -> "Log":
    """A float from low to high, both included, of which every factor is as likely: for learning rates.

    Raises:
        UserError: if low is above high, or not above 0.
    """
    low, high = _ends("log", low, high)
    if low <= 0:
        raise UserError(f"log: factors are above 0. Received: log({low:g}, {high:g}). Raise low, or use uniform.")
    return Log(low=low, high=high)


def integer(low: int, high: int, step: int = 1, log: bool = False) -> "Integer":
    """A whole number from low to high, both included; with `log` every factor is as likely.

    Raises:
        UserError: for what is not a whole number, low above high, log at or below 0, or steps that miss high.
    """
    for value in (low, high, step):
        if type(value) is not int:
            raise UserError(f"integer: expected whole numbers. Received: {value!r} ({type(value).__name__}).")
    _ends("integer", low, high)
    if step < 1 or (high - low) % step:
        raise UserError(f"integer({low}, {high}, step={step}) does not arrive at {high}: "
                        "choose the ends so that they are a whole number of steps apart.")
    if log and (low <= 0 or step != 1):
        raise UserError(f"integer: a range of factors is above 0 and has no step. Received: low={low}, step={step}.")
    return Integer(low=low, high=high, step=step, log=log)


@dataclass(frozen=True)
class Dimension:
    """What all have: conditions. Made by choice, uniform, log and integer, which check."""

    conditions: Conditions = ()

    def when(self, conditions: dict[str, Any] | None = None, /, **more: Any) -> "Dimension":
        """The same dimension, active only while the other fields have these values: `.when(optimizer="sgd")`.

        A value is one, or a list of several. A key with a dot needs a dictionary: `.when({"model_args.size": "S"})`.

        Raises:
            UserError: for an empty list, or a field that has a condition already.
        """
        given = {**(conditions or {}), **more}
        for key, values in given.items():
            if values == []:
                raise UserError(f".when({key}=[]) can never be.")
            if key in dict(self.conditions):
                raise UserError(f"There is a condition on {key} already. Write all its values in one list.")
        added = tuple((key, tuple(map(frozen, values)) if isinstance(values, list) else (frozen(values),))
                      for key, values in given.items())
        return replace(self, conditions=self.conditions + added)

    def options(self) -> tuple[Any, ...] | None:
        """All its values in order; None if they are without number."""
        raise NotImplementedError

    def hyperparameter(self, name: str, conditions: list) -> Any:
        """The keras-tuner hyperparameter."""
        raise NotImplementedError

    def label(self, value: Any) -> Any:
        """What stands in keras-tuner for a value."""
        return value

    def value(self, label: Any) -> Any:
        """What the user wrote, from what stands in keras-tuner."""
        return label

    def describe(self) -> dict[str, Any]:
        """As JSON: its kind, and what is not at the default."""
        fields = {key: value for key, value in vars(self).items() if key != "conditions"}
        when = {key: list(values) for key, values in self.conditions}
        return {"kind": type(self).__name__.lower(), **fields, **({"when": when} if when else {})}

    def __str__(self) -> str:
        kind, parts = type(self).__name__.lower(), {k: v for k, v in vars(self).items() if k != "conditions"}
        if kind == "choice":
            inside = ", ".join(map(repr, parts["values"]))
        else:
            inside = ", ".join([f"{parts.pop('low'):g}", f"{parts.pop('high'):g}",
                                *(f"{key}={value!r}" for key, value in parts.items()
                                  if value not in (None, False) and (key, value) != ("step", 1))])
        when = ", ".join(f"{key}={' or '.join(map(repr, values))}" for key, values in self.conditions)
        return f"{kind}({inside})" + (f" when {when}" if when else "")


@dataclass(frozen=True)
class Choice(Dimension):
    values: tuple[Any, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether keras-tuner takes the values as they are: one of its types."""
        return len({type(value) for value in self.values}) == 1 and type(self.values[0]) in (int, float, str)

    def options(self):
        return self.values

    def hyperparameter(self, name, conditions):
        from keras_tuner.engine import hyperparameters

        return hyperparameters.Choice(name, [self.label(value) for value in self.values], conditions=conditions)

    def label(self, value):
        return value if self.plain else repr(value)

    def value(self, label):
        return next(value for value in self.values if self.label(value) == label)


@dataclass(frozen=True)
class Uniform(Dimension):
    low: float = 0.0
    high: float = 1.0
    step: float | None = None

    def options(self):
        if self.step is None:
            return (self.low,) if self.low == self.high else None
        low, high, step = (Decimal(repr(number)) for number in (self.low, self.high, self.step))
        return tuple(float(low + index * step) for index in range(int((high - low) / step) + 1))

    def hyperparameter(self, name, conditions):
        from keras_tuner.engine import hyperparameters

        options = self.options()
        if options:
            return hyperparameters.Choice(name, list(options), ordered=True, conditions=conditions)
        return hyperparameters.Float(name, self.low, self.high, conditions=conditions)

    def value(self, label):
        return min(max(float(label), self.low), self.high)


@dataclass(frozen=True)
class Log(Dimension):
    low: float = 1e-3
    high: float = 1.0

    def options(self):
        return (self.low,) if self.low == self.high else None

    def hyperparameter(self, name, conditions):
        from keras_tuner.engine import hyperparameters

        return hyperparameters.Float(name, self.low, self.high, sampling="log", conditions=conditions)

    def value(self, label):
        return min(max(float(label), self.low), self.high)  # low * (high / low) ** 1 may round above high


@dataclass(frozen=True)
class Integer(Dimension):
    low: int = 0
    high: int = 1
    step: int = 1
    log: bool = False

    def options(self):
        return tuple(range(self.low, self.high + 1, self.step))

    def hyperparameter(self, name, conditions):
        from keras_tuner.engine import hyperparameters

        if self.log:
            return hyperparameters.Int(name, self.low, self.high, sampling="log", conditions=conditions)
        return hyperparameters.Int(name, self.low, self.high, step=self.step, conditions=conditions)

    def value(self, label):
        return min(max(int(label), self.low), self.high)


KINDS = {kind.__name__.lower(): kind for kind in (Choice, Uniform, Log, Integer)}


def from_json(fields: dict[str, Any]) -> Dimension:
    """The dimension that `describe` described."""
    fields = dict(fields)
    kind, when = KINDS[fields.pop("kind")], fields.pop("when", {})
    conditions = tuple((key, tuple(map(frozen, values))) for key, values in when.items())
    return kind(conditions=conditions, **{key: frozen(value) for key, value in fields.items()})


def _ends(kind: str, low: Any, high: Any) -> tuple[float, float]:
    if not (_number(low) and _number(high)):
        raise UserError(f"{kind}: expected two numbers. Received: {low!r}, {high!r}.")
    if low > high:
        raise UserError(f"{kind}: low is above high. Received: {kind}({low!r}, {high!r}). Turn them round.")
    return float(low), float(high)


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def frozen(value: Any) -> Hashable:
    """Lists as tuples, at every depth, and NumPy's numbers as Python's: JSON knows no others."""
    if isinstance(value, (list, tuple)):
        return tuple(frozen(part) for part in value)
    return value.item() if getattr(value, "shape", None) == () else value
