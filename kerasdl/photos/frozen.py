"""A frozen network with logistic regression on its features, as a run like any other."""

import time
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from kerasdl.data import Split
from kerasdl.devices import strategy as strategies
from kerasdl.evaluation import intervals, linear_probe, predictions
from kerasdl.evaluation.linear_probe import LinearProbe
from kerasdl.recipe import Recipe
from kerasdl.run import Run
from kerasdl.train import pretrained, record
from kerasdl.train.setup import Setup
from kerasdl.zoo.blocks import head


def run(recipe: Recipe, body: keras.Model, splits: Mapping[str, Split], path: Path, until: float | None = None) -> Run:
    """Fit the head, measure the network on val and test, and write the run.

    Args:
        recipe: what the run is of.
        body: the network without its head.
        splits: train, val and test.
        path: the run's folder.
        until: as in linear_probe.fit.

    Raises:
        UserError: the body has learned from images that are in val or test here; see kerasdl.train.seen.
    """
    began, classes = time.monotonic(), len(splits["train"].classes)
    initial = pretrained.read(recipe)
    setup = Setup.of(recipe, splits, strategies.choose("one"), initial=initial)
    features = linear_probe.features_of(body, splits)
    truth = {name: np.asarray(split.y) for name, split in splits.items()}
    probe = linear_probe.fit(features["train"], truth["train"], features["val"], truth["val"], classes,
                             class_weight=recipe.objective_args.get("class_weight"), until=until)
    network = with_head(body, probe)
    outputs = {name: probe.logits(features[name]) for name in ("val", "test")}
    measured = {name: scores(outputs[name], truth[name], recipe.monitor) for name in outputs}
    made = Run.create(recipe, path)
    if initial:
        setup.begun.update(pretrained.account(network, initial, splits["train"].classes))
    record.begin(made, setup, {}, network)
    record.save(made, network)
    predictions.write(made, predictions.Predictions(np.arange(len(truth["test"])), truth["test"], outputs["test"]))
    record.finish(made, setup, {}, status="completed", monitor=setup.objective.monitor, best_epoch=None,
                  parameters=network.count_params(), **measured,
                  fitted={"head": "logistic regression", "C": probe.strength, "val_loss": probe.losses},
                  train={"seconds": round(time.monotonic() - began, 3)})
    return made


def with_head(body: keras.Model, probe: LinearProbe) -> keras.Model:
    """Return the network with the probe as its layer "logits": images in, float32 logits out."""
    logits = head(body.output["features"], len(probe.bias))
    network = keras.Model(body.input, logits, name=body.name)
    network.get_layer("logits").set_weights([probe.kernel, probe.bias])
    return network


def scores(logits: np.ndarray, truth: np.ndarray, monitor: str) -> dict[str, float]:
    """Return accuracy, cross-entropy and, if it is another one, the score that chooses."""
    wanted = ["accuracy", *([monitor] if monitor else [])]
    return {"loss": linear_probe.cross_entropy(logits, truth),
            **{name: intervals.score(name, truth, logits) for name in wanted}}
