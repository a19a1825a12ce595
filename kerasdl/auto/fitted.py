"""A model that was fitted in closed form, or by scikit-learn, as a run like any other. Its test split is not read."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from kerasdl import objectives
from kerasdl.data import Split
from kerasdl.data.naming import naming
from kerasdl.devices import strategy as strategies
from kerasdl.evaluation import linear_probe
from kerasdl.evaluation.linear_probe import ClassWeight, LinearProbe
from kerasdl.evaluation.padded import evaluator
from kerasdl.objectives.base import Objective
from kerasdl.objectives.classify import class_weights
from kerasdl.recipe import Recipe
from kerasdl.run import Run
from kerasdl.train import record
from kerasdl.train.setup import Setup


def frozen(recipe: Recipe, body: keras.Model, whole: Callable[[LinearProbe], keras.Model], splits: Mapping[str, Split],
           path: Path, until: float | None = None) -> Run:
    """Write the run of a frozen network with logistic regression. Its test split is not read.

    Args:
        recipe: what the run is of.
        body: gives the features.
        whole: gives the network with the head that was fitted.
        splits, path: as in `write`.
        until: as in linear_probe.fit.
    """
    began, some = time.monotonic(), {name: splits[name] for name in ("train", "val")}
    features = linear_probe.features_of(body, some)
    probe = linear_probe.fit(features["train"], some["train"].y, features["val"],  # type: ignore[arg-type]
                             some["val"].y, some["train"].outputs,  # type: ignore[arg-type]
                             class_weight=class_weight(objectives.of(recipe), some["train"]), until=until)
    return write(recipe, whole(probe), splits, path, {"head": "logistic regression", "C": probe.strength}, began)


def class_weight(objective: Objective, train: Split) -> ClassWeight:
    """Return what the objective says of the weight of classes, as scikit-learn takes it."""
    setting = getattr(objective.settings, "class_weight", None)
    return dict(enumerate(class_weights(setting, train).tolist())) if isinstance(setting, Mapping) else setting


def write(recipe: Recipe, network: keras.Model, splits: Mapping[str, Split], path: Path, facts: Mapping[str, Any],
          began: float) -> Run:
    """Measure a network on val, and write its run.

    Args:
        recipe: what the run is of.
        network: raw examples in, logits or numbers out.
        splits: train, val and test.
        path: the run's folder.
        facts: how it was fitted, for result.json.
        began: when, on the clock time.monotonic.
    """
    setup = Setup.of(recipe, splits, strategies.choose("one"))
    setup.objective.bind(network)
    with naming(splits):
        scores = evaluator(setup.objective, network, recipe.micro_batch, setup.devices)
        scores.check(splits["val"])
        val = record.finite(scores(splits["val"]))
    run = Run.create(recipe, path)
    record.begin(run, setup, {}, network)
    record.save(run, network)
    record.finish(run, setup, {}, status="completed", monitor=scores.monitor, best_epoch=None, val=val,
                  parameters=network.count_params(), fitted=dict(facts),
                  train={"seconds": round(time.monotonic() - began, 3)})
    return run
