"""The step of DP-SGD on JAX: the gradient of one example by jax.vmap, clipped, and noise on their sum.

jax-privacy's Keras API would replace the order of the examples and the metrics, too, and its optimizers have no exact
resume here: only the account is shared with it, which is dp-accounting's.
"""

from collections.abc import Callable
from typing import Any

import jax
import keras

from kerasdl.train.private import STREAM, Plan


def step_on_jax(model: keras.Model, plan: Plan) -> Callable[[tuple, tuple], tuple[Any, tuple]]:
    """Return a function (state, (x, y, real)) -> (logs, state) that takes a step."""
    place = next(i for i, variable in enumerate(model.optimizer.variables) if variable is model.optimizer.iterations)

    def step(state, batch):
        trainable, others, slots, metrics = state
        x, y, real = batch
        total: list[jax.Array] = []
        for number in range(plan.parts):
            part = [jax.numpy.split(value, plan.parts)[number] for value in (x, y, real)]
            losses, y_pred, grads = clipped(model, plan.settings.clip, trainable, others, *part)
            total = grads if not total else [a + b for a, b in zip(total, grads, strict=True)]
            logs, metrics = measured(model, metrics, losses, y_pred, *part)
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(plan.seed), STREAM), slots[place])
        noisy = [(grad + plan.settings.clip * plan.noise * jax.random.normal(own, grad.shape)) / plan.batch
                 for grad, own in zip(total, jax.random.split(key, len(total)), strict=True)]
        trainable, slots = model.optimizer.stateless_apply(slots, noisy, trainable)
        return logs, (trainable, others, slots, metrics)

    return step


def measured(model: keras.Model, metrics: list, losses: Any, y_pred: Any, x: Any, y: Any, real: Any
             ) -> tuple[Any, list]:
    """Return the logs, and the values of the metrics once they have seen a part of a batch, whose empty places do not
    count; Keras' own method weighs the loss of a part by its places."""
    with keras.StatelessScope(state_mapping=list(zip(model.metrics_variables, metrics, strict=True))) as scope:
        model.metrics[0].update_state(losses, sample_weight=real)
        logs = model.compute_metrics(x, y, y_pred, real)
    return logs, [scope.get_current_value(variable) for variable in model.metrics_variables]


def clipped(model: keras.Model, clip: float, trainable: list, others: list, x: Any, y: Any, real: Any
            ) -> tuple[Any, Any, list]:
    """Return the losses (B,), the answers, and the sum of the examples' gradients, each clipped to an L2 norm."""
    def loss(trainable, x, y):
        y_pred, _ = model.stateless_call(trainable, others, x[None], training=True)
        return model.objective.compute_loss(x[None], y[None], y_pred)[0], y_pred[0]

    (losses, y_pred), grads = jax.vmap(jax.value_and_grad(loss, has_aux=True), (None, 0, 0))(trainable, x, y)
    squares = [jax.numpy.square(grad.reshape(len(grad), -1)).sum(1) for grad in grads]
    norm = jax.numpy.sqrt(sum(squares))
    share = real * jax.numpy.minimum(1.0, clip / jax.numpy.maximum(norm, 1e-12))
    return losses, y_pred, [jax.numpy.tensordot(share, grad, 1) for grad in grads]
