"""Regularised evolution: the best of a few of the living has a child, and the oldest dies (Real et al. 2019,
arXiv:1802.01548).

The living are the last trials with a score, however good they are: a network that was lucky once dies as the others do.
A child differs from its parent in one dimension. The first trials are random.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasdl.tuning.dimensions import Dimension, clip, index_of
from kerasdl.tuning.records import Answer, Proposal, Space, TrialRecord
from kerasdl.tuning.samplers import random
from kerasdl.tuning.samplers.grid import key

POPULATION, SAMPLE = 20, 5  # the living, and how many of them compete to be the parent
CHILDREN = 200  # drawn in a row that were tried before, after which a random point is proposed
STEP = 0.1  # standard deviation of a change of a continuous value, as a share of its range


def propose(space: Space, trials: Sequence[TrialRecord], seed: int, *, direction: str, population: int = POPULATION,
            sample: int = SAMPLE) -> Proposal | Answer:
    """Propose a child of the best of a sample of the last `population` trials with a score.

    All randomness follows from the seed and the number of trials.

    Args:
        direction: whether "max" or "min" is the best score.
    """
    scored = [trial for trial in trials if trial.score is not None]
    if len(scored) < population or not any(varies(dimension) for _, dimension in space):
        return random.propose(space, trials, seed)
    rng, tried = np.random.default_rng([seed, len(trials)]), {key(trial.values) for trial in trials}
    living = scored[-population:]
    for _ in range(CHILDREN):
        sampled = [living[index] for index in rng.choice(population, min(sample, population), replace=False)]
        parent = (max if direction == "max" else min)(sampled, key=lambda trial: trial.score or 0.0)
        values = child(space, parent.values, rng)
        if key(values) not in tried:
            return Proposal(values, parent=parent.id)
    return random.propose(space, trials, seed)


def child(space: Space, values: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Return values that differ in one active dimension; what that activates is drawn at random."""
    active = [at for at, (_, dimension) in enumerate(space) if varies(dimension) and dimension.active(values)]
    changed = rng.choice(active)
    found: dict[str, Any] = {}
    for at, (field, dimension) in enumerate(space):
        if not dimension.active(found):
            continue
        if at == changed:
            found[field] = another(dimension, values[field], rng)
        else:
            found[field] = values[field] if dimension.active(values) else dimension.from_unit(rng.random())
    return found


def varies(dimension: Dimension) -> bool:
    return len(dimension.options() or "ab") > 1


def another(dimension: Dimension, value: Any, rng: np.random.Generator) -> Any:
    """Return any other value of a dimension that can be counted; of a continuous one, a value near this one."""
    options = dimension.options() if dimension.even else None
    if options is not None:
        return options[(index_of(value, options) + 1 + int(rng.integers(len(options) - 1))) % len(options)]
    return dimension.from_unit(clip(dimension.to_unit(value) + STEP * rng.standard_normal(), 0.0, 1.0))
