"""The runs below a folder as rows: what was trained, with which settings, and how it ended. It imports nothing heavy.

A thousand runs are read in well under a second, so recipes stay plain JSON here and are not validated.
"""

import hashlib
import json
import math
import operator
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kerasdl.errors import UserError, nearest
from kerasdl.text import moment
from kerasdl.words import parse_value

KNOWN = dict.fromkeys(("accuracy", "r2", "density", "coverage"), "max")  # of runs of 0.1, which did not note it
EARLIER = {"examples_per_second": "images_per_second"}  # key of result.json: its name in version 0.1
SPLITS = ("val", "test")
# The folders that the package makes in a run's. Some hold trainings that only the run's tools read.
OWN = ("audit", "checkpoint", "code", "compress", "explain", "export", "probe", "sections", "tensorboard")
SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge, "<=": operator.le, "!=": operator.ne, "=": operator.eq, ">": operator.gt, "<": operator.lt}
CONDITION = re.compile(r"\s*([\w./]+?)\s*(>=|<=|!=|==|=|>|<)\s*(.*\S)\s*")


@dataclass(frozen=True)
class Row:
    """A run as far as its JSON files tell.

    Attributes:
        path: its folder.
        recipe: the fields of recipe.json.
        result: the content of result.json; empty while the run is not finished.
    """

    path: Path
    recipe: dict[str, Any]
    result: dict[str, Any]

    @property
    def name(self) -> str:
        return self.recipe.get("name") or self.recipe.get("model", "")

    @cached_property
    def status(self) -> str:
        """Return "completed", "diverged", "unfinished" (running or interrupted), or "damaged": no readable result."""
        return self.result.get("status") or ("damaged" if (self.path / "result.json").exists() else "unfinished")

    @cached_property
    def when(self) -> str:
        """Return when the run was finished, or last wrote a file: "2026-11-28T13:59:03Z"."""
        files = (self.path / name for name in ("result.json", "metrics.csv", "recipe.json"))
        return self.result.get("finished") or moment(next(file.stat().st_mtime for file in files if file.exists()))

    @cached_property
    def epochs(self) -> int:
        """Return the number of epochs that are done."""
        if "epochs" in (train := self.result.get("train", {})):
            return train["epochs"]
        file = self.path / "metrics.csv"
        return max(0, file.read_bytes().count(b"\n") - 1) if file.is_file() else 0

    @property
    def monitor(self) -> str:
        """The score that chose the epoch. Version 0.1 did not note it, and an ensemble has chosen none."""
        scores = self.result.get("val") or self.result.get("test") or {}
        known = (name for name in ("accuracy", "r2", "loss") if name in scores)
        frechet = (name for name in scores if name.startswith("frechet"))
        return self.result.get("monitor") or next(frechet, None) or next(known, "loss")

    @property
    def speed(self) -> float | None:
        """Return the training's examples a second."""
        return fact(self.result.get("train", {}), "examples_per_second")

    def value(self, key: str) -> Any:
        """Return a fact, a score such as "val/accuracy", or a field of the recipe such as "lr" or "model_args.size".

        None if the run has no such thing.
        """
        if key in FACTS:
            return FACTS[key](self)
        split, slash, score = key.partition("/")
        if slash:
            part = self.result.get(split)
            return part.get(self.monitor if score == "monitor" else score) if isinstance(part, dict) else None
        head, _, leaf = key.partition(".")
        found = self.recipe.get(head)
        if not leaf:
            return found
        return found.get(leaf) if isinstance(found, dict) else None


def fact(train: Mapping[str, Any], key: str) -> Any:
    """Return a fact of "train" in result.json, also where a run of version 0.1 has it by another name."""
    return train.get(key, train.get(EARLIER.get(key, "")))


FACTS: dict[str, Callable[[Row], Any]] = {
    "run": lambda row: str(row.path), "recipe": lambda row: row.name, "status": lambda row: row.status,
    "finished": lambda row: row.when, "epochs_done": lambda row: row.epochs,
    "seconds": lambda row: row.result.get("train", {}).get("seconds"),
    "parameters": lambda row: row.result.get("parameters"), "best_epoch": lambda row: row.result.get("best_epoch")}


def find(folder: str | Path) -> list[Row]:
    """Return the runs in a folder and below, the newest last.

    Raises:
        UserError: there is no such folder.
    """
    if not Path(folder).is_dir():
        raise UserError(f"There is no folder {folder}. Runs are in runs/ unless --workdir said otherwise.")
    rows = [row for path in _folders(Path(folder)) if (row := read(path))]
    return sorted(rows, key=lambda row: (row.when, str(row.path)))


def siblings(folder: Path) -> list[Row]:
    """Return a run and those in the folders next to it that have a report, the newest last."""
    here = folder.resolve()
    try:
        names = [entry.name for entry in os.scandir(here.parent) if os.path.exists(f"{entry.path}/report.html")]
    except OSError:  # a folder that may be entered and not listed
        names = []
    rows = [row for name in {*names, here.name} if (row := read(here.parent / name))]
    return sorted(rows, key=lambda row: (row.when, row.path))


def read(path: Path) -> Row | None:
    """Return the row of a run's folder; None if its recipe is not readable."""
    try:
        recipe = json.loads((path / "recipe.json").read_bytes())
    except (OSError, ValueError):
        return None
    try:
        result = json.loads((path / "result.json").read_bytes())
    except (OSError, ValueError):
        result = {}
    return Row(path, recipe, result) if isinstance(recipe, dict) and isinstance(result, dict) else None


def where(rows: Sequence[Row], conditions: Sequence[str]) -> list[Row]:
    """Return the rows that meet all conditions, such as "recipe=vit_digits", "lr>0.001" or "val/accuracy>=0.9".

    A run without the value meets none of them but "!=" and "=null". A list has a value if it holds it.

    Raises:
        UserError: a condition that cannot be read, or a key that no run has.
    """
    for condition in conditions:
        found = CONDITION.fullmatch(condition)
        if not found:
            raise UserError(f"A condition is written KEY=VALUE, or with !=, <, <=, > or >=. Received: {condition!r}.")
        key, sign, text = found.groups()
        check_key(rows, key)
        met, wanted = SIGNS[sign.removeprefix("=") or "="], _plain(text)
        values = [value for row in rows if _has(value := row.value(key))]
        if isinstance(wanted, str) and values and all(type(value) in (int, float) for value in values):
            raise UserError(f"{key} is a number, and {condition!r} compares it with a text.")
        rows = [row for row in rows if _meets(row.value(key), met, wanted, text, sign)]
    return list(rows)


def ordered(rows: Sequence[Row], key: str) -> list[Row]:
    """Return rows by a key, the best score first, other numbers from small to large; those without it at the end.

    Args:
        key: as in Row.value; a minus in front of it turns the order round.

    Raises:
        UserError: a key that no run has.
    """
    turned, key = key.startswith("-"), key.removeprefix("-")
    check_key(rows, key)
    having = [row for row in rows if _has(row.value(key))]
    down = (direction(having, key) == "max") != turned
    having.sort(key=lambda row: _comparable(row.value(key)), reverse=down)
    return having + [row for row in rows if not _has(row.value(key))]


def best(rows: Sequence[Row], key: str | None = None) -> tuple[Row, str, int]:
    """Return the run with the best score, which score that is, and of how many completed runs.

    Args:
        key: a score; by default the validation score that chose the epoch.

    Raises:
        UserError: no run has it, or the runs cannot be compared: other data, or other scores.
    """
    done = [row for row in rows if row.status == "completed"]
    if not done:
        raise UserError("No run here is completed. See them with: kerasdl runs")
    for name, what in (("data", "data"), ("objective", "objectives")):
        found = sorted({str(row.recipe.get(name)) for row in done})
        split = (key or "val").partition("/")[0]
        if len(found) > 1 and not (same_file(done, split) if name == "data" else same_code(done)):
            raise UserError(f"The runs have different {what} ({', '.join(found)}), so their scores do not compare. "
                            f"Narrow them down: --where {name}={found[0]}")
    if key is None:  # an ensemble has chosen no epoch, and may have no scores on val
        done = [row for row in done if row.result.get("monitor") or row.result.get("val")] or done
        monitors = sorted({row.monitor for row in done})
        if len(monitors) > 1:
            raise UserError(f"The runs chose their epochs by different scores ({', '.join(monitors)}). "
                            f"Say which: --by val/{monitors[0]}")
        key = f"val/{monitors[0]}"
    if key.partition("/")[0] not in SPLITS:
        raise UserError(f"The best is chosen by a score, such as val/{done[0].monitor}. Received: {key!r}.")
    check_examples(done, key.partition("/")[0])
    first = ordered(done, key)[0]
    if not _has(first.value(key)):
        raise UserError(f"No completed run has {key}.")
    return first, key, len(done)


def check_examples(rows: Sequence[Row], split: str) -> None:
    """Raise a UserError if the runs were not all measured on the same examples of a split."""
    if len(found := by_examples(rows, split)) > 1:
        one, other = [str(row.path) for row in found][:2]
        raise UserError(f"The runs were measured on different {split} examples, those of {one} and {other} for one, "
                        "so their scores do not compare. Narrow them down, as with: --where recipe=NAME")


def by_examples(rows: Sequence[Row], split: str) -> list[Row]:
    """Return a run for each set of examples of a split that runs have: by their checksums, and where those that are
    noted agree and a run noted none, by the data that the recipes name."""
    sums = {checksums(row).get(split): row for row in rows}
    known = [row for noted, row in sums.items() if noted is not None]
    if None not in sums or len(known) > 1:
        return known
    return list({json.dumps([row.recipe.get("data"), row.recipe.get("data_args") or {}, row.recipe.get("splits") or {}],
                            sort_keys=True): row for row in rows}.values())


def same_file(rows: Sequence[Row], split: str) -> bool:
    """Return whether all runs read the same examples of a split from files, however the path was written.

    Of tensorflow-datasets the checksum is that of the labels, and a streamed split has its number of examples only.
    """
    sources = {str(row.recipe.get("data")).partition(":")[:2] for row in rows}
    sums = {str(checksums(row).get(split)) for row in rows}
    return len(sources) == len(sums) == 1 and all(colon for _, colon in sources) and all("-" in one for one in sums)


def same_code(rows: Sequence[Row]) -> bool:
    """Return whether all runs have the same copy of the user's own objective, wherever its file was."""
    found = set()
    for row in rows:
        name = str(row.recipe.get("objective")).rpartition("/")[2]
        found.add((name, own_code(row).get(name.partition(":")[0])))
    return len(found) == 1 and all(code for _, code in found)


def checksums(row: Row) -> dict[str, Any]:
    """Return the size and checksum of each split; {} for a run that did not note them."""
    try:
        return json.loads((row.path / "data.json").read_bytes()).get("examples", {})
    except (OSError, ValueError):
        return {}


def own_code(row: Row) -> dict[str, str]:
    """Return a short hash of each of the user's own files that the run keeps."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:8]
            for file in sorted((row.path / "code").glob("*.py"))}


def direction(rows: Sequence[Row], key: str) -> str:
    """Return whether "max" or "min" is better; of what is no score, "min"."""
    split, slash, score = key.partition("/")
    if not slash:
        return "min"
    if score == "monitor":
        score = rows[0].monitor if rows else score
    known = {**KNOWN, **{name: goal for row in rows for name, goal in row.result.get("better", {}).items()}}
    return known.get(score) or known.get(score.partition("_")[0], "min")  # of frechet_cnn_digits the first word


def check_key(rows: Sequence[Row], key: str) -> None:
    """Raise a UserError if no run has such a value, with the nearest one that some run has."""
    if not rows or key in FACTS or any(_has(row.value(key)) for row in rows):
        return
    known = {*FACTS, *(field for row in rows for field in row.recipe)}
    known |= {f"{split}/{score}" for row in rows for split in SPLITS for score in row.result.get(split, {})}
    known |= {f"{field}.{part}" for row in rows for field, value in row.recipe.items() if isinstance(value, dict)
              for part in value}
    if key not in known:
        raise UserError(f"No run here has {key!r}. {nearest(key, sorted(known))}")


def _folders(folder: Path, seen: set[str] | None = None) -> Iterator[Path]:
    """The folders that hold a recipe.json, each once, whatever links lead to it; in a run, all but those in OWN."""
    seen = set() if seen is None else seen
    if (place := os.path.realpath(folder)) in seen:
        return
    seen.add(place)
    own = OWN if os.path.isfile(folder / "recipe.json") else ()  # () also in a folder that is somebody else's
    if own:
        yield folder
    try:
        inner = sorted((entry.is_symlink(), entry.name) for entry in os.scandir(folder) if os.path.isdir(entry.path))
    except OSError:  # somebody else's
        return
    for _, name in inner:  # a folder before the links to it
        if not name.startswith(".") and name not in own:
            yield from _folders(folder / name, seen)


def _plain(text: str) -> Any:
    """Return a value as a recipe's file has it: .001 is a number, and () a list."""
    value = parse_value(text)
    return list(value) if isinstance(value, tuple) else value


def _has(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _meets(value: Any, met: Callable[[Any, Any], bool], wanted: Any, text: str, sign: str) -> bool:
    if wanted is None:
        return sign in ("=", "==", "!=") and _has(value) == (sign == "!=")
    if not _has(value):
        return sign == "!="
    if isinstance(value, str):  # a data set that is called 7, a date
        return met(value, text)
    if isinstance(value, (list, dict)):
        same = wanted == value or isinstance(value, list) and (text in value or text.split(",") == value)
        return same == (sign != "!=") if sign in ("=", "==", "!=") else False
    try:
        return met(value, wanted)
    except TypeError:
        return sign == "!="


def _comparable(value: Any) -> tuple[bool, Any]:
    number = isinstance(value, (int, float))
    return (number, value if number else str(value))
