"""Batch normalisation folded into the convolution or the dense layer before it, which computes the same."""

import keras
import numpy as np
from keras import layers

from kerasdl.compression import graph

FOLDS = (layers.Conv1D, layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)


def folded(network: keras.Model) -> keras.Model:
    """Return a network with the same answers at inference, and biases where a normalisation was.

    A normalisation with a layer or a maximum in between stays, and so does one whose input is read elsewhere, too.
    """
    network = graph.functional(network)
    pairs, weights = foldable(network), {}
    for norm, before in pairs.items():
        weights[before] = folded_weights(network.get_layer(before), network.get_layer(norm))
    return graph.rebuilt(
        network, lambda layer: graph.same(layer, use_bias=True) if layer.name in weights else graph.same(layer),
        weights, lambda layer, *args, **kwargs: args[0] if layer.name in pairs else layer(*args, **kwargs))


def foldable(network: keras.Model) -> dict[str, str]:
    """Return {normalisation: the layer that it is folded into}."""
    sources, readers = graph.reads(network), graph.readers(network)
    known = {layer.name: layer for layer in network.layers}
    found = {}
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization) and layer.axis in (-1, len(layer.output.shape) - 1):
            before = sources[layer.name][0]  # a mask may follow, which changes statistics in training only
            candidate = known.get(before)  # None: an operation that is no layer
            if type(candidate) in FOLDS and getattr(candidate, "depth_multiplier", 1) == 1 \
                    and readers[before] == [layer.name] and linear(candidate):
                found[layer.name] = before
    return found


def linear(layer: keras.layers.Layer) -> bool:
    """Return whether a layer has no activation."""
    return layer.activation in (None, keras.activations.linear)


def folded_weights(layer: keras.layers.Layer, norm: layers.BatchNormalization) -> list[np.ndarray]:
    """Return [kernel, bias] of the layer with the normalisation in it.

    gain * (k x + b - mean) / sqrt(variance + epsilon) + shift = (k s) x + (b - mean) s + shift, with s the gain over
    the deviation.
    """
    statistics = {weight.name: keras.ops.convert_to_numpy(weight).astype("float64") for weight in norm.weights}
    share = statistics.get("gamma", 1.0) / np.sqrt(statistics["moving_variance"] + norm.epsilon)
    kernel, *bias = (values.astype("float64") for values in layer.get_weights())
    by_channel = share[:, None] if isinstance(layer, layers.DepthwiseConv2D) else share  # (H, W, C, 1)
    shift = ((bias[0] if bias else 0.0) - statistics["moving_mean"]) * share + statistics.get("beta", 0.0)
    return [(kernel * by_channel).astype("float32"), shift.astype("float32")]
