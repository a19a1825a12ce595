"""Probe a run: fit classifiers on its frozen features, fine-tune it, do the same with controls, and measure."""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasdl import objectives
from kerasdl.data import Split, load_splits
from kerasdl.data.naming import naming
from kerasdl.errors import UserError
from kerasdl.evaluation import linear_probe, predictions, raw
from kerasdl.files import alone
from kerasdl.objectives.base import HAS
from kerasdl.probing import labels as subsets
from kerasdl.probing import network, probes, training
from kerasdl.recipe import Recipe
from kerasdl.run import Run
from kerasdl.train import pretrained, seen
from kerasdl.train.setup import SPLITS

FOLDER = "probe"
FROZEN = ("random", "raw")  # controls that are probed as the run's features are
TRAININGS = {"fine-tuned": "run", "from scratch": "random"}  # a way that trains, and the weights it begins with
logger = logging.getLogger(__name__)


@dataclass
class Way:
    """A classifier that has learned from some of the labels.

    Attributes:
        features: "run", "random" or "raw": what it reads or begins with.
        way: "linear", "kNN", "fine-tuned" or "from scratch".
        labels: how many.
        val: accuracy on validation.
        chosen: by validation.
        seconds: of fitting or training.
        answers: (N, classes) for the test split, once that is read.
    """

    features: str
    way: str
    labels: int
    val: float
    chosen: dict[str, Any]
    seconds: float
    answers: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))


@dataclass
class Task:
    """What is probed, with which labels.

    Attributes:
        run: whose features.
        recipe: of the trainings.
        splits: "train", "val" and "test", with classes.
        places: {number of labels: places of these examples in train}, the same for all ways.
        home: the folder of the trainings.
        asked: options and overrides that the probe was asked for with, as one types them, but labels and seed.
        steps: fewest of a training.
        layers: up to the features that were "taken" from the run, and "fitted" to another shape.
        ways: found so far.
        hashes: of frozen networks, {"run": {"before", "after"}, "random": ...}.
    """

    run: Run
    recipe: Recipe
    splits: Mapping[str, Split]
    places: Mapping[int, np.ndarray]
    home: Path
    asked: Sequence[str] = ()
    steps: int = training.STEPS
    layers: dict[str, Any] = field(default_factory=dict)
    ways: list[Way] = field(default_factory=list)
    hashes: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self):
        self.truth = {name: targets(split) for name, split in self.splits.items()}

    def add(self, way: Way) -> None:
        """Keep a classifier, and log it."""
        self.ways.append(way)
        logger.info("%d labels, %s, %s: val accuracy %.4f, %.1f s", way.labels, way.features, way.way, way.val,
                    way.seconds)


def probe(run: Run | str | Path, labels: str | Sequence[str | int] = subsets.DEFAULT, *overrides: str,
          recipe: str | None = None, seed: int = 0, finetune: bool = True, steps: int = training.STEPS,
          data: Mapping[str, Split] | None = None, controls: Sequence[str] = FROZEN, scratch: Path | None = None
          ) -> Task:
    """Return every way of classifying that was tried, each with its answers for the test split.

    Args:
        run: a finished run, or its folder.
        labels: shares of the training labels such as "1%", or numbers of them.
        *overrides: changes of the recipe as text, of its data too: "data=folder:PATH", "epochs=20".
        recipe: a recipe of classification with the run's model, to train networks by; by default the run's own.
        seed: of the subsets, of random weights and of the trainings.
        finetune: whether to train networks; frozen features are always probed.
        steps: the fewest of a training, unless the recipe has fewer with all labels.
        data: splits with classes, in place of those of the recipe.
        controls: which of FROZEN to probe, too.
        scratch: the folder of the trainings from scratch, which several runs of one model may share; by default that of
            the run's other trainings.

    Raises:
        UserError: a run that is not finished or without features, data without classes, labels that leave a class
            without an example, or another process that trains networks for a probe of the run.
    """
    run, texts = Run.open(run), subsets.parse(labels)
    check(run)
    plan = training.recipe_of(run, recipe, overrides, seed)
    splits = data or loaded(plan, run)
    with alone(run.path / FOLDER, "Make room, and probe it again.") if finetune else nullcontext(), naming(splits):
        y, classes = targets(splits["train"]), check_classes(splits)
        places = subsets.places(texts, y, classes, seed)
        asked = [*([f"--recipe={recipe}"] if recipe else []), *([] if finetune else ["--no-finetune"]),
                 *([f"--steps={steps}"] if steps != training.STEPS else []), *overrides]
        task = Task(run, plan, splits, places, run.path / FOLDER, asked, steps)
        initial = pretrained.read(plan.override(init=str(run.path)))
        assert initial
        pretrained.check_fits(initial, splits["train"], str(run.path))
        seen.check_apart(run, plan, splits)
        tuned = network.classifier(plan, splits["train"], run, initial)
        frozen = {"run": network.body(tuned)}
        if "random" in controls:
            frozen["random"] = network.body(network.classifier(plan, splits["train"], run, None))
        task.layers = network.taken(tuned, initial, splits["train"])
        fitted = fit_probes(task, frozen, ("run", *controls))
        for way, weights in TRAININGS.items() if finetune else ():
            train_all(task, way, weights, initial.facts["weights"], scratch)
        measure(task, frozen, fitted)
    return task


def check(run: Run) -> None:
    """Raise a UserError for a run that did not finish, or diverged."""
    if run.result["status"] != "completed":
        raise UserError(f"{run.path} {run.result['status']}, so that it has no features to probe.")
    run.model_file  # noqa: B018  is there


def loaded(recipe: Recipe, run: Run) -> dict[str, Split]:
    """Return the splits of a recipe, with their labels."""
    if recipe.data == "arrays":
        raise UserError(f"{run.path} was trained on arrays, which it does not keep. Give --data NAME, or probe it from "
                        "Python with data=kerasdl.data.from_arrays(x, y).")
    return load_splits(recipe.data, SPLITS | recipe.splits, target="class", **recipe.data_args)


def check_classes(splits: Mapping[str, Split]) -> Sequence[str]:
    """Return the names of the classes, of which there are several.

    Raises:
        UserError: data without classes or of one class, or that is streamed.
    """
    train = splits["train"]
    if train.target != "class":
        raise UserError(f"A probe needs data with classes, and this has {HAS[train.target]}. Give "
                        "--data NAME, or data_args of your own.")
    if train.streamed:
        raise UserError("A probe is for data that fits in memory, and this is streamed.")
    if (there := len(np.unique(targets(train)))) < 2:
        raise UserError(f"A probe needs two classes or more, and the training split has {there}.")
    return train.classes


def targets(split: Split) -> np.ndarray:
    """Return the class indices (N,) of a split in memory."""
    return np.asarray(split.y)


def fit_probes(task: Task, frozen: Mapping[str, keras.Model], names: Sequence[str]) -> list[tuple[Way, probes.Probe]]:
    """Fit each probe on features of these names, of frozen networks or "raw" examples, for each number of labels."""
    learning, fitted = {name: task.splits[name] for name in ("train", "val")}, []
    classes = len(task.splits["train"].classes)
    for name in names:
        if name in frozen:
            task.hashes[name] = network.hashes(frozen[name])
        found = features(name, frozen, learning)
        for count, place in task.places.items():
            train = found["train"] if count == len(found["train"]) else found["train"][place]
            for way, fit in probes.PROBES.items():
                began = time.monotonic()
                made = fit(train, task.truth["train"][place], found["val"], task.truth["val"], classes)
                fitted.append((Way(name, way, count, made.accuracy, made.chosen, time.monotonic() - began), made))
                task.add(fitted[-1][0])
    return fitted


def features(name: str, frozen: Mapping[str, keras.Model], splits: Mapping[str, Split]) -> dict[str, np.ndarray]:
    """Return the features (N, D) of splits by a frozen network, or the raw examples."""
    return linear_probe.features_of(frozen[name], splits) if name in frozen else raw.features(splits)


def train_all(task: Task, way: str, weights: str, hashed: str, scratch: Path | None) -> None:
    """Train the recipe from the run's weights, or from random ones, with each number of labels."""
    tuned = weights == "run"
    recipe = task.recipe.override(init=str(task.run.path.resolve())) if tuned else task.recipe
    for count, place in task.places.items():
        times = training.repeats(recipe, count, len(task.splits["train"]), task.steps)
        home = task.home if tuned or scratch is None else scratch
        done = training.trained(recipe, training.splits_of(task.splits, place, times),
                                home / f"{way.replace(' ', '-')}-{count}", hashed if tuned else None)
        result = done.result
        task.add(Way(weights, way, count, result["val"]["accuracy"],
                     {"epoch": result["best_epoch"], "steps": result["train"]["steps"], "repeats": times,
                      "run": str(done.path)}, result["train"]["seconds"]))


def measure(task: Task, frozen: Mapping[str, keras.Model], fitted: Sequence[tuple[Way, probes.Probe]]) -> None:
    """Read the test split, for all ways at once, and check that frozen networks are as they were.

    Raises:
        UserError: a weight or statistic of a frozen network has changed.
    """
    test = {"test": task.splits["test"]}
    for name in dict.fromkeys(way.features for way, _ in fitted):
        found = features(name, frozen, test)["test"]
        for way, made in fitted:
            if way.features == name:
                way.answers = made.answer(found)
    for way in task.ways:
        if way.way in TRAININGS:
            run = Run.open(way.chosen["run"])
            way.answers = predictions.collect(objectives.of(run.recipe, task.run.path), run.model(), test["test"],
                                              run.recipe.micro_batch).outputs
    for name, model in frozen.items():
        after = network.hashes(model)
        network.check_same(task.hashes[name], after, "the run" if name == "run" else "random weights")
        task.hashes[name] = {"before": task.hashes[name]["all"], "after": after["all"]}
