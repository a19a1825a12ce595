"""A table in chunks of rows, each with the line in which it stands. A row with too many fields is set aside."""

import re
import sys
import tempfile
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfileobj
from typing import NamedTuple

import pandas as pd

from kerasdl.data import table_text
from kerasdl.data.table_file import EXCEL, PARQUET, Dialect, existing, first_line, read_table, reading
from kerasdl.errors import DataError

STDIN = "-"
LONG = re.compile(r"Skipping line (\d+): (expected \d+ fields, saw \d+)")  # what pandas warns of


class Rows(NamedTuple):
    """Some rows of a table.

    Attributes:
        frame: their columns as pandas reads them, with stripped names.
        lines: the line or row of each in the file.
        long: {line: what is wrong} of rows among them that have too many fields.
    """

    frame: pd.DataFrame
    lines: list[int]
    long: dict[int, str]


@contextmanager
def spooled(path: Path) -> Iterator[str]:
    """Yield the path of a table; of "-" that of a file with what standard input holds, which is read once only."""
    if str(path) != STDIN:
        yield str(path)
        return
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        copyfileobj(sys.stdin.buffer, file)
        file.flush()
        try:
            yield file.name
        except DataError as error:
            raise type(error)(str(error).replace(file.name, "standard input")) from None


def chunks(path: str, texts: Collection[str], dialect: Dialect, size: int, known: Collection[str]) -> Iterator[Rows]:
    """Yield the rows of a table. Parquet files and spreadsheets are read in one piece.

    Args:
        path: the file.
        texts: columns that are read as they are written.
        dialect: how the file is written.
        size: rows of a chunk.
        known: the columns that are used, of which a file may have one alone.

    Raises:
        DataError: as `read_table` does; a file without rows has no chunks.
    """
    if Path(existing(path)).suffix.lower() in PARQUET + EXCEL:
        frame = read_table(path, texts, dialect, lambda name: name not in known, known)
        for start in range(0, len(frame), size):
            part = frame.iloc[start:start + size]
            yield Rows(part.reset_index(drop=True), [line for _, line in part.index], {})
        return
    path = existing(path)
    with reading(path, dialect):
        yield from _of_text(path, texts, dialect, size, known)


def _of_text(path: str, texts: Collection[str], dialect: Dialect, size: int, known: Collection[str]) -> Iterator[Rows]:
    options, names = dialect.options(path), first_line(path, dialect, known)
    if dialect.header is False:
        options |= {"header": None, "names": names}
    as_text = {name: str for name in names if name.strip() in texts or dialect.thousands}  # see `ungrouped`
    how = options["sep"], dialect.encoding, dialect.header is not False, dialect.skiprows
    places = table_text.places(path, *how)
    long = _long_at_first(path, len(names), how)  # by record
    options["skiprows"] = [*range(dialect.skiprows), *(record - 1 for record in long)]
    with pd.read_csv(path, low_memory=False, dtype=as_text, chunksize=size, on_bad_lines="warn", **options) as parts:
        while True:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                frame = next(parts, None)
            for record, why in LONG.findall("\n".join(str(warning.message) for warning in caught)):  # several in one
                long[int(record)] = why
            if frame is None:
                break
            frame = frame.set_axis([str(name).strip() for name in frame.columns], axis=1).reset_index(drop=True)
            lines, aside = _lines(len(frame), places, long)
            yield Rows(frame, lines, aside)
    if long:  # after the last row
        yield Rows(frame_like(names), [], {line: long[record] for record, (_, line) in zip(
            sorted(long), places, strict=False)})  # places have no end


def _long_at_first(path: str, most: int, how: tuple[str, str, bool, int]) -> dict[int, str]:
    """Return {record: what is wrong} of the rows with more than `most` fields that no other row comes before: of these
    pandas takes the first fields for an index."""
    found: dict[int, str] = {}
    for record, count in table_text.fields(path, *how):
        if count <= most:
            return found
        found[record] = f"expected {most} fields, saw {count}"
    if found:
        raise DataError(f"The rows of {path} have more fields than its header has names. Name them all.")
    return found


def frame_like(names: Collection[str]) -> pd.DataFrame:
    """Return a table of these columns without rows."""
    return pd.DataFrame(columns=[name.strip() for name in names], dtype=object)


def _lines(rows: int, places: Iterator[tuple[int, int]], long: dict[int, str]) -> tuple[list[int], dict[int, str]]:
    """Return the lines of the next rows, and of the long ones before or between them, which leave `long`."""
    lines: list[int] = []
    aside: dict[int, str] = {}
    while len(lines) < rows:
        record, line = next(places)
        if record in long:
            aside[line] = long.pop(record)
        else:
            lines.append(line)
    return lines, aside
