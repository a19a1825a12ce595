"""The cost of a network as papers count it: multiply-adds of matrices and filters only.

It is counted from the layers, not from compiled code: a faster form of the same layer must not look like less work.
"""

import math

import keras

from kerasdl.zoo.attention import SelfAttention
from kerasdl.zoo.sequences import TiedLogits

STEPS = 64  # of a sequence, whose length a model does not know


def multiply_adds(model: keras.Model, steps: int = STEPS) -> int:
    """Return the multiply-adds of a forward pass on one example.

    A training step takes about 6 floating-point operations for each of them and each example.

    Args:
        model: a network.
        steps: of an example, if it is a sequence.
    """
    return sum(layer_multiply_adds(layer, steps) for layer in model.layers)


def layer_multiply_adds(layer: keras.layers.Layer, steps: int = STEPS) -> int:
    """Return the multiply-adds of one layer: attention by its formula, others once for each kernel entry and place.

    The places are those of the output, or of the input of a transposed convolution.
    """
    if isinstance(layer, (keras.layers.MultiHeadAttention, SelfAttention)):
        tokens, width = layer.output.shape[1] or steps, layer.output.shape[2]
        inner = layer.num_heads * layer.key_dim if isinstance(layer, keras.layers.MultiHeadAttention) else width
        return tokens * 4 * width * inner + 2 * tokens**2 * inner  # projections, scores, weighted sums
    if isinstance(layer, TiedLogits):
        return steps * math.prod(layer.input[1].shape)
    kernels = [weight for weight in layer.weights if weight.name.endswith("kernel")]  # and "recurrent_kernel"
    if not kernels:
        return 0
    places = layer.input if isinstance(layer, keras.layers.Conv2DTranspose) else layer.output
    return math.prod(side or steps for side in places.shape[1:-1]) * sum(math.prod(kernel.shape) for kernel in kernels)
