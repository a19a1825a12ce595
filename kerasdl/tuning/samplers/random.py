"""Random search: values drawn independently, no combination twice."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kerasdl.tuning.records import Answer, Proposal, Space, TrialRecord
from kerasdl.tuning.samplers.grid import combinations, is_few, key

REPEATS = 20  # draws in a row that were seen before, after which a small space is listed
MANY_REPEATS = 10_000  # the same in a space too large to list, which then counts as exhausted


def propose(space: Space, trials: Sequence[TrialRecord], seed: int) -> Proposal | Answer:
    """Propose the first point of the seed's sequence that no trial has."""
    values = unseen(space, trials, seed)
    return Answer.DONE if values is None else Proposal(values)


def unseen(space: Space, trials: Sequence[TrialRecord], seed: int) -> dict[str, Any] | None:
    """Return the first point of the seed's sequence that no trial has; None when there is none."""
    tried = {key(trial.values) for trial in trials}
    return next((values for values in points(space, seed) if key(values) not in tried), None)


def points(space: Space, seed: int) -> Iterator[dict[str, Any]]:
    """Yield different points of a space in random order; of a small space, all of them.

    Where conditions leave some points rare, chance alone would take long to find them: they are listed then.
    """
    few, seen, repeats = is_few(space), set(), 0
    state = int(np.random.SeedSequence(seed).generate_state(1)[0])
    while True:
        values = draw(space, state)
        state += len(values)
        if key(values) in seen:
            repeats += 1
            if repeats <= (REPEATS if few else MANY_REPEATS):
                continue
            state += 1
            left = [each for each in combinations(space) if key(each) not in seen] if few else []
            if not left:
                return
            values = left[np.random.default_rng(state).integers(len(left))]
        repeats = 0
        seen.add(key(values))
        yield values


def draw(space: Space, state: int) -> dict[str, Any]:
    """Draw a value for each active dimension; the n-th draw depends on `state` + n alone."""
    values: dict[str, Any] = {}
    for field, dimension in space:
        if dimension.active(values):
            values[field] = dimension.from_unit(random.Random(state + len(values)).random())
    return values
