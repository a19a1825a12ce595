"""Grad-CAM: Selvaraju et al. 2017, arXiv:1610.02391."""

import numpy as np

from kerasdl.errors import UserError
from kerasdl.explain import attention, grids
from kerasdl.explain.network import Network

TITLE = "Grad-CAM"
READS = ("Where the maps of a layer, weighted by their mean gradient, speak for the class. It is as coarse as that "
         "layer's grid; what speaks against the class is left out.")
SOURCE = "Selvaraju et al. 2017, arXiv:1610.02391"
KINDS = ("image", "sequence", "tokens")
SIGNED = False
RANKS = {"image": 4, "sequence": 3, "tokens": 3}  # of a layer's output that has places


def fits(network: Network) -> str:
    """Return "" or why no layer has places."""
    if network.without_layers:
        return network.without_layers
    layer = layer_of(network)
    return network.unread(layer) if layer else (
        f"{network.model.name} has no layer with maps, so that grad_cam has no grid.")


def layer_of(network: Network, name: str | None = None) -> str:
    """Return the layer whose maps are weighted: the named one, "maps" or "steps", else of a transformer that of the
    tokens its answer is read from, else the last layer with places; "": none.

    Raises:
        UserError: there is no such layer, or its output has no places.
    """
    rank = RANKS[network.kind]
    if name is not None:
        shape = getattr(network.layer(name).output, "shape", ())
        if len(shape) != rank and not is_tokens(network, shape):
            raise UserError(f"The output of layer {name!r} has the shape {tuple(shape)}, and Grad-CAM needs one that "
                            f"has places, as that of {layer_of(network)!r} has.")
        return name
    own = "maps" if network.kind == "image" else "steps"
    if own in {layer.name for layer in network.model.layers}:
        return own
    return attention.tokens_layer(network) or network.last(rank) or ""


def is_tokens(network: Network, shape: tuple[int, ...]) -> bool:
    """Return whether a layer's output (B, T, D) has a token for each place of an image's grid, perhaps after others."""
    cells = grids.of_tokens(network)
    return bool(cells and attention.layers(network) and len(shape) == 3 and (shape[1] or 0) >= cells[0] * cells[1])


def attribute(network: Network, x: np.ndarray, target: np.ndarray, *, layer: str | None = None) -> np.ndarray:
    """Return the weighted maps on the grid of the layer, 0 or more: (N, h, w), or (N, t) of steps.

    Args:
        network: the model.
        x: (N, ...) examples.
        target: (N,) which logits.
        layer: whose maps; None: as `layer_of` says.
    """
    below, above = network.at(layer_of(network, layer))
    values = below.outputs(network.raw(x))  # (N, h, w, D) or (N, t, D)
    gradient = np.nan_to_num(above.gradients(target, network.raw(x), values)[1])
    if (cells := grids.of_tokens(network)) and values.ndim == 3:
        values, gradient = (grids.laid_out(each, cells) for each in (values, gradient))
    weight = gradient.mean(axis=tuple(range(1, values.ndim - 1)), keepdims=True)
    return np.maximum((weight * values).sum(axis=-1), 0)


def maps(network: Network, x: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the values of a grid at the places of the examples, by linear interpolation."""
    return grids.spread(values, np.shape(x)[1:3] if network.kind == "image" else np.shape(x)[1:2])


def grid(network: Network, values: np.ndarray) -> tuple[int, ...]:
    """Return the cells that the values are on."""
    return values.shape[1:]
