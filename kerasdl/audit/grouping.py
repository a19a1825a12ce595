"""Who is compared: the group of each test example, by a column, by folders, or by a function of the user."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from kerasdl import user_code
from kerasdl.data import Split
from kerasdl.data.sources import place
from kerasdl.data.sources.text import is_table
from kerasdl.errors import UserError
from kerasdl.evaluation.splits import load_split
from kerasdl.run import Run

FEWEST = 10  # examples of a group about which something is said
MOST = 12  # different numbers of a column that are groups; of more, its quarters are
READS = {"csv": "a column", "text": "a column", "folder": "a level of folders"}  # what a source has groups by
MISSING, OTHERS = "(missing)", "others"
Grouping = str | Callable[[Split], Any]


def name_of(word: Grouping) -> str:
    """Return what a grouping is called: the word, or the name of the function."""
    return word if isinstance(word, str) else getattr(word, "__name__", type(word).__name__)


def groups_of(run: Run, split: Split, word: Grouping, data: Mapping[str, Split] | None = None) -> np.ndarray:
    """Return the group of each test example as text, (N,).

    Args:
        run: the run.
        split: its test split.
        word: the name of a column of its table; of a folder the level of folders, 1 for the folder of the file,
            or a regular expression that is searched in its path; or FILE.py:function, or in Python the function,
            which takes the split and returns a group for each example.
        data: the splits of a run that was trained on arrays.

    Raises:
        UserError: a column, level or function that is not there, or groups of which no two can be compared.
    """
    if isinstance(word, str) and user_code.is_reference(word):
        values = _of_function(user_code.load(word), split, word)
    else:
        values = _noted(run, split, word, data) if isinstance(word, str) else _of_function(word, split, name_of(word))
    found = binned(pd.Series(values)).to_numpy(str)
    check(found, name_of(word))
    return found


def binned(values: pd.Series) -> pd.Series:
    """Return numbers of many values as the quarters that they lie in, "17 to 25"; and anything else as it is.

    Infinite ones are groups of their own. Where so many are equal that there is one quarter, the others are compared
    with these.
    """
    texts = values.astype(object).where(values.notna(), MISSING).astype(str).replace("", MISSING)
    numbers = pd.to_numeric(texts.where(texts != MISSING), errors="coerce")
    finite = numbers[np.isfinite(numbers)]
    if numbers.isna().to_numpy().sum() > (texts == MISSING).sum() or finite.nunique() <= MOST:
        return texts
    quarters = pd.qcut(finite, 4, duplicates="drop")
    if len(quarters.cat.categories) < 2:
        usual = finite.mode()[0]
        found = pd.Series(np.where(finite == usual, f"{usual:.12g}", OTHERS), finite.index, object)
    else:
        found = quarters.map({each: f"{finite[quarters == each].min():.12g} to {finite[quarters == each].max():.12g}"
                              for each in quarters.cat.categories}).astype(object)
    return found.reindex(texts.index).fillna(texts)


def check(groups: np.ndarray, word: str) -> None:
    """Raise a UserError where no two groups have FEWEST examples: there is nothing to compare."""
    names, counts = np.unique(groups, return_counts=True)
    enough = int((counts >= FEWEST).sum())
    if enough < 2:
        most = counts.argmax()
        raise UserError(f"--group {word} has {len(names)} group{'s' * (len(names) != 1)} in {len(groups)} test "
                        f"examples, and {enough} of {FEWEST} examples or more (the largest is {names[most]!r} with "
                        f"{counts[most]}). A comparison takes two such groups: choose another --group.")


def _of_function(function: Callable[[Split], Any], split: Split, word: str) -> Any:
    values = np.asarray(function(split)).astype(object)
    if values.shape != (len(split),):
        raise UserError(f"--group {word} has to return a group for each of the {len(split)} test examples. Received "
                        f"an array of shape {values.shape}.")
    return values


def _noted(run: Run, split: Split, word: str, data: Mapping[str, Split] | None) -> np.ndarray:
    """Return the values of a column or a level of folders, which are read with the test split once more."""
    if word in split.attributes:
        return split.attributes[word]
    source, path = ("arrays", "") if data is not None else place(run.recipe.data)
    if source not in READS:
        raise UserError(f"--group {word} is for tables and folders, and the data of {run.path} is {run.recipe.data}. "
                        "Give a function of the test split: --group FILE.py:NAME.")
    if source == "text" and not is_table(path):
        raise UserError(f"--group {word} is a column of a table, and {run.recipe.data} is none. Give a function of the "
                        "test split: --group FILE.py:NAME.")
    level = int(word) if source == "folder" and word.isascii() and word.isdecimal() else word
    return load_split(run, "test", attributes=[level]).attributes[str(level)]
