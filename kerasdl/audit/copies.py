"""Examples of validation and test that the model has seen in train: copies, near copies, and columns that are ids."""

from typing import Any

import numpy as np
from scipy.stats import binom
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import normalize

from kerasdl.audit.confident import features
from kerasdl.audit.subject import Subject
from kerasdl.data import Split, duplicates
from kerasdl.data.leaks import FILES, TELLS, counting, nearest_agrees, places

ALIKE = 0.95  # cosine of the weighted words of two texts from which they are near copies
RARE = 1e-6  # how unlikely the agreement of an id's neighbours has to be by chance
UNIQUE = 0.99  # share of different values from which whole numbers are ids


def between(subject: Subject) -> dict[str, dict[str, Any]]:
    """Return {"val" or "test": {"examples", "looked", "same", "near", "places"}}: how many are in train, too.

    Args:
        subject: whose splits are in memory or in files.
    """
    train, found = subject.split("train"), {}
    for name in ("val", "test"):
        split = subject.split(name)
        some = np.arange(len(split))
        if train.decode:
            some = some[::-(-len(some) // FILES)]
            same = duplicates.files_copied(train.x.tolist(), split.x[some].tolist())
        else:
            same = duplicates.copied(duplicates.keys(train.x), train.x, duplicates.keys(split.x), split.x)
        asked, close = near(subject, train, split)
        fresh = asked[close & ~np.isin(asked, some[same])]
        found[name] = {"examples": len(split), "compared": len(some), "same": int(same.sum()),
                       "looked": len(asked), "near": len(fresh),
                       "places": np.sort(np.concatenate([some[same], fresh])).tolist()}
    return found


def near(subject: Subject, train: Split, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Return which examples were looked at for near copies, and which of them are: images and texts only."""
    some = subject.examples(subject.size(1000, duplicates.ASKED), split.name)
    if split.kind == "image" and not train.decode and min(train.example_shape[:2]) >= duplicates.SMALLEST:
        known = duplicates.spread(train.x, duplicates.TRAIN)
        return some, duplicates.near(known, duplicates.thumbnails(known), split.x[some])
    if split.kind == "tokens":
        weights = TfidfTransformer(sublinear_tf=True).fit(features(train))
        one, other = (normalize(weights.transform(features(each))) for each in (train, split.part(some)))
        return some, (other @ one.T).max(axis=1).toarray().ravel() >= ALIKE
    return np.zeros(0, int), np.zeros(0, bool)


def ids(train: Split) -> list[dict[str, Any]]:
    """Return columns that give the class away or count the rows: {"column", "why", "share", "chance"}.

    Args:
        train: rows with classes.
    """
    random, found = np.random.default_rng(0).permutation(len(train)), []
    y = np.asarray(train.y)
    chance = float(((np.bincount(y) / len(y)) ** 2).sum())  # two examples are of one class
    most = float(np.bincount(y).max() / len(y))
    for name, place in places(train).items():
        block = train.x[:, place]
        values = block.argmax(1).astype("float64") if block.shape[1] > 1 else block[:, 0].astype("float64")
        values = values + train.reading.get("offsets", {}).get(name, 0.0)
        agree = nearest_agrees(values[random], y[random])
        telling = float(binom.sf(round(agree * (len(y) - len(y) // 2)) - 1, len(y) - len(y) // 2, chance)) < RARE
        if agree >= max(TELLS, most + 0.05):
            found.append({"column": name, "why": "alone tells the class", "share": agree, "chance": most})
        elif telling and is_id(values):
            found.append({"column": name, "why": f"{counted(values)}, and rows that are near by it are of one class",
                          "share": agree, "chance": chance})
        elif is_id(values):
            found.append({"column": name, "why": counted(values), "share": agree, "chance": chance})
    return found


def is_id(values: np.ndarray) -> bool:
    """Return whether almost every row has a whole number of its own."""
    return not (values % 1).any() and len(np.unique(values)) >= UNIQUE * len(values)


def counted(values: np.ndarray) -> str:
    """Return in words how whole numbers of which each is there once are ids."""
    import pandas as pd

    return counting(pd.Series(values)) or "is another number in every row"
