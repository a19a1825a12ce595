"""Completeness: what is attributed sums to the difference between the logit and that of the neutral example."""

import numpy as np

from kerasdl.explain.explanation import Explanation
from kerasdl.explain.network import Network

LIMIT = 0.01  # of the mean difference


def completeness(network: Network, x: np.ndarray, found: Explanation) -> dict[str, float | bool]:
    """Return how far the sums are from what they have to be, in shares of the mean difference of logits.

    Args:
        network: the model.
        x: (N, ...) examples.
        found: an explanation whose numbers claim to be complete.

    Returns:
        `error`, the mean over the examples; `worst`, the largest; and whether the mean is within LIMIT.
    """
    place = np.arange(len(x)), found.target
    difference = (found.logits - network.logits(x, network.neutral(x)))[place]
    off = np.abs(found.values.reshape(len(x), -1).sum(axis=1) - difference)
    scale = max(float(np.abs(difference).mean()), 1e-12)
    error = float(off.mean()) / scale
    return {"error": error, "worst": float(off.max()) / scale, "limit": LIMIT, "passed": error <= LIMIT}
