"""The cost of a network as papers count it: multiply-adds of matrices and filters only.

It is counted from the layers, not from compiled code: a faster form of the same layer must not look like less work.
"""

import math

import keras

from kerasdl.zoo.attention import SelfAttention
from kerasdl.zoo.sequences import TiedLogits
from kerasdl.zoo.sound import LogMel, frames


def multiply_adds(model: keras.Model, steps: int = 1) -> int:
    """Return the multiply-adds of a forward pass on one example.

    A training step takes about 6 floating-point operations for each of them and each example.

    Args:
        model: the network.
        steps: of the sequence, where the network takes any number of them; the samples of sound.
    """
    steps = layer_steps(model, steps)
    return sum(layer_multiply_adds(layer, steps) for layer in model.layers)


def layer_steps(model: keras.Model, steps: int) -> int:
    """Return the steps that the layers of a network take: of sound the frames of its spectrum."""
    for layer in model.layers:
        if isinstance(layer, LogMel):
            steps = frames(steps, layer.sample_rate)
    return steps


def layer_multiply_adds(layer: keras.layers.Layer, steps: int = 1) -> int:
    """Return the multiply-adds of one layer: attention by its formula, others once for each kernel entry and place.

    The places are those of the output, of the input of a transposed convolution, and the steps of a recurrent layer.
    """
    if isinstance(layer, (keras.layers.MultiHeadAttention, SelfAttention)):
        tokens, width = layer.output.shape[1] or steps, layer.output.shape[2]
        inner = layer.num_heads * layer.key_dim if isinstance(layer, keras.layers.MultiHeadAttention) else width
        return tokens * 4 * width * inner + 2 * tokens**2 * inner  # projections, scores, weighted sums
    if isinstance(layer, LogMel):
        return steps * (layer.waves.size + layer.filters.size)
    if isinstance(layer, TiedLogits):
        return steps * math.prod(layer.input[1].shape)
    kernels = [weight for weight in layer.weights if weight.name in ("kernel", "recurrent_kernel")]
    if not kernels:
        return 0
    of_input = isinstance(layer, (keras.layers.RNN, keras.layers.Conv2DTranspose))
    places = keras.tree.flatten(layer.input if of_input else layer.output)[0].shape[1:-1]  # without masks
    return math.prod(steps if side is None else side for side in places) * sum(
        math.prod(kernel.shape) for kernel in kernels)
