"""Networks that searches found on CIFAR-10, next to the hand-made one: python -m benchmarks.nas_cifar10 STUDY=SEEDS...

Nothing is trained here. Search for three hours, train the winners as long as the hand-made one, and collect:

    kerasdl tune resnet8_cifar10_stages --minutes 180 --trials 1000 --workers 2 --workdir runs/stages
    kerasdl tune resnet8_cifar10_stages --minutes 180 --trials 1000 --workers 2 --workdir runs/small --limit int8_kb=96
    kerasdl tune best runs/stages --seeds 0 > stages.py
    kerasdl train stages.py epochs=60 --seeds 3 --workdir runs/stages-final
    kerasdl tune best runs/small --seeds 0 > small.py
    kerasdl train small.py epochs=60 --seeds 3 --workdir runs/small-final
    python -m benchmarks.nas_cifar10 runs/stages=runs/stages-final runs/small=runs/small-final

With --seeds 0 the test split is not read before the winner is trained as long. Writes docs/results/nas_cifar10.json,
from which docs/nas.md has its table, with ResNet-8's results of the package.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerasdl import costs
from kerasdl.files import write_json
from kerasdl.published.results import machines, mean_sd, minutes
from kerasdl.recipe import Recipe, load

FILE = Path(__file__).parents[1] / "docs" / "results" / "nas_cifar10.json"
BY_HAND = "resnet8_cifar10"
COSTS = ("multiply_adds", "int8_kb")  # that the table has


def collected(study: Path, final: Path) -> dict[str, Any]:
    """Return what a search found: its size, its winner, and the winner's results with each seed."""
    from kerasdl.tuning.best import best, recipe_of
    from kerasdl.tuning.study import Study

    found = Study.open(study)
    records, won = found.records(), best(found)
    runs = json.loads((final / "seeds.json").read_text())["runs"]
    return {"search": found.search.name, "oracle": found.search.oracle, "limits": found.search.limits,
            "trials": len(records), "refused": len(found.refused.entries()),
            "hours": sum(record.seconds or 0 for record in records) / 3600, "values": won.values,
            "costs": measured(recipe_of(found, won)),
            "results": [json.loads((final / Path(run).name / "result.json").read_text()) for run in runs]}


def measured(recipe: Recipe) -> dict[str, float]:
    """Return COSTS of a recipe's network."""
    from kerasdl.tuning.costing import Meter

    with tempfile.TemporaryDirectory() as folder:
        return Meter(COSTS, {}, Path(folder)).measure(recipe)[0]


def body(found: Mapping[str, Any], folder: Path) -> str:
    """What stands between the markers of docs/nas.md."""
    if not found:
        return "not run\n"
    lines = ["| network | trials, their hours | multiply-adds | 8-bit file, KB | test accuracy, % | minutes | seeds |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    results = [result for row in found["rows"] for result in row["results"]]
    for row in found["rows"]:
        most = " and ".join(f"{name} {costs.text(name, value)}" for name, value in row["limits"].items())
        lines.append("| " + " | ".join([
            f"found by {row['oracle']}, at most {most}", f"{row['trials']}, {row['hours']:.1f}",
            *sizes(row["costs"]), *scores(row["results"])]) + " |")
    by_hand = [json.loads(file.read_text()) for file in sorted(folder.glob(f"{BY_HAND}-*.json"))]
    if by_hand:
        lines.append("| " + " | ".join([
            f"`{BY_HAND}`, by hand", "", *sizes(found["by_hand"]), *scores(by_hand)]) + " |")
    return "\n".join([*lines, "", *(f"Measured on {line}.\n" for line in machines({"": [*results, *by_hand]}))])


def sizes(found: Mapping[str, float]) -> list[str]:
    """Return the multiply-adds of a network, and the kilobytes of its file."""
    return [f"{found['multiply_adds']:,.0f}", f"{found['int8_kb']:.0f}"]


def scores(results: list[dict[str, Any]]) -> list[str]:
    """Return accuracy, minutes and number of seeds of some results."""
    return [mean_sd([100 * result["test"]["accuracy"] for result in results]),
            minutes(statistics.mean(result["train"]["seconds"] for result in results)), str(len(results))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pairs", nargs="+", metavar="STUDY=SEEDS", help="a search, and a folder of its winner's seeds")
    asked = [pair.partition("=") for pair in parser.parse_args().pairs]
    write_json(FILE, {"by_hand": measured(load(BY_HAND)),
                      "rows": [collected(Path(study), Path(final)) for study, _, final in asked]})


if __name__ == "__main__":
    main()
