"""The filters of the first layer that has some: Krizhevsky et al. 2012, figure 3."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from markupsafe import Markup

from kerasdl import figures
from kerasdl.explain.description import Material
from kerasdl.explain.network import Network
from kerasdl.objectives.sections import image
from kerasdl.zoo.cnn import Whitening

TITLE = "Filters of the first layer"
READS = ("The weights with which the first layer looks at its input: grey, or the middle of a curve, is 0. Filters "
         "that look like noise have not learned yet, or learned too long. Those of a whitening layer are directions in "
         "which small patches of the training images vary, and do not learn.")
SOURCE = "Krizhevsky et al. 2012"
KINDS = ("image", "sequence")
NEEDS = ""
MOST = 64


def fits(network: Network) -> str:
    """Return "" or why the model has no such layer."""
    if network.without_layers:
        return network.without_layers
    if filters_of(network) is None:
        return f"{network.model.name} has no convolution, and no layer of weights for each pixel."
    return ""


def filters_of(network: Network) -> np.ndarray | None:
    """Return the weights (h, w, C, filters) of images, (k, F, filters) of sequences; None: there are none.

    A dense layer right on the pixels has one filter as large as the image for each of its outputs.
    """
    rank = 4 if network.kind == "image" else 3
    for layer in flat(network.model):
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Conv1D, Whitening)):
            kernel = np.asarray(keras.ops.convert_to_numpy(layer.kernel), "float32")
            return kernel if kernel.ndim == rank else None
        if isinstance(layer, keras.layers.Dense) and network.kind == "image":
            kernel = np.asarray(keras.ops.convert_to_numpy(layer.kernel), "float32")
            shape = network.model.inputs[0].shape[1:]
            return kernel.reshape(*shape, -1) if len(kernel) == np.prod(shape) else None
    return None


def flat(model: keras.Model) -> Iterator[Any]:
    """Yield the layers of a model in their order, and those of a model within it in its place."""
    for layer in model.layers:
        yield from flat(layer) if isinstance(layer, keras.Model) else (layer,)


def describe(network: Network, material: Material) -> dict[str, np.ndarray]:
    """Return `filters`: (h, w, C, filters) of images, (k, F, filters) of sequences."""
    return {"filters": filters_of(network)}  # type: ignore[dict-item]


def show(found: dict[str, np.ndarray], material: Material) -> Markup:
    """Return the first filters as one sheet, each by its own greatest weight."""
    filters = found["filters"][..., :MOST]
    if filters.ndim == 4:
        return image(sheet(filters), f"{filters.shape[-1]} filters of the first layer")
    drawn = [Markup('<figure><img src="{}" alt="filter {}"></figure>').format(
        figures.sketch(filters[..., place]), place + 1) for place in range(filters.shape[-1])]
    return Markup('<div class="images">{}</div>').format(Markup("").join(drawn))


def sheet(filters: np.ndarray) -> Any:
    """Return filters (h, w, C, K) as one image uint8, with lines between them; of many channels the first."""
    filters = filters if filters.shape[2] in (1, 3) else filters[:, :, :1]
    size = np.abs(filters).max(axis=(0, 1, 2), keepdims=True)
    grey = np.clip(127.5 + 127.5 * filters / np.maximum(size, 1e-12), 0, 255).round().astype("uint8")
    scale = max(1, round(64 / max(grey.shape[:2])))
    tiles = grey.repeat(scale, 0).repeat(scale, 1)
    columns = int(np.ceil(np.sqrt(2 * tiles.shape[-1])))
    rows = -(-tiles.shape[-1] // columns)
    side, gap = tiles.shape[:2], 4
    page = np.zeros((rows * (side[0] + gap) - gap, columns * (side[1] + gap) - gap, tiles.shape[2]), "uint8")
    for place in range(tiles.shape[-1]):
        top, left = place // columns * (side[0] + gap), place % columns * (side[1] + gap)
        page[top:top + side[0], left:left + side[1]] = tiles[..., place]
    return page
