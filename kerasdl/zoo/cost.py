"""What a network costs, counted as papers count it: multiply-adds of matrices and filters only.

What a compiler makes of it is not asked: a faster form of the same layer must not look like less work.
"""

import math

import keras


def multiply_adds(model: keras.Model) -> int:
    """Of a forward pass on one example. A training step on a batch takes about 6 floating-point operations for each."""
    return sum(layer_multiply_adds(layer) for layer in model.layers)


def layer_multiply_adds(layer: keras.layers.Layer) -> int:
    """Of one layer. Of one that is not known here, each entry of its kernels once at every place of its output.

    Of a transposed convolution at every place of its input.
    """
    if isinstance(layer, keras.layers.MultiHeadAttention):
        tokens, width = layer.output.shape[1:]
        inner = layer.num_heads * layer.key_dim
        return tokens * 4 * width * inner + 2 * tokens**2 * inner  # projections, then scores and their sums of values
    kernels = [weight for weight in layer.weights if weight.name == "kernel"]
    places = layer.input if isinstance(layer, keras.layers.Conv2DTranspose) else layer.output
    return math.prod(places.shape[1:-1]) * sum(math.prod(kernel.shape) for kernel in kernels) if kernels else 0
