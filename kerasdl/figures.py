"""The drawings of a report: inline SVG that takes its colours from the page, so that it reads in light and in dark."""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from markupsafe import Markup

from kerasdl.data import Split

if TYPE_CHECKING:  # they take half a second, and a training that writes no report needs neither
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Matplotlib wants real colours; each of these is replaced by the page's own once the SVG is written.
INK, GRID, FIRST, SECOND = "#010101", "#020202", "#030303", "#040404"
PAGE = {INK: "currentColor", GRID: "var(--line)", FIRST: "var(--first)", SECOND: "var(--second)"}
SERIES = ("#2563eb", "#e8710a", "#14804a", "#9b51b8", "#c0342b", "#0e8a94", "#8a6d1f", "#6b7280")  # on both grounds
SINGLE = ("epoch", "learning_rate", "examples_per_second", "images_per_second")  # columns that are no scores
SIZE = (4.4, 3.1)  # inches: as wide as a phone shows it, so that 10 points look like 10 points
POINTS = 2000  # more points than this in a scatter make a page heavy and no clearer
CURVE = 300  # points of a line
COLUMNS = 30  # a table of rows shows no more columns than this
LETTERS = 400  # of a text that is shown
STEPS = 640  # of a sequence that is drawn
THUMBNAIL = 224  # pixels: larger images are shrunk


def curves(history: "pd.DataFrame", best: int | None) -> list[tuple[str, Any]]:
    """(title, drawing) of the loss, of each metric, and of the learning rate."""
    metrics = list(dict.fromkeys(name.removeprefix("val_") for name in history if name not in SINGLE))
    metrics.sort(key=lambda name: name != "loss")
    found = []
    for name in metrics:
        drawing = curve(history.get(name), history.get(f"val_{name}"), best, percent=name == "accuracy")
        found.append((heading(label(name)), drawing))
    if "learning_rate" in history:
        found.append(("Learning rate", curve(history["learning_rate"], None, best)))
    return found


def curve(train: Sequence[float] | None, val: Sequence[float] | None = None, best: int | None = None,
          percent: bool = False) -> Markup:
    """A quantity by epoch, for train and val, with the best epoch (counted from 1) marked."""
    figure, axes = _canvas("epoch")
    for values, colour in ((train, FIRST), (val, SECOND)):
        if values is not None:
            epochs = np.arange(1, len(values) + 1)
            axes.plot(epochs, values, color=colour, linewidth=2, marker="o" if len(epochs) < 15 else None, markersize=4)
    if best:
        axes.axvline(best, color=INK, linewidth=1, linestyle=(0, (2, 3)), zorder=1)
    _whole(axes.xaxis, 6)
    if percent:
        _percent(axes.yaxis)
    return _svg(figure)


def overlay(groups: Sequence[Sequence[Sequence[float]]], percent: bool = False) -> Markup:
    """A quantity by epoch for several groups of runs: thin lines for runs, a thick one for the mean of a group."""
    figure, axes = _canvas("epoch")
    for number, runs in enumerate(groups):
        colour = SERIES[number % len(SERIES)]
        for values in runs:
            thin = {"linewidth": 1, "alpha": 0.45} if len(runs) > 1 else {"linewidth": 2}
            axes.plot(np.arange(1, len(values) + 1), values, color=colour, **thin,
                      marker="o" if len(values) == 1 else None, markersize=4)
        if len(runs) > 1:
            common = min(map(len, runs))  # beyond it the mean would be of fewer runs
            mean = np.mean([np.asarray(values)[:common] for values in runs], axis=0)
            axes.plot(np.arange(1, common + 1), mean, color=colour, linewidth=2)
    _whole(axes.xaxis, 6)
    if percent:
        _percent(axes.yaxis)
    return _svg(figure)


def best_so_far(numbers: Sequence[int], scores: Sequence[float], goal: str, percent: bool = False) -> Markup:
    """The score of each trial of a search as a point, and the best until there as a line; `goal` is max or min."""
    figure, axes = _canvas("trial", size=(10, 3.1))
    best = (np.maximum if goal == "max" else np.minimum).accumulate(scores)
    axes.plot(numbers, scores, linestyle="", marker="o", markersize=4, color=FIRST)
    axes.step([*numbers, numbers[-1] + 0.5], [*best, best[-1]], where="post", color=SECOND, linewidth=2)
    _whole(axes.xaxis, 8)
    if percent:
        _percent(axes.yaxis)
    return _svg(figure)


def reliability(confidence: Sequence[float], accuracy: Sequence[float], share: Sequence[float],
                edges: np.ndarray) -> Markup:
    """Accuracy by confidence: bars below the diagonal are overconfident. The ticks below show where the examples lie.

    Args:
        confidence, accuracy, share: of each bin, its mean confidence, accuracy and share of all examples; NaN, NaN
            and 0 where a bin is empty.
        edges: of the bins, one more than there are bins.
    """
    figure, axes = _canvas("confidence", "accuracy")
    width = edges[1] - edges[0]
    axes.bar(edges[:-1], np.nan_to_num(accuracy), width * 0.92, align="edge", color=FIRST)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (2, 3)))
    axes.plot(confidence, accuracy, linestyle="", marker="o", markersize=4, color=SECOND)
    axes.bar(edges[:-1], -0.15 * np.asarray(share) / max(share), width * 0.92, align="edge", color=SECOND)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(xlim=(0, 1), ylim=(-0.17, 1.02), yticks=np.linspace(0, 1, 6))
    _percent(axes.xaxis)
    _percent(axes.yaxis)
    return _svg(figure)


def precision_recall(there: np.ndarray, values: np.ndarray, names: Sequence[str]) -> Markup:
    """Precision by recall of each class that is `drawn` and has examples.

    Args:
        there: (N, classes) booleans, which example has which class.
        values: (N, classes), larger where a class is more likely.
        names: of the classes.
    """
    figure, axes = _canvas("recall", "precision")
    for index, (_, colour) in enumerate(drawn(names)):
        right = np.cumsum(there[np.argsort(-values[:, index], kind="stable"), index])
        if right[-1]:
            some = np.unique(np.linspace(0, len(right) - 1, min(len(right), CURVE)).astype(int))
            axes.plot(right[some] / right[-1], right[some] / (some + 1), color=colour, linewidth=1.5)
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02))
    _percent(axes.xaxis)
    _percent(axes.yaxis)
    return _svg(figure)


def drawn(names: Sequence[str]) -> list[tuple[str, str]]:
    """The first of several classes, each with the colour of its line."""
    return list(zip(names, SERIES, strict=False))


def heat_map(matrix: np.ndarray) -> Markup:
    """A confusion matrix of many classes, each row by its sum; the root makes rare confusions visible."""
    figure, axes = _canvas("predicted class", "true class", size=(5.2, 5))
    share = np.sqrt(matrix / np.maximum(matrix.sum(1, keepdims=True), 1))
    pixels = np.zeros((*matrix.shape, 4))
    pixels[..., :3] = np.array([59, 130, 246]) / 255  # a blue that shows on white and on black
    pixels[..., 3] = share
    axes.imshow(pixels, interpolation="none")
    axes.grid(False)
    return _svg(figure)


def intervals(names: Sequence[str], values: Sequence[float], ends: Sequence[tuple[float, float]], chosen: int,
              percent: bool = True, width: float = 6.6) -> Markup:
    """Scores as points with their intervals, one below the other; the chosen one in another colour; width in inches."""
    figure, axes = _canvas("", size=(width, 0.5 + 0.32 * len(names)))
    for place, (value, (low, high)) in enumerate(zip(values, ends, strict=True)):
        colour = SECOND if place == chosen else FIRST
        axes.plot([low, high], [place, place], color=colour, linewidth=2.5, solid_capstyle="round")
        axes.plot([value], [place], color=colour, marker="o", markersize=7)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    if percent:
        _percent(axes.xaxis)
    return _svg(figure)


def growth(lines: Sequence[tuple[str, int, str, Sequence[tuple[float, float, tuple[float, float]]]]], xlabel: str,
           ylabel: str) -> Markup:
    """Scores by a count, whose axis is logarithmic, in percent: a line each with its intervals, and a legend.

    Args:
        lines: (name, place of its colour in SERIES, dashes as Matplotlib has them, points (x, y, (low, high))).
        xlabel, ylabel: of the axes.
    """
    figure, axes = _canvas(xlabel, ylabel, size=(7.6, 4.2))
    axes.set_xscale("log")
    for place, (name, colour, dashes, points) in enumerate(lines):
        x = [at * 1.012 ** (place - len(lines) / 2) for at, *_ in points]  # so that intervals stand next to each other
        axes.plot(x, [y for _, y, _ in points], color=SERIES[colour], linestyle=dashes, linewidth=2, marker="o",
                  markersize=5, label=name)
        for at, (_, _, (low, high)) in zip(x, points, strict=True):
            axes.plot([at, at], [low, high], color=SERIES[colour], linewidth=1, alpha=0.6)
    ticks = sorted({x for *_, points in lines for x, *_ in points})
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.minorticks_off()
    _percent(axes.yaxis)
    figure.legend(loc="outside right upper", frameon=False, labelcolor=INK, fontsize=9, handlelength=3.5)
    return _svg(figure)


def lines(x: Sequence[float], series: Sequence[tuple[str, Sequence[float]]], xlabel: str, ylabel: str = "",
          percent: bool = False, ticks: Sequence[str] | None = None) -> Markup:
    """Several quantities by another one, with a legend of those that have a name.

    Args:
        x: (N,) of all.
        series: (name, values (N,)) of each line.
        xlabel, ylabel: of the axes.
        percent: whether the quantities are shares.
        ticks: names in place of the numbers of x, which are then 0, 1, 2 ..., and whose points are not joined.
    """
    figure, axes = _canvas(xlabel, ylabel, size=(6.2, 3.3) if any(name for name, _ in series) else SIZE)
    for (name, values), colour in zip(series, SERIES, strict=False):
        axes.plot(x, values, color=colour, linewidth=0 if ticks else 2, marker="o" if len(x) < 30 else None,
                  markersize=6 if ticks else 3, label=name)
    if ticks:
        turned: dict[str, Any] = {"rotation": 30, "ha": "right"} if len(ticks) > 4 else {}
        axes.set_xticks(range(len(ticks)), [name[:12] for name in ticks], **turned)
    if percent:
        _percent(axes.yaxis)
    if any(name for name, _ in series):
        figure.legend(loc="outside right upper", frameon=False, labelcolor=INK, fontsize=9)
    return _svg(figure)


def labelled(points: Sequence[tuple[str, float, float, bool]], xlabel: str, ylabel: str) -> Markup:
    """Named points (name, x, y, whether it is ahead); those that are ahead are joined, from left to right."""
    figure, axes = _canvas(xlabel, ylabel, size=(6.6, 3.6))
    ahead = sorted((x, y) for _, x, y, first in points if first)
    axes.plot(*zip(*ahead, strict=True), color=FIRST, linewidth=1.5)
    for number, (name, x, y, first) in enumerate(points):
        axes.plot([x], [y], color=FIRST if first else INK, marker="o", markersize=7)
        axes.annotate(name, (x, y), (0, -17 if number % 2 else 8),  # above and below: two may be at one place
                      textcoords="offset points", ha="center", color=INK, fontsize=9)
    axes.margins(0.15)
    return _svg(figure)


def front(costs: Sequence[float], scores: Sequence[float], ahead: Sequence[bool], xlabel: str, percent: bool = False
          ) -> Markup:
    """Every trial by its cost, on a logarithmic scale, and its score; those that are ahead are joined."""
    figure, axes = _canvas(xlabel, size=(6.6, 3.6))
    axes.plot(costs, scores, linestyle="", marker="o", markersize=4, color=FIRST)
    axes.plot(*zip(*sorted((cost, score) for cost, score, first in zip(costs, scores, ahead, strict=True) if first),
                   strict=True), color=SECOND, linewidth=2, marker="o", markersize=6)
    if min(costs) > 0 and max(costs) > 3 * min(costs):
        axes.set_xscale("log")
    if percent:
        _percent(axes.yaxis)
    return _svg(figure)


def graph(nodes: int, edges: Mapping[tuple[int, int], str]) -> Markup:
    """Nodes on a line, and edges from left to right as arcs with their names, alternately above and below."""
    figure, axes = _canvas("", size=(6.6, 3.0))
    axes.axis("off")
    sides = {1: 0, -1: 0}
    for (start, end), name in sorted(edges.items(), key=lambda edge: (edge[0][1] - edge[0][0], edge[0])):
        side = 0 if end - start == 1 else min(sides, key=lambda each: (sides[each], -each))
        if side:
            sides[side] += 1
        height = side * 0.28 * (end - start)
        x = np.linspace(start + 0.12, end - 0.12, 40)
        y = height * 4 * (x - start) * (end - x) / (end - start) ** 2
        axes.annotate("", (x[-1], y[-1]), (x[-2], y[-2]), arrowprops={"arrowstyle": "-|>", "color": FIRST})
        axes.plot(x, y, color=FIRST, linewidth=1.5)
        axes.annotate(name, ((start + end) / 2, height), (0, 4 if side >= 0 else -13), textcoords="offset points",
                      ha="center", color=INK, fontsize=10)
    for node in {node for edge in edges for node in edge}:
        axes.annotate({0: "in", nodes - 1: "out"}.get(node, str(node)), (node, 0), ha="center", va="center", color=INK,
                      fontsize=10)
    axes.set_xlim(-0.3, nodes - 0.7)
    axes.set_ylim(-1.0, 1.0)
    return _svg(figure)


def scatter(actual: np.ndarray, predicted: np.ndarray) -> Markup:
    """Predicted against actual numbers; at most POINTS of them, evenly spaced in the split."""
    figure, axes = _canvas("actual", "predicted")
    some = np.linspace(0, len(actual) - 1, min(len(actual), POINTS)).astype(int)
    axes.scatter(actual[some], predicted[some], s=9, color=FIRST, alpha=0.65, linewidths=0)
    ends = [actual.min(), actual.max()]
    axes.plot(ends, ends, color=INK, linewidth=1, linestyle=(0, (2, 3)))
    return _svg(figure)


def clusters(places: np.ndarray, labels: np.ndarray | None, names: Sequence[str]) -> Markup:
    """Points (N, 2) of a map without axes, coloured by class (N,); classes without a colour of their own are grey."""
    figure, axes = _canvas("", size=(6.6, 5))
    known = np.full(len(places), len(SERIES)) if labels is None else labels
    for number, (name, colour) in enumerate(drawn(names) if labels is not None else ()):
        mine = places[known == number]
        axes.scatter(mine[:, 0], mine[:, 1], s=9, color=colour, linewidths=0, label=name)
    if (rest := known >= len(SERIES)).any():
        axes.scatter(places[rest, 0], places[rest, 1], s=9, color="#a8b0bd", linewidths=0,
                     label="others" if names else None)
    axes.set(xticks=[], yticks=[])
    if labels is not None:
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), markerscale=2)
    return _svg(figure)


def histogram(values: np.ndarray, xlabel: str) -> Markup:
    """How often which value comes; the dashed line is zero."""
    figure, axes = _canvas(xlabel, "examples")
    axes.hist(values, bins=min(40, max(5, int(len(values) ** 0.5))), color=FIRST, rwidth=0.92)
    axes.axvline(0, color=INK, linewidth=1, linestyle=(0, (2, 3)))
    return _svg(figure)


def examples(split: Split, indices: np.ndarray) -> dict[str, Any]:
    """What these examples look like: {"images": [address, ...]}, or, of rows and texts, {"columns", "rows", "more"}."""
    if split.kind == "row":
        columns = split.columns or {f"x{i}": None for i in range(split.shape)}
        offsets = split.reading.get("offsets", {})
        rows = [_row(values, columns, offsets)[:COLUMNS] for values in split.x[indices]]
        return {"columns": list(columns)[:COLUMNS], "rows": rows, "more": max(0, len(columns) - COLUMNS)}
    if split.texts is not None:
        return {"columns": ["text"], "rows": [[text[:LETTERS]] for text in split.texts[indices]], "more": 0}
    draw = png if split.kind == "image" else sketch
    return {"images": [draw(example) for example in split.take(indices)[0]] if len(indices) else []}


def _row(values: np.ndarray, columns: Mapping[str, list[str] | None], offsets: Mapping[str, float]) -> list[str]:
    """The cells of the file from which kerasdl.data.columns.encode made these values."""
    cells, start = [], 0
    for name, categories in columns.items():
        width = len(categories) if categories else 1
        block = values[start:start + width]
        number = f"{block[0] + offsets[name]:.12g}" if name in offsets else f"{block[0]:.6g}"
        cells.append(categories[int(block.argmax())] if categories else number)
        start += width
    return cells


def sketch(series: np.ndarray) -> str:
    """The values of a series (T, F) over its steps, a line for each of its first dimensions, as a data: address."""
    series = outline(series[~np.isnan(series).all(axis=1), :len(SERIES)].astype("float64"))
    low, high = np.nanmin(series), np.nanmax(series)
    x = np.linspace(4, 156, len(series)) if len(series) > 1 else np.array([80.0])
    lines = []
    for values, colour in zip(series.T, SERIES, strict=False):
        y = 156 - 152 * (values - low) / (high - low) if high > low else np.where(np.isnan(values), values, 80.0)
        points = " ".join(f"{across:.1f},{down:.1f}" for across, down in zip(x, y, strict=True) if not np.isnan(down))
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" '
                     'stroke-linejoin="round" stroke-linecap="round"/>')
    drawing = ('<svg xmlns="http://www.w3.org/2000/svg" width="160" height="160"><rect width="160" height="160" '
               f'fill="#fff"/>{"".join(lines)}</svg>')
    return address(drawing.encode(), "svg+xml")


def outline(series: np.ndarray) -> np.ndarray:
    """A series (T, F) of at most STEPS steps: of more the least and the greatest value in equal parts of them."""
    if len(series) <= STEPS:
        return series
    parts = np.array_split(series, STEPS // 2)
    return np.concatenate([np.stack([np.nanmin(part, axis=0), np.nanmax(part, axis=0)]) for part in parts])


def png(image: np.ndarray) -> str:
    """An image (H, W, C) uint8, at most THUMBNAIL high and wide, as a data: address; of five channels or more the first
    three."""
    image = image if image.shape[2] <= 4 else image[..., :3]
    if max(image.shape[:2]) > THUMBNAIL:
        image = tf.image.resize(image, (THUMBNAIL, THUMBNAIL), preserve_aspect_ratio=True, antialias=True)
        image = tf.cast(tf.round(tf.clip_by_value(image, 0, 255)), "uint8")
    return png_of(image)


def png_of(image: np.ndarray) -> str:
    """An image (H, W, C) uint8, as large as it is, as a data: address."""
    return address(tf.io.encode_png(image).numpy())


def address(file: bytes, kind: str = "png") -> str:
    """The file of an image as a data: address."""
    return f"data:image/{kind};base64," + base64.b64encode(file).decode()


def label(metric: str) -> str:
    """The name of a metric as people write it; "frechet_cnn_mnist" is the Fréchet distance through cnn_mnist."""
    measure, _, referee = metric.partition("_")
    if measure in ("frechet", "kid"):
        return f"{'KID' if measure == 'kid' else 'Fréchet distance'} ({referee})"
    return {"mae": "MAE", "r2": "R²", "map": "mAP", "auc": "AUC", "macro_f1": "macro F1",
            "balanced_accuracy": "balanced accuracy", "d_loss": "discriminator loss", "g_loss": "generator loss",
            "calibration_error": "calibration error", "psnr": "PSNR, dB", "ssim": "SSIM",
            "robust_accuracy": "accuracy under PGD"}.get(metric, metric)


def heading(name: str) -> str:
    """Return a name as a heading; one with a capital letter of its own, mAP, stays as it is."""
    return name[:1].upper() + name[1:] if name == name.lower() else name


def _canvas(xlabel: str, ylabel: str = "", size: tuple[float, float] = SIZE) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", facecolor="none")
    axes = figure.add_subplot(facecolor="none")
    axes.set_axisbelow(True)
    axes.grid(color=GRID, linewidth=0.8)
    axes.tick_params(color=GRID, labelcolor=INK, labelsize=10, length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(xlabel, color=INK, fontsize=10)
    axes.set_ylabel(ylabel, color=INK, fontsize=10)
    return figure, axes


def _percent(axis: "Axis") -> None:
    axis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")


def _whole(axis: "Axis", ticks: int) -> None:
    """Let an axis, of epochs say, have at most this many ticks, all at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, nbins=ticks, min_n_ticks=1))


def _svg(figure: "Figure") -> Markup:
    """The figure as an <svg> element: text stays text, nothing refers outside, the same figure gives the same bytes."""
    import matplotlib.text

    for words in figure.findobj(matplotlib.text.Text):
        if "mathdefault" not in words.get_text():  # which Matplotlib writes on logarithmic axes
            words.set_parse_math("$" not in words.get_text())  # of a name that is in the data
    text = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "kerasdl", "font.family": "sans-serif"}):
        figure.savefig(text, format="svg", metadata=nothing)
    svg = text.getvalue()
    svg = svg[svg.index("<svg"):]
    # Not ours to say inside a page: namespaces, a style sheet that would reach every element, names, and the font.
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"|<style.*?</style>| id="[\w.]+_\d+"| font-family: [^;]*;', "", svg)
    for colour, variable in PAGE.items():
        svg = svg.replace(colour, variable)
    return Markup(svg)
