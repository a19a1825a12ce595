"""Grid search: every combination once, in the order of the space."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kerasdl.tuning.records import Answer, Proposal, Space, TrialRecord

FEW = 100_000  # combinations that can be listed


def propose(space: Space, trials: Sequence[TrialRecord], seed: int = 0) -> Proposal | Answer:
    """Propose the first combination that no trial has. The seed changes nothing."""
    tried = {key(trial.values) for trial in trials}
    values = next((values for values in combinations(space) if key(values) not in tried), None)
    return Answer.DONE if values is None else Proposal(values)


def combinations(space: Space) -> Iterator[dict[str, Any]]:
    """Yield each combination of active values once, the last field fastest. A continuous range has ten values."""
    def below(index: int, values: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if index == len(space):
            yield dict(values)
            return
        field, dimension = space[index]
        if not dimension.active(values):
            yield from below(index + 1, values)
            return
        for value in dimension.options() or [dimension.from_unit(0.05 + part * 0.1) for part in range(10)]:
            yield from below(index + 1, {**values, field: value})

    return below(0, {})


def is_few(space: Space) -> bool:
    """Return whether all combinations can be listed."""
    options = [dimension.options() for _, dimension in space]
    counts = [len(values) for values in options if values is not None]
    return len(counts) == len(options) and math.prod(counts) <= FEW


def key(values: Mapping[str, Any]) -> str:
    """Return a text that is the same for equal values only."""
    return repr(sorted(values.items()))
