"""What the attention layers of a model attend to, and from which token its answer is read."""

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasdl.explain.gradients import batched
from kerasdl.explain.methods.grad_cam import spread
from kerasdl.explain.network import Network
from kerasdl.zoo.attention import SelfAttention


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


def reading(network: Network, x: np.ndarray, tokens: int) -> np.ndarray:
    """Return how much of each token's last state the answer reads, (N, tokens), rows of sum 1.

    It is all of a class token, or of the last step that is there; the learned weights of a CCT; else the same of each.
    """
    names = {layer.name: type(layer).__name__ for layer in network.model.layers}
    present = np.ones((len(x), tokens), bool) if network.kind == "image" else network.present(x)
    if "FirstToken" in (names.get("features"), names.get("pooled")):
        return np.eye(1, tokens, dtype="float32").repeat(len(x), 0)
    if names.get("pooled") == "LastStep":
        last = tokens - 1 - present[:, ::-1].argmax(1)
        return np.eye(tokens, dtype="float32")[last]
    if "pool_shares" in names:
        return network.at("pool_shares")[0].outputs(network.raw(x))[..., 0]
    return (present / present.sum(1, keepdims=True)).astype("float32")


def grid(network: Network) -> tuple[int, int] | None:
    """Return height and width of the grid that an image's tokens come from; None for other data."""
    if network.kind != "image":
        return None
    name = network.last(4)
    return None if name is None else tuple(network.layer(name).output.shape[1:3])


def at_places(network: Network, x: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return values of tokens (N, T) at the places of the examples; a class token has none and is left out."""
    cells = grid(network)
    if cells is None:
        return values
    return spread(values[:, -cells[0] * cells[1]:].reshape(len(values), *cells), np.shape(x)[1:3])


def misfit(network: Network) -> str:
    """Return "" or why the attention of a model cannot be laid out on its examples."""
    name = network.model.name
    if not layers(network):
        return f"{name} has no attention layers."
    if any(layer.name == "mel" for layer in network.model.layers):
        return f"The tokens of {name} are frames of a spectrum, and not its samples."
    return f"The tokens of {name} come from no grid." if network.kind == "image" and grid(network) is None else ""
