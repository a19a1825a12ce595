"""What the attention layers of a model attend to, and from which token its answer is read."""

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasdl.explain import grids
from kerasdl.explain.gradients import batched
from kerasdl.explain.network import Network
from kerasdl.zoo.attention import SelfAttention
from kerasdl.zoo.vit import FirstToken


def layers(network: Network) -> list[Any]:
    """Return the attention layers in the order of the network."""
    return [layer for layer in network.model.layers
            if isinstance(layer, (keras.layers.MultiHeadAttention, SelfAttention))]


def shares(network: Network, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return of each attention layer which share of each token each token reads: {layer: (N, heads, T, T)}."""
    found = layers(network)
    wanted = [_inputs(layer) for layer in found]
    below = keras.Model(network.model.input, [tensor for given in wanted for tensor in given])

    def of_batch(some):
        given = iter(keras.tree.flatten(below(ops.convert_to_tensor(some), training=False)))
        return [_shares(layer, [next(given) for _ in tensors]) for layer, tensors in zip(found, wanted, strict=True)]

    return dict(zip([layer.name for layer in found], batched(of_batch, [network.raw(x)], network.batch), strict=True))


def _inputs(layer: Any) -> list[Any]:
    """Return steps and mask, or query and value, as the network hands them to the layer."""
    given = layer.input if isinstance(layer.input, (list, tuple)) else [layer.input]
    return list(given)[:2]


def _shares(layer: Any, given: Any) -> Any:
    if isinstance(layer, SelfAttention):
        x, mask = given
        query, key, _ = layer.projected(x)
        return layer.shares(query, key, layer.allowed(x, mask))
    query, value = given if len(given) == 2 else (*given, *given)
    return layer(query, value, return_attention_scores=True)[1]


def has_class_token(network: Network) -> bool:
    """Return whether the answer is read from the first token alone."""
    return any(isinstance(layer, FirstToken) for layer in network.model.layers)


def tokens_layer(network: Network) -> str:
    """Return the layer whose tokens the answer is read from; "" without attention, of an image with a later grid, or
    if no layer gave these tokens, as in x + y.

    Of a class token it is the layer that the last block attends to: after that block no other token counts.
    """
    found = layers(network)
    order = [layer.name for layer in network.model.layers]
    last_grid = network.last(4) if network.kind == "image" else None
    if not found or (last_grid and order.index(last_grid) > order.index(found[-1].name)):
        return ""
    if has_class_token(network):
        given = _inputs(found[-1])[0]
        return next((layer.name for layer in network.model.layers if layer.output is given), "")
    return [layer.name for layer in network.model.layers
            if getattr(layer.output, "shape", None) == found[-1].output.shape][-1]


def reading(network: Network, x: np.ndarray, tokens: int) -> np.ndarray:
    """Return how much of each token's last state the answer reads, (N, tokens), rows of sum 1.

    It is all of a class token, or of the last step that is there; the learned weights of a CCT; else the same of each.
    """
    names = {layer.name: type(layer).__name__ for layer in network.model.layers}
    present = np.ones((len(x), tokens), bool) if network.kind == "image" else network.present(x)
    if has_class_token(network):
        return np.eye(1, tokens, dtype="float32").repeat(len(x), 0)
    if names.get("pooled") == "LastStep":
        last = tokens - 1 - present[:, ::-1].argmax(1)
        return np.eye(tokens, dtype="float32")[last]
    if "pool_shares" in names:
        return network.at("pool_shares")[0].outputs(network.raw(x))[..., 0]
    return (present / present.sum(1, keepdims=True)).astype("float32")


def at_places(network: Network, x: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return values of tokens (N, T) at the places of the examples; a class token has none and is left out."""
    cells = grids.of_tokens(network)
    return values if cells is None else grids.spread(grids.laid_out(values, cells), np.shape(x)[1:3])


def misfit(network: Network) -> str:
    """Return "" or why the attention of a model cannot be laid out on its examples."""
    name = network.model.name
    if network.without_layers:
        return network.without_layers
    if not layers(network):
        return f"{name} has no attention layers of its own."
    if network.layers_named("mel"):
        return f"The tokens of {name} are frames of a spectrum, and not its samples."
    if network.kind == "image" and grids.of_tokens(network) is None:
        return f"The tokens of {name} come from no grid."
    return ""
