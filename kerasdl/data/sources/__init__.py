"""Where examples come from. A source is one file of this folder: `csv:PATH` is read by csv.py.

A source's module has

- `read(path, *, target, ...) -> {"train": Split, "val": Split, "test": Split}`, whose keyword arguments are what
  `data_args` takes, or, where these are many, `Args`, a class of settings that lists them. It raises DataError.

and, for what evaluation and prediction ask of data that a model was not trained on, as far as it can:

- `read_for(facts, path, split, *, target, ...) -> Split`, where `facts` is the run's data.json;
- `KIND`, the kind of its examples, or `KINDS` where it has several;
- `read_files(files, facts, resize) -> (names, examples)`, with `EXTENSIONS`, the endings of its files, and `NOUNS`,
  words for what is in them, for one file and for several.

A name without such a prefix is a data set of tensorflow-datasets.
"""

import inspect
import pkgutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import numpy as np

from kerasdl.data import subset
from kerasdl.data.spec import Target, recorded_kind
from kerasdl.data.split import Split
from kerasdl.errors import DataError, nearest

WITHOUT_PATH = ("arrays", "digits", "tfds")  # modules of this folder that no `prefix:PATH` names
OWN = ("target", "splits")  # arguments of `read` that load_splits gives


def prefixes() -> list[str]:
    """Return the names of the sources that read a path."""
    return [module.name for module in pkgutil.iter_modules(__path__) if module.name not in WITHOUT_PATH]


def _all() -> dict[str, ModuleType]:
    return {prefix: import_module(f"{__name__}.{prefix}") for prefix in prefixes()}


def find(name: str) -> tuple[ModuleType, str]:
    """Return the module that reads a data set, and what it reads: a path, or a name of tensorflow-datasets.

    Raises:
        DataError: a path with a prefix that no source has.
    """
    prefix, colon, path = name.partition(":")
    if colon and prefix in (known := prefixes()):
        return import_module(f"{__name__}.{prefix}"), path
    if colon and Path(path).exists():
        raise DataError(f"There is no source of data {prefix!r} to read {path}. {nearest(prefix, known)}")
    there = Path(name)
    if not colon and (there.suffix == ".csv" or there.exists() and "/" in name):
        kind = "folder" if there.is_dir() else "csv"
        raise DataError(f"Write data={kind}:{name}. A name without a colon is a data set of tensorflow-datasets.")
    return import_module(f"{__name__}.tfds"), name


def load(name: str, split: str = "train", *, target: Target | None = "class", **args: Any) -> Split:
    """Return one split of a data set.

    Args:
        name: "digits" (embedded), a tensorflow-datasets name such as "mnist", "csv:PATH" or "folder:PATH".
        split: "train", "val" or "test", which never overlap: where a set has no validation part, "val" is the last
            tenth of train and "train" the rest; never a part of test. Any tfds expression, such as "train[:50%]" or
            "train+test", is taken literally, so that "train[:]" is the whole of it.
        target: "class", "labels" for several labels an example, "number" for regression (both of tables only), or None
            where no labels are needed: then a folder needs no class folders and a CSV no label column. Labels that are
            there all the same are kept, but for a CSV, whose label column may be either.
        **args: For tfds and folders: `image_size=(H, W)`. For CSV: `label=COLUMN`, `fill="median"`,
            `drop=[COLUMN, ...]`, `test=PATH`. For all with classes: `classes=[NAME, ...]` leaves the others out of
            every split, and `per_class=N` takes the first N of each; in a recipe, of its training split.

    Raises:
        DataError: for an unknown name or split, files that are not there, and whatever is wrong inside them.
    """
    count = args.pop("per_class", None)
    found = load_splits(name, {split: split}, target=target, **args)[split]
    return found if count is None else subset.per_class(found, count)


def load_splits(name: str, splits: Mapping[str, str], *, target: Target | None = "class",
                classes: Sequence[str] | str | None = None, per_class: int | None = None, **args: Any
                ) -> dict[str, Split]:
    """Return several splits at once: `splits` maps the names that you want to split expressions. See load."""
    if target not in (*get_args(Target), None):
        raise DataError(f"target is 'class', 'labels', 'number' or None. Received: {target!r}.")
    found = _whole(name, splits, target, args)
    if classes is not None:
        found = {want: subset.of_classes(split, classes) for want, split in found.items()}
    if per_class is not None and "train" in found:
        found["train"] = subset.per_class(found["train"], per_class)
    return found


def load_for(facts: Mapping[str, Any], name: str, split: str, *, target: Target | None, **args: Any) -> Split:
    """Return a split of a data set that a model was not trained on.

    Args:
        facts: of the run, its data.json.
        name: as in `load`.
        split: "train", "val", "test", or "all" of a path.
        target: as in `load`.
        **args: the data_args of the run's recipe but per_class, which is for training.

    Raises:
        DataError: as `load`, and for data of another kind, columns or classes that the model does not know.
    """
    source, path = find(name)
    kind = recorded_kind(facts)
    if kind not in getattr(source, "KINDS", (getattr(source, "KIND", kind),)):
        known = [f"{prefix}:PATH" for prefix, other in _all().items() if getattr(other, "KIND", None) == kind]
        such = f", such as {' or '.join(known)}" if known else ""
        raise DataError(f"The model takes {kind} data{such}. Received: {name}.")
    if not hasattr(source, "read_for"):
        return load_splits(name, {split: split}, target=target, **args)[split]
    known = _keywords(source, source.read_for)
    return source.read_for(facts, path, split, target=target, **{key: args[key] for key in args if key in known})


def read_files(files: Sequence[Path], facts: Mapping[str, Any], resize: bool = False) -> tuple[list[str], np.ndarray]:
    """Return the names and the examples of files that a model is asked about.

    Args:
        files: image files, CSV files ..., all for the model's kind of example.
        facts: of the run, its data.json.
        resize: resize images of another size to the model's.

    Returns:
        A name for each example, the file's or FILE:LINE, and the examples (N, ...).

    Raises:
        DataError: no files, one that is missing, broken or of another kind than the model takes.
    """
    kind = recorded_kind(facts)
    reading = [source for source in _all().values() if hasattr(source, "read_files")]
    own = next((source for source in reading if source.KIND == kind), None)
    if own is None:
        raise DataError(f"No files are read for a model of {kind} data. Use run.model().predict(x).")
    if not files:
        raise DataError(f"No files to predict. Give {own.NOUNS[2]}.")
    for file in files:
        if file.is_dir():
            raise DataError(f"{file} is a folder. Name the files in it, as with {file}/*.")
        if not file.is_file():
            raise DataError(f"There is no file {str(file)!r}.")
        ending = file.suffix.lower()
        other = next((source for source in reading if source is not own and ending in source.EXTENSIONS), None)
        if other and ending not in own.EXTENSIONS:
            raise DataError(f"The model takes {own.NOUNS[0]}, and {file} is {other.NOUNS[1]}.")
    return own.read_files(files, facts, resize)


def _whole(name: str, splits: Mapping[str, str], target: Target | None, args: dict[str, Any]) -> dict[str, Split]:
    """Return all examples of the splits."""
    source, path = find(name)
    known = _keywords(source, source.read)
    for key in args:
        if key not in known or key in OWN:
            accepted = [*(key for key in known if key not in OWN), "classes", "per_class"]
            raise DataError(f"{name} takes no data argument {key!r}. {nearest(key, accepted)}")
    if "splits" in known:
        return source.read(path, splits=splits, target=target, **args)
    parts = source.read(path, target=target, **args)
    for expression in splits.values():
        if expression not in parts:
            raise DataError(f"{name} has the splits {', '.join(parts)}. Received: {expression!r}.")
    return {want: parts[expression] for want, expression in splits.items()}


def _keywords(source: ModuleType, function: Any) -> list[str]:
    """Return the keyword arguments that a function of a source takes."""
    parameters = inspect.signature(function).parameters
    listed = [key for key, parameter in parameters.items() if parameter.kind is parameter.KEYWORD_ONLY]
    many = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return [*listed, *source.Args.model_fields] if many else listed
