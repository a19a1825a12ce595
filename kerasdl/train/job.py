"""What is trained: a recipe with its objective, its data and its devices, of which networks and batches are made."""

import random
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType

import keras
import numpy as np
import tensorflow as tf

from kerasdl import objectives
from kerasdl.data import Split, load_splits, pipeline
from kerasdl.data.augment import alternates, compose
from kerasdl.data.split import check_columns
from kerasdl.devices import replicas
from kerasdl.devices import strategy as strategies
from kerasdl.errors import UserError
from kerasdl.evaluation import judge as judges
from kerasdl.evaluation.referee import referee
from kerasdl.installation import backend
from kerasdl.recipe import Recipe
from kerasdl.train import fused, optim, resident
from kerasdl.train import pretrained as transfer

ADAPT = 2048  # images of 32x32 pixels or less that a layer adapts to
SPLITS = {"train": "train", "val": "val", "test": "test"}


@dataclass(frozen=True)
class Job:
    """A recipe and all that it needs.

    Attributes:
        recipe: without an "auto" by the time that networks are made of it.
        objective: a module of kerasdl.objectives.
        splits: "train", and for a whole run "val" and "test".
        devices: the strategy.
        stay: whether the training examples stay on the device, so that the model takes blocks of steps.
        origin: the trained model that the recipe's `init` names.
    """

    recipe: Recipe
    objective: ModuleType
    splits: Mapping[str, Split]
    devices: tf.distribute.Strategy
    stay: bool = False
    origin: transfer.Origin | None = None

    @classmethod
    def of(cls, recipe: Recipe, data: Mapping[str, Split] | str | None, devices: tf.distribute.Strategy, feed: str,
           origin: transfer.Origin | None = None) -> "Job":
        """The recipe with its data read, from disk unless `data` are splits.

        Raises:
            UserError: if the data cannot be read or does not fit the objective or the feed, or the backend does not.
        """
        backend.check_floatx()
        objective = objectives.get(recipe.objective)
        if backend.current() not in objective.BACKENDS:
            raise UserError(f"objective={recipe.objective} trains with {' or '.join(objective.BACKENDS)}, and Keras "
                            f"computes with {backend.current()}. Give --backend {objective.BACKENDS[0]}.")
        if recipe.data == "arrays" and data is None:
            raise UserError("The recipe is of a run on arrays, which a run does not keep. Call kerasdl.train with "
                            "data=kerasdl.data.from_arrays(x, y).")
        splits = data if isinstance(data, Mapping) else load_splits(
            recipe.data, SPLITS | recipe.splits, target=objective.TARGET, **recipe.data_args)
        if (objective.TARGET == "class") != bool(splits["train"].classes):
            raise UserError(f"objective={recipe.objective} learns a {objective.TARGET}, and the data has "
                            f"{'classes' if splits['train'].classes else 'numbers'} as targets. Change one of the two.")
        if recipe.objective_args and not objective.pictures:
            raise UserError(f"objective={recipe.objective} has no settings. Leave out objective_args."
                            f"{next(iter(recipe.objective_args))}.")
        if recipe.tta and objective.TARGET != "class":
            raise UserError(f"tta is for images that have classes. Leave it out with objective={recipe.objective}.")
        if objective.pictures and (recipe.init or recipe.freeze or recipe.layer_decay < 1):
            raise UserError("init, freeze and layer_decay are for models that learn answers. "
                            f"Leave them out with objective={recipe.objective}.")
        if origin and origin.columns:  # each has the place and the scale of one there
            check_columns(origin.columns, splits["train"].columns, f"init={recipe.init}")
        return cls(recipe, objective, splits, devices, resident.chosen(feed, splits["train"]), origin)

    def of_recipe(self, recipe: Recipe) -> "Job":
        """The same job by another recipe."""
        return replace(self, recipe=recipe)

    @property
    def chief(self) -> bool:
        """Whether this process writes the run."""
        return strategies.is_chief(self.devices)

    @property
    def many(self) -> bool:
        """Whether there are replicas."""
        return strategies.replicated(self.devices)

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return pipeline.steps_per_epoch(self.splits["train"], self.recipe.batch)

    def networks(self) -> tuple[keras.Model, keras.Model]:
        """The model that is fitted, and the network that is kept (its own or an average).

        Raises:
            UserError: if the recipe's model cannot be built.
        """
        recipe, split = self.recipe, self.splits["train"]
        with self.devices.scope(), seeded(recipe.seed), precision(recipe.precision):
            networks = self._networks()
            for network in networks if self.many else ():
                replicas.own_noise(network)
                replicas.synchronize_norms(network)
            steps = [resident.Resident] * self.stay + [replicas.FitsReplicas] * self.many \
                + [micro_batches()] * (recipe.accumulate > 1)
            source = resident.Source(split, *self._lessons(), recipe.seed, self.steps) if self.stay else None
            stepping = partial(replicas.stepping, steps, parts=recipe.accumulate, source=source)
            model, kept = self.objective.assemble(networks, stepping, recipe, self.steps * recipe.epochs)
            if self.objective.pictures and kept not in networks:  # an average, which is not trained but makes images
                fused.unfuse(kept)  # as it does when it is saved: a pixel may round otherwise in the other form
            optimizers = [optim.optimizer(its, network, self.steps * count, clip_after_reduce=self.many)
                          for network, (its, count) in zip(networks, self.objective.rates(recipe), strict=True)]
            self.objective.compile(model, *optimizers, jit=strategies.jit(self.devices, recipe.jit))
            model.steps_per_execution = resident.block_size(networks, recipe.batch, self.steps) if self.stay else 1
            replicas.build(model)
            return model, kept

    def judge(self, kept: keras.Model, learn: Callable, verbose: bool = False) -> judges.Scores:
        """What measures the kept network on a split.

        Args:
            kept: the network.
            learn: kerasdl.train, for an objective whose judge sees through a classifier.
            verbose: whether to say so when that classifier is trained first.

        Raises:
            UserError: for a split that such a judge cannot measure on.
        """
        if self.objective.judge:
            judge = self.objective.judge(kept, referee(self.recipe, self.splits, learn, verbose))
            for name in ("val", "test"):
                judge.check(self.splits[name])
            return judge
        with self.devices.scope(), precision(self.recipe.precision):
            return judges.Scores(kept, self.objective, self.recipe.micro_batch, self.devices, self.recipe.tta)

    def batches(self, model: keras.Model, start: int = 0) -> tf.data.Dataset:
        """What the model is fitted to, of all epochs from a step on: batches or blocks; under replicas their shares."""
        recipe, split = self.recipe, self.splits["train"]
        order = {"epochs": recipe.epochs, "seed": recipe.seed, "start": start}
        if self.stay:
            size = model.steps_per_execution
            return strategies.shared(self.devices, lambda: pipeline.blocks(split, recipe.batch, size, **order),
                                     replicas.repeat)
        targets, augment, alternate = self._lessons()
        return strategies.shared(
            self.devices, lambda: pipeline.shuffled(split, targets, recipe.batch, augment=augment, alternates=alternate,
                                                    **order), replicas.share)

    def first_calls(self) -> Callable[[], int]:
        """A function that trains one call from the beginning on and returns the number of its examples."""
        job = self.of_recipe(self.recipe.override(epochs=max(100, self.recipe.epochs)))  # enough for all calls
        model, *_ = job.networks()
        batches = job.batches(model)
        if backend.jax():
            iterator = batches.as_numpy_iterator()
            return lambda: (model.train_on_batch(*next(iterator)), self.recipe.batch)[1]
        iterator = iter(batches)
        model.make_train_function()

        def call():
            logs = model.train_function(iterator)
            for value in tf.nest.flatten(logs):
                np.asarray(value)  # a GPU is done with the step only then
            return model.steps_per_execution * self.recipe.batch

        return call

    def _networks(self) -> tuple[keras.Model, ...]:
        recipe, split = self.recipe, self.splits["train"]
        try:
            networks = self.objective.networks(recipe.model, split, recipe.model_args)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise UserError(f"{recipe.model} cannot be built: {' '.join(str(error).split())}") from None
        for network in networks:
            adapt(network, split)
            transfer.begin(network, self.origin, recipe, split.classes)
            if strategies.describe(self.devices) != "tpu" and not backend.jax():  # XLA compiles their whole step
                fused.fuse(network)
        return networks

    def _lessons(self):
        """Targets and augmentation of the training split, and whether that alternates."""
        recipe, split = self.recipe, self.splits["train"]
        augment = compose(recipe.augment, split.shape) if recipe.augment else None
        return self.objective.targets(split, recipe.label_smoothing), augment, alternates(recipe.augment)


def adapt(network: keras.Model, split: Split) -> None:
    """Show layers that adapt to data, as Keras' Normalization does, what reaches them of rows or of first images."""
    for layer in network.layers:
        known = getattr(layer, "input_mean", None) is not None  # as of the layer that gives a regression its units
        if not hasattr(layer, "adapt") or known:
            continue
        examples = split.first(len(split) if isinstance(split.shape, int) else enough(*split.shape[:2]))
        if len(examples):
            seen = np.asarray(keras.Model(network.inputs[0], layer.input)(examples))
            layer.adapt(seen)
            if isinstance(layer, keras.layers.Normalization):
                leave_constant(layer, seen)


def enough(height: int, width: int) -> int:
    """How many images a layer adapts to: of larger ones fewer, for it sees every pixel's surroundings."""
    return max(1, ADAPT * 32**2 // max(32**2, height * width))


def leave_constant(layer: keras.layers.Normalization, rows: np.ndarray) -> None:
    """Do not scale columns (N, F) of one value, as scikit-learn's StandardScaler; Keras would blow up another value
    ten million times."""
    variance = np.where(rows.max(0) == rows.min(0), 1.0, keras.ops.convert_to_numpy(layer.adapt_variance))
    layer.adapt_variance.assign(variance)
    layer.finalize_state()


def micro_batches() -> type:
    """The mixin that takes a batch in parts, for the backend that Keras has."""
    if backend.jax():
        from kerasdl.devices import jax

        return jax.MicroBatches
    return replicas.MicroBatches


@contextmanager
def seeded(seed: int):
    """Initializers and dropout layers made inside take their seeds from `seed`; the caller's random state is put back.

    Keras draws them from Python's generator, and from nowhere else.
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


@contextmanager
def precision(policy: str):
    """Layers made inside have this dtype policy; the caller's is put back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
