"""Parallel coordinates: an axis for each field, a line for each trial, the last axis its score."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kerasdl.text import figure
from kerasdl.tuning.dimensions import Integer, Log
from kerasdl.tuning.records import TrialRecord
from kerasdl.tuning.search import Search
from kerasdl.tuning.table import describe

WIDTH, HEIGHT, TOP, SIDE, BELOW = 1000, 330, 34, 70, 24  # in the units of the drawing; inactive values are BELOW
TICKS = 12  # a field with more values than this has ticks at its ends only
INACTIVE = object()
MODEL_ARGS = "model_args."  # of most fields of an architecture, and too long to stand over each axis


@dataclass(frozen=True)
class Axis:
    """Where a field's axis is, and its ticks: (height, text)."""

    name: str
    x: float
    ticks: list[tuple[float, str]]


@dataclass(frozen=True)
class Line:
    """A trial: points as an SVG polyline has them, its rank (1: the best, 0: the worst), its title and its link."""

    points: str
    rank: float
    title: str
    folder: str


def draw(search: Search, records: Sequence[TrialRecord]) -> dict[str, Any]:
    """Return axes and lines of trials with a score, given best first; the best is drawn last, above the others."""
    fields = list(dict.fromkeys(key for record in records for key in record.values))
    columns = {key: [record.values.get(key, INACTIVE) for record in records] for key in fields}
    columns[search.objective] = [record.score for record in records]
    step = (WIDTH - 2 * SIDE) / max(1, len(columns) - 1)
    axes, heights = [], []
    for index, (key, values) in enumerate(columns.items()):
        at, ticks = scale(values, is_log(search, key))
        axes.append(Axis(key.removeprefix(MODEL_ARGS), SIDE + index * step, ticks))
        heights.append([at(value) for value in values])
    lines = []
    for number, record in enumerate(records):
        points = " ".join(f"{axis.x:.1f},{column[number]:.1f}" for axis, column in zip(axes, heights, strict=True))
        title = f"{record.id}: {figure(record.score or 0.0)}  {describe(record.values)}"
        lines.append(Line(points, 1 - number / max(1, len(records) - 1), title, f"trials/{record.id}"))
    return {"axes": axes, "lines": lines[::-1], "width": WIDTH, "height": HEIGHT + TOP + BELOW, "top": TOP,
            "bottom": TOP + HEIGHT}


def is_log(search: Search, key: str) -> bool:
    """Return whether the field has a logarithmic scale."""
    return any(isinstance(dimension, Log) or isinstance(dimension, Integer) and dimension.log
               for dimension in search.space.get(key, ()))


def scale(values: list[Any], log: bool) -> tuple[Any, list[tuple[float, str]]]:
    """Return a function from value to height, and the ticks. Numbers are placed by size, others at equal distances."""
    active = [value for value in values if value is not INACTIVE]
    numbers = all(type(value) in (int, float) and math.isfinite(value) for value in active)
    distinct = sorted(set(active)) if numbers else sorted(set(active), key=str)
    size = (lambda value: math.log(value)) if numbers and log and distinct[0] > 0 else float
    place = {value: size(value) if numbers else index for index, value in enumerate(distinct)}
    low, high = min(place.values()), max(place.values())

    def at(value: Any) -> float:
        if value is INACTIVE:
            return TOP + HEIGHT + BELOW / 2
        return TOP + HEIGHT * (1 - ((place[value] - low) / (high - low) if high > low else 0.5))

    marked = distinct if len(distinct) <= TICKS and (not numbers or _apart(place, low, high)) else [
        distinct[0], distinct[-1]]
    return at, [(at(value), f"{value:.4g}" if isinstance(value, float) else str(value)) for value in marked]


def _apart(place: dict[Any, float], low: float, high: float) -> bool:
    """Return whether the ticks have room for their text."""
    heights = sorted(place.values())
    return all(after - before > (high - low) / TICKS for before, after in zip(heights, heights[1:], strict=False))
