"""A run's answers for files: images, or the rows of CSV files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kerasdl import objectives
from kerasdl.data.sources import read_files
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
    names, x = read_files([Path(file) for file in files], facts, resize)
    outputs = run.model().predict(x, batch_size=run.recipe.micro_batch, verbose=0)
    return list(zip(names, objective.answers(outputs, facts["classes"], top), strict=True))
