"""The searches that chose settings of recipes: docs/results/searches.json, and its tables in docs/lab/cifar10.md.

    python -m benchmarks.searches DIR...    note these searches of this machine, in place of older ones of their names
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.page import load
from kerasdl.environment import environment
from kerasdl.files import write_json
from kerasdl.published.results import machine

FOLDER = Path(__file__).parents[1] / "docs" / "results"
NAME = "searches"


def noted(folder: Path) -> dict[str, Any]:
    """What the page tells of a search: its trials, best first. Scores are those on validation data."""
    from kerasdl.tuning.study import Study
    from kerasdl.tuning.table import ranked

    study = Study.open(folder)
    search = study.search
    return {
        "search": search.name, "recipe": search.recipe.name, "overrides": dict(search.overrides),
        "oracle": search.oracle, "objective": search.objective, "environment": environment(device="CPU"),
        "trials": [{"values": row.values, "epochs": row.epochs, "score": row.score,
                    "seconds": row.seconds and round(row.seconds)} for row in ranked(study.records(), search)]}


def body(entries: list[dict]) -> str:
    """What stands between the markers of docs/lab/cifar10.md."""
    return "\n".join(map(section, entries)) or "No search has been run yet.\n"


def section(entry: dict) -> str:
    fields = list(dict.fromkeys(key for trial in entry["trials"] for key in trial["values"]))
    changed = ", ".join(f"`{key}={value}`" for key, value in entry["overrides"].items())
    lines = [[*(f"`{field}`" for field in fields), "epochs", "validation accuracy, %"],
             ["---:"] * (len(fields) + 2)]
    for trial in entry["trials"]:
        lines.append([*(short(trial["values"].get(field, "")) for field in fields), str(trial["epochs"]),
                      f"{100 * trial['score']:.2f}"])
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return (f"### {entry['search']}\n\nTrials of `{entry['recipe']}`" + f" with {changed}" * bool(changed)
            + f", by {entry['oracle']} search, on {machine(entry['environment'])}.\n\n{table}")


def short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    found = [noted(folder) for folder in parser.parse_args().folders]
    new = {entry["search"] for entry in found}
    kept = [entry for entry in load(FOLDER, NAME) if entry["search"] not in new]
    write_json(FOLDER / f"{NAME}.json", sorted([*kept, *found], key=lambda entry: entry["search"]))


if __name__ == "__main__":
    main()
