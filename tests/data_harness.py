"""What the tests of every source of data share."""

from pathlib import Path

import numpy as np
import pytest

from kerasdl.data.sources.csv import read_files
from kerasdl.errors import DataError, UserError

PARTS = {"train": "train", "val": "val", "test": "test"}
RNG = np.random.default_rng(0)


def refused(call, *words):
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def rows(split):
    """Each example as bytes, with its label: what two parts must not share."""
    return [(row.tobytes(), int(label)) for row, label in zip(split.x, split.y, strict=True)]


def gather(parts):
    """All examples of all parts, sorted, with their classes' names."""
    return sorted((row, part.classes[label]) for part in parts.values() for row, label in rows(part))


def refused_value(call, *words):
    """As `refused`, for the zoo, which raises ValueError."""
    with pytest.raises(ValueError) as caught:
        call()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value), caught.value


def read_rows(path, columns, medians, reading=None):
    """The rows of a table as a model of these columns takes them; the first that cannot be read is raised."""
    facts = {"kind": "row", "shape": 1, "columns": columns, "medians": medians, "reading": reading or {}}
    found = list(read_files([Path(path)], facts))
    for fault in (fault for chunk in found for fault in chunk.faults):
        raise DataError(fault.why)
    return np.concatenate([chunk.x for chunk in found])
