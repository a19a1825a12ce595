"""A part of a data set: only some of its classes, only so many training examples of each, or several splits as one."""

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kerasdl.data.split import Split
from kerasdl.errors import DataError, listed, nearest


def of_classes(split: Split, classes: Sequence[str] | str) -> Split:
    """Return the examples of these classes, which get new indices in the order given.

    Raises:
        DataError: unknown or repeated classes, less than two, none of them in the split, or a set that is not in
            memory.
    """
    names = listed(classes, split.classes)
    for name in names:
        if name not in split.classes:
            raise DataError(f"classes: there is no class {name!r}. {nearest(name, split.classes)}")
    if len(names) < 2 or len(set(names)) < len(names):
        raise DataError(f"classes are two different ones or more. Received: {', '.join(names)}.")
    labels = _labels(split, "classes")
    new = np.full(len(split.classes), -1, "int32")
    new[[split.classes.index(name) for name in names]] = np.arange(len(names))
    index = np.flatnonzero(new[labels] >= 0)
    if not len(index):
        raise DataError(f"classes: {split.name} has no example of {', '.join(names)}. Choose classes that it has, or "
                        "other splits.")
    return split.part(index, y=new[labels[index]], classes=tuple(names))


def per_class(split: Split, count: int, seed: int | None = None) -> Split:
    """Return `count` examples of each class, in the order of the split.

    Args:
        split: the examples.
        count: how many of each class.
        seed: draws them; None: the first ones.

    Raises:
        DataError: not a number of examples, more than a class has, not a seed, or a set that is not in memory.
    """
    if seed is not None and (type(seed) is not int or seed < 0):
        raise DataError(f"per_class_seed is a whole number, 0 or more. Received: {seed!r}.")
    if type(count) is not int or count < 1:
        raise DataError(f"per_class is a number of examples, 1 or more. Received: {count!r}.")
    labels = _labels(split, "per_class")
    places = [np.flatnonzero(labels == label) for label in range(len(split.classes))]
    if seed is not None:
        generator = np.random.default_rng(seed)
        places = [generator.permutation(place) for place in places]
    places = [place[:count] for place in places]
    for name, place in zip(split.classes, places, strict=True):
        if len(place) < count:
            raise DataError(f"per_class={count}: the class {name!r} has {len(place)} examples in {split.name}.")
    index = np.sort(np.concatenate(places))
    return split.part(index)


def joined(splits: Sequence[Split]) -> Split:
    """Return splits of one set as one, "train+val", with the examples of the first at the beginning.

    Raises:
        DataError: a set that is not in memory.
    """
    if len(splits) == 1:
        return splits[0]
    name = "+".join(split.name for split in splits)
    if any(split.streamed for split in splits):
        raise DataError(f"{name} is for a set that fits in memory; this one is streamed.")
    arrays: dict[str, Any] = {}
    for field in ("x", "y", "weights", "texts", "paths"):
        values = [getattr(split, field) for split in splits]
        arrays[field] = None if values[0] is None else np.concatenate(values)
    attributes = {key: np.concatenate([split.attributes[key] for split in splits]) for key in splits[0].attributes}
    reading = min((split.reading for split in splits), key=lambda reading: reading.get("step", 0))  # train's overlap
    return replace(splits[0], name=name, size=sum(map(len, splits)), **arrays, attributes=attributes, reading=reading,
                   checksum=zlib.crc32(str([split.checksum for split in splits]).encode()),
                   remarks=tuple(dict.fromkeys(remark for split in splits for remark in split.remarks)))


def unseen(train: Split, val: Split) -> np.ndarray:
    """Return which examples of train (N,) are none of val's, where train is "train+val" or the like: what is chosen on
    val has to be learned from those. All, where the two share no part, are not in memory, or nothing would be left."""
    everything = np.ones(len(train), bool)
    apart = not set(train.name.split("+")) & set(val.name.split("+"))
    if apart or not all(isinstance(split.x, np.ndarray) for split in (train, val)):
        return everything
    seen = {row.tobytes() for row in val.x}
    found = np.array([row.tobytes() not in seen for row in train.x])
    return found if found.any() else everything


def _labels(split: Split, what: str) -> np.ndarray:
    if split.target != "class":
        has = {"number": "the target here is a number", "labels": "an example here has several labels"}.get(
            split.target or "", "this set has no labels")
        raise DataError(f"{what} is for data with classes, and {has}.")
    if split.streamed:
        raise DataError(f"{what} is for a set that fits in memory; this one is streamed.")
    return np.asarray(split.y)
