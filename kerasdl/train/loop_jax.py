"""The training step on JAX: Keras' own, taken in parts and followed by the average where the recipe asks for it."""

from typing import Any

import jax
import keras

from kerasdl.objectives.average import Averager


def install(model: keras.Model, parts: int = 1, averager: Averager | None = None) -> None:
    """Give a compiled model its training step, a function of all variables' values, which Keras compiles.

    Args:
        parts: micro-batches that a batch is divided into, whose gradients are summed.
        averager: moves the average after each step; None: there is no average.
    """
    plain = model.train_step

    def step(state, batch):
        logs, state = plain(state, batch) if parts == 1 else accumulated_step(model, state, batch, parts)
        return logs, averaged(model, state, averager) if averager else state

    if parts > 1 or averager:
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


def averaged(model: keras.Model, state: tuple, averager: Averager) -> tuple:
    """Return the state with the average moved; its weights are among the model's non-trainable variables."""
    trainable, others, slots, metrics = state
    variables = model.trainable_variables + model.non_trainable_variables
    values: dict[int, Any] = dict(zip(map(id, variables), trainable + others, strict=True))
    place = next(i for i, variable in enumerate(model.optimizer.variables) if variable is model.optimizer.iterations)
    share = averager.share(slots[place])
    for slow, fast in averager.pairs:
        values[id(slow)] += share * (values[id(fast)] - values[id(slow)])
    return trainable, [values[id(variable)] for variable in model.non_trainable_variables], slots, metrics
