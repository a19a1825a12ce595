"""Where examples come from. A source is one file of this folder: `csv:PATH` is read by csv.py.

A source's module has

- `read(path, *, target, ...) -> {"train": Split, "val": Split, "test": Split}`, whose keyword arguments are what
  `data_args` takes, or, where these are many, `Args`, a class of settings that lists them. It raises DataError;
- `look(path, *, target, ...)`, if it can find mistakes without reading the data: in a moment, without TensorFlow, and
  nothing that `read` accepts;

and, for what evaluation and prediction ask of data that a model was not trained on, as far as it can:

- `read_for(facts, path, split, /, *, target, ...) -> Split`, where `facts` is the run's data.json;
- `KIND`, the kind of its examples, or `kind_of(args)` where that depends on `data_args`;
- `look_for(facts, path, *, target, ...)`, which is to `read_for` what `look` is to `read`;
- `read_files(files, facts, reading)`, an iterator of kerasdl.data.chunks.Chunk, with `EXTENSIONS`, the endings of its
  files, and `NOUNS`, words for what is in them, for one file and for several.

A name without such a prefix is a data set of tensorflow-datasets.
"""

import inspect
import pkgutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from kerasdl.data import subset
from kerasdl.data.spec import Target, recorded_kind
from kerasdl.data.split import Split
from kerasdl.errors import DataError, nearest
from kerasdl.unimported import function

WITHOUT_PATH = ("arrays", "digits", "tfds")  # modules of this folder that no `prefix:PATH` names
OWN = ("target", "splits")  # arguments of `read` that load_splits gives
OF_ALL = ("classes", "per_class", "per_class_seed")  # data_args of every source with classes, which load_splits takes


def prefixes() -> list[str]:
    """Return the names of the sources that read a path."""
    return [module.name for module in pkgutil.iter_modules(__path__) if module.name not in WITHOUT_PATH]


def modules() -> dict[str, ModuleType]:
    """Return the sources that read a path, by their prefix."""
    return {prefix: import_module(f"{__name__}.{prefix}") for prefix in prefixes()}


def find(name: str) -> tuple[ModuleType, str]:
    """Return the module that reads a data set, and what it reads: a path, or a name of tensorflow-datasets.

    Raises:
        DataError: a path with a prefix that no source has.
    """
    source, path = place(name)
    return import_module(f"{__name__}.{source}"), path


def place(name: str) -> tuple[str, str]:
    """Return the name of the source that reads a data set, and what it reads; see `find`. Imports no source."""
    prefix, colon, path = name.partition(":")
    if colon and prefix in (known := prefixes()):
        return prefix, path
    if colon and Path(path).exists():
        raise DataError(f"There is no source of data {prefix!r} to read {path}. {nearest(prefix, known)}")
    there = Path(name)
    if not colon and (there.suffix == ".csv" or there.exists() and "/" in name):
        kind = "folder" if there.is_dir() else "csv"
        raise DataError(f"Write data={kind}:{name}. A name without a colon is a data set of tensorflow-datasets.")
    return "tfds", name


def look(name: str, *, target: Target | None = None, **args: Any) -> None:
    """Find mistakes in what `load` is to read, without TensorFlow and without reading more than a header.

    Args:
        name, **args: as in `load`.
        target: as in `load`; None also where it is not known yet.

    Raises:
        DataError: as `load` does; nothing that `load` accepts.
    """
    source, path = place(name)
    if source == "tfds":
        _check_args(name, _takes(function(Path(__file__).with_name("tfds.py"), "read")), args)
        return
    module = import_module(f"{__name__}.{source}")
    _check_args(name, _keywords(module, module.read), args)
    if hasattr(module, "look"):
        module.look(path, target=target, **{key: args[key] for key in args if key not in OF_ALL})


def look_for(facts: Mapping[str, Any], name: str, *, target: Target | None = None, **args: Any) -> None:
    """Find mistakes in what `load_for` is to read, as `look` does.

    Raises:
        DataError: as `load_for` does; nothing that `load_for` accepts.
    """
    source, path = place(name)
    _check_kind(source, name, recorded_kind(facts), args)
    module = None if source == "tfds" else import_module(f"{__name__}.{source}")
    if module and hasattr(module, "look_for"):
        known = _keywords(module, module.read_for)
        module.look_for(facts, path, target=target, **{key: args[key] for key in args if key in known})


def load(name: str, split: str = "train", *, target: Target | None = "class", **args: Any) -> Split:
    """Return one split of a data set.

    Args:
        name: "digits" (embedded), a tensorflow-datasets name such as "mnist", "csv:PATH" or "folder:PATH".
        split: "train", "val" or "test", which never overlap: where a set has no validation part, "val" is the last
            tenth of train and "train" the rest; never a part of test. Any tfds expression, such as "train[:50%]" or
            "train+test", is taken literally, so that "train[:]" is the whole of it. Of a path, "train+val" is both.
        target: "class", "labels" for several labels an example, "number" for regression (both of tables only), or None
            where no labels are needed: then a folder needs no class folders and a CSV no label column. Labels that are
            there all the same are kept, but for a CSV, whose label column may be either.
        **args: For tfds and folders: `image_size=(H, W)`. For CSV: `label=COLUMN`, `fill="median"`,
            `drop=[COLUMN, ...]`, `test=PATH`. For all with classes: `classes=[NAME, ...]` leaves the others out of
            every split, and `per_class=N` takes the first N of each, or, with `per_class_seed=SEED`, N that are drawn;
            in a recipe, of its training split.

    Raises:
        DataError: for an unknown name or split, files that are not there, and whatever is wrong inside them.
    """
    count, seed = args.pop("per_class", None), args.pop("per_class_seed", None)
    found = load_splits(name, {split: split}, target=target, **args)[split]
    return found if count is None else subset.per_class(found, count, seed)


def load_splits(name: str, splits: Mapping[str, str], *, target: Target | None = "class",
                classes: Sequence[str] | str | None = None, per_class: int | None = None,
                per_class_seed: int | None = None, **args: Any) -> dict[str, Split]:
    """Return several splits at once: `splits` maps the names that you want to split expressions. See load."""
    if target not in (*get_args(Target), None):
        raise DataError(f"target is 'class', 'labels', 'number', 'tags' or None. Received: {target!r}.")
    found = _whole(name, splits, target, args)
    if classes is not None:
        found = {want: subset.of_classes(split, classes) for want, split in found.items()}
    if per_class is not None and "train" in found:
        found["train"] = subset.per_class(found["train"], per_class, per_class_seed)
    return found


def load_for(facts: Mapping[str, Any], name: str, split: str, /, *, target: Target | None, **args: Any) -> Split:
    """Return a split of a data set that a model was not trained on.

    Args:
        facts: of the run, its data.json.
        name: as in `load`.
        split: "train", "val", "test", or "all" of a path.
        target: as in `load`.
        **args: the data_args of the run's recipe but those for training, per_class and per_class_seed.

    Raises:
        DataError: as `load`, and for data of another kind, columns or classes that the model does not know.
    """
    source, path = find(name)
    _check_kind(place(name)[0], name, recorded_kind(facts), args)
    if not hasattr(source, "read_for"):
        return load_splits(name, {split: split}, target=target, **args)[split]
    known = _keywords(source, source.read_for)
    return source.read_for(facts, path, split, target=target, **{key: args[key] for key in args if key in known})


def _check_kind(source: str, name: str, kind: str, args: Mapping[str, Any]) -> None:
    """Raise a DataError for a source whose examples are of another kind than a model takes."""
    if source == "tfds":  # which is not imported for this
        found = "image"
    else:
        module = import_module(f"{__name__}.{source}")
        found = module.kind_of(args) if hasattr(module, "kind_of") else getattr(module, "KIND", kind)
    if found != kind:
        known = [f"{prefix}:PATH" for prefix, other in modules().items() if getattr(other, "KIND", None) == kind]
        such = f", such as {' or '.join(known)}" if known else ""
        raise DataError(f"The model takes {kind} data{such}. Received: {name}.")


def _whole(name: str, splits: Mapping[str, str], target: Target | None, args: dict[str, Any]) -> dict[str, Split]:
    """Return all examples of the splits."""
    source, path = find(name)
    known = _keywords(source, source.read)
    _check_args(name, known, args)
    if "splits" in known:
        return source.read(path, splits=splits, target=target, **args)
    parts = source.read(path, target=target, **args)
    for expression in splits.values():
        if not set(expression.split("+")) <= set(parts):
            raise DataError(f"{name} has the splits {', '.join(parts)}. Received: {expression!r}.")
    for one, other in combinations(splits, 2):
        shared = set(splits[one].split("+")) & set(splits[other].split("+"))
        if shared and {one, other} != {"train", "val"}:  # a last training may learn from both
            raise DataError(f"The splits {one} ({splits[one]}) and {other} ({splits[other]}) share the examples of "
                            f"{min(shared)}. Set splits.{one} and splits.{other} to parts that do not overlap.")
    return {want: subset.joined([parts[part] for part in expression.split("+")])
            for want, expression in splits.items()}


def _check_args(name: str, known: Sequence[str], args: Mapping[str, Any]) -> None:
    """Raise a DataError for a data argument that is not among those known."""
    accepted = [key for key in dict.fromkeys((*known, *OF_ALL)) if key not in OWN]
    for key in args:
        if key not in accepted:
            raise DataError(f"{name} takes no data argument {key!r}. {nearest(key, accepted)}")


def _keywords(source: ModuleType, function: Any) -> list[str]:
    """Return the keyword arguments that a function of a source takes."""
    many = any(parameter.kind is parameter.VAR_KEYWORD for parameter in inspect.signature(function).parameters.values())
    return [*_takes(function), *(source.Args.model_fields if many else ())]


def _takes(function: Any) -> list[str]:
    parameters = inspect.signature(function).parameters
    return [key for key, parameter in parameters.items() if parameter.kind is parameter.KEYWORD_ONLY]
