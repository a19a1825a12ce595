"""The picture of accuracy against training minutes: every recipe's committed results, and what others have published.

Drawn by docs/make_results.py. Accuracy stands on an axis of the error's logarithm, where half the mistakes are always
the same way up.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from kerasdl.published.results import DATA, machine, ordered
from kerasdl.recipe import Recipe

PICTURE = "images/frontier.svg"


class Point(NamedTuple):
    """A training: its name, minutes, accuracy in percent and the deviation of it over seeds, and where it ran."""

    name: str
    minutes: float
    accuracy: float
    deviation: float = 0.0
    hardware: str = ""


# Published with its training time and its hardware; seconds an epoch times epochs, where that is how it is told.
ANCHORS = {
    "mnist": (
        Point("Keras mnist_mlp", 20 * 2 / 60, 98.40, hardware="GRID K520 GPU"),
        Point("Keras mnist_cnn", 12 * 16 / 60, 99.25, hardware="GRID K520 GPU"),
    ),
    "cifar10": (
        Point("airbench94", 3.83 / 60, 94.01, hardware="A100 GPU"),
        Point("airbench95", 10.4 / 60, 95.01, hardware="A100 GPU"),
        Point("airbench96", 34.7 / 60, 96.03, hardware="A100 GPU"),
        Point("ResNet-18", 7.0, 96.0, hardware="A100 GPU"),
    ),
}
SOURCES = {
    "mnist": "`mnist_mlp.py` (98.40 % after 20 epochs of 2 seconds) and `mnist_cnn.py` (99.25 % after 12 epochs of 16\n"
             "seconds) were examples in the Keras repository from 2016 on, run on a GRID K520 GPU according to their\n"
             "first lines",
    "cifar10": "airbench and its ResNet-18 are from the README of KellerJordan/cifar10-airbench\n"
               "([paper](https://arxiv.org/abs/2404.00498)), on one NVIDIA A100 GPU, with the original images",
}
DRAWN = ("digits", "mnist", "cifar10")
ROOM = 7  # beyond the longest training, for its name
TICKS = (30, 50, 70, 80, 90, 95, 97, 98, 99, 99.5, 99.8)
MINUTES = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)


def panels(recipes: Iterable[Recipe], found: Mapping[str, Sequence[dict]]) -> dict[str, list[Point]]:
    """The classifiers that were run, of each data set."""
    made: dict[str, list[Point]] = {}
    for recipe in ordered(recipes):
        if recipe.objective == "classify" and recipe.data in DRAWN and (runs := found.get(recipe.name)):
            scores = [100 * run["test"]["accuracy"] for run in runs]
            made.setdefault(recipe.data, []).append(Point(
                recipe.name, statistics.median(run["train"]["seconds"] for run in runs) / 60, statistics.mean(scores),
                statistics.stdev(scores) if len(scores) > 1 else 0.0, machine(runs[0]["environment"])))
    return made


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in both minutes and accuracy, by minutes."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (point.minutes, -point.accuracy)):
        if not kept or point.accuracy > kept[-1].accuracy:
            kept.append(point)
    return kept


def told(made: Mapping[str, list[Point]]) -> str:
    """What stands below the picture: on what, and where the anchors are from."""
    sources = "; ".join(SOURCES[data] for data in made if data in SOURCES)
    return ("Dots are recipes of this package on one or two CPU cores: mean and standard deviation over seeds, and\n"
            "the median of their minutes. The line joins the recipes that no other beats in both. Crosses are\n"
            "published results on the hardware named next to them; since that is other hardware, compare their\n"
            "accuracy only.\n\n"
            f"Sources: {sources}.\n")


def draw(made: Mapping[str, list[Point]], path: Path) -> None:
    """Write the picture as SVG."""
    import matplotlib

    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "kerasdl"}):
        figure_of(made).savefig(path, format="svg", metadata={"Date": None})


def figure_of(made: Mapping[str, list[Point]]):
    """One panel a data set."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(1 + 4.2 * len(made), 4.3), layout="constrained")
        all_axes = figure.subplots(1, len(made), squeeze=False)[0]
        for axes, (data, points) in zip(all_axes, made.items(), strict=True):
            panel(axes, data, points, ANCHORS.get(data, ()))
        all_axes[0].set_ylabel("test accuracy, %")
        figure.draw_without_rendering()  # so that places on the page are known
        for axes, (data, points) in zip(all_axes, made.items(), strict=True):
            label(axes, points, ANCHORS.get(data, ()))
    return figure


def panel(axes, data: str, points: Sequence[Point], anchors: Sequence[Point]) -> None:
    """The points of one data set, in minutes and by their error."""
    x, errors = [point.minutes for point in points], [100 - point.accuracy for point in points]
    axes.errorbar(x, errors, [point.deviation for point in points], fmt="o", color="tab:blue", markersize=6,
                  elinewidth=1, capsize=2, zorder=3)
    best = front(points)
    axes.plot([point.minutes for point in best], [100 - point.accuracy for point in best], color="tab:blue",
              linewidth=1, alpha=0.4, zorder=2)
    axes.plot([point.minutes for point in anchors], [100 - point.accuracy for point in anchors], "x", color="0.45",
              markersize=7, markeredgewidth=1.6, zorder=3)
    every = [*points, *anchors]
    low, high = min(point.minutes for point in every), max(point.minutes for point in every)
    axes.set(xscale="log", yscale="log", title=DATA.get(data, data), xlabel="minutes of training",
             xlim=(low / 1.9, high * ROOM))
    worst = 1.3 * max(100 - point.accuracy + point.deviation for point in every)
    least = min(max(100 - point.accuracy - point.deviation, (100 - point.accuracy) / 4) for point in every) / 1.3
    axes.set_ylim(worst, least)
    between = [tick for tick in TICKS if least <= 100 - tick <= worst]
    axes.set_yticks([100 - tick for tick in between], [f"{tick:g}" for tick in between])
    ticks = [tick for tick in MINUTES if low / 1.9 <= tick <= high * ROOM]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)


def label(axes, points: Sequence[Point], anchors: Sequence[Point]) -> None:
    """A name beside each point, where it covers neither another name nor another point."""
    places = axes.transData.transform([(point.minutes, 100 - point.accuracy) for point in (*points, *anchors)])
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in places]
    frame = axes.get_window_extent()
    for place, point in zip(places, (*points, *anchors), strict=True):
        anchor = point in anchors
        made = axes.annotate(f"{point.name}\n{point.hardware}" if anchor else point.name,
                             (point.minutes, 100 - point.accuracy), (0, 0), textcoords="offset points", fontsize=8,
                             va="bottom", ha="left", color="0.35" if anchor else "black", linespacing=1.05)
        box = made.get_window_extent()
        best = min(candidates(place, box.width, box.height), key=lambda spot: cost(spot, taken, frame))
        made.set_position([72 / axes.figure.dpi * (best[i] - place[i]) for i in (0, 1)])
        taken.append(best)


def candidates(place, width: float, height: float) -> Iterable[tuple[float, float, float, float]]:
    """Boxes (left, low, right, top) around a point, the nearest and most usual first."""
    x, y = place
    for gap in (8, 16, 26, 38):
        for angle in (0, 180, 90, 270, 30, -30, 150, 210, 60, -60, 120, 240):
            along, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            centre = x + along * (gap + width / 2), y + up * (gap + height / 2)
            yield centre[0] - width / 2, centre[1] - height / 2, centre[0] + width / 2, centre[1] + height / 2


def cost(spot, taken, frame) -> float:
    """What a box covers that is there already, and what of it lies outside the frame."""
    left, low, right, top = spot
    inside = max(0, min(right, frame.x1) - max(left, frame.x0)) * max(0, min(top, frame.y1) - max(low, frame.y0))
    covered = sum(max(0, min(right, other[2]) - max(left, other[0])) * max(0, min(top, other[3]) - max(low, other[1]))
                  for other in taken)
    return covered + ((right - left) * (top - low) - inside)
