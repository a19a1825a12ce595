"""What a user asks of `kerasdl auto`: which data, what to learn, how long, how large. Imports nothing heavy."""

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kerasdl.data import images, layout, sounds, sources
from kerasdl.data.table_text import JSON_LINES, ending
from kerasdl.errors import UserError, listed
from kerasdl.recipe import Recipe
from kerasdl.text import typed

OBJECTIVES = {"classify": "class", "regress": "number"}  # that a model can be chosen for, and their targets
SETTABLE = ("data_args", "splits", "objective_args", "monitor")  # fields that a user may set: the others are searched
TABLES = (".csv", ".parquet", ".pq", ".xlsx", ".xlsm", ".xls", ".ods")
SAID = {".tsv": ("csv", "series"), ".npz": ("series",), ".npy": ("series",), ".txt": ("text",)}  # not unmistakable
LOOKS = 200  # files of a folder that are looked at
PROGRESS = "progress.json"  # of a folder: what was asked, and what is finished
FREE = ("minutes", "max_kb")  # what may differ when an interrupted search is resumed


@dataclass(frozen=True)
class Asked:
    """What is asked for.

    Attributes:
        data: as a recipe's `data`.
        objective: a key of OBJECTIVES.
        overrides: "KEY=VALUE" of the fields SETTABLE.
        minutes: how long everything may take.
        max_kb: how large an 8-bit file of the model may be, in kilobytes of 1,000 bytes; None: any size.
        seed: of every training.
    """

    data: str
    objective: str = "classify"
    overrides: tuple[str, ...] = ()
    minutes: float = 10.0
    max_kb: float | None = None
    seed: int = 0

    @property
    def base(self) -> Recipe:
        """The recipe of which every candidate has the data, the splits and the score that chooses."""
        monitor = "r2" if self.objective == "regress" else ""
        plain = Recipe(model="linear", data=self.data, objective=self.objective, seed=self.seed, monitor=monitor)
        return plain.override(*self.overrides)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON, which `Asked(**plain)` takes."""
        return asdict(self)

    def check_continues(self, before: "Asked", folder: Path) -> None:
        """Raise a UserError that names what differs from what a folder was begun with."""
        old, new = before.to_json(), self.to_json()
        differ = [key for key in new if old[key] != new[key] and key not in FREE]
        if changed := [f"{key} {old[key]!r} -> {new[key]!r}" for key in differ]:
            raise UserError(f"{folder} was begun otherwise: {', '.join(changed)}. Resume it as it was, or choose "
                            "another --workdir.")


def asked(data: str, overrides: Sequence[str] = (), *, objective: str | None = None, minutes: str | float = 10.0,
          max_kb: str | float | None = None, seed: int = 0) -> Asked:
    """Return what is asked for, checked without TensorFlow.

    Args:
        data: as a recipe's `data`, or a path whose kind is unmistakable.
        overrides: "KEY=VALUE" of the fields SETTABLE, such as data_args.label=COLUMN.
        objective: a key of OBJECTIVES; None: what the labels say, where they do.
        minutes, max_kb, seed: as in Asked.

    Raises:
        UserError: a limit that is no number, a path of no known kind, data that is not there, or a label column of
            whole numbers without an objective.
    """
    limits = number("--minutes", minutes, "minutes", "10"), None if max_kb is None else \
        number("--max-kb", max_kb, "kilobytes", "96")
    keys = [pair.partition("=")[0].strip() for pair in overrides]
    for key in keys:
        if key.partition(".")[0] not in SETTABLE:
            hint = "Write --objective regress." if key == "objective" else \
                f"It is searched, or an option. To choose it yourself: kerasdl train. Here: {', '.join(SETTABLE)}."
            raise UserError(f"kerasdl auto takes no setting {key!r}. {hint}")
    if objective is not None and objective not in OBJECTIVES:
        raise UserError(f"--objective is {' or '.join(OBJECTIVES)}. Received: {objective!r}.")
    name = located(data, keys)
    found = Asked(name, objective or "classify", tuple(overrides), limits[0], limits[1], seed)
    args = found.base.data_args
    sources.look(name, target=None if objective is None else OBJECTIVES[objective], **args)  # type: ignore[arg-type]
    if objective is None and (kind := by_labels(name, args)) != "classify":
        found = Asked(name, kind, *(getattr(found, key) for key in ("overrides", "minutes", "max_kb", "seed")))
    return found


def number(option: str, given: str | float, unit: str, example: str) -> float:
    """Return a limit as a number.

    Raises:
        UserError: it is none, or not above 0.
    """
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UserError(f"{option} is a number of {unit} above 0, such as {option} {example}. Received: {given!r}.")
    return value


def located(data: str, keys: Iterable[str] = ()) -> str:
    """Return what a recipe's `data` is for a name or a path.

    Args:
        data: as it was typed.
        keys: of the overrides: those of texts and series say that a table is no table of columns.

    Raises:
        UserError: a path that could be of several kinds: the line says what to write.
    """
    path = Path(data).expanduser()
    prefix, colon, _ = data.partition(":")
    if colon and prefix in sources.prefixes() or not path.exists() and not path.suffix and os.sep not in data:
        return data  # with its kind in front, or a name of tensorflow-datasets
    if not path.exists():
        raise UserError(f"There is no file or folder {data!r}. A table is PATH.csv; images are a folder with a folder "
                        "for each class.")
    kinds = of_folder(path) if path.is_dir() else of_file(path, set(keys))
    if len(kinds) == 1 and path.suffix.lower() not in SAID:
        return f"{kinds[0]}:{data}"
    ways = " or ".join(f"{kind}:{typed(data)}" for kind in kinds) if kinds else \
        "csv:, folder:, text:, series: or audio: before it"
    raise UserError(f"{data} does not say by itself what it holds. Write {ways}.")


def of_file(path: Path, keys: set[str]) -> tuple[str, ...]:
    """Return the sources that may read a file."""
    if (suffix := ending(path)) in TABLES:
        others = [kind for kind, own in (("text", {"data_args.text"}), ("series", {"data_args.id", "data_args.value"}))
                  if own & keys]
        return tuple(others) + ("csv",) if others else ("csv",)
    return {".ts": ("series",), **dict.fromkeys(JSON_LINES, ("text",)), **SAID}.get(suffix, ())


def of_folder(path: Path) -> tuple[str, ...]:
    """Return the sources that may read a folder, by the endings of its first files."""
    endings = {file.suffix.lower() for _, file in zip(range(LOOKS), layout.walk(path), strict=False)}
    kinds = {"folder": set(images.EXTENSIONS), "text": {".txt"}, "audio": {sounds.ENDING}, "series": {".ts", ".tsv"}}
    return tuple(kind for kind, own in kinds.items() if endings & own)


def by_labels(name: str, args: dict[str, Any]) -> str:
    """Return the objective that the labels of a table ask for: text and booleans are classes, and numbers with decimals
    numbers.

    Raises:
        UserError: whole numbers, which may be either, or no label column.
    """
    source, path = sources.place(name)
    if source not in ("csv", "text", "series") or ending(path) not in (*TABLES, *JSON_LINES, ".tsv"):
        return "classify"
    if source == "series" and ending(path) == ".tsv":  # UCR's, whose first column is a class
        return "classify"
    from kerasdl.data.labels import label_columns
    from kerasdl.data.table_file import Dialect, is_numeric, read_table

    label = args.get("label")
    if ending(path) in JSON_LINES:
        from kerasdl.data.sources import text

        frame = text.table_of(path, text.Args(**{key: args[key] for key in args if key in text.Args.model_fields}))
    else:
        read = Dialect(**{key: value for key, value in args.items() if key in Dialect.model_fields})
        frame = read_table(path, (), read, lambda name: label is None or name not in listed(label, [name]))
    names = label_columns(frame, label, path)
    values = frame[names[0]].dropna()
    if len(names) == 1 and (values.dtype == bool or not is_numeric(values)):
        return "classify"
    if is_numeric(values) and (values % 1 != 0).any():
        return "regress"
    several = f"{', '.join(names)} are" if len(names) > 1 else f"{names[0]!r} holds {values.nunique()} different"
    raise UserError(f"{several} whole numbers. Are they classes, or a number to predict? Say which: --objective "
                    "classify or --objective regress.")


def progress(home: Path) -> dict[str, Any]:
    """Return what progress.json of a folder holds; {} without one."""
    try:
        return json.loads((home / PROGRESS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def resumed(folder: str | Path) -> Asked:
    """Return what an interrupted search was asked.

    Raises:
        UserError: the folder holds none.
    """
    found = progress(Path(folder)).get("asked")
    if found is None:
        raise UserError(f"{folder} holds no interrupted search: it has no {PROGRESS}. Start one: kerasdl auto DATA")
    return of_json(found)


def of_json(plain: dict[str, Any]) -> Asked:
    """Return what `Asked.to_json` gave."""
    return Asked(**{**plain, "overrides": tuple(plain["overrides"])})
