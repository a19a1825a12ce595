"""The same network in another precision."""

import keras

from kerasdl.zoo.blocks import set_weights


def policies(network: keras.Model) -> set[str]:
    """Return the names of the dtype policies of its layers."""
    return {layer.dtype_policy.name for layer in network.layers if hasattr(layer, "dtype_policy")}


def in_float32(network: keras.Model) -> keras.Model:
    """Return the network, or where it computes in fewer bits a copy in float32 with the same weights."""
    fewer = policies(network) - {"float32"}
    if not fewer:
        return network
    text = network.to_json()
    for name in fewer:
        text = text.replace(f'"{name}"', '"float32"')
    return with_weights(keras.models.model_from_json(text), network)


def with_weights(copy: keras.Model, network: keras.Model) -> keras.Model:
    """Return the copy with the weights of the network."""
    set_weights(copy, network.get_weights())
    return copy
