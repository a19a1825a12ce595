"""Columns of a table as what is to be learned: one class, several labels, or numbers."""

import unicodedata
from collections.abc import Sequence

import numpy as np
import pandas as pd

from kerasdl.data import multi_hot
from kerasdl.data.columns import CATEGORIES, category_of, lost_in_float32, numbers_in_texts, numbers_of
from kerasdl.data.spec import Target
from kerasdl.data.table_file import MISSING_WORDS, is_numeric, whole_numbers
from kerasdl.errors import DataError, listed, nearest

HANDFUL = 10  # more different numbers with a sign or a unit than this are no classes


def label_columns(frame: pd.DataFrame, label: object, path: str) -> list[str]:
    """Return the names of the columns to learn, after checking that they exist.

    Raises:
        DataError: none is named, or one is not there.
    """
    if label is None:
        raise DataError(f"Say which column of {path} to learn: data_args.label=COLUMN. "
                        f"It has: {', '.join(frame.columns)}.")
    names = listed(label, frame.columns)
    for name in names:
        if name not in frame:
            found = nearest(name, frame.columns)
            hint = f"{found} " if found.startswith("Did") else ""
            raise DataError(f"{path} has no column {name!r} to learn. Say which: data_args.label=COLUMN. "
                            f"{hint}It has: {', '.join(frame.columns)}.")
    return names


def targets_of(frame: pd.DataFrame, names: Sequence[str], target: Target, sep: str | None = None,
               known: Sequence[str] | None = None, learned: bool = True) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return what the rows' labels are as an array, and the classes' names.

    Args:
        frame: the rows, with the columns `names`.
        names: the columns to learn.
        target: "class": one column, y is (N,) int32. "number": y is (N, columns) float32, without classes. "labels":
            columns of 0 and 1, or one of texts, y is (N, classes) float32.
        sep: what separates several labels in a text.
        known: the classes of a model; others are refused.
        learned: whether a model is to learn from these rows; if not, numbers may be the same in all of them.

    Raises:
        DataError: missing values, or what is not of the target's kind.
    """
    if target == "number":
        return np.concatenate([_numbers(frame[name], name, learned) for name in names], axis=1), ()
    if target == "labels":
        return _several(frame, names, sep, known)
    if len(names) > 1:
        raise DataError(f"objective=classify learns one class, and label names {len(names)} columns: "
                        f"{', '.join(names)}. Of columns of 0 and 1 objective=multilabel learns several labels.")
    values = frame[names[0]]
    return _classes(values, names[0]) if known is None else (_known(values, names[0], known), tuple(known))


def several(names: Sequence[str], target: Target | None) -> tuple[str, ...]:
    """Return the names of the columns to learn if they are several numbers; otherwise ()."""
    return tuple(names) if target == "number" and len(names) > 1 else ()


def check_words(values: pd.Series, label: str) -> None:
    """Raise a DataError for labels that are numbers written as text, such as $1,050 or 72 kg, if they are many.

    A handful, such as 3 bedrooms, are classes.
    """
    if is_numeric(values):
        return
    counts = values.value_counts()  # each text is looked at once
    counts = counts[numbers_in_texts(counts.index.astype(str))]
    if len(counts) > HANDFUL and counts.sum() > values.count() / 2:
        raise DataError(f"The label column {label!r} holds {len(counts)} different numbers that are written as text, "
                        f"such as {str(counts.index[0])!r}. To predict a number, write it alone, as 1050.5, and set "
                        f"objective=regress. To keep the texts as classes: data_args.category={label!r} with csv:PATH, "
                        "otherwise a word before each.")


def rows_of(frame: pd.DataFrame, name: str, classes: Sequence[str], part: np.ndarray, path: str
            ) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the rows whose label is among these classes, or missing, and where those of a part are among them.

    Args:
        frame: all rows. What is left out was divided, too, so that no row is in another part than in training.
        name: the column of labels.
        classes: those of a model.
        part: the places of the rows that are asked for.
        path: of the table.

    Raises:
        DataError: the part has no such row.
    """
    there = (frame[name].isna() | _as_known(frame[name], classes).isin(classes)).to_numpy(bool)
    left = part[there[part]]
    _check_left(left, part, classes, path)
    return frame[there], (np.cumsum(there) - 1)[left]


def _check_left(left: np.ndarray, part: np.ndarray, classes: Sequence[str], path: str) -> None:
    """Raise a DataError if none of the examples of a part are left."""
    if not len(left):
        raise DataError(f"{path} has, in the {len(part)} examples that are asked for, no class of the model's: "
                        f"{', '.join(classes)}.")


def of_names(names: np.ndarray | None) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return the index of each name's class, (N,) int32, and the classes in order; None and () without names."""
    if names is None:
        return None, ()
    classes, y = np.unique(names, return_inverse=True)
    return y.astype("int32"), tuple(map(str, classes))


def check_parts(names: np.ndarray | None, place: np.ndarray, path: object) -> None:
    """Raise a DataError for a class that is in one of the parts of a folder and not in another.

    Args:
        names: (N,) the class of each example; None without classes.
        place: (N,) the part that each lies in.
        path: of the folder.
    """
    parts = {} if names is None else {str(part): set(names[place == part].tolist()) for part in np.unique(place)}
    for part, found in parts.items():
        for other, known in parts.items():
            if lacking := sorted(known - found):
                raise DataError(f"The class {lacking[0]!r} of {path} is in {other} but not in {part}.")


def of_known_names(names: np.ndarray | None, classes: Sequence[str], part: np.ndarray, path: str, some: bool = False
                   ) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the index of each name of a part among the classes of a model, int32, and the places in that part.

    Args:
        names: (N,) the names of all examples; without names, None comes back for the indices.
        classes: those of a model; of an older one, in any of Unicode's forms.
        part: the places of the examples that are asked for.
        path: of the data.
        some: whether the model was trained on some of the classes only: then examples of others are left out.

    Raises:
        DataError: a name that the model does not know, or a part of which nothing is left.
    """
    if names is None:
        return None, part
    classes = [unicodedata.normalize("NFC", name) for name in classes]
    if some:
        left = part[np.isin(names[part], classes)]
        _check_left(left, part, classes, path)
        return np.array([classes.index(name) for name in names[left]], "int32"), left
    for name in np.unique(names):
        if name not in classes:
            raise DataError(f"The classes of {path} differ: the model does not know {str(name)!r}. "
                            f"{nearest(str(name), classes)}")
    return np.array([classes.index(name) for name in names[part]], "int32"), part


def _known(values: pd.Series, label: str, classes: Sequence[str]) -> np.ndarray:
    """Return the index of each label among the classes of a model, int32."""
    _all_there(values, label)
    names = _as_known(values, classes)
    indices = pd.Categorical(names, classes).codes.astype("int32")
    if (unknown := names[indices < 0]).size:
        raise DataError(f"{values.index[0][0]} has a class {unknown.iloc[0]!r}, which the model does not know. "
                        f"{nearest(unknown.iloc[0], classes)}")
    return indices


def _as_known(values: pd.Series, classes: Sequence[str]) -> pd.Series:
    """Return labels as texts, written as the classes of a model where they mean one of them."""
    names, known = whole_numbers(values).astype(str), set(classes)
    return names.map({name: category_of(name, known) or name for name in names.unique()})


def _all_there(values: pd.Series, label: str, why: str = "") -> None:
    if missing := int(values.isna().sum()):
        line = values.index[values.isna()][0][1]
        raise DataError(f"The label column {label!r} is missing in {missing} of {len(values)} rows, first in row "
                        f"{line}: the field is empty, or has a word such as NA, None or null.{why} Remove those rows, "
                        "or write another word.")


def _numbers(values: pd.Series, label: str, learned: bool) -> np.ndarray:
    """Return a column of numbers, (N, 1) float32."""
    _all_there(values, label)
    exact = numbers_of(values, label)
    numbers = exact.astype("float32")
    if learned and lost_in_float32(exact):
        raise DataError(f"The label column {label!r} has differences that float32 cannot hold, around "
                        f"{exact[0]:.10g}. Subtract a constant from it.")
    if learned and (numbers == numbers[0]).all():
        raise DataError(f"The label column {label!r} is {numbers[0]:g} in every row: there is nothing to learn.")
    return numbers[:, None]


def _classes(values: pd.Series, label: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the index of each row's class, (N,) int32, and the classes in order."""
    _all_there(values, label)
    values = whole_numbers(values)
    indices, found = pd.factorize(values.to_numpy() if values.dtype.kind in "iub" else values.astype(str).to_numpy(),
                                  sort=True)
    if len(found) < 2:
        raise DataError(f"The label column {label!r} has one class only, {str(found[0])!r}. Expected at least two.")
    if values.dtype.kind == "f" or len(found) > max(CATEGORIES, len(values) // 2):
        raise DataError(f"The label column {label!r} has {len(found)} different values in {len(values)} rows, which "
                        "is a number rather than a class. To predict a number, set objective=regress.")
    return indices.astype("int32"), tuple(str(name) for name in found)


def _several(frame: pd.DataFrame, names: Sequence[str], sep: str | None, known: Sequence[str] | None
             ) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return which labels each row has, (N, classes) float32 of 0 and 1."""
    if len(names) == 1:
        return _of_texts(frame[names[0]], names[0], sep, known)
    for name in names:
        _all_there(frame[name], name)
        if len(wrong := frame[name][~frame[name].isin([0, 1])]):
            raise DataError(f"The label column {name!r} is 1 where a row has the label and 0 where it has not. Row "
                            f"{wrong.index[0][1]} has {str(wrong.iloc[0])!r}.")
    return frame[list(names)].to_numpy("float32"), tuple(names)


def _of_texts(values: pd.Series, label: str, sep: str | None, known: Sequence[str] | None
              ) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the labels of texts such as cat|dog; an empty field has none.

    Raises:
        DataError: nothing separates them, there are less than two, or NA is one and may also mean that there is none.
    """
    if sep is None:
        example = values.dropna().astype(str)
        raise DataError(f"The labels of a row stand in one column {label!r}, such as {example.iloc[0]!r}. Say what "
                        "separates them: data_args.label_sep='|'. Of a column for each label: data_args.label=A,B,C.")
    found = [[] if pd.isna(text) else [part.strip() for part in str(text).split(sep) if part.strip()]
             for text in whole_numbers(values)]
    classes = tuple(known or multi_hot.names_in(found))
    if word := next((name for name in classes if name in MISSING_WORDS), None):
        _all_there(values, label, f" {word!r} is a label in other rows, and alone in a field it means a missing value.")
    if len(classes) < 2:
        raise DataError(f"The label column {label!r} has {len(classes)} different labels. Expected at least two. Is "
                        f"{sep!r} what separates them?")
    return multi_hot.from_lists(found, classes), classes
