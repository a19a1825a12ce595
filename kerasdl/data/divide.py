"""How train, val and test are carved from a set that has no parts of its own."""

from collections.abc import Sequence

import numpy as np

from kerasdl.errors import DataError

VAL, TEST = 0.1, 0.2  # shares that are carved where a set has no such part


def carve(y: np.ndarray, share: float, stratify: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return indices of (the rest, a share) of examples, by class where classes are large enough; always the same."""
    from sklearn.model_selection import train_test_split

    order = np.arange(len(y))
    enough = stratify and np.bincount(y)[np.unique(y)].min() * share >= 1
    rest, part = train_test_split(order, test_size=share, random_state=0, stratify=y if enough else None)
    return np.sort(rest), np.sort(part)


def divide(y: np.ndarray, classes: Sequence[str] | None, test: bool = True) -> dict[str, np.ndarray]:
    """Return the indices of train, val and (if `test`) test in one set that has no parts of its own.

    Args:
        y: (N,) indices of classes; anything of that length without classes.
        classes: the classes' names; None for numbers, and without labels.
        test: whether to carve a test part.

    Raises:
        DataError: for less than 10 examples, or a class of which none would come into the training part.
    """
    stratify = classes is not None
    if len(y) < 10:
        raise DataError(f"{len(y)} examples are too few to split. Expected at least 10.")
    rest, parts = np.arange(len(y)), {}
    if test:
        rest, parts["test"] = carve(y, TEST, stratify)
    inner, val = carve(y[rest], VAL / (1 - TEST) if test else VAL, stratify)
    if classes is not None and (lost := np.setdiff1d(y, y[rest[inner]])).size:
        count = int((y == lost[0]).sum())
        raise DataError(f"The class {classes[lost[0]]!r} has {count} of {len(y)} examples, and none came into the "
                        "training part. Take it out, or give it more.")
    return {"train": rest[inner], "val": rest[val], **parts}
