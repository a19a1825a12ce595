"""Numbers as a country writes them, such as 1.234,5: its decimal sign, and its sign between groups of three digits."""

import io
import re

import numpy as np
import pandas as pd


def parsed(texts: pd.Series, decimal: str, thousands: str | None) -> pd.Series:
    """Return texts as float64, each as pandas reads it in a column of numbers; NaN for one that is none.

    Args:
        texts: without missing values.
        decimal: the decimal sign.
        thousands: the sign between thousands, if there is one; pandas takes ASCII only.
    """
    fine = texts[~ungrouped(texts, decimal, thousands)]
    if decimal != "." and thousands != ".":
        fine = fine[~fine.str.contains(".", regex=False)]
    plain = fine.str.replace(thousands, "", regex=False) if thousands else fine
    plain = plain if decimal == "." else plain.str.replace(decimal, ".", regex=False)
    found = pd.to_numeric(plain, errors="coerce").astype("float64").reindex(texts.index)
    good = plain[found[plain.index].notna()]
    if len(good):
        read = pd.read_csv(io.StringIO("\n".join(good)), header=None, sep="\x1f")[0]
        if read.dtype.kind in "iuf" and len(read) == len(good):
            found[good.index] = read.to_numpy("float64")
    return found


def ungrouped(texts: pd.Series, decimal: str, thousands: str | None) -> pd.Series:
    """Return which texts have signs between thousands that do not stand between groups of three: 1.5, 01.02.2024.

    pandas leaves these signs out wherever they are, and would read 15 and 1022024.
    """
    if not thousands:
        return pd.Series(False, texts.index)
    sign = re.escape(thousands)
    good = texts.str.fullmatch(rf"[-+]?\d{{1,3}}(?:{sign}\d{{3}})*(?:{re.escape(decimal)}\d*)?")
    return texts.str.contains(thousands, regex=False) & ~good


def converted(values: pd.Series, decimal: str, thousands: str | None) -> pd.Series | None:
    """Return a column of texts as float64; None unless all are numbers, some with a sign of the country, and no codes.

    So does pandas where it reads a text file. Texts without a sign are left as whoever made the table has them.
    """
    places, different = pd.factorize(values)  # each text is looked at once; a missing value has the place -1
    texts = pd.Series([str(text).strip() for text in different], dtype=str)
    signs = re.escape((thousands or "") + decimal.replace(".", ""))
    if not signs or not texts.str.contains(f"[{signs}]").any() or texts.str.fullmatch(r"0\d+").any():
        return None
    numbers = parsed(texts, decimal, thousands)
    if numbers.isna().any():
        return None
    return pd.Series(np.append(numbers.to_numpy("float64"), np.nan)[places], values.index)
