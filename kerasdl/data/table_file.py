"""Opening a table: pandas reads it, and what would be lost or guessed in silence is refused."""

import re
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from datetime import time as clock
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from kerasdl.data import table_text
from kerasdl.data.table_numbers import converted, ungrouped
from kerasdl.errors import DataError, listed, nearest
from kerasdl.settings import Settings

PARQUET, EXCEL = (".parquet", ".pq"), (".xlsx", ".xlsm", ".xls", ".ods")
OTHER_SEPARATORS = r"[;\t|]"
MISSING_WORDS = ("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
                 "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null")  # of pandas.read_csv
GUESSES = ("utf-8", "cp1252", "utf-16")  # encodings that a message may name


class Dialect(Settings):
    """How a table is written down."""

    sep: str | None = Field(None, description="what separates fields, such as ';' or tab; None: a comma, in .tsv a tab")
    decimal: str = Field(".", min_length=1, max_length=1, description="the decimal sign, such as a comma")
    thousands: str | None = Field(None, min_length=1, max_length=1, description="the sign between thousands")
    na_values: Annotated[str | int | float | list | tuple, "text or list"] = Field(
        (), description="texts that mean a missing value, in addition to NA, NaN, null and an empty field")
    encoding: str = Field("utf-8", description="encoding of the file, such as cp1252")
    header: bool | None = Field(
        None, description="whether the first line has the names of the columns; None: yes, unless all are numbers, "
                          "which is refused. Without a header the columns are called 0, 1 ...")
    skiprows: int = Field(0, ge=0, description="lines above the header that are not read")
    sheet: str | int | None = Field(None, description="the sheet of a spreadsheet: its name or its number, from 0")

    def separator(self, path: str) -> str:
        """Return what separates the fields of a file, one character."""
        words = {None: "\t" if ".tsv" in Path(path).suffixes else ",", "tab": "\t", "\\t": "\t", "space": " "}
        sep = words.get(self.sep, self.sep or ",")
        if len(sep) != 1:
            raise DataError(f"data_args.sep is one character, or tab. Received: {self.sep!r}.")
        return sep

    def options(self, path: str) -> dict[str, Any]:
        """Return the arguments of pandas.read_csv, which knows signs of ASCII only; see `with_numbers`."""
        thousands = self.thousands if (self.thousands or "").isascii() else None
        return {"sep": self.separator(path), "decimal": self.decimal, "thousands": thousands,
                "na_values": self.missing or None, "encoding": self.encoding,
                "skiprows": self.skiprows, "skipinitialspace": True}

    @property
    def missing(self) -> list[str]:
        """The texts that mean a missing value, besides those that always do."""
        return listed(self.na_values, ()) if self.na_values != () else []

    @property
    def missing_numbers(self) -> list[float]:
        """Those of them that are numbers."""
        return pd.to_numeric(pd.Series(self.missing, dtype=object), errors="coerce").dropna().astype("float64").tolist()

    def changed(self) -> dict[str, Any]:
        """Return the settings that differ from the defaults, as plain JSON."""
        return {key: getattr(self, key) for key in Dialect.model_fields
                if getattr(self, key) != Dialect.model_fields[key].default}

    @classmethod
    def of(cls, settings: Settings) -> "Dialect":
        """Return the part of some settings that is a dialect."""
        return cls(**{key: getattr(settings, key) for key in cls.model_fields})


def is_numeric(values: pd.Series) -> bool:
    """Return whether pandas understood a column as numbers."""
    return values.dtype.kind in "iufb"


def whole_numbers(values: pd.Series) -> pd.Series:
    """Return whole numbers as integers: pandas reads a 0 as 0.0 where a value of the column is missing."""
    numbers = values.dropna()
    if values.dtype.kind == "f" and (numbers % 1 == 0).all() and numbers.abs().max() < 2**53:
        return values.astype("Int64")
    return values


def in_texts(frame: pd.DataFrame, names: Collection[str]) -> pd.DataFrame:
    """Return a table whose columns of these names are texts: 7 is "7", whether or not a value of the column is missing.

    A text file is read so; other files and frames hold numbers.
    """
    for name in (name for name in names if name in frame and is_numeric(frame[name])):
        frame[name] = whole_numbers(frame[name]).map(lambda value: value if pd.isna(value) else str(value))
    return frame


def none(name: str) -> bool:
    """Return False: by default each column of a table is used."""
    return False


def read_table(path: str, texts: Collection[str] = (), dialect: Dialect | None = None,
               unused: Callable[[str], bool] = none, known: Collection[str] = ()) -> pd.DataFrame:
    """Return the table, with columns of codes and the columns `texts` as they are written, others as pandas reads them.

    A code is a number that would lose something: 007, and 1e3 among whole numbers.

    Args:
        path: a text file, compressed or not, a Parquet file or a spreadsheet; "~" is the home folder.
        texts: columns that are text, whatever they look like.
        dialect: how the file is written.
        unused: whether a column of this name may hold what cannot be learned from, such as lists.
        known: the columns of a model, of which a file may have one alone. Its spreadsheet may have one sheet of any
            name.

    Its index is (path, line), for messages.

    Raises:
        DataError: no file, one that is not written so, no rows, two columns of one name, a package that is missing.
    """
    dialect, path = dialect or Dialect(), existing(path)
    with reading(path, dialect):
        suffix = Path(path).suffix.lower()
        frame = _parquet(path, texts) if suffix in PARQUET else _spreadsheet(path, dialect, known) if suffix in EXCEL \
            else _text(path, texts, dialect, known)
    frame = checked(frame, path, unused, dialect, texts)
    return in_texts(with_gaps(frame, dialect, unused, texts) if suffix in PARQUET + EXCEL else frame, texts)


def existing(path: str) -> str:
    """Return the path of a table without "~".

    Raises:
        DataError: there is no such file.
    """
    path = str(Path(path).expanduser())
    if not Path(path).is_file():
        raise DataError(f"There is no file {path!r}. Give the CSV as data=csv:PATH.")
    return path


def header(path: str, dialect: Dialect, known: Collection[str] = ()) -> pd.DataFrame | None:
    """Return the columns of a table without rows, from its first line; None of a Parquet file or a spreadsheet.

    `known` is as in `read_table`.

    Raises:
        DataError: what `read_table` finds wrong with the first line.
    """
    path = existing(path)
    if Path(path).suffix.lower() in PARQUET + EXCEL:
        return None
    with reading(path, dialect):
        names = first_line(path, dialect, known)
    return pd.DataFrame(columns=[name.strip() or f"Unnamed: {place}" for place, name in enumerate(names)], dtype=object)


def checked(frame: pd.DataFrame, source: str, unused: Callable[[str], bool] = none, dialect: Dialect | None = None,
            texts: Collection[str] = ()) -> pd.DataFrame:
    """Return a table with the names stripped and, but for those that are not used, plain columns; see `plain`.

    Numbers among texts are written as the dialect says, but for the columns `texts`.

    Raises:
        DataError: no rows, or two columns of one name.
    """
    if not len(frame):
        raise DataError(f"{source} has a header but no rows.")
    names = pd.Index([str(name).strip() for name in frame.columns])
    if names.has_duplicates:
        raise DataError(f"{source} has two columns called {names[names.duplicated()][0]!r}. Give one another name.")
    frame = frame.set_axis(names, axis=1)
    for name in filter(lambda name: not unused(name), names):
        if not is_numeric(frame[name]) or pd.api.types.is_extension_array_dtype(frame[name].dtype):
            whole = name in texts and pd.api.types.is_integer_dtype(frame[name].dtype)  # a float would lose digits
            frame[name] = plain(frame[name].astype("string") if whole else frame[name], name,
                                "." if dialect is None or name in texts else dialect.decimal)
    return frame


def plain(values: pd.Series, name: str, decimal: str = ".") -> pd.Series:
    """Return a column of one of pandas' many types as numbers of NumPy, or as stripped texts.

    Categories are texts, whatever they are written with. Whole numbers that are written as 7.0 among texts are 7, and
    others get the decimal sign of the texts.

    Raises:
        DataError: values that are neither, such as lists or durations.
    """
    kind = values.dtype
    if isinstance(kind, pd.CategoricalDtype):
        own = pd.Series(kind.categories)
        names = whole_numbers(own if is_numeric(own) else plain(own, name, decimal)).astype(str)
        return pd.Series(np.append(names.to_numpy(object), np.nan)[values.cat.codes], values.index)
    if pd.api.types.is_bool_dtype(kind):  # of a file with gaps pandas makes texts
        return values.astype(object).map(str, na_action="ignore") if values.isna().any() else values.astype(bool)
    if pd.api.types.is_numeric_dtype(kind) and kind.kind != "c":
        return values.astype("float64" if values.isna().any() or kind.kind == "f" else "int64")
    if pd.api.types.is_datetime64_any_dtype(kind):
        return _moments(values, name)
    try:
        places, different = pd.factorize(values)  # each text is looked at once
    except TypeError:  # such as lists
        different = pd.Index(values.dropna())
    for value in different:
        if not isinstance(value, (str, int, float, bool, date, clock)):
            raise DataError(f"The column {name!r} holds values of type {type(value).__name__}, where numbers or texts "
                            f"are read. Leave it out with data_args.drop={name!r}.")
    found = [_text_of(value, decimal) for value in different]
    texts = np.array([*found, np.nan], object)  # a missing value has the place -1
    return pd.Series(texts[places], values.index)


def _moments(values: pd.Series, name: str) -> pd.Series:
    """Return times as texts, a day without its midnight, and fractions of a second where there are some."""
    there = values.dropna()
    if there.dt.tz is not None and there.dt.tz_localize(None).nunique() < there.nunique():
        raise DataError(f"The column {name!r} has times of an hour that the clock repeats, in which their order would "
                        "be lost. Convert it to UTC.")
    form = "%Y-%m-%d %H:%M:%S" + ".%f" * bool((there.dt.microsecond > 0).any())
    return values.dt.strftime(form).str.removesuffix(" 00:00:00").astype(object)


def with_gaps(frame: pd.DataFrame, dialect: Dialect, unused: Callable[[str], bool] = none, texts: Collection[str] = ()
              ) -> pd.DataFrame:
    """Return a table that was not read from text, in which is missing what would be missing if it had been: empty
    texts, NA and its like, and `na_values`; and in which is a number what would be one, but for the columns `texts`."""
    words, codes = (*MISSING_WORDS, *dialect.missing), dialect.missing_numbers
    for name in filter(lambda name: not unused(name), frame.columns):
        values = frame[name]
        gaps = values.isin(codes) if values.dtype.kind in "iuf" else values.isin(words)
        if gaps.any():
            frame[name] = values.mask(gaps)
    return with_numbers(frame, dialect, lambda name: name in texts or unused(name))


def with_numbers(frame: pd.DataFrame, dialect: Dialect, kept: Callable[[str], bool]) -> pd.DataFrame:
    """Return a table whose texts are numbers where a dialect with other signs says so; pandas reads none of these in
    what is no text file, and those with signs of ASCII in a text file.

    Columns that are `kept` stay as they are.
    """
    for name in (name for name in frame.columns if not kept(name) and not is_numeric(frame[name])):
        if (numbers := converted(frame[name], dialect.decimal, dialect.thousands)) is not None:
            frame[name] = numbers.mask(numbers.isin(dialect.missing_numbers))
    frame.attrs["thousands"] = dialect.thousands  # which numbers_of may not take for a decimal point
    return frame


def _text_of(value: Any, decimal: str) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float) and not value.is_integer():
        return str(value).replace(".", decimal)
    return str(int(value)) if isinstance(value, float) else str(value)


@contextmanager
def reading(path: str, dialect: Dialect) -> Iterator[None]:
    """Within it, what pandas raises becomes one line."""
    try:
        yield
    except DataError:
        raise
    except UnicodeError:
        raise DataError(f"{path} is not written in {dialect.encoding.upper()}. Save it as UTF-8, or say how it is "
                        "written: data_args.encoding=cp1252 is that of Windows in western Europe.") from None
    except LookupError:
        raise DataError(f"There is no encoding {dialect.encoding!r}. {nearest(dialect.encoding, GUESSES)}") from None
    except ImportError as error:
        raise DataError(f"{path} needs the package {error.name or str(error)}: pip install 'kerasdl[tables]'"
                        ) from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        what = "a CSV file" if Path(path).suffix.lower() not in PARQUET + EXCEL else "such a file"
        raise DataError(f"{path} is not {what}: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or ' '.join(str(error).split())}.") from None


def first_line(path: str, dialect: Dialect, known: Collection[str] = ()) -> list[str]:
    """Return the names of a text file's columns as they are written, "" where there is none; see `read_table`."""
    written = pd.read_csv(path, header=None, nrows=1, dtype=str, **dialect.options(path) | {
        "na_values": None, "na_filter": False}).iloc[0]  # NA may be the name of a column
    names = written.str.strip()
    if len(names) == 1 and ("0" if dialect.header is False else names[0]) not in known:
        _check_separator(path, names[0], dialect)
    if dialect.header is None and _numbers(names):
        raise DataError(f"The first line of {path} looks like a row: {', '.join(map(str, names[:5]))}. Say whether "
                        "it has the names of the columns: data_args.header=true or data_args.header=false.")
    if dialect.header is False:
        return [str(number) for number in range(len(names))]
    _check_names(path, names)
    return list(written)


def _check_names(path: str, names: pd.Series) -> None:
    """Refuse two columns of one name, of which pandas renames one."""
    if (twice := names[names.duplicated() & (names != "")]).size:
        raise DataError(f"{path} has two columns called {twice.iloc[0]!r}. Give one another name.")


def _text(path: str, texts: Collection[str], dialect: Dialect, known: Collection[str]) -> pd.DataFrame:
    options, names = dialect.options(path), first_line(path, dialect, known)
    if dialect.header is False:
        options |= {"header": None, "names": names}
    how = options["sep"], dialect.encoding, dialect.header is not False, dialect.skiprows
    if next(table_text.fields(path, *how), (0, 0))[1] > len(names):  # pandas would take the first for an index
        raise DataError(f"The rows of {path} have more fields than its header has names. Name them all.")
    as_text = {name: str for name in names if name.strip() in texts}
    frame = pd.read_csv(path, low_memory=False, dtype=as_text, **options)  # in one piece: 7 and 007 are one text
    for name in _not_numbers(path, frame, options, dialect):
        frame[name] = pd.read_csv(path, usecols=[name], dtype=str, **options)[name]
    if not (dialect.decimal + (dialect.thousands or "")).isascii():
        frame = with_numbers(frame, dialect, lambda name: name.strip() in texts)
    frame.attrs["thousands"] = dialect.thousands  # which numbers_of may not take for a decimal point
    lines = table_text.lines(path, len(frame), *how)
    if options["sep"] == "\t" and not isinstance(lines, range):
        _check_quotes(path, frame, lines)
    frame.index = pd.MultiIndex.from_product([[path], lines])
    return frame


def _check_quotes(path: str, frame: pd.DataFrame, lines: Sequence[int]) -> None:
    """Refuse a text in quotes that holds whole rows: in files with tabs a quote is often meant as a plain sign."""
    for place, name in enumerate(frame):
        if len(frame.columns) == 1 or is_numeric(frame[name]):
            continue  # of one column nothing tells a row from a line
        for row in np.flatnonzero(frame[name].astype("string").str.contains("\n", regex=False).fillna(False)):
            first, *others = str(frame[name].iloc[row]).split("\n")
            more = f"{len(others)} more row{'s' * (len(others) > 1)}"
            tabs = [len(frame.columns) - 1] * (len(others) - 1) + [place]
            if first.count("\t") == len(frame.columns) - 1 - place and [line.count("\t") for line in others] == tabs \
                    and all(line.strip("\r") and line[0] != "\t" for line in others):
                raise DataError(f"{path}: a quote in line {lines[int(row)]} begins a text that holds {more}. Put a "
                                "text with quotes into quotes, and write each of its own twice.")


def _check_separator(path: str, name: str, dialect: Dialect) -> None:
    """Refuse a first line of one field: it has another separator, or not the given one."""
    if dialect.sep is not None:
        raise DataError(f"{path} has one field in its first line, {name[:60]!r}. Is {dialect.sep!r} what "
                        "separates them?")
    if other := re.search(OTHER_SEPARATORS, name):
        how = f"data_args.sep={'tab' if other[0] == chr(9) else repr(other[0])}"
        with table_text.opened(path) as file:
            comma = re.search(rb"\d,\d", file.read(2**16))
        how += " data_args.decimal=','" * bool(comma and other[0] == ";")  # spreadsheets of half of Europe write both
        raise DataError(f"{path} separates fields by {other[0]!r}, and a CSV does by commas. Add {how}")


def _not_numbers(path: str, frame: pd.DataFrame, options: dict[str, Any], dialect: Dialect) -> list[str]:
    """Return the columns that pandas took for numbers and that are not: codes, and numbers in other groups than three.

    The file is searched for codes as bytes first: few have any.
    """
    numbers = [name for name in frame if is_numeric(frame[name])]
    if not numbers:
        return []
    plain_bytes = "0".encode(dialect.encoding) == b"0"  # not so in UTF-16
    if plain_bytes and not dialect.thousands and not table_text.has_codes(path, options["sep"]):
        return []
    texts, exponents, others = set(), set(), set()
    signs = dialect.decimal, dialect.thousands
    for part in pd.read_csv(path, usecols=numbers, dtype=str, chunksize=100_000, **options):
        for name in part:
            values = part[name].dropna().str.strip()
            whole = values.str.fullmatch(r"\d+([eE]\d+)?")
            texts |= {name} if values.str.fullmatch(r"0\d+").any() or ungrouped(values, *signs).any() else set()
            exponents |= {name} if values[whole].str.contains("[eE]").any() else set()
            others |= {name} if not whole.all() else set()
    return [name for name in numbers if name in texts | (exponents - others)]


def _numbers(names: pd.Series) -> bool:
    """Return whether all names of a header are numbers that do not count up by one, as years or an index do."""
    numbers = pd.to_numeric(names, errors="coerce")
    if numbers.isna().any():
        return False
    counted = (numbers.diff().dropna() == 1).all() and len(numbers) > 1  # 2019, 2020 ... or 0, 1 ...
    return not counted


def _parquet(path: str, texts: Collection[str]) -> pd.DataFrame:
    frame = pd.read_parquet(path)
    for name in (name for name in frame if str(name).strip() in texts and frame[name].dtype.kind == "f"):
        whole = pd.read_parquet(path, columns=[str(name)], dtype_backend="numpy_nullable")  # with all digits
        frame[name] = whole.iloc[:, 0].array
    frame = frame.reset_index(drop=all(name is None for name in frame.index.names))  # one with a name is a column
    frame.index = pd.MultiIndex.from_product([[path], range(1, len(frame) + 1)])
    return frame


def _spreadsheet(path: str, dialect: Dialect, known: Collection[str]) -> pd.DataFrame:
    with pd.ExcelFile(path) as book:
        sheet = None if known and len(book.sheet_names) == 1 else dialect.sheet
        if sheet is None and len(book.sheet_names) > 1:
            raise DataError(f"{path} has {len(book.sheet_names)} sheets. Say which to read: data_args.sheet=NAME. It "
                            f"has: {', '.join(map(str, book.sheet_names))}.")
        if isinstance(sheet, str) and sheet not in book.sheet_names:
            raise DataError(f"{path} has no sheet {sheet!r}. {nearest(sheet, book.sheet_names)}")
        frame = book.parse(0 if sheet is None else sheet, header=None if dialect.header is False else 0, dtype=object,
                           skiprows=dialect.skiprows, na_values=dialect.options(path)["na_values"]).infer_objects()
        names = book.parse(0 if sheet is None else sheet, header=None, dtype=object, skiprows=dialect.skiprows, nrows=1,
                           na_filter=False)
    if dialect.header is not False:
        _check_names(path, pd.Series([str(name).strip() for row in names.to_numpy() for name in row], dtype=object))
    if dialect.header is None and len(frame.columns) and _numbers(pd.Series([str(name) for name in frame.columns])):
        raise DataError(f"The first line of {path} looks like a row: {', '.join(map(str, frame.columns[:5]))}. Say "
                        "whether it has the names of the columns: data_args.header=true or data_args.header=false.")
    first = 1 + dialect.skiprows + (dialect.header is not False)
    frame.index = pd.MultiIndex.from_product([[path], range(first, first + len(frame))])
    return frame
