"""What privacy costs: docs/results/private.json, and the table of docs/private.md.

    python -m benchmarks.private                     both recipes, their twins without privacy, and linear controls
    python -m benchmarks.private mlp_digits_dp --seeds 1 --out FILE     to try it

A twin is the same recipe without noise and without clipping, on shuffled epochs. The linear control is the linear model
of the same data trained with the same promise, since on a small budget it often beats a deep network (Tramer & Boneh
2021, arXiv:2011.11660). What is finished is not run again.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, ROOT, pin, write_json
from kerasdl.published.reproduce import once
from kerasdl.published.results import machines, mean_sd
from kerasdl.recipe import Recipe, load

NAME, RUNS = "private", ROOT / "runs" / "private"
RECIPES = ("cnn_mnist_dp", "mlp_digits_dp")
WAYS = ("private", "not private", "private, linear")


def recipe_of(name: str, way: str) -> Recipe:
    """The recipe, its twin without privacy, or the linear model with the same promise."""
    recipe = load(name)
    if way == "not private":  # a step that nothing clips is too long at the rate of one that is clipped
        return recipe.override("private={}", lr=recipe.lr / 10)
    return recipe.override(model="linear") if way == "private, linear" else recipe


def measured(name: str, way: str, seed: int) -> dict[str, Any]:
    """A row: the accuracy of one training, and what it spent."""
    run = once(recipe_of(name, way).override(seed=seed), RUNS / name / way.replace(", ", "-").replace(" ", "-")
               / f"seed-{seed}", verbose=False)
    result = run.result
    row = {"recipe": name, "way": way, "seed": seed, "test": result.get("test"), "private": result.get("private"),
           "seconds": result["train"]["seconds"], "parameters": result["parameters"],
           "environment": result["environment"]}
    spent = (row["private"] or {}).get("epsilon")
    print(f"{name}, {way}, seed {seed}: {row['test']['accuracy']:.4f}, epsilon {spent}", flush=True)
    return row


def body(rows: list[dict[str, Any]]) -> str:
    """What stands between the markers of docs/private.md."""
    if not rows:
        return "not run\n"
    lines = ["| recipe | training | epsilon | delta | noise | test accuracy, % | seconds | seeds |",
             "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for name, way in dict.fromkeys((row["recipe"], row["way"]) for row in rows):
        group = [row for row in rows if (row["recipe"], row["way"]) == (name, way)]
        spent = group[0]["private"] or {}
        facts = [f"{spent[key]:.3g}" if spent else "" for key in ("epsilon", "delta", "noise")]
        lines.append(f"| `{name}` | {way} | {' | '.join(facts)} | "
                     f"{mean_sd([100 * row['test']['accuracy'] for row in group])} | "
                     f"{max(row['seconds'] for row in group):.0f} | {len(group)} |")
    return "\n".join([*lines, "", *(f"Measured on {line}.\n" for line in machines({"": rows}))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipes", nargs="*", help="by default both")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / f"{NAME}.json")
    asked = parser.parse_args()
    pin()
    rows = json.loads(asked.out.read_text()) if asked.out.exists() else []
    for seed in range(asked.seeds):
        for name in asked.recipes or RECIPES:
            for way in WAYS:
                if any((row["recipe"], row["way"], row["seed"]) == (name, way, seed) for row in rows):
                    continue
                rows.append(measured(name, way, seed))
                write_json(asked.out, rows)


if __name__ == "__main__":
    main()
