"""A trial of a function build(hp) in the manner of keras-tuner: plain Keras, and the files of a run that fit it."""

import math
from pathlib import Path
from typing import Any

import keras
from keras_tuner import HyperParameters

from kerasdl import objectives
from kerasdl.data import load_splits
from kerasdl.files import whole
from kerasdl.recipe import Recipe
from kerasdl.train.setup import SPLITS, precision
from kerasdl.tuning import early
from kerasdl.tuning.build import load


class Best(keras.callbacks.Callback):
    """Writes model.keras, whole, after an epoch whose objective is better than those in metrics.csv before it.

    keras.callbacks.ModelCheckpoint forgets them when the trial goes on, and leaves half a file when it is killed.
    """

    def __init__(self, folder: Path, objective: str, direction: str):
        super().__init__()
        self.folder, self.key = folder, objective.replace("val/", "val_", 1)
        self.sign = 1 if direction == "max" else -1
        before = [self.sign * value for value in early.curve(folder, objective)]
        self.best = max(filter(math.isfinite, before), default=-math.inf)

    def on_epoch_end(self, epoch, logs=None):
        score = self.sign * logs.get(self.key, math.nan)
        if score > self.best:
            self.best = score
            with whole(self.folder / "model.keras") as partial:
                self.model.save(partial)


def train(task: dict[str, Any], recipe: Recipe, folder: Path, ending: keras.callbacks.Callback) -> dict[str, Any]:
    """Fit what build(hp) returns, keep the epoch with the best objective, and return the trial's outcome.

    The model takes the examples and their labels as numbers. Of the recipe count data, batch, epochs, seed and
    precision. A trial that was interrupted goes on at its last epoch (keras.callbacks.BackupAndRestore).
    """
    splits = load_splits(recipe.data, SPLITS | recipe.splits, target=objectives.get(recipe.objective).TARGET,
                         **recipe.data_args)
    keras.utils.set_random_seed(recipe.seed)
    with precision(recipe.precision):
        model = load(task["build"])(HyperParameters.from_config(task["hp"]))
        table = keras.callbacks.CSVLogger(folder / "metrics.csv", append=True)
        backup = keras.callbacks.BackupAndRestore(folder / "backup", double_checkpoint=True)
        model.fit(splits["train"].x, splits["train"].y, batch_size=recipe.batch, epochs=recipe.epochs, verbose=2,
                  validation_data=(splits["val"].x, splits["val"].y),
                  callbacks=[keras.callbacks.TerminateOnNaN(), Best(folder, task["objective"], task["direction"]),
                             table, backup, ending])
    rows = early.history(folder)
    scored = [row for row in rows if math.isfinite(row.get(task["objective"], math.nan))]
    scored = scored or rows[-1:]  # never logged, or never a number: the caller says so
    best = (max if task["direction"] == "max" else min)(scored, key=lambda row: row.get(task["objective"], 0.0))
    return {"status": "completed", "epochs": len(rows), "best": rows.index(best) + 1,
            "scores": {key: value for key, value in best.items() if key.startswith("val/")}}
