"""Columns of a table as numbers: numbers as they are, text as one-hot categories, nothing guessed in silence."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from kerasdl.data.table_file import is_numeric
from kerasdl.errors import DataError, nearest

Columns = Mapping[str, list[str] | None]
MISSING = "(missing)"
CATEGORIES = 50  # more different texts than this, and than half the rows, are a name or an id and not a category
SIGNS = r"[\s,%$€£]"  # that stand in numbers which pandas takes for text


def encode(frame: pd.DataFrame, columns: Columns, medians: Mapping[str, float]) -> np.ndarray:
    """Return rows as float32 (N, F) by the columns of a training set: numbers as they are, categories one-hot.

    Args:
        frame: the rows.
        columns: {column: None for a number, or its categories, of which MISSING stands for missing text}.
        medians: {column: what its missing numbers become}.

    Raises:
        DataError: for a column that is not there, a missing value, text in a number column, an unknown category.
    """
    blocks = []
    for name, categories in columns.items():
        if name not in frame:
            raise DataError(f"The column {name!r} is missing. The model was trained with: {', '.join(columns)}.")
        values = frame[name]
        if categories is not None and MISSING in categories:
            values = values.fillna(MISSING)
        if name in medians:
            values = values.fillna(medians[name])
        if missing := int(values.isna().sum()):
            how = "none was missing there in training" if medians else "or train with data_args.fill=median"
            raise DataError(f"The column {name!r} has {missing} missing value{'s' * (missing > 1)} in {len(values)} "
                            f"rows. Fill them, {how}.")
        if categories is None:
            blocks.append(numbers_of(values, name)[:, None])
            continue
        text = values.astype(str).to_numpy()
        if unknown := sorted(set(text) - set(categories)):
            raise DataError(f"The column {name!r} has a value {unknown[0]!r} that the training data has not. "
                            f"{nearest(unknown[0], categories)}")
        blocks.append(text[:, None] == np.array(categories)[None, :])
    return np.concatenate(blocks, axis=1).astype("float32")


def in_words(columns: Columns) -> list[str]:
    """Return the columns whose categories are words: how pandas reads TRUE or 007 depends on the other rows."""
    return [name for name, words in columns.items()
            if words and not set(words) <= {"False", "True", MISSING} and not all(map(_is_number, words))]


def _is_number(text: str) -> bool:
    return pd.notna(pd.to_numeric(text, errors="coerce"))


def categories_of(values: pd.Series, name: str) -> list[str] | None:
    """Return the categories of a column of text in order; None for a column of numbers.

    Raises:
        DataError: numbers written as text, such as 5%, or texts that are names rather than categories.
    """
    if is_numeric(values):
        return None
    present = values.dropna().astype(str)
    plain = present.str.replace(SIGNS, "", regex=True)
    if pd.to_numeric(plain, errors="coerce").notna().mean() > 0.5:
        numbers_of(values, name)
    categories = sorted(present.unique())
    if len(categories) > max(CATEGORIES, len(values) // 2) or len(categories) == len(values) > 10:
        raise DataError(f"The column {name!r} has {len(categories)} different texts in {len(values)} rows, which is a "
                        f"name rather than a category. Leave it out with data_args.drop={name!r}.")
    return categories


def numbers_of(values: pd.Series, name: str) -> np.ndarray:
    """Return a column as float64; what is missing is NaN.

    Raises:
        DataError: a text, or a value that is too large for a float32.
    """
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = values[numbers.isna() & values.notna()]
    if len(wrong):
        file, line = wrong.index[0]
        raise DataError(f"The column {name!r} holds numbers, but row {line} of {file} has {wrong.iloc[0]!r} "
                        f"({len(wrong)} such value{'s' * (len(wrong) > 1)}).")
    numbers = numbers.to_numpy(dtype="float64")
    if (np.abs(numbers) > np.finfo("float32").max).any():
        raise DataError(f"The column {name!r} has a value that is infinite, or too large for a float32.")
    return numbers


def medians_of(frame: pd.DataFrame, columns: Columns, train: np.ndarray) -> dict[str, float]:
    """Return the median over the training rows of every column of numbers, which fills missing values in all rows."""
    found = {}
    for name in (name for name, categories in columns.items() if categories is None):
        numbers = numbers_of(frame[name], name)[train]
        if np.isnan(numbers).all():
            raise DataError(f"The column {name!r} has no value in the training rows. Leave it out with "
                            f"data_args.drop={name!r}.")
        found[name] = float(np.nanmedian(numbers))
    return found
