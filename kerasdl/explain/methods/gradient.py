"""The gradient of a logit: Simonyan et al. 2014, "Deep Inside Convolutional Networks", arXiv:1312.6034."""

import numpy as np

from kerasdl.explain.network import Network

TITLE = "Gradient"
READS = "How fast the logit changes with each input. It shows what the model is sensitive to, not what it has used."
SOURCE = "Simonyan et al. 2014, arXiv:1312.6034"
KINDS = ("image", "row", "sequence", "tokens")
SIGNED = False


def fits(network: Network) -> str:
    return network.without_gradient


def attribute(network: Network, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the gradient of each example's target logit by its raw numbers, shaped as they are; of tokens (N, T, D).

    A linear model's gradient is its weight row, divided by 255 for pixels, and by the deviation of a column for rows.
    """
    return network.gradients(x, target)[1]
