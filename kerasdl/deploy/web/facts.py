"""What the page has to know of a run: how an example is read, and how the model's numbers are shown."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from kerasdl.data.spec import recorded_kind, recorded_names
from kerasdl.data.table_file import MISSING_WORDS, Dialect
from kerasdl.deploy.web import runtime
from kerasdl.errors import UserError
from kerasdl.objectives.base import Objective
from kerasdl.run import Run

SHOWN = {"softmax": lambda row: softmax(row), "sigmoid": expit, "numbers": lambda row: row}
EDGE, SHARE = 32, 0.9  # a ground is within EDGE of black or white in the corners of SHARE of the images
INK = 48  # how far from the ground a pixel is drawn


def check(run: Run, objective: Objective, shape: tuple[int | None, ...], outputs: tuple[int | None, ...]) -> None:
    """Raise a UserError for a model that the page cannot ask.

    Args:
        run: the run.
        objective: of its recipe.
        shape: of an example, as the network takes it.
        outputs: of an answer, as the network gives it.
    """
    facts, kind = run.data, recorded_kind(run.data)
    reading = facts.get("reading", {})
    if not objective.predicts:
        raise UserError(f"--format web asks a model about an example, and one with objective={run.recipe.objective} "
                        "answers no questions. Try --format onnx.")
    if kind not in ("image", "row", "sequence"):
        raise UserError(f"--format web reads images, rows and series, and the model takes {kind}: the tokenizer runs "
                        "in Python only. Try --format onnx.")
    if kind == "image" and (shape[-1] not in (1, 3) or "value_range" in reading):
        raise UserError("--format web reads images of 1 or 3 channels of 8 bits, as browsers do, and the model takes "
                        "others. Try --format onnx.")
    dialect = reading.get("dialect") or {}
    if odd := [key for key in ("thousands", "na_values") if dialect.get(key)]:
        raise UserError(f"--format web reads rows as they are usually written, and data_args.{odd[0]} says otherwise. "
                        "Try --format onnx.")
    if named := [name for key in ("dates", "hash") for name in reading.get(key, ())]:
        raise UserError(f"--format web reads numbers and categories, and {named[0]!r} is a column of dates or of "
                        "hashed texts. Try --format onnx.")
    if shown_as(objective, facts.get("classes") or (), outputs) is None:
        raise UserError(f"--format web shows probabilities of classes or labels, or numbers, and objective="
                        f"{run.recipe.objective} answers in another way. Try --format onnx.")


def shown_as(objective: Objective, classes: Any, outputs: tuple[int | None, ...]) -> str | None:
    """Return which function of SHOWN makes the objective's answers of a network's outputs; None: none of them.

    It is found by trying, so that an objective of the user's own is shown as it answers, or not at all.
    """
    if len(outputs) != 1 or outputs[0] is None:
        return None
    tried = 3 * np.random.default_rng(0).standard_normal((4, outputs[0]))
    given = objective.answers(tried, classes, outputs[0])
    for name, function in SHOWN.items():
        labels = [""] * outputs[0] if name == "numbers" else list(classes)
        ours = [sorted(zip(labels, function(row), strict=False)) for row in tried]
        if all(map(alike, ours, map(sorted, given))):
            return name
    return None


def alike(one: list[tuple[str, float]], other: list[tuple[str, float]]) -> bool:
    """Return whether (label, value) pairs have the same labels and, nearly, the same values."""
    return [label for label, _ in one] == [label for label, _ in other] and \
        np.allclose([value for _, value in one], [value for _, value in other])


def of(run: Run, objective: Objective, exported: Mapping[str, Any], x: np.ndarray) -> dict[str, Any]:
    """Return the content of model.json.

    Args:
        run: the run.
        objective: of its recipe.
        exported: what export.json says.
        x: the examples of the validation split (N, ...). Sums of them are taken, and none is kept.
    """
    facts, kind = run.data, recorded_kind(run.data)
    reading, shape, columns = facts.get("reading", {}), exported["input"]["shape"], facts.get("columns") or {}
    offsets, medians = reading.get("offsets") or {}, facts.get("medians") or {}
    dialect = reading.get("dialect") or {}
    return {
        "title": exported["recipe"] or run.recipe.model, "about": about(kind, exported), "runtime": runtime.VERSION,
        "panel": kind if kind == "image" or columns else "raw", "shape": shape,
        "answers": shown_as(objective, exported["classes"], tuple(exported["output"]["shape"])),
        "classes": recorded_names(exported), "thresholds": dict(getattr(objective, "thresholds", {})),
        "fit": reading.get("fit"), "fill": reading.get("fill"),
        "pad": pad(x) if kind == "image" and shape[-1] == 1 else None,
        "columns": list(columns.items()), "medians": medians, "offsets": offsets, "missing": list(MISSING_WORDS),
        "defaults": defaults(columns, offsets, x) if columns else {},
        "separator": Dialect(**dialect).separator(run.recipe.data), "decimal": dialect.get("decimal") or "."}


def about(kind: str, exported: Mapping[str, Any]) -> str:
    """Return a line on what the model takes, and how good this file's answers were."""
    shape, classes = exported["input"]["shape"], exported["classes"]
    takes = {"image": f"Images of {' × '.join(map(str, shape[:2]))} pixels", "row": "Rows of a table",
             "sequence": "Series"}[kind]
    scores = [f"{name} {score['file']:.4g}" for name, score in exported["scores"].items()][:1]
    return f"{takes}{f', {len(classes)} classes' if classes else ''}." + \
        (f" On {exported['examples']:,} validation examples: {scores[0]}." if scores else "")


def pad(x: np.ndarray) -> dict[str, Any] | None:
    """Return how a drawing becomes like the grey images (N, H, W, 1); None: they are no drawings.

    Returns:
        "ground" and "ink", their grey levels; "side", the share of height and width that what is drawn fills in most
        images; "centre", where its centre of mass is, as shares of height and width.
    """
    images = x[..., 0].astype("float32")
    corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    ground = next((level for level in (0, 255) if (np.abs(corners - level) < EDGE).mean() >= SHARE), None)
    ink = np.abs(images - (ground or 0))
    ink = ink[ink.max((1, 2)) > INK]
    if ground is None or not len(ink):
        return None
    sides, centres = [], []
    for axis in (1, 2):
        drawn = (ink > INK).any(3 - axis)
        extent = drawn.shape[1] - drawn[:, ::-1].argmax(1) - drawn.argmax(1)
        sides.append(float(np.quantile(extent, 0.9)) / drawn.shape[1])
        mass, places = ink.sum(3 - axis), np.arange(drawn.shape[1]) + 0.5
        centres.append(float(np.median(mass @ places / mass.sum(1))) / drawn.shape[1])
    strength = round(float(np.median(ink.max((1, 2)))))
    return {"ground": ground, "ink": abs(ground - strength), "side": sides, "centre": centres}


def defaults(columns: Mapping[str, list[str] | None], offsets: Mapping[str, float], x: np.ndarray) -> dict[str, Any]:
    """Return what the fields of the form begin with: medians of numbers and the commonest categories."""
    found: dict[str, Any] = {}
    start = 0
    for name, categories in columns.items():
        width = len(categories or [0])
        part = x[:, start:start + width]
        found[name] = categories[int(part.sum(0).argmax())] if categories else \
            float(f"{float(np.median(part)):.6g}") + offsets.get(name, 0.0)
        start += width
    return found
