"""All combinations of a space of keras-tuner, exactly as the user wrote them."""

import math
from collections.abc import Iterator
from typing import Any

from keras_tuner import HyperParameters
from keras_tuner.engine import hyperparameters as kinds

FEW = 100_000  # combinations that can be listed


def countable(hp: kinds.HyperParameter) -> list[Any] | None:
    """All values of a hyperparameter, exact and in order; None of a continuous one."""
    if isinstance(hp, kinds.Fixed):
        return [hp.value]
    if isinstance(hp, kinds.Boolean):
        return [False, True]
    if isinstance(hp, kinds.Choice):
        return list(hp.values)
    if hp.min_value == hp.max_value:
        return [hp.min_value]
    if hp.step is None:
        return list(range(hp.min_value, hp.max_value + 1)) if isinstance(hp, kinds.Int) else None
    if hp.sampling == "linear":
        steps = math.floor((hp.max_value - hp.min_value) / hp.step + 1e-9)
        values = [hp.min_value + index * hp.step for index in range(steps + 1)]
    else:
        steps = math.floor(math.log(hp.max_value / hp.min_value, hp.step) + 1e-9)
        values = [hp.min_value * hp.step**index for index in range(steps + 1)]
    if hp.sampling == "reverse_log":
        values = [hp.max_value + hp.min_value - value for value in reversed(values)]
    return [int(value) if isinstance(hp, kinds.Int) else float(f"{value:.12g}") for value in values]


def cells(hps: HyperParameters) -> Iterator[dict[str, Any]]:
    """Every combination of active values once, the last hyperparameter fastest; of a continuous one ten values."""
    space = hps.space

    def below(index: int, values: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if index == len(space):
            yield dict(values)
            return
        hp = space[index]
        if not all(condition.is_active(values) for condition in hp.conditions):
            yield from below(index + 1, values)
            return
        for value in countable(hp) or sorted(hp.values):
            yield from below(index + 1, {**values, hp.name: value})

    return below(0, {})


def is_few(hps: HyperParameters) -> bool:
    """Whether all combinations can be listed."""
    counts = [countable(hp) for hp in hps.space]
    return all(counts) and math.prod(map(len, counts)) <= FEW
