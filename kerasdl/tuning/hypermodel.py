"""A function build(hp) in the manner of keras-tuner: import it, find all its hyperparameters, train a trial of it.

    python -m kerasdl.tuning.hypermodel FILE.py:NAME FOLDER      writes FOLDER/space.json

Finding the hyperparameters builds models, so it runs in a process of its own, which gives its memory and devices back.
"""

import copy
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
from keras_tuner import HyperParameters

from kerasdl import objectives, user_code
from kerasdl.data import load_splits
from kerasdl.errors import UserError
from kerasdl.files import whole, write_json
from kerasdl.recipe import Recipe
from kerasdl.train.setup import SPLITS, precision
from kerasdl.tuning import median_stopping, same_data

TURNS = 1000  # builds at most while the conditional scopes are explored


def probe(build: Callable) -> HyperParameters:
    """Return all hyperparameters of a function: build models until each conditional scope was active once.

    Raises:
        UserError: if the same name is used under two conditions: keras-tuner drops its value.
    """
    found = HyperParameters()
    active: list[Any] = []
    waiting: list[Any] = [[]]
    for _ in range(TURNS):
        if not waiting:
            break
        hp = found.copy()
        for condition in waiting[0]:
            hp.values[condition.name] = condition.values[0]
        hp.ensure_active_values()
        build(hp)
        found.merge(hp, overwrite=False)
        active += copy.deepcopy(hp.active_scopes) + waiting[:1]
        waiting = [scope for scope in waiting[1:] + copy.deepcopy(hp.inactive_scopes) if scope not in active]
    names = [hp.name for hp in found.space]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UserError(f"build(hp) uses the name {twice!r} under two conditions, of which keras-tuner loses one. "
                        "Give each its own name.")
    return found


def space(build: str, folder: str | Path) -> HyperParameters:
    """Return the hyperparameters of "FILE.py:NAME", found once and kept in `folder`/space.json.

    Raises:
        UserError: with what build raised.
    """
    file = Path(folder) / "space.json"
    if not file.exists():
        done = subprocess.run([sys.executable, "-P", "-m", "kerasdl.tuning.hypermodel", build, str(folder)],
                              capture_output=True, text=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["it was killed"]
            raise UserError(f"build(hp) of {build} failed: {lines[-1]}")
    return HyperParameters.from_config(json.loads(file.read_text(encoding="utf-8")))


def train(task: dict[str, Any], recipe: Recipe, folder: Path, stopping: keras.callbacks.Callback) -> dict[str, Any]:
    """Fit what build(hp) returns, keep the epoch with the best objective, and return the trial's outcome.

    The model takes the examples and their labels as numbers. The recipe's data, batch, epochs, seed and precision
    count. An interrupted trial resumes at its last epoch (keras.callbacks.BackupAndRestore).
    """
    splits = load_splits(recipe.data, SPLITS | recipe.splits, target=objectives.get(recipe.objective).target,
                         **recipe.data_args)
    examples = {name: split.fingerprint() for name, split in splits.items()}
    same_data.check_data(task, examples)
    write_json(folder / same_data.FILE, {"examples": examples})
    keras.utils.set_random_seed(recipe.seed)
    epochs = task["rung"]["epochs"] if task["rung"] else recipe.epochs
    with precision(recipe.precision):
        model = user_code.load(task["build"])(HyperParameters.from_config(task["hp"]))
        table = keras.callbacks.CSVLogger(folder / "metrics.csv", append=True)
        backup = keras.callbacks.BackupAndRestore(folder / "backup", double_checkpoint=True)
        best = BestModel(folder, task["objective"], task["direction"])
        model.fit(splits["train"].x, splits["train"].y, batch_size=recipe.batch, epochs=epochs, verbose=2,
                  validation_data=(splits["val"].x, splits["val"].y),
                  callbacks=[keras.callbacks.TerminateOnNaN(), best, table, backup, stopping])
    rows = median_stopping.history(folder)
    if not math.isfinite(rows[-1].get("loss", 0.0)):
        return {"status": "failed", "why": f"loss is {rows[-1]['loss']} in epoch {len(rows)}", "traceback": "",
                "again": False}
    return reached("completed", rows, task["objective"], task["direction"])


def reached(status: str, rows: list[dict[str, float]], objective: str, direction: str) -> dict[str, Any]:
    """Return the outcome of a trial after these epochs: the scores of the one with the best objective."""
    scored = [row for row in rows if math.isfinite(row.get(objective, math.nan))]
    scored = scored or rows[-1:]  # never logged, or never a number: the caller says so
    row = (max if direction == "max" else min)(scored, key=lambda row: row.get(objective, 0.0))
    return {"status": status, "epochs": len(rows), "best": rows.index(row) + 1,
            "scores": {key: value for key, value in row.items() if key.startswith("val/")}}


class BestModel(keras.callbacks.Callback):
    """Writes model.keras, whole, after an epoch with a better objective than any before it in metrics.csv.

    keras.callbacks.ModelCheckpoint forgets the epochs before a resume, and leaves half a file when it is killed.
    """

    def __init__(self, folder: Path, objective: str, direction: str):
        super().__init__()
        self.folder, self.key = folder, objective.replace("val/", "val_", 1)
        self.sign = 1 if direction == "max" else -1
        before = [self.sign * value for value in median_stopping.curve(folder, objective)]
        self.best = max(filter(math.isfinite, before), default=-math.inf)

    def on_epoch_end(self, epoch, logs=None):
        score = self.sign * logs.get(self.key, math.nan)
        if score > self.best:
            self.best = score
            with whole(self.folder / "model.keras") as partial:
                self.model.save(partial)


def main() -> None:
    build, folder = sys.argv[1:]
    hps = probe(user_code.load(build))
    hps.values = {}
    write_json(Path(folder) / "space.json", hps.get_config())


if __name__ == "__main__":
    main()
