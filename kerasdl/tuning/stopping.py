"""End a trial early when the median rule says so, or at once when its data is other or its objective never logged."""

from pathlib import Path
from typing import Any

import keras

from kerasdl.errors import DataError
from kerasdl.tuning import median_stopping
from kerasdl.tuning.same_data import FILE, check_data, examples_of


class TrialPruned(Exception):
    """The trial is worse than the median of the others at this epoch.

    Attributes:
        epoch: how many epochs it has trained.
    """

    def __init__(self, message: str, epoch: int):
        super().__init__(message)
        self.epoch = epoch


class StopTrial(keras.callbacks.Callback):
    """Compares the trial with its thresholds after each epoch. It comes after the callback that writes metrics.csv.

    Args:
        folder, task: of the trial.
        epochs: of its recipe.
    """

    def __init__(self, folder: Path, task: dict[str, Any], epochs: int):
        super().__init__()
        self.folder, self.task, self.epochs = folder, task, epochs

    def on_train_begin(self, logs=None):
        try:
            check_data(self.task, examples_of(self.folder))
        except DataError:
            if not any(self.folder.glob("checkpoint/**/step-*.npz")):
                (self.folder / FILE).unlink()  # so that it can begin once the data is as it was
            raise

    def on_epoch_end(self, epoch, logs=None):
        objective, direction, thresholds = (self.task[key] for key in ("objective", "direction", "thresholds"))
        rows = median_stopping.history(self.folder)
        if rows and median_stopping.logged_as(objective, rows[-1]) not in rows[-1]:
            raise median_stopping.never_logged(objective, [key for key in rows[-1] if key.startswith("val/")])
        curve = median_stopping.curve(self.folder, objective)
        threshold = median_stopping.missed(curve, thresholds, direction, self.epochs)
        if threshold is not None:
            best = (max if direction == "max" else min)(curve)
            raise TrialPruned(f"stopped after epoch {epoch + 1}: its best {objective} {best:.4g} is worse than "
                              f"{threshold:.4g}, the median of the others", epoch + 1)
