"""Opening a CSV file: pandas does it, and what would be lost or guessed in silence is refused."""

import csv
import mmap
import re
import zipfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from kerasdl.errors import DataError

CODE = re.compile(rb'(?:^|[,\n])[ "]*(?:0\d+|\d+[eE]\d+)[ "]*(?=[,\r\n]|$)')  # a field such as 007 or 1e3


def is_numeric(values: pd.Series) -> bool:
    """Return whether pandas understood a column as numbers."""
    return values.dtype.kind in "iufb"


def read_table(path: str, texts: Collection[str] = (), header: bool | None = None) -> pd.DataFrame:
    """Return the table, with columns of codes and the columns `texts` as they are written, others as pandas reads them.

    A code is a number that would lose something: 007, and 1e3 among whole numbers.

    Args:
        path: the file; "~" is the home folder.
        texts: columns that are text, whatever they look like.
        header: whether the first line has names; None: yes, unless all of them are numbers, which is refused.

    Its index is (path, line), for messages.

    Raises:
        DataError: no file, not a CSV file in UTF-8, other separators than commas, no rows, two columns of one name.
    """
    path = str(Path(path).expanduser())
    if not Path(path).is_file():
        raise DataError(f"There is no file {path!r}. Give the CSV as data=csv:PATH.")
    try:
        written = pd.read_csv(path, skipinitialspace=True, header=None, nrows=1, dtype=str).iloc[0]
        names = written.str.strip()
        if len(names) == 1 and (other := re.search(r"[;\t|]", str(names[0]))):
            how = f"sep={other[0]!r}" + ", decimal=','" * (other[0] == ";")  # spreadsheets of half of Europe write both
            raise DataError(f"{path} separates fields by {other[0]!r}, and a CSV does by commas. Write it again, as "
                            f"with pandas.read_csv({path!r}, {how}).to_csv(NEW, index=False).")
        if header is None and _numbers(names):
            raise DataError(f"The first line of {path} looks like a row: {', '.join(map(str, names[:5]))}. Say whether "
                            "it has the names of the columns: data_args.header=true or data_args.header=false.")
        if header is False:
            written = names = pd.Series([str(number) for number in range(len(names))])
        texts = {*texts, *_codes(path, list(written), header)}
        dtypes = {name: str for name, plain in zip(written, names, strict=True) if plain in texts}
        # Not in pieces, in which 7 and 007 would be two texts.
        frame = pd.read_csv(path, skipinitialspace=True, low_memory=False, dtype=dtypes, **_named(written, header))
    except DataError:
        raise
    except UnicodeDecodeError:
        raise DataError(f"{path} is not written in UTF-8. Save it as that in the program that made it.") from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a CSV file: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    if frame.empty:
        raise DataError(f"{path} has a header but no rows.")
    if (twice := names[names.duplicated() & names.notna()]).size:
        raise DataError(f"{path} has two columns called {twice.iloc[0]!r}. Give one another name.")
    if not isinstance(frame.index, pd.RangeIndex):
        raise DataError(f"The rows of {path} have more fields than its header has names. Name them all.")
    frame.columns = frame.columns.map(str).str.strip()
    for name in [name for name in frame if not is_numeric(frame[name])]:
        frame[name] = frame[name].map(lambda value: value.strip() if isinstance(value, str) else value)
    frame.index = pd.MultiIndex.from_product([[path], lines(path, len(frame), header is not False)])
    return frame


def _named(written: pd.Series, header: bool | None) -> dict[str, Any]:
    """Return what tells pandas that there is no line of names."""
    return {"header": None, "names": list(written)} if header is False else {}


def _numbers(names: pd.Series) -> bool:
    """Return whether all names of a header are numbers that do not count up by one, as years or an index do."""
    numbers = pd.to_numeric(names, errors="coerce")
    if numbers.isna().any():
        return False
    counted = (numbers.diff().dropna() == 1).all() and len(numbers) > 1  # 2019, 2020 ... or 0, 1 ...
    return not counted


def _codes(path: str, written: Sequence[str], header: bool | None) -> list[str]:
    """Return the columns of codes. The file is searched as bytes first: few have any."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        if not CODE.search(whole):
            return []
    texts = pd.read_csv(path, skipinitialspace=True, dtype=str, **_named(pd.Series(written), header))
    found = []
    for name in texts:
        values = texts[name].dropna().str.strip()
        integers = values.str.fullmatch(r"\d+([eE]\d+)?")
        if values.str.fullmatch(r"0\d+").any() or (integers.all() and values.str.contains("[eE]").any()):
            found.append(str(name).strip())
    return found


def lines(path: str | Path, rows: int, header: bool = True) -> list[int]:
    """Return the line in which each row of a CSV file begins: blank lines are no rows, a text may have several."""
    last, found = 0, []
    with open(path, newline="", encoding="utf-8-sig") as file, \
            suppress(csv.Error, UnicodeDecodeError):  # such as a very long text, or a file that is compressed
        reader = csv.reader(file, skipinitialspace=True)
        for row in reader:
            if row:
                found.append(last + 1)
            last = reader.line_num
    found = found[1:] if header else found
    return found if len(found) == rows else list(range(1 + header, rows + 1 + header))
