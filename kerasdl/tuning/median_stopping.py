"""The median stopping rule of Golovin et al., "Google Vizier: A Service for Black-Box Optimization", 2017, 3.2.2.

The parent fixes the thresholds when it assigns a trial; the trial compares itself with them after each epoch. So with
one worker a search stops the same trials at the same epochs each time, however busy the machine is.
"""

import csv
import statistics
from collections.abc import Iterable
from pathlib import Path

from kerasdl.errors import UserError, nearest
from kerasdl.tuning.records import TrialRecord

REFERENCED = ("frechet", "kid")  # scores that are called by the reference classifier, too
LEAST = 5  # completed trials without which there is no threshold
WARM_UP = 0.2  # share of its epochs that a trial has before it can stop


def thresholds(records: Iterable[TrialRecord]) -> list[float]:
    """Return for each epoch the median over completed trials of their running averages; [] with fewer than LEAST.

    A trial with fewer epochs than the longest keeps its last average for the rest.
    """
    curves = [record.curve for record in records if record.status == "completed" and record.curve]
    if len(curves) < LEAST:
        return []
    averages = [running_average(curve) for curve in curves]
    longest = max(map(len, averages))
    return [statistics.median(average[min(epoch, len(average) - 1)] for average in averages)
            for epoch in range(longest)]


def running_average(curve: list[float]) -> list[float]:
    """Return the mean of the values up to each."""
    return [statistics.fmean(curve[:end]) for end in range(1, len(curve) + 1)]


def missed(curve: list[float], thresholds: list[float], direction: str, epochs: int) -> float | None:
    """Return the threshold that the best score of a trial so far is worse than; None if it may continue.

    Args:
        epochs: that the trial has in all.
    """
    done = len(curve)
    if not thresholds or done >= epochs or done < max(1, WARM_UP * epochs):
        return None
    threshold = thresholds[min(done, len(thresholds)) - 1]
    worse = max(curve) < threshold if direction == "max" else min(curve) > threshold
    return threshold if worse else None


def curve(folder: Path, objective: str) -> list[float]:
    """Return the objective, such as "val/accuracy", after each epoch, from metrics.csv."""
    return [row[key] for row in history(folder) if (key := logged_as(objective, row)) in row]


def logged_as(objective: str, scores: Iterable[str]) -> str:
    """Return which of the scores an objective is: one through a reference classifier has its name behind."""
    scores = list(scores)
    if objective in scores or objective.partition("/")[2] not in REFERENCED:
        return objective
    return next((score for score in scores if score.startswith(f"{objective}_")), objective)


def history(folder: Path) -> list[dict[str, float]]:
    """Return the rows of metrics.csv, with "val/accuracy" for val_accuracy and without an unfinished last line.

    An epoch that was repeated, because its state had not been saved, counts by its last row.
    """
    try:
        text = (folder / "metrics.csv").read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    lines = text[:text.rfind("\n") + 1].splitlines()
    cells = [{key: _number(value) for key, value in row.items()} for row in csv.DictReader(lines)]
    rows = [{key.replace("val_", "val/", 1): number for key, number in row.items() if number is not None}
            for row in cells]
    return list({row["epoch"]: row for row in rows}.values())


def never_logged(objective: str, logged: Iterable[str]) -> UserError:
    """Return the error for an objective that is not among what was logged."""
    return UserError(f"The search optimizes {objective}, which was never logged. {nearest(objective, logged)}")


def _number(cell: str | None) -> float | None:
    """Return a cell as a number; None if it is empty or holds several, such as an F1 score for each class."""
    try:
        return float(cell or "")
    except ValueError:
        return None
