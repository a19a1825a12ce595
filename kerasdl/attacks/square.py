"""Square: random search that sees the answers of a model alone, and none of its gradients.

Andriushchenko et al. 2020, "Square Attack: a query-efficient black-box adversarial attack via random search",
arXiv:1912.00049, algorithms 1 and 2 (L-infinity), written from the paper.
"""

import keras
import numpy as np

from kerasdl.attacks import ball
from kerasdl.attacks.network import Attacked

SHARE = 0.8  # of the pixels, that the first squares cover; AutoAttack's
HALVED = (10, 50, 200, 1000, 2000, 4000, 6000, 8000)  # queries of 10,000 after which the share halves


def share_at(query: int, queries: int) -> float:
    """Return which share of the pixels a square covers, the schedule of 10,000 queries brought to `queries`."""
    return SHARE / 2 ** sum(10_000 * query / queries > place for place in HALVED)


def square(model: keras.Model | Attacked, x: np.ndarray, y: np.ndarray, eps: float, *, queries: int = 1000,
           seed: int = 0) -> np.ndarray:
    """Return images with squares at the edge of the ball, where a new square stays if the margin falls.

    Args:
        model: raw images -> logits.
        x: images (N, H, W, C), bytes or floats 0..255.
        y: their classes (N,).
        eps: budget in grey levels, 1 to 255.
        queries: answers of the model for an image, at most.
        seed: of stripes and squares.
    """
    ball.check(eps)
    attacked, random = Attacked.of(model), np.random.default_rng([seed, 0, 2])
    rows, (height, width, channels) = np.arange(len(x)), x.shape[1:]
    stripes = random.choice((-eps, eps), (len(x), 1, width, channels))
    found = ball.delivered(x + stripes, x, eps)
    margins = margin(attacked, found, y)
    right = attacked.right(x, y)
    margins[~right], found[~right] = -1.0, x[~right]
    for query in range(1, queries):
        side = min(max(1, round(np.sqrt(share_at(query, queries) * height * width))), height, width)
        top, start = (random.integers(0, length - side + 1, len(x)) for length in (height, width))
        signs = random.choice((-eps, eps), (len(x), 1, 1, channels))  # drawn for all, so that none depends on another
        if not len(left := rows[margins > 0]):
            break
        inside = _windows(top[left], side, height)[:, :, None, None] & _windows(start[left], side, width)[:, None, :,
                                                                                                          None]
        tried = ball.delivered(np.where(inside, x[left] + signs[left], found[left]), x[left], eps)
        new = margin(attacked, tried, y[left])
        better = new < margins[left]
        found[left[better]], margins[left[better]] = tried[better], new[better]
    return found


def margin(attacked: Attacked, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return how far the right class is ahead of the best other one, (N,); at most 0 for a wrong answer."""
    logits = attacked.logits(x).astype("float64")
    own = logits[np.arange(len(x)), y]
    logits[np.arange(len(x)), y] = -np.inf
    return own - logits.max(1)


def _windows(start: np.ndarray, side: int, length: int) -> np.ndarray:
    """Return which of `length` places lie in a window of each row, (B, length)."""
    places = np.arange(length)
    return (places >= start[:, None]) & (places < start[:, None] + side)
