"""What came of it, as plain numbers: auto.json, and the recipe to keep. The test split is read here, once."""

import json
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

import kerasdl
from kerasdl.auto import scores, sizes
from kerasdl.auto.task import CUT, OUTCOME, Candidate, Task
from kerasdl.devices import strategy as strategies
from kerasdl.environment import environment
from kerasdl.evaluation import predictions
from kerasdl.evaluation.padded import evaluator
from kerasdl.files import write_json, write_text, writing
from kerasdl.recipe_text import python
from kerasdl.text import figure, moment, typed
from kerasdl.train.record import finite

RECIPE = "recipe.py"


def write(task: Task, winner: Candidate, first: Candidate) -> dict[str, Any]:
    """Read the test split, write auto.json and recipe.py into the task's folder, and return what auto.json holds.

    Args:
        task: what was tried.
        winner: what is kept.
        first: what validation had chosen before that was trained once more.
    """
    found = document(task, winner, first)
    with writing(task.home, "Choose another --workdir."):
        if kept := recipe_to_keep(task, winner):
            write_text(task.home / RECIPE, kept)
        write_json(task.home / OUTCOME, found)
    return found


def finished(home: Path) -> dict[str, Any] | None:
    """Return what auto.json of a folder says, with paths as the folder is named now; None without one."""
    try:
        found = json.loads((home / OUTCOME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    recipe, export = found["recipe"] and str(home / RECIPE), found["export"]
    if export:
        export = export | {"folder": str(home / Path(export["folder"]).relative_to(found["home"]))}
    return found | {"home": str(home), "run": str(home / found["chosen"]), "recipe": recipe, "export": export}


def document(task: Task, winner: Candidate, first: Candidate) -> dict[str, Any]:
    """Return the whole story as plain JSON: what was tried, what was not, what won, and how good it is."""
    baseline = task.ranked("baseline")[0]
    tested = {each.name: measured(task, each) for each in (winner, baseline)}
    export, why = sizes.exported(task, winner)
    lost = [] if export is None else [f"{name}: {values['keras']:.4f} in Keras, {values['file']:.4f} in the file"
                                     for name, values in export["scores"].items() if name == task.monitor]
    splits, clock = task.splits, task.clock
    return {
        "home": str(task.home), "data": task.base.data, "data_args": task.base.data_args,
        "objective": task.asked.objective, "kind": task.kind,
        "classes": list(splits["train"].classes), "splits": {name: len(split) for name, split in splits.items()},
        "score": task.monitor, "better": task.better, "minutes": task.asked.minutes, "max_kb": task.asked.max_kb,
        "seed": task.asked.seed, "overrides": list(task.asked.overrides), "seconds": round(clock.spent, 1),
        "candidates": [described(task, each) for each in task.candidates],
        "not_started": [{"name": name, "why": text} for name, text in task.skipped.items()],
        "chosen": winner.name, "run": str(winner.run.path), "baseline": baseline.name,
        "verdict": verdict(task, winner, baseline, first), "luck": luck(task, winner, first),
        "test": tested, "ahead": ahead(task, winner, baseline),
        "recipe": str(task.home / RECIPE) if any(each.trains for each in task.candidates) else None,
        "export": export and {**{key: export[key] for key in ("folder", "file", "format", "quantize", "bytes")},
                              "lost": lost},
        "remarks": [*winner_remarks(winner), *task.remarks, *([why] if why else [])],
        "finished": moment(), "kerasdl": kerasdl.__version__, "environment": environment()}


def measured(task: Task, candidate: Candidate) -> dict[str, Any]:
    """Return the scores of a candidate on the test split with the interval of the monitored one; its run keeps them.

    A resumed task does not read the split again.
    """
    run, result = candidate.run, candidate.run.result
    if "test" not in result or predictions.read(run) is None:
        network, test = run.model(), task.splits_of(run.recipe)["test"]
        task.objective.bind(network)
        measure = evaluator(task.objective, network, run.recipe.micro_batch, strategies.choose("one"))
        predictions.write(run, predictions.collect(task.objective, network, test, run.recipe.micro_batch))
        result = result | {"test": finite(measure(test)), "monitor": task.monitor}
        with run.writing():
            write_json(run.path / "result.json", result)
    low, high = scores.of_score(task.monitor, str(task.objective.target), *answers(candidate))
    return {"scores": result["test"], "interval": [low, high]}


def answers(candidate: Candidate) -> tuple[np.ndarray, np.ndarray]:
    """Return truth and outputs of a candidate on the test split."""
    found = predictions.read(candidate.run)
    assert found is not None
    return found.truth, found.outputs


def ahead(task: Task, winner: Candidate, baseline: Candidate) -> list[float] | None:
    """Return the interval of how far the winner's test score is above the baseline's; None if it is that."""
    if winner.name == baseline.name:
        return None
    (truth, mine), (_, others) = answers(winner), answers(baseline)
    return list(scores.of_difference(task.monitor, str(task.objective.target), truth, mine, others))


def described(task: Task, candidate: Candidate) -> dict[str, Any]:
    """Return a candidate as a row of the table."""
    return {"name": candidate.name, "kind": candidate.kind, "val": finite(dict(candidate.val)),
            "parameters": candidate.run.result["parameters"], "seconds": round(candidate.seconds, 1),
            "note": candidate.note or facts_of(candidate)}


def facts_of(candidate: Candidate) -> str:
    """Return how a baseline was fitted, or how long a training was, in a few words."""
    result = candidate.run.result
    if found := result.get("fitted"):
        return ", ".join(f"{key} {value:g}" if isinstance(value, (int, float)) else f"{key} {value}"
                         for key, value in found.items())
    epochs = result.get("train", {}).get("epochs")
    return f"{epochs} of {candidate.run.recipe.epochs} epochs, best {result['best_epoch']}" if epochs else ""


def verdict(task: Task, winner: Candidate, baseline: Candidate, first: Candidate) -> str:
    """Return in two sentences what wins, and against what."""
    score, networks = task.monitor.replace("_", " "), [each for each in task.ranked() if each.kind != "baseline"]
    value = f"{score} {figure(winner.val[task.monitor])} on validation data"
    if winner.kind != "baseline":
        name = f"{first.name}, trained once more," if winner.kind == "retrained" else winner.name
        return f"{name} wins, with {value}. The best baseline, {baseline.name}, {against(task, winner, baseline)}."
    if not networks:
        beaten = "No network was trained."
    elif (again := retrained(task)) and networks[0].name in (first.name, again.name):
        both = mean(each.val[task.monitor] for each in (first, again))
        beaten = (f"The best network, {first.name}, has {figure(first.val[task.monitor])}, and with another seed "
                  f"{figure(again.val[task.monitor])}: {figure(both)} in the mean.")
    else:
        beaten = f"The best network, {networks[0].name}, {against(task, winner, networks[0])}."
    return f"A baseline wins: {winner.name}, with {value}. {beaten}"


def retrained(task: Task) -> Candidate | None:
    """Return the second training of the recipe that was the best; None without one."""
    return next((each for each in task.candidates if each.kind == "retrained"), None)


def against(task: Task, winner: Candidate, other: Candidate) -> str:
    """Return what the best of the others has, and why it did not win if it is as good or better."""
    mine, theirs = (task.rank(each)[0] for each in (winner, other))
    why = ""
    if task.asked.max_kb is not None and task.rank(other) > task.rank(winner):
        why = f", and is too large for {task.asked.max_kb:g} KB"
    elif mine == theirs:
        why = ", too: of equal scores the simpler model is kept" if winner.kind == "baseline" else ", too"
    return f"has {figure(other.val[task.monitor])}{why}"


def luck(task: Task, winner: Candidate, first: Candidate) -> str:
    """Return a sentence on how much of the winner's validation score is selection."""
    if again := retrained(task):
        kept = f"the better of the two, {winner.name}, is kept" if winner.trains else \
            f"in the mean the two are not better than {winner.name}, which is simpler and kept"
        return (f"{first.name} was the best of {len(task.candidates) - 1} on validation data, "
                f"{figure(first.val[task.monitor])}, which chance has helped. The same recipe with another seed has "
                f"{figure(again.val[task.monitor])}, which nothing has chosen; {kept}.")
    if winner.kind == "baseline":
        return "It was not fitted again: another seed gives nearly the same."
    return "It was not trained again, so that its validation score is the best of several: chance has helped it."


def recipe_to_keep(task: Task, winner: Candidate) -> str | None:
    """Return a file of Python with the recipe of the winner, or of the best network where the winner is no training."""
    trained = winner if winner.trains else next((each for each in task.ranked() if each.trains), None)
    if trained is None:
        return None
    what = "the best model" if trained is winner else f"the best network; what won is {winner.name}"
    name = Path(task.base.data.partition(":")[2] or task.base.data).name
    cut = f" There its training was {trained.note[trained.note.index(CUT):]}." if CUT in trained.note else ""
    return python(trained.run.recipe, f"{name}: {what} of kerasdl auto, {task.asked.minutes:g} minutes.{cut}")


def winner_remarks(winner: Candidate) -> list[str]:
    """Return what was remarked of the data, such as examples that are in two splits."""
    return list(winner.run.data.get("remarks", []))


def commands(found: dict[str, Any]) -> dict[str, str]:
    """Return what a user may do next, {what: the command}."""
    run, limit = typed(found["run"]), found["max_kb"]
    return {"predict": f"kerasdl predict {run} FILE...",
            **({"train it again": f"kerasdl train {typed(found['recipe'])}"} if found["recipe"] else {}),
            "export it": f"kerasdl export {run} --format onnx", "ask what it gets wrong": f"kerasdl audit {run}",
            **({} if limit is None else {"make it smaller": f"kerasdl compress {run} --to '{limit:g} KB'"})}
