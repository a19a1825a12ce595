"""Parallel coordinates: an axis a field, a line a trial, the last axis its score. Numbers for the page to draw."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kerasdl.text import figure
from kerasdl.tuning.study import Row, Study
from kerasdl.tuning.table import describe

WIDTH, HEIGHT, TOP, SIDE, NOTHING = 1000, 330, 34, 70, 24  # in the units of the drawing; NOTHING is where inactive is
TICKS = 12  # a field with more values than this is told by its ends


@dataclass(frozen=True)
class Axis:
    """Where a field stands, and its values: (height, text)."""

    name: str
    x: float
    ticks: list[tuple[float, str]]


@dataclass(frozen=True)
class Line:
    """A trial: points as an SVG polyline takes them, its rank (1: the best, 0: the worst), and what it says."""

    points: str
    rank: float
    title: str
    folder: str


def draw(study: Study, rows: Sequence[Row]) -> dict[str, Any]:
    """Axes and lines of trials that have a score, given best first; the best is drawn last, above the others."""
    fields = list(dict.fromkeys(key for row in rows for key in row.values))
    columns = {key: [row.values.get(key, NOTHING_THERE) for row in rows] for key in fields}
    columns[study.search.objective] = [row.score for row in rows]
    step = (WIDTH - 2 * SIDE) / max(1, len(columns) - 1)
    axes, heights = [], []
    for index, (key, values) in enumerate(columns.items()):
        at, ticks = scale(values, is_log(study, key))
        axes.append(Axis(key, SIDE + index * step, ticks))
        heights.append([at(value) for value in values])
    lines = []
    for number, row in enumerate(rows):
        points = " ".join(f"{axis.x:.1f},{column[number]:.1f}" for axis, column in zip(axes, heights, strict=True))
        title = f"{row.id}: {figure(row.score)}  {describe(row.values)}"
        lines.append(Line(points, 1 - number / max(1, len(rows) - 1), title, f"trials/{row.id}"))
    return {"axes": axes, "lines": lines[::-1], "width": WIDTH, "height": HEIGHT + TOP + NOTHING, "top": TOP,
            "bottom": TOP + HEIGHT}


NOTHING_THERE = object()


def is_log(study: Study, key: str) -> bool:
    """Whether the field's steps are factors."""
    return any(type(dimension).__name__ == "Log" or getattr(dimension, "log", False)
               for dimension in study.search.space.get(key, ()))


def scale(values: list[Any], log: bool) -> tuple[Any, list[tuple[float, str]]]:
    """A function from value to height, and the ticks. Numbers are placed by size, anything else side by side."""
    there = [value for value in values if value is not NOTHING_THERE]
    numbers = all(type(value) in (int, float) and math.isfinite(value) for value in there)
    distinct = sorted(set(there)) if numbers else sorted(set(there), key=str)
    size = (lambda value: math.log(value)) if numbers and log and distinct[0] > 0 else float
    place = {value: size(value) if numbers else index for index, value in enumerate(distinct)}
    low, high = min(place.values()), max(place.values())

    def at(value: Any) -> float:
        if value is NOTHING_THERE:
            return TOP + HEIGHT + NOTHING / 2
        return TOP + HEIGHT * (1 - ((place[value] - low) / (high - low) if high > low else 0.5))

    marked = distinct if len(distinct) <= TICKS and (not numbers or _apart(place, low, high)) else [
        distinct[0], distinct[-1]]
    return at, [(at(value), f"{value:.4g}" if isinstance(value, float) else str(value)) for value in marked]


def _apart(place: dict[Any, float], low: float, high: float) -> bool:
    """Whether the ticks have room for their text."""
    heights = sorted(place.values())
    return all(after - before > (high - low) / TICKS for before, after in zip(heights, heights[1:], strict=False))
