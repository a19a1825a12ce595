"""Rows from a CSV file. See kerasdl.data.columns for how columns become numbers."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from kerasdl.data.columns import (
    CATEGORIES,
    MISSING,
    PRECISE,
    Columns,
    categories_of,
    encode,
    in_words,
    medians_of,
    numbers_of,
    offsets_of,
    split_dates,
)
from kerasdl.data.divide import divide
from kerasdl.data.leaks import counting
from kerasdl.data.spec import Target, recorded_kind
from kerasdl.data.split import Split
from kerasdl.data.table_file import is_numeric, lines, read_table
from kerasdl.errors import DataError, listed, nearest

KIND, EXTENSIONS, NOUNS = "row", (".csv",), ("CSV rows", "a CSV file", "CSV files")


def read(path: str, *, target: Target | None = "class", label: str | None = None, fill: Literal["median"] | None = None,
         drop: Sequence[str] | str = (), keep: Sequence[str] | str = (), test: str | None = None,
         category: Sequence[str] | str = (), dates: Sequence[str] | str = (), header: bool | None = None
         ) -> dict[str, Split]:
    """Return the splits train, val and test of a CSV file with a header line.

    Args:
        path: the file.
        target: "class", "number" for regression, or None for rows without labels.
        label: the column to learn. With target=None it need not be named, and is left out if it is.
        fill: "median" fills missing numbers with the train split's median and missing text with a category of its own;
            None refuses missing values.
        drop: columns to leave out.
        keep: columns to take although they count the rows, such as a year.
        category: columns that are categories, whatever they look like: codes of numbers, numbers with a unit.
        dates: columns of dates (2024-01-20, 2024-01-20 08:30), each of which becomes numbers: year, month, day,
            weekday, hour and minute.
        header: whether the first line has the names of the columns; None: yes, unless all of them are numbers, which is
            refused. Without a header the columns are called "0", "1" ...
        test: a second file that is the test split; by default a fifth of the rows is.

    Raises:
        DataError: naming the column, the row or the class that is wrong.
    """
    category, dates = listed(category, ()), listed(dates, ())
    frame = read_table(path, category, header)
    for column in (*category, *dates):
        if column not in frame:
            raise DataError(f"{path} has no column {column!r}. {nearest(column, frame.columns)}")
    label = None if label is None and target is None else _label(frame, label, path)
    drop = [] if drop is None else listed(drop, frame.columns)
    if label in drop:
        raise DataError(f"The label column {label!r} cannot be dropped. Take it out of data_args.drop.")
    if label is not None and target is None:
        drop, label = [*drop, label], None
    for column in drop:
        if column not in frame:
            raise DataError(f"{path} has no column {column!r} to drop. {nearest(column, frame.columns)}")
    if fill not in (None, "median"):
        raise DataError(f"fill must be 'median' or nothing. Received: {fill!r}.")
    _check_columns(frame.drop(columns=drop if label is None else [label, *drop]), path,
                   listed(keep, frame.columns))
    rows = len(frame)
    if test is not None:
        extra = read_table(test, category, header)
        worded = [name for name in frame if name in extra and not is_numeric(frame[name]) & is_numeric(extra[name])]
        if worded:
            frame, extra = (read_table(each, [*worded, *category], header) for each in (path, test))
        if missing := sorted(set(frame.columns) - set(drop) - set(extra.columns)):
            raise DataError(f"{test} has no column {missing[0]!r}, which {path} has.")
        if target == "class":
            _same_classes(frame[label], extra[label], path, test)
        frame = pd.concat([frame, extra[frame.columns.difference(drop, sort=False)]])
    frame = frame.drop(columns=drop)
    y, classes = (None, ()) if label is None else _labels(frame.pop(label), label, target or "class")
    if not len(frame.columns):
        left = "is left after drop" if label is None else f"but the label {label!r}"
        raise DataError(f"{path} has no column {left}: nothing to learn from.")
    parts = _divided(y, classes, rows, test is None)
    if test is not None:
        parts["test"] = np.arange(rows, len(frame))
    frame = split_dates(frame, dates)
    columns = {name: categories_of(frame[name], name, name in category) for name in frame.columns}
    medians = medians_of(frame, columns, parts["train"]) if fill else {}
    if fill:  # missing text is a category of its own where there is some
        columns |= {name: [*categories, MISSING] for name, categories in columns.items()
                    if categories is not None and frame[name].isna().any()}
    offsets = offsets_of(frame, columns, parts["train"])
    chosen = {"dates": dates, "category": category, "header": header, "offsets": offsets}
    reading = {key: value for key, value in chosen.items() if value not in ([], {}, None)}
    x = encode(frame, columns, medians, offsets)
    return {name: _split(name, x, y, index, classes, columns, medians, reading) for name, index in parts.items()}


def read_for(facts: Mapping[str, Any], path: str, split: str, *, target: Target | None = "class",
             label: str | None = None, header: bool | None = None, classes: Sequence[str] | None = None) -> Split:
    """Return a part of a file that a model was not trained on, with the columns and classes of the model.

    Columns may come in another order and with others between them, and neither every category nor every class need be
    there. Missing values are filled as in training.

    Args:
        facts: of the run, its data.json.
        path: the file.
        split: "train", "val" or "test", divided as `read` does, or "all" rows.
        target: "class", "number", or None for rows without labels.
        label: the column that the model learned.
        header: as in `read`.
        classes: those that the model was trained on, if it was trained on some only. Rows of others are left out.

    Raises:
        DataError: as `read` and `encode` do, and for another split or a class that the model does not know.
    """
    if split not in (known := ("train", "val", "test", "all")):
        raise DataError(f"{path} has the splits {', '.join(known)}. Received: {split!r}.")
    columns = _columns(facts, "Give others from Python: data=kerasdl.data.from_arrays(x, y).")
    medians, reading, y = facts.get("medians", {}), facts.get("reading", {}), None
    names = () if target is None else tuple(facts["classes"])
    words = columns if label is None or target is None else {**columns, label: list(names)}
    frame = read_table(path, [*in_words(words), *reading.get("category", ())], header)
    if target is not None:
        label = _label(frame, label, path)
        if classes is not None:
            frame = frame[frame[label].isna() | _whole(frame[label]).astype(str).isin(names)]
        values = frame.pop(label)
        y = _known(values, label, names, path) if target == "class" else _labels(values, label, target)[0]
    x = encode(split_dates(frame, reading.get("dates", ())), columns, medians, reading.get("offsets"))
    index = np.arange(len(x)) if split == "all" else _divided(y, names, len(x), True)[split]
    return _split(split, x, y, index, names, columns, medians, reading)


def read_files(files: Sequence[Path], facts: Mapping[str, Any], resize: bool = False) -> tuple[list[str], np.ndarray]:
    """Return FILE:LINE and the rows of CSV files as a model takes them, (N, F); a label column is left out.

    Raises:
        DataError: as `encode` does, and for a model that was trained on arrays.
    """
    columns = _columns(facts, "Use run.model().predict(x).")
    parts = [read_rows(str(file), columns, facts.get("medians", {}), facts.get("reading", {})) for file in files]
    names = [f"{file}:{line}" for file, part in zip(files, parts, strict=True) for line in lines(file, len(part))]
    return names, np.concatenate(parts)


def _columns(facts: Mapping[str, Any], remedy: str) -> Columns:
    """Return the columns that a model of rows was trained with; without them, an error ends with the remedy."""
    if recorded_kind(facts) != "row":
        raise DataError(f"The model takes {recorded_kind(facts)} data. Received rows of a CSV file.")
    if not facts["columns"]:
        raise DataError(f"The model was trained on arrays, whose columns have no names. {remedy}")
    return facts["columns"]


def _divided(y: np.ndarray | None, classes: Sequence[str], rows: int, test: bool) -> dict[str, np.ndarray]:
    """Return the indices of the parts of the first rows; see `divide`."""
    values = np.arange(rows) if y is None else y[:rows] if classes else y[:rows, 0]
    return divide(values, classes or None, test)


def _split(name: str, x: np.ndarray, y: np.ndarray | None, index: np.ndarray, classes: tuple[str, ...],
           columns: Columns, medians: Mapping[str, float], reading: Mapping[str, Any]) -> Split:
    return Split(name, x[index], None if y is None else y[index], x.shape[1], len(index), classes, columns, medians,
                 kind="row", reading=reading)


def read_rows(path: str, columns: Columns, medians: Mapping[str, float], reading: Mapping[str, Any] | None = None
              ) -> np.ndarray:
    """Return the rows of a CSV file as a trained model takes them, see `encode`; a label column is left out."""
    reading = reading or {}
    frame = read_table(path, [*in_words(columns), *reading.get("category", ())], reading.get("header"))
    frame = split_dates(frame, reading.get("dates", ()))
    return encode(frame, columns, medians, reading.get("offsets"))


def _label(frame: pd.DataFrame, label: str | None, path: str) -> str:
    """Return the name of the column to learn, after checking that it exists."""
    if label is None:
        raise DataError(f"Say which column of {path} to learn: data_args.label=COLUMN. "
                        f"It has: {', '.join(frame.columns)}.")
    label = str(label)  # 2019, from a command line, is a number
    if label not in frame:
        found = nearest(label, frame.columns)
        hint = f"{found} " if found.startswith("Did") else ""
        raise DataError(f"{path} has no column {label!r} to learn. Say which: data_args.label=COLUMN. "
                        f"{hint}It has: {', '.join(frame.columns)}.")
    return label


def _known(values: pd.Series, label: str, classes: Sequence[str], path: str) -> np.ndarray:
    """Return the index of each label among the classes of a model, int32."""
    _all_there(values, label)
    names = _whole(values).astype(str)
    indices = pd.Categorical(names, classes).codes.astype("int32")
    if (unknown := names[indices < 0]).size:
        raise DataError(f"{path} has a class {unknown.iloc[0]!r}, which the model does not know. "
                        f"{nearest(unknown.iloc[0], classes)}")
    return indices


def _all_there(values: pd.Series, label: str) -> None:
    if missing := int(values.isna().sum()):
        line = values.index[values.isna()][0][1]
        raise DataError(f"The label column {label!r} is missing in {missing} of {len(values)} rows, first in row "
                        f"{line}: the field is empty, or has a word such as NA, None or null. Remove those rows, or "
                        "write another word.")


def _whole(values: pd.Series) -> pd.Series:
    """Return whole numbers as integers: pandas reads a 0 as 0.0 where a value of the column is missing."""
    numbers = values.dropna()
    if values.dtype.kind == "f" and (numbers % 1 == 0).all() and numbers.abs().max() < 2**53:
        return values.astype("Int64")
    return values


def _labels(values: pd.Series, label: str, target: Target) -> tuple[np.ndarray, tuple[str, ...]]:
    _all_there(values, label)
    if target == "number":
        exact = numbers_of(values, label)
        numbers = exact.astype("float32")
        if np.abs(exact).max() * 2.0**-24 > PRECISE * np.std(exact) > 0:
            raise DataError(f"The label column {label!r} has differences that float32 cannot hold, around "
                            f"{exact[0]:.10g}. Subtract a constant from it.")
        if (numbers == numbers[0]).all():
            raise DataError(f"The label column {label!r} is {numbers[0]:g} in every row: there is nothing to learn.")
        return numbers[:, None], ()
    values = _whole(values)
    found, indices = np.unique(values.to_numpy() if values.dtype.kind in "iub" else values.astype(str).to_numpy(),
                               return_inverse=True)
    if len(found) < 2:
        raise DataError(f"The label column {label!r} has one class only, {str(found[0])!r}. Expected at least two.")
    if values.dtype.kind == "f" or len(found) > max(CATEGORIES, len(values) // 2):
        raise DataError(f"The label column {label!r} has {len(found)} different values in {len(values)} rows, which "
                        "is a number rather than a class. To predict a number, set objective=regress.")
    return indices.astype("int32"), tuple(str(name) for name in found)


def _same_classes(train: pd.Series, test: pd.Series, path: str, test_path: str) -> None:
    known, found = (set(_whole(values).dropna().astype(str)) for values in (train, test))
    if (new := sorted(found - known)):
        raise DataError(f"{test_path} has a class {new[0]!r} that {path} has not.")


def _check_columns(frame: pd.DataFrame, path: str, keep: Sequence[str]) -> None:
    """Refuse a column without a name, and one that counts the rows: it gives the answer away where they are sorted."""
    for name in frame:
        if re.fullmatch(r"Unnamed: \d+", name):
            raise DataError(f"A column of {path} has no name. Give it one or, if it only numbers the rows, leave it "
                            f"out with data_args.drop={name!r}.")
        if name not in keep and (how := counting(frame[name])):
            raise DataError(f"The column {name!r} {how}, which gives the answer away if they are sorted or were. Leave "
                            f"it out with data_args.drop={name!r}, or take it with data_args.keep={name!r}.")
