"""Columns of a table as numbers: numbers as they are, text as one-hot categories, nothing guessed in silence."""

import re
import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kerasdl.data.table_file import is_numeric
from kerasdl.errors import DataError, nearest

Columns = Mapping[str, list[str] | None]
MISSING = "(missing)"
TRUTHS = {"True": "1", "TRUE": "1", "true": "1", "False": "0", "FALSE": "0", "false": "0"}  # as pandas reads them
CATEGORIES = 50  # more different texts than this, and than half the rows, are a name or an id and not a category
MOST = 1000  # more categories than this are refused: each is a column of the input
SIGNS = r"[\s,'’%$¢£¤¥฿\u20a0-\u20c0]"  # that stand in numbers which pandas takes for text
UNIT = r"[-+]?\d[\d.,']*\s*(?P<unit>[^\W\d_]{1,12}\.?(?:/[^\W\d_]+)?|°\s?\w?)"  # 72 kg, 5km/h
DAY = r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[ T]\d{1,2}:\d{2}.*)?"  # 2024-01-20, 20.1.2024 08:30
PARTS = ("year", "month", "day", "weekday", "hour", "minute")  # of a date
OFFSET = r"([+-]\d\d:?\d\d|Z)$"  # from UTC, at the end of a time
PRECISE = 1e-3  # of a column's deviation: what rounding to float32 may cost


def encode(frame: pd.DataFrame, columns: Columns, medians: Mapping[str, float],
           offsets: Mapping[str, float] | None = None, hashed: Sequence[str] = ()) -> np.ndarray:
    """Return rows as float32 (N, F) by the columns of a training set: numbers as they are, categories one-hot.

    Args:
        frame: the rows.
        columns: {column: None for a number, or its categories, of which MISSING stands for missing text}.
        medians: {column: what its missing numbers become}.
        offsets: {column: what is subtracted from its numbers, in float64}; see offsets_of.
        hashed: columns whose texts are put into the buckets that are their categories; see `buckets`.

    Raises:
        DataError: for columns that are not there, a missing value, text in a number column, an unknown category.
    """
    check_present(frame, columns)
    widths = [1 if categories is None else len(categories) for categories in columns.values()]
    x, start = np.zeros((len(frame), sum(widths)), "float32"), 0
    for (name, categories), width in zip(columns.items(), widths, strict=True):
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
            x[:, start] = numbers_of(values, name) - (offsets or {}).get(name, 0.0)
        else:
            text = values.astype(str)
            places = pd.Categorical(buckets(text, categories) if name in hashed else text, categories).codes
            if (places < 0).any():
                unknown = min(text[places < 0])
                raise DataError(f"The column {name!r} has a value {unknown!r} that the training data has not. "
                                f"{nearest(unknown, categories)}")
            x[np.arange(len(x)), start + places.astype("int64")] = 1
        start += width
    return x


def check_present(frame: pd.DataFrame, columns: Columns, path: str = "") -> None:
    """Raise a DataError that names all columns of a model which a table lacks. Needs no rows."""
    if lost := [repr(name) for name in columns if name not in frame]:
        one, where = len(lost) == 1, f" in {path}" if path else ""
        raise DataError(f"The column{'s' * (not one)} {', '.join(lost)} {'is' if one else 'are'} missing{where}. "
                        f"The model was trained with: {', '.join(columns)}.")


def buckets(texts: pd.Series, names: Sequence[str]) -> pd.Series:
    """Return for each text the name of the bucket it falls into, by its CRC-32 (Weinberger et al. 2009,
    arXiv:0902.2206). What is missing has a bucket of its own, if that is among the names."""
    own = [name for name in names if name != MISSING]
    places, different = pd.factorize(texts.str.replace(r"^(-?\d+)\.0+$", r"\1", regex=True))  # 7.0 where 7s are missing
    chosen = [text if text == MISSING and MISSING in names else own[zlib.crc32(text.encode()) % len(own)]
              for text in different]
    return pd.Series(np.array(chosen, object)[places], texts.index)


def whole_texts(values: pd.Series, decimal: str = ".") -> pd.Series:
    """Return texts that are all whole numbers without the .0 that pandas writes in a column with gaps: 1.0 as 1."""
    point = re.escape(decimal)
    if not values.dropna().drop_duplicates().astype(str).str.fullmatch(rf"-?(?:0|[1-9]\d*)(?:{point}0)?").all():
        return values
    return values.map(lambda value: str(value).removesuffix(f"{decimal}0"), na_action="ignore")


def category_of(value: Any, known: Collection[str]) -> str | None:
    """Return the category that a value means, if one does: a truth or a whole number may be written in other ways."""
    text = str(value).strip()
    if text in known:
        return text
    if text in TRUTHS:
        return next((form for form in TRUTHS if TRUTHS[form] == TRUTHS[text] and form in known), None)
    try:
        number = float(re.sub(",0$", ".0", text))
    except ValueError:
        return None
    whole = str(int(number)) if number.is_integer() and re.search("[.,]", text) else text
    return next((form for form in (whole, f"{whole}.0", f"{whole},0") if form in known), None)


def as_known(frame: pd.DataFrame, columns: Columns, hashed: Sequence[str] = ()) -> pd.DataFrame:
    """Return a table as a model takes it: truths, which next to gaps or numbers are texts, are 1 and 0 in columns of
    numbers, and categories are written as those of the model; see `category_of`."""
    found = {}
    for name, categories in columns.items():
        if categories is None and not is_numeric(frame[name]):
            found[name] = frame[name].map(lambda value: TRUTHS.get(str(value), value), na_action="ignore")
        elif categories is not None and name not in hashed:
            known = set(categories)
            found[name] = frame[name].map({value: category_of(value, known) or str(value)
                                           for value in frame[name].dropna().unique()})
    return frame.assign(**found)


def in_words(columns: Columns) -> list[str]:
    """Return the columns whose categories are words: how pandas reads TRUE or 007 depends on the other rows."""
    return [name for name, words in columns.items()
            if words and not set(words) <= {"False", "True", MISSING} and not all(map(_is_number, words))]


def _is_number(text: str) -> bool:
    """Whether a text is a number and no code: 7 and 7.5, but neither 007 nor 1e3."""
    return bool(pd.notna(pd.to_numeric(text, errors="coerce")) and not re.fullmatch(r"0\d+|\d+[eE]\d+", text))


def lost_in_float32(numbers: np.ndarray) -> bool:
    """Return whether float32 would lose differences of numbers (N,), such as those of seconds since 1970."""
    return bool(len(numbers) and np.abs(numbers).max() * 2.0**-24 > PRECISE * np.std(numbers) > 0)


def check_precise(x: np.ndarray, name: str, what: str) -> None:
    """Raise a DataError for an array (..., F) with more digits than float32 has, if it would lose differences.

    Args:
        x: numbers, of which those that are not finite are passed over.
        name: of the array.
        what: "column" or "channel", what the last axis counts.
    """
    if np.can_cast(x.dtype, "float32"):
        return
    for place in range(x.shape[-1]):
        numbers = x[..., place].astype("float64")
        numbers = numbers[np.isfinite(numbers)]
        if lost_in_float32(numbers):
            raise DataError(f"{name} has differences in its {what} {place} that float32 cannot hold, around "
                            f"{numbers[0]:.10g}. Subtract a constant from it.")


def offsets_of(frame: pd.DataFrame, columns: Columns, train: np.ndarray) -> dict[str, float]:
    """Return what to subtract from the columns whose differences float32 would lose, such as seconds since 1970."""
    found = {}
    for name in (name for name, categories in columns.items() if categories is None):
        numbers = numbers_of(frame[name], name)[train]
        numbers = numbers[~np.isnan(numbers)]
        if lost_in_float32(numbers):
            found[name] = float(np.median(numbers))
            if np.ptp(numbers) * 2.0**-24 > PRECISE * np.std(numbers):
                raise DataError(f"The column {name!r} has differences that float32 cannot hold. Scale it, or leave it "
                                f"out with data_args.drop={name!r}.")
    return found


def split_dates(frame: pd.DataFrame, dates: Sequence[str], form: str | None = None) -> pd.DataFrame:
    """Return the frame with each column of dates replaced by numbers: its year, month, day, weekday, hour and minute.

    Raises:
        DataError: as `moments_of` and `add_parts` do.
    """
    for name in (name for name in dates if name in frame):
        add_parts(frame, name, moments_of(frame.pop(name), name, form))
    return frame


def add_parts(frame: pd.DataFrame, name: str, moments: pd.Series) -> None:
    """Add the columns of numbers that pandas' datetimes of a column of dates become.

    Raises:
        DataError: one of them is there, and would be lost.
    """
    for part in PARTS:
        if f"{name} {part}" in frame:
            raise DataError(f"The dates of the column {name!r} become numbers in {f'{name} {part}'!r}, which is there "
                            "already. Rename one of the two.")
        frame[f"{name} {part}"] = getattr(moments.dt, part).astype("float64")


def times_of(values: pd.Series, name: str, form: str | None = None) -> pd.Series:
    """Return texts as pandas' datetimes, with NaT for what is none; the arguments are those of `moments_of`.

    Raises:
        DataError: times of several offsets from UTC, which pandas does not put into one column.
    """
    try:
        return pd.to_datetime(values, format=form or "ISO8601", errors="coerce")
    except ValueError as error:
        if "timezones" not in str(error):
            raise
        raise DataError(f"The column {name!r} has times of several offsets from UTC, such as {values.iloc[0]!r}. Bring "
                        "them to one.") from None


def clocks_of(values: pd.Series, form: str | None = None) -> pd.Series:
    """Return texts as `times_of` does, as the clock of each shows it: each may have an offset from UTC of its own.

    So a row is read as it would be in a file with its offset alone.
    """
    try:
        return times_of(values, "", form).dt.tz_localize(None)
    except DataError:
        offsets = values.str.extract(OFFSET, expand=False).fillna("")
        alike = values.groupby(offsets if offsets.nunique() > 1 else values)  # the latter if others stand within
        return pd.concat([clocks_of(some, form) for _, some in alike]).reindex(values.index)


def moments_of(values: pd.Series, name: str, form: str | None = None) -> pd.Series:
    """Return a column of dates as pandas' datetimes.

    Args:
        values: the column.
        name: its name.
        form: how they are written, %d.%m.%Y; None: 2024-01-20 or 2024-01-20 08:30.

    Raises:
        DataError: a value that is not written so.
    """
    moments = times_of(values.astype("string"), name, form)
    if len(wrong := values[moments.isna() & values.notna()]):
        file, line = wrong.index[0]
        how = f"as data_args.date_format={form!r} says" if form else \
            "as 2024-01-20 or 2024-01-20 08:30, or say how they are written, as with data_args.date_format=%d.%m.%Y"
        raise DataError(f"The column {name!r} is one of dates, and row {line} of {file} has {wrong.iloc[0]!r}. "
                        f"Write dates {how}.")
    return moments


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
        if asked and values.notna().any():
            raise DataError(f"The column {name!r} is one of categories, and was read as numbers. Name it alone: "
                            f"data_args.category={[name]!r}.")
        return None
    counts = values.value_counts()  # each text is looked at once
    counts.index = counts.index.astype(str)
    categories = sorted(set(counts.index))
    if asked:
        return categories
    _no_numbers(counts, name)
    if counts[_with_sign(counts.index)].sum() > 0.5 * counts.sum():
        numbers_of(values, name)
        if (odd := counts.index[counts.index.str.contains("[.,]")]).size:  # the others are codes
            raise DataError(f"The column {name!r} holds numbers, but {odd[0]!r} is none as data_args.thousands and "
                            f"data_args.decimal say. To take the texts as categories: data_args.category={name!r}.")
    if len(categories) > MOST:
        raise DataError(f"The column {name!r} has {len(categories)} different texts in {len(values)} rows, and each "
                        f"would be a column of the input. Put them into buckets with data_args.hash={name!r}, or leave "
                        f"it out with data_args.drop={name!r}.")
    if len(categories) > max(CATEGORIES, len(values) // 2) or len(categories) == len(values) > 10:
        raise DataError(f"The column {name!r} has {len(categories)} different texts in {len(values)} rows, which is a "
                        f"name rather than a category. Leave it out with data_args.drop={name!r}, or put them into "
                        f"buckets with data_args.hash={name!r}.")
    return categories


def _no_numbers(counts: pd.Series, name: str) -> None:
    """Raise a DataError for a column of dates, or of numbers with a unit, which would be learned as words.

    Args:
        counts: {text: in how many rows it is}.
        name: of the column.
    """
    drop, total = f"leave it out with data_args.drop={name!r}", counts.sum()
    first = counts.index[0] if len(counts) else ""
    if total and counts[counts.index.str.fullmatch(DAY)].sum() > 0.9 * total:
        form = " data_args.date_format=%d.%m.%Y" if re.fullmatch(r"\d\d?\.\d\d?\.\d{4}", first) else ""
        raise DataError(f"The column {name!r} holds dates, such as {first!r}. Split them into numbers with "
                        f"data_args.dates={name!r}{form}, {drop}, or take the texts with data_args.category={name!r}.")
    if counts[_with_unit(counts.index, 3)].sum() > total / 2 and len(counts) > 3:
        raise DataError(f"The column {name!r} holds numbers with a unit, such as {first!r}. Write the numbers alone, "
                        f"{drop}, or take the texts as categories with data_args.category={name!r}.")


def _with_unit(texts: pd.Index, most: int) -> np.ndarray:
    """Return which texts, (N,), are numbers with a unit, such as 72 kg; none if there are more units than `most`."""
    units = texts.str.extract(rf"^{UNIT}$")["unit"]
    return units.notna().to_numpy() & (units.nunique() <= most)


def _with_sign(texts: pd.Index) -> np.ndarray:
    """Return which texts, (N,), are numbers, with or without signs such as % and $."""
    return pd.notna(pd.to_numeric(texts.str.replace(SIGNS, "", regex=True), errors="coerce"))


def numbers_in_texts(texts: pd.Index) -> np.ndarray:
    """Return which texts, (N,), are numbers with a sign or with one unit, such as $1,050, 5% or 72 kg; 7 and 007 are
    codes."""
    codes = texts.str.fullmatch(r"[-+]?\d+(?:\.0|[eE]\d+)?")
    return (_with_unit(texts, 1) | _with_sign(texts)) & ~codes.astype(bool)


def numbers_of(values: pd.Series, name: str) -> np.ndarray:
    """Return a column as float64; what is missing is NaN.

    Raises:
        DataError: a text, or a value that is too large for a float32.
    """
    numbers = values
    if not is_numeric(values):
        sign = values.attrs.get("thousands")  # of numbers in other groups than three, which are texts: 1.5 and 1.500
        plain = values.mask(values.astype("string").str.contains(sign, regex=False).eq(True)) if sign else values
        numbers = pd.to_numeric(plain, errors="coerce")
    wrong = values.iloc[:0] if numbers is values else values[numbers.isna() & values.notna()]
    if len(wrong):
        file, line = wrong.index[0]
        raise DataError(f"The column {name!r} holds numbers, but row {line} of {file} has {wrong.iloc[0]!r} "
                        f"({len(wrong)} such value{'s' * (len(wrong) > 1)}).{_sign(str(wrong.iloc[0]), name)}")
    numbers = numbers.to_numpy(dtype="float64")
    if (np.abs(numbers) > np.finfo("float32").max).any():
        raise DataError(f"The column {name!r} has a value that is infinite, or too large for a float32.")
    return numbers


def _sign(text: str, name: str) -> str:
    """Return how to read a number that is written as in another country, if it is one."""
    if re.fullmatch(r"[-+]?\d+,\d+", text.strip()):
        return " If a comma is the decimal sign: data_args.decimal=','. If it stands between thousands: " \
               "data_args.thousands=','."
    if sign := re.fullmatch(r"[-+]?\d{1,3}([., '’\u00a0\u202f])\d{3}(\1\d{3})*([.,]\d+)?", text.strip()):
        return f" If {sign[1]!r} stands between thousands: data_args.thousands={sign[1]!r}."
    return f" If these are missing values: data_args.na_values={text!r}. If these are categories: data_args.category=" \
           f"{name!r}."


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
