"""The data that a run is evaluated on: its own, checked to be what it began with, or another set of the same kind."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from kerasdl import objectives
from kerasdl.data import Split, load_splits
from kerasdl.data.sources import load_for
from kerasdl.data.spec import Target
from kerasdl.data.split import check_same
from kerasdl.errors import UserError, nearest
from kerasdl.evaluation.located import absolute, located, located_args
from kerasdl.run import Run, located_path
from kerasdl.text import typed

SPLITS = {"train": "train", "val": "val", "test": "test"}
Data = str | Mapping[str, Split] | None
logger = logging.getLogger(__name__)


def load_split(run: Run, split: str = "test", data: Data = None, **more: Any) -> Split:
    """Return a split of the run's own data or of another set, which must have the run's shape, columns and classes.

    Args:
        run: the run.
        split: "train", "val" or "test", or an expression of its source.
        data: the name of another set, or splits; None: the run's own.
        **more: data_args besides those of the run's recipe, for its own data. Its images may get another shape.
    """
    recipe, name = run.recipe, data if isinstance(data, str) else "data"
    target = objectives.get(recipe.objective, run.path).target
    if isinstance(data, str):
        found = _other(run, split, data, target)
    elif data is not None:
        if not isinstance(data, Mapping):
            raise UserError("data is a name, or a dictionary of splits. "
                            f"Received: {type(data).__name__}. Write data={{{split!r}: split}}.")
        if split not in data:
            raise UserError(f"data has no split {split!r}. {nearest(split, data)}")
        found = data[split]
        if not isinstance(found, Split):
            raise UserError(f"data[{split!r}] is {type(found).__name__}, and not a split as kerasdl.data.from_arrays "
                            "makes them.")
    elif recipe.data == "arrays":
        raise UserError(f"{run.path} was trained on arrays, which it does not keep. Give them from Python: "
                        "data=kerasdl.data.from_arrays(x, y).")
    else:
        folder = run.data.get("folder")
        args, name = located_args(recipe.data_args, folder), located(recipe.data, folder)
        expression = (SPLITS | recipe.splits).get(split, split)
        found = load_splits(name, {split: expression}, target=target, **args | more)[split]
        if run.data.get("examples", {}).get(split, now := found.fingerprint()) != now:
            held = args.get("test") if split == "test" else None
            other = f"{typed(f'csv:{held}')} --split all" if held else typed(name)
            raise UserError(f"The {split} split of {name} is not the one that {run.path} began with: something was "
                            "added, removed or changed, so that it may hold examples that the model learned from. "
                            f"To measure it all the same: kerasdl eval {typed(run.path)} --data {other}")
    own = found.describe()
    labels = {} if target else {"classes": own["classes"], "target": own.get("target")}  # which nobody reads
    check_same(found, run.data | labels | ({"shape": own["shape"]} if more else {}), name)
    return found


def learned(run: Run, data: Data) -> dict[str, Split]:
    """Return what a run learned from: "train"; for a run on arrays, all splits, which `data` must give."""
    if run.recipe.data != "arrays":
        return {"train": load_split(run, "train")}
    if not isinstance(data, Mapping) or set(SPLITS) - set(data):
        raise UserError(f"{run.path} was trained on arrays, and is measured through a classifier of the same: give all "
                        f"of {', '.join(SPLITS)} as data.")
    return dict(data)


def check_outputs(split: Split, model: keras.Model) -> None:
    """Raise a UserError for targets (N, outputs) of another width than the model's answers, which NumPy
    would broadcast."""
    if split.target == "number" and split.outputs != (answers := model.output_shape[-1]):
        raise UserError(f"The model answers with {answers} number{'s' * (answers > 1)}, and an example here has "
                        f"{split.outputs} to predict.")


def _root_of_other(run: Run, data: str) -> dict[str, str]:
    """Return the data_args.root of another table of image files than the run's own: next to that table, if it is there,
    because the run's may hold other images of the same names."""
    root, own, folder = run.recipe.data_args.get("root"), run.recipe.data, run.data.get("folder")
    source, _, path = data.partition(":")
    if root is None or source != own.partition(":")[0] or absolute(data) == absolute(own, folder):
        return {}
    near = Path(path).expanduser().parent / Path(root).expanduser()
    found = str(near) if near.is_dir() else located_path(root, folder)
    logger.info("The images of %s are read from %s.", data, found)
    return {"root": found}


def _other(run: Run, split: str, data: str, target: Target | None) -> Split:
    args = located_args(run.recipe.data_args, run.data.get("folder")) | _root_of_other(run, data)
    for key in ("per_class", "per_class_seed"):  # they are for training
        args.pop(key, None)
    found = load_for(run.data, data, split, target=target, **args)
    for remark in found.remarks:
        logger.warning(remark)
    return found
