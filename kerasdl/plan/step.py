"""A recipe's training step, lowered for any batch and devices. The one file of `plan` that knows how kerasdl trains.

No data set is needed. Augmentation is not part of the step: the pipeline augments a batch before it arrives.
"""

import math
from dataclasses import replace

import jax
import keras
import tensorflow as tf

from kerasdl import objectives
from kerasdl.data import Split, pipeline
from kerasdl.data.split import DTYPES
from kerasdl.devices.strategy import choose
from kerasdl.errors import UserError
from kerasdl.keras_private import flat_layers
from kerasdl.objectives.base import Objective
from kerasdl.plan import aot, hlo
from kerasdl.plan.examples import stand_in
from kerasdl.recipe import Recipe
from kerasdl.train import loop
from kerasdl.train.setup import Setup

MIXING = ("mixup", "cutmix")  # augmentation after which pixels are floats


class Step:
    """The training step of a recipe on Keras' present backend, with Keras' own layers.

    Attributes:
        model: the model that `fit` would get; weights: how many numbers it trains.
        batch: what a step takes, (x, y) or (x,), as tensors of one example.
        size: examples of the training split, 0 if unknown.
    """

    def __init__(self, recipe: Recipe):
        if recipe.precision == "auto":
            recipe = recipe.override(precision="mixed_bfloat16")  # the faster one on a TPU
        objective, backend = objectives.of(recipe), keras.backend.backend()
        if backend not in objective.backends:
            raise UserError(f"objective={recipe.objective} trains with {' or '.join(objective.backends)}. "
                            f"Leave out --backend {backend}.")
        split = stand_in(recipe, objective.target)
        setup = Setup(recipe, objective, {"train": replace(split, size=split.size or recipe.batch)}, choose("one"))
        self.model, kept = setup.networks()
        if any(isinstance(layer, keras.layers.RNN) for layer in flat_layers(kept)):
            raise UserError(f"No plan can be made for {recipe.model}: of the loop of a recurrent layer the compiler "
                            "counts one turn.")
        self.batch = example_batch(objective, split, recipe)
        self.size, self.parts = split.size, recipe.accumulate
        self.weights = sum(math.prod(weight.shape) for weight in self.model.trainable_variables)

    def lower(self, batch: int, chips: list) -> jax.stages.Lowered:
        """Return the step for a global batch that these devices share."""
        model, data = self.model, self.specs(batch)
        if keras.backend.backend() == "jax":
            state = tuple([jax.ShapeDtypeStruct(v.shape, v.dtype) for v in variables] for variables in (
                model.trainable_variables, model.non_trainable_variables, model.optimizer.variables,
                model.metrics_variables))
            return aot.lower(model.train_step, state, data, chips)
        jax.config.update("jax_enable_x64", True)  # TensorFlow counts steps in int64
        flat = [tf.TensorSpec(one.shape, one.dtype) for one in keras.tree.flatten(data)]
        call, parameters = hlo.function(self.function().experimental_get_compiler_ir(*flat)(stage="hlo_serialized"))
        inputs = len(flat)  # the variables come after them
        return aot.lower(lambda state, data: call(*data, *state), parameters[inputs:], parameters[:inputs], chips)

    def specs(self, batch: int):
        """Return the shapes and dtypes of a batch of this many examples."""
        return keras.tree.map_structure(
            lambda one: jax.ShapeDtypeStruct((batch, *one.shape[1:]), one.dtype.as_numpy_dtype), self.batch)

    def function(self) -> tf.types.experimental.PolymorphicFunction:
        """Return TensorFlow's step as one compiled function of the batch's tensors, which returns the logs."""
        def step(*flat):
            batch, model = keras.tree.pack_sequence_as(self.batch, list(flat)), self.model
            model.train_step(batch) if self.parts == 1 else loop.accumulated_step(model, *batch, parts=self.parts)
            if averager := getattr(model, "averager", None):
                averager.update(model.optimizer.iterations)
            return model.get_metrics_result()

        return tf.function(step, jit_compile=True, autograph=False)


def example_batch(objective: Objective, split: Split, recipe: Recipe) -> tuple:
    """Return a batch of one example as the network sees it, after augmentation and the objective's `prepare`."""
    mixed = any((entry if isinstance(entry, str) else entry[0]) in MIXING for entry in recipe.augment)
    targets = objective.targets(split)
    x = tf.zeros((1, *split.example_shape), "float32" if mixed else DTYPES[split.kind])
    y = None if targets is None else tf.zeros((1, *targets.shape[1:]), targets.dtype)
    if objective.prepare:
        x, y = objective.prepare(x, y, tf.zeros(2, "int64"))
    return pipeline.without_none(x, y)
