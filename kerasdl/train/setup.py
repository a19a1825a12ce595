"""Everything that one training needs: recipe, objective, data and devices. It builds the networks and the batches."""

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from kerasdl import objectives
from kerasdl.data import Split, load_splits, pipeline
from kerasdl.data.augment import alternates, compose
from kerasdl.data.lengths import lengths, takes_any_length
from kerasdl.data.split import check_spread
from kerasdl.devices import distribute_fixes, on_device
from kerasdl.devices import strategy as strategies
from kerasdl.devices.cluster import any_of, collective_errors
from kerasdl.errors import UserError
from kerasdl.evaluation.located import located, located_args
from kerasdl.installation import backend
from kerasdl.keras_private import flat_layers, fresh_names
from kerasdl.objectives.base import Objective
from kerasdl.recipe import Recipe
from kerasdl.run import Run
from kerasdl.train import compressed, loop, optim, pretrained, private, saves, seen
from kerasdl.zoo.blocks import moments, set_moments

LIMIT = 1e18  # of a column's deviation, whose square is a number of float32
ADAPT = 2048  # images of 32x32 pixels or less that a layer adapts to
SEQUENCES = 128  # sequences at a time that layers before it see: spectra of sound take much more memory than sound
SEEDING = threading.RLock()
SPLITS = {"train": "train", "val": "val", "test": "test"}


@dataclass(frozen=True)
class Setup:
    """A recipe and all that it needs.

    Attributes:
        recipe: without an "auto" by the time that networks are built.
        objective: what is learned.
        splits: "train", and for a whole run "val" and "test".
        devices: the strategy.
        resident: whether the training examples stay on the device, so that the model takes blocks of steps.
        initial: the trained model that the recipe's `init` names.
        begun: which layers begin with its weights, once networks are built.
        privacy: how it trains privately; None: it does not.
    """

    recipe: Recipe
    objective: Objective
    splits: Mapping[str, Split]
    devices: tf.distribute.Strategy
    resident: bool = False
    initial: pretrained.Pretrained | None = None
    begun: dict[str, Any] = field(default_factory=dict)
    privacy: private.Plan | None = None

    @classmethod
    def of(cls, recipe: Recipe, data: Mapping[str, Split] | str | None, devices: tf.distribute.Strategy,
           feed: str = "auto", initial: pretrained.Pretrained | None = None, run: Path | None = None) -> "Setup":
        """Read the data, from disk unless `data` are splits, and check that everything fits.

        Raises:
            UserError: the data cannot be read or does not fit the objective or the feed, or the backend does not.
        """
        backend.check_floatx()
        if (policy := keras.config.dtype_policy().name) not in ("float32", recipe.precision):
            asked = "Give precision=mixed_bfloat16, or set" if policy == "mixed_bfloat16" else "Set"
            raise UserError(f"Keras' dtype policy is {policy}, and the recipe has precision={recipe.precision}. "
                            f"{asked} the policy back: keras.config.set_dtype_policy('float32')")
        objective = objectives.of(recipe, run)
        if backend.current() not in objective.backends:
            raise UserError(f"objective={recipe.objective} trains with {' or '.join(objective.backends)}, and Keras "
                            f"computes with {backend.current()}. Give --backend {objective.backends[0]}.")
        if recipe.data == "arrays" and data is None:
            raise UserError("The recipe is of a run on arrays, which a run does not keep. Call kerasdl.train with "
                            "data=kerasdl.data.from_arrays(x, y).")
        began = Run(run).folder if run else None
        splits = data if isinstance(data, Mapping) else load_splits(
            located(recipe.data, began), SPLITS | recipe.splits, target=objective.target,
            **located_args(recipe.data_args, began))
        train = splits["train"]
        objective.check(train, devices.num_replicas_in_sync)
        if initial:
            pretrained.check_fits(initial, train, f"init={recipe.init}")
        if initial and initial.run:
            seen.check_apart(initial.run, recipe, splits)
        with collective_errors(devices):  # all workers take the same blocks, also where only some have the memory
            resident = not any_of(devices, not on_device.is_resident(feed, train))
        return cls(recipe, objective, splits, devices, resident, initial,
                   privacy=private.plan(recipe, train, objective, devices.num_replicas_in_sync))

    def with_recipe(self, recipe: Recipe) -> "Setup":
        """Return the same setup for another recipe."""
        return replace(self, recipe=recipe, objective=type(self.objective)(recipe, self.objective.run))

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run."""
        return strategies.is_chief(self.devices)

    @property
    def replicated(self) -> bool:
        """Whether there are replicas."""
        return strategies.replicated(self.devices)

    @property
    def places(self) -> int | None:
        """Places of a batch that Poisson sampling fills; None where batches are full."""
        return self.privacy.places if self.privacy else None

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return pipeline.steps_per_epoch(self.splits["train"], self.recipe.batch)

    def networks(self) -> tuple[keras.Model, keras.Model]:
        """Build the model that is fitted, compiled, and the network that is kept (its own or an average).

        Raises:
            UserError: the recipe's model cannot be built.
        """
        recipe, split = self.recipe, self.splits["train"]
        with self.devices.scope(), seeded(recipe.seed), precision(recipe.precision):
            networks = self._built()
            for network in networks if self.replicated else ():
                distribute_fixes.own_noise(network)
                distribute_fixes.synchronize_norms(network)
                distribute_fixes.synchronize_ranges(network)
            try:
                model, kept, averager = self.objective.assemble(networks, self.steps * recipe.epochs)
            except Exception:  # an average is a copy, as a saved file is
                saves.check(networks[0], recipe)
                raise
            optimizers = [optim.optimizer(its, network, self.steps, clip_after_reduce=self.replicated,
                                          sums_rows=self.objective.sums_rows)
                          for network, its in zip(networks, self.objective.optimizer_recipes(), strict=True)]
            for optimizer, network in zip(optimizers, networks, strict=True):
                optimizer.build(network.trainable_variables)
            self.objective.compile(model, *optimizers, jit=strategies.jit(self.devices, recipe.jit))
            model.steps_per_execution = on_device.block_size(
                networks, self.places or recipe.batch, self.steps, split.example_shape[0]) if self.resident else 1
            after = [one for one in (averager, compressed.pruner(recipe, model, networks[0], kept)) if one]
            if backend.jax():
                from kerasdl.train import loop_jax

                loop_jax.install(model, recipe.accumulate, after, self._own_step(model))
            else:
                loop.install(model, self._on_device(model) if self.resident else None, recipe.accumulate,
                             [one.update for one in after], self._own_step(model))
            return model, kept

    def batches(self, model: keras.Model, start: int = 0) -> tf.data.Dataset:
        """Return what the model is fitted to, for all epochs, from a step on: batches, or blocks of indices; with
        replicas their shares."""
        recipe, split = self.recipe, self.splits["train"]
        order: dict[str, Any] = {"epochs": recipe.epochs, "seed": recipe.seed, "start": start, "places": self.places}
        if self.resident:
            size = model.steps_per_execution
            return strategies.shared(self.devices, lambda: pipeline.blocks(split, recipe.batch, size, **order),
                                     distribute_fixes.repeat)
        targets, augment, parity = self._targets_and_augment()
        return strategies.shared(
            self.devices, lambda: pipeline.shuffled(split, targets, recipe.batch, augment=augment, alternates=parity,
                                                    prepare=self._prepare(), trim=self._trims(model), **order),
            partial(distribute_fixes.share, parts=recipe.accumulate))

    def first_calls(self) -> Callable[[], int]:
        """Return a function that trains one call, from the beginning on, and returns the number of its examples."""
        setup = self.with_recipe(self.recipe.override(epochs=max(100, self.recipe.epochs)))  # enough for all calls
        model, _ = setup.networks()
        batches = setup.batches(model)
        if backend.jax():
            iterator = batches.as_numpy_iterator()
            return lambda: (model.train_on_batch(*next(iterator)), self.recipe.batch)[1]
        iterator = iter(batches)

        def call():
            for value in tree.flatten(model.train_function(iterator)):
                np.asarray(value)  # a GPU is done with the step only then
            return model.steps_per_execution * self.recipe.batch

        return call

    def _built(self) -> tuple[keras.Model, ...]:
        split = self.splits["train"]
        try:
            with fresh_names():  # weights are taken by the names of layers
                networks = self.objective.networks(split)
        except UserError:
            raise
        except (ValueError, TypeError, ArithmeticError) as error:
            raise UserError(f"{self.recipe.model} cannot be built: {' '.join(str(error).split())}") from None
        if self.initial:
            networks = (pretrained.continued(networks[0], self.initial), *networks[1:])
        for network in networks if self.privacy else ():
            private.check_network(network)
        for network in networks:
            adapt(network, split)
            pretrained.load_into(network, self.initial, self.recipe, split.classes)
        if self.initial:  # before layers change their shapes
            self.begun.update(pretrained.account(networks[0], self.initial, split.classes))
        return compressed.begin(networks, self.recipe, split)

    def _targets_and_augment(self):
        """Return targets and augmentation of the training split, and whether that alternates."""
        recipe, split = self.recipe, self.splits["train"]
        targets = self.objective.training_targets(split)
        if not recipe.augment or self.objective.makes_views:
            return targets, None, False
        augment = compose(recipe.augment, split.shape, labels=targets is not None)
        return targets, augment, alternates(recipe.augment)

    def _prepare(self) -> Callable | None:
        """Return the objective's `prepare`, compiled by XLA where `_compiles` says so."""
        prepare = self.objective.prepare
        return tf.function(prepare, jit_compile=True, autograph=False) if prepare and self._compiles else prepare

    @property
    def _compiles(self) -> bool:
        """Whether `prepare` is compiled: as the recipe says, and by default wherever there is an accelerator.

        XLA's random numbers are not TensorFlow's, and have to be the same for every feed and any number of replicas.
        """
        jit = self.recipe.jit
        if jit is None:
            jit = any(device.device_type != "CPU" for device in tf.config.list_physical_devices())
        return bool(jit) and not backend.jax()

    def _trims(self, model: keras.Model) -> bool:
        """Return whether a batch is cut to its longest example: not where shapes are compiled, and not for a network
        that takes sequences of one length."""
        network = getattr(model, "network", None)
        return network is not None and takes_any_length(network) and not model.jit_compile \
            and not (self.objective.prepare and self._compiles) and lengths(self.splits["train"]) is not None

    def _on_device(self, model: keras.Model) -> loop.DeviceDataset:
        targets, augment, parity = self._targets_and_augment()
        transform = pipeline.transform(augment, self._prepare(), self._trims(model))
        return loop.DeviceDataset(self.splits["train"], targets, transform, parity, self.recipe.seed, self.steps,
                                  self.privacy is not None)

    def _own_step(self, model: keras.Model) -> Callable | None:
        """Return the step of private training; None for the model's own."""
        if self.privacy is None:
            return None
        if backend.jax():
            from kerasdl.train.private_jax import step_on_jax

            return step_on_jax(model, self.privacy)
        return private.step_on_tensorflow(model, self.privacy)


def adapt(network: keras.Model, split: Split) -> None:
    """Show layers that adapt to data, as Keras' Normalization does, what reaches them of rows or of first images, also
    inside of models that the network calls.

    Raises:
        UserError: such a layer is inside of another one that is no graph of layers.
        DataError: a column in units that float32 does not hold.
    """
    if any(map(adapts, flat_layers(network))):
        examples = split.sample(enough(*split.shape[:2]) if split.kind == "image" else len(split))
        if len(examples):
            adapt_to(examples, network, split)


def adapt_to(examples: np.ndarray, network: keras.Model, split: Split) -> None:
    """Show the layers of a network, or of a model that it calls, what reaches them of its inputs."""
    for layer in network.layers:
        if not (within := [each.name for each in flat_layers(layer) if adapts(each)]):
            continue
        if not adapts(layer) and not getattr(layer, "inputs", None):
            raise UserError(f"The layer {within[0]!r} adapts to data and cannot be shown any inside of {layer.name!r}. "
                            "Call it in the network itself or in a functional model, or adapt it when you build it.")
        seen = reaching(layer, network, examples, SEQUENCES if split.kind == "sequence" else len(examples))
        if not adapts(layer):
            adapt_to(seen, layer, split)
        elif isinstance(layer, keras.layers.Normalization) and layer.axis in ((-1,), (seen.ndim - 1,)):
            standardize(layer, seen, split)
        else:
            layer.adapt(seen)


def adapts(layer: keras.layers.Layer) -> bool:
    """Return whether a layer has to be shown data: not a Normalization that has its mean and variance, from the user,
    trained weights or an earlier `adapt`."""
    if not isinstance(layer, keras.layers.Normalization):
        return hasattr(layer, "adapt")
    if layer.input_mean is not None:  # as of the layer that gives a regression its units
        return False
    return not (np.any(keras.ops.convert_to_numpy(layer.adapt_mean) != 0)
                or np.any(keras.ops.convert_to_numpy(layer.adapt_variance) != 1))


def standardize(layer: keras.layers.Normalization, seen: np.ndarray, split: Split) -> None:
    """Let a layer scale the columns of what reaches it (..., F) of a split.

    Raises:
        DataError: a column in units that float32 does not hold.
    """
    mean, variance = moments(seen)
    what = {"row": "Column", "image": "Channel"}.get(split.kind, "Number")
    check_spread(np.sqrt(variance), list(split.columns) if len(split.columns) == len(mean) else
                 [f"{what} {number}" for number in range(len(mean))], LIMIT)
    set_moments(layer, mean, variance)


def reaching(layer: keras.layers.Layer, network: keras.Model, examples: np.ndarray, batch: int) -> np.ndarray:
    """Return what a layer of a network receives of examples, which the layers before it see in batches."""
    received = keras.Operation.input.fget(layer)  # the `input` of a model is that of its own graph
    before = keras.Model(network.inputs[0], received)
    return np.concatenate([np.asarray(before(examples[start:start + batch]))
                           for start in range(0, len(examples), batch)])


def enough(height: int, width: int) -> int:
    """Return how many images a layer adapts to: fewer of larger ones, because it sees every pixel's surroundings."""
    return max(1, ADAPT * 32**2 // max(32**2, height * width))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let initializers and dropout layers made inside take their seeds from `seed`, and restore the caller's state.

    Keras draws them from Python's generator, and from nowhere else. That is the whole process's, so threads that train
    at once build one after the other.
    """
    with SEEDING:
        state = random.getstate()
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(state)


@contextmanager
def precision(policy: str | Any) -> Iterator[None]:
    """Give layers made inside this dtype policy, and restore the caller's."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
