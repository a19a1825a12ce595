"""Integrated gradients: Sundararajan, Taly & Yan 2017, "Axiomatic Attribution for Deep Networks", arXiv:1703.01365."""

import numpy as np

from kerasdl.explain.network import Network

TITLE = "Integrated gradients"
READS = ("How much each input has added to the logit, or taken from it, on the way from a neutral example: black, the "
         "training's mean, or a text of empty tokens. The numbers sum to the difference between the two logits.")
SOURCE = "Sundararajan et al. 2017, arXiv:1703.01365"
KINDS = ("image", "row", "sequence", "tokens")
SIGNED = True
COMPLETE = True  # its numbers sum to a difference of logits
STEPS = 64


def fits(network: Network) -> str:
    return network.without_gradient


def attribute(network: Network, x: np.ndarray, target: np.ndarray, *, steps: int = STEPS) -> np.ndarray:
    """Return (x - neutral) times the mean gradient on the line between them, shaped as the numbers are.

    The mean is taken by the midpoint rule.

    Args:
        network: the model.
        x: (N, ...) examples.
        target: (N,) which logits.
        steps: points on the line.
    """
    numbers, neutral = network.numbers(x), network.neutral(x)
    total = np.zeros_like(numbers)
    for step in range(steps):
        total += network.gradients(x, target, neutral + (step + 0.5) / steps * (numbers - neutral))[1]
    return np.nan_to_num(numbers - neutral) * total / steps
