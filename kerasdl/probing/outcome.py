"""What came of a probe, as plain numbers: probe.json."""

from typing import Any

import numpy as np

import kerasdl
from kerasdl import objectives
from kerasdl.environment import environment
from kerasdl.evaluation import intervals
from kerasdl.files import write_json, writing
from kerasdl.probing.probe import Task, Way
from kerasdl.text import moment

FILE = "probe.json"
CONTROLS = {("run", "linear"): (("random", "linear"), ("raw", "linear")),
            ("run", "kNN"): (("random", "kNN"), ("raw", "kNN")),
            ("run", "fine-tuned"): (("random", "from scratch"),)}  # what each way has to beat


def document(task: Task) -> dict[str, Any]:
    """Return the probe: each way with its accuracies, and how far the run is ahead of each control.

    Intervals are of 95 %: Wilson's of an accuracy, the bootstrap's of a difference on the same test examples.
    """
    recipe, own = task.recipe, task.run.recipe
    truth = task.truth["test"]
    return {
        "run": str(task.run.path), "recipe": own.name or own.model, "objective": own.objective, "model": own.model,
        "model_args": recipe.model_args, "data": recipe.data, "seed": recipe.seed,
        "classes": list(task.splits["train"].classes),
        "splits": {name: len(split) for name, split in task.splits.items()}, "labels": list(task.places),
        "asked": list(task.asked), "layers": task.layers, "frozen": task.hashes,
        "training": {"recipe": recipe.name, "fewest_steps": task.steps, "settings": recipe.diff()},
        "rows": [_row(way, truth) for way in task.ways], "ahead": ahead(task), "remarks": remarks(task),
        "finished": moment(), "kerasdl": kerasdl.__version__, "environment": environment()}


def write(task: Task) -> dict[str, Any]:
    """Write probe.json into the run's folder, and return what it holds."""
    found = document(task)
    with writing(task.run.path / FILE, "Make room, and probe it again."):
        write_json(task.run.path / FILE, found)
    return found


def ahead(task: Task) -> list[dict[str, Any]]:
    """Return how much better each way of the run is than each control with the same labels."""
    truth, found = task.truth["test"], {(way.features, way.way, way.labels): way for way in task.ways}
    rows = []
    for count in task.places:
        for ours, controls in CONTROLS.items():
            for control in controls:
                one, two = found.get((*ours, count)), found.get((*control, count))
                if one and two:
                    difference = _accuracy(one.answers, truth) - _accuracy(two.answers, truth)
                    rows.append({"labels": count, "way": ours[1], "control": list(control), "difference": difference,
                                 "interval": intervals.of_difference("accuracy", truth, one.answers, two.answers)})
    return rows


def remarks(task: Task) -> list[str]:
    """Return a sentence on each reason why the numbers may say too much."""
    if objectives.get(task.run.recipe.objective, task.run.path).target is None:
        return []
    return ["The run learned from labels, so that its features, and the networks that are fine-tuned from them, know "
            "more labels than the rows say."]


def _row(way: Way, truth: np.ndarray) -> dict[str, Any]:
    return {"features": way.features, "way": way.way, "labels": way.labels, "val": {"accuracy": way.val},
            "test": {"accuracy": _accuracy(way.answers, truth)},
            "interval": intervals.of_score("accuracy", truth, way.answers), "chosen": way.chosen,
            "seconds": round(way.seconds, 2)}


def _accuracy(answers: np.ndarray, truth: np.ndarray) -> float:
    return intervals.score("accuracy", truth, answers)
