"""Grids that a layer's values lie on, also as the tokens of a transformer of images, and their way to the examples."""

import numpy as np
from keras import ops

from kerasdl.explain.network import Network


def of_tokens(network: Network) -> tuple[int, int] | None:
    """Return height and width of the grid that an image's tokens come from; None for other data."""
    name = network.last(4) if network.kind == "image" else None
    return None if name is None else tuple(network.layer(name).output.shape[1:3])


def laid_out(values: np.ndarray, cells: tuple[int, int]) -> np.ndarray:
    """Return values of tokens (N, T, ...) on their grid (N, h, w, ...).

    The first ones, such as a class token, have no place and are left out.
    """
    return values[:, -cells[0] * cells[1]:].reshape(len(values), *cells, *values.shape[2:])


def spread(values: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return values of a grid (N, h, w) or (N, t) resized to (N, H, W) or (N, T)."""
    if values.shape[1:] == tuple(size):
        return values
    grid = values[..., None] if values.ndim == 3 else values[:, None, :, None]
    wanted = tuple(size) if len(size) == 2 else (1, *size)
    found = ops.convert_to_numpy(ops.image.resize(grid, wanted, interpolation="bilinear", data_format="channels_last"))
    return found[..., 0] if values.ndim == 3 else found[:, 0, :, 0]
