"""The cost of a network as papers count it: multiply-adds of matrices and filters only.

It is counted from the layers, not from compiled code: a faster form of the same layer must not look like less work.
"""

import math
from typing import Any

import keras

from kerasdl.zoo.attention import SelfAttention
from kerasdl.zoo.sequences import TiedLogits
from kerasdl.zoo.sound import LogMel, frames

KERNELS = ("kernel", "recurrent_kernel", "depthwise_kernel", "pointwise_kernel")
OF_INPUT = (keras.layers.RNN, keras.layers.Bidirectional, keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose,
            keras.layers.Conv3DTranspose)  # layers whose places are those of the input


def multiply_adds(model: keras.Model, steps: int = 1, took: list[tuple] | None = None) -> int:
    """Return the multiply-adds of a forward pass on one example.

    A training step takes about 6 floating-point operations for each of them and each example.

    Args:
        model: the network.
        steps: of the sequence, where the network takes any number of them; the samples of sound.
        took: the shapes of its inputs in a call; by default as it was built, which leaves sides open if another model
            calls it.
    """
    steps = layer_steps(model, steps)
    if took is None or took == shapes(model.inputs):
        return sum(layer_multiply_adds(layer, steps) for layer in model.layers)
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    inside = keras.Model(model.inputs, [called(layer) for layer in layers], name="inside")
    return sum(layer_multiply_adds(layer, steps, *call)
               for layer, call in zip(layers, inside.compute_output_shape(took), strict=True))


def shapes(tensors: Any) -> list[tuple]:
    """Return the shape of each tensor in a structure."""
    return [tensor.shape for tensor in keras.tree.flatten(tensors)]


def called(layer: keras.layers.Layer) -> tuple[list, list]:
    """Return what a layer takes and gives in its first call, which of a model is another one than it was built of."""
    return tuple(keras.tree.flatten(getattr(keras.Operation, side).fget(layer)) for side in ("input", "output"))


def layer_steps(model: keras.Model, steps: int) -> int:
    """Return the steps that the layers of a network take: of sound the frames of its spectrum."""
    for layer in model.layers:
        if isinstance(layer, LogMel):
            steps = frames(steps, layer.sample_rate)
    return steps


def layer_multiply_adds(layer: keras.layers.Layer, steps: int = 1, took: list[tuple] | None = None,
                        gave: list[tuple] | None = None) -> int:
    """Return the multiply-adds of one layer: attention by its formula, others once for each kernel entry and place.

    The places are those of the output, of the input of a transposed convolution, and the steps of a recurrent layer. A
    model that is called as a layer has those of its own layers in that call.

    Args:
        layer: a layer.
        steps: of the sequence, where the layer takes any number of them.
        took, gave: the shapes of its inputs and outputs; by default those of its first call.
    """
    if isinstance(layer, LogMel):
        return steps * (layer.waves.size + layer.filters.size)
    if isinstance(layer, TiedLogits):
        return steps * math.prod(layer.input[1].shape)
    kernels = [weight for weight in layer.weights if weight.name in KERNELS]
    attends = isinstance(layer, (keras.layers.MultiHeadAttention, SelfAttention))
    if not kernels and not attends:
        return 0
    if took is None or gave is None:
        took, gave = map(shapes, called(layer))
    if attends:
        tokens, width = gave[0][1] or steps, gave[0][2]
        inner = layer.num_heads * layer.key_dim if isinstance(layer, keras.layers.MultiHeadAttention) else width
        return tokens * 4 * width * inner + 2 * tokens**2 * inner  # projections, scores, weighted sums
    if isinstance(layer, keras.Model) and hasattr(layer, "outputs"):  # which is a graph of layers
        return multiply_adds(layer, steps, took)
    if isinstance(layer, keras.layers.TimeDistributed):
        each = ([(one[0], *one[2:]) for one in side] for side in (took, gave))
        return (took[0][1] or steps) * layer_multiply_adds(layer.layer, steps, *each)
    if isinstance(layer, keras.layers.Wrapper):
        return layer_multiply_adds(layer.layer, steps, took, gave)
    places = (took if isinstance(layer, OF_INPUT) else gave)[0][1:-1]  # without masks
    return math.prod(steps if side is None else side for side in places) * sum(
        math.prod(kernel.shape) for kernel in kernels)
