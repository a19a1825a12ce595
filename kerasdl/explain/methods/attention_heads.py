"""The attention of each head of one layer, from what the answer is read from."""

import numpy as np

from kerasdl.errors import UserError
from kerasdl.explain import attention, grids
from kerasdl.explain.network import Network

TITLE = "Attention of each head"
READS = ("What each head of one layer attends to, from the class token or as a mean over the tokens that the answer "
         "is read from. It is the same for every class, and says nothing of what is done with it.")
SOURCE = "Vaswani et al. 2017, arXiv:1706.03762"
KINDS = ("image", "sequence", "tokens")
SIGNED = False


def fits(network: Network) -> str:
    """Return "" or that there is no attention."""
    return attention.misfit(network)


def layer_of(network: Network, name: str | None = None) -> str:
    """Return the attention layer of this name; None: the last one."""
    names = [each.name for each in attention.layers(network)]
    if name is not None and name not in names:
        network.layer(name)
        raise UserError(f"Layer {name!r} is no attention. Choose from: {', '.join(names)}.")
    return name or names[-1]


def attribute(network: Network, x: np.ndarray, target: np.ndarray, *, layer: str | None = None) -> np.ndarray:
    """Return the attention of each head, (N, heads, T), 0 or more.

    Args:
        network: the model.
        x: (N, ...) examples.
        target: not read.
        layer: an attention layer, such as "block1_attn"; None: the last one.

    Raises:
        UserError: the layer is no attention.
    """
    found = attention.shares(network, x)[layer_of(network, layer)]
    read = attention.reading(network, x, found.shape[-1])
    return np.einsum("nq,nhqk->nhk", read, found)


def maps(network: Network, x: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the mean over the heads at the places of the examples."""
    return attention.at_places(network, x, values.mean(axis=1))


def parts(network: Network, x: np.ndarray, values: np.ndarray) -> dict[str, np.ndarray]:
    """Return the map of each head, by its name."""
    return {f"head {head + 1}": attention.at_places(network, x, values[:, head]) for head in range(values.shape[1])}


def grid(network: Network, values: np.ndarray) -> tuple[int, ...] | None:
    """Return the cells that an image's tokens come from; None: a token is a place."""
    return grids.of_tokens(network)
