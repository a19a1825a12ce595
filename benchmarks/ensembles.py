"""What averaging the seeds of a recipe is worth: docs/results/ensembles.json, and its table in docs/ensembles.md.

    python -m benchmarks.ensembles RUN RUN...    published runs of this machine; those of one recipe become one ensemble

Its members are all seeds of the recipe, so that nothing is chosen, and it reads the test split once.
"""

import argparse
import tempfile
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.page import load
from kerasdl.files import write_json
from kerasdl.published.results import machines, mean_sd, seeds
from kerasdl.run import Run

FOLDER = Path(__file__).parents[1] / "docs" / "results"
NAME = "ensembles"


def measure(runs: list[Run]) -> dict[str, Any]:
    """Scores on the test split of the mean of these runs, all of one recipe, and of each of them."""
    from kerasdl.ensemble import ensemble
    from kerasdl.evaluation.evaluate import evaluate

    first = runs[0].recipe
    with tempfile.TemporaryDirectory() as folder:
        made = ensemble(runs, workdir=Path(folder) / "run")
        result = made.result
        views = {"tta": evaluate(made, tta=first.tta)} if first.tta else {}
    members = [{"seed": run.recipe.seed, "test": member["test"]} | {key: run.result[key] for key in views}
               for run, member in zip(runs, result["members"], strict=True)]
    return {"recipe": first.name, "settings": first.diff(), "test": result["test"], **views, "members": members,
            "environment": result["environment"]}


def body(entries: list[dict]) -> str:
    """What stands between the markers of docs/ensembles.md."""
    if not entries:
        return "not run\n"
    lines = ["| recipe | seeds | test accuracy, % | with views, % | calibration error, % | test loss |",
             "| --- | --- | --- | --- | --- | --- |"]
    for entry in entries:
        cells = [beside(entry, "test", "accuracy", 100, 2), beside(entry, "tta", "accuracy", 100, 2),
                 beside(entry, "test", "calibration_error", 100, 1), beside(entry, "test", "loss", 1, 3)]
        lines.append(f"| `{entry['recipe']}` | {seeds([member['seed'] for member in entry['members']])} "
                     f"| {' | '.join(cells)} |")
    measured = "".join(f"\nMeasured on {line}.\n" for line in machines({"": entries}))
    return "".join(f"{line}\n" for line in lines) + measured


def beside(entry: dict, split: str, score: str, scale: float, digits: int) -> str:
    """The mean of the members, an arrow, and the ensemble; "" where it was not measured."""
    if split not in entry:
        return ""
    alone = [scale * member[split][score] for member in entry["members"]]
    return f"{mean_sd(alone, digits)} → {scale * entry[split][score]:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="RUN")
    runs = sorted(map(Run.open, parser.parse_args().folders), key=lambda run: (run.recipe.name, run.recipe.seed))
    found = {entry["recipe"]: entry for entry in load(FOLDER, NAME)}
    for name, members in groupby(runs, key=lambda run: run.recipe.name):
        found[name] = measure(list(members))
        write_json(FOLDER / f"{NAME}.json", [found[key] for key in sorted(found)])
        print(f"{name}: {found[name]['test']}", flush=True)


if __name__ == "__main__":
    main()
