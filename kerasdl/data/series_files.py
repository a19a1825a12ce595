"""Files of time series: the .tsv of UCR, the .ts of aeon, arrays, and long tables with a row for each step."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from kerasdl.data import labels, texts
from kerasdl.data.columns import moments_of
from kerasdl.data.table import Column, Names
from kerasdl.data.table_file import PARQUET, Dialect, is_numeric, read_table, whole_numbers
from kerasdl.errors import DataError, listed, nearest

ARRAYS, TABLES = (".npz", ".npy"), (".csv", *PARQUET)
EXTENSIONS = (".tsv", ".ts", *ARRAYS, *TABLES)
MISSING = ("?", "", "NaN", "nan")


class LongArgs(Dialect):
    """What the columns of a long table are for."""

    id: Column | None = Field(None, description="of a table: the column that says which series a row belongs to")
    time: Column | None = Field(None, description="of a table: a column of numbers or dates that orders the steps of "
                                                  "a series; None: they are in order")
    value: Names | None = Field(None, description="of a table: the column of values, or several")
    date_format: str | None = Field(None, description="of a table: how the dates of time are written, such as "
                                                      "%d.%m.%Y; None: 2024-01-20, with or without 08:30")
    label: Names | None = Field(None, description="of a table: the column to learn, the same in all rows of a series")
    group: Column | None = Field(None, description="of a table: a column, the same in all rows of a series, that keeps "
                                                   "series in one split, such as those of a patient")


@dataclass(frozen=True)
class Series:
    """Time series with what is known of them.

    Attributes:
        values: (T, F) of each, as the file has them, NaN where a value is missing.
        names: what messages call each, such as FILE:LINE.
        labels: (N, columns), indexed by (file, row); None without labels.
        test: how many of the last ones the file calls test.
        groups: (N,) what keeps series in one split; None without.
    """

    values: list[np.ndarray]
    names: list[str]
    labels: pd.DataFrame | None
    test: int = 0
    groups: np.ndarray | None = None


def opened(path: str, args: LongArgs, labelled: bool, words: bool = False) -> Series:
    """Return the series of a file.

    Args:
        path: its ending is one of EXTENSIONS.
        args: of a table, its columns.
        labelled: whether labels are needed; of a table, they are read only then.
        words: whether the labels of a table are read as they are written.

    Raises:
        DataError: naming the file and the line, series or column that is wrong.
    """
    file, ending = existing(path), Path(path).suffix.lower()
    if args.group is not None and ending not in TABLES:
        raise DataError(f"data_args.group={args.group} names a column of a long table. Received: {path}.")
    read = _ucr if ending == ".tsv" else _ts if ending == ".ts" else _of_arrays
    found = _long(str(file), args, labelled, words) if ending in TABLES else read(str(file), args, labelled)
    if not found.values:
        raise DataError(f"{path} has no series.")
    if labelled and found.labels is None:
        raise DataError(f"{path} has no labels. Expected "
                        + ("an array y." if ending in ARRAYS else "@classLabel true, or @targetLabel true."))
    return found


def existing(path: str) -> Path:
    """Return the path of a file of series without "~".

    Raises:
        DataError: there is no such file, or one of another ending.
    """
    file = Path(path).expanduser()
    if file.suffix.lower() not in EXTENSIONS:
        raise DataError(f"Series are read from files {', '.join(EXTENSIONS)}. Received: {path!r}.")
    if not file.is_file():
        raise DataError(f"There is no file {path!r}. Give the series as data=series:PATH.")
    return file


def training_file(path: str) -> str:
    """Return the path of a file; of a folder, the file NAME_TRAIN in it that has a NAME_TEST next to it.

    Raises:
        DataError: a folder with no such pair, or with several.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return path
    files = [file for file in sorted(folder.glob("*_TRAIN.*"))
             if file.suffix.lower() in EXTENSIONS and test_file_of(file)]
    if len(files) != 1:
        found = f"{len(files)} such pairs" if files else "none"
        raise DataError(f"A folder of series has a pair of files such as NAME_TRAIN.ts and NAME_TEST.ts. Received: "
                        f"{path}, which has {found}. Give the file as data=series:PATH.")
    return str(files[0])


def test_file_of(path: str | Path) -> str | None:
    """Return the file NAME_TEST that lies next to NAME_TRAIN, if there is one."""
    file = Path(path).expanduser()
    if not file.stem.endswith("_TRAIN"):
        return None
    other = file.with_name(f"{file.stem.removesuffix('_TRAIN')}_TEST{file.suffix}")
    return str(other) if other.is_file() else None


def check_columns(frame: pd.DataFrame, args: LongArgs, labelled: bool, path: str) -> None:
    """Raise a DataError for columns of a long table that are not named or not there. Needs no rows."""
    for field, what in (("id", "says which series a row belongs to"), ("value", "holds the values")):
        if getattr(args, field) is None:
            raise DataError(f"Say which column of {path} {what}: data_args.{field}=COLUMN. It has: "
                            f"{', '.join(frame.columns)}.")
    named = [*_given(args.id, args.time, args.group), *listed(args.value, frame.columns)]
    for name in named:
        if name not in frame:
            raise DataError(f"{path} has no column {name!r}. {nearest(name, frame.columns)}")
    if labelled:
        labels.label_columns(frame, args.label, path)


def _ucr(path: str, args: LongArgs, labelled: bool) -> Series:
    """Read a line for each series: its label, and its values. NaN at the end are those of a shorter series."""
    values, rows, classes = [], [], []
    for row, line in enumerate(texts.decoded(Path(path), args.encoding).splitlines(), 1):
        if line.strip():
            label, *fields = line.split("\t")
            if not fields:
                raise DataError(f"{path}:{row} has no tab. Expected a label and the values of a series, separated by "
                                "tabs. A long table is a .csv.")
            values.append(without_padding(_numbers(fields, f"{path}:{row}")[:, None]))
            rows.append(row)
            classes.append(label.strip())
    return Series(values, [f"{path}:{row}" for row in rows], _labels(classes, path, rows))


def _ts(path: str, args: LongArgs, labelled: bool) -> Series:
    """Read aeon's format: a header of @ lines, then a line for each series, its dimensions and label between colons."""
    lines = [(row, line.strip()) for row, line in enumerate(texts.decoded(Path(path), args.encoding).splitlines(), 1)
             if line.strip() and not line.lstrip().startswith("#")]
    start = next((place for place, (_, line) in enumerate(lines) if line.lower() == "@data"), None)
    if start is None:
        raise DataError(f"{path} has no line @data. Expected a .ts file: a header of @ lines, @data, and the series.")
    head = {words[0].lower(): [word.lower() for word in words[1:2]] for _, line in lines[:start]
            if (words := line.split())}
    if head.get("@timestamps") == ["true"]:
        raise DataError(f"{path} has time stamps, which are not read. Expected @timeStamps false.")
    given = ["true"] in (head.get("@classlabel"), head.get("@targetlabel"))
    values, classes = [], []
    for row, line in lines[start + 1:]:
        parts = line.split(":")
        classes.append(parts.pop().strip() if given else "")
        channels = [_numbers(part.split(","), f"{path}:{row}") for part in parts]
        if len({len(channel) for channel in channels}) != 1:
            raise DataError(f"{path}:{row} has dimensions of {', '.join(str(len(channel)) for channel in channels)} "
                            "steps. Expected the same number in each.")
        values.append(np.stack(channels, axis=1))
    rows = [row for row, _ in lines[start + 1:]]
    return Series(values, [f"{path}:{row}" for row in rows], _labels(classes, path, rows) if given else None)


def _of_arrays(path: str, args: LongArgs, labelled: bool) -> Series:
    """Read x (N, T) or (N, T, F), y, x_test and y_test. NaN at the end are those of a shorter series."""
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = {"x": loaded} if isinstance(loaded, np.ndarray) else {key.lower(): loaded[key] for key in loaded}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} does not load as arrays: {' '.join(str(error).split())}") from None
    if "x" not in arrays:
        raise DataError(f"{path} has the arrays {', '.join(arrays)}, and none is called x.")
    parts = [""] if "x_test" not in arrays else ["", "_test"]
    values: list[np.ndarray] = []
    for part in parts:
        x = arrays[f"x{part}"]
        if x.ndim not in (2, 3) or x.dtype.kind not in "uifb":
            raise DataError(f"x{part} of {path} is an array (N, T) or (N, T, F) of numbers. Received: {x.shape} of "
                            f"{x.dtype}.")
        if f"y{part}" in arrays and len(arrays[f"y{part}"]) != len(x):
            raise DataError(f"x{part} and y{part} of {path} have different lengths: {len(x)} and "
                            f"{len(arrays[f'y{part}'])}.")
        values += [without_padding(each) for each in (x if x.ndim == 3 else x[..., None])]
    names = [f"{path}:{number}" for number in range(len(values))]
    found = None
    if all(f"y{part}" in arrays for part in parts):
        y = np.concatenate([arrays[f"y{part}"] for part in parts])
        y = np.char.decode(y, "utf-8", "replace") if y.dtype.kind == "S" else y
        found = pd.DataFrame(y.reshape(len(y), -1)).add_prefix("y") if y.ndim == 2 else pd.DataFrame({"y": y})
        found.index = pd.MultiIndex.from_product([[path], range(len(found))])
    return Series(values, names, found, len(arrays["x_test"]) if "x_test" in arrays else 0)


def _long(path: str, args: LongArgs, labelled: bool, words: bool) -> Series:
    """Read a table with a row for each step of each series. The series are in the order in which they begin."""
    as_written = [*_given(args.id), *(listed(args.label, ()) if words and args.label is not None else ())]
    frame = read_table(path, as_written, Dialect.of(args))
    check_columns(frame, args, labelled, path)
    columns = listed(args.value, frame.columns)
    for name in columns:
        if not is_numeric(frame[name]):
            wrong = frame[name][pd.to_numeric(frame[name], errors="coerce").isna() & frame[name].notna()]
            raise DataError(f"The column {name!r} of {path} holds the values of series, which are numbers. Received "
                            f"{str(wrong.iloc[0] if len(wrong) else frame[name].iloc[0])!r}.")
    for name in _given(args.id, args.time, args.group):
        if (missing := frame[name].isna()).any():
            raise DataError(f"The column {name!r} is missing in row {frame.index[missing][0][1]} of {path}.")
    place, ids = pd.factorize(frame[str(args.id)])
    order = np.argsort(place, kind="stable") if args.time is None else _in_time(frame, place, ids, args, path)
    begins = np.searchsorted(place[order], np.arange(len(ids)))
    values = np.split(frame[columns].to_numpy("float64")[order], begins[1:])
    first = frame.iloc[order[begins]]

    def of_series(columns: list[str], what: str) -> pd.DataFrame:
        differ = (frame[columns].astype(str).to_numpy() != first[columns].astype(str).to_numpy()[place]).any(axis=1)
        if differ.any():
            raise DataError(f"The series {str(ids[place[differ][0]])!r} of {path} has several {what}s. Expected one, "
                            "the same in all of its rows.")
        return first[columns]

    return Series(values, [f"{path}: series {name}" for name in ids],
                  of_series(labels.label_columns(frame, args.label, path), "label") if labelled else None,
                  groups=None if args.group is None else of_groups(of_series([str(args.group)], "group")))


def of_groups(column: pd.DataFrame) -> np.ndarray:
    """Return the groups (N,) of a column as texts: 3 is "3" in a table where another one is X1."""
    return whole_numbers(column.iloc[:, 0]).astype(str).to_numpy(object)


def _given(*columns: object) -> list[str]:
    """Return the names of columns that are not None."""
    return [str(column) for column in columns if column is not None]


def _in_time(frame: pd.DataFrame, place: np.ndarray, ids: Any, args: LongArgs, path: str) -> np.ndarray:
    """Return the order of the rows by series and time."""
    times = frame[str(args.time)]
    numbers = (times if is_numeric(times) else
               moments_of(times, str(args.time), args.date_format).astype("int64")).to_numpy()
    order = np.lexsort((numbers, place))
    twice = (np.diff(numbers[order]) == 0) & (np.diff(place[order]) == 0)
    if twice.any():
        row = order[1:][twice][0]
        raise DataError(f"The series {str(ids[place[row]])!r} of {path} has two rows of the time {times.iloc[row]}.")
    return order


def without_padding(series: np.ndarray) -> np.ndarray:
    """Return a series (T, F) without the steps of NaN at its end."""
    there = ~np.isnan(series).all(axis=1)
    return series[:len(there) - there[::-1].argmax()] if there.any() else series[:0]


def _numbers(fields: list[str], name: str) -> np.ndarray:
    """Return the numbers (T,) that some texts are, NaN where they are missing."""
    found = np.empty(len(fields))
    for step, field in enumerate(fields):
        try:
            found[step] = np.nan if field.strip() in MISSING else float(field)
        except ValueError:
            raise DataError(f"{name} has {field.strip()!r} at step {step}, where a number is expected.") from None
    return found


def _labels(found: list[str], path: str, rows: list[int]) -> pd.DataFrame:
    """Return labels as they are written, with None where there is none."""
    there = [None if label in MISSING else label for label in found]
    return pd.DataFrame({"label": pd.Series(there, dtype=object)}).set_axis(
        pd.MultiIndex.from_product([[path], rows]))
