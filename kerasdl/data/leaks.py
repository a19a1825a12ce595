"""What gives an answer away before anything is learned: columns that count the rows or tell the label, and copies.

A column that counts the rows is refused where a table is read. What may be right all the same is only remarked.
"""

import zlib
from collections.abc import Mapping

import numpy as np
import pandas as pd

from kerasdl.data.split import Split

FEW = 10  # a table of no more rows says nothing
SAMPLE = 5000  # rows that are looked at for a column that tells the label
TELLS = 0.985  # share of labels that one column tells, from which it is remarked; iris' best column has 0.96
COPIES = (5, 0.005)  # least number and least share of copies of training examples that are remarked


def counting(values: pd.Series) -> str | None:
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

    Args:
        splits: "train", "val" and "test"; those that are streamed or decoded as they are used are not looked at.
    """
    held = {name: split for name, split in splits.items() if not split.streamed and split.decode is None}
    if "train" not in held:
        return []
    found = []
    if held["train"].kind == "row" and held["train"].target == "class":
        found += telling(held["train"])
    known = set(digests(held["train"]))
    for name in ("val", "test"):
        if name in held:
            copies = sum(digest in known for digest in digests(held[name]))
            if copies >= max(COPIES[0], COPIES[1] * len(held[name])):
                found.append(f"{copies} of the {len(held[name])} examples of {name} are in train, too, byte for byte, "
                             f"so that the scores on {name} are too good.")
    return found


def telling(train: Split) -> list[str]:
    """Return a sentence for each column that tells the class almost by itself."""
    rows = np.random.default_rng(0).permutation(len(train))[:SAMPLE]
    x, y = train.x[rows], train.y[rows]  # type: ignore[index]
    if len(y) < 5 * FEW:
        return []
    chance = np.bincount(y).max() / len(y)
    found, start = [], 0
    for name, categories in (train.columns or {f"column {i}": None for i in range(x.shape[1])}).items():
        width = len(categories) if categories else 1
        values = x[:, start:start + width].argmax(1) if categories else x[:, start]
        start += width
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


def digests(split: Split) -> list[int]:
    """Return a checksum of each example."""
    return [zlib.crc32(np.ascontiguousarray(example).data) for example in split.x]
