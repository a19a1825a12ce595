"""Columns of a table as numbers: numbers as they are, text as one-hot categories, nothing guessed in silence."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from kerasdl.data.table_file import is_numeric
from kerasdl.errors import DataError, nearest

Columns = Mapping[str, list[str] | None]
MISSING = "(missing)"
CATEGORIES = 50  # more different texts than this, and than half the rows, are a name or an id and not a category
MOST = 1000  # more categories than this are refused: each is a column of the input
SIGNS = r"[\s,%$¢£¤¥฿\u20a0-\u20c0]"  # that stand in numbers which pandas takes for text
UNIT = r"[-+]?\d[\d.,']*\s*(?P<unit>[^\W\d_]{1,12}\.?(?:/[^\W\d_]+)?|°\s?\w?)"  # 72 kg, 5km/h
DAY = r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[ T]\d{1,2}:\d{2}.*)?"  # 2024-01-20, 20.1.2024 08:30
PARTS = ("year", "month", "day", "weekday", "hour", "minute")  # of a date
PRECISE = 1e-3  # of a column's deviation: what rounding to float32 may cost


def encode(frame: pd.DataFrame, columns: Columns, medians: Mapping[str, float],
           offsets: Mapping[str, float] | None = None) -> np.ndarray:
    """Return rows as float32 (N, F) by the columns of a training set: numbers as they are, categories one-hot.

    Args:
        frame: the rows.
        columns: {column: None for a number, or its categories, of which MISSING stands for missing text}.
        medians: {column: what its missing numbers become}.
        offsets: {column: what is subtracted from its numbers, in float64}; see offsets_of.

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
            blocks.append((numbers_of(values, name) - (offsets or {}).get(name, 0.0))[:, None].astype("float32"))
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
    """Whether a text is a number and no code: 7 and 7.5, but neither 007 nor 1e3."""
    return bool(pd.notna(pd.to_numeric(text, errors="coerce")) and not re.fullmatch(r"0\d+|\d+[eE]\d+", text))


def offsets_of(frame: pd.DataFrame, columns: Columns, train: np.ndarray) -> dict[str, float]:
    """Return what to subtract from the columns whose differences float32 would lose, such as seconds since 1970."""
    found = {}
    for name in (name for name, categories in columns.items() if categories is None):
        numbers = numbers_of(frame[name], name)[train]
        numbers = numbers[~np.isnan(numbers)]
        if len(numbers) and np.abs(numbers).max() * 2.0**-24 > PRECISE * (spread := float(np.std(numbers))) > 0:
            found[name] = float(np.median(numbers))
            if np.ptp(numbers) * 2.0**-24 > PRECISE * spread:
                raise DataError(f"The column {name!r} has differences that float32 cannot hold. Scale it, or leave it "
                                f"out with data_args.drop={name!r}.")
    return found


def split_dates(frame: pd.DataFrame, dates: Sequence[str]) -> pd.DataFrame:
    """Return the frame with each column of dates replaced by numbers: its year, month, day, weekday, hour and minute.

    Raises:
        DataError: a value that is no date in the form 2024-01-20 or 2024-01-20 08:30.
    """
    for name in (name for name in dates if name in frame):
        values = frame.pop(name)
        moments = pd.to_datetime(values.astype("string"), format="ISO8601", errors="coerce")
        if len(wrong := values[moments.isna() & values.notna()]):
            file, line = wrong.index[0]
            raise DataError(f"The column {name!r} is one of dates, and row {line} of {file} has {wrong.iloc[0]!r}. "
                            "Write dates as 2024-01-20 or 2024-01-20 08:30.")
        for part in PARTS:
            frame[f"{name} {part}"] = getattr(moments.dt, part).astype("float64")
    return frame


def categories_of(values: pd.Series, name: str, asked: bool = False) -> list[str] | None:
    """Return the categories of a column of text in order; None for a column of numbers.

    Args:
        values: the column.
        name: its name.
        asked: whether the user said that it is one of categories, whatever it looks like.

    Raises:
        DataError: numbers written as text, such as 5% or 72 kg, dates, or texts that are names rather than categories.
    """
    if is_numeric(values):
        return None
    present = values.dropna().astype(str)
    if asked:
        return sorted(present.unique())
    _no_numbers(present, name)
    plain = present.str.replace(SIGNS, "", regex=True)
    if pd.to_numeric(plain, errors="coerce").notna().mean() > 0.5:
        numbers_of(values, name)
    categories = sorted(present.unique())
    if len(categories) > MOST:
        raise DataError(f"The column {name!r} has {len(categories)} different texts in {len(values)} rows, and each "
                        f"would be a column of the input. Leave it out with data_args.drop={name!r}.")
    if len(categories) > max(CATEGORIES, len(values) // 2) or len(categories) == len(values) > 10:
        raise DataError(f"The column {name!r} has {len(categories)} different texts in {len(values)} rows, which is a "
                        f"name rather than a category. Leave it out with data_args.drop={name!r}.")
    return categories


def _no_numbers(present: pd.Series, name: str) -> None:
    """Raise a DataError for a column of dates, or of numbers with a unit, which would be learned as words."""
    drop = f"leave it out with data_args.drop={name!r}"
    first = present.iloc[0] if len(present) else ""
    if len(present) and present.str.fullmatch(DAY).mean() > 0.9:
        raise DataError(f"The column {name!r} holds dates, such as {first!r}. Split them into numbers with "
                        f"data_args.dates={name!r}, {drop}, or take the texts with data_args.category={name!r}.")
    units = present.str.extract(rf"^{UNIT}$")["unit"].dropna()
    if len(units) > len(present) / 2 and units.nunique() <= 3 and present.nunique() > 3:
        raise DataError(f"The column {name!r} holds numbers with a unit, such as {first!r}. Write the numbers alone, "
                        f"{drop}, or take the texts as categories with data_args.category={name!r}.")


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
