"""What differs between runs: settings next to scores, and runs that differ in their seed alone as one column."""

import json
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasdl import registry
from kerasdl.errors import UserError
from kerasdl.runs.find import SPLITS, Row, by_examples, checksums, direction, find, own_code, read
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
        found = [row] if (row := read(Path(folder))) else find(folder)  # a run stands for itself alone
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
    if comparable and (apart := of_one_objective(groups)):
        remarks.append(f"The runs have different objectives ({', '.join(sorted(objectives(groups)))}), so these scores "
                       f"do not compare: {', '.join(apart)}.")
    return Comparison(groups, settings(groups), scores(groups, comparable), facts(groups), remarks)


def different_examples(groups: Sequence[Group], split: str) -> bool:
    """Return whether the examples of a split are not the same in all groups."""
    return len(by_examples([group.rows[0] for group in groups], split)) > 1


def of_one_objective(groups: Sequence[Group]) -> list[str]:
    """Return the scores that several objectives have, and each measures in its own way: a loss, and every score where
    they do not predict the same. Of an objective of the user's own that is not known."""
    apart = []
    for name in dict.fromkeys(name for group in groups for row in group.rows for split in SPLITS
                              for name in row.result.get(split, {})):
        having = objectives([group for group in groups if any(group.scores(f"{split}/{name}") for split in SPLITS)])
        known = [registry.declared(one) for one in having & set(registry.names())]
        predicted = {one.get("target") if one.get("predicts") else None for one in known}
        if len(having) > 1 and (name == "loss" or None in predicted or len(predicted) > 1):
            apart.append(name)
    return apart


def objectives(groups: Sequence[Group]) -> set[str]:
    """Return the objectives of all groups."""
    return {str(compared(group.rows[0]).get("objective")) for group in groups}


def grouped(rows: Sequence[Row]) -> list[Group]:
    """Return runs by recipe and backend, in the order in which they came, and by seed within a group.

    A run that has noted no backend, such as an unfinished one, goes with the first that has.
    """
    found: dict[tuple[str, str | None], list[Row]] = {}
    keys = [(experiment(row), backend(row)) for row in rows]
    noted = {recipe: name for recipe, name in reversed(keys) if name}  # of several the first
    for row, (recipe, name) in zip(rows, keys, strict=True):
        found.setdefault((recipe, name or noted.get(recipe)), []).append(row)
    if len(found) > len(LETTERS):
        raise UserError(f"These are {len(found)} different recipes, and a table shows {len(LETTERS)} at most. "
                        "Choose some with: kerasdl runs --where KEY=VALUE")
    return [group_of(letter, rows) for letter, rows in zip(LETTERS, found.values(), strict=False)]


def experiment(row: Row) -> str:
    """Return what runs that differ in their seed alone have in common. An ensemble is also of the split that its
    members were measured on."""
    measured = [split for split in SPLITS if split in row.result] if "members" in row.result else None
    return json.dumps([{name: value for name, value in compared(row).items() if name not in UNCOMPARED},
                       checksums(row), own_code(row), "calibrated" in row.result, measured], sort_keys=True)


def backend(row: Row) -> str | None:
    """Return the backend of a finished run; version 0.1 did not note it."""
    return row.result.get("environment", {}).get("backend")


def compared(row: Row) -> dict[str, Any]:
    """Return the fields of a recipe, a model or an objective of the user's own without the folder of its file: the run
    keeps a copy, which is compared itself, and whose path another training of that run has."""
    fields, own = dict(row.recipe), own_code(row)
    for key in ("model", "objective"):
        short = str(fields.get(key)).rpartition("/")[2]
        if short.partition(":")[0] in own:
            fields[key] = short
    return fields


def group_of(title: str, rows: Sequence[Row]) -> Group:
    """Return the group of runs of one recipe, with the newest of each seed."""
    newest: dict[int, Row] = {}
    for row in sorted(rows, key=lambda row: (bool(row.result), row.when)):
        newest[row.recipe.get("seed", 0)] = row
    kept = [newest[seed] for seed in sorted(newest)]
    return Group(title, kept, [row for row in rows if row not in kept])


def settings(groups: Sequence[Group]) -> list[Line]:
    """Return the fields, and parts of fields, in which the recipes differ."""
    flat = [flattened(compared(group.rows[0])) for group in groups]
    keys = list(dict.fromkeys(key for fields in flat for key in fields))
    lines = [Line(key, [shown(fields[key]) if key in fields else "" for fields in flat]) for key in keys
             if len({json.dumps(fields.get(key)) for fields in flat}) > 1]
    made = [next((name for row in group.rows if (name := backend(row))), "") for group in groups]
    if len(set(made) - {""}) > 1:
        lines.append(Line("backend", made))
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

    The best is marked on val alone, which is there to choose by. A split that is not `comparable` has neither, and no
    score that each of several objectives measures in its own way.
    """
    rows, apart = [row for group in groups for row in group.rows], of_one_objective(groups)
    lines = []
    for split in ("val", "test"):
        names = dict.fromkeys(name for row in rows for name in row.result.get(split, {}))
        for name in sorted(names, key=lambda name: name == "loss"):
            key = f"{split}/{name}"
            values = [group.scores(key) for group in groups]
            means = [statistics.mean(each) if each else None for each in values]
            having = [mean for mean in means if mean is not None]
            best = (max if direction(rows, key) == "max" else min)(having)
            compares = split in comparable and name not in apart
            marked = compares and split == "val" and having.count(best) == 1 and len(having) > 1
            changes = [difference(mean, means[0]) if i and compares else "" for i, mean in enumerate(means)]
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
