"""The dimensions of a search space: a choice or a range, active always or under conditions. Importing this is light.

A dimension lists its values, where they can be counted, and maps the unit interval to values and back. The first is
what samplers draw from, the second what models of the scores see.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from kerasdl.errors import UserError

Conditions = tuple[tuple[str, tuple[Any, ...]], ...]  # (key of the space, values at which the dimension is active)


def choice(*values: Any) -> "Choice":
    """Return a choice among values: words, numbers, booleans, None or tuples, mixed as you like.

    The Bayesian oracle orders numbers of one type by their size, and treats anything else as categories.

    Raises:
        UserError: without a value, with a value twice, or with one that is not hashable, such as a dictionary.
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
    """Return a range of floats from low to high, both included; with a step: low, low + step, ..., high.

    Raises:
        UserError: if low is above high, or no step ends at high.
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
    """Return a range of floats on a logarithmic scale, both ends included: for learning rates and decays.

    Raises:
        UserError: if low is above high, or not above 0.
    """
    low, high = _ends("log", low, high)
    if low <= 0:
        raise UserError(f"log: factors are above 0. Received: log({low:g}, {high:g}). Raise low, or use uniform.")
    return Log(low=low, high=high)


def integer(low: int, high: int, step: int = 1, log: bool = False) -> "Integer":
    """Return a range of whole numbers, both ends included; `log` puts them on a logarithmic scale.

    Raises:
        UserError: for a number that is not whole, low above high, log at or below 0, or steps that miss high.
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
    """What all dimensions have: conditions. Make one with choice, uniform, log or integer, which check."""

    conditions: Conditions = ()

    def when(self, conditions: dict[str, Any] | None = None, /, **more: Any) -> "Dimension":
        """Return the dimension, active only while other fields have these values: `.when(optimizer="sgd")`.

        A value is one, or a list of several. A key with a dot needs a dictionary: `.when({"model_args.size": "S"})`.

        Raises:
            UserError: for an empty list, or a field that already has a condition.
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

    def active(self, values: Mapping[str, Any]) -> bool:
        """Return whether the conditions hold for a trial's values."""
        return all(parent in values and any(same(values[parent], value) for value in allowed)
                   for parent, allowed in self.conditions)

    def options(self) -> Sequence[Any] | None:
        """Return all values in the order they were written; None for a continuous range."""
        raise NotImplementedError

    @property
    def ordered(self) -> bool:
        """Whether the values are numbers whose order means something, and not categories."""
        return True

    @property
    def even(self) -> bool:
        """Whether counted values are equally far apart to a sampler; not those on a logarithmic scale."""
        return True

    def from_unit(self, u: float) -> Any:
        """Return the value at u in 0..1."""
        options = self.options() or ()
        return options[unit_index(u, len(options))]

    def to_unit(self, value: Any) -> float:
        """Return where in 0..1 a value is: in the middle of its share."""
        options = self.options() or ()
        return (index_of(value, options) + 0.5) / len(options)

    def describe(self) -> dict[str, Any]:
        """Return the dimension as JSON: its kind, and its settings."""
        fields = {key: value for key, value in vars(self).items()
                  if key != "conditions" and value is not None and value is not False}
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
    """One of some values. `categorical`: treat numbers as categories, too."""

    values: tuple[Any, ...] = ()
    categorical: bool = False

    @property
    def ordered(self):
        kinds = {type(value) for value in self.values}
        return not self.categorical and len(kinds) == 1 and kinds <= {int, float}

    def options(self):
        return self.values


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

    def from_unit(self, u):
        if self.options():
            return super().from_unit(u)
        return clip(u * (self.high - self.low) + self.low, self.low, self.high)

    def to_unit(self, value):
        if self.options():
            return super().to_unit(value)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Log(Dimension):
    low: float = 1e-3
    high: float = 1.0

    def options(self):
        return (self.low,) if self.low == self.high else None

    def from_unit(self, u):
        return clip(self.low * math.pow(self.high / self.low, u), self.low, self.high)  # the power may round upwards

    def to_unit(self, value):
        return math.log(value / self.low) / math.log(self.high / self.low) if self.low < self.high else 0.5


@dataclass(frozen=True)
class Integer(Dimension):
    low: int = 0
    high: int = 1
    step: int = 1
    log: bool = False

    @property
    def even(self):
        return not self.log

    def options(self):
        return range(self.low, self.high + 1, self.step)

    def from_unit(self, u):
        if not self.log:
            return super().from_unit(u)
        return clip(int(self.low * math.pow((self.high + 1) / self.low, u)), self.low, self.high)

    def to_unit(self, value):
        if not self.log:
            return super().to_unit(value)
        return math.log((value + 0.5) / self.low) / math.log((self.high + 1) / self.low)


KINDS: dict[str, Callable[..., Dimension]] = {kind.__name__.lower(): kind for kind in (Choice, Uniform, Log, Integer)}


def from_json(fields: dict[str, Any]) -> Dimension:
    """Return the dimension that `describe` described."""
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
    """Return lists as tuples, at every depth, and NumPy's numbers as Python's, so that JSON can hold them."""
    if isinstance(value, (list, tuple)):
        return tuple(frozen(part) for part in value)
    return value.item() if getattr(value, "shape", None) == () else value


def same(one: Any, other: Any) -> bool:
    """Return whether two values are the same, at every depth: True is not 1, and 1 is not 1.0."""
    return repr(one) == repr(other)


def index_of(value: Any, options: Sequence[Any]) -> int:
    """Return the place of a value among options, which may hold both True and 1."""
    if isinstance(options, range) and type(value) is int:  # of a billion, perhaps
        return options.index(value)
    return next(index for index, option in enumerate(options) if same(option, value))


def ascending(options: Sequence[Any]) -> Sequence[Any]:
    """Return numbers in their order. A range has it, and may be too long for a list."""
    return options if isinstance(options, range) else sorted(options)


def unit_index(u: float, count: int) -> int:
    """Return which of `count` equal parts of 0..1 holds u."""
    return min(math.floor(u / (1 / count)), count - 1)


def clip(value: Any, low: Any, high: Any) -> Any:
    return min(max(value, low), high)
