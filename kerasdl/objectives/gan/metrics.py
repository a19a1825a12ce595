"""How near generated images are to real ones, from the features of a network that sees both.

The distances are those of the literature on features of shape (N, D). Their size depends on the network and on N, so
whoever states one names the first and counts the second: a distance on a small classifier's features is not "FID",
which is on those of one Inception network.
"""

import numpy as np
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

ROWS = 1000  # rows of a matrix of pairs that are in memory at once


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """The Fréchet distance, squared, of two normal distributions with the means and covariances of a and b.

    Dowson & Landau, 1982; of images: Heusel et al., 2017 (arXiv:1706.08500). It is 0 or more, in squared units of the
    features, and larger for fewer rows, also between two halves of one set. NaN where a feature is not finite.
    """
    _check(a, b)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("nan")
    a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
    one, other = (np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (a, b))
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    # The trace of (one other)^(1/2), from a symmetric matrix of the same eigenvalues: exact also where rank is missing.
    crossed = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other @ root), 0)).sum()
    gap = a.mean(0) - b.mean(0)
    return float(max(gap @ gap + np.trace(one) + np.trace(other) - 2 * crossed, 0.0))


def kid(a: np.ndarray, b: np.ndarray) -> float:
    """The kernel distance: the unbiased squared mean discrepancy with the kernel (x.y / D + 1)^3, over all pairs.

    Bińkowski et al., 2018 (arXiv:1801.01401), who average it over subsets to save time. Its mean is 0 for samples of
    one distribution whatever their size, so that it can be a little below.
    """
    _check(a, b)
    a, b = np.asarray(a, "float64"), np.asarray(b, "float64")

    def kernels(x, y):
        """The kernel summed over all pairs."""
        return sum((((x[i:i + ROWS] @ y.T) / x.shape[1] + 1) ** 3).sum() for i in range(0, len(x), ROWS))

    def within(x):
        """The mean over pairs of different rows."""
        return (kernels(x, x) - (((x * x).mean(1) + 1) ** 3).sum()) / (len(x) * (len(x) - 1))

    return float(within(a) + within(b) - 2 * kernels(a, b) / (len(a) * len(b)))


def density_coverage(real: np.ndarray, fake: np.ndarray, k: int = 5) -> tuple[float, float]:
    """(density, coverage) of generated rows among real ones; Naeem et al., 2020 (arXiv:2002.09797).

    Each real row has a ball that reaches to its k-th nearest real neighbour. Density is how many balls a generated row
    lies in, over k: about 1 for real rows, less for rows far from any, more for rows that crowd where many are.
    Coverage is the share of balls that hold a generated row, 0 to 1: what is left out by a collapse is not covered.

    Raises:
        ValueError: fewer than k + 1 real rows, or rows of different width.
    """
    _check(real, fake)
    if len(real) <= k:
        raise ValueError(f"Expected more than k={k} real rows. Received: {len(real)}.")
    radii = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(real).kneighbors()[0][:, -1]
    balls, covered = 0, np.zeros(len(real), bool)
    for i in range(0, len(fake), ROWS):
        inside = pairwise_distances(fake[i:i + ROWS], real) <= radii
        balls += int(inside.sum())
        covered |= inside.any(0)
    return balls / (k * len(fake)), float(covered.mean())


def _check(a: np.ndarray, b: np.ndarray) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"Expected two sets of rows of one width, two rows or more. Received: {a.shape}, {b.shape}.")
