"""Attention rollout: Abnar & Zuidema 2020, "Quantifying Attention Flow in Transformers", arXiv:2005.00928."""

import numpy as np

from kerasdl.explain import attention, grids
from kerasdl.explain.network import Network

TITLE = "Attention rollout"
READS = ("How the attention of all blocks, with their shortcuts, mixes the tokens into what the answer is read from. "
         "It is the same for every class.")
SOURCE = "Abnar & Zuidema 2020, arXiv:2005.00928"
KINDS = ("image", "sequence", "tokens")
SIGNED = False


def fits(network: Network) -> str:
    """Return "" or that there is no attention."""
    return attention.misfit(network)


def attribute(network: Network, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the share of each token in what the answer is read from, (N, T), 0 or more, of sum 1.

    Each block is half its shortcut and half the mean attention of its heads.
    """
    found = list(attention.shares(network, x).values())
    total = attention.reading(network, x, found[-1].shape[-1])[:, None]  # (N, 1, T)
    for each in reversed(found):
        total = 0.5 * total + 0.5 * total @ each.mean(axis=1)
    return total[:, 0]


def maps(network: Network, x: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the shares at the places of the examples."""
    return attention.at_places(network, x, values)


def grid(network: Network, values: np.ndarray) -> tuple[int, ...] | None:
    """Return the cells that an image's tokens come from; None: a token is a place."""
    return grids.of_tokens(network)
