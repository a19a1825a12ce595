"""Rows from a CSV file: numbers as they are, text as one-hot categories, nothing guessed in silence."""

import csv
import re
import zipfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from kerasdl.data.split import Split, Target, divide
from kerasdl.errors import UserError, listed, nearest

Columns = Mapping[str, list[str] | None]
MISSING = "(missing)"
CATEGORIES = 50  # more different texts than this, and than half the rows, are a name or an id and not a category
SIGNS = r"[\s,%$€£]"  # that stand in numbers which pandas takes for text


def read(path: str, *, label: str | None = None, target: Target = "class", fill: Literal["median"] | None = None,
         drop: Sequence[str] | str = (), test: str | None = None) -> dict[str, Split]:
    """Splits train, val and test of a CSV file with a header line.

    Args:
        path: the file.
        label: the column to learn.
        target: "class", or "number" for regression.
        fill: "median" fills missing numbers with the train split's median and missing text with a category of its own;
            None refuses missing values.
        drop: columns to leave out.
        test: a second file that is the test split; by default a fifth of the rows is.

    Raises:
        UserError: naming the column, the row or the class that is wrong.
    """
    frame = _open(path)
    label = _label(frame, label, path)
    drop = [] if drop is None else listed(drop, frame.columns)
    if label in drop:
        raise UserError(f"The label column {label!r} cannot be dropped. Take it out of data_args.drop.")
    for column in drop:
        if column not in frame:
            raise UserError(f"{path} has no column {column!r} to drop. {nearest(column, frame.columns)}")
    if fill not in (None, "median"):
        raise UserError(f"fill must be 'median' or nothing. Received: {fill!r}.")
    _check_columns(frame.drop(columns=[label, *drop]), path)
    rows = len(frame)
    if test is not None:
        extra = _open(test)
        worded = [name for name in frame if name in extra and not _of_numbers(frame[name]) & _of_numbers(extra[name])]
        if worded:
            frame, extra = _open(path, worded), _open(test, worded)
        if missing := sorted(set(frame.columns) - set(drop) - set(extra.columns)):
            raise UserError(f"{test} has no column {missing[0]!r}, which {path} has.")
        _same_classes(frame[label], extra[label], path, test, target)
        frame = pd.concat([frame, extra[frame.columns.difference(drop, sort=False)]])
    frame = frame.drop(columns=drop)
    y, classes = _labels(frame.pop(label), label, target)
    if not len(frame.columns):
        raise UserError(f"{path} has no column but the label {label!r}: nothing to learn from.")
    parts = divide(y[:rows] if classes else y[:rows, 0], classes or None, test is None)
    if test is not None:
        parts["test"] = np.arange(rows, len(frame))
    columns = {name: _kind(frame[name], name) for name in frame.columns}
    medians = _medians(frame, columns, parts["train"]) if fill else {}
    if fill:  # missing text is a category of its own where there is some
        columns |= {name: [*categories, MISSING] for name, categories in columns.items()
                    if categories is not None and frame[name].isna().any()}
    x = encode(frame, columns, medians)
    return {name: Split(name, x[index], y[index], x.shape[1], len(index), classes, columns, medians, kind="row")
            for name, index in parts.items()}


def read_for(model: Mapping[str, Any], path: str, split: str, *, label: str, target: Target = "class",
             classes: Sequence[str] | None = None) -> Split:
    """A part of a file that a model was not trained on, with the columns and classes of the model.

    Columns may come in another order and with others between them, and neither every category nor every class need be
    there. Missing values are filled as in training.

    Args:
        model: what its training set says of itself, `Split.describe`.
        path: the file.
        split: "train", "val" or "test", divided as `read` does, or "all" rows.
        label: the column that the model learned.
        target: "class" or "number".
        classes: those that the model was trained on, if it was trained on some only. Rows of others are left out.

    Raises:
        UserError: as `read` and `encode` do, and for another split or a class that the model does not know.
    """
    if split not in (known := ("train", "val", "test", "all")):
        raise UserError(f"{path} has the splits {', '.join(known)}. Received: {split!r}.")
    frame = _open(path, _worded(model["columns"] | {label: model["classes"]}))
    label = _label(frame, label, path)
    if classes is not None:
        frame = frame[frame[label].isna() | _whole(frame[label]).astype(str).isin(model["classes"])]
    values = frame.pop(label)
    if target == "number":
        y, _ = _labels(values, label, target)
    else:
        y = _known(values, label, model["classes"], path)
    columns, medians = model["columns"], model.get("medians", {})
    x = encode(frame, columns, medians)
    if split != "all":
        index = divide(y if target == "class" else y[:, 0], model["classes"] or None)[split]
        x, y = x[index], y[index]
    return Split(split, x, y, x.shape[1], len(x), tuple(model["classes"]), columns, medians, kind="row")


def encode(frame: pd.DataFrame, columns: Columns, medians: Mapping[str, float]) -> np.ndarray:
    """Rows as float32 (N, F) by the columns of a training set: numbers first come as they are, categories one-hot.

    Args:
        frame: the rows.
        columns: {column: None for a number, or its categories, of which MISSING stands for missing text}.
        medians: {column: what its missing numbers become}.

    Raises:
        UserError: for a column that is not there, a missing value, text in a number column, an unknown category.
    """
    blocks = []
    for name, categories in columns.items():
        if name not in frame:
            raise UserError(f"The column {name!r} is missing. The model was trained with: {', '.join(columns)}.")
        values = frame[name]
        if categories is not None and MISSING in categories:
            values = values.fillna(MISSING)
        if name in medians:
            values = values.fillna(medians[name])
        if missing := int(values.isna().sum()):
            how = "none was missing there in training" if medians else "or train with data_args.fill=median"
            raise UserError(f"The column {name!r} has {missing} missing value{'s' * (missing > 1)} in {len(values)} "
                            f"rows. Fill them, {how}.")
        if categories is None:
            blocks.append(_numbers(values, name)[:, None])
            continue
        text = values.astype(str).to_numpy()
        if unknown := sorted(set(text) - set(categories)):
            raise UserError(f"The column {name!r} has a value {unknown[0]!r} that the training data has not. "
                            f"{nearest(unknown[0], categories)}")
        blocks.append(text[:, None] == np.array(categories)[None, :])
    return np.concatenate(blocks, axis=1).astype("float32")


def read_rows(path: str, columns: Columns, medians: Mapping[str, float]) -> np.ndarray:
    """The rows of a CSV as a trained model takes them, as `encode` has it; a label column, if there, is left out."""
    return encode(_open(path, _worded(columns)), columns, medians)


def _worded(columns: Columns) -> list[str]:
    """Those whose categories are words: what pandas makes of a text, such as TRUE or 007, depends on the other rows."""
    return [name for name, words in columns.items()
            if words and not set(words) <= {"False", "True", MISSING} and not all(map(_is_number, words))]


def _is_number(text: str) -> bool:
    return pd.notna(pd.to_numeric(text, errors="coerce"))


def _of_numbers(values: pd.Series) -> bool:
    return values.dtype.kind in "iufb"


def _open(path: str, texts: Collection[str] = ()) -> pd.DataFrame:
    """The file, with these columns as they are written, and others as pandas understands them."""
    if not Path(path).is_file():
        raise UserError(f"There is no file {path!r}. Give the CSV as data=csv:PATH.")
    try:
        written = pd.read_csv(path, skipinitialspace=True, header=None, nrows=1, dtype=str).iloc[0]
        header = written.str.strip()
        if len(header) == 1 and (other := re.search(r"[;\t|]", str(header[0]))):
            how = f"sep={other[0]!r}" + ", decimal=','" * (other[0] == ";")  # spreadsheets of half of Europe write both
            raise UserError(f"{path} separates fields by {other[0]!r}, and a CSV does by commas. Write it again, as "
                            f"with pandas.read_csv({path!r}, {how}).to_csv(NEW, index=False).")
        dtypes = {name: str for name, plain in zip(written, header, strict=True) if plain in texts}
        # Not in pieces, in which 7 and 007 would be two texts.
        frame = pd.read_csv(path, skipinitialspace=True, low_memory=False, dtype=dtypes)
    except UserError:
        raise
    except UnicodeDecodeError:
        raise UserError(f"{path} is not written in UTF-8. Save it as that in the program that made it.") from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a CSV file: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None
    if frame.empty:
        raise UserError(f"{path} has a header but no rows.")
    if (twice := header[header.duplicated() & header.notna()]).size:
        raise UserError(f"{path} has two columns called {twice.iloc[0]!r}. Give one another name.")
    if not isinstance(frame.index, pd.RangeIndex):
        raise UserError(f"The rows of {path} have more fields than its header has names. Name them all.")
    frame.columns = frame.columns.map(str).str.strip()
    for name in [name for name in frame if not _of_numbers(frame[name])]:
        frame[name] = frame[name].map(lambda value: value.strip() if isinstance(value, str) else value)
    frame.index = pd.MultiIndex.from_product([[path], lines(path, len(frame))])  # for messages
    return frame


def lines(path: str | Path, rows: int) -> list[int]:
    """In which line of a CSV file each of its rows begins: blank lines are no rows, and a text may have several."""
    last, found = 0, []
    with open(path, newline="", encoding="utf-8-sig") as file, \
            suppress(csv.Error, UnicodeDecodeError):  # such as a very long text, or a file that is compressed
        reader = csv.reader(file, skipinitialspace=True)
        for row in reader:
            if row:
                found.append(last + 1)
            last = reader.line_num
    return found[1:] if len(found) == rows + 1 else list(range(2, rows + 2))


def _label(frame: pd.DataFrame, label: str | None, path: str) -> str:
    """The name of the column to learn, which is there."""
    if label is None:
        raise UserError(f"Say which column of {path} to learn: data_args.label=COLUMN. "
                        f"It has: {', '.join(frame.columns)}.")
    label = str(label)  # 2019, from a command line, is a number
    if label not in frame:
        raise UserError(f"{path} has no column {label!r} to learn. Say which: data_args.label=COLUMN. "
                        f"{nearest(label, frame.columns)}")
    return label


def _known(values: pd.Series, label: str, classes: Sequence[str], path: str) -> np.ndarray:
    """The index of each label among the classes of a model, int32."""
    _all_there(values, label)
    names = _whole(values).astype(str)
    indices = pd.Categorical(names, classes).codes.astype("int32")
    if (unknown := names[indices < 0]).size:
        raise UserError(f"{path} has a class {unknown.iloc[0]!r}, which the model does not know. "
                        f"{nearest(unknown.iloc[0], classes)}")
    return indices


def _all_there(values: pd.Series, label: str) -> None:
    if missing := int(values.isna().sum()):
        line = values.index[values.isna()][0][1]
        raise UserError(f"The label column {label!r} is missing in {missing} of {len(values)} rows, first in row "
                        f"{line}: the field is empty, or has a word such as NA, None or null. Remove those rows, or "
                        "write another word.")


def _whole(values: pd.Series) -> pd.Series:
    """Whole numbers as such: pandas makes 0.0 of a 0 where it has seen a hole in the column."""
    numbers = values.dropna()
    if values.dtype.kind == "f" and (numbers % 1 == 0).all() and numbers.abs().max() < 2**53:
        return values.astype("Int64")
    return values


def _labels(values: pd.Series, label: str, target: Target) -> tuple[np.ndarray, tuple[str, ...]]:
    _all_there(values, label)
    if target == "number":
        numbers = _numbers(values, label).astype("float32")
        if (numbers == numbers[0]).all():
            raise UserError(f"The label column {label!r} is {numbers[0]:g} in every row: there is nothing to learn.")
        return numbers[:, None], ()
    values = _whole(values)
    found, indices = np.unique(values.to_numpy() if values.dtype.kind in "iub" else values.astype(str).to_numpy(),
                               return_inverse=True)
    if len(found) < 2:
        raise UserError(f"The label column {label!r} has one class only, {str(found[0])!r}. Expected at least two.")
    if values.dtype.kind == "f" or len(found) > max(CATEGORIES, len(values) // 2):
        raise UserError(f"The label column {label!r} has {len(found)} different values in {len(values)} rows, which "
                        "is a number rather than a class. To predict a number, set objective=regress.")
    return indices.astype("int32"), tuple(str(name) for name in found)


def _same_classes(train: pd.Series, test: pd.Series, path: str, test_path: str, target: Target) -> None:
    known, found = (set(_whole(values).dropna().astype(str)) for values in (train, test))
    if target == "class" and (new := sorted(found - known)):
        raise UserError(f"{test_path} has a class {new[0]!r} that {path} has not.")


def _check_columns(frame: pd.DataFrame, path: str) -> None:
    """Refuse what pandas or a data base writes to number the rows, which tells the answer where they are sorted."""
    for name in frame:
        if re.fullmatch(r"Unnamed: \d+", name):
            raise UserError(f"A column of {path} has no name. Give it one or, if it only numbers the rows, leave it "
                            f"out with data_args.drop={name!r}.")
        first = frame[name].iloc[0]
        if len(frame) > 10 and first in (0, 1) and np.array_equal(frame[name], np.arange(len(frame)) + first):
            raise UserError(f"The column {name!r} only numbers the rows, which tells the answer where they are sorted. "
                            f"Leave it out with data_args.drop={name!r}.")


def _kind(values: pd.Series, name: str) -> list[str] | None:
    """None for a column of numbers; for text, its categories in order."""
    if _of_numbers(values):
        return None
    present = values.dropna().astype(str)
    plain = present.str.replace(SIGNS, "", regex=True)
    if pd.to_numeric(plain, errors="coerce").notna().mean() > 0.5:
        _numbers(values, name)
    categories = sorted(present.unique())
    if len(categories) > max(CATEGORIES, len(values) // 2) or len(categories) == len(values) > 10:
        raise UserError(f"The column {name!r} has {len(categories)} different texts in {len(values)} rows, which is a "
                        f"name rather than a category. Leave it out with data_args.drop={name!r}.")
    return categories


def _numbers(values: pd.Series, name: str) -> np.ndarray:
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = values[numbers.isna() & values.notna()]
    if len(wrong):
        file, line = wrong.index[0]
        raise UserError(f"The column {name!r} holds numbers, but row {line} of {file} has {wrong.iloc[0]!r} "
                        f"({len(wrong)} such value{'s' * (len(wrong) > 1)}).")
    numbers = numbers.to_numpy(dtype="float64")
    if (np.abs(numbers) > np.finfo("float32").max).any():
        raise UserError(f"The column {name!r} has a value that is infinite, or too large for a float32.")
    return numbers


def _medians(frame: pd.DataFrame, columns: Columns, train: np.ndarray) -> dict[str, float]:
    """Of every column of numbers the median of the training rows, which stands for what is missing anywhere."""
    found = {}
    for name in (name for name, categories in columns.items() if categories is None):
        numbers = _numbers(frame[name], name)[train]
        if np.isnan(numbers).all():
            raise UserError(f"The column {name!r} has no value in the training rows. Leave it out with "
                            f"data_args.drop={name!r}.")
        found[name] = float(np.nanmedian(numbers))
    return found
