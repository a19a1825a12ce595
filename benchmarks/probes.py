"""What features are worth that were learned without labels: docs/results/probes.json, and the tables of docs/probe.md.

    python -m benchmarks.probes         every recipe without labels on CIFAR-10, 5, 15 and 45 minutes, three seeds
    python -m benchmarks.probes --data digits --minutes 0.2 --seeds 1 --labels 5%,100% --out FILE     to try it

Each recipe is trained with its own schedule for the epochs that fit into the minutes on this machine, which two epochs
tell before. Then it is probed, and after the most minutes also fine-tuned: that and training from scratch follow the
recipe of classification in CLASSIFY, in the precision of the run, with all of --labels or those of --finetune.
Controls do not depend on the minutes, and stand once for each seed, with 0 minutes; those of raw images, and of random
weights where recipes share a network, are measured once for all of them. What is finished is not run again,
and rows that are there are kept. Use an idle machine: minutes are measured.
"""

import argparse
import json
import statistics
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, ROOT, completed, write_json
from kerasdl import objectives
from kerasdl.errors import UserError
from kerasdl.probing import labels as subsets
from kerasdl.probing import outcome, training
from kerasdl.probing.page import NAMES, title
from kerasdl.probing.probe import FROZEN, probe
from kerasdl.published.reproduce import once
from kerasdl.published.results import machines, mean_sd
from kerasdl.recipe import Recipe, load, shipped
from kerasdl.run import Run

NAME, RUNS = "probes", ROOT / "runs" / "probes"
OBJECTIVES = ("mae", "contrast", "supcon", "agree", "reconstruct")
CLASSIFY = {("cifar10", "vit"): "vit_cifar10_short", ("cifar10", "cnn"): "cnn_cifar10_quick",
            ("cifar10", "resnet"): "resnet_cifar10_short", ("cifar10", "convnext"): "convnext_cifar10",
            ("digits", "vit"): "vit_digits", ("digits", "cnn"): "cnn_digits"}
MINUTES, PILOT = (5.0, 15.0, 45.0), 2  # PILOT: epochs that tell how long one takes
WAYS = (("run", "linear"), ("run", "kNN"), ("run", "fine-tuned"), ("random", "linear"), ("random", "kNN"),
        ("random", "from scratch"), ("raw", "linear"), ("raw", "kNN"))


def recipes(data: str) -> list[str]:
    """The recipes of the package that learn from this data by one of OBJECTIVES, on two cores."""
    return [recipe.name for recipe, _ in shipped() if recipe.objective in OBJECTIVES and recipe.data == data
            and not recipe.name.endswith("_long")]


def epochs_for(recipe: Recipe, minutes: float) -> int:
    """How many epochs fit, by the time that PILOT of them take after the compilation.

    Raises:
        UserError: they diverged.
    """
    run = completed(once(recipe.override(epochs=PILOT), RUNS / "pilot" / recipe.name, verbose=False))
    pilot = run.result["train"]
    compiling = pilot["compile_seconds"] or 0.0
    return max(1, round((60 * minutes - compiling) / ((pilot["seconds"] - compiling) / PILOT)))


def measure(name: str, minutes: float, seed: int, labels: str, finetune: str, controls: Sequence[str]
            ) -> list[dict[str, Any]]:
    """Train a recipe for the minutes, probe it next to controls, and return its rows.

    Args:
        labels: shares or numbers of them for the probes.
        finetune: the same for the trainings of all layers; "": none.
        controls: as in kerasdl.probing.probe.probe.
    """
    recipe = load(name)
    folder = RUNS / name / f"{minutes:g}-minutes" / f"seed-{seed}"
    epochs = Run(folder).recipe.epochs if (folder / "recipe.json").is_file() else epochs_for(recipe, minutes)
    run = once(recipe.override(seed=seed, epochs=epochs), folder, verbose=False)
    classify = CLASSIFY.get((recipe.data, recipe.model))
    precision = f"precision={recipe.precision}"
    network = json.dumps(training.recipe_of(run, classify, (precision,), seed).model_dump(mode="json"), sort_keys=True)
    scratch = RUNS / "scratch" / f"{recipe.model}-{zlib.crc32(network.encode()):08x}"  # shared by runs of one network
    parts = [(labels, finetune == labels), (finetune, True)]
    documents = [outcome.document(probe(run, texts, precision, recipe=classify, seed=seed, finetune=trains,
                                        controls=controls, scratch=scratch))
                 for texts, trains in (parts if finetune not in ("", labels) else parts[:1])]
    seconds = run.result["train"]["seconds"]
    found, rows = documents[0], []
    for row in {(row["features"], row["way"], row["labels"]): row
                for document in documents for row in document["rows"]}.values():
        ours = row["features"] == "run"
        chosen = {key: value for key, value in row["chosen"].items() if key != "run"}
        trained = {"pretraining": {"epochs": epochs, "seconds": seconds}} if ours else {}
        rows.append({"recipe": name, "objective": recipe.objective, "minutes": minutes if ours else 0.0, "seed": seed,
                     **row, "chosen": chosen, **trained, "classify": found["training"]["recipe"],
                     "environment": run.result["environment"]})
        print(f"{name}, {minutes:g} min, seed {seed}: {row['labels']} labels, {row['features']}, {row['way']}: "
              f"{row['test']['accuracy']:.4f}", flush=True)
    return rows


def of_others(name: str, seed: int, kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the controls of a recipe that are there of others with this seed: of random weights those of the same
    network, and of raw examples those of the same data."""
    recipe, found = load(name), {}
    for row in kept:
        other = load(row["recipe"])
        same = other.data == recipe.data and (row["features"] == "raw" or (other.model, other.model_args) ==
                                              (recipe.model, recipe.model_args))
        if row["features"] != "run" and row["way"] in ("linear", "kNN") and row["seed"] == seed and same:
            found[row["features"], row["way"], row["labels"]] = {**row, "recipe": name, "objective": recipe.objective}
    return list(found.values())


def key(row: dict[str, Any]) -> tuple:
    """What a row is of: a later one of the same replaces it."""
    return tuple(row[name] for name in ("recipe", "minutes", "seed", "features", "way", "labels"))


def body(rows: list[dict[str, Any]]) -> str:
    """What stands between the markers of docs/probe.md: a table for each way of classifying."""
    if not rows:
        return "not run\n"
    counts, lines = sorted({row["labels"] for row in rows}), []
    for heading, ways in (("Linear probe", ("linear",)), ("Nearest neighbours", ("kNN",)),
                          ("All layers trained", ("fine-tuned", "from scratch"))):
        lines += [f"{heading}: test accuracy, %, by the number of labels.", "",
                  f"| recipe | features | minutes | {' | '.join(f'{count:,}' for count in counts)} | seeds |",
                  f"| --- | --- | ---: |{' ---: |' * len(counts)} ---: |"]
        mine = [row for row in rows if row["way"] in ways]
        for name, features, minutes in dict.fromkeys((row["recipe"], row["features"], row["minutes"]) for row in sorted(
                mine, key=lambda row: (row["recipe"], WAYS.index((row["features"], row["way"])), row["minutes"]))):
            group = [row for row in mine if key(row)[:2] == (name, minutes) and row["features"] == features]
            cells = [mean_sd([100 * row["test"]["accuracy"] for row in group if row["labels"] == count])
                     if any(row["labels"] == count for row in group) else "" for count in counts]
            called = title(features, group[0]["way"]) if len(ways) > 1 else NAMES[features]
            taken = [row["pretraining"]["seconds"] / 60 for row in group if minutes]
            spent = f"{minutes:g} ({statistics.mean(taken):.1f})" if taken else ""
            saw = objectives.get(group[0]["objective"]).target is not None and features == "run"
            lines.append(f"| `{name}`{', which saw all labels' * saw} | {called} | {spent} | {' | '.join(cells)} | "
                         f"{len({row['seed'] for row in group})} |")
        lines.append("")
    lines.append("In brackets: the minutes that the epochs of the pretraining took in the mean. ")
    return "\n".join([*lines, "", *(f"Measured on {line}.\n" for line in machines({"": rows}))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipes", nargs="*", help="by default all of --data without labels")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--minutes", type=float, nargs="+", default=MINUTES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--labels", default=",".join(subsets.DEFAULT))
    parser.add_argument("--finetune", help="labels with which all layers are trained; by default --labels, '' for none")
    parser.add_argument("--out", type=Path, default=RESULTS / f"{NAME}.json")
    asked = parser.parse_args()
    kept = json.loads(asked.out.read_text()) if asked.out.exists() else []
    for seed in range(asked.seeds):
        for minutes in asked.minutes:
            for name in asked.recipes or recipes(asked.data):
                if any(key(row)[:4] == (name, minutes, seed, "run") for row in kept):
                    continue
                last = minutes == max(asked.minutes)
                finetune = (asked.labels if asked.finetune is None else asked.finetune) if last else ""
                there = of_others(name, seed, kept)
                controls = [each for each in FROZEN if all(each != row["features"] for row in there)]
                try:
                    found = there + measure(name, minutes, seed, asked.labels, finetune, controls)
                except UserError as error:  # it diverged
                    print(f"{name}, {minutes:g} min, seed {seed}: not measured: {error}", flush=True)
                    continue
                kept = [row for row in kept if key(row) not in set(map(key, found))] + found
                write_json(asked.out, kept)


if __name__ == "__main__":
    main()
