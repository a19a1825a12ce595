"""When a trial ends before its recipe does: at its rung, or because it is poor."""

import signal
from pathlib import Path
from typing import Any

import keras

from kerasdl.tuning import early


class Ended(Exception):
    """The trial is worse than half of the others were at this epoch.

    Attributes:
        epoch: how many it has had.
    """

    def __init__(self, message: str, epoch: int):
        super().__init__(message)
        self.epoch = epoch


class Ending(keras.callbacks.Callback):
    """Asks after each epoch whether that is enough; it stands behind what writes metrics.csv.

    Args:
        folder, task: of the trial.
        epochs: of its recipe.

    Attributes:
        reached: whether the trial has had the epochs of its rung. The run is then asked to stop, which saves its state.
    """

    def __init__(self, folder: Path, task: dict[str, Any], epochs: int):
        super().__init__()
        self.folder, self.task, self.epochs, self.reached = folder, task, epochs, False

    def on_epoch_end(self, epoch, logs=None):
        rows = early.history(self.folder)
        if rows and self.task["objective"] not in rows[-1]:  # told now, and not when all epochs are over
            raise early.never_logged(self.task["objective"], [key for key in rows[-1] if key.startswith("val/")])
        rung = self.task["epochs"]
        if rung and rung < self.epochs and epoch + 1 >= rung:
            self.reached = True
            self._stop()
            return
        curve, bar = early.curve(self.folder, self.task["objective"]), self.task["bar"]
        if early.below(curve, bar, self.task["direction"], self.epochs):
            best = (max if self.task["direction"] == "max" else min)(curve)
            limit = bar[min(len(curve), len(bar)) - 1]
            raise Ended(f"stopped after epoch {epoch + 1}: its best {self.task['objective']} {best:.4g} is worse than "
                        f"{limit:.4g}, the median of the others", epoch + 1)

    def _stop(self) -> None:
        if "build" in self.task:
            self.model.stop_training = True
        else:
            signal.raise_signal(signal.SIGTERM)  # the run saves its state, from which the next rung goes on
