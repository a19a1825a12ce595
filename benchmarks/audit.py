"""What an audit costs: docs/results/audit.json, and the table of docs/audit.md.

    python -m benchmarks.audit              a run of images, of rows and of texts, each in full and with --quick
    python -m benchmarks.audit digits --epochs 1 --out FILE         to try it

The texts are those of the recipe textcnn_rt, which has to find its folder `rt_polarity` in the repository's. Each audit
is a process of its own on a copy of the run's folder that has no audit. Peak memory is that of the process. Use an idle
machine. What is there is not measured again.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, ROOT, pin, write_json
from kerasdl.published.reproduce import once
from kerasdl.published.results import machines
from kerasdl.recipe import load
from kerasdl.run import Run

NAME, RUNS = "audit", ROOT / "runs" / "audit"
SUBJECTS = {"images": ("cnn_mnist", ()), "rows": ("linear_csv", ("data_args.label=income",)),
            "texts": ("textcnn_rt", ()), "digits": ("mlp_digits", ())}
MEASURED = ("images", "rows", "texts")


def trained(name: str, csv: Path | None, epochs: int | None) -> Run:
    """Train the run that is audited, once."""
    recipe, overrides = SUBJECTS[name]
    more = [*overrides, *([f"epochs={epochs}"] if epochs else []), *([f"data=csv:{table(csv)}"] * (name == "rows"))]
    return once(load(recipe).override(*more), RUNS / name, verbose=False)


def table(csv: Path | None) -> Path:
    """Return a table of people in two classes: the one that was given, or one that is made."""
    if csv:
        return csv
    import numpy as np
    import pandas as pd

    random, count, path = np.random.default_rng(0), 20_000, RUNS / "people.csv"
    age, hours = random.integers(18, 80, count), random.normal(40, 8, count).round(1)
    site = random.choice(["north", "south", "east"], count)
    noise = random.normal(0, 1, count) + (site == "east") * random.normal(0, 3, count)
    score = 0.05 * (age - 45) + 0.1 * (hours - 40) + noise
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"age": age, "hours": hours, "site": site, "income": np.where(score > 0, "high", "low")}).to_csv(
        path, index=False)
    return path


def measure(name: str, run: Run, quick: bool) -> dict[str, Any]:
    """Audit a copy of the run in a process of its own, and return what that took and what it said."""
    group = ["--group", "site"] if name == "rows" else []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(run.path, Path(folder) / "run", ignore=shutil.ignore_patterns("audit*")))
        began = time.monotonic()
        command = [sys.executable, "-m", "kerasdl", "audit", str(copy), *group, *["--quick"] * quick, "--json", "-q"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        seconds, found = time.monotonic() - began, json.loads(done.stdout)
    return {"subject": name, "recipe": run.recipe.name, "quick": quick, "seconds": round(seconds, 1),
            "peak_rss_mb": found["peak_rss_mb"], "test_examples": found["test_examples"],
            "parts": [{key: part[key] for key in ("name", "title", "silent", "lines", "seconds")}
                      for part in found["parts"]], "environment": run.result["environment"]}


def body(rows: list[dict[str, Any]]) -> str:
    """What stands between the markers of docs/audit.md."""
    if not rows:
        return "not run\n"
    lines = ["| run of | recipe | test examples | audit | seconds | peak memory, MB | longest part |",
             "| --- | --- | ---: | --- | ---: | ---: | --- |"]
    for row in rows:
        longest = max(row["parts"], key=lambda part: part["seconds"])
        lines.append(f"| {row['subject']} | `{row['recipe']}` | {row['test_examples']:,} | "
                     f"{'quick' if row['quick'] else 'full'} | {row['seconds']:.0f} | {row['peak_rss_mb']:,.0f} | "
                     f"{longest['name']}, {longest['seconds']:.0f} s |")
    return "\n".join([*lines, "", *(f"Measured on {line}.\n" for line in machines({"": rows}))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("subjects", nargs="*", default=MEASURED, help=f"of {', '.join(SUBJECTS)}")
    parser.add_argument("--csv", type=Path, help="a table with the columns income and site")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--out", type=Path, default=RESULTS / f"{NAME}.json")
    asked = parser.parse_args()
    pin()
    kept = json.loads(asked.out.read_text()) if asked.out.exists() else []
    for name in asked.subjects:
        for quick in (False, True):
            if any((row["subject"], row["quick"]) == (name, quick) for row in kept):
                continue
            kept.append(measure(name, trained(name, asked.csv, asked.epochs), quick))
            write_json(asked.out, kept)


if __name__ == "__main__":
    main()
