"""Trials whose scores are compared have the same data: each run's data.json has fingerprints of its splits."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerasdl.errors import DataError, UserError

FILE = "data.json"


def examples_of(folder: Path) -> dict[str, str] | None:
    """Return the fingerprint of each split of a run; None if nothing says so."""
    try:
        return json.loads((folder / FILE).read_text(encoding="utf-8")).get("examples")
    except FileNotFoundError:
        return None


def check_data(task: dict[str, Any], examples: dict[str, str] | None) -> None:
    """Raise a DataError if a trial would be trained or measured on other examples than the first one was.

    Args:
        task: of the trial.
        examples: fingerprints of the splits that it reads, if they are known.
    """
    first = task.get("examples")
    if first and examples and (changed := [name for name in first if first[name] != examples.get(name)]):
        raise DataError(f"The data has changed since the first trial began ({', '.join(changed)}), so that scores "
                        "could not be compared. Restore it, or begin anew in another folder.")


def check_same_data(runs: Sequence[Path]) -> None:
    """Raise a UserError if the data changed between two runs, so that their scores are of different examples.

    Runs that have not noted their examples, as old ones, are left out.
    """
    known = [(run, found) for run in runs if (found := examples_of(run))]
    if other := next((run for run, found in known if found != known[0][1]), None):
        raise UserError(f"The data has changed between {known[0][0]} and {other}, so their scores have no mean. Start "
                        "anew with another --workdir.")
