"""Pairs (example, target) that come one after the other, or in batches, as arrays."""

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from kerasdl.errors import DataError

ENDLESS = -1  # tf.data.INFINITE_CARDINALITY
SHARE = 0.5  # of this machine's memory that gathered examples may take


def is_pairs(value: Any) -> bool:
    """Return whether this is a tf.data.Dataset, or an iterable of pairs and no array.

    A list is one of pairs if its first element is a tuple of an array and something of another shape.
    """
    if hasattr(value, "element_spec"):
        return True
    if isinstance(value, (str, bytes, dict)) or hasattr(value, "__array__") or not isinstance(value, Iterable):
        return False
    if not isinstance(value, (list, tuple)):
        return True
    first = value[0] if len(value) else None
    return isinstance(first, tuple) and len(first) == 2 and np.ndim(first[0]) > 0 and not (
        np.shape(first[0]) == np.shape(first[1]))


def gathered(pairs: Any, what: str = "x") -> tuple[np.ndarray, np.ndarray]:
    """Return x (N, ...) and y (N, ...) of a tf.data.Dataset or an iterable of (x, y).

    They come in batches if both have a first axis: of a Dataset one of no fixed length, else of equal lengths, where
    `x` has another axis besides. Where a Dataset does not know how many axes there are, the first pair tells.

    Args:
        pairs: finite.
        what: what to call it in messages.

    Raises:
        DataError: no pairs, none at all, ones that differ in shape, or more than fits into memory.
    """
    spec = getattr(pairs, "element_spec", None)
    if spec is not None and not (isinstance(spec, tuple) and len(spec) == 2):
        raise DataError(f"{what} must give pairs (x, y). Received a tf.data.Dataset of "
                        f"{f'{len(spec)} parts' if isinstance(spec, (tuple, dict)) else 'single tensors'}.")
    if spec is not None and int(pairs.cardinality()) == ENDLESS:
        raise DataError(f"{what} is a tf.data.Dataset without an end. Leave out its repeat().")
    limit = SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    found: tuple[list[np.ndarray], list[np.ndarray]] = [], []
    size, in_batches = 0, None
    for pair in pairs.as_numpy_iterator() if spec is not None else pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise DataError(f"{what} must give pairs (x, y). Received: {type(pair).__name__}"
                            f"{f' of {len(pair)}' if isinstance(pair, (tuple, list)) else ''}.")
        x, y = map(np.asarray, pair)
        if in_batches is None:
            in_batches = spec_batched(spec) if spec is not None and has_axes(spec) else batched(x, y)
        size += x.nbytes + y.nbytes
        if size > limit:
            raise DataError(f"{what} has more than {limit / 2**30:.1f} GiB of examples, {SHARE:.0%} of this machine's "
                            "memory. Give fewer of them, or a set of tensorflow-datasets, which is streamed.")
        for values, value in zip(found, (x, y), strict=True):
            values.append(value if in_batches else value[None])
    if not found[0]:
        raise DataError(f"{what} gives no pairs (x, y).")
    try:
        x, y = map(np.concatenate, found)
    except ValueError:
        raise DataError(f"The examples of {what} differ in shape. Make them one.") from None
    return x, as_text(y)


def batched(x: np.ndarray, y: np.ndarray) -> bool:
    """Return whether these are several examples and their targets."""
    return x.ndim > 1 and y.ndim > 0 and len(x) == len(y)


def has_axes(spec: Any) -> bool:
    """Return whether a Dataset knows how many axes x and y have; after tf.numpy_function it does not."""
    return all(part.shape.rank is not None for part in spec)


def spec_batched(spec: Any) -> bool:
    """Return whether a Dataset gives batches; a fixed batch size is recognised by equal lengths."""
    x, y = (part.shape for part in spec)
    if not (x.rank and y.rank):
        return False
    return (x[0] is None and y[0] is None) or (x.rank > 1 and x[0] is not None and x[0] == y[0])


def as_text(y: np.ndarray) -> np.ndarray:
    """Return texts of TensorFlow, which are bytes, as str."""
    if y.dtype.kind == "O" and all(isinstance(value, bytes) for value in y.flat):
        return np.array([value.decode("utf-8", "replace") for value in y.flat]).reshape(y.shape)
    return y
