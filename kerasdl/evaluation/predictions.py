"""predictions.npz of a run: what the kept model answered for each example of the test split, written once.

The report, ensembles and audits read this file, and do not run the model again.
"""

import zipfile
import zlib
from typing import Any, NamedTuple

import keras
import numpy as np

from kerasdl.data import Split, pipeline
from kerasdl.errors import UserError
from kerasdl.files import whole
from kerasdl.objectives.base import Objective
from kerasdl.run import Run

FILE = "predictions.npz"


class Predictions(NamedTuple):
    """The answers for a split, in its order.

    Attributes:
        index: (N,) the place of each example in the split.
        truth: (N,) class indices, (N, outputs) numbers, or (N, 0) for an objective that reads no labels.
        outputs: (N, outputs) float32: logits, or numbers.
    """

    index: np.ndarray  # type: ignore[assignment]  # a tuple has a method of that name
    truth: np.ndarray
    outputs: np.ndarray


@pipeline.as_written
def collect(objective: Objective, kept: keras.Model, split: Split, batch: int) -> Predictions:
    """Return what the kept model answers for a split."""
    prepare = None if objective.prepares_for_learner else objective.prepare
    batches = pipeline.in_order(split, objective.targets(split), batch, prepare=prepare)
    return of(objective, split, kept.predict(batches.map(lambda x, *_: x), verbose=0), batch)


@pipeline.as_written
def of(objective: Objective, split: Split, outputs: np.ndarray, batch: int) -> Predictions:
    """Return what was answered for a split (N, outputs), with its truth."""
    truth: Any = split.y
    if objective.target is None:
        truth = np.zeros((len(outputs), 0), "float32")
    elif split.streamed:
        truth = np.concatenate([labels for _, labels in split.dataset(batch).as_numpy_iterator()])
    return Predictions(np.arange(len(outputs)), truth, outputs.astype("float32"))


def write(run: Run, predictions: Predictions) -> None:
    """Write the file, whole or not at all."""
    with run.writing(), whole(run.path / FILE) as partial:
        np.savez_compressed(partial, **predictions._asdict())


def read(run: Run) -> Predictions | None:
    """Return what a run's file holds; None for a run that has none, as runs of version 0.1.

    Raises:
        UserError: a file that is not whole, as after an interrupted copy.
    """
    file = run.path / FILE
    if not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return Predictions(**{name: arrays[name] for name in Predictions._fields})
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        raise UserError(f"{file} is damaged. Copy the run again, or train it anew.") from None
