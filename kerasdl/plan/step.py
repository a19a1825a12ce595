"""A recipe's training step, lowered for any batch and devices. The one file of `plan` that knows how kerasdl trains.

No data set is needed. Augmentation is not part of the step: the pipeline augments a batch before it arrives.
"""

import math
from dataclasses import replace

import jax
import keras
import tensorflow as tf

from kerasdl import objectives
from kerasdl.devices.strategy import choose
from kerasdl.errors import UserError
from kerasdl.plan import aot, hlo
from kerasdl.plan.examples import stand_in
from kerasdl.recipe import Recipe
from kerasdl.train.setup import Job

MIXING = ("mixup", "cutmix")  # augmentation after which pixels are floats


class Step:
    """The training step of a recipe on Keras' present backend, for a TPU or else for this machine's CPU.

    Attributes:
        model: the model that `fit` would get; weights: how many numbers it trains.
        batch: (shape of one, dtype) of examples and of targets.
        size: examples of the training split, 0 if unknown.
    """

    def __init__(self, recipe: Recipe, tpu: bool):
        objective, backend = objectives.get(recipe.objective), keras.backend.backend()
        if backend not in objective.BACKENDS:
            raise UserError(f"objective={recipe.objective} trains with {' or '.join(objective.BACKENDS)}. "
                            f"Leave out --backend {backend}.")
        if recipe.precision == "auto":
            recipe = recipe.override(precision="mixed_bfloat16")  # the faster one on a TPU
        split = stand_in(recipe, objective.TARGET)
        job = Job(recipe, objective, {"train": replace(split, size=split.size or recipe.batch)}, choose("one"))
        self.model, _ = job.networks()
        if tpu:
            fused.unfuse(self.model)
        targets = objective.targets(split)
        mixed = any((entry if isinstance(entry, str) else entry[0]) in MIXING for entry in recipe.augment)
        rows = isinstance(split.shape, int)
        self.batch = (((split.shape,) if rows else split.shape, "float32" if rows or mixed else "uint8"),
                      (targets.shape[1:], targets.dtype.name))
        self.size = split.size
        self.weights = sum(math.prod(weight.shape) for weight in self.model.trainable_variables)

    def lower(self, batch: int, chips: list) -> jax.stages.Lowered:
        """Return the step for a global batch that these devices share."""
        if keras.backend.backend() == "jax":
            model, array = self.model, jax.ShapeDtypeStruct
            state = [[array(v.shape, v.dtype) for v in variables] for variables in (
                model.trainable_variables, model.non_trainable_variables, model.optimizer.variables,
                model.metrics_variables)]
            data = tuple(array((batch, *shape), dtype) for shape, dtype in self.batch)
            return aot.lower(model.train_step, tuple(state), data, chips)
        jax.config.update("jax_enable_x64", True)  # TensorFlow counts steps in int64
        compiled = self.function().experimental_get_compiler_ir(*self.specs(batch))
        call, parameters = hlo.function(compiled(stage="hlo_serialized"))
        inputs = len(self.batch)  # the variables come after them
        return aot.lower(lambda state, data: call(*data, *state), parameters[inputs:], parameters[:inputs], chips)

    def specs(self, batch: int) -> list[tf.TensorSpec]:
        return [tf.TensorSpec((batch, *shape), dtype) for shape, dtype in self.batch]

    def function(self) -> tf.types.experimental.PolymorphicFunction:
        """Return TensorFlow's step as one compiled function of examples and targets."""
        return tf.function(lambda x, y: self.model.train_step((x, y)), jit_compile=True, autograph=False)
