"""Versions of a run's model that are smaller and smaller, each a training of its own and a file that is measured."""

import json
import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from kerasdl import objectives, user_code
from kerasdl.deploy import exporting
from kerasdl.deploy.compress.choose import LOST, Target, lost
from kerasdl.errors import Impossible, UserError
from kerasdl.evaluation.located import PATHS
from kerasdl.files import set_aside
from kerasdl.recipe import Recipe
from kerasdl.run import Run
from kerasdl.train import pretrained
from kerasdl.train.callbacks import Diverged
from kerasdl.train.fit import train
from kerasdl.zoo.cost import multiply_adds

FORMAT, BITS = "litert", "int8"
WHOLE = "whole"  # the run itself
SHARES = (0.25, 0.5, 0.7, 0.85)  # of the multiply-adds, that go with whole channels
EPOCHS = 0.2  # of the run's, for each training
RATE = 0.2  # of its learning rate
AWARE = {"optimizer": "adamw", "optimizer_args": {}, "lr": 2e-4, "weight_decay": 0.0, "ema": 0.0,
         "precision": "float32", "quantize": BITS, "prune_channels": 0.0}
PATHS_IN = {"data_args": PATHS, "model_args": ("weights",), "objective_args": ("teacher",)}  # what may be a path
Made = TypeVar("Made")
logger = logging.getLogger(__name__)


def versions(run: Run, folder: Path, better: str, target: Target, epochs: int | None, data: Any
             ) -> Iterator[dict[str, Any]]:
    """Yield what each version is like, the largest first, up to the rung in which one reaches the target.

    Each has its training in `folder`/NAME/run and its file in `folder`/NAME/export, and what is there is not made
    again.
    """
    epochs = epochs or max(1, round(EPOCHS * run.recipe.epochs))
    for name, version in trainings(run, folder, epochs, data):
        reached = False
        for found in rung(name, version, folder, better, epochs, data):
            reached |= not target.open and target.reached(found)
            yield found
        if reached:
            return


def rung(name: str, version: Run, folder: Path, better: str, epochs: int, data: Any) -> Iterator[dict[str, Any]]:
    """Yield what a version is like and, where its 8-bit file loses more than LOST against its own float32, the version
    that is trained to be rounded. One whose file is refused is left out, but for the run itself."""
    found = (measured(name, version, folder / name, data) if name == WHOLE
             else possible(name, measured, name, version, folder / name, data))
    if not found:
        return
    yield found
    if lost(found, version.result["val"][score_of(version)], better) > LOST:
        name, recipe = f"{name}-aware", next_recipe(version, epochs).override(**AWARE)
        aware = possible(name, trained, recipe, folder / name, data)
        if aware and (found := possible(name, measured, name, aware, folder / name, data)):
            yield found


def trainings(run: Run, folder: Path, epochs: int, data: Any) -> Iterator[tuple[str, Run]]:
    """Yield the run itself, and a run with fewer channels for each of SHARES that the network can lose."""
    yield WHOLE, run
    for share in SHARES:
        name, recipe = f"channels-{100 * share:.0f}", next_recipe(run, epochs).override(prune_channels=share)
        if not (version := possible(name, trained, recipe, folder / name, data)):
            return
        yield name, version


def possible(name: str, make: Callable[..., Made], *args: Any) -> Made | None:
    """Return what is made for a version; None, which is logged, where it cannot be made of this model."""
    try:
        return make(*args)
    except Impossible as error:
        logger.info("%s is left out. %s", name, error)
        return None


def next_recipe(run: Run, epochs: int) -> Recipe:
    """Return the recipe of a training that begins with a run's weights, and learns from its answers if it can.

    All layers learn, also those that the run has frozen, as all that read a channel which goes have to.
    """
    recipe, path = run.recipe, str(run.path.resolve())
    short = recipe.override(**absolute_paths(run), init=path, epochs=epochs, lr=recipe.lr * RATE, schedule="cosine",
                            warmup="10%", patience=None, prune_channels=0.0, freeze=())
    taught = vars(objectives.get(recipe.objective, run.path)).get("with_teacher")  # a user's subclass has its own loss
    if not taught:
        return short
    return short.override(objective=taught, objective_args={**short.objective_args, "teacher": path})


def absolute_paths(run: Run) -> dict[str, Any]:
    """Return the fields of a run's recipe that name files, with paths that are the same from every folder.

    The user's own code is what the run has kept.
    """
    recipe, folder = run.recipe, run.data.get("folder")
    source, colon, path = recipe.data.partition(":")
    fields = {name: {key: rooted(value, folder) if key in PATHS_IN[name] and isinstance(value, str) else value
                     for key, value in getattr(recipe, name).items()} for name in PATHS_IN}
    return {"data": f"{source}:{rooted(path, folder)}" if colon else recipe.data, "splits": recipe.splits,
            **user_code.kept(recipe, run.path), **fields}


def rooted(path: str, folder: str | None) -> str:
    """Return a path from the root, of what is here or else in the folder of the training; another word as it is."""
    found = next((each for each in (Path(path).expanduser(), Path(folder or "", path)) if each.exists()), None)
    return str(found.resolve()) if found else path


def trained(recipe: Recipe, folder: Path, data: Any) -> Run:
    """Return the run of a recipe in `folder`/run: what is there, resumed if it is not finished, or a new one. It may
    have diverged."""
    path = folder / "run"
    if (path / "recipe.json").is_file():
        if is_other(Run(path), recipe):
            kept = set_aside(folder)
            logger.warning("%s was trained with other settings, from other weights, or by an earlier version. It is "
                           "made anew, and what was there is now %s.", folder, kept)
        elif Run(path).recipe != recipe:  # the folder was moved: what it names is elsewhere
            Run.create(recipe, path)
    if (path / "result.json").is_file():
        return Run.open(path)
    try:
        return train(recipe, workdir=path, data=data, verbose=False, test=False)
    except Diverged:
        return Run.open(path)


def is_other(run: Run, recipe: Recipe) -> bool:
    """Return whether a run is of other settings or began with other weights, wherever its files are."""
    if settings(run.recipe) != settings(recipe):
        return True
    initial = pretrained.read(recipe)
    return bool(initial and (run.path / "init.json").is_file() and run.origin["weights"] != initial.facts["weights"])


def settings(recipe: Recipe) -> dict[str, Any]:
    """Return the fields of a recipe but for the folders of its files: data and code are those of the run in `init`."""
    fields = recipe.model_dump(mode="json") | {"init": "", "data": recipe.data.partition(":")[0]}
    for name in ("model", "objective"):
        fields[name] = Path(fields[name]).name
    for name, keys in PATHS_IN.items():
        fields[name] = {key: value for key, value in fields[name].items() if key not in keys}
    return fields


def measured(name: str, version: Run, folder: Path, data: Any) -> dict[str, Any]:
    """Return the facts of a version's file, which is made if it is not there, or if it is of other weights."""
    out = folder / "export"
    if version.result["status"] == "diverged":
        raise Impossible(f"No file was written: its training diverged. {version.result['message']} To train it anew, "
                         f"remove {version.path}.")
    facts = json.loads((out / exporting.FACTS).read_text(encoding="utf-8")) if (out / exporting.FACTS).is_file() else {}
    if facts and facts.get("run_model_sha256") != exporting.digest(version.model_file):
        logger.warning("%s is of other weights. It is made anew, and what was there is now %s.", out, set_aside(out))
        facts = {}
    if not facts:
        facts = exporting.export(version, FORMAT, quantize=BITS, out=out, tolerance=math.inf, data=data)
    model, steps = version.model(), int(np.ravel(version.data["shape"])[0] or 1)
    return {"name": name, "parameters": model.count_params(), "multiply_adds": multiply_adds(model, steps),
            "bytes": facts["bytes"], "milliseconds": facts["latency"]["1"]["file_ms"],
            "val": facts["scores"][score_of(version)]["file"]}


def score_of(run: Run) -> str:
    """Return the score by which versions are compared: what chose the epochs or, as files have no loss, another one.

    Raises:
        UserError: there is none.
    """
    objective = objectives.of(run.recipe, run.path)
    for name in (run.result["monitor"], *objective.scores):
        if name != "loss" and name not in objective.learner_scores:
            return name
    raise UserError(f"{run.path} has no score but its loss, and files have none. Give its objective, "
                    f"{run.recipe.objective}, another one in `scores` and `metrics`.")
