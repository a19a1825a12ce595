"""Rows of tables as a trained model takes them, in chunks; a row that it cannot take is set aside with the reason.

Whether a row is good never depends on the rows around it: texts are read as they are written, and a column of numbers
in which pandas finds a text is read again without that.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd

from kerasdl.data.chunks import Chunk, Fault
from kerasdl.data.columns import (
    MISSING,
    TRUTHS,
    Columns,
    add_parts,
    category_of,
    check_present,
    clocks_of,
    encode,
    split_dates,
)
from kerasdl.data.strangers import blank, fills
from kerasdl.data.table_chunks import Rows, chunks, spooled
from kerasdl.data.table_file import Dialect, header, is_numeric
from kerasdl.data.table_numbers import parsed
from kerasdl.errors import DataError, nearest

FLOAT32 = np.finfo("float32").max
LOCK = Lock()  # long rows come as warnings, whose state is of the process, and any work of pandas may change it


def read(files: Iterable[Path], columns: Columns, facts: Mapping[str, Any], dialect: Dialect, size: int,
         unknown: str = "refuse") -> Iterator[Chunk]:
    """Yield the rows of tables, named FILE:LINE; "-" is standard input.

    Args:
        files: the tables.
        columns: of the model.
        facts: of the run, its data.json.
        dialect: how the tables are written.
        size: rows of a chunk.
        unknown: "refuse" sets a row aside whose category the model does not know; "missing" takes the category as
            missing, or as none of those known where none was missing in training.

    Raises:
        DataError: a table that cannot be read or lacks columns.
    """
    found = _read(files, columns, facts, dialect, size, unknown)
    while True:
        with LOCK:
            chunk = next(found, None)
        if chunk is None:
            return
        yield chunk


def _read(files: Iterable[Path], columns: Columns, facts: Mapping[str, Any], dialect: Dialect, size: int, unknown: str
          ) -> Iterator[Chunk]:
    dates = facts.get("reading", {}).get("dates", ())
    texts = [name for name, categories in columns.items() if categories is not None] + list(dates)
    known = {*columns, *dates}
    for file in files:
        with spooled(file) as path:
            check_file(path, columns, facts, dialect, str(file))
            empty = True
            for rows in chunks(path, texts, dialect, size, known):
                empty = False
                yield _chunk(rows, str(file), columns, facts, dialect, unknown)
            if empty:
                raise DataError(f"{file} has a header but no rows.")


def check_file(path: str, columns: Columns, facts: Mapping[str, Any], dialect: Dialect, name: str) -> None:
    """Raise a DataError that names all columns of a model which a table lacks; only its first line is read."""
    reading = facts.get("reading", {})
    if (head := header(path, dialect, {*columns, *reading.get("dates", ())})) is not None:
        check_present(split_dates(head, reading.get("dates", ()), reading.get("date_format")), columns, name)


def _chunk(rows: Rows, file: str, columns: Columns, facts: Mapping[str, Any], dialect: Dialect, unknown: str) -> Chunk:
    reading, medians = facts.get("reading", {}), facts.get("medians", {})
    dates, hashed = reading.get("dates", ()), reading.get("hash", ())
    needed = [name for name in rows.frame if name in columns or name in dates]
    faults = _Faults(len(rows.frame))
    frame = _with_dates(rows.frame[needed].copy(), dates, reading.get("date_format"), faults)
    check_present(frame, columns, file)
    remedy = "none was missing there in training" if medians else "fill it, or train with data_args.fill=median"
    lenient = unknown == "missing" and fills(columns, medians)
    strange: dict[str, np.ndarray] = {}
    for name, categories in columns.items():
        if categories is None:
            frame[name] = _numbers(frame[name], name, dialect, None if name in medians else remedy, faults)
        else:
            frame[name], found = _texts(frame[name], name, categories, name in hashed, unknown,
                                        None if lenient else remedy, faults)
            if found.any():
                strange[name] = found
    good = faults.none
    x = encode(frame[good], columns, medians, reading.get("offsets"), hashed) if good.any() else \
        np.empty((0, sum(len(categories or [0]) for categories in columns.values())), "float32")
    blank(x, columns, {name: found[good] for name, found in strange.items()})
    return _named(rows, file, x, faults, Counter({name: int(found[good].sum()) for name, found in strange.items()}))


class _Faults:
    """The first fault of each row of a chunk."""

    def __init__(self, rows: int):
        self.none, self.why = np.ones(rows, bool), dict[int, str]()

    def add(self, wrong: np.ndarray, why: str, values: pd.Series | None = None) -> None:
        """Note where `wrong` (N,) is true; {} in the text stands for the value there."""
        for place in np.flatnonzero(wrong & self.none):
            self.why[int(place)] = why if values is None else why.replace("{}", repr(str(values.iloc[place])), 1)
        self.none &= ~wrong


def _with_dates(frame: pd.DataFrame, dates: Sequence[str], form: str | None, faults: _Faults) -> pd.DataFrame:
    for name in (name for name in dates if name in frame):
        values = frame.pop(name).astype("string").str.strip()
        moments = clocks_of(values, form)
        wrong = (moments.isna() & values.notna()).to_numpy(bool)
        faults.add(wrong, f"the column {name!r} is one of dates, and has {{}}", values)
        add_parts(frame, name, moments)
    return frame


def _numbers(values: pd.Series, name: str, dialect: Dialect, remedy: str | None, faults: _Faults) -> pd.Series:
    """Return a column as float64, in which what is wrong is missing."""
    missing = values.isna().to_numpy()
    numbers = values if is_numeric(values) else _of_texts(values, dialect)
    numbers = numbers.astype("float64")
    if codes := [] if is_numeric(values) else dialect.missing_numbers:  # pandas compares those of texts as texts
        missing = missing | numbers.isin(codes).to_numpy()
        numbers = numbers.mask(missing)
    faults.add(numbers.isna().to_numpy() & ~missing, f"the column {name!r} holds numbers, and has {{}}", values)
    large = (numbers.abs() > FLOAT32).to_numpy()
    faults.add(large, f"the column {name!r} has a value that is infinite, or too large for a float32")
    if remedy:
        faults.add(missing, f"the column {name!r} is missing: {remedy}")
    return numbers


def _of_texts(values: pd.Series, dialect: Dialect) -> pd.Series:
    """Return the numbers among texts, each as pandas reads it in a column of numbers or of truths; else NaN."""
    texts = values.dropna().astype(str).str.strip().replace(TRUTHS)
    return parsed(texts, dialect.decimal, dialect.thousands).reindex(values.index)


def _texts(values: pd.Series, name: str, categories: Sequence[str], hashed: bool, unknown: str, remedy: str | None,
           faults: _Faults) -> tuple[pd.Series, np.ndarray]:
    """Return a column of categories, and where it has none that is known or was missing in training, (N,)."""
    missing = values.isna().to_numpy()
    gaps = missing & (MISSING not in categories)
    if remedy:
        faults.add(gaps, f"the column {name!r} is missing: {remedy}")
        gaps = np.zeros(len(values), bool)
    if hashed:
        return values.where(missing, values.astype(str).str.strip()).mask(gaps, ""), gaps
    known = set(categories)
    meant = {value: category_of(value, known) for value in values[~missing].unique()}
    found = values.map(meant, na_action="ignore").astype(object)
    strange = found.isna().to_numpy() & ~missing
    if unknown == "refuse":
        for value in (value for value, category in meant.items() if category is None):
            faults.add((values == value).to_numpy(bool), f"the column {name!r} has a value {value!r} that the training "
                                                         f"data has not. {nearest(str(value), categories)}")
        strange = np.zeros(len(values), bool)
    strange |= gaps
    filling = MISSING if MISSING in known else categories[0]  # the latter is taken out by blank, or the row is
    return found.where(found.notna(), filling), strange


def _named(rows: Rows, file: str, x: np.ndarray, faults: _Faults, unknown: Mapping[str, int]) -> Chunk:
    """Return the chunk, the faults in the order of the lines."""
    good = [line for line, fine in zip(rows.lines, faults.none, strict=True) if fine]
    wrong = {rows.lines[place]: why for place, why in faults.why.items()} | rows.long
    places = np.searchsorted(good, sorted(wrong))
    return Chunk([f"{file}:{line}" for line in good], x,
                 [Fault(int(place), f"{file}:{line}: {wrong[line].rstrip('.')}.")
                  for line, place in zip(sorted(wrong), places, strict=True)],
                 {name: count for name, count in unknown.items() if count})
