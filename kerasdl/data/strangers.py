"""Categories of a table that no training row has, and that count as missing: where they are, and how they are taken."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from kerasdl.data.columns import MISSING, Columns


def fills(columns: Columns, medians: Mapping[str, float]) -> bool:
    """Return whether a model was trained with missing values that are filled."""
    return bool(medians) or any(MISSING in (categories or ()) for categories in columns.values())


def strangers(frame: pd.DataFrame, columns: Columns, hashed: Sequence[str], fill: bool) -> dict[str, np.ndarray]:
    """Return which rows (N,) of a table have a category in a column that a model does not know, {column: ...}; where
    missing values are filled and none was missing in training, also which have none.

    A column without a single known category is passed over, for `encode` to refuse: it is written otherwise.
    """
    found = {}
    for name, categories in columns.items():
        if categories is None:
            continue
        missing = frame[name].isna().to_numpy(bool)
        known = ~missing if name in hashed else frame[name].astype(str).isin(categories).to_numpy() & ~missing
        strange = ~known & ~missing if known.any() else np.zeros(len(frame), bool)
        if fill and MISSING not in categories:
            strange |= missing
        if strange.any():
            found[name] = strange
    return found


def filled(frame: pd.DataFrame, columns: Columns, strange: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Return a table in which every row has one of the categories of `columns`: MISSING where `strange` says that it
    has none, or one that `blank` takes out again."""
    return frame.assign(**{name: frame[name].mask(where, MISSING if MISSING in categories else categories[0])
                           for name, where in strange.items() if (categories := columns[name])})


def blank(x: np.ndarray, columns: Columns, strange: Mapping[str, np.ndarray]) -> None:
    """Set the places of categories in x (N, F) to 0 where `strange` {column: (N,)} says that there is none, unless
    what is missing has a category of its own."""
    start = 0
    for name, categories in columns.items():
        width = len(categories or [0])
        if name in strange and MISSING not in (categories or ()):
            x[strange[name], start:start + width] = 0
        start += width


def unknown_categories(part: str, places: np.ndarray, strange: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Return a sentence on the rows of a part whose categories no training row has, if there are some.

    Args:
        part: its name.
        places: of its rows.
        strange: {column: (N,) which rows of the table have such a category}.
    """
    counts = {name: int(where[places].sum()) for name, where in strange.items()}
    some = ", ".join(f"{name!r} in {count}" for name, count in counts.items() if count)
    return (f"{part} has categories that no training row has, and which count as missing: {some} of {len(places):,} "
            "rows.",) if some else ()
