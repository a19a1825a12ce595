"""Whether what a network begins with has seen the examples that it is to be measured on."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from kerasdl import objectives
from kerasdl.data import Split, leaks
from kerasdl.data.duplicates import among
from kerasdl.data.image_args import ImageArgs
from kerasdl.errors import UserError
from kerasdl.evaluation.located import absolute
from kerasdl.evaluation.splits import load_split
from kerasdl.files import whole
from kerasdl.recipe import Recipe
from kerasdl.run import SEEN, Run

logger = logging.getLogger(__name__)
SHARED = 0.02  # of the examples of a split, that another division may have in train because the data has copies


def note(run: Run, train: Split) -> None:
    """Write seen.npy: a hash of each example that a run without labels learns from, so that it is known again later.

    A private run keeps none, as they tell whom it learned from; nor does one whose data is streamed.
    """
    if not run.recipe.private and (known := leaks.identities(train)) is not None:
        with whole(run.path / SEEN) as partial:
            np.save(partial, known)


def check_apart(run: Run, recipe: Recipe, splits: Mapping[str, Split]) -> None:
    """Raise a UserError if a run without labels has learned from examples of val or test; of one with labels, warn.

    Data that names no labels is divided otherwise than by its classes, and all data otherwise by other groups.

    Args:
        run: what the training begins with; of one with labels and of other data, nothing is looked at.
        recipe: of the training.
        splits: its data.
    """
    before, noted = run.recipe, run.data.get("examples", {})
    labelled, same = objectives.get(before.objective, run.path).target is not None, _same(run, recipe)
    if labelled and (not same or recipe.data == "arrays"):
        return
    held = {name: splits[name] for name in ("val", "test") if name in splits}
    if same and before.splits == recipe.splits and all(
            noted.get(name) in (split.fingerprint(), split.fingerprint(labels=False)) for name, split in held.items()):
        return
    try:
        known = _learned_from(run, recipe, splits["train"])
    except UserError:
        if not labelled:
            raise UserError(f"It cannot be known whether {run.path} has learned, without labels, from examples that "
                            "are in val or test here: its data is not what it was. Train it anew, or give data that "
                            "it has never seen.") from None
        logger.warning("%s was trained before its data changed, so that it may have learned from examples that are in "
                       "val or test now, and scores on them may be too good.", run.path)
        return
    if known is None:
        logger.warning("%s has not noted which examples it learned from. If some are in val or test here, scores on "
                       "them are too good.", run.path)
    elif (found := _found(known, splits["train"], held)) and labelled:
        logger.warning("%s has learned from examples that are in val or test here: its data was divided otherwise. "
                       "Scores on them are too good.", run.path)
    elif found:
        raise UserError(f"{run.path} has learned, without labels, from examples that are in val or test here"
                        f"{_advice(run, recipe, splits, found)}")


def _same(run: Run, recipe: Recipe) -> bool:
    """Return whether a run's data has the name of this one, which arrays always have."""
    return absolute(run.recipe.data, run.data.get("folder")) == absolute(recipe.data)


def _learned_from(run: Run, recipe: Recipe, train: Split) -> np.ndarray | None:
    """Return the hashes of the examples that a run learned from, see kerasdl.data.leaks.identities; None if that is not
    known.

    They are those that it noted. Without these, and where its images are read in another size and have no files of
    their own, by which they are known again, its data is read once more if that is the data here.

    Raises:
        UserError: that data is not what it was.
    """
    there, again = run.path / SEEN, _same(run, recipe) and recipe.data != "arrays"
    images = _images_as(recipe, run.recipe) if again else {}
    if there.is_file() and not (images and train.paths is None and not train.decode):
        return np.load(there)
    return leaks.identities(load_split(run, "train", **images)) if again else None


def _images_as(recipe: Recipe, before: Recipe) -> dict[str, Any]:
    """Return the data_args that read the images of an earlier recipe in the size and form that they have in this one;
    otherwise none would equal another."""
    wanted, had = ({key: each.data_args.get(key, field.default) for key, field in ImageArgs.model_fields.items()}
                   for each in (recipe, before))
    return {key: value for key, value in wanted.items() if value != had[key]}


def _found(known: np.ndarray, train: Split, held: Mapping[str, Split]) -> dict[str, int]:
    """Return how many examples of which splits are known, if they are more than the data has copies of."""
    found, own = {}, None
    for name, split in held.items():
        asked = leaks.identities(split)
        count = 0 if asked is None else int(among(asked, known).sum())
        if asked is None or count <= SHARED * len(split):
            continue
        own = leaks.identities(train) if own is None else own
        if own is None or count > 2 * among(asked, own).sum() + SHARED * len(split):
            found[name] = count
    return found


def _advice(run: Run, recipe: Recipe, splits: Mapping[str, Split], found: Mapping[str, int]) -> str:
    """Return why examples that a run learned from are in val or test now, and what to do."""
    before, noted = run.recipe, run.data.get("examples", {})
    changed = any(noted.get(name, "").partition("-")[0] != str(len(splits[name])) for name in found)
    if not _same(run, recipe) or recipe.data == "arrays" and changed:
        counts = " and ".join(f"{count} of the {len(splits[name])} of {name}" for name, count in found.items())
        return f": {counts}. Train it anew without them, or take others for val and test."
    why = ": its data was divided otherwise"
    if (group := recipe.data_args.get("group")) != before.data_args.get("group"):
        way = "without data_args.group" if group is None else f"with data_args.group={group}"
        return f"{why}. Train it anew {way}."
    named = before.data_args.get("label") is not None
    if named and splits["train"].target != "class":
        return (f"{why}, by the classes of data_args.label. Train it anew without data_args.label, as its rows are "
                "divided here.")
    if noted and changed:
        return f"{why}, as it has changed since, or is read otherwise. Train it anew on what it is now."
    return (f"{why}, as it named no labels. Train it anew on data that names them (data_args.label=COLUMN, or "
            "from_arrays(x, y)); they are not read.")
