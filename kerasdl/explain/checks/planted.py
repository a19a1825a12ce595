"""The planted patch: a network of the same architecture, for which a corner of the example alone decides the answer.

Where the truth is known, attribution can be measured: the share of it that is in the corner.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from kerasdl.explain.network import Network

TRAINED, HELD_OUT = 2000, 200  # examples at most
EPOCHS, RIGHT = 30, 0.99  # the training ends when it is right so often on held-out examples
LIMIT = 0.5  # share of the attribution
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Planted:
    """A network that has learned from planted examples.

    Attributes:
        network: answers with two classes.
        x: (N, ...) held-out examples, which it answers rightly.
        y: (N,) 0 or 1.
        patch: (N, ...) booleans, the places that decide.
        accuracy: on all held-out examples.
    """

    network: Network
    x: np.ndarray
    y: np.ndarray
    patch: np.ndarray
    accuracy: float


def plant(x: np.ndarray, y: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return examples in which a corner says which of two classes they have, and the places of that corner.

    Both classes have as much light: the upper or the lower half of a corner of an image is white and the other half black.
    The first eighth of a sequence rises or falls; the first token of a text is one of two; the first column of a row is
    low or high.

    Args:
        x: (N, ...) raw examples.
        y: (N,) 0 or 1.
        kind: of the examples.
    """
    x = np.array(x)
    if kind == "image":
        half = max(1, min(x.shape[1:3]) // 8)
        patch = np.zeros(x.shape[:3], bool)
        patch[:, :2 * half, :2 * half] = True
        top, bottom = np.where(y == 0, 255, 0), np.where(y == 0, 0, 255)
        x[:, :half, :2 * half] = top.reshape(-1, 1, 1, 1)
        x[:, half:2 * half, :2 * half] = bottom.reshape(-1, 1, 1, 1)
        return x, patch
    patch = np.zeros(x.shape[:2], bool)
    if kind == "sequence":
        count = max(2, x.shape[1] // 8)
        patch[:, :count] = True
        ramp = np.linspace(-2, 2, count)[:, None] * np.nanstd(x, axis=(0, 1)) + np.nanmean(x, axis=(0, 1))
        x[:, :count] = np.where((y == 0)[:, None, None], ramp, ramp[::-1])
        return x, patch
    patch[:, 0] = True
    if kind == "tokens":
        x[:, 0] = np.where(y == 0, *np.sort(np.unique(x))[-2:])
    else:
        x[:, 0] = x[:, 0].mean() + np.where(y == 0, -1, 1) * max(float(x[:, 0].std()), 1e-3)
    return x, patch


def planted(build: Callable[[], keras.Model], x: np.ndarray, kind: str, seed: int = 0) -> Planted:
    """Train a network on planted examples.

    Args:
        build: gives a new network with two outputs.
        x: (N, ...) raw examples of the training split.
        kind: of the examples.
        seed: of the classes and of the order of the examples.
    """
    random = np.random.default_rng(seed)
    x = x[random.permutation(len(x))[:TRAINED + HELD_OUT]]
    y = random.permutation(np.arange(len(x)) % 2)
    x, patch = plant(x, y, kind)
    held = min(HELD_OUT, len(x) // 4)
    network = build()
    scale = next((layer for layer in network.layers if layer.name == "scale"), None)
    if hasattr(scale, "adapt"):
        scale.adapt(x[held:])
    network.compile(keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                    jit_compile=keras.backend.backend() == "jax")
    own, accuracy = Network(network, kind), 0.0
    for epoch in range(EPOCHS):
        order = np.random.default_rng((seed, epoch)).permutation(np.arange(held, len(x)))
        network.fit(own.raw(x[order]), y[order], batch_size=64, shuffle=False, verbose=0)
        right = own.logits(x[:held]).argmax(1) == y[:held]
        accuracy = float(right.mean())
        if accuracy >= RIGHT:
            break
    logger.info("planted patch: %.1f%% of held-out examples are right after %d epochs", 100 * accuracy, epoch + 1)
    keep = np.flatnonzero(right)
    return Planted(own, x[keep], y[keep], patch[keep], accuracy)


def mass(maps: np.ndarray, found: Planted) -> dict[str, float | bool]:
    """Return the share of the absolute attribution that is in the patch.

    Args:
        maps: (N, ...) of the planted network for its own examples.
        found: the network.

    Returns:
        `mass`, the mean over the examples whose map is not 0; `area`, the share of the places, which a map that knows
        nothing gives; `accuracy` of the network; `zero`, the share of maps that are 0; and whether more than LIMIT of
        the attribution is in the patch.
    """
    total = np.abs(maps).reshape(len(maps), -1)
    inside = (total * found.patch.reshape(len(maps), -1)).sum(axis=1)
    some = total.sum(axis=1) > 0
    share = float((inside[some] / total.sum(axis=1)[some]).mean()) if some.any() else 0.0
    return {"mass": share, "area": float(found.patch.mean() / found.network.present(found.x).mean()),
            "accuracy": found.accuracy, "zero": float(1 - some.mean()), "limit": LIMIT,
            "passed": share > LIMIT}
