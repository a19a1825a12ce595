"""A recipe's own training step as a program: the model, objective and optimizer that `train` has, for any batch.

Examples are not needed. Augmentation is not in the step: where a batch comes from the pipeline, it comes augmented.
"""

import math
from dataclasses import replace

import keras
import tensorflow as tf

from kerasdl import objectives
from kerasdl.devices.strategy import choose
from kerasdl.errors import UserError
from kerasdl.plan import lower, walk
from kerasdl.plan.examples import stand_in
from kerasdl.recipe import Recipe
from kerasdl.train.setup import Job

MIXING = ("mixup", "cutmix")  # augmentation after which pixels are floats
BATCHED = 2  # parameters of the step that have the batch as their first axis: examples and targets


def make(recipe: Recipe, tpu: bool) -> "Step":
    """The step on the backend that Keras has, as it is on a TPU or on this processor.

    Raises:
        UserError: the recipe's data or networks cannot be.
    """
    if recipe.precision == "auto":
        recipe = recipe.override(precision="mixed_bfloat16")  # the faster one on a TPU, which has units for it
    step = {"tensorflow": Step, "jax": JaxStep}[keras.backend.backend()](recipe)
    if tpu:
        fused.unfuse(step.model)
    return step


class Step:
    """The step on TensorFlow.

    Attributes:
        model: what `fit` would get.
        size: examples of the training split, 0 if it is not known.
        examples, targets: (shape of one, dtype).
    """

    def __init__(self, recipe: Recipe):
        objective = objectives.get(recipe.objective)
        split = stand_in(recipe, objective.TARGET)
        self.size = split.size
        job = Job(recipe, objective, {"train": replace(split, size=split.size or recipe.batch)}, choose("one"))
        self.model, _ = job.networks()
        targets = objective.targets(split)
        mixed = any((entry if isinstance(entry, str) else entry[0]) in MIXING for entry in recipe.augment)
        rows = isinstance(split.shape, int)
        self.examples = ((split.shape,) if rows else split.shape), "float32" if rows or mixed else "uint8"
        self.targets = targets.shape[1:], targets.dtype.name

    def function(self) -> tf.types.experimental.PolymorphicFunction:
        """The step as one compiled function of examples and targets."""
        return tf.function(lambda x, y: self.model.train_step((x, y)), jit_compile=True, autograph=False)

    def hlo(self, batch: int) -> bytes:
        """The step for a global batch as a serialized HLO module of one device: examples, targets, then variables.

        Raises:
            UserError: a TPU cannot run it.
        """
        specs = [tf.TensorSpec((batch, *shape), dtype) for shape, dtype in (self.examples, self.targets)]
        function = self.function()
        if found := walk.faults(function.get_concrete_function(*specs).graph):
            more = f", and {len(found) - 1} more" if len(found) > 1 else ""
            raise UserError(f"The step cannot run on a TPU: {found[0]}{more}.")
        return function.experimental_get_compiler_ir(*specs)(stage="hlo_serialized")

    def program(self, batch: int, chips: list) -> lower.Program:
        """The step for a global batch that these devices share."""
        return lower.from_hlo(self.hlo(batch), len(chips), BATCHED)

    @property
    def weights(self) -> int:
        """Numbers that are learned, of all networks of the step."""
        return sum(math.prod(weight.shape) for weight in self.model.trainable_variables)

    @property
    def statistics(self) -> int:
        """Numbers that batch normalisation averages."""
        return sum(math.prod(weight.shape) for weight in self.model.non_trainable_variables
                   if weight.path.endswith(("moving_mean", "moving_variance")))


class JaxStep(Step):
    """The step on JAX: a function from the state and a batch to the next state."""

    def program(self, batch: int, chips: list) -> lower.Program:
        import jax
        import numpy as np
        from jax.sharding import Mesh, NamedSharding, PartitionSpec

        model, mesh = self.model, Mesh(np.array(chips), ("batch",))
        whole, parts = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("batch"))
        state = tuple([jax.ShapeDtypeStruct(v.shape, v.dtype, sharding=whole) for v in variables] for variables in (
            model.trainable_variables, model.non_trainable_variables, model.optimizer.variables,
            model.metrics_variables))
        data = tuple(jax.ShapeDtypeStruct((batch, *shape), dtype, sharding=parts)
                     for shape, dtype in (self.examples, self.targets))
        lowered = jax.jit(model.train_step, donate_argnums=0).lower(state, data)

        def start(_):
            made = lowered.compile()
            return made.as_text(), made.cost_analysis(), made.memory_analysis()

        return lower.Program(lowered.as_text(), start)
