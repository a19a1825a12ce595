"""The trainings of a probe: a run's network fine-tuned on some of the labels, and the same from scratch."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl import objectives
from kerasdl.data import Split
from kerasdl.errors import UserError
from kerasdl.evaluation.located import located, located_args
from kerasdl.files import set_aside
from kerasdl.recipe import Recipe, load, validate
from kerasdl.run import INIT, Run
from kerasdl.train.fit import train

logger = logging.getLogger(__name__)
STEPS = 1000  # fewest steps of a training with few labels
FIXED = ("model", "objective", "objective_args", "init", "freeze", "seed", "prune_channels", "quantize")
PLAIN: dict[str, Any] = {"tta": None, "init": "", "freeze": (), "prune": 0.0, "prune_channels": 0.0, "quantize": None,
                         "private": {}, "claim": None}
TOKENIZER = "tokenizer.json"


def recipe_of(run: Run, named: str | None, overrides: Sequence[str], seed: int) -> Recipe:
    """Return the recipe by which a run's network learns to classify the run's data.

    The network is that of the run; what the run's `model_args` do not say, such as dropout, a named recipe does.

    Args:
        run: a finished run.
        named: a recipe of classification; None: that of the run, with objective=classify.
        overrides: changes as text, of the training and of the data.
        seed: of the training.

    Raises:
        UserError: a recipe of another model or objective, or an override of what a probe decides.
    """
    for pair in overrides:
        if (key := pair.partition("=")[0].strip().partition(".")[0]) in FIXED:
            raise UserError(f"A probe decides {key} itself. Leave out {pair!r}"
                            f"{', and give --seed' * (key == 'seed')}.")
    own = run.recipe
    base = load(named) if named else own
    if base.model != own.model:
        raise UserError(f"--recipe {named} has model={base.model}, and {run.path} has model={own.model}. Name a recipe "
                        "of the same model.")
    if named and base.objective != "classify":
        raise UserError(f"--recipe {named} has objective={base.objective}. Name one with objective=classify.")
    learned = objectives.get(own.objective, run.path)
    args = {**base.model_args, **learned.classifier_args, **own.model_args}
    args.pop("weights", None)  # public ones, which nothing here begins with
    folder, tokens = run.data.get("folder"), (run.path / TOKENIZER).is_file()
    found = base.override(objective="classify").model_dump() | PLAIN | {
        "model_args": args, "seed": seed, "data": located(own.data, folder), "splits": own.splits,
        "data_args": {**located_args(own.data_args, folder), **({"tokens": str(run.path)} if tokens else {})}}
    if base.objective != "classify":
        found |= {"monitor": "", "keep": "best"}
    return validate(found).override(*overrides)


def repeats(recipe: Recipe, labels: int, examples: int, steps: int = STEPS) -> int:
    """Return how often an epoch has each example, so that few labels are learned in as many epochs but enough steps.

    A training has at least `steps` steps, or as many as the recipe has with all labels if those are fewer.

    Args:
        recipe: its batch and epochs.
        labels: examples that are learned from.
        examples: those of the whole training split.
        steps: the fewest.
    """
    all_labels = max(1, examples // recipe.batch) * recipe.epochs
    an_epoch = max(1, math.ceil(min(steps, all_labels) / recipe.epochs))
    return max(1, math.ceil(an_epoch * recipe.batch / labels))


def splits_of(splits: Mapping[str, Split], index: np.ndarray, times: int) -> dict[str, Split]:
    """Return the splits of a training on the examples at these places, each several times an epoch."""
    whole = len(index) == len(splits["train"]) and times == 1
    return {**splits, "train": splits["train"] if whole else splits["train"].part(np.tile(index, times))}


def trained(recipe: Recipe, splits: Mapping[str, Split], path: Path, weights: str | None = None) -> Run:
    """Return the run of a recipe in a folder: what is there, resumed if it is not finished, or a new one.

    A run there of another recipe, of other examples or from other weights is kept under another name. The test split is
    not read.

    Args:
        recipe: of the training.
        splits: "train", "val" and "test".
        path: the folder.
        weights: the hash of those that it begins with.

    Raises:
        UserError: the training diverged.
    """
    recipe = validate(recipe.model_dump() | {"data": "arrays", "data_args": {}, "splits": {}})
    if (path / "recipe.json").is_file():
        if why := other(Run(path), recipe, splits, weights):
            kept = set_aside(path)
            logger.warning("%s is of %s, and is kept as %s.", path, why, kept.name)
        else:
            recipe = Run(path).recipe  # whose `init` may be where the run was before it was moved
    if not (path / "result.json").is_file():
        return train(recipe, workdir=path, data=splits, verbose=False, test=False)
    run = Run.open(path)
    if run.result["status"] != "completed":
        raise UserError(f"The training in {path} diverged. Probe with a lower learning rate: lr=VALUE.")
    return run


def other(run: Run, recipe: Recipe, splits: Mapping[str, Split], weights: str | None) -> str:
    """Return what a run in a folder is of, if it is not of this recipe, these examples and these first weights; ""."""
    moved = {"init"} if weights and keeps_first_weights(run) else set()  # the run, which may have been elsewhere then
    if run.recipe.model_dump(exclude=moved) != recipe.model_dump(exclude=moved):
        return "another recipe"
    if (run.path / "data.json").is_file() and run.data.get("examples") != {
            name: split.fingerprint() for name, split in splits.items()}:
        return "other examples"
    if weights and (run.path / "init.json").is_file() and run.origin["weights"] != weights:
        return "another state of the run"
    return ""


def keeps_first_weights(run: Run) -> bool:
    """Return whether a run knows which weights it began with, and does not need them from where `init` says."""
    return (run.path / "init.json").is_file() and ((run.path / INIT).is_file() or (run.path / "result.json").is_file())
