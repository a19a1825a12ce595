"""Poor trials stop early: the median stopping rule of Golovin et al., "Google Vizier: A Service for Black-Box
Optimization", 2017, section 3.2.2.

The parent draws the bar when it gives a trial out, and the trial's own process measures itself against it after each
epoch. So with one worker a search stops the same trials at the same epochs each time, however busy the machine is.
"""

import csv
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kerasdl.errors import UserError, nearest

LEAST = 5  # trials that must have ended before there is a bar
WARM_UP = 0.2  # the share of its epochs that a trial has before it is measured


def bar(search: Any, rows: Iterable[Any]) -> list[float]:
    """For each epoch the median of what the completed trials had, each averaged until there; [] where they are few.

    Where a trial has fewer epochs than another, its last average stands for the rest.
    """
    curves = [row.curve for row in rows if row.status == "completed" and row.curve]
    if len(curves) < LEAST:
        return []
    averages = [running_average(curve) for curve in curves]
    longest = max(map(len, averages))
    return [statistics.median(average[min(epoch, len(average) - 1)] for average in averages)
            for epoch in range(longest)]


def running_average(curve: list[float]) -> list[float]:
    """The mean of the values until each."""
    return [statistics.fmean(curve[:end]) for end in range(1, len(curve) + 1)]


def below(curve: list[float], bar: list[float], direction: str, epochs: int) -> bool:
    """Whether a trial of so many epochs, with this curve so far, is to stop: its best is worse than the bar there."""
    done = len(curve)
    if not bar or done >= epochs or done < max(1, WARM_UP * epochs):
        return False
    limit = bar[min(done, len(bar)) - 1]
    return max(curve) < limit if direction == "max" else min(curve) > limit


def curve(folder: Path, objective: str) -> list[float]:
    """The objective, "val/accuracy", after each epoch, from metrics.csv."""
    return [row[objective] for row in history(folder) if objective in row]


def history(folder: Path) -> list[dict[str, float]]:
    """The rows of metrics.csv, whose val_accuracy is "val/accuracy" here; a last line that is not whole is left out.

    Of an epoch that was done again, because its state had not been saved, the last row counts.
    """
    try:
        text = (folder / "metrics.csv").read_text()
    except FileNotFoundError:
        return []
    lines = text[:text.rfind("\n") + 1].splitlines()
    cells = [{key: _number(value) for key, value in row.items()} for row in csv.DictReader(lines)]
    rows = [{key.replace("val_", "val/", 1): number for key, number in row.items() if number is not None}
            for row in cells]
    return list({row["epoch"]: row for row in rows}.values())


def never_logged(objective: str, logged: Iterable[str]) -> UserError:
    """What to say where the objective is none of what was logged."""
    return UserError(f"The search judges by {objective}, which was never logged. {nearest(objective, logged)}")


def _number(cell: str | None) -> float | None:
    """None of an empty cell, and of a metric that is several numbers, as an F1 score of each class."""
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None
