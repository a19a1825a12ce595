"""Gradients with respect to images, and compiled calls of a model, on either backend. All that differs stands here."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
from keras import ops


def on_jax() -> bool:
    """Return whether Keras computes with JAX."""
    return keras.backend.backend() == "jax"


def value_and_slope(loss: Callable[[Any], tuple[Any, Any]], x: Any) -> tuple[Any, Any, Any]:
    """Return what a loss gives for a batch, and its gradient with respect to the batch, x's shape.

    Args:
        loss: examples -> (loss of each example (B,), logits (B, classes)). An example's loss reads that example alone.
        x: (B, ...) float32.
    """
    if on_jax():
        import jax

        def total(x):
            each, logits = loss(x)
            return ops.sum(each), (each, logits)

        (_, (each, logits)), slope = jax.value_and_grad(total, has_aux=True)(x)
        return each, logits, slope
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        each, logits = loss(x)
    return each, logits, tape.gradient(each, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def constant(model: keras.Model) -> AbstractContextManager:
    """Within it, nothing is differentiated with respect to the model's weights, and none of them changes.

    For an attack inside a training step. JAX would carry the derivatives of the step through all of the attack;
    TensorFlow follows only what the loss depends on, which `stop_gradient` on the attack's result decides.
    """
    if not on_jax():
        return nullcontext()
    return keras.StatelessScope(
        state_mapping=[(variable, ops.stop_gradient(variable.value)) for variable in model.variables])


def compiled(model: keras.Model, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of tensors that calls the model, compiled once for each shape, with the weights of each call.

    Args:
        model: whose weights the function reads.
        function: of tensors, which it takes by position.
    """
    if not on_jax():
        import tensorflow as tf

        made = tf.function(function, autograph=False)
        return lambda *values: made(*map(tf.convert_to_tensor, values))
    import jax

    def with_weights(weights, *values):
        with keras.StatelessScope(state_mapping=list(zip(model.variables, weights, strict=True))):
            return function(*values)

    step = jax.jit(with_weights)
    return lambda *values: step([variable.value for variable in model.variables], *values)
