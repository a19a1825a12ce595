"""Multiply-adds of a Keras model, counted from its layers, as papers count them: matrices and filters only.

What the compiler makes of it is not asked: a faster form of the same layer must not look like less work.
"""

import math

import keras


def macs(model: keras.Model) -> int:
    """Of a forward pass on one example."""
    return sum(layer_macs(layer) for layer in model.layers)


def layer_macs(layer: keras.layers.Layer) -> int:
    if isinstance(layer, keras.layers.Dense):
        return math.prod(layer.output.shape[1:]) * layer.kernel.shape[0]
    if isinstance(layer, keras.layers.Conv2D):
        return math.prod(layer.output.shape[1:]) * math.prod(layer.kernel.shape[:3])
    if isinstance(layer, keras.layers.MultiHeadAttention):
        tokens, width = layer.output.shape[1:]
        inner = layer.num_heads * layer.key_dim
        return tokens * 4 * width * inner + 2 * tokens**2 * inner  # projections, then scores and their sums of values
    if any(weight.name == "kernel" for weight in layer.trainable_weights):
        raise ValueError(f"Nobody has said how to count {type(layer).__name__} ({layer.name})")
    return 0
