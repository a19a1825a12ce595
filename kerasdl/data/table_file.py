"""Opening a CSV file: pandas does it, and what would be lost or guessed in silence is refused."""

import csv
import re
import zipfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import pandas as pd

from kerasdl.errors import DataError


def is_numeric(values: pd.Series) -> bool:
    """Return whether pandas understood a column as numbers."""
    return values.dtype.kind in "iufb"


def read_table(path: str, texts: Collection[str] = ()) -> pd.DataFrame:
    """Return the table, with the columns `texts` as they are written, and others as pandas understands them.

    Its index is (path, line), for messages.

    Raises:
        DataError: no file, not a CSV file in UTF-8, other separators than commas, no rows, two columns of one name.
    """
    if not Path(path).is_file():
        raise DataError(f"There is no file {path!r}. Give the CSV as data=csv:PATH.")
    try:
        written = pd.read_csv(path, skipinitialspace=True, header=None, nrows=1, dtype=str).iloc[0]
        header = written.str.strip()
        if len(header) == 1 and (other := re.search(r"[;\t|]", str(header[0]))):
            how = f"sep={other[0]!r}" + ", decimal=','" * (other[0] == ";")  # spreadsheets of half of Europe write both
            raise DataError(f"{path} separates fields by {other[0]!r}, and a CSV does by commas. Write it again, as "
                            f"with pandas.read_csv({path!r}, {how}).to_csv(NEW, index=False).")
        dtypes = {name: str for name, plain in zip(written, header, strict=True) if plain in texts}
        # Not in pieces, in which 7 and 007 would be two texts.
        frame = pd.read_csv(path, skipinitialspace=True, low_memory=False, dtype=dtypes)
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
    if (twice := header[header.duplicated() & header.notna()]).size:
        raise DataError(f"{path} has two columns called {twice.iloc[0]!r}. Give one another name.")
    if not isinstance(frame.index, pd.RangeIndex):
        raise DataError(f"The rows of {path} have more fields than its header has names. Name them all.")
    frame.columns = frame.columns.map(str).str.strip()
    for name in [name for name in frame if not is_numeric(frame[name])]:
        frame[name] = frame[name].map(lambda value: value.strip() if isinstance(value, str) else value)
    frame.index = pd.MultiIndex.from_product([[path], lines(path, len(frame))])
    return frame


def lines(path: str | Path, rows: int) -> list[int]:
    """Return the line in which each row of a CSV file begins: blank lines are no rows, a text may have several."""
    last, found = 0, []
    with open(path, newline="", encoding="utf-8-sig") as file, \
            suppress(csv.Error, UnicodeDecodeError):  # such as a very long text, or a file that is compressed
        reader = csv.reader(file, skipinitialspace=True)
        for row in reader:
            if row:
                found.append(last + 1)
            last = reader.line_num
    return found[1:] if len(found) == rows + 1 else list(range(2, rows + 2))
