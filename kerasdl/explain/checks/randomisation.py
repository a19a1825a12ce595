"""Cascading randomisation of weights: Adebayo et al. 2018, "Sanity Checks for Saliency Maps", arXiv:1810.03292.

A map that stays the same when the layers of the model are randomised, from the last one down, shows the image and not
what was learned.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from scipy.stats import rankdata

from kerasdl.explain.network import Network

LIMIT = 0.5  # a rank correlation from here on is "nearly the same map"
POINTS = 12  # at most, each after some more layers


def randomisation(network: Network, x: np.ndarray, maps: Callable[[], np.ndarray], seed: int = 0
                  ) -> dict[str, Any]:
    """Return how alike maps are to the model's own, after its layers are randomised from the last one to the first.

    The numbers of each learned weight are put into random order, so that their size stays. At the end the model has its
    own weights again.

    Args:
        network: the model.
        x: (N, ...) the examples, which say where padding is.
        maps: gives the maps of the model as its weights are now, with signs if they have some: their sizes alone
            follow the image, such as the empty ground of a digit, under any weights.
        seed: of the order.

    Returns:
        `layers`, a row for each point with the layer's name, and the mean Spearman correlation of the maps, `signed`,
        and of their absolute values, `absolute`; `mean`, the mean size of the signed ones; `final`, that of the last
        row; and whether the mean is below LIMIT. A map that the last layers do not change fails so, even if the first
        ones do. `compared` says how many maps differ from place to place: the others, which have no ranks, are left
        out. If there are none, `layers` is empty, and `mean`, `final` and `passed` are None.
    """
    random, present, own = np.random.default_rng(seed), network.present(x), maps()
    some = np.array([np.unique(one[there]).size > 1 for one, there in zip(own, present, strict=True)])
    facts: dict[str, Any] = {"layers": [], "mean": None, "final": None, "limit": LIMIT,
                             "compared": int(some.sum()), "passed": None}
    if not some.any():
        return facts
    own, present = own[some], present[some]
    layers = weighted(network.model)
    ends = np.unique(np.linspace(0, len(layers) - 1, min(POINTS, len(layers))).round().astype(int))
    kept = network.model.get_weights()
    rows = []
    try:
        for place, layer in enumerate(layers):
            for weight in learned(layer):
                values = np.asarray(keras.ops.convert_to_numpy(weight.value))
                weight.assign(random.permutation(values.reshape(-1)).reshape(values.shape))
            if place in ends:
                found = maps()[some]
                rows.append({"layer": layer.name, "signed": alike(own, found, present),
                             "absolute": alike(np.abs(own), np.abs(found), present)})
    finally:
        network.model.set_weights(kept)
    signed = [row["signed"] for row in rows] or [0.0]  # a model without weights has no layers to randomise
    mean = float(np.mean(np.abs(signed)))
    return facts | {"layers": rows, "mean": mean, "final": signed[-1], "passed": mean < LIMIT}


def weighted(model: keras.Model) -> list[Any]:
    """Return the layers that have learned, the last one first."""
    return [layer for layer in reversed(model.layers) if learned(layer)]


def learned(layer: Any) -> list[Any]:
    """Return the weights of a layer that were learned: those that are trained, or a kernel that was found elsewhere, as
    that of TF-IDF."""
    return layer.trainable_weights or [weight for weight in layer.weights if weight.name == "kernel"]


def alike(own: np.ndarray, other: np.ndarray, present: np.ndarray) -> float:
    """Return the mean Spearman correlation of two maps of each example; 0 where one of them is constant."""
    return float(np.mean([spearman(one[there], two[there])
                          for one, two, there in zip(own, other, present, strict=True)]))


def spearman(one: np.ndarray, two: np.ndarray) -> float:
    """Return the correlation of the ranks of two lists of numbers, with mean ranks for equal ones; 0 without one."""
    ranks = [rankdata(values) for values in (one, two)]
    centred = [values - values.mean() for values in ranks]
    size = float(np.sqrt(np.square(centred[0]).sum() * np.square(centred[1]).sum()))
    return float((centred[0] * centred[1]).sum() / size) if size > 0 else 0.0
