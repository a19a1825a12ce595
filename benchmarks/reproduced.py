"""Whether results of digits and MNIST are reproduced: docs/results/reproduced.json, and a table of docs/reproduce.md.

    python -m benchmarks.reproduced [NAME...]    by default every recipe of digits and MNIST with results to compare

It is `kerasdl reproduce NAME` for each: three seeds that are not published. What is finished in runs/reproduce-NAME is
not run again.
"""

import argparse
import json
from typing import Any

from benchmarks.harness import RESULTS, ROOT, write_json
from kerasdl import recipe as recipes
from kerasdl.data import spec
from kerasdl.published import reproduce, results

NAME = "reproduced"
DATA = ("digits", "mnist")


def names() -> list[str]:
    """The recipes that can be compared: two published runs or more, with the orders of today."""
    shipped = [found for found, _ in recipes.shipped()]
    measured = results.read(shipped)
    return [found.name for found in results.ordered(shipped) if found.data in DATA
            and len(runs := measured.get(found.name, [])) > 1 and results.orders(runs[0]) == spec.ORDERS]


def body(found: list[dict[str, Any]]) -> str:
    """The table of docs/reproduce.md."""
    if not found:
        return "not run\n"
    lines = ["| recipe | what is measured | published (seeds) | other seeds | expected in | reproduced |",
             "| --- | --- | ---: | ---: | ---: | --- |"]
    for row in found:
        metric = results.metric(recipes.load(row["recipe"]))
        low, high = (f"{metric.scale * end:.{metric.digits}f}" for end in row["interval"])
        lines.append(f"| `{row['recipe']}` | {metric.titled({'test': {row['metric']: None}})} "
                     f"| {cell(metric, row['published'])} | {cell(metric, row['here'])} | {low} .. {high} "
                     f"| {'yes' if row['reproduced'] else row['verdict']} |")
    held = sum(row["reproduced"] for row in found)
    places = dict.fromkeys(results.machine(row["environment"]) for row in found)
    return "\n".join([*lines, "", f"{held} of {len(found)} within the interval. Measured on {'; '.join(places)}.", ""])


def cell(metric: results.Metric, side: dict[str, Any]) -> str:
    """Mean and deviation of one side, and its seeds."""
    return f"{results.mean_sd([metric.scale * score for score in side['scores']], metric.digits)} " \
           f"({results.seeds(side['seeds'])})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("recipes", nargs="*", metavar="NAME")
    path, order = RESULTS / f"{NAME}.json", names()
    rows = {row["recipe"]: row for row in json.loads(path.read_text())} if path.exists() else {}
    for name in parser.parse_args().recipes or order:
        found = reproduce.reproduce(name, workdir=ROOT / "runs" / f"reproduce-{name}", verbose=False)
        rows[name] = {**reproduce.document(found), "environment": found.here[0]["environment"]}
        print(f"{name}: {found.verdict}", flush=True)
    write_json(path, [rows[name] for name in order if name in rows])  # at the end: a run notes whether files changed


if __name__ == "__main__":
    main()
