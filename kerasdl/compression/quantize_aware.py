"""Quantisation-aware training: a network whose layers round as those of its 8-bit file will."""

import keras
import numpy as np
from keras import layers

from kerasdl.compression import graph
from kerasdl.compression.fold import folded
from kerasdl.zoo.fake_quantized import ROUNDED, FakeQuantize, Rounds
from kerasdl.zoo.sequences import Hide, LastStep, MaxStep, MeanStep

BITS = {"int8": 8, "int4": 4}  # of weights; activations have 8
# They only move numbers, or choose among them: what they give has the range of what they took.
MOVES = (layers.MaxPooling1D, layers.MaxPooling2D, layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.Flatten,
         layers.Reshape, layers.Permute, layers.ZeroPadding1D, layers.ZeroPadding2D, layers.Cropping2D, layers.Identity,
         layers.Dropout, layers.SpatialDropout2D, layers.InputLayer, Hide, LastStep, MaxStep)
# Their numbers are rounded after them: matrices and filters, and what runs in integers next to them.
ROUNDS = (*ROUNDED, layers.Add, layers.Concatenate, layers.AveragePooling1D, layers.AveragePooling2D,
          layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, MeanStep)
SUFFIX = "_range"  # of the name of the layer that rounds what a layer gives


def quantize_aware(network: keras.Model, kind: str, examples: np.ndarray) -> keras.Model:
    """Return a network that rounds in training and at inference, with the weights of a trained one.

    Batch normalisation is folded first, so that what is learned is what the file will have.

    Args:
        network: trained, in float32.
        kind: a key of BITS.
        examples: training examples (N, ...) as the network takes them, which show it the first ranges.

    Raises:
        ValueError: the network is no graph of layers, or has none that can be rounded.
    """
    plain = folded(network)
    rounds = [layer.name for layer in plain.layers if type(layer) in ROUNDED]
    if not rounds:
        raise ValueError(f"{network.name} has no Dense, Conv1D, Conv2D or DepthwiseConv2D layer.")
    ranged = rounded_outputs(plain)

    def layer_of(layer):
        if layer.name not in rounds:
            return graph.same(layer)
        return ROUNDED[type(layer)].from_config(layer.get_config() | {"bits": BITS[kind]})

    def call(layer, *args, **kwargs):
        x = layer(*args, **kwargs)
        return FakeQuantize(name=f"{layer.name}{SUFFIX}")(x) if layer.name in ranged else x

    aware = graph.rebuilt(plain, layer_of, {}, call)
    show(aware, plain, ranged, examples)
    return aware


def rounded_outputs(network: keras.Model) -> set[str]:
    """Return the layers whose outputs are rounded: of a layer and the ReLU that alone reads it the second, because
    both run as one, and what matrices and filters read."""
    sources, readers = graph.reads(network), graph.readers(network)
    by_name = {layer.name: layer for layer in network.layers}

    def origin(name):
        """What made the numbers that a layer only moved."""
        while isinstance(by_name.get(name), MOVES) and sources[name] and not several(sources[name][0]):
            name = sources[name][0]
        return name

    def several(name):
        """Whether a layer has several outputs, as one that embeds tokens and says which are there."""
        return isinstance(getattr(by_name.get(name), "output", None), (list, tuple))

    found = set()
    for name, layer in by_name.items():
        if isinstance(layer, ROUNDS):
            (reader, *others) = readers[name]
            relu = not others and is_relu(by_name.get(reader))
            found.add(reader if relu else name)
        if type(layer) in ROUNDED:
            found |= {origin(source) for source in sources[name]}
    if lost := sorted(found - by_name.keys() - {""}):
        raise ValueError(f"{network.name} has operations between its layers, such as {lost[0]}, which training cannot "
                         "round. Write them as layers, such as keras.layers.Add and ReLU.")
    return {name for name in found if name in by_name and not isinstance(by_name[name], layers.InputLayer)}


def is_relu(layer: keras.layers.Layer | None) -> bool:
    """Return whether a layer is a ReLU, or one that ends at 6, which integer kernels apply to their sums."""
    if isinstance(layer, layers.ReLU):
        return not layer.negative_slope and not layer.threshold and layer.max_value in (None, 6)
    return isinstance(layer, layers.Activation) and layer.activation in (keras.activations.relu,
                                                                         keras.activations.relu6)


def show(aware: keras.Model, plain: keras.Model, ranged: set[str], examples: np.ndarray, batch: int = 64) -> None:
    """Give each FakeQuantize the range that the plain network has there on examples."""
    names = sorted(ranged)
    tap = keras.Model(plain.input, [plain.get_layer(name).output for name in names])
    lows, highs = [], []
    for start in range(0, len(examples), batch):
        values = tap(examples[start:start + batch], training=False)
        lows.append([float(keras.ops.min(value)) for value in values])
        highs.append([float(keras.ops.max(value)) for value in values])
    for name, low, high in zip(names, np.min(lows, axis=0), np.max(highs, axis=0), strict=True):
        layer = aware.get_layer(f"{name}{SUFFIX}")
        layer.low.assign(low)
        layer.high.assign(high)


def is_aware(network: keras.Model) -> bool:
    """Return whether a network rounds as its 8-bit file will."""
    return any(isinstance(layer, FakeQuantize) for layer in network.layers)


def bits_of(network: keras.Model) -> set[int]:
    """Return how many bits the weights of layers have that round them; none where no layer does."""
    return {layer.bits for layer in network.layers if isinstance(layer, Rounds)}
