"""Grad-CAM: Selvaraju et al. 2017, arXiv:1610.02391."""

import numpy as np
from keras import ops

from kerasdl.errors import UserError
from kerasdl.explain.network import Network

TITLE = "Grad-CAM"
READS = ("Where the maps of a layer, weighted by their mean gradient, speak for the class. It is as coarse as that "
         "layer's grid; what speaks against the class is left out.")
SOURCE = "Selvaraju et al. 2017, arXiv:1610.02391"
KINDS = ("image", "sequence", "tokens")
SIGNED = False
RANKS = {"image": 4, "sequence": 3, "tokens": 3}  # of a layer's output that has places


def fits(network: Network) -> str:
    """Return "" or that no layer has places."""
    return "" if layer_of(network) else f"{network.model.name} has no layer with maps, so that grad_cam has no grid."


def layer_of(network: Network, name: str | None = None) -> str:
    """Return the layer whose maps are weighted: the named one, "maps" or "steps", else the last with places; "": none.

    Raises:
        UserError: there is no such layer, or its output has no places.
    """
    rank = RANKS[network.kind]
    if name is not None:
        shape = getattr(network.layer(name).output, "shape", ())
        if len(shape) != rank:
            raise UserError(f"The output of layer {name!r} has the shape {tuple(shape)}. Grad-CAM needs {rank} axes, "
                            f"such as those of {network.last(rank)!r}.")
        return name
    own = "maps" if network.kind == "image" else "steps"
    return own if own in {layer.name for layer in network.model.layers} else network.last(rank) or ""


def attribute(network: Network, x: np.ndarray, target: np.ndarray, *, layer: str | None = None) -> np.ndarray:
    """Return the weighted maps on the grid of the layer, 0 or more: (N, h, w), or (N, t) of steps.

    Args:
        network: the model.
        x: (N, ...) examples.
        target: (N,) which logits.
        layer: whose maps; None: "maps" or "steps", or the last layer that has some.
    """
    below, above = network.at(layer_of(network, layer))
    values = below.outputs(network.raw(x))  # (N, h, w, D) or (N, t, D)
    gradient = np.nan_to_num(above.gradients(target, network.raw(x), values)[1])
    weight = gradient.mean(axis=tuple(range(1, values.ndim - 1)), keepdims=True)
    return np.maximum((weight * values).sum(axis=-1), 0)


def maps(network: Network, x: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the values of a grid at the places of the examples, by linear interpolation."""
    return spread(values, np.shape(x)[1:3] if network.kind == "image" else np.shape(x)[1:2])


def spread(values: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return values of a grid (N, h, w) or (N, t) resized to (N, H, W) or (N, T)."""
    if values.shape[1:] == tuple(size):
        return values
    grid = values[..., None] if values.ndim == 3 else values[:, None, :, None]
    wanted = tuple(size) if len(size) == 2 else (1, *size)
    found = ops.convert_to_numpy(ops.image.resize(grid, wanted, interpolation="bilinear", data_format="channels_last"))
    return found[..., 0] if values.ndim == 3 else found[:, 0, :, 0]


def grid(network: Network, values: np.ndarray) -> tuple[int, ...]:
    """Return the cells that the values are on."""
    return values.shape[1:]
