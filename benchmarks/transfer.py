"""What another run's features are worth: docs/results/transfer.json, and its tables in docs/lab/transfer.md.

    python -m benchmarks.transfer             both cases, three seeds; a training that is finished is not run again
    python -m benchmarks.transfer digits      one of them

Every row has the same network, examples, augmentation and number of steps, and keeps its last epoch, so that no label
but those of the training examples is used before the test split is read, once. Each seed has other training examples.
"""

import argparse
import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness import completed
from kerasdl.errors import UserError
from kerasdl.files import write_json
from kerasdl.published.reproduce import once
from kerasdl.published.results import machines, mean_sd
from kerasdl.recipe import Recipe, load
from kerasdl.run import Run

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results" / "transfer.json"
RUNS = ROOT / "runs" / "transfer"
FIRST, LAST = ("airplane", "automobile", "bird", "cat", "deer"), ("dog", "frog", "horse", "ship", "truck")
WAYS = {  # what a row adds to the recipe from scratch
    "from scratch": {},
    "fine-tuned": {"layer_decay": 0.7},
    "features frozen": {"freeze": "features"},
}


# Not cnn_cifar10 itself, whose settings may improve: then these rows would be of another network.
CIFAR10 = Recipe(
    name="cnn_cifar10", model="cnn", model_args={"size": "M", "whitened": True, "drop": 0.2},
    data="cifar10", splits={"train": "train[:45000]", "val": "train[45000:]"},
    epochs=60, batch=128, lr=4e-3, weight_decay=0.05, schedule="onecycle", label_smoothing=0.1,
    augment=("flip", ("pad_crop", 4), ("cutout", 8, "black")), ema=0.99,
)


@dataclass(frozen=True)
class Case:
    """Where features come from, and what is learned with them.

    Attributes:
        title: as the table has it.
        source: the recipe that is trained first, and its changes.
        target: the recipe of every row, and its changes.
        amounts: {how many labelled examples a class, 0 for all: changes that give about as many steps}.
        offset: of the training slice of each next seed, so that its first examples of a class are others.
        train: that slice, from the offset on.
        one_source: whether all seeds begin with the same features.
    """

    title: str
    source: tuple[str | Recipe, dict[str, Any]]
    target: tuple[str | Recipe, dict[str, Any]]
    amounts: dict[int, dict[str, Any]] = field(default_factory=dict)
    offset: int = 0
    train: str = "train[{}:]"
    one_source: bool = False


CASES = {
    "digits": Case(
        "MNIST, shrunk to 8x8 -> digits, the same ten classes",
        ("cnn_digits", {"data": "mnist", "data_args": {"image_size": (8, 8)}, "epochs": 4, "batch": 128,
                        "splits": {"train": "train[:55000]", "val": "train[55000:]"}, "claim": None}),
        ("cnn_digits", {"claim": None}),
        {5: {"batch": 50, "epochs": 200}, 0: {}}, 200, "train[{}:]"),
    "cifar10": Case(
        "five classes of CIFAR-10 -> the other five",
        # Smoothed labels give worse features for other classes: Kornblith et al. 2021, arXiv:2010.16402.
        (CIFAR10, {"data_args": {"classes": FIRST}, "epochs": 15, "label_smoothing": 0.0, "batch": 512, "ema": 0.0,
                   "optimizer": "muon", "momentum": 0.6, "lr": 0.04, "weight_decay": 0.5}),
        (CIFAR10, {"data_args": {"classes": LAST}, "batch": 50, "splits": {"val": "train[45000:45500]"}}),
        {50: {"epochs": 60}}, 5000, "train[{}:45000]", one_source=True),
}


def measure(name: str, seed: int) -> list[dict[str, Any]]:
    """Train the source and every row of a case with one seed."""
    case, folder = CASES[name], RUNS / name / f"seed-{seed}"
    first = 0 if case.one_source else seed
    source = completed(once(recipe_of(case.source, seed=first), RUNS / name / f"seed-{first}" / "source",
                            verbose=False))
    rows = []
    for amount, changes in case.amounts.items():
        for way, more in WAYS.items():
            recipe = recipe_of(case.target, **changes, **more, seed=seed, keep="last",
                               init="" if way == "from scratch" else str(source.path.relative_to(ROOT)))
            if amount:
                recipe = recipe.override(data_args={"per_class": amount},
                                         splits={"train": case.train.format(seed * case.offset)})
            run = completed(once(recipe, folder / f"{way.replace(' ', '-')}-{amount or 'all'}", verbose=False))
            result = run.result
            rows.append({"case": name, "examples_a_class": amount, "way": way, "seed": seed, "test": result["test"],
                         "seconds": result["train"]["seconds"], "settings": result["settings"],
                         "init": result.get("init"), "environment": result["environment"],
                         "source": {"seed": first, "test": source.result["test"],
                                    "seconds": source.result["train"]["seconds"]},
                         **({"features_unchanged": unchanged(source, run)} if way == "features frozen" else {})})
            print(f"{name} seed {seed}, {amount or 'all'} a class, {way}: {result['test']['accuracy']:.4f}", flush=True)
    return rows


def recipe_of(named: tuple[str | Recipe, dict[str, Any]], **changes: Any) -> Recipe:
    name, fixed = named
    return load(name).override(**fixed).override(**changes)


def unchanged(source: Run, run: Run) -> bool:
    """Whether every layer up to the representation has the bytes that it began with."""
    from kerasdl.train.pretrained import before_head

    old, new = source.model(), run.model()
    return all(a.tobytes() == b.tobytes() for name in before_head(new)
               for a, b in zip(old.get_layer(name).get_weights(), new.get_layer(name).get_weights(), strict=True))


def body(rows: list[dict[str, Any]]) -> str:
    """What stands between the markers of docs/lab/transfer.md."""
    if not rows:
        return "not run\n"
    parts = []
    for name, case in CASES.items():
        mine = [row for row in rows if row["case"] == name]
        if mine:
            parts += [f"### {case.title[:1].upper()}{case.title[1:]}\n", table(mine)]
    lines = machines({"": rows})
    return "\n".join([*parts, *(f"Measured on {line}.\n" for line in lines)])


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each way and amount: test accuracy, its distance from scratch, seconds."""
    lines = ["| labelled a class | features | test accuracy, % | beside from scratch | test loss | seconds | seeds |",
             "| ---: | --- | ---: | ---: | ---: | ---: | ---: |"]
    for amount in sorted({row["examples_a_class"] for row in rows}, key=lambda amount: (amount == 0, amount)):
        alone = {row["seed"]: row for row in rows if row["examples_a_class"] == amount
                 and row["way"] == "from scratch"}
        for way in WAYS:
            mine = [row for row in rows if (row["examples_a_class"], row["way"]) == (amount, way)]
            gain = [100 * (row["test"]["accuracy"] - alone[row["seed"]]["test"]["accuracy"]) for row in mine]
            still = ", unchanged" * (way == "features frozen" and all(row["features_unchanged"] for row in mine))
            lines.append(f"| {amount or 'all'} | {way}{still} | "
                         f"{mean_sd([100 * row['test']['accuracy'] for row in mine])} | "
                         f"{'' if way == 'from scratch' else f'{statistics.mean(gain):+.2f}'} | "
                         f"{mean_sd([row['test']['loss'] for row in mine], 3)} | "
                         f"{statistics.mean(row['seconds'] for row in mine):.0f} | {len(mine)} |")
    sources = list({row["source"]["seed"]: row["source"] for row in rows}.values())
    whose = "one training for all seeds," if len(sources) == 1 else f"{len(sources)} trainings, one a seed, each"
    lines.append(f"\nThe features are from {whose} of "
                 f"{statistics.mean(source['seconds'] for source in sources):.0f} seconds, with a test accuracy of "
                 f"{mean_sd([100 * source['test']['accuracy'] for source in sources])} % on their own classes.\n")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cases", nargs="*", default=list(CASES), choices=[*CASES, []], metavar="CASE")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    for name in asked.cases:
        for seed in range(asked.seeds):
            try:
                made = measure(name, seed)
            except UserError as error:  # a training diverged: rows of a seed are compared, so that none is kept
                print(f"{name} seed {seed}: not measured: {error}", flush=True)
                continue
            kept = [row for row in kept if (row["case"], row["seed"]) != (name, seed)] + made
            write_json(RESULTS, sorted(kept, key=lambda row: (list(CASES).index(row["case"]), row["seed"])))


if __name__ == "__main__":
    main()
