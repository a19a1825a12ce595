"""How embeddings of two views lie: close together for one image, far apart for two, in all directions.

Alignment and uniformity are of Wang & Isola 2020 (arXiv:2005.10242), the rank is RankMe of Garrido et al. 2023
(arXiv:2210.02885).
"""

import numpy as np

ROWS = 512  # images whose distances to all are in memory at once
SAME = -0.1  # uniformity; above, the mean squared distance of two images is below 0.05 of at most 4
LINE = 1.5  # rank; below, hardly more than one number says anything


def alignment(embedded: np.ndarray) -> float:
    """Return the mean squared distance of the two views of an image, (N, 2, D): from 0 to 4."""
    own = _unit(embedded)
    return float(np.square(own[:, 0] - own[:, 1]).sum(-1).mean())


def uniformity(embedded: np.ndarray) -> float:
    """Return the logarithm of the mean of exp(-2 d^2) over pairs of images: 0 if all are equal, down to -8."""
    own = _unit(embedded)[:, 0]
    total = 0.0
    for start in range(0, len(own), ROWS):
        total += np.exp(4 * (own[start:start + ROWS] @ own.T - 1)).sum()  # d^2 = 2 - 2 cos
    pairs = len(own) * (len(own) - 1)
    return float(np.log(max((total - len(own)) / pairs, np.exp(-8)))) if pairs else 0.0


def rank(embedded: np.ndarray) -> float:
    """Return how many dimensions the embeddings use: e to the entropy of their singular values, from 1 to D."""
    own = embedded[:, 0].astype("float64")
    values = np.sqrt(np.linalg.eigvalsh(own.T @ own).clip(0))
    shares = values / max(values.sum(), np.finfo("float64").tiny)
    return float(np.exp(-(shares * np.log(shares + 1e-7)).sum()))


def _unit(embedded: np.ndarray) -> np.ndarray:
    embedded = embedded.astype("float64")
    return embedded / np.sqrt(np.square(embedded).sum(-1, keepdims=True) + 1e-12)
