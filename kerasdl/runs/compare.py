"""What differs between runs: settings next to scores, and runs that differ in their seed alone as one column."""

import hashlib
import json
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasdl.errors import UserError
from kerasdl.runs.find import Row, checksums, direction, find
from kerasdl.text import duration, figure, thousands

UNCOMPARED = ("name", "seed", "claim")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Group:
    """Runs of one recipe that differ in their seed alone.

    Attributes:
        title: of its column: "A".
        rows: its runs, by seed, one for each.
        repeated: runs of seeds of which there is a newer one; the same seed gives the same numbers.
    """

    title: str
    rows: list[Row]
    repeated: list[Row]

    @property
    def name(self) -> str:
        return self.rows[0].name

    @property
    def seeds(self) -> str:
        return ", ".join(str(row.recipe.get("seed", 0)) for row in self.rows)

    def scores(self, key: str) -> list[float]:
        """Return the score of each run that has it."""
        return [value for row in self.rows if isinstance(value := row.value(key), (int, float))]


@dataclass(frozen=True)
class Line:
    """A line of the comparison: a setting that differs, a score, or a fact.

    Attributes:
        key: as in Row.value.
        texts: one for each group; "" where it has no such value.
        best: the index of the group with the best mean; None if the line has no direction or the best are equal.
        changes: for each group, the difference of its mean from the first group's; "" for what is no score.
    """

    key: str
    texts: list[str]
    best: int | None = None
    changes: list[str] | None = None


@dataclass(frozen=True)
class Comparison:
    """Groups of runs, and the lines in which they are compared."""

    groups: list[Group]
    settings: list[Line]
    scores: list[Line]
    facts: list[Line]
    remarks: list[str]


def compare(folders: Sequence[str | Path]) -> Comparison:
    """Compare runs, or all runs below a folder.

    Raises:
        UserError: fewer than two runs, a folder without any, or one that is not there.
    """
    rows: dict[Path, Row] = {}
    for folder in folders:
        found = find(folder)
        if not found:
            raise UserError(f"{folder} holds no run. Make one with: kerasdl train RECIPE --workdir {folder}")
        rows |= {row.path.resolve(): row for row in found}
    if len(rows) < 2:
        raise UserError("A comparison takes two different runs or more. Name their folders, or a folder with them.")
    groups, remarks = grouped(list(rows.values())), []
    remarks += [f"Seed {row.recipe.get('seed', 0)} of column {group.title} is there more than once. Left out: "
                f"{row.path}" for group in groups for row in group.repeated]
    comparable: tuple[str, ...] = ("val", "test")
    if different_examples(groups, "val"):
        comparable = ()
        remarks.append("The runs have different data, so their scores do not compare.")
    elif different_examples(groups, "test"):
        comparable = ("val",)
        remarks.append("The runs have different test examples, so those scores do not compare.")
    return Comparison(groups, settings(groups), scores(groups, comparable), facts(groups), remarks)


def different_examples(groups: Sequence[Group], split: str) -> bool:
    """Return whether the examples of a split are not the same in all groups: by their checksums, or where a run has
    none by the name of the data."""
    sums = {checksums(group.rows[0]).get(split) for group in groups}
    return len(sums if None not in sums else {group.rows[0].recipe.get("data") for group in groups}) > 1


def grouped(rows: Sequence[Row]) -> list[Group]:
    """Return runs by recipe, in the order in which they came, and by seed within a group."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        key = json.dumps([{name: value for name, value in row.recipe.items() if name not in UNCOMPARED},
                          checksums(row), own_code(row), "calibrated" in row.result], sort_keys=True)
        found.setdefault(key, []).append(row)
    if len(found) > len(LETTERS):
        raise UserError(f"These are {len(found)} different recipes, and a table shows {len(LETTERS)} at most. "
                        "Choose some with: kerasdl runs --where KEY=VALUE")
    return [group_of(letter, rows) for letter, rows in zip(LETTERS, found.values(), strict=False)]


def group_of(title: str, rows: Sequence[Row]) -> Group:
    """Return the group of runs of one recipe, with the newest of each seed."""
    newest: dict[int, Row] = {}
    for row in sorted(rows, key=lambda row: (bool(row.result), row.when)):
        newest[row.recipe.get("seed", 0)] = row
    kept = [newest[seed] for seed in sorted(newest)]
    return Group(title, kept, [row for row in rows if row not in kept])


def own_code(row: Row) -> dict[str, str]:
    """Return a short hash of each of the user's own files that the run keeps."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:8]
            for file in sorted((row.path / "code").glob("*.py"))}


def settings(groups: Sequence[Group]) -> list[Line]:
    """Return the fields, and parts of fields, in which the recipes differ."""
    flat = [flattened(group.rows[0].recipe) for group in groups]
    keys = list(dict.fromkeys(key for fields in flat for key in fields))
    lines = [Line(key, [shown(fields[key]) if key in fields else "" for fields in flat]) for key in keys
             if len({json.dumps(fields.get(key)) for fields in flat}) > 1]
    sums = [checksums(group.rows[0]) for group in groups]
    for split in ("train", "val", "test"):
        if len({each.get(split) for each in sums}) > 1:
            lines.append(Line(f"{split} examples", [each.get(split, "") for each in sums]))
    codes = [own_code(group.rows[0]) for group in groups]
    for name in sorted({name for code in codes for name in code}):
        if len({code.get(name) for code in codes}) > 1:
            lines.append(Line(f"code/{name}", [code.get(name, "") for code in codes]))
    return lines


def flattened(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe's fields with those that are dictionaries taken apart: {"model_args.size": "S"}."""
    fields: dict[str, Any] = {}
    for key, value in recipe.items():
        if key not in UNCOMPARED:
            fields |= {f"{key}.{part}": inner for part, inner in value.items()} if isinstance(value, dict) \
                else {key: value}
    return fields


def shown(value: Any) -> str:
    """Return a setting as one types it, without quotes."""
    return "null" if value is None else value if isinstance(value, str) else json.dumps(value)


def scores(groups: Sequence[Group], comparable: Collection[str] = ("val", "test")) -> list[Line]:
    """Return a line for each score on val and test: mean and deviation over seeds, and the differences.

    The best is marked on val alone, which is there to choose by. A split that is not `comparable` has neither.
    """
    rows = [row for group in groups for row in group.rows]
    lines = []
    for split in ("val", "test"):
        names = dict.fromkeys(name for row in rows for name in row.result.get(split, {}))
        for name in sorted(names, key=lambda name: name == "loss"):
            key = f"{split}/{name}"
            values = [group.scores(key) for group in groups]
            means = [statistics.mean(each) if each else None for each in values]
            having = [mean for mean in means if mean is not None]
            best = (max if direction(rows, key) == "max" else min)(having)
            marked = split in comparable and split == "val" and having.count(best) == 1 and len(having) > 1
            changes = [difference(mean, means[0]) if i and split in comparable else "" for i, mean in enumerate(means)]
            lines.append(Line(key, [mean_and_deviation(each) for each in values], means.index(best) if marked else None,
                              changes))
    return lines


def mean_and_deviation(values: Sequence[float]) -> str:
    """Return "0.9828 ± 0.0063 (5)", or "0.9828" for one run."""
    if not values:
        return ""
    mean = statistics.mean(values)
    if len(values) == 1:
        return figure(mean)
    return f"{figure(mean)} ± {figure(statistics.stdev(values), like=mean)} ({len(values)})"


def difference(mean: float | None, first: float | None) -> str:
    if mean is None or first is None:
        return ""
    return ("+" if mean >= first else "-") + figure(abs(mean - first), like=first)


def facts(groups: Sequence[Group]) -> list[Line]:
    """Return what is no score: seeds, status, epochs, size, time and speed; medians over the runs of a group."""
    found = [Line("seeds", [group.seeds for group in groups]),
             Line("status", [", ".join(sorted({row.status for row in group.rows})) for group in groups])]
    for key, write in (("epochs_done", "{:.0f}".format), ("best_epoch", "{:.0f}".format),
                       ("parameters", "{:,.0f}".format), ("seconds", duration)):
        values = [group.scores(key) for group in groups]
        if any(values):
            found.append(Line(key, [write(statistics.median(each)) if each else "" for each in values]))
    speeds = [[speed for row in group.rows if (speed := row.speed)] for group in groups]
    if any(speeds):
        found.append(Line("examples/s", [thousands(statistics.median(each)) if each else "" for each in speeds]))
    return found
