"""A table as splits: which columns are learned from, which are learned, and which rows are which part."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from kerasdl.data import labels, layout, multi_hot
from kerasdl.data.columns import (
    MISSING,
    Columns,
    categories_of,
    encode,
    medians_of,
    moments_of,
    numbers_of,
    offsets_of,
    split_dates,
    whole_texts,
)
from kerasdl.data.divide import completed
from kerasdl.data.image_args import ImageArgs
from kerasdl.data.leaks import counting
from kerasdl.data.spec import Target
from kerasdl.data.split import Split
from kerasdl.data.strangers import blank, filled, unknown_categories
from kerasdl.data.table_file import Dialect, is_numeric, whole_numbers
from kerasdl.errors import DataError, listed, nearest
from kerasdl.settings import Settings

MEMORY = 8 * 2**30  # bytes of rows as numbers
Column = Annotated[str | int, "column"]
Names = Annotated[str | int | float | list | tuple, "columns"]  # one, several, or "A,B"


class ColumnArgs(Settings):
    """What the columns of a table are for."""

    label: Names | None = Field(None, description="the column to learn; several for several labels or numbers")
    label_sep: str | None = Field(None, min_length=1, description="what separates several labels in one column")
    drop: Names | None = Field((), description="columns to leave out")
    keep: Names = Field((), description="columns to learn from although they count the rows, or are group or order")
    category: Names = Field((), description="columns that are categories, whatever they look like")
    dates: Names = Field((), description="columns of dates, each of which becomes year, month, day, weekday, hour and "
                                         "minute")
    date_format: str | None = Field(None, description="how dates are written, such as %d.%m.%Y; None: 2024-01-20, with "
                                                      "or without 08:30")
    hash: Names = Field((), description="columns of very many texts, which are put into buckets")
    buckets: int = Field(64, ge=2, le=4096, description="how many buckets a column of hash has")
    fill: Literal["median"] | None = Field(
        None, description="median: fill missing numbers with the median of train, and missing texts with a category of "
                          "their own; None refuses missing values")
    group: Column | None = Field(
        None, description="a column whose equal values stay in one split, such as a patient")
    order: Column | None = Field(None, description="a column of numbers or dates: the last rows by it are test")
    split: Column | None = Field(None, description="a column that says train, val or test")
    weight: Column | None = Field(None, description="a column of how much each row counts in the training loss")
    test: str | None = Field(None, description="a second file that is the test split")
    attributes: Names = Field((), description="columns that each example keeps for audits, and that are learned from "
                                              "only if they would be anyway")
    image: Column | None = Field(None, description="the column of image files; then each row is an image")
    root: str | None = Field(None, description="the folder of the image files; None: that of the table")
    suffix: str = Field("", description="what follows the names of the image files, such as .jpg")

    def columns(self, field: str, frame: pd.DataFrame) -> list[str]:
        """Return the columns that a field names."""
        value = getattr(self, field)
        return [] if value is None or value == () else listed(value, frame.columns)

    def drops(self, name: str) -> bool:
        """Return whether a column of this name is left out, and is read for nothing else."""
        others = (self.label, self.group, self.order, self.split, self.weight, self.attributes, self.image)
        return self.drop not in (None, ()) and name in listed(self.drop, [name]) and not any(
            value not in (None, ()) and name in listed(value, [name]) for value in others)

    def as_text(self, names: Iterable[str] | None) -> list[str]:
        """Return the columns to be read as they are written.

        Args:
            names: the columns of the table; None: not known, and a text with commas may name one or several.
        """
        fields = [value for value in (self.category, self.hash, self.dates) if value != ()]
        image = [] if self.image is None else [str(self.image)]
        whole, names = ([str(value) for value in fields], ()) if names is None else ([], list(names))
        return [*whole, *image, *(name for value in fields for name in listed(value, names))]


class TableArgs(Dialect, ColumnArgs, ImageArgs):
    """What data_args takes with csv:PATH."""


@dataclass(frozen=True)
class Parts:
    """What a table says of its rows, apart from what is learned from.

    Attributes:
        frame: the rows, without those columns.
        y: (N, ...) as kerasdl.data.labels gives them; None without labels.
        classes: their names.
        index: {"train": the places of its rows, ...}.
        weights: (N,) how much each row counts; None: all alike.
        attributes: {column: (N,) its values as texts, "" where one is missing}, for audits.
        numbers: the columns of several numbers to learn.
    """

    frame: pd.DataFrame
    y: np.ndarray | None
    classes: tuple[str, ...]
    index: Mapping[str, np.ndarray]
    weights: np.ndarray | None
    attributes: Mapping[str, np.ndarray]
    numbers: tuple[str, ...] = ()


def parts_of(frame: pd.DataFrame, extra: pd.DataFrame | None, args: TableArgs, target: Target | None, path: str
             ) -> Parts:
    """Return labels, parts and weights of a table.

    Args:
        frame: the rows.
        extra: those of a second table, which are the test split.
        args: what the user said of them.
        target: what is learned.
        path: how messages name the table.

    Raises:
        DataError: a column that is not there, labels that do not fit, parts that cannot be made.
    """
    names, drop = check_named(frame, args, target, path), args.columns("drop", frame)
    rows = len(frame)
    if target == "class" and not set(names) <= set(args.columns("category", frame)):
        labels.check_words(frame[names[0]], names[0])
    if extra is not None:
        if target == "class":
            _same_classes(frame[names[0]], extra[names[0]], path, args.test or "")
        frame = pd.concat([frame, extra[list(frame.columns)]])
    y, classes = (None, ()) if target is None else labels.targets_of(frame, names, target, args.label_sep)
    used = [name for field in ("group", "order", "split", "weight") for name in args.columns(field, frame)]
    kept = args.columns("keep", frame)
    left = frame.drop(columns={*drop, *names, *(name for name in used if name not in kept)})
    if not len(left.columns):
        raise DataError(f"{path} has no column {f'but the label {args.label!r}' if names else 'left after drop'}: "
                        "nothing to learn from.")
    divided_by = (y, classes) if target == "class" else by_class(frame, names, target, args.label_sep)
    index = _index(frame, rows, *divided_by, args, learned=target is not None)
    if target == "labels" and y is not None:
        multi_hot.check_learnable(y[index["train"]], classes)
    weights = None if args.weight is None else _weights(frame, str(args.weight))
    noted = {name: _texts(frame[name]) for name in args.columns("attributes", frame)}
    return Parts(left, y, classes, index, weights, noted, labels.several(names, target))


def by_class(frame: pd.DataFrame, names: Sequence[str], target: Target | None, label_sep: str | None = None
             ) -> tuple[np.ndarray | None, Sequence[str] | None]:
    """Return the classes by which rows are divided though nobody learns them, as a classifier of the same will; None
    and None where no label is named, or where something else is learned or named.

    Args:
        frame: the rows.
        names: the columns of labels that the user names.
        target: what is learned.
        label_sep: what separates several labels in the column, if it has several.
    """
    if target is not None or len(names) != 1 or label_sep is not None:
        return None, None
    try:
        return labels.targets_of(frame, names, "class")
    except DataError:  # numbers, or gaps
        return None, None


def check_named(frame: pd.DataFrame, args: TableArgs, target: Target | None, path: str) -> list[str]:
    """Return the columns to learn, after checking that all columns which the user names are there. Needs no rows.

    Raises:
        DataError: a column that is not there, or a label that is to be dropped.
    """
    for field in ("drop", "keep", "category", "dates", "hash", "group", "order", "split", "weight", "attributes",
                  "image"):
        for column in args.columns(field, frame):
            if column not in frame:
                what = " to drop" if field == "drop" else ""
                raise DataError(f"{path} has no column {column!r}{what}. {nearest(column, frame.columns)}")
    names = [] if args.label is None and target is None else labels.label_columns(frame, args.label, path)
    drop = args.columns("drop", frame)
    if both := [name for name in names if name in drop]:
        raise DataError(f"The label column {both[0]!r} cannot be dropped. Take it out of data_args.drop.")
    return names


def check_test(frame: pd.DataFrame, extra: pd.DataFrame, args: TableArgs, path: str, test: str) -> None:
    """Raise a DataError that names all columns of a table which the table of its test split lacks. Needs no rows."""
    dropped = args.columns("drop", frame)
    if missing := [repr(name) for name in frame if name not in extra and name not in dropped]:
        raise DataError(f"{test} has no column {', '.join(missing)}, which {path} has.")


def _index(frame: pd.DataFrame, rows: int, y: np.ndarray | None, classes: Sequence[str] | None, args: TableArgs,
           learned: bool = True) -> dict[str, np.ndarray]:
    """Return the places of the rows of each part; those after the first `rows` are test."""
    groups = None if args.group is None else _present(frame, str(args.group), "groups").astype(str).to_numpy()
    order = None if args.order is None else _times(_present(frame, str(args.order), "orders"), args.date_format)
    given = {} if args.split is None else _named(frame[str(args.split)], str(args.split))
    if rows < len(frame):
        if "test" in given:
            raise DataError(f"The column {args.split!r} names a test part, and so does data_args.test. Give one of "
                            "the two.")
        given["test"] = np.arange(rows, len(frame))
    rest = np.ones(len(frame), bool)
    for part in ("val", "test"):
        rest[given.get(part, [])] = False
    labels = np.arange(len(frame)) if y is None or classes is None else y
    return completed(given, np.flatnonzero(rest), labels, classes, groups, order, learned=learned)


def index_of(frame: pd.DataFrame, args: TableArgs, target: Target | None, path: str) -> dict[str, np.ndarray]:
    """Return the places of the rows of each part of a table that a model was not trained on, divided as its own was:
    by all classes of the table, of which the model may know some only.

    Args:
        frame: all rows.
        args: those of the training: a group stays together, and an order decides, here as there.
        target: what is learned.
        path: of the table.

    Raises:
        DataError: as in training, and for a column by which it is divided that is not there.
    """
    for field in ("group", "order", "split", "label"):
        for column in args.columns(field, frame):
            if column not in frame:
                raise DataError(f"{path} has no column {column!r}, by which the training data was divided. Take all of "
                                "it: --split all")
    asked = (None, None) if target == "class" else (target, args.label_sep)
    y, classes = by_class(frame, args.columns("label", frame), *asked)
    return _index(frame, len(frame), y, classes, args, learned=False)


def _texts(values: pd.Series) -> np.ndarray:
    """Return the values of a column as texts, "" where one is missing."""
    return whole_numbers(values).astype(str).where(values.notna(), "").to_numpy(object)


def _weights(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Return how much each row counts, (N,) float32."""
    return numbers_of(_present(frame, name, "weighs"), name).astype("float32")


def _present(frame: pd.DataFrame, name: str, does: str) -> pd.Series:
    """Return a column that says something of each row, and is missing in none."""
    if missing := int(frame[name].isna().sum()):
        raise DataError(f"The column {name!r}, which {does} the rows, is missing in {missing} of {len(frame)} rows.")
    return frame[name]


def _named(values: pd.Series, name: str) -> dict[str, np.ndarray]:
    """Return the places of the rows of each part that a column names."""
    found = np.array([layout.part_of(str(value)) or "" for value in values])
    if (wrong := found == "").any():
        raise DataError(f"The column {name!r} says train, val or test, and row {values.index[wrong][0][1]} has "
                        f"{values[wrong].iloc[0]!r}.")
    parts = {part: np.flatnonzero(found == part) for part in ("train", "val", "test") if (found == part).any()}
    if "train" not in parts:
        raise DataError(f"The column {name!r} has no row that says train.")
    return parts


def _times(values: pd.Series, form: str | None) -> np.ndarray:
    """Return a column of numbers or dates as numbers."""
    if is_numeric(values):
        return numbers_of(values, str(values.name))
    return moments_of(values, str(values.name), form).astype("int64").to_numpy()


def _same_classes(train: pd.Series, test: pd.Series, path: str, test_path: str) -> None:
    known, found = (set(whole_numbers(values).dropna().astype(str)) for values in (train, test))
    if (new := sorted(found - known)):
        raise DataError(f"{test_path} has a class {new[0]!r} that {path} has not.")


def splits_of(frame: pd.DataFrame, extra: pd.DataFrame | None, args: TableArgs, target: Target | None, path: str
              ) -> dict[str, Split]:
    """Return the splits train, val and test of rows; the arguments are those of `parts_of`.

    Raises:
        DataError: as `parts_of` does, for columns that are no numbers or categories, and missing values.
    """
    parts = parts_of(frame, extra, args, target, path)
    frame, index = parts.frame, parts.index
    own = len(frame) - (0 if extra is None else len(extra))
    _check_columns(frame.iloc[:own], path, args.columns("keep", frame))
    label = args.columns("label", frame) if target else []  # other columns are not read again
    category, hashed, dates = ([name for name in args.columns(field, frame) if name in {*frame, *others}]
                               for field, others in (("category", label), ("hash", ()), ("dates", ())))
    frame = split_dates(frame, dates, args.date_format)
    frame = frame.assign(**{name: whole_texts(frame[name], args.decimal) for name in category if name in frame})
    columns: dict[str, list[str] | None] = {}
    for name in frame.columns:
        columns[name] = [f"bucket {number}" for number in range(args.buckets)] if name in hashed else \
            categories_of(frame[name], name, name in category)
    medians = medians_of(frame, columns, index["train"]) if args.fill else {}
    columns, strange = _of_train(frame, columns, own, index["train"], hashed, bool(args.fill))
    frame = filled(frame, columns, strange)
    _check_memory(len(frame), columns)
    offsets = offsets_of(frame, columns, index["train"])
    chosen = {"dates": dates, "date_format": args.date_format, "category": category, "hash": hashed,
              "dialect": Dialect.of(args).changed(), "offsets": offsets}
    reading = {key: value for key, value in chosen.items() if value not in ([], {}, None)}
    x = encode(frame, columns, medians, offsets, hashed)
    blank(x, columns, strange)
    return {name: replace(row_split(name, x, parts, columns, medians, reading),
                          remarks=unknown_categories(name, places, strange)) for name, places in index.items()}


def _of_train(frame: pd.DataFrame, columns: Columns, own: int, train: np.ndarray, hashed: Sequence[str], fill: bool
              ) -> tuple[dict[str, list[str] | None], dict[str, np.ndarray]]:
    """Return columns with the categories of the training rows alone, and where other rows have none of these.

    A category that no training row has would be a column that nothing is learned of. Rows with one are taken as
    prediction takes them with --unknown-category missing.

    Args:
        frame: the rows.
        columns: with all of their categories, or buckets.
        own: rows of the first table; what only the second one has stays, and is refused as a class is.
        train: the places of the training rows.
        hashed: columns of buckets.
        fill: whether what is missing is filled: a category of its own where it is missing in training.

    Raises:
        DataError: a column of texts that is empty in the training rows.
    """
    found, strange = dict(columns), dict[str, np.ndarray]()
    for name, categories in columns.items():
        if categories is None:
            continue
        values = frame[name]
        text, missing = values.astype(str), values.isna().to_numpy(bool)
        other = np.zeros(len(frame), bool)
        if name not in hashed:
            known, mine = (set(text.iloc[rows][~missing[rows]]) for rows in (train, np.arange(own)))
            if not known:
                raise DataError(f"The column {name!r} has no value in the training rows. Leave it out with "
                                f"data_args.drop={name!r}.")
            found[name] = categories = [category for category in categories if category in known]
            other = text.isin(mine - known).to_numpy() & ~missing
        if fill and missing[train].any():
            found[name] = [*(each for each in categories if each != MISSING), MISSING]  # a word of the file, too
        elif fill:
            other |= missing
        if other.any():
            strange[name] = other
    return found, strange


def _check_memory(rows: int, columns: Columns) -> None:
    """Refuse a table that would fill the memory: each category is a number of four bytes in each row."""
    widths = {name: 4 * rows * (1 if categories is None else len(categories)) for name, categories in columns.items()}
    if (total := sum(widths.values())) > MEMORY:
        name = max(widths, key=widths.__getitem__)
        raise DataError(f"{rows} rows would take {total / 2**30:.0f} GB, {widths[name] / 2**30:.1f} of them for the "
                        f"column {name!r}. Put its texts into fewer buckets with data_args.hash={name!r}, or leave it "
                        f"out with data_args.drop={name!r}.")


def row_split(name: str, x: np.ndarray, parts: Parts, columns: Columns, medians: Mapping[str, float],
              reading: Mapping[str, Any]) -> Split:
    """Return one part of the rows x (N, F) as a split."""
    whole = Split(name, x, parts.y, x.shape[1], len(x), parts.classes, columns, medians, kind="row", reading=reading,
                  weights=parts.weights, attributes=parts.attributes, numbers=parts.numbers)
    return whole.part(parts.index[name])


def _check_columns(frame: pd.DataFrame, path: str, keep: Sequence[str]) -> None:
    """Refuse a column without a name, and one that counts the rows: it gives the answer away where they are sorted."""
    for name in frame:
        if name.startswith("Unnamed: "):
            raise DataError(f"A column of {path} has no name. Give it one or, if it only numbers the rows, leave it "
                            f"out with data_args.drop={name!r}.")
        if name not in keep and (how := counting(frame[name])):
            raise DataError(f"The column {name!r} {how}, which gives the answer away if they are sorted or were. Leave "
                            f"it out with data_args.drop={name!r}, or take it with data_args.keep={name!r}.")
