"""A run's answers for files: images, or the rows of CSV files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl import objectives
from kerasdl.data.sources.folders import FORMATS, read_images
from kerasdl.data.sources.tables import lines, read_rows
from kerasdl.errors import UserError
from kerasdl.run import Run


def predict(run: Run | str | Path, files: Sequence[str | Path], resize: bool = False,
            top: int = 3) -> list[tuple[str, list[tuple[str, float]]]]:
    """Return the model's answer for each image file, or for each row of each CSV file.

    Args:
        run: the run, or its folder.
        files: images for a model of images; CSV files for a model of CSV rows.
        resize: resize images of another size to the model's.
        top: how many classes to name.

    Returns:
        (file, or file:line for a row; answers) of each example. Answers are the `top` most probable classes with their
        probabilities, best first; of a model that predicts numbers, the numbers, each with an empty name.

    Raises:
        UserError: no files, a missing or broken one, one of the wrong kind, or a model that makes no predictions.
    """
    run = Run.open(run)
    objective, facts = objectives.of(run.recipe, run.path), run.data
    if not objective.predicts:
        objective.answers(np.zeros((0, 1)), facts["classes"], top)  # says why not
    names, x = _examples(facts, [Path(file) for file in files], resize)
    outputs = run.model().predict(x, batch_size=run.recipe.micro_batch, verbose=0)
    return list(zip(names, objective.answers(outputs, facts["classes"], top), strict=True))


def _examples(expected: dict[str, Any], files: list[Path], resize: bool) -> tuple[list[str], np.ndarray]:
    rows = isinstance(expected["shape"], int)
    if not files:
        raise UserError(f"No files to predict. Give {'CSV files' if rows else 'image files'}.")
    for file in files:
        if file.is_dir():
            raise UserError(f"{file} is a folder. Name the files in it, as with {file}/*.")
        if not file.is_file():
            raise UserError(f"There is no file {str(file)!r}.")
        if rows and file.suffix.lower() in FORMATS:
            raise UserError(f"The model takes CSV rows, and {file} is an image.")
        if not rows and file.suffix.lower() == ".csv":
            raise UserError(f"The model takes images, and {file} is a CSV file.")
    if not rows:
        return [str(file) for file in files], read_images(files, expected["shape"], resize)
    if not expected["columns"]:
        raise UserError("The model was trained on arrays, whose columns have no names. Use run.model().predict(x).")
    parts = [read_rows(str(file), expected["columns"], expected.get("medians", {})) for file in files]
    names = [f"{file}:{line}" for file, part in zip(files, parts, strict=True) for line in lines(file, len(part))]
    return names, np.concatenate(parts)
