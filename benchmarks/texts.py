"""What few labelled texts are worth: docs/results/texts.json, and its tables in docs/lab/texts.md.

    python -m benchmarks.texts FOLDER     FOLDER has rt_polarity/; three seeds; what is finished is not run again

Two questions. Are public weights (MiniLM) better fine-tuned or frozen, with 100 and with 1,000 labels? And is a small
transformer better at 1,000 labels for having first learned to fill in hidden words of the same sentences, without their
labels? Every row of one number of labels has the same examples, each seed other ones. The learning rate
of each way is the best of two on the whole validation split, and the test split is read once.
"""

import argparse
import json
import os
import statistics
from pathlib import Path
from typing import Any

from benchmarks.harness import completed
from kerasdl.errors import UserError
from kerasdl.evaluation.controls import FROZEN, WORDS
from kerasdl.files import write_json
from kerasdl.published.reproduce import once
from kerasdl.published.results import machines, mean_sd
from kerasdl.recipe import Recipe, load
from kerasdl.run import Run

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results" / "texts.json"
RUNS = ROOT / "runs" / "texts"
LABELS = {100: {"batch": 16, "epochs": 25}, 1_000: {"batch": 32, "epochs": 5}}  # about 160 steps each, of MiniLM
SMALL = {"batch": 32, "epochs": 20, "model_args.drop": 0.3}  # of the small transformer, with 1,000 labels
RATES = {"fine-tuned": (5e-5, 2e-4), "from scratch": (3e-4, 1e-3), "after hidden words": (3e-4, 1e-3)}
ORDER = (WORDS, FROZEN, "fine-tuned", "from scratch", "after hidden words")


def measure(seed: int) -> list[dict[str, Any]]:
    """Train every row with one seed, which also draws the labelled examples."""
    rows, folder = [], RUNS / f"seed-{seed}"
    first = completed(once(load("mlm_rt").override(seed=seed), folder / "hidden-words", verbose=False))
    small = load("mlm_rt").override(objective="classify", seed=seed, **SMALL, **{"data_args.tokens": str(first.path)})
    minilm = load("minilm_rt").override(seed=seed)
    for labels, steps in LABELS.items():
        part = {"data_args.per_class": labels // 2, "data_args.per_class_seed": seed}
        best = chosen(minilm.override(**steps, **part), "fine-tuned", folder / f"fine-tuned-{labels}")
        rows += [row(seed, labels, way, best, test=control["test"]) for way, control in best.result["controls"].items()]
        rows.append(row(seed, labels, "fine-tuned", best))
    for way, init in (("from scratch", ""), ("after hidden words", str(first.path))):
        best = chosen(small.override(**part, init=init), way, folder / way.replace(" ", "-"))
        before = first.result["train"]["seconds"] if init else 0.0
        rows.append(row(seed, labels, way, best, before=before))
    return rows


def chosen(recipe: Recipe, way: str, folder: Path) -> Run:
    """The run with the best accuracy on validation of those with either learning rate.

    Raises:
        UserError: both diverged.
    """
    found = [once(recipe.override(lr=rate), folder / f"lr-{rate:g}", verbose=False) for rate in RATES[way]]
    ended = [run for run in found if run.result["status"] == "completed"]
    return max(ended or [completed(found[0])], key=lambda run: run.result["val"]["accuracy"])


def row(seed: int, labels: int, way: str, run: Run, test: Any = None, before: float = 0.0) -> dict[str, Any]:
    """A line of the results; `before`: the seconds of what it began with."""
    result = run.result
    print(f"seed {seed}, {labels} labels, {way}: {(test or result['test'])['accuracy']:.4f}", flush=True)
    trained = {} if test else {"lr": run.recipe.lr, "seconds": result["train"]["seconds"] + before}
    return {"labels": labels, "way": way, "seed": seed, "test": test or result["test"], **trained,
            "environment": result["environment"]}


def body(rows: list[dict[str, Any]]) -> str:
    """What stands between the markers of docs/lab/texts.md."""
    if not rows:
        return "not run\n"
    lines = ["| labels | classifier | test accuracy, % | seconds | learning rates chosen | seeds |",
             "| ---: | --- | ---: | ---: | --- | ---: |"]
    for labels in LABELS:
        for way in ORDER:
            mine = [row for row in rows if (row["labels"], row["way"]) == (labels, way)]
            if mine:
                seconds = [row["seconds"] for row in mine if "seconds" in row]
                rates = ", ".join(f"{row['lr']:g}" for row in mine if "lr" in row)
                lines.append(f"| {labels:,} | {way} | {mean_sd([100 * row['test']['accuracy'] for row in mine])} | "
                             f"{f'{statistics.mean(seconds):.0f}' if seconds else ''} | {rates} | {len(mine)} |")
    return "\n".join([*lines, "", *(f"Measured on {line}.\n" for line in machines({"": rows}))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where rt_polarity/ lies")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    os.chdir(asked.folder)  # where the recipes look for their data
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    for seed in range(asked.seeds):
        try:
            found = measure(seed)
        except UserError as error:  # a training diverged
            print(f"seed {seed}: not measured: {error}", flush=True)
            continue
        kept = [row for row in kept if row["seed"] != seed] + found
        write_json(RESULTS, kept)


if __name__ == "__main__":
    main()
