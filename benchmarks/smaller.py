"""What each way to make a network smaller costs, apart from the others: docs/results/smaller.json, and a table of
docs/compress.md.

    python -m benchmarks.smaller bits RUN...               fewer bits, after training and in training
    python -m benchmarks.smaller pruned RUN... [--ways WAY...] [--teacher TEACHER]    fewer weights, or fewer channels
    python -m benchmarks.smaller taught RUN... --teacher TEACHER    the recipe of each run again, with a teacher

A RUN is a finished training of an image classifier, and gives its row "as trained"; several seeds of a recipe are one
row of the table. The versions of `bits` and `pruned` begin with the run's weights and learn from the run itself, as
those of `kerasdl compress` do, or from the teacher. What is finished is not run again. Each version reads the test
split once.
"""

import argparse
import gzip
import json
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import RESULTS, ROOT, write_json
from kerasdl import objectives
from kerasdl.compression.quantize_aware import quantize_aware
from kerasdl.deploy import exporting, formats, measure, network
from kerasdl.deploy.compress import ladder
from kerasdl.environment import environment
from kerasdl.errors import UserError
from kerasdl.evaluation.splits import load_split
from kerasdl.published.reproduce import once
from kerasdl.published.results import machine, mean_sd
from kerasdl.recipe import Recipe
from kerasdl.run import Run
from kerasdl.train.compressed import SHOWN
from kerasdl.zoo.cost import multiply_adds
from kerasdl.zoo.precision import in_float32

NAME = "smaller"
RUNS = ROOT / "runs" / NAME
PARTS = {"bits": "Fewer bits", "pruned": "Fewer weights", "taught": "A teacher"}
SPLITS = ("val", "test")
WAYS = {"prune_half": ("half of the weights at zero", {"prune": 0.5}),
        "prune": ("80 % of the weights at zero", {"prune": 0.8}),
        "prune_channels": ("half of the multiply-adds", {"prune_channels": 0.5})}
OWN = ("part", "recipe", "teacher", "epochs", "seed")  # what one row of the results is of


def scores(run: Run, call: Any) -> dict[str, float]:
    """Return the accuracies of a call (N, ...) -> logits on the splits."""
    objective = objectives.of(run.recipe, run.path)
    objective.bind(run.model())
    found = {}
    for split in SPLITS:
        x, y = network.examples_of(objective, load_split(run, split))
        found[split] = exporting.scores_of(objective, y, measure.in_batches(call, x))[objective.monitor]
    return found


def of_run(run: Run) -> dict[str, float]:
    """Return the accuracies of a run's model, and what it costs."""
    model = run.model()
    return {**scores(run, in_float32(model).predict_on_batch), "parameters": model.count_params(),
            "multiply_adds": multiply_adds(model)}


def of_file(run: Run, out: Path, bits: str | None = ladder.BITS) -> dict[str, float]:
    """Return the accuracies of a run's LiteRT file, which is made if it is not there, and its size."""
    if not out.exists():
        exporting.export(run, ladder.FORMAT, quantize=bits, out=out, tolerance=np.inf)
    if json.loads((out / exporting.FACTS).read_text())["run_model_sha256"] != exporting.digest(run.model_file):
        raise UserError(f"{out} is of other weights than {run.path} has. Remove it.")
    file = out / formats.find(ladder.FORMAT).FILE
    return {**scores(run, call_of(file)), "bytes": file.stat().st_size, "gzip": len(gzip.compress(file.read_bytes()))}


def call_of(file: Path) -> Any:
    return formats.find(ladder.FORMAT).load(str(file), threads())


def threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def speed(slow: Path, fast: Path, run: Run) -> float:
    """Return how many times as fast as another file a file is, at batches of 32 in turn."""
    x = measure.as_input(load_split(run, "val").sample(32))
    taken = measure.seconds([call_of(folder / formats.find(ladder.FORMAT).FILE) for folder in (slow, fast)], x)
    return statistics.median(taken[0]) / statistics.median(taken[1])


def again(recipe: Recipe, seed: int, folder: Path) -> Run:
    """Return the run of a recipe in a folder: a finished one, resumed, or new.

    Raises:
        UserError: that in the folder is of another recipe, or it diverged.
    """
    run = once(recipe.override(seed=seed), folder, verbose=False)
    if run.result["status"] != "completed":
        raise UserError(f"{folder} diverged. {run.result['message']}")
    return run


def bits(run: Run, folder: Path, epochs: int) -> dict[str, dict[str, float]]:
    """Return what 8 and 4 bits cost, of a network that was trained without them and of one that was trained on."""
    whole, seed = folder / "float32", run.result["seed"]
    found = {"float32 file": of_file(run, whole, None), "8 bits": of_file(run, folder / "int8")}
    found["8 bits"]["faster"] = speed(whole, folder / "int8", run)
    objective = objectives.of(run.recipe, run.path)
    shown = network.examples_of(objective, load_split(run, "train"), SHOWN)[0]
    four = quantize_aware(in_float32(run.model()), "int4", measure.as_input(shown))
    found["4-bit weights"] = scores(run, four.predict_on_batch)
    for kind, name in (("int8", "8 bits, trained on"), ("int4", "4-bit weights, trained on")):
        trained = again(ladder.next_recipe(run, epochs).override(**ladder.AWARE | {"quantize": kind}), seed,
                        folder / kind / "run")
        found[name] = of_file(trained, folder / kind / "file") if kind == ladder.BITS else \
            scores(trained, trained.model().predict_on_batch)
    return found


def pruned(run: Run, folder: Path, epochs: int, ways: Sequence[str], teacher: Path | None
           ) -> dict[str, dict[str, float]]:
    """Return what half and 80 % of the weights cost, and half of the multiply-adds."""
    found = {"8-bit file": of_file(run, folder / "int8")}
    recipe = ladder.next_recipe(run, epochs)
    if teacher:
        recipe = with_teacher(recipe, teacher)
    for way in ways:
        name, field = WAYS[way]
        trained = again(recipe.override(**field), run.result["seed"], folder / way / "run")
        found[name] = of_run(trained)
        found[f"{name}, 8-bit file"] = of_file(trained, folder / way / "file")
    return found


def with_teacher(recipe: Recipe, teacher: Path) -> Recipe:
    return recipe.override(objective="distill",
                           objective_args={**recipe.objective_args, "teacher": str(teacher.resolve())})


def taught(run: Run, folder: Path, teacher: Path, epochs: int) -> dict[str, dict[str, float]]:
    """Return what the run's recipe reaches with a teacher, also with half of the weights at zero, and in 8 bits."""
    trained = again(with_teacher(run.recipe, teacher), run.result["seed"], folder / "taught")
    sparse = again(ladder.next_recipe(trained, epochs).override(prune=0.5), run.result["seed"],
                   folder / "prune_half" / "run")
    return {"8-bit file": of_file(run, folder / "int8"), "with a teacher": of_run(trained),
            "with a teacher, 8-bit file": of_file(trained, folder / "file"),
            "with a teacher, half of the weights at zero": of_run(sparse),
            "with a teacher, half of the weights at zero, 8-bit file": of_file(sparse, folder / "prune_half" / "file")}


def body(found: list[dict[str, Any]]) -> str:
    """The tables of docs/compress.md."""
    if not found:
        return "not run\n"
    lines: list[str] = []
    for part, title in PARTS.items():
        without_seed = OWN[:-1]
        for own in dict.fromkeys(key_of(row, without_seed) for row in found if row["part"] == part):
            rows = [row for row in found if key_of(row, without_seed) == own]
            also = ", with a teacher" if part == "pruned" and "teacher" in rows[0] else ""
            lines += table(f"{title}{also}: `{rows[0]['recipe']}`", rows)
    return "\n".join(lines)


def key_of(row: dict[str, Any], keys: Sequence[str] = OWN) -> tuple[str, ...]:
    return tuple(str(row.get(key)) for key in keys)


def table(title: str, rows: list[dict[str, Any]]) -> list[str]:
    """Lines of a table, each version's numbers being means over seeds."""
    lines = [f"### {title}", "", "| version | test, % | against as trained, points | KB | KB in gzip | multiply-adds |",
             "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for name in dict.fromkeys(name for row in rows for name in row["versions"]):
        some = [row["versions"][name] for row in rows if name in row["versions"]]
        apart = [100 * (row["versions"][name]["test"] - row["versions"]["as trained"]["test"]) for row in rows
                 if name in row["versions"]]
        cells = [middle(some, key, scale) for key, scale in (("bytes", 1e-3), ("gzip", 1e-3), ("multiply_adds", 1))]
        lines.append(f"| {name} | {mean_sd([100 * one['test'] for one in some])} | {mean_sd(apart)} | "
                     f"{' | '.join(cells)} |")
    faster = [one["faster"] for row in rows for one in row["versions"].values() if "faster" in one]
    seeds = sorted(row["seed"] for row in rows)
    said = f"Seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}; {rows[0]['epochs']} epochs"
    said += f", {rows[0]['epochs_to_zeros']} more to the zeros" if rows[0].get("epochs_to_zeros") else \
        " of each training after that of the run"
    said += f"; the teacher is a run of `{rows[0]['teacher']}`" if rows[0].get("teacher") else ""
    ends = dict.fromkeys(f"{each:.1f}" for each in (min(faster), max(faster))) if faster else ()
    said += f". The 8-bit file is {' to '.join(ends)} times as fast as the float32 file, at batches of 32" * bool(ends)
    return [*lines, "", f"{said}. Measured on {machine(rows[0]['environment'])}.", ""]


def middle(some: list[dict[str, float]], key: str, scale: float) -> str:
    values = [one[key] for one in some if key in one]
    return f"{scale * statistics.mean(values):,.1f}".removesuffix(".0") if values else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--teacher", type=Path, metavar="RUN")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="of pruned")
    parser.add_argument("--epochs", type=int, default=8, help="of a training that begins with a run")
    asked = parser.parse_args()
    if asked.teacher if asked.part == "bits" else asked.part == "taught" and not asked.teacher:
        parser.error("--teacher is for taught, which needs it, and for pruned")
    teacher = asked.teacher and Run.open(asked.teacher)
    path = RESULTS / f"{NAME}.json"
    for run in map(Run.open, asked.runs):
        row = {"part": asked.part, "recipe": run.recipe.name, "seed": run.result["seed"], "epochs": asked.epochs}
        if teacher:
            row["teacher"] = teacher.recipe.name
        if asked.part == "taught":
            row |= {"epochs": run.recipe.epochs, "epochs_to_zeros": asked.epochs}
        folder = RUNS / "-".join(str(row[key]) for key in OWN if key in row)
        made = taught(run, folder, asked.teacher, asked.epochs) if asked.part == "taught" else \
            pruned(run, folder, asked.epochs, asked.ways, asked.teacher) if asked.part == "pruned" else \
            bits(run, folder, asked.epochs)
        row |= {"versions": {"as trained": of_run(run), **made}, "environment": environment()}
        kept = json.loads(path.read_text()) if path.exists() else []
        write_json(path, sorted([one for one in kept if key_of(one) != key_of(row)] + [row], key=key_of))
        print(asked.part, run.path, {name: one["test"] for name, one in made.items()}, flush=True)


if __name__ == "__main__":
    main()
