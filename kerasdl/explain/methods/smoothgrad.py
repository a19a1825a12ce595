"""SmoothGrad, the mean of gradients under noise: Smilkov et al. 2017, arXiv:1706.03825."""

import numpy as np

from kerasdl.explain.network import Network

TITLE = "SmoothGrad"
READS = "The mean of the gradients of noisy copies: as the gradient, with less of its speckle."
SOURCE = "Smilkov et al. 2017, arXiv:1706.03825"
KINDS = ("image", "row", "sequence", "tokens")
SIGNED = False


def fits(network: Network) -> str:
    return network.without_gradient


def attribute(network: Network, x: np.ndarray, target: np.ndarray, *, seed: int = 0, samples: int = 16,
              noise: float = 0.15) -> np.ndarray:
    """Return the mean gradient of noisy copies, shaped as the numbers are.

    Args:
        network: the model.
        x: (N, ...) examples.
        target: (N,) which logits.
        seed: of the noise.
        samples: noisy copies of each example.
        noise: deviation of the noise, as a share of the example's range; of rows and steps in deviations of the
            training data.
    """
    numbers, random = network.numbers(x), np.random.default_rng(seed)
    axes = tuple(range(1, numbers.ndim))
    spread = np.nanmax(numbers, axis=axes, keepdims=True) - np.nanmin(numbers, axis=axes, keepdims=True)
    size = noise * (spread if network.kind in ("image", "tokens") else network.unit(x))
    total = np.zeros_like(numbers)
    for _ in range(samples):
        drawn = random.standard_normal(numbers.shape, "float32")
        total += network.gradients(x, target, numbers + size * drawn)[1]
    return total / samples
