"""Texts: a column of a table, a folder of documents for each class, or a file of lines for each class.

See kerasdl.data.texts for what a folder means, and kerasdl.data.tokens for how texts become tokens.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from kerasdl.data import labels, table, texts, tokens
from kerasdl.data.chunks import ROWS, Chunk, Fault
from kerasdl.data.columns import in_words
from kerasdl.data.divide import of_places
from kerasdl.data.spec import Target
from kerasdl.data.split import Split
from kerasdl.data.table import Column, Names, TableArgs
from kerasdl.data.table_file import EXCEL, PARQUET, Dialect, checked, header, is_numeric, read_table
from kerasdl.data.table_text import JSON_LINES, WRITTEN, ending
from kerasdl.errors import DataError, listed, nearest
from kerasdl.settings import parse

STDIN = "-"
TABLES = (*WRITTEN, *PARQUET, *EXCEL)
KIND, EXTENSIONS, NOUNS = "tokens", (texts.DOCUMENT, *TABLES), ("texts", "a text", "files of texts")
SHARED = ("label", "label_sep", "group", "order", "date_format", "split", "weight", "attributes", "test")  # TableArgs
LONG = 20  # letters of a label from which it looks like a text


class Args(tokens.TokenArgs, Dialect):
    """What data_args takes with text:PATH. All but the tokens, encoding and test_share is for tables."""

    text: Column | None = Field(None, description="the column of texts; several are not joined")
    label: Names | None = Field(None, description="the column to learn; several for several labels or numbers")
    label_sep: str | None = Field(None, min_length=1, description="what separates several labels in one column")
    group: Column | None = Field(None, description="a column whose equal values stay in one split, such as an author")
    order: Column | None = Field(None, description="a column of numbers or dates: the last rows by it are test")
    date_format: str | None = Field(None, description="how the dates of order are written, such as %d.%m.%Y; None: "
                                                      "2024-01-20, with or without 08:30")
    split: Column | None = Field(None, description="a column that says train, val or test")
    weight: Column | None = Field(None, description="a column of how much each row counts in the training loss")
    attributes: Names = Field((), description="columns that each text keeps for audits")
    test: str | None = Field(None, description="a second table that is the test split")
    test_share: float = Field(0.2, gt=0, lt=1, description="share of the texts of files and folders that is test, "
                                                           "where no part is called so")


def read(path: str, *, target: Target | None = "class", **given: Any) -> dict[str, Split]:
    """Return the splits train, val and test of texts.

    Args:
        path: a table with a column of texts (.csv, .tsv, .jsonl, Parquet, a spreadsheet); PATH/<class>/*.txt; a folder
            with a file of lines for each class; or, without labels, one file of lines. A folder may have the parts
            train, val and test, each with the classes inside.
        target: "class", for a table also "labels" or "number", or None where no labels are needed.
        **given: fields of Args.

    Raises:
        DataError: naming the file, the line or the column that is wrong.
    """
    args = parse(Args, given, "data_args", "text:PATH")
    if is_table(path):
        return _of_table(path, args, target)
    check_used(args, path)
    _check_target(path, target)
    found = texts.found(Path(path).expanduser(), args.encoding, target == "class")
    y, classes = labels.of_names(found.labels)
    if target is not None:
        labels.check_parts(found.labels, found.place, path)
    index = of_places(found.place, np.arange(len(found.texts)) if y is None else y, classes or None,
                      test_share=args.test_share, learned=target is not None)
    y, classes = (None, ()) if target is None else (y, classes)
    return texts.splits_of(found.texts, y, classes, index, args, _reading(found.form, args))


def look(path: str, *, target: Target | None = None, **given: Any) -> None:
    """Find mistakes that `read` would find in the arguments and in the first line of a table."""
    args = parse(Args, given, "data_args", "text:PATH")
    tokens.library()
    if not is_table(path):
        if not Path(path).expanduser().exists():
            raise DataError(f"There is no file or folder {path!r}. Give the texts as data=text:PATH.")
        check_used(args, path)
        _check_target(path, target)
    elif ending(path) not in JSON_LINES and (frame := header(path, Dialect.of(args))) is not None:
        _check_columns(frame, args, target, path)


def read_for(facts: Mapping[str, Any], path: str, split: str, /, *, target: Target | None = "class",
             classes: Any = None, **given: Any) -> Split:
    """Return a part of other texts, with the tokens and the classes of a model.

    Args:
        facts: of the run, its data.json.
        path, target: as in `read`.
        split: "train", "val" or "test", divided as `read` does, or "all" of them.
        classes: those that the model was trained on, if it was trained on some only. Texts of others are left out.
        **given: fields of Args.
    """
    args, known = parse(Args, given, "data_args", "text:PATH"), tuple(facts["classes"])
    read = _of_table_for if is_table(path) else _of_files_for
    some, y = read(path, split, args, target, known, classes is not None)
    return texts.split_of(split, some, y, known, texts.tokens_of(facts), facts["shape"][0], facts["reading"])


def _of_table_for(path: str, split: str, args: Args, target: Target | None, known: tuple[str, ...], some: bool
                  ) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the texts of a part of a table and what they are; with `some`, those of the known classes alone."""
    frame = table_of(path, args, in_words({str(args.label): list(known)}) if target == "class" else [])
    label = [] if target is None else labels.label_columns(frame, args.label, path)
    index = np.arange(len(frame)) if split == "all" else \
        _part(table.index_of(frame, _own(args), target, path), split, path)
    if some and label:
        frame, index = labels.rows_of(frame, label[0], known, index, path)
    y = None if target is None else \
        labels.targets_of(frame, label, target, args.label_sep, known or None, learned=False)[0][index]
    return _column(frame, args, path)[index], y


def _of_files_for(path: str, split: str, args: Args, target: Target | None, known: tuple[str, ...], some: bool
                  ) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the texts of a part of files and folders, as `_of_table_for` does of a table."""
    found = texts.found(Path(path).expanduser(), args.encoding, labelled=False)  # of one class, it may be
    index = np.arange(len(found.texts))
    if split != "all":
        y, own = labels.of_names(found.labels)
        index = _part(of_places(found.place, index if y is None else y, own or None, test_share=args.test_share,
                                learned=False), split, path)
    y, index = (None, index) if target is None else labels.of_known_names(found.labels, known, index, path, some)
    return found.texts[index], y


def _part(parts: Mapping[str, np.ndarray], split: str, path: str) -> np.ndarray:
    """Return the places of one of the parts."""
    if split not in parts:
        raise DataError(f"{path} has the splits {', '.join(parts)}, all. Received: {split!r}.")
    return parts[split]


def _own(args: Args) -> TableArgs:
    """Return what says how a table is divided and learned."""
    return TableArgs(**{key: getattr(args, key) for key in SHARED})


def check_used(args: Args, path: str) -> None:
    """Raise a DataError for an argument of tables where the texts are files."""
    given = [f"data_args.{key}" for key in ("text", *SHARED) if getattr(args, key) not in (None, (), [])]
    if given:  # by the user, or by a recipe
        unset = " ".join(f"{key}={'[]' if key.endswith('.attributes') else None}" for key in given)
        raise DataError(f"text:{path} is no table, and {', '.join(given)} name{'s' * (len(given) == 1)} columns of "
                        f"one. Set {unset}")


def read_files(files: Iterable[Path], facts: Mapping[str, Any], **_: Any) -> Iterator[Chunk]:
    """Yield the texts of files: of a table its column, of a file of lines each line, of a document all of it."""
    reading, tokenizer, length = facts["reading"], texts.tokens_of(facts), facts["shape"][0]
    for file in files:
        empty = texts.GAP if is_table(str(file)) else "empty"
        for names, some in _asked(file, reading):
            good: list[int] = []
            faults: list[Fault] = []
            for place, text in enumerate(some):
                if text.strip():
                    good.append(place)
                else:
                    faults.append(Fault(len(good), f"{names[place]} is {empty}."))
            x = tokenizer.encode([some[place] for place in good], length)[0]
            yield Chunk([names[place] for place in good], x, faults)


def is_table(path: str) -> bool:
    """Return whether a path is that of a table, by its ending."""
    return ending(path) in TABLES and not Path(path).is_dir()


def _asked(file: Path, reading: Mapping[str, Any]) -> Iterator[tuple[list[str], list[str]]]:
    """Yield names and texts of a file that a model is asked about, at most ROWS at a time."""
    if is_table(str(file)):
        column = reading.get("text")
        frame = table_of(str(file), Args(text=column, **reading.get("dialect", {})))
        some = [str(text) for text in _column(frame, Args(text=column), str(file), empty=True)]
        names = [f"{file}:{line}" for _, line in frame.index]
    elif reading["form"] == "documents" and str(file) != STDIN:
        names, some = [str(file)], [texts.decoded_as_trained(file, reading["encoding"]).strip()]
    else:
        lines = enumerate(texts.lines_of(texts.decoded_as_trained(file, reading["encoding"])), 1)
        found = [(number, line.strip()) for number, line in lines if line.strip()]  # as in training
        names, some = [f"{file}:{number}" for number, _ in found], [line for _, line in found]
    for start in range(0, len(some), ROWS):
        yield names[start:start + ROWS], some[start:start + ROWS]


def _of_table(path: str, args: Args, target: Target | None) -> dict[str, Split]:
    frame = table_of(path, args)
    extra = None if args.test is None else table_of(args.test, args)
    _check_columns(frame, args, target, path)
    if extra is not None:
        _check_columns(extra, args, target, str(args.test))
        worded = [name for name in frame if name in extra and not is_numeric(frame[name]) & is_numeric(extra[name])]
        if worded:
            frame, extra = (table_of(each, args, worded) for each in (path, str(args.test)))
    own = _own(args)
    named = target is not None or args.label is not None
    kept = [args.text, *(labels.label_columns(frame, args.label, path) if named else []),
            *(getattr(args, key) for key in ("group", "order", "split", "weight")), *own.columns("attributes", frame)]
    columns = [name for name in frame if name in {str(column) for column in kept if column is not None}]
    try:
        parts = table.parts_of(frame[columns], None if extra is None else extra[columns], own, target, path)
    except DataError as error:
        raise _clearer(error, frame, args, target) from None
    some = np.array([str(text) for text in _column(parts.frame, args, path)], object)
    made = texts.splits_of(some, parts.y, parts.classes, parts.index, args, _reading("lines", args), parts.weights)
    return {name: replace(split, attributes={key: values[parts.index[name]]
                                             for key, values in parts.attributes.items()})
            for name, split in made.items()}


def _clearer(error: DataError, frame: pd.DataFrame, args: Args, target: Target | None) -> DataError:
    """Return the error, or, where the label column holds texts, one that says so."""
    values = frame.get(str(args.label))
    if target == "class" and values is not None and not is_numeric(values):
        longest = max((str(value) for value in values.dropna()), key=len, default="")
        if len(longest) > LONG and values.nunique() > len(values) // 2:
            return DataError(f"The label column {str(args.label)!r} holds texts, such as {longest[:LONG]!r}..., and "
                             f"not classes. Are label and text={args.text} swapped?")
    return error


def table_of(path: str, args: Args, words: Collection[str] = ()) -> pd.DataFrame:
    """Return a table whose column of texts, and others of words, are read as they are written."""
    fields = [value for key in ("text", *SHARED) if (value := getattr(args, key)) not in (None, ())]

    def unused(name: str) -> bool:
        return not any(name in listed(value, [name]) for value in fields)

    if ending(path) not in JSON_LINES:
        return read_table(path, [*words, *([] if args.text is None else [str(args.text)])], Dialect.of(args), unused)
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"There is no file {path!r}. Give the texts as data=text:PATH.")
    try:
        frame = pd.read_json(file, lines=True, dtype=False, encoding=texts.encoding_of(args.encoding))
    except (ValueError, UnicodeDecodeError, LookupError) as error:
        raise DataError(f"{path} does not have a JSON object in each line: {error}.") from None
    frame.index = pd.MultiIndex.from_product([[path], range(1, len(frame) + 1)])
    return checked(frame, path, unused)


def _check_columns(frame: pd.DataFrame, args: Args, target: Target | None, path: str) -> None:
    """Raise a DataError for columns that are not there; needs no rows."""
    wanted = {"text": args.text, **{key: getattr(args, key) for key in ("group", "order", "split", "weight")}}
    if args.text is None:
        raise DataError(f"Say which column of {path} holds the texts: data_args.text=COLUMN. It has: "
                        f"{', '.join(frame.columns)}.")
    kept = [] if args.attributes == () else listed(args.attributes, frame.columns)
    for name in (*wanted.values(), *kept):
        if name is not None and str(name) not in frame:
            raise DataError(f"{path} has no column {str(name)!r}. {nearest(str(name), frame.columns)}")
    if target is not None:
        labels.label_columns(frame, args.label, path)


def _column(frame: pd.DataFrame, args: Args, path: str, empty: bool = False) -> np.ndarray:
    """Return the texts of a table (N,); missing ones are refused, or with `empty` are ""."""
    if args.text is None or str(args.text) not in frame:
        raise DataError(f"{path} has no column {str(args.text)!r} of texts. {nearest(str(args.text), frame.columns)}")
    values = frame[str(args.text)]
    found = np.array(["" if missing else str(text) for text, missing in zip(values, values.isna(), strict=True)],
                     object)
    if not empty:
        texts.check_there(list(found), [f"{file}:{line}" for file, line in frame.index])
    return found


def _check_target(path: str, target: Target | None) -> None:
    if target not in (None, "class"):
        raise DataError(f"The target of text:{path} is a class, by folder or file. To learn something else, give a "
                        "table with a column text.")
    if target == "class" and Path(path).expanduser().is_file():
        raise DataError(f"{path} is one file of lines, whose texts have no classes. Give a table with a column label, "
                        "or a folder with a file for each class.")


def _reading(form: str, args: Args) -> dict[str, Any]:
    dialect = Dialect.of(args).changed()
    return {"source": "text", "form": form, "encoding": args.encoding,
            **({"text": str(args.text)} if args.text is not None else {}), **({"dialect": dialect} if dialect else {})}
