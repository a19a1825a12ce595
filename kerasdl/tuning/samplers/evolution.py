"""Regularised evolution: the best of a few of the living has a child, and the oldest dies (Real et al. 2019,
arXiv:1802.01548).

The living are the last trials with a score, however good they are: a network that was lucky once dies as the others do.
A child differs from its parent in one dimension. The first trials are random.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasdl.tuning.records import Answer, Proposal, Space, TrialRecord
from kerasdl.tuning.samplers import random
from kerasdl.tuning.samplers.grid import key
from kerasdl.tuning.samplers.unit_cube import UnitCube

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
    cube, scored = UnitCube(space), [trial for trial in trials if trial.score is not None]
    if not cube.varying or len(scored) < population:
        return random.propose(space, trials, seed)
    rng, tried = np.random.default_rng([seed, len(trials)]), {key(trial.values) for trial in trials}
    living = scored[-population:]
    for _ in range(CHILDREN):
        sampled = [living[index] for index in rng.choice(population, min(sample, population), replace=False)]
        parent = (max if direction == "max" else min)(sampled, key=lambda trial: trial.score or 0.0)
        values = child(cube, parent.values, rng)
        if key(values) not in tried:
            return Proposal(values, parent=parent.id)
    return random.propose(space, trials, seed)


def child(cube: UnitCube, values: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Return values that differ in one active dimension; what that activates is drawn at random.

    A dimension that can be counted takes any other of its values, a continuous one moves a little.
    """
    point = cube.point(values)
    active = [at for at in range(len(cube.varying)) if cube.is_active(at, values)]
    inactive = [at for at in range(len(cube.varying)) if at not in active]
    point[inactive] = rng.random(len(inactive))
    at = int(rng.choice(active))
    dimension = cube.varying[at][1]
    count = len(dimension.options() or ())
    if count and dimension.even:
        now = int(point[at] * count)
        other = int(rng.integers(count - 1))
        point[at] = (other + (other >= now) + 0.5) / count
    else:
        point[at] = np.clip(point[at] + STEP * rng.standard_normal(), 0.0, 1.0)
    return cube.values(point)
