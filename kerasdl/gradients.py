"""Gradients by examples, and compiled calls of a model, on TensorFlow and JAX: all that differs between them."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
from keras import ops


def on_jax() -> bool:
    """Return whether Keras computes with JAX."""
    return keras.backend.backend() == "jax"


def value_and_gradient(function: Callable[[Any], tuple[Any, Any]], x: Any) -> tuple[Any, Any, Any]:
    """Return what a function gives for a batch, and the gradient of each example's number by that example, x's shape.

    It may stand in a loss, whose own gradient then passes through this one.

    Args:
        function: examples -> (a number of each (B,), which reads that example alone; something else).
        x: (B, ...) float32.
    """
    if on_jax():
        import jax

        def total(x):
            values, rest = function(x)
            return ops.sum(values), (values, rest)

        (_, (values, rest)), gradient = jax.value_and_grad(total, has_aux=True)(x)
        return values, rest, gradient
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        values, rest = function(x)
    return values, rest, tape.gradient(values, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def ends_in_softmax(model: keras.Model) -> bool:
    """Return whether the last layer of a model is, or applies, a softmax: its answers are then no logits."""
    last = model.layers[-1]
    return isinstance(last, keras.layers.Softmax) or getattr(last, "activation", None) is keras.activations.softmax


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


def by_weights(model: keras.Model, function: Callable[[], Any]) -> list[Any]:
    """Return the gradient of a number by each trainable weight, zeros where it depends on none.

    Args:
        model: whose weights the function reads.
        function: returns the number.
    """
    if on_jax():
        import jax

        def of(weights):
            with keras.StatelessScope(state_mapping=list(zip(model.trainable_variables, weights, strict=True))):
                return function()

        return list(jax.grad(of)([variable.value for variable in model.trainable_variables]))
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = function()
    found = tape.gradient(value, [variable.value for variable in model.trainable_variables],
                          unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return [tf.convert_to_tensor(gradient) for gradient in found]
