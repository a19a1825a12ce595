"""Explain a run: some methods on some examples, what they say of the model as a whole, and the checks of each."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import keras
import numpy as np
from scipy.special import expit

from kerasdl import objectives
from kerasdl.data import Split
from kerasdl.data.spec import recorded_kind
from kerasdl.errors import UserError, nearest
from kerasdl.evaluation.splits import load_split
from kerasdl.explain import methods
from kerasdl.explain.checks import planted as patches
from kerasdl.explain.checks.check import check
from kerasdl.explain.checks.faithfulness import Probability, softmax_of
from kerasdl.explain.description import Material, describe
from kerasdl.explain.examples import Examples
from kerasdl.explain.explanation import Explanation, explain
from kerasdl.explain.network import Network
from kerasdl.objectives.base import Objective, build_model
from kerasdl.run import Run
from kerasdl.train.setup import seeded

PROBABILITY: dict[str | None, Probability | None] = {"class": softmax_of, "labels": expit, "number": None}
logger = logging.getLogger(__name__)


@dataclass
class Explained:
    """What came of explaining a run.

    Attributes:
        subject: what was explained.
        examples: which ones; None: only the model as a whole.
        found: {method: its explanation of the examples}.
        layers: {method: the layer that it reads}.
        checks: {method: what its checks found}.
        descriptions: {method: arrays}, of methods that explain the model as a whole.
        material: what these have read.
        remarks: sentences on what could not be measured.
    """

    subject: "Subject"
    examples: Examples | None
    found: dict[str, Explanation] = field(default_factory=dict)
    layers: dict[str, str] = field(default_factory=dict)
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)
    descriptions: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    material: Material = field(default_factory=Material)
    remarks: list[str] = field(default_factory=list)


class Subject:
    """A run that is explained. What takes long is read when it is first asked for.

    Args:
        run: a run whose model predicts.

    Raises:
        UserError: a run without a model, of a generator, or whose model has more than one answer an example.
    """

    def __init__(self, run: Run):
        self.run, self.recipe, self.facts = run, run.recipe, run.data
        self.kind = recorded_kind(self.facts)
        self.objective: Objective = objectives.of(self.recipe, run.path)
        if not self.objective.predicts:
            raise UserError(f"There is no answer to explain: a model with objective={self.recipe.objective} makes no "
                            "predictions. Explain a run that does, such as one with objective=classify.")
        if self.objective.target not in PROBABILITY:
            raise UserError(f"An explanation is of one answer an example, and a model with "
                            f"objective={self.recipe.objective} has one for each token.")
        self.probability = PROBABILITY[self.objective.target]
        self.classes: list[str] = list(self.facts["classes"])
        self.numbers: list[str] = list(self.facts.get("numbers", ()))
        self.network = Network(run.model(), self.kind)

    @cached_property
    def test(self) -> Split:
        """The test split of the run."""
        return load_split(self.run, "test")

    @cached_property
    def training(self) -> Split:
        """The training split of the run."""
        return load_split(self.run, "train")

    @property
    def offsets(self) -> dict[str, float]:
        """What was subtracted from the numbers of some columns of rows."""
        return (self.facts.get("reading") or {}).get("offsets") or {}

    def named(self, index: int) -> str:
        """Return the name of a class or of a number, or of an output without one."""
        names = self.classes or self.numbers
        return names[index] if names else f"output {index + 1}"

    def index(self, name: str | None) -> int | None:
        """Return the output of a class by its name, and of a number by its name or "output 2". None: the predicted
        class of each example; of numbers, which have units of their own, the first.

        Raises:
            UserError: there is no such class, or no such output.
        """
        if not self.classes:
            plain = [f"output {number}" for number in range(1, self.network.classes + 1)]
            for names in (self.numbers, plain) if name is not None else ():
                if name in names:
                    return names.index(name)
            if name is not None:
                several = f"Give --class one of: {', '.join(self.numbers or plain)}."
                raise UserError("The model predicts numbers and has no classes. "
                                f"{several if len(plain) > 1 else 'Leave out --class.'}")
            return 0
        if name is None:
            return None
        if name not in self.classes:
            raise UserError(f"The model has no class {name!r}. {nearest(name, self.classes)}")
        return self.classes.index(name)

    def material(self, labels: bool, seed: int) -> Material:
        """Return what methods read that explain the model as a whole: with labels, the test split."""
        shape = tuple(np.ravel(self.facts["shape"]).tolist())
        if not labels:
            return Material(classes=tuple(self.classes), shape=shape, seed=seed)
        x, y = self.test.take(np.arange(len(self.test)))
        return Material(x, y, tuple(self.classes), self.facts.get("columns") or {}, shape, seed,
                        self.offsets, tuple(self.numbers))

    def planted(self, seed: int, steps: int = patches.STEPS, longest: float | None = None
                ) -> tuple[patches.Planted | None, str]:
        """Return a network of the run's architecture that has learned from the run's examples with a planted patch; or
        None and a sentence that says why there is none.

        Args:
            seed: of all that is random.
            steps: of its training.
            longest: the seconds that the training may take; None: any.
        """
        args = {key: value for key, value in self.recipe.model_args.items() if key != "weights"}
        recipe = self.recipe.model_copy(update={"model_args": args})

        def build() -> keras.Model:
            with seeded(seed):
                return build_model(recipe, self.training, outputs=patches.CLASSES, run=self.run.path)

        try:
            network = build()
        except ValueError:  # no architecture of the zoo, as an ensemble and trees are not
            return None, f"A model of {self.recipe.model} cannot be built anew to learn a planted patch."
        x = self.training.sample(patches.TRAINED + patches.HELD_OUT)
        try:
            return patches.planted(network, x, self.kind, seed, steps, longest)
        except ValueError as error:
            why = str(error).partition("\n")[0]
            return None, f"A model of {self.recipe.model} could not learn a planted patch: {why}"


def explain_subject(subject: Subject, names: Sequence[str], examples: Examples | None, *, target: str | None = None,
                    layer: str | None = None, checked: np.ndarray | None = None, plant: bool | None = None,
                    seed: int = 0) -> Explained:
    """Explain a run.

    Args:
        subject: the run.
        names: of the methods.
        examples: for those that explain examples.
        target: the class whose answer is explained, or "output 2" of numbers; None: the predicted class of each
            example, or the first output.
        layer: for methods that read one.
        checked: (N, ...) examples of the test split for the checks; None: nothing is checked.
        plant: whether to train a network for the check of the planted patch; None: if that takes patches.LONGEST at
            most.
        seed: of all that is random.

    Raises:
        UserError: a method that does not fit, no examples for one that needs some, an unknown class or layer.
    """
    network, explained = subject.network, Explained(subject, examples)
    chosen = {name: methods.check(name, network) for name in names}
    index = subject.index(target)
    of_examples = [name for name, module in chosen.items() if methods.is_attribution(module)]
    settings = {name: settings_of(chosen[name], layer, seed) for name in of_examples}
    if layer is not None and not any("layer" in each for each in settings.values()):
        reading = "reads no layer of its" if len(names) == 1 else "read no layer of their"
        raise UserError(f"{' and '.join(names)} {reading} own. Leave out --layer.")
    for name in of_examples:
        if examples is not None:
            explained.found[name] = explain(network, examples.x, name, target=index, **settings[name])
        if hasattr(chosen[name], "layer_of"):
            explained.layers[name] = chosen[name].layer_of(network, layer)
    if rest := [name for name in names if name not in of_examples]:
        explained.material = subject.material(any(chosen[name].NEEDS for name in rest), seed)
        explained.descriptions = {name: describe(network, name, explained.material) for name in rest}
    if checked is not None and of_examples:
        planted, why = (None, "") if plant is False else subject.planted(
            seed, longest=patches.LONGEST if plant is None else None)
        if why:
            explained.remarks.append(f"The question of a planted reason has no answer. {why}")
        for name in of_examples:
            logger.info("checking %s", chosen[name].TITLE)
            explained.checks[name] = check(network, checked, name, target=None if subject.classes else index,
                                           planted=planted, probability=subject.probability,
                                           **settings[name] | {"seed": seed})
    return explained


def settings_of(module: Any, layer: str | None, seed: int) -> dict[str, Any]:
    """Return what a method takes of a layer and a seed."""
    known = methods.settings(module)
    return {key: value for key, value in {"layer": layer, "seed": seed}.items() if key in known and value is not None}
