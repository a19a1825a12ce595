"""Time series: UCR's .tsv, the .ts of aeon, arrays in .npz, and long tables.

See kerasdl.data.series_files for how files are read. Shorter series end with steps of NaN, which no network reads.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from kerasdl.data import labels, series_files
from kerasdl.data.chunks import Chunk, Fault, size_of
from kerasdl.data.columns import check_precise, in_words
from kerasdl.data.divide import completed
from kerasdl.data.series_files import LongArgs, Series, opened
from kerasdl.data.spec import Target
from kerasdl.data.split import Split
from kerasdl.data.table import by_class
from kerasdl.data.table_file import Dialect, header, is_numeric, whole_numbers
from kerasdl.errors import DataError
from kerasdl.settings import parse

KIND, EXTENSIONS = "sequence", series_files.EXTENSIONS
COLUMNS = ("id", "time", "date_format", "value")  # of a long table, which prediction reads as training does
NOUNS = ("series", "a file of series", "files of series (.tsv, .ts, .npz, .csv)")


class Args(LongArgs):
    """What data_args takes with series:PATH."""

    test: str | None = Field(None, description="a second file that is the test split; None: NAME_TEST next to "
                                               "NAME_TRAIN, x_test of a .npz, or else a fifth of the series")
    length: int | None = Field(None, gt=0, description="most steps of a series; what is longer loses its end")
    fill: Literal["interpolate"] | None = Field(
        None, description="interpolate: fill missing values on a line between their neighbours; None refuses them")


def read(path: str, *, target: Target | None = "class", **given: Any) -> dict[str, Split]:
    """Return the splits train, val and test of series.

    Args:
        path: a file NAME.tsv, .ts, .npz, .csv or .parquet, or a folder with one pair NAME_TRAIN and NAME_TEST.
        target: "class", "number", or None where no labels are needed.
        **given: fields of Args.

    Raises:
        DataError: naming the file, the series or the column that is wrong.
    """
    args = parse(Args, given, "data_args", "series:PATH")
    path = series_files.training_file(path)
    _check_target(target, path)
    test = args.test or series_files.test_file_of(path)
    parts = _opened([path, *([test] if test else [])], args, target is not None)
    if test and parts[0].test:
        raise DataError(f"{path} has x_test, and data_args.test names another test split. Give one of the two.")
    own, found = len(parts[0].values), _joined(parts)
    count = len(found.values) - own or found.test
    y, classes = _targets(found, target, len(found.values) - count, test or path)
    check_precise(np.concatenate(found.values), path, "channel")
    length = min(args.length or np.inf, max(map(len, found.values)))
    x, lost = _padded(found, args.fill, int(length), bool(args.length))
    index = _index(len(x), count, y, classes, found.groups)
    notes = [] if args.test or not test else [f"test is {test}, because it lies next to {path}."]
    reading = _reading(args)
    return {part: _split(part, x[places], lost[places], y, classes, places, reading, notes * (part == "test"))
            for part, places in index.items()}


def look(path: str, *, target: Target | None = None, **given: Any) -> None:
    """Find mistakes that `read` would find in the arguments and in the first line of a table."""
    args = parse(Args, given, "data_args", "series:PATH")
    path = series_files.training_file(path)
    _check_target(target, path)
    for file in (path, *([args.test] if args.test else [])):
        series_files.existing(file)
        if Path(file).suffix.lower() == ".csv" and (frame := header(file, Dialect.of(args))) is not None:
            series_files.check_columns(frame, args, target is not None, file)


def look_for(facts: Mapping[str, Any], path: str, **_: Any) -> None:
    """Find mistakes that `read_for` would find without reading: the model takes sound, or the file is not there."""
    if "sample_rate" in facts.get("build_args", {}):
        raise DataError(f"The model takes sound, such as audio:PATH. Received: series:{path}.")
    series_files.existing(series_files.training_file(path))


def read_for(facts: Mapping[str, Any], path: str, split: str, /, *, target: Target | None = "class",
             classes: Any = None, **given: Any) -> Split:
    """Return a part of other series, with the steps and the classes of a model.

    Args:
        facts: of the run, its data.json.
        path, target: as in `read`.
        split: "train", "val" or "test", divided as `read` does, or "all" of a file.
        classes: those that the model was trained on, if it was trained on some only. Others are left out.
        **given: fields of Args. `test` is that of the training.

    Raises:
        DataError: as `read`, and for a class that the model does not know, or a series that is longer than its own.
    """
    look_for(facts, path)
    args, known = parse(Args, given, "data_args", "series:PATH"), tuple(facts["classes"])
    if split not in ("train", "val", "test", "all"):
        raise DataError(f"{path} has the splits train, val, test, all. Received: {split!r}.")
    args = args.model_copy(update={"group": None}) if split == "all" else args
    path = series_files.training_file(path)
    test = None if split == "all" else series_files.test_file_of(path)
    words = target == "class" and bool(in_words({"label": list(known)}))
    parts = _opened([path, *([test] if test else [])], args, target is not None, words)
    found, index = _part(parts, split, target, known if classes is not None else None, words, path)
    y = None if target is None or found.labels is None else \
        labels.targets_of(_values(found.labels, target, words), list(found.labels), target, known=known or None,
                          learned=False)[0]
    _check_channels(found, facts["shape"][1], "the model takes")
    x, lost = _padded(found, args.fill, facts["shape"][0], _cuts(args.length, facts["shape"][0]))
    return _split(split, x[index], lost[index], y, known, index, facts["reading"], [])


def read_files(files: Iterable[Path], facts: Mapping[str, Any], **_: Any) -> Iterator[Chunk]:
    """Yield the series of files; labels in them are not needed. One that cannot be read is a fault."""
    reading, shape = facts["reading"], facts["shape"]
    args = Args(**{key: reading.get(key) for key in COLUMNS}, **reading.get("dialect", {}))
    size, cut = size_of(shape, 4), _cuts(reading.get("length"), shape[0])
    for file in files:
        found = opened(str(file), args, False)
        for start in range(0, len(found.values), size):
            names: list[str] = []
            good: list[np.ndarray] = []
            faults: list[Fault] = []
            for values, name in zip(found.values[start:start + size], found.names[start:start + size], strict=True):
                one = Series([values], [name], None)
                try:
                    _check_channels(one, shape[1], "the model takes")
                    good.append(_padded(one, reading.get("fill"), shape[0], cut)[0][0])
                    names.append(name)
                except DataError as error:
                    faults.append(Fault(len(names), str(error)))
            yield Chunk(names, np.stack(good) if good else np.empty((0, *shape), "float32"), faults)


def _opened(files: Sequence[str], args: Args, labelled: bool, words: bool = False) -> list[Series]:
    """Return the series of files. Where the labels of one are words, those of all are: how pandas reads TRUE depends on
    the other rows of a file."""
    parts = [opened(file, args, labelled, words) for file in files]
    kinds = {tuple(map(is_numeric, (part.labels[name] for name in part.labels)))
             for part in parts if part.labels is not None}
    return parts if len(kinds) < 2 else [opened(file, args, labelled, words=True) for file in files]


def _joined(parts: list[Series]) -> Series:
    """Return the series of one or two files as one."""
    frames = [part.labels for part in parts if part.labels is not None]
    if frames and len({len(frame.columns) for frame in frames}) > 1:
        raise DataError(f"{parts[1].names[0]} has {len(frames[1].columns)} labels, and {parts[0].names[0]} has "
                        f"{len(frames[0].columns)}.")
    frames = [frame.set_axis(frames[0].columns, axis=1) for frame in frames]
    found = Series([each for part in parts for each in part.values], [name for part in parts for name in part.names],
                   pd.concat(frames) if len(frames) == len(parts) else None, parts[0].test,
                   None if parts[0].groups is None else np.concatenate([part.groups for part in parts]))
    _check_channels(found, found.values[0].shape[1], f"{found.names[0]} has")
    return found


def _part(parts: list[Series], split: str, target: Target | None, classes: Sequence[str] | None, words: bool, path: str
          ) -> tuple[Series, np.ndarray]:
    """Return the series of one or two files, and the places of those of a part, divided by all of their classes.

    Args:
        parts: those of a file and, if it has one, of its file of test series.
        split: "train", "val", "test" or "all".
        target: what is learned.
        classes: series of others are left out, after the division; None: none are.
        words: as in `_values`.
        path: how messages name the file.
    """
    found = _joined(parts)
    size, count = len(found.values), len(parts[1].values) if len(parts) > 1 else found.test
    names = pd.DataFrame() if target != "class" or found.labels is None else _values(found.labels, target, words)
    y, own = by_class(names, list(names), None)
    index = np.arange(size) if split == "all" else \
        _index(size, count, y, tuple(own or ()), found.groups, learned=False)[split]
    if classes is None or found.labels is None or names.empty:
        return found, index
    rows, index = labels.rows_of(names.reset_index(drop=True), str(names.columns[0]), classes, index, path)
    places = rows.index.to_numpy()
    return Series([found.values[place] for place in places], [found.names[place] for place in places],
                  found.labels.iloc[places]), index


def _check_channels(found: Series, channels: int, whose: str) -> None:
    """Raise a DataError for a series with another number of values a step than `whose`, "the model takes"."""
    for values, name in zip(found.values, found.names, strict=True):
        if values.shape[1] != channels:
            raise DataError(f"{name} has {values.shape[1]} values a step, and {whose} {channels}.")


def _check_target(target: Target | None, path: str) -> None:
    if target not in ("class", "number", None):
        raise DataError(f"The target of series:{path} is a class or a number. Received: {target!r}.")


def _values(frame: pd.DataFrame, target: Target, words: bool = False) -> pd.DataFrame:
    """Return labels as numbers where all are, 10 after 9 and 1.0 the same as 1; others, such as 007, as texts.

    With `words` all are texts, as 1.0 was to a model next to beta.
    """
    found = frame.copy()
    for name in frame:
        some = whole_numbers(frame[name]).map(str, na_action="ignore").astype(object)
        numbers = pd.to_numeric(some, errors="coerce")
        if not words and numbers[some.notna()].notna().all() and not some.str.fullmatch(r"[-+]?0\d.*", na=False).any():
            found[name] = numbers.astype("float64")
        elif target == "number":
            wrong = some[numbers.isna() & some.notna()]
            raise DataError(f"{wrong.index[0][0]} has the label {wrong.iloc[0]!r} in row {wrong.index[0][1]}, where a "
                            "number is expected. To learn classes, set objective=classify.")
        else:
            found[name] = some
    return found


def _targets(found: Series, target: Target | None, train: int, test: str) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return y and the classes' names; those of the series after the first `train` must be among them."""
    if target is None or found.labels is None:
        return None, ()
    frame, names = _values(found.labels, target), list(found.labels)
    if target == "class":
        labels.check_words(frame[names[0]], names[0])
    y, classes = labels.targets_of(frame, names, target)
    if target == "class" and len(new := np.setdiff1d(y[train:], y[:train])):
        raise DataError(f"{test} has a class {classes[new[0]]!r} in its test split that no training series has.")
    return y, classes


def _index(size: int, test: int, y: np.ndarray | None, classes: tuple[str, ...], groups: np.ndarray | None,
           learned: bool = True) -> dict[str, np.ndarray]:
    """Return the places of train, val and test, of which the last `test` are test."""
    given = {"test": np.arange(size - test, size)} if test else {}
    places = y if classes and y is not None else np.arange(size)
    return completed(given, np.arange(size - test), places, classes or None, groups, learned=learned)


def _cuts(asked: int | None, length: int) -> bool:
    """Return whether series lose what is longer than a model: if those of its training may have, and not if all of them
    were shorter than the length that was asked for."""
    return asked is not None and asked <= length


def _padded(found: Series, fill: str | None, length: int, cut: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return series as x (N, length, F) float32, and how many steps each loses at its end (N,).

    Args:
        found: the series.
        fill: "interpolate", or None to refuse missing values.
        length: their number of steps.
        cut: whether longer ones lose their end; else they are refused.
    """
    x = np.full((len(found.values), length, found.values[0].shape[1]), np.nan, "float32")
    lost = np.zeros(len(x), "int64")
    for row, (values, name) in enumerate(zip(found.values, found.names, strict=True)):
        if len(values) > length and not cut:
            raise DataError(f"{name} has {len(values)} steps, and the model takes {length} at most. Cut it, or train "
                            f"with data_args.length={length}, which cuts series.")
        with np.errstate(over="ignore"):  # what is too large is infinite, and refused
            whole = _whole(values.astype("float32"), name, fill)[:length]
        x[row, :len(whole)], lost[row] = whole, len(values) - len(whole)
    return x, lost


def _whole(values: np.ndarray, name: str, fill: str | None) -> np.ndarray:
    """Return a series (T, F) in which no value is missing."""
    if not len(values) or np.isnan(values).all(axis=0).any():
        raise DataError(f"{name} has no values{' in one of its dimensions' if values.shape[1] > 1 else ''}.")
    if np.isinf(values).any():
        raise DataError(f"{name} has a value at step {np.isinf(values).any(axis=1).argmax()} that is infinite, or too "
                        "large for float32.")
    missing = np.isnan(values)
    if not missing.any():
        return values
    if fill is None:
        raise DataError(f"{name} misses {missing.sum()} of {missing.size} values, first at step "
                        f"{missing.any(axis=1).argmax()}. Give data_args.fill=interpolate, or leave it out.")
    steps, filled = np.arange(len(values)), values.copy()
    for channel, gaps in enumerate(missing.T):
        filled[gaps, channel] = np.interp(steps[gaps], steps[~gaps], values[~gaps, channel])
    return filled


def _split(name: str, x: np.ndarray, lost: np.ndarray, y: np.ndarray | None, classes: tuple[str, ...],
           places: np.ndarray, reading: Mapping[str, Any], notes: list[str]) -> Split:
    """Return some of the series as a split, which remarks how many lose their end."""
    if cut := int((lost > 0).sum()):
        share = lost.sum() / (lost.sum() + (~np.isnan(x[..., 0])).sum())
        notes = [*notes, f"{cut:,} of the {len(x):,} series of {name} have more than length={x.shape[1]} steps and "
                         f"lose their end, {share:.1%} of all steps."]
    return Split(name, x, None if y is None else y[places], x.shape[1:], len(x), classes, kind=KIND,
                 checksum=zlib.crc32(np.ascontiguousarray(x).data), reading=reading, remarks=tuple(notes))


def _reading(args: Args) -> dict[str, Any]:
    """Return what a run has to know to read other series alike."""
    chosen = {key: getattr(args, key) for key in (*COLUMNS, "length", "fill")} | {"dialect": Dialect.of(args).changed()}
    return {"source": "series", **{key: value for key, value in chosen.items() if value not in (None, {})}}
