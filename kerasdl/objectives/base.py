"""The contract of an objective. A subclass in one file needs a loss; everything else has a default."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from kerasdl import user_code, zoo
from kerasdl.data.spec import Target
from kerasdl.data.split import Split
from kerasdl.errors import UserError, nearest
from kerasdl.objectives import average
from kerasdl.objectives.learner import Learner
from kerasdl.objectives.painting import Painted
from kerasdl.objectives.sections import Findings, Section
from kerasdl.recipe import Recipe
from kerasdl.settings import Settings as NoSettings
from kerasdl.settings import parse
from kerasdl.text import typed

HAS = {"class": "classes", "labels": "several labels an example", "number": "numbers", "tags": "tags of tokens",
       None: "no labels"}  # of a target


class Objective:
    """What a model learns: the data it needs, its networks, loss, metrics, evaluation, figures and part of the report.

    A minimal objective overrides `compute_loss`. Class attributes describe it without an instance:

    Attributes:
        inputs: the kinds of example that it can learn from; see kerasdl.data.spec.
        target: what the data must give with each example: "class", "labels", "number", or None for nothing.
        scores: every score that it logs on validation data, and whether "max" or "min" is better.
        overall_scores: the same for the scores that `overall` gives, in place of a loss or metric of that name. One
            that is not among `scores`, too, is computed only if the recipe's `monitor` names it.
        monitor: the score that chooses the best epoch, unless the recipe's `monitor` names another one. An instance has
            that in `monitor`, and in `scores` what this recipe logs.
        losses: names of losses in a training step's logs, and what a message calls them.
        backends: the backends of Keras on which it trains.
        predicts: whether the kept model answers questions about an example, so that predictions.npz is written.
        augments_views: whether test-time augmentation makes sense: the answer for an image is a mean over views.
        makes_views: whether `prepare` augments the images itself, by the recipe's `augment`, to compare views of each.
        learner_scores: those of the scores that only answers of the learner have, and none of the kept model's.
        prepares_for_learner: whether only the learner takes what `prepare` makes, and the kept model plain examples.
        sums_rows: whether the gradients of an embedding's row, of which a batch may have several, are summed before the
            optimizer takes its step, as they are on JAX.
        learner: the class of the model that is fitted.
        attack_budget: how far training moves each number of an image, in grey levels; None: it does not attack. An
            instance has its recipe's.
        separate: whether the loss of an example follows from that example and its labels alone, with nothing that was
            learned from others besides the network: then training can be private.
        classifier_args: model_args of a classifier that begins with such a model's weights, where the objective has
            other defaults than the model's `build`.
        with_teacher: the objective that learns the same from a teacher, too, for this class and no other; "": none.
        renamed: settings that earlier versions called otherwise, {old name: name}.
        Settings: a class of typed settings, which a recipe gives as `objective_args`.
    """

    inputs: ClassVar[tuple[str, ...]] = ("image", "row", "sequence", "tokens")
    target: ClassVar[Target | None] = None
    scores: Mapping[str, str] = {"loss": "min"}
    overall_scores: ClassVar[Mapping[str, str]] = {}
    learner_scores: ClassVar[tuple[str, ...]] = ()
    monitor: str = "loss"
    losses: ClassVar[Mapping[str, str]] = {"loss": "loss"}
    backends: ClassVar[tuple[str, ...]] = ("tensorflow", "jax")
    predicts: ClassVar[bool] = False
    augments_views: ClassVar[bool] = False
    makes_views: ClassVar[bool] = False
    prepares_for_learner: ClassVar[bool] = False
    sums_rows: ClassVar[bool] = True
    learner: ClassVar[type[Learner]] = Learner
    separate: ClassVar[bool] = False
    attack_budget: float | None = None
    classifier_args: ClassVar[Mapping[str, Any]] = {}
    with_teacher: ClassVar[str] = ""
    renamed: ClassVar[Mapping[str, str]] = {}
    Settings: ClassVar[type[NoSettings]] = NoSettings

    # A pure function (x, y, seed) -> (x, y) of a whole batch, applied after augmentation; seed is int64 (2,), a hash of
    # the recipe's seed and the step. All randomness of an objective belongs here: then replicas and a resumed run see
    # the same numbers as one device without interruption.
    prepare: Callable | None = None

    def __init__(self, recipe: Recipe, run: Path | None = None):
        args = {self.renamed.get(key, key): value for key, value in recipe.objective_args.items()}
        recipe = recipe if args == recipe.objective_args else recipe.model_copy(update={"objective_args": args})
        self.recipe, self.run = recipe, run
        self.settings: Any = parse(self.Settings, recipe.objective_args, "objective_args",
                                   f"objective={recipe.objective}")
        if monitor := recipe.monitor:
            known = {**self.scores, **self.overall_scores}
            if monitor not in known:
                raise UserError(f"objective={recipe.objective} has no score {monitor!r} to monitor. "
                                f"{nearest(monitor, known)}")
            self.monitor, self.scores = monitor, {**self.scores, monitor: known[monitor]}

    # What it needs of data and recipe

    def check(self, split: Split, replicas: int = 1) -> None:
        """Raise a UserError if the recipe or the training split does not fit."""
        name = self.recipe.objective
        if split.kind not in self.inputs:
            raise UserError(f"objective={name} learns from {' or '.join(self.inputs)} data, and the data has "
                            f"{split.kind} examples. Change one of the two.")
        if self.target and split.target != self.target:
            learns = self.target if self.target in ("labels", "tags") else f"a {self.target}"
            raise UserError(f"objective={name} learns {learns}, and the "
                            f"data has {HAS[split.target]}{' as targets' if split.target else ''}. Change one of the "
                            "two.")
        if split.weights is not None and not self.target:
            raise UserError(f"objective={name} reads no labels, and takes no weights of examples. Leave them out.")
        if self.recipe.tta and not self.augments_views:
            raise UserError(f"tta is for images that have classes. Leave it out with objective={name}.")

    def targets(self, split: Split) -> np.ndarray | None:
        """Return what a step compares answers with, (N, ...); of a streamed split, by label, (classes, ...)."""
        if not self.target:
            return None
        return np.arange(len(split.classes), dtype="int32") if split.streamed else split.y

    def training_targets(self, split: Split) -> np.ndarray | None:
        """Return the targets of training, where these differ from those that scores are measured with."""
        return self.targets(split)

    # Networks and the model that is fitted

    def network(self, split: Split) -> keras.Model:
        """Build the recipe's model for the data.

        Raises:
            ValueError: the model cannot be built so; see its `build`.
            UserError: the model does not take the data's examples, or does not answer with one number for each output.
        """
        network = build_model(self.recipe, split, run=self.run)
        if self.target and network.output_shape != (None, split.outputs):
            raise UserError(f"objective={self.recipe.objective} needs a network that answers with (B, {split.outputs}) "
                            f"for this data. {self.recipe.model} answers with {shown(network.output_shape)}.")
        return network

    def networks(self, split: Split) -> tuple[keras.Model, ...]:
        """Build all networks that train; the first one is kept."""
        return (self.network(split),)

    def assemble(self, networks: tuple[keras.Model, ...], steps: int
                 ) -> tuple[keras.Model, keras.Model, average.Averager | None]:
        """Return the model to fit, the network to keep, and what averages the one into the other after each step.

        Args:
            networks: what `networks` built.
            steps: of the whole training.
        """
        (network,) = networks
        if not self.recipe.ema:
            return self.learner(self, network), network, None
        kept = average.copy(network)
        averager = average.Averager(network, kept, self.recipe.ema)
        return self.learner(self, network, averager), kept, averager

    def optimizer_recipes(self) -> tuple[Recipe, ...]:
        """Return for each network the recipe that describes its optimizer."""
        return (self.recipe,)

    def compile(self, model: keras.Model, *optimizers: keras.optimizers.Optimizer, jit: bool | None) -> None:
        """Compile the model with its optimizers, and with XLA if `jit`; None leaves that to Keras."""
        model.compile(*optimizers, jit_compile="auto" if jit is None else jit)

    def noted(self) -> dict[str, Any]:
        """Return what data.json notes when a run begins, and a run that resumes needs to find again: plain values."""
        return {}

    def bind(self, network: keras.Model) -> None:
        """Read what loss and metrics need to know of the network, before either is called."""

    def compute_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        """Return the loss of each example, (B,).

        Args:
            x: the examples, as the network sees them.
            y: the targets; None without labels.
            y_pred: the network's answers.
        """
        raise NotImplementedError(f"{type(self).__name__} needs compute_loss(self, x, y, y_pred) -> (B,)")

    def validation_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        """Return the loss of each example, (B,), where nothing is learned from it. Arguments as `compute_loss`."""
        return self.compute_loss(x, y, y_pred)

    def metrics(self) -> list[keras.metrics.Metric]:
        """Return new metrics of (y, y_pred, sample_weight), which are logged next to the loss.

        In training they are weighted as the loss is, by the weights of the examples if the data has some.
        """
        return []

    def overall(self, score: str, y: Any, y_pred: Any) -> float:
        """Return one of the scores that no metric gives, of all answers of a split together; NaN: it is undefined.

        Args:
            score: its name.
            y: the targets of the split as `targets` has them, (N, ...) float32.
            y_pred: the network's answers, (N, ...), all finite.
        """
        raise NotImplementedError(f"{type(self).__name__} needs overall(self, score, y, y_pred) for {score!r}.")

    def defined(self, score: str, y: Any) -> bool:
        """Return whether a score has a value on the targets of a split (N, ...), whatever the answers."""
        return score not in self.overall_scores or not math.isnan(self.overall(score, y, y))

    # While and after training

    def callbacks(self) -> list[keras.callbacks.Callback]:
        """Return callbacks of its own."""
        return []

    def preview(self, kept: keras.Model) -> Callable[[], np.ndarray] | None:
        """Return a function that draws an image (H, W, C) uint8 after each epoch, for TensorBoard; None: nothing."""
        return None

    def reference(self) -> str | None:
        """Return the word for the trained classifier that scores look through ("" for the default); None: none."""
        return None

    def evaluator(self, kept: keras.Model, reference: Any) -> Any:
        """Return what scores the kept network on a split; None for loss and metrics of its answers.

        It has `monitor`, the name of the score that decides, `__call__(split) -> scores`, `check(split)`, which refuses
        a split that it cannot measure on, and `facts(splits)`, what result.json holds besides.
        """
        return None

    def facts(self, splits: Mapping[str, Split], answers: Callable[[Split], tuple[Any, Any]]) -> dict[str, Any]:
        """Return what else result.json holds.

        Args:
            splits: "train", "val" and "test".
            answers: gives y and y_pred of a split, as `overall` takes them, by the network that is kept.
        """
        return {}

    def follow_ups(self, kept: keras.Model, splits: Mapping[str, Split], reference: Any
                   ) -> Mapping[str, tuple[Recipe, Mapping[str, Split]]]:
        """Return trainings whose test score belongs into the result: {name: (recipe, splits)}."""
        return {}

    # What a user sees

    def answers(self, outputs: np.ndarray, classes: Sequence[str], top: int) -> list[list[tuple[str, float]]]:
        """Return for each example what `kerasdl predict` prints: (label, value) pairs."""
        raise UserError(f"A model with objective={self.recipe.objective} makes no predictions.")

    def chosen(self, answers: Sequence[tuple[str, float]]) -> list[str]:
        """Return which labels an example gets, by its `answers`: the first one."""
        return [answers[0][0]]

    def sample(self, kept: keras.Model, n: int, label: int | None, seed: int) -> np.ndarray:
        """Return `n` images that the kept model makes, uint8 (n, H, W, C)."""
        raise UserError(f"The model makes no images: its objective is {self.recipe.objective}. Ask it: "
                        "kerasdl predict RUN FILE...")

    def continued(self, kept: keras.Model, prompt: str, count: int, *, temperature: float = 1.0,
                  top_k: int | None = None, top_p: float | None = None, seed: int = 0) -> str:
        """Return a text, and `count` tokens that the kept model continues it with."""
        raise UserError(f"The model writes no text: its objective is {self.recipe.objective}. Leave out --prompt.")

    def painted(self, kept: keras.Model, image: np.ndarray, hole: np.ndarray | None) -> Painted:
        """Return an image of any size with what the kept model brings back in it.

        Args:
            kept: the model.
            image: uint8 (H, W, C).
            hole: which pixels are to be filled, bool (H, W); None: there is no mask.
        """
        raise UserError(f"The model brings nothing back in an image: its objective is {self.recipe.objective}. Train "
                        "one that does: kerasdl train inpaint_digits")

    def sections(self, findings: Findings) -> list[Section]:
        """Return its part of the report."""
        return []

    def next_command(self, folder: Path) -> str:
        """Return what a user may do next with a finished run."""
        return f"kerasdl predict {typed(folder)} FILE..." if self.predicts else f"kerasdl report {typed(folder)}"


def build_model(recipe: Recipe, split: Split, outputs: int | None = None, run: Path | None = None,
                shape: Sequence[int] | None = None) -> keras.Model:
    """Build the recipe's model, of the zoo or of the user's file, for the shape of the data.

    Args:
        recipe: its `model` and `model_args`.
        split: whose shape the model takes.
        outputs: how many numbers it answers with; None: as many as the data has classes or targets.
        run: a run's folder, whose copy of the user's file is used if it has one.
        shape: that the user's model takes, where the objective gives it less than an example; None: the split's.

    Raises:
        ValueError: as the model's build function raises it.
        UserError: the user's file does not load, or its function returns no keras.Model.
    """
    outputs = outputs or split.outputs
    if not user_code.is_reference(recipe.model):
        if recipe.model in zoo.GENERATIVE:
            raise ValueError(f"it is two networks, for objective=adversarial. Expected one of: {', '.join(zoo.MODELS)}")
        args = build_args(zoo.module(recipe.model).build, recipe, split)
        return zoo.build(recipe.model, split.shape, outputs, **args)
    function = user_code.load(recipe.model, run)
    zoo.check_args(function, recipe.model_args, recipe.model)
    args = build_args(function, recipe, split)
    given = split.shape if shape is None else tuple(shape)
    try:
        inspect.signature(function).bind(given, outputs, **args)
    except TypeError as error:
        raise UserError(f"{recipe.model} is called with (image_shape, classes) and model_args: {error}.") from None
    model = function(given, outputs, **args)
    if not isinstance(model, keras.Model):
        raise UserError(f"{recipe.model} must return a keras.Model. Received: {type(model).__name__}.")
    if not getattr(model, "inputs", None):  # a class of one's own, or a Sequential that has not seen an example
        raise UserError(f"{recipe.model} must return a functional model, keras.Model(inputs, outputs), or a "
                        "keras.Sequential that begins with keras.Input(image_shape). Received: "
                        f"{type(model).__name__} without inputs.")
    if not isinstance(model.input_shape, tuple):
        raise UserError(f"{recipe.model} must return a model of one input. Received one of {len(model.inputs)}.")
    expected, takes = (None, *(split.example_shape if shape is None else shape)), model.input_shape
    if len(takes) != len(expected) or any(b not in (None, a) for a, b in zip(expected, takes, strict=True)):
        raise UserError(f"The data's examples are {shown(expected)}, and {recipe.model} takes {shown(takes)}. Its "
                        "first argument is the shape of an example.")
    if split.target in ("class", "labels") and gives_probabilities(model, split):
        last = "softmax" if split.target == "class" else "sigmoid"
        raise UserError(f"{recipe.model} must answer with logits, and its answers are probabilities. Take the {last} "
                        "out of its last layer: the loss and `predict` apply it.")
    return model


def build_args(function: Callable, recipe: Recipe, split: Split) -> dict[str, Any]:
    """Return the arguments of a build function besides the shape and the outputs: the recipe's, and those of the data
    that the function takes, such as the size of a vocabulary."""
    known = zoo.options(function)
    return {**{key: value for key, value in split.build_args.items() if key in known}, **recipe.model_args}


def gives_probabilities(model: keras.Model, split: Split) -> bool:
    """Return whether a model answers examples of classes with shares of 1, or ends in a sigmoid for several labels."""
    if len(model.outputs) > 1 or len(model.output_shape) != 2 or (
            split.target == "class" and (model.output_shape[1] or 0) < 2):
        return False
    if split.target == "labels":
        return getattr(model.layers[-1], "activation", None) is keras.activations.sigmoid
    answers = ops.convert_to_numpy(model(split.sample(3), training=False)).astype("float64")
    return bool(len(answers) and (answers >= 0).all() and np.allclose(answers.sum(1), 1, atol=1e-3))


def shown(shape: Any) -> str:
    """Return a shape as it is written in messages, (B, 10); of several outputs, each."""
    if isinstance(shape, dict):
        return ", ".join(f"{key}: {shown(value)}" for key, value in shape.items())
    if shape and not isinstance(shape[0], (int, type(None))):
        return " and ".join(map(shown, shape))
    return f"({', '.join(map(str, ('B', *shape[1:])))}{',' if len(shape) == 1 else ''})"
