"""Texts: a transformer that knows English already, frozen with logistic regression, and fine-tuned.

It reads the same texts in the tokens of its public weights, and is tried where these are on this machine.
"""

import time
from typing import Any

import numpy as np

from kerasdl import zoo
from kerasdl.auto import fitted
from kerasdl.auto.task import Task
from kerasdl.auto.trainings import one
from kerasdl.errors import UserError
from kerasdl.evaluation import linear_probe
from kerasdl.evaluation.linear_probe import LinearProbe
from kerasdl.objectives.base import build_model
from kerasdl.photos import budget
from kerasdl.recipe import Recipe, load
from kerasdl.text import duration
from kerasdl.zoo.weights import public

NAME, RECIPE = "minilm", "minilm_text"
TIMED = 64  # texts by which the time of all is estimated
SHARE = 0.3  # of the time that is left, that the features and the head may take
NONE = ("No trained weights for texts are on this machine. Where texts are English and labels few, they help. To fetch "
        f"some, 91 MB: kerasdl weights get {NAME}")


def pretrained(task: Task) -> None:
    """Fit a head to the frozen network, and fine-tune all of it if there is time."""
    if "tokens" in task.base.data_args:
        task.skip(NAME, "not started: it reads tokens of its own, and you have chosen data_args.tokens")
    elif not public.are_here(public.KNOWN[NAME].file, *public.KNOWN[NAME].also):
        task.remark(NONE)
    else:
        try:
            recipe = recipe_of(task)
            freeze(task, recipe)
        except (UserError, ValueError) as error:  # a file that is not what its checksum says
            task.skip(NAME, f"not started: {' '.join(str(error).split())}")
        else:
            one(task, [recipe], "default", task.left / 2)


def recipe_of(task: Task) -> Recipe:
    """Return the recipe of the fine-tuning, with the data and the score of all candidates."""
    kept = {key: getattr(task.base, key) for key in ("data", "splits", "monitor", "objective_args", "seed")}
    recipe, length = load(RECIPE), task.splits["train"].shape[0]
    args = {**task.base.data_args, "tokens": NAME, "length": min(length, recipe.model_args["longest"])}
    return recipe.model_copy(update={**kept, "name": NAME, "data_args": args,
                                     "batch": min(recipe.batch, len(task.splits["train"]))})


def freeze(task: Task, recipe: Recipe) -> None:
    """Fit a linear head to what the network says of each text, unless that takes too long."""
    name = f"frozen_{NAME}"
    splits = task.splits_of(recipe)
    network = build_model(recipe, splits["train"])
    body = zoo.features(network)
    if not (task.home / name / "result.json").exists():
        needed = budget.FITTING + seconds_per_text(body, splits["train"]) * sum(map(len, splits.values()))
        if needed > SHARE * task.left:
            task.skip(name, f"not started: its features would take {duration(needed)}")
            return
    recipe = recipe.model_copy(update={"name": name})

    def whole(probe: LinearProbe) -> Any:
        network.get_layer("logits").set_weights([probe.kernel, probe.bias])
        return network

    until = time.monotonic() + SHARE * task.left
    task.add(name, "baseline", lambda path: fitted.frozen(recipe, body, whole, splits, path, until))


def seconds_per_text(body: Any, train: Any) -> float:
    """Return how long the features of a text take."""
    some, times = train.part(np.arange(min(TIMED, len(train)))), []
    for _ in range(2):  # the first one compiles
        began = time.monotonic()
        linear_probe.features_of(body, {"train": some})
        times.append(time.monotonic() - began)
    return min(times) / len(some)
