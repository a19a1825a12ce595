"""Rows of a table, or the images that it names. CSV files, Parquet files and spreadsheets are read.

See kerasdl.data.table for what is done with the columns, and kerasdl.data.columns for how they become numbers.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kerasdl.data import chunks, image_table, labels, row_chunks, table
from kerasdl.data.chunks import Chunk
from kerasdl.data.columns import Columns, as_known, check_present, encode, in_words, split_dates
from kerasdl.data.spec import Target, recorded_kind
from kerasdl.data.split import Split
from kerasdl.data.strangers import blank, filled, fills, strangers, unknown_categories
from kerasdl.data.table import TableArgs, splits_of
from kerasdl.data.table_file import (
    EXCEL,
    PARQUET,
    Dialect,
    checked,
    header,
    in_texts,
    is_numeric,
    read_table,
    with_gaps,
)
from kerasdl.errors import DataError
from kerasdl.settings import parse

KIND, EXTENSIONS, NOUNS = "row", (".csv", ".tsv", *PARQUET, *EXCEL), ("CSV rows", "a CSV file", "CSV files")
Args = TableArgs


def kind_of(args: Mapping[str, Any]) -> str:
    """Return what an example is: an image where the table names image files."""
    return "row" if args.get("image") is None else "image"


def read(path: str, *, target: Target | None = "class", **given: Any) -> dict[str, Split]:
    """Return the splits train, val and test of a table.

    Args:
        path: a CSV file with a header line, also compressed; a Parquet file; a spreadsheet.
        target: "class", "labels" for several of them, "number" for regression, or None for rows without labels.
        **given: fields of TableArgs. With target=None a label need not be named, and is left out if it is.

    Raises:
        DataError: naming the column, the row or the class that is wrong.
    """
    args = parse(TableArgs, given, "data_args", "csv:PATH")
    dialect = Dialect.of(args)
    texts = args.as_text(header(path, dialect))
    frame, extra = read_table(path, texts, dialect, args.drops), None
    if args.test is not None:
        extra = read_table(args.test, texts, dialect, args.drops)
        worded = [name for name in frame if name in extra and not is_numeric(frame[name]) & is_numeric(extra[name])]
        if worded:
            frame, extra = (read_table(each, [*worded, *texts], dialect, args.drops)
                            for each in (path, args.test))
        table.check_test(frame, extra, args, path, args.test)
        extra = extra.reindex(columns=frame.columns)
    if args.image is not None:
        return image_table.splits_of(frame, extra, args, target, path)
    return splits_of(frame, extra, args, target, path)


def look(path: str, *, target: Target | None = None, **given: Any) -> None:
    """Find mistakes that `read` would find in the arguments and the first lines of the files."""
    args = parse(TableArgs, given, "data_args", "csv:PATH")
    frame = header(path, Dialect.of(args))
    extra = None if args.test is None else header(args.test, Dialect.of(args))
    if frame is None:
        return
    if extra is not None:
        table.check_test(frame, extra, args, path, str(args.test))
    table.check_named(frame, args, target, path)


def look_for(facts: Mapping[str, Any], path: str, *, target: Target | None = None, classes: Any = None, **given: Any
             ) -> None:
    """Find mistakes that `read_for` would find in the arguments and the first line of the file."""
    args = parse(TableArgs, given, "data_args", "csv:PATH")
    if args.image is not None:
        header(path, Dialect.of(args))
        return
    columns, reading = _columns(facts, "Give others from Python: data=kerasdl.data.from_arrays(x, y)."), \
        facts.get("reading", {})
    args = _labelled(args, reading, target, path)
    if (frame := header(path, _dialect(facts, path), columns)) is None:
        return
    if target is not None:
        labels.label_columns(frame, args.label, path)
    check_present(split_dates(frame, reading.get("dates", ()), reading.get("date_format")), columns, path)


def from_frame(frame: pd.DataFrame, label: Any = None, *, target: Target | None = "class",
               test: pd.DataFrame | None = None, **given: Any) -> dict[str, Split]:
    """Return the splits train, val and test of a pandas DataFrame, read as a CSV file with the same columns is.

    Args:
        frame: the rows. Its index is not a column: reset_index() makes it one.
        label: the column to learn, or several.
        target: as in `read`; None for rows without labels.
        test: the rows of the test split; by default a fifth of `frame` is.
        **given: fields of TableArgs, such as drop=["name"] or fill="median".

    Raises:
        DataError: as `read` does.
    """
    args = parse(TableArgs, {"label": label, **given}, "data_args", "from_frame")
    for value in (frame, test):
        if value is not None and not isinstance(value, pd.DataFrame):
            raise DataError(f"from_frame takes a pandas DataFrame. Received: {type(value).__name__}.")
    frame, extra = _placed(frame, "the frame", args), None if test is None else _placed(test, "test", args)
    if extra is not None:
        table.check_test(frame, extra, args, "the frame", "test")
        extra = extra.reindex(columns=frame.columns)
    make = splits_of if args.image is None else image_table.splits_of
    parts = make(frame, extra, args, target, "the frame")
    if label is None or args.image is not None:
        return parts
    learned = {"label": args.columns("label", frame), **({"label_sep": args.label_sep} if args.label_sep else {})}
    return {name: replace(part, reading={**part.reading, **learned}) for name, part in parts.items()}


def _placed(frame: pd.DataFrame, source: str, args: TableArgs) -> pd.DataFrame:
    """Return a copy of a frame whose index is (source, row)."""
    frame = frame.copy()
    frame.index = pd.MultiIndex.from_product([[source], range(len(frame))])
    dialect, texts = Dialect.of(args), args.as_text([str(name).strip() for name in frame.columns])
    frame = checked(frame, source, args.drops, dialect, texts)
    return in_texts(with_gaps(frame, dialect, args.drops, texts), texts)


def read_for(facts: Mapping[str, Any], path: str, split: str, /, *, target: Target | None = "class",
             classes: Sequence[str] | None = None, **given: Any) -> Split:
    """Return a part of a file that a model was not trained on, with the columns and classes of the model.

    Columns may come in another order and with others between them, and neither every category nor every class need be
    there. Missing values are filled as in training.

    Args:
        facts: of the run, its data.json.
        path: the file.
        split: "train", "val" or "test", divided as `read` does, or "all" rows.
        target: as in `read`.
        classes: those that the model was trained on, if it was trained on some only. Rows of others are left out.
        **given: fields of TableArgs.

    Raises:
        DataError: as `read` and `encode` do, and for another split or a class that the model does not know.
    """
    if split not in (known := ("train", "val", "test", "all")):
        raise DataError(f"{path} has the splits {', '.join(known)}. Received: {split!r}.")
    args = parse(TableArgs, given, "data_args", "csv:PATH")
    if args.image is not None:
        return image_table.split_for(facts, path, split, args, target, classes)
    columns = _columns(facts, "Give others from Python: data=kerasdl.data.from_arrays(x, y).")
    names = None if target in (None, "number") else tuple(facts["classes"])
    reading = facts.get("reading", {})
    args = _labelled(args, reading, target, path)
    words = columns if args.label is None or target != "class" else {**columns, str(args.label): list(names or ())}
    texts = [*in_words(words), *_texts(reading), *args.as_text(words)]
    frame = read_table(path, texts, _dialect(facts, path), args.drops, columns)
    label = [] if target is None else labels.label_columns(frame, args.label, path)
    index = np.arange(len(frame)) if split == "all" else table.index_of(frame, args, target, path)[split]
    y = None
    if target is not None:
        if classes is not None:
            frame, index = labels.rows_of(frame, label[0], names or (), index, path)
        y, _ = labels.targets_of(frame, label, target, args.label_sep, names, learned=False)
        frame = frame.drop(columns=[name for name in label if name not in columns])
    x, strange = _encoded(frame, columns, facts, path)
    parts = table.Parts(frame, y, names or (), {split: index}, None, {}, labels.several(label, target))
    return replace(table.row_split(split, x, parts, columns, facts.get("medians", {}), reading),
                   remarks=unknown_categories(split, index, strange))


def read_files(files: Iterable[Path], facts: Mapping[str, Any], *, unknown: str = "refuse", **_: Any
               ) -> Iterator[Chunk]:
    """Yield the rows of tables, named FILE:LINE, as a model takes them; see kerasdl.data.row_chunks."""
    columns = _columns(facts, "Give arrays as .npy files.")
    for file in files:
        yield from row_chunks.read([file], columns, facts, _dialect(facts, file),
                                   chunks.size_of((facts["shape"],), 4), unknown)


def _labelled(args: TableArgs, reading: Mapping[str, Any], target: Target | None, path: str) -> TableArgs:
    """Return arguments that name the column to learn, or to divide by; a run on a frame has recorded it.

    Raises:
        DataError: nobody knows which is to be learned.
    """
    if "label" not in reading and (target is None or args.label is not None):
        return args
    if "label" not in reading:
        raise DataError(f"Nobody says which column of {path} to compare with: the run was trained on a DataFrame, and "
                        "has not recorded its label. Give splits from Python: data=kerasdl.data.from_frame(frame, "
                        "label=COLUMN).")
    return args.model_copy(update={key: reading[key] for key in ("label", "label_sep") if key in reading})


def _encoded(frame: pd.DataFrame, columns: Columns, facts: Mapping[str, Any], path: str
             ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return rows as a trained model takes them, and where a category is none that it knows; see `encode`."""
    reading, medians = facts.get("reading", {}), facts.get("medians", {})
    frame = split_dates(frame, reading.get("dates", ()), reading.get("date_format"))
    check_present(frame, columns, path)
    hashed = reading.get("hash", ())
    frame = as_known(frame, columns, hashed)
    strange = strangers(frame, columns, hashed, fills(columns, medians))
    x = encode(filled(frame, columns, strange), columns, medians, reading.get("offsets"), hashed)
    blank(x, columns, strange)
    return x, strange


def _dialect(facts: Mapping[str, Any], file: str | Path) -> Dialect:
    """Return how a table is written: as the training file was. At first only its header was recorded.

    An ending .csv or .tsv says what separates the fields. Where there is none, as of standard input, that of the
    training file does.
    """
    reading = facts.get("reading", {})
    dialect = Dialect(**(reading.get("dialect") or {"header": reading.get("header")}))
    if dialect.sep is None and not {".csv", ".tsv"} & set(Path(file).suffixes):
        recipe = Path(facts.get("run", ""), "recipe.json")
        trained = json.loads(recipe.read_bytes()).get("data", "") if recipe.is_file() else ""
        if (sep := dialect.separator(trained)) != ",":
            return dialect.model_copy(update={"sep": sep})
    return dialect


def _texts(reading: Mapping[str, Any]) -> list[str]:
    """Return the columns that were read as they are written."""
    return [name for key in ("category", "hash", "dates") for name in reading.get(key, ())]


def _columns(facts: Mapping[str, Any], remedy: str) -> Columns:
    """Return the columns that a model of rows was trained with; without them, an error ends with the remedy."""
    if recorded_kind(facts) != "row":
        raise DataError(f"The model takes {recorded_kind(facts)} data. Received rows of a CSV file.")
    if not facts["columns"]:
        raise DataError(f"The model was trained on arrays, whose columns have no names. {remedy}")
    return facts["columns"]
