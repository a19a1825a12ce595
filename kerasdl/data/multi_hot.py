"""Several labels an example: lists of names, or rows of 0 and 1, as float32 rows with the classes' names."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kerasdl.errors import DataError, nearest


def is_lists(y: Any) -> bool:
    """Return whether `y` holds for each example a list, tuple or set of labels' names, which may be empty."""
    objects = getattr(getattr(y, "dtype", None), "kind", "") == "O" and len(y.shape) == 1
    rows = list(y) if objects or isinstance(y, (list, tuple)) else []
    return bool(rows) and all(isinstance(row, (list, tuple, set, frozenset)) for row in rows) and any(
        isinstance(label, str) for row in rows for label in row)


def from_lists(lists: Iterable[Iterable[str]], classes: Sequence[str]) -> np.ndarray:
    """Return rows (N, classes), float32, with 1 for the labels in each list.

    Raises:
        DataError: a label that is not among the classes.
    """
    place = {name: index for index, name in enumerate(classes)}
    lists = [[str(label) for label in row] for row in lists]
    rows = np.zeros((len(lists), len(place)), "float32")
    for row, labels in zip(rows, lists, strict=True):
        for label in labels:
            if label not in place:
                raise DataError(f"There is no class {label!r} among the labels. {nearest(label, classes)}")
            row[place[label]] = 1
    return rows


def names_in(lists: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """Return all labels in the lists, sorted."""
    return tuple(sorted({str(label) for row in lists for label in row}))


def checked_rows(y: np.ndarray, classes: Sequence[str] | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return rows of 0 and 1 as float32 (N, classes), and the classes' names: by default their numbers.

    Raises:
        DataError: another shape, fewer than two columns, other numbers than 0 and 1, or another number of names.
    """
    if y.ndim != 2 or y.dtype.kind not in "uifb":
        raise DataError("With target='labels' y has for each example a row of 0 and 1, (N, classes), or a list of "
                        f"names. Received: {y.dtype} of shape {y.shape}.")
    if y.shape[1] < 2:
        raise DataError("With target='labels' y has two columns or more. Give one as classes: target='class' and y of "
                        "shape (N,).")
    if len(other := y[~np.isin(y, (0, 1))]):
        raise DataError(f"With target='labels' y holds 0 and 1. Received: {other[0]:g}.")
    names = tuple(map(str, range(y.shape[1]) if classes is None else classes))
    if len(names) != y.shape[1] or len(set(names)) < len(names):
        raise DataError(f"classes are {y.shape[1]} different names, one for each column of y. "
                        f"Received: {', '.join(names)}.")
    return y.astype("float32"), names


def check_learnable(rows: np.ndarray, classes: Sequence[str]) -> None:
    """Raise a DataError for a class that no training example (N, classes) has, or that all have."""
    for name, count in zip(classes, rows.sum(0).astype(int).tolist(), strict=True):
        if count in (0, len(rows)):
            raise DataError(f"{'Each' if count else 'None'} of the {len(rows)} training examples has the label "
                            f"{name!r}: there is nothing to learn. Take it out of y.")
