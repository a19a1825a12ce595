"""A text file of a table as bytes and lines: whether it holds codes, and where each row begins."""

import bz2
import csv
import gzip
import io
import lzma
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO, Any

import numpy as np

BLANK = re.compile(rb"(?:\n|\r(?!\n))[ \t]*[\r\n]")  # also where a line ends with \r alone
BLOCK = 2**24  # bytes that are looked at at once
COMPRESSED: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
JSON_LINES = (".jsonl", ".ndjson")
WRITTEN = (".csv", ".tsv", *JSON_LINES)  # which may be compressed


def ending(path: str | Path) -> str:
    """Return the ending of a path; of a table that is compressed, such as texts.csv.gz, that of the table."""
    whole, inner = Path(path).suffix.lower(), Path(Path(path).stem).suffix.lower()
    return inner if whole in (*COMPRESSED, ".zip") and inner in WRITTEN else whole


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """Open a file for its bytes, decompressed as pandas does by its suffix."""
    suffix = Path(path).suffix.lower()
    if suffix == ".zip":
        with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as file:
            yield file
    else:
        with COMPRESSED.get(suffix, open)(path, "rb") as file:
            yield file


def has_codes(path: str, sep: str) -> bool:
    """Return whether a field may be a code: 007 or 1e3. Some other files are answered with yes, too."""
    field = re.escape(sep.encode())
    code = re.compile(rb'(?:^|[\r\n%b])[ "]*(?:0\d+|\d+[eE]\d+)[ "]*(?=[\r\n%b]|$)' % (field, field))
    begins = np.zeros(256, bool)
    begins[[10, 13, 32, 34, ord(sep)]] = True  # line, space, quote, separator
    with opened(path) as file:
        rest = b"\n"  # before the first field
        while block := file.read(BLOCK):
            text = rest + block
            at = np.frombuffer(text, "uint8")
            digit = (at - 48) < 10  # of unsigned numbers: others are large
            zeros = (at[1:-1] == 48) & begins[at[:-2]] & digit[2:]
            exponents = ((at[1:-1] | 32) == 101) & digit[:-2] & digit[2:]
            if (zeros | exponents).any() and code.search(text):
                return True
            rest = _last_line(text, len(rest))
    return False


def lines(path: str, rows: int, sep: str = ",", encoding: str = "utf-8", header: bool = True, skip: int = 0
          ) -> Sequence[int]:
    """Return the line in which each row of a file begins: blank lines are no rows, a text may have several.

    Where it cannot be known, as rows counted without such lines.
    """
    first = 1 + skip + header
    simple = range(first, first + rows)
    if _count(path) == rows + first - 1:
        return simple
    found = [line for line, row in _records(path, sep, encoding) if row and line > skip][header:]
    return found if len(found) == rows else simple


def places(path: str, sep: str = ",", encoding: str = "utf-8", header: bool = True, skip: int = 0
           ) -> Iterator[tuple[int, int]]:
    """Yield for each row of a file, one after another, its number as pandas counts in warnings, and its line.

    pandas counts records, blank ones too. Where a file ends before its rows do, each further row is a line.
    """
    record = line = skip + header
    if not _one_row_a_line(path, encoding):
        for record, line, width in _numbered(path, sep, encoding, header, skip):
            if width:
                yield record, line
    for more in count(1):
        yield record + more, line + more


def fields(path: str, sep: str = ",", encoding: str = "utf-8", header: bool = True, skip: int = 0
           ) -> Iterator[tuple[int, int]]:
    """Yield for each row of a file, one after another, its number as in `places`, and how many fields it has."""
    for record, _, width in _numbered(path, sep, encoding, header, skip):
        if width:
            yield record, width


def _numbered(path: str, sep: str, encoding: str, header: bool, skip: int) -> Iterator[tuple[int, int, int]]:
    """Yield for each record of a file its number, its line and how many fields it has: 0 if it is no row."""
    heads = int(header)
    for record, (line, row) in enumerate(_records(path, sep, encoding), 1):
        counts = line > skip and bool(row) and row != [""]
        yield record, line, len(row) if counts and not heads else 0
        heads -= bool(counts and heads)


def _one_row_a_line(path: str, encoding: str) -> bool:
    """Return whether no line is blank and no text in quotes has several lines; False where bytes do not tell it."""
    if "\n".encode(encoding) != b"\n":  # such as UTF-16
        return False
    inside, rest = 0, b"\n"
    with opened(path) as file:
        while block := file.read(2**20):
            text = rest + block
            if BLANK.search(text):
                return False
            if b'"' in block:
                at = np.frombuffer(block, "uint8")
                quotes = np.cumsum(at == ord('"'), dtype="int32") + inside
                if (quotes[(at == ord("\n")) | (at == ord("\r"))] % 2).any():
                    return False
                inside = int(quotes[-1])
            rest = _last_line(text, len(rest))
    return True


def _last_line(text: bytes, start: int) -> bytes:
    """Return what follows the last end of a line from `start` on, and that end; the last bytes where there is none."""
    last = max(text.rfind(b"\n", start), text.rfind(b"\r", start))
    return text[last if last >= 0 else -64:]


def _count(path: str) -> int:
    """Return the number of lines; the last one may have no end."""
    ends, last = 0, b"\n"
    with opened(path) as file:
        while block := file.read(BLOCK):
            ends, last = ends + block.count(b"\n"), block[-1:]
    return ends + (last != b"\n")


def _records(path: str, sep: str, encoding: str) -> Iterator[tuple[int, Any]]:
    """Yield the line where each record begins, and its fields."""
    last = 0
    with opened(path) as file, suppress(csv.Error, UnicodeError):  # such as a very long text
        reader = csv.reader(io.TextIOWrapper(file, "utf-8-sig" if encoding == "utf-8" else encoding, newline=""),
                            delimiter=sep, skipinitialspace=True)
        for row in reader:
            yield last + 1, row
            last = reader.line_num
