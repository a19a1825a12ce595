"""A run's answers for files: images, or the rows of CSV files."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl import objectives
from kerasdl.data import layout
from kerasdl.data.sources import read_files
from kerasdl.data.spec import recorded_kind
from kerasdl.errors import UserError
from kerasdl.files import whole, writing
from kerasdl.run import Run


def predict(run: Run | str | Path, files: Sequence[str | Path] | np.ndarray, resize: bool = False,
            top: int = 3) -> list[tuple[str, list[tuple[str, float]]]]:
    """Return the model's answer for each image file, for each row of each CSV file, or for each example of an array.

    Args:
        run: the run, or its folder.
        files: images, and folders of images, for a model of images; CSV files for a model of CSV rows; or examples as
            the model takes them, (N, H, W, C) in 0..255 or (N, F).
        resize: resize images of another size to the model's.
        top: how many classes to name.

    Returns:
        (file, or file:line for a row, or the number in an array; answers) of each example. Answers are the `top` most
        probable classes with their probabilities, best first; of a model that predicts numbers, the numbers, each with
        an empty name.

    Raises:
        UserError: no files, a missing or broken one, one of the wrong kind, or a model that makes no predictions.
    """
    run = Run.open(run)
    objective, facts = objectives.of(run.recipe, run.path), run.data
    if not objective.predicts:
        objective.answers(np.zeros((0, 1)), facts["classes"], top)  # says why not
    names, x = numbered(files, facts) if isinstance(files, np.ndarray) else \
        read_files(files_in(files, recorded_kind(facts)), facts, resize)
    outputs = run.model().predict(x, batch_size=run.recipe.micro_batch, verbose=0)
    return list(zip(names, objective.answers(outputs, facts["classes"], top), strict=True))


def files_in(paths: Sequence[str | Path], kind: str) -> list[Path]:
    """Return files, with the images in a folder and below in place of the folder, for a model of images."""
    found: list[Path] = []
    for path in map(Path, paths):
        found += layout.files(path) if kind == "image" and path.is_dir() else [path]
    return found


def write(found: Sequence[tuple[str, list[tuple[str, float]]]], file: Path,
          chosen: Callable[[list[tuple[str, float]]], list[str]] = lambda answers: [answers[0][0]]) -> None:
    """Write predictions as CSV, or as JSON lines if the file ends in .jsonl, whole or not at all, with all digits.

    Args:
        found: what `predict` returns, with all classes.
        file: example, prediction and the probability of each class; of numbers, value or value 1, value 2 ... Several
            labels are a prediction joined by "|", which may be empty.
        chosen: answers -> the labels that are the prediction, as the objective's `chosen`.

    Raises:
        UserError: another ending, or a file that cannot be written.
    """
    if file.suffix not in (".csv", ".jsonl"):
        raise UserError(f"Predictions are written to a .csv or a .jsonl file. Received: {file}.")
    rows = []
    for name, answers in found:
        if answers[0][0]:
            shares = {label: f"{value:.9g}" for label, value in sorted(answers)}
            rows.append({"example": name, "prediction": "|".join(chosen(answers)), **shares})
        else:
            names = ["value"] if len(answers) == 1 else [f"value {number}" for number in range(1, len(answers) + 1)]
            numbers = {key: f"{value:.9g}" for key, (_, value) in zip(names, answers, strict=True)}
            rows.append({"example": name, **numbers})
    with writing(file, "Name another file with --out."), whole(file) as partial, open(partial, "w", newline="") as out:
        if file.suffix == ".csv":
            table = csv.DictWriter(out, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
        else:
            out.writelines(json.dumps({key: value if key in ("example", "prediction") else float(value)
                                       for key, value in row.items()}) + "\n" for row in rows)


def numbered(x: np.ndarray, facts: Mapping[str, Any]) -> tuple[list[str], np.ndarray]:
    """Return a name for each example of an array, and the array, checked to be what the model takes.

    Raises:
        UserError: examples of another shape, or that are no numbers.
    """
    shape = (facts["shape"],) if isinstance(facts["shape"], int) else tuple(facts["shape"])
    if x.shape[1:] != shape or not len(x) or x.dtype.kind not in "uifb":
        wanted = ", ".join(["N", *map(str, shape)])
        raise UserError(f"The model takes an array of shape ({wanted}). Received: {x.shape} of {x.dtype}.")
    return [str(number) for number in range(len(x))], x.astype("float32")
