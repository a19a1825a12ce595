"""The points of a file, in its order: those that `kerasdl tune rank` found most promising."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerasdl.errors import UserError
from kerasdl.tuning.dimensions import Dimension, frozen, same
from kerasdl.tuning.records import Answer, Proposal, Space, TrialRecord
from kerasdl.tuning.samplers.grid import key

PREFIX = "ranked:"


def propose(space: Space, trials: Sequence[TrialRecord], *, file: str) -> Proposal | Answer:
    """Propose the first point of a file that no trial has.

    Raises:
        UserError: as `points`.
    """
    tried = {key(trial.values) for trial in trials}
    values = next((values for values in points(space, file) if key(values) not in tried), None)
    return Answer.DONE if values is None else Proposal(values)


def points(space: Space, file: str) -> list[dict]:
    """Return the points of a file.

    Raises:
        UserError: there is no such file, or it is of another space.
    """
    try:
        rows = json.loads(Path(file).read_text(encoding="utf-8"))["points"]
        found = [{field: frozen(value) for field, value in row["values"].items()} for row in rows]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} is no ranking that can be read: {type(error).__name__}: {error}. Make one: kerasdl "
                        f"tune rank SEARCH --out {file}") from None
    for values in found:
        active: dict = {}
        for field, dimension in space:
            if field in values and dimension.active(active):
                active[field] = values[field]
        if active != values or len(active) != sum(dimension.active(active) for _, dimension in space):
            raise UserError(f"{file} ranks another space: it has {', '.join(values)}.")
        for field, dimension in space:
            if dimension.active(active) and not holds(dimension, active[field]):
                raise UserError(f"{file} ranks another space: it has {field}={active[field]!r}, which is not in "
                                f"{dimension}.")
    return found


def holds(dimension: Dimension, value: Any) -> bool:
    """Return whether a value is one of a dimension's."""
    options = dimension.options()
    if isinstance(options, range):
        return type(value) is int and value in options
    if options is not None:
        return any(same(value, option) for option in options)
    ends = vars(dimension)
    return type(value) in (int, float) and ends["low"] <= value <= ends["high"]
