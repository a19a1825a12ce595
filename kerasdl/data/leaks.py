"""What gives an answer away before anything is learned: columns that count the rows or tell the label, and copies.

A column that counts the rows is refused where a table is read. What may be right all the same is only remarked.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from kerasdl.data import duplicates
from kerasdl.data.split import Split

if TYPE_CHECKING:
    import pandas as pd

FEW = 10  # a table of no more rows says nothing
SAMPLE = 5000  # rows that are looked at for a column that tells the label
TELLS = 0.985  # share of labels that one column tells, from which it is remarked; iris' best column has 0.96
COPIES = (5, 0.005)  # least number and least share of copies of training examples that are remarked
NEAR = (5, 0.03)  # the same of near copies, among those looked at; Fashion-MNIST has 0.9 %, see duplicates.SAME
CONTRADICTED = 0.001  # least share of images with two labels that is remarked
FILES, ROWS = 1000, 20_000  # files of a split, and rows, that are looked at


def counting(values: "pd.Series") -> str | None:
    """Return how a column of whole numbers counts the rows, "rises with the rows"; None if it does not."""
    if len(values) <= FEW or values.dtype.kind not in "iuf" or values.isna().any():
        return None
    numbers = values.to_numpy("float64")
    if not np.isfinite(numbers).all() or (numbers % 1).any():
        return None
    steps = np.diff(numbers)
    if (steps > 0).all():
        return "rises with the rows"
    if (steps < 0).all():
        return "falls with the rows"
    if np.ptp(numbers) == len(numbers) - 1 and len(np.unique(numbers)) == len(numbers):
        return "has every number once, as an index has that was shuffled"
    return None


def remarks(splits: Mapping[str, Split]) -> list[str]:
    """Return a sentence for each thing that may make a score too good: a telling column, and copies between splits.

    Of images that are decoded as they are used, the files are compared; streamed splits are not looked at.
    """
    held = {name: split for name, split in splits.items() if not split.streamed}
    train, others = held.pop("train", None), {name: split for name, split in held.items() if name in ("val", "test")}
    if train is None:
        return []
    if train.decode:
        return [line for name, split in others.items() if (line := _files_copied(train, split, name))]
    found = telling(train) if train.kind == "row" and train.target == "class" else []
    known = duplicates.keys(train.x)
    if train.kind == "image" and train.target == "class":
        found += _contradicted(train, known)
    looked = _looks(train) if others else None
    for name, split in others.items():
        line = _copied(train, known, split, name)
        if line is None and looked is not None:
            line = _near(*looked, split, name)
        found += [line] if line else []
    return found


def identities(split: Split) -> np.ndarray | None:
    """Return a hash of each example, uint64 (N,), by which it is known again in other data; None of a streamed split.

    It is that of an image's file, as far as `duplicates.content` reads it, or of a text, whatever size or length the
    model takes; of other examples it is that of all their numbers.
    """
    if split.streamed:
        return None
    paths = split.x if split.decode else split.paths
    if paths is not None:
        return duplicates.hashes(duplicates.content(path) for path in paths.tolist())
    if split.texts is not None:
        return duplicates.hashes(str(text).encode() for text in split.texts)
    return duplicates.hashes(np.ascontiguousarray(example).tobytes() for example in split.x)


def _copied(train: Split, known: np.ndarray, split: Split, name: str) -> str | None:
    copies = duplicates.copied(known, train.x, duplicates.keys(split.x), split.x)
    if copies.sum() < max(COPIES[0], COPIES[1] * len(split)):
        return None
    if train.kind == "row" and duplicates.repeats_by_nature(
            duplicates.spread(train.x, ROWS), duplicates.spread(split.x[copies], ROWS), list(places(train).values())):
        return None
    return (f"{copies.sum()} of the {len(split)} examples of {name} are in train, too, byte for byte, so that the "
            f"scores on {name} are too good.")


def _looks(train: Split) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the training images that near copies are looked for in, and their thumbnails; None where they are not."""
    if train.kind != "image" or min(train.example_shape[:2]) < duplicates.SMALLEST:
        return None
    some = duplicates.spread(train.x, duplicates.TRAIN)
    return some, duplicates.thumbnails(some)


def _near(train: np.ndarray, known: np.ndarray, split: Split, name: str) -> str | None:
    asked = duplicates.spread(split.x, duplicates.ASKED)
    same = duplicates.near(train, known, asked).sum()
    if same < max(NEAR[0], NEAR[1] * len(asked)):
        return None
    return (f"{same} of {len(asked)} images of {name} look like an image of train, but for compression, brightness, "
            f"size or a small shift, so that the scores on {name} are too good. Keep the copies of an image, and the "
            "frames of a film, in one split.")


def _files_copied(train: Split, split: Split, name: str) -> str | None:
    asked = duplicates.spread(split.x, FILES)
    copies = duplicates.files_copied(train.x.tolist(), asked.tolist()).sum()
    if copies < max(COPIES[0], COPIES[1] * len(asked)):
        return None
    return (f"{copies} of {len(asked)} files of {name} have the size and the last bytes of a file of train, so that "
            f"the scores on {name} are too good.")


def _contradicted(train: Split, known: np.ndarray) -> list[str]:
    count = duplicates.contradicted(known, train.x, train.y).sum()  # type: ignore[arg-type]
    if count < max(COPIES[0], CONTRADICTED * len(train)):
        return []
    return [f"{count} of the {len(train)} examples of train are there again with another class. A model can learn only "
            "one of them."]


def places(split: Split) -> dict[str, slice]:
    """Return where each column of a table stands in a row: one place for a number, one for each category."""
    if not split.columns:
        return {f"column {i}": slice(i, i + 1) for i in range(split.x.shape[1])}
    ends = np.cumsum([len(categories) if categories else 1 for categories in split.columns.values()])
    return {name: slice(end - (len(categories) if categories else 1), end)
            for (name, categories), end in zip(split.columns.items(), ends.tolist(), strict=True)}


def telling(train: Split) -> list[str]:
    """Return a sentence for each column that tells the class almost by itself."""
    rows = np.random.default_rng(0).permutation(len(train))[:SAMPLE]
    x, y = train.x[rows], train.y[rows]  # type: ignore[index]
    if len(y) < 5 * FEW:
        return []
    chance = np.bincount(y).max() / len(y)
    found = []
    for name, place in places(train).items():
        values = x[:, place].argmax(1) if train.columns and train.columns[name] else x[:, place.start]
        share = nearest_agrees(values, y)
        if share >= max(TELLS, chance + 0.05):
            found.append(f"The column {name!r} alone tells the class of {share:.1%} of the rows; the most frequent "
                         f"class has {chance:.1%}. Is it known before the class is?")
    return found


def nearest_agrees(values: np.ndarray, y: np.ndarray) -> float:
    """Return the share of one half of the labels that the nearest value in the other half has, too."""
    half = len(y) // 2
    order = np.argsort(values[:half], kind="stable")
    known, labels = values[:half][order].astype("float64"), y[:half][order]
    asked = values[half:].astype("float64")
    above = np.clip(np.searchsorted(known, asked), 1, half - 1)
    nearest = np.where(asked - known[above - 1] <= known[above] - asked, above - 1, above)
    return float((labels[nearest] == y[half:]).mean())

