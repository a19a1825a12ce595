"""A space that keras-tuner describes, as dimensions with exact values.

keras-tuner counts some ranges wrongly: hp.Float(0, 1, step=.2) never gives 1, and hp.Int(2, 32, step=2, sampling="log")
gives floats. Here a range with a step is a choice of its exact values.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

from keras_tuner import HyperParameters
from keras_tuner.engine import hyperparameters as kinds

from kerasdl.tuning.dimensions import Choice, Dimension, Integer, Log, Uniform, clip
from kerasdl.tuning.records import Space


def dimensions(hps: HyperParameters) -> Space:
    """Return (name, dimension) of each hyperparameter, with the conditions under which it is active."""
    space: dict[str, Dimension] = {}
    for hp in hps.space:
        conditions = []
        for condition in hp.conditions:
            parent = space.get(condition.name)
            options = (parent.options() if parent else None) or condition.values
            conditions.append((condition.name, tuple(value for value in options if value in condition.values)))
        space[hp.name] = replace(dimension(hp), conditions=tuple(conditions))
    return list(space.items())


def dimension(hp: kinds.HyperParameter) -> Dimension:
    """Return the dimension of a hyperparameter, without its conditions."""
    if isinstance(hp, kinds.Fixed):
        return Choice(values=(hp.value,))
    if isinstance(hp, kinds.Boolean):
        return Choice(values=(False, True))
    if isinstance(hp, kinds.Choice):
        return Choice(values=tuple(hp.values), categorical=not hp.ordered)
    low, high, whole = hp.min_value, hp.max_value, isinstance(hp, kinds.Int)
    if hp.sampling == "linear" and whole:
        return Integer(low=low, high=low + (high - low) // hp.step * hp.step, step=hp.step)
    if hp.step is not None:
        return Choice(values=steps(hp))
    if hp.sampling == "linear":
        return Uniform(low=low, high=high)
    if hp.sampling == "log":
        return Integer(low=low, high=high, log=True) if whole else Log(low=low, high=high)
    return ReverseLog(low=low, high=high, hp=hp)


def steps(hp: kinds.HyperParameter) -> tuple[Any, ...]:
    """Return the exact values of a range with a step: added, or multiplied on a logarithmic scale."""
    low, high = hp.min_value, hp.max_value
    if hp.sampling == "linear":
        count = math.floor((high - low) / hp.step + 1e-9)
        values = [low + index * hp.step for index in range(count + 1)]
    else:
        count = math.floor(math.log(high / low, hp.step) + 1e-9)
        values = [low * hp.step**index for index in range(count + 1)]
    if hp.sampling == "reverse_log":
        values = [high + low - value for value in reversed(values)]
    return tuple(int(value) if isinstance(hp, kinds.Int) else float(f"{value:.12g}") for value in values)


@dataclass(frozen=True)
class ReverseLog(Dimension):
    """A range that is fine at its upper end."""

    low: float = 0.0
    high: float = 1.0
    hp: Any = None

    def options(self):
        return None

    def from_unit(self, u):
        return clip(self.hp.prob_to_value(u), self.low, self.high)

    def to_unit(self, value):
        return self.hp.value_to_prob(value)
