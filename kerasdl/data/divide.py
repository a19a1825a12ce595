"""How train, val and test are carved from a set that has no parts of its own."""

import warnings
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from kerasdl.errors import DataError

VAL, TEST = 0.1, 0.2  # shares that are carved where a set has no such part


def divide(y: np.ndarray, classes: Sequence[str] | None, test: bool = True, groups: np.ndarray | None = None,
           order: np.ndarray | None = None, test_share: float = TEST) -> dict[str, np.ndarray]:
    """Return the indices of train, val and (if `test`) test in one set that has no parts of its own.

    Args:
        y: (N,) indices of classes; anything of that length without classes.
        classes: the classes' names; None for numbers, several labels, and where there are no labels.
        test: whether to carve a test part.
        groups: (N,) what belongs together, such as a patient: all examples of a group come into one part.
        order: (N,) numbers or times: train comes first, then val, then test. Equal ones come into one part.
        test_share: of the examples that are test.

    Raises:
        DataError: for less than 10 examples, or too few groups.
    """
    if len(y) < 10:
        raise DataError(f"{len(y)} examples are too few to split. Expected at least 10.")
    if groups is not None and order is not None:
        raise DataError("Splits keep groups apart (group) or follow the time (order). Give one of the two.")
    if groups is not None and (count := len(np.unique(groups))) < (needed := 2 + test):
        raise DataError(f"group has {count} different values, and {needed} parts need {needed} at least.")
    rest, parts = np.arange(len(y)), {}
    for name, share in (("test", test_share), ("val", VAL / (1 - test_share) if test else VAL))[not test:]:
        inner, part = carve(y[rest], share, classes is not None, *(
            None if values is None else values[rest] for values in (groups, order)))
        rest, parts[name] = rest[inner], rest[part]
    return {"train": rest, "val": parts["val"], **({"test": parts["test"]} if test else {})}


def of_places(place: np.ndarray, y: np.ndarray, classes: Sequence[str] | None, groups: np.ndarray | None = None,
              test_share: float = TEST, learned: bool = True) -> dict[str, np.ndarray]:
    """Return train, val and test of examples of which some say their part; what is missing is carved from train.

    Args:
        place: (N,) "train", "val" or "test"; "all" where it is not said.
        y, classes, groups, test_share: as in `divide`.
        learned: as in `completed`.
    """
    given = {part: np.flatnonzero(place == part) for part in ("val", "test") if (place == part).any()}
    return completed(given, np.flatnonzero((place == "train") | (place == "all")), y, classes, groups,
                     test_share=test_share, learned=learned)


def completed(parts: Mapping[str, np.ndarray], rest: np.ndarray, y: np.ndarray, classes: Sequence[str] | None,
              groups: np.ndarray | None = None, order: np.ndarray | None = None, test_share: float = TEST,
              learned: bool = True) -> dict[str, np.ndarray]:
    """Return train, val and test where a set has some of them: what is missing is carved from `rest`, the others stay.

    Args:
        parts: the indices of the parts that the set has.
        rest: the indices of what is in neither val nor test.
        y, classes, groups, order, test_share: of all examples, as in `divide`.
        learned: whether the classes are learned, so that each has to come into train. If not, examples are divided by
            them all the same: a classifier that begins with what was learned must not be tested on what that has seen.

    Raises:
        DataError: as `divide` does, for a class of which no example is in train, and for a group in several parts.
    """
    given = {part: parts[part] for part in ("val", "test") if part in parts}
    found = {"train": rest, **given}
    if len(given) < 2:
        groups_of_rest, order_of_rest = (None if values is None else values[rest] for values in (groups, order))
        carved = divide(y[rest], classes, "test" not in given, groups_of_rest, order_of_rest, test_share)
        if "val" in given:  # that part stays, and the one just carved is train again
            carved["train"] = np.sort(np.concatenate([carved["train"], carved.pop("val")]))
        found |= {part: rest[places] for part, places in carved.items()}
    if groups is not None:
        _check_apart(groups, found)
    if classes is not None and learned:
        _check_learned(y, found["train"], classes)
    return {part: found[part] for part in ("train", "val", "test")}


def _check_learned(y: np.ndarray, train: np.ndarray, classes: Sequence[str]) -> None:
    """Refuse a class of which no example is in the training part."""
    counts, left = np.bincount(y), np.bincount(y[train], minlength=y.max() + 1)
    if (lost := np.flatnonzero((counts > 0) & (left == 0))).size:
        raise DataError(f"The class {classes[lost[0]]!r} has {counts[lost[0]]} of {len(y)} examples, and none came "
                        "into the training part. Take it out, or give it more.")


def _check_apart(groups: np.ndarray, parts: Mapping[str, np.ndarray]) -> None:
    """Refuse a group that stands in two parts."""
    for one, two in combinations(parts, 2):
        if shared := set(groups[parts[one]].tolist()) & set(groups[parts[two]].tolist()):
            raise DataError(f"The group {min(map(str, shared))!r} is in {one} and in {two} ({len(shared)} such "
                            f"group{'s' * (len(shared) > 1)}).")


def carve(y: np.ndarray, share: float, stratify: bool, groups: np.ndarray | None = None,
          order: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return indices of (the rest, a share) of examples, by class where classes are large enough; always the same."""
    if groups is not None:
        return _of_groups(y, share, stratify, groups)
    if order is not None:
        return _last(order, share)
    from sklearn.model_selection import train_test_split

    enough = stratify and np.bincount(y)[np.unique(y)].min() * share >= 1
    rest, part = train_test_split(np.arange(len(y)), test_size=share, random_state=0, stratify=y if enough else None)
    return np.sort(rest), np.sort(part)


def _of_groups(y: np.ndarray, share: float, stratify: bool, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return indices of whole groups, of all folds the one whose size is nearest to the share."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    count = len(np.unique(groups))
    folds: Any = StratifiedGroupKFold if stratify else GroupKFold
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that have fewer examples than there are folds
        made = folds(max(2, min(round(1 / share), count)), shuffle=True, random_state=0)
        if stratify and np.bincount(y).max() < made.n_splits:
            made = GroupKFold(made.n_splits, shuffle=True, random_state=0)
        pairs = list(made.split(np.zeros(len(y)), y if stratify else None, groups))
    return min(pairs, key=lambda pair: abs(len(pair[1]) - share * len(y)))


def _last(order: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return indices of (the rest, the last ones by order), divided between two different values."""
    values = np.sort(order)
    edge = values[-max(1, round(share * len(values)))]
    later = order >= edge if (order < edge).any() else order > edge
    if not later.any() or later.all():
        raise DataError("order has one value in most examples, so that they cannot be divided by it.")
    return np.flatnonzero(~later), np.flatnonzero(later)
