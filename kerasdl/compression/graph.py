"""The graph of a functional network by the names of its layers, and the same network with other layers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerasdl.zoo.blocks import set_weights

Reads = Mapping[str, Sequence[str]]


def functional(network: keras.Model) -> keras.Model:
    """Return the network, a Sequential one as a graph of the same layers."""
    if not isinstance(network, keras.Sequential):
        return network
    return keras.Model(network.inputs[0], network.outputs[0], name=network.name)


def check_flat(network: keras.Model) -> None:
    """Raise a ValueError for a network that calls another model as a layer."""
    if inner := [layer.name for layer in network.layers if isinstance(layer, keras.Model)]:
        raise ValueError(f"{network.name} calls the model {inner[0]} as a layer, whose own layers are not seen. Build "
                         f"{inner[0]} on the tensor that it reads, as with input_tensor= of keras.applications.")


def reads(network: keras.Model) -> dict[str, list[str]]:
    """Return {layer: the layers that it reads}, in the order in which they compute.

    Raises:
        ValueError: the network is no graph of layers, calls a layer twice, or another model as a layer.
    """
    if not isinstance(network, keras.Model) or "layers" not in (config := network.get_config()):
        raise ValueError(f"{network.name} is no functional model.")
    check_flat(network)
    found = {}
    for layer in config["layers"]:
        if len(layer["inbound_nodes"]) > 1:
            raise ValueError(f"{network.name} calls {layer['name']} more than once.")
        found[layer["name"]] = list(_sources(layer["inbound_nodes"]))
    return found


def _sources(value: Any):
    """Yield the names of layers in the saved form of a layer's arguments."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        yield value["config"]["keras_history"][0]
    elif isinstance(value, dict):
        for part in value.values():
            yield from _sources(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _sources(part)


def readers(network: keras.Model) -> dict[str, list[str]]:
    """Return {layer: the layers that read it}; "" stands for the network's output."""
    known = reads(network)
    found: dict[str, list[str]] = {name: [] for name in known}
    for name, sources in known.items():
        for source in sources:
            found[source].append(name)
    for name in outputs(network):
        found[name].append("")
    return found


def outputs(network: keras.Model) -> list[str]:
    """Return the layers whose outputs are the network's."""
    return list(_history(network.get_config()["output_layers"]))


def _history(value: Any):
    """Yield the names in the saved form of a network's outputs, [name, node, tensor] or lists and dicts of them."""
    if isinstance(value, (list, tuple)) and len(value) == 3 and isinstance(value[0], str):
        yield value[0]
    elif isinstance(value, (list, tuple, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _history(part)


def rebuilt(network: keras.Model, layer_of: Callable[[Any], Any], weights: Mapping[str, list[np.ndarray]],
            call: Callable[..., Any] | None = None) -> keras.Model:
    """Return a new network of the same graph.

    Args:
        network: a functional model.
        layer_of: returns the new layer for a layer.
        weights: of the new layers, by name; the others have those of the layer of this name.
        call: (new layer, *inputs) -> its output; by default that of a call.
    """
    twin = keras.models.clone_model(network, clone_function=layer_of, call_function=call)
    old = {layer.name: layer for layer in network.layers}
    for layer in twin.layers:
        if layer.name in weights:
            set_weights(layer, weights[layer.name])
        elif layer.weights and layer.name in old:
            set_weights(layer, old[layer.name].get_weights())
    return twin


def same(layer: Any, **changes: Any) -> Any:
    """Return a new layer like this one, without its weights, and with some arguments changed."""
    return type(layer).from_config(layer.get_config() | changes)
