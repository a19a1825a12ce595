"""The training step on JAX: Keras' own, taken in parts, and followed by an average or masks if the recipe says so."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras


def install(model: keras.Model, parts: int = 1, after: Sequence[Any] = (), own_step: Callable | None = None) -> None:
    """Give a compiled model its training step, a function of all variables' values, which Keras compiles.

    Args:
        parts: micro-batches that a batch is divided into, whose gradients are summed.
        after: change variables after each step, by `updated(values, step) -> values`, {id of a variable: value}.
        own_step: (state, batch) -> (logs, state) in place of the model's; it divides its batches itself.
    """
    plain = own_step or model.train_step
    whole = parts == 1 or own_step

    def step(state, batch):
        logs, state = plain(state, batch) if whole else accumulated_step(model, state, batch, parts)
        return logs, changed(model, state, after) if after else state

    if parts > 1 or after or own_step:
        model.train_step = step


def accumulated_step(model: keras.Model, state: tuple, batch: tuple, parts: int) -> tuple[Any, tuple]:
    """Take the gradient of a batch in parts, one after the other, and then one step: less memory, the same step.

    Batch normalisation sees the parts, not the whole.
    """
    trainable, others, slots, metrics = state
    data = keras.utils.unpack_x_y_sample_weight(batch)
    gradient = jax.value_and_grad(model.compute_loss_and_updates, has_aux=True)
    total: list[jax.Array] = []
    for i in range(parts):
        part_x, part_y, part_weights = keras.tree.map_structure(
            lambda value, i=i: None if value is None else jax.numpy.split(value, parts)[i], data)
        (_, (loss, y_pred, others, metrics)), grads = gradient(
            trainable, others, metrics, part_x, part_y, part_weights, training=True, optimizer_variables=slots)
        total = grads if not total else [a + b for a, b in zip(total, grads, strict=True)]
        logs, metrics = model._update_metrics_variables(metrics, loss, part_x, part_y, y_pred, part_weights)
    trainable, slots = model.optimizer.stateless_apply(slots, [grad / parts for grad in total], trainable)
    return logs, (trainable, others, slots, metrics)


def changed(model: keras.Model, state: tuple, after: Sequence[Any]) -> tuple:
    """Return the state with what happens after a step; an average's weights are among the non-trainable variables."""
    trainable, others, slots, metrics = state
    variables = model.trainable_variables + model.non_trainable_variables
    values: dict[int, Any] = dict(zip(map(id, variables), trainable + others, strict=True))
    place = next(i for i, variable in enumerate(model.optimizer.variables) if variable is model.optimizer.iterations)
    for one in after:
        values = one.updated(values, slots[place])
    return ([values[id(variable)] for variable in model.trainable_variables],
            [values[id(variable)] for variable in model.non_trainable_variables], slots, metrics)
