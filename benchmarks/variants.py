"""Single trainings of variants of recipes: docs/results/variants.json, and its tables in docs/lab/cifar10.md.

    python -m benchmarks.variants RUN...                note these finished runs of this machine
    python -m benchmarks.variants RUN --program TEXT    of a program that differed from the package's, in these words

A run is known by its settings, seed and program; a newer one of the same takes the place of an older.
"""

import argparse
import json
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.page import load
from kerasdl.files import write_json
from kerasdl.published.results import differing, machine
from kerasdl.recipe import Recipe
from kerasdl.run import Run

FOLDER = Path(__file__).parents[1] / "docs" / "results"
NAME = "variants"
ASIDE = {"epochs", "tta", "keep"}  # one has a column of its own; the others change no training


def noted(folder: Path, program: str = "") -> dict[str, Any]:
    """What the page tells of a training. "test" and "tta" are there if it was read, so that nothing is passed over."""
    run = Run.open(folder)
    result = run.result
    kept = {key: result[key] for key in ("recipe", "seed", "settings", "val", "test", "tta", "train", "environment")
            if key in result}
    return kept | {"program": program, "train_accuracy": float(run.metrics["accuracy"].iloc[-1])}


def body(entries: list[dict], recipes: list[Recipe]) -> str:
    """What stands between the markers of docs/lab/cifar10.md."""
    now = {recipe.name: recipe for recipe in recipes}
    groups = groupby(sorted(entries, key=order), key=lambda entry: entry["recipe"])
    return "\n".join(section(now[name], list(rows)) for name, rows in groups) or "None has been noted yet.\n"


def order(entry: dict) -> tuple:
    """By recipe and length; the best first."""
    return entry["recipe"], entry["train"]["epochs"], -entry["val"]["accuracy"]


def section(recipe: Recipe, entries: list[dict]) -> str:
    read = [key for key in ("test", "tta") if any(key in entry for entry in entries)]
    titles = {"val": "validation accuracy, %", "test": "test accuracy, %", "tta": "test accuracy with views, %"}
    lines = [["epochs", "training accuracy, %", *map(titles.get, ("val", *read)), "what differs from the recipe"],
             [*["---:"] * (3 + len(read)), "---"]]
    for entry in entries:
        scores = [f"{100 * entry[key]['accuracy']:.2f}" if key in entry else "not read" for key in ("val", *read)]
        lines.append([str(entry["train"]["epochs"]), f"{100 * entry['train_accuracy']:.1f}", *scores,
                      told(entry, recipe)])
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    machines = "; ".join(sorted({machine(entry["environment"]) for entry in entries}))
    return f"### Variants of {recipe.name}\n\nOne training each, on {machines}.\n\n{table}"


def told(entry: dict, recipe: Recipe) -> str:
    """The settings in which a training and the recipe as it is now differ, and what of the program did."""
    then, now = (explicit(Recipe.model_validate_json(json.dumps(settings)))
                 for settings in (entry["settings"], recipe.diff()))
    changed = [key for key in now if key in differing(then, now) and key not in ASIDE]
    words = [", ".join(f"`{pair}`" for key in changed for pair in pairs(key, then[key], now[key])), entry["program"]]
    return "; ".join(filter(None, words)) or "nothing"


def explicit(recipe: Recipe) -> dict[str, Any]:
    """Return all settings of a recipe, those of its optimizer with their defaults."""
    return recipe.model_dump(mode="json") | {"optimizer_args": recipe.optimizer_settings.model_dump(mode="json")}


def pairs(key: str, then: Any, now: Any) -> list[str]:
    """A setting as the command has it: `lr=0.1`, `model_args.size=M`."""
    if isinstance(then, dict):
        return [f"{key}.{inner}={then.get(inner)}" for inner in {**now, **then} if then.get(inner) != now.get(inner)]
    return [f"{key}={then if isinstance(then, str) else json.dumps(then)}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--program", default="", metavar="TEXT")
    given = parser.parse_args()
    found = {key(entry): entry for entry in load(FOLDER, NAME)}
    found |= {key(entry): entry for entry in (noted(folder, given.program) for folder in given.folders)}
    write_json(FOLDER / f"{NAME}.json", sorted(found.values(), key=order))


def key(entry: dict) -> str:
    """What tells one training from another."""
    return json.dumps([entry["settings"], entry["seed"], entry["program"]], sort_keys=True)


if __name__ == "__main__":
    main()
