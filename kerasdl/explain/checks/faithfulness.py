"""Insertion and deletion: Petsiuk et al. 2018, "RISE", arXiv:1806.07421, against maps that know nothing of the model.

Places are put in, or taken out, from the most important one on; the probability of the class should rise soon, and
fall soon. It is a probability and not a logit, which has no bounds. What stands in an empty place decides much, so that
images and sequences are measured with two such things.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import softmax

from kerasdl.explain.network import Network

STEPS = 16  # points of a curve after the first
ERRORS = 3  # standard errors by which a method has to be ahead
Probability = Callable[[np.ndarray], np.ndarray]


def softmax_of(logits: np.ndarray) -> np.ndarray:
    """Return probabilities (N, K) of logits."""
    return softmax(logits, axis=1)


def faithfulness(network: Network, x: np.ndarray, target: np.ndarray, maps: Mapping[str, np.ndarray], own: str,
                 probability: Probability = softmax_of, seed: int = 0) -> dict[str, Any]:
    """Return the areas under the curves of insertion and deletion for a method's maps and for its controls.

    Args:
        network: the model.
        x: (N, ...) examples.
        target: (N,) whose probability is followed.
        maps: {name: (N, ...)} of the method and of its controls, more where a place matters more.
        own: the name of the method.
        probability: logits (N, K) -> probabilities (N, K).
        seed: of the order of equal places.

    Returns:
        `areas`, {name: {"insertion", "deletion", "score"}}, each mean and standard error, where the score is insertion
        minus deletion; `fills`, the same means for each thing that stands in an empty place; `curves`, mean
        probabilities at `shares`; `ahead`, {control: mean and standard error of the difference of scores on the same
        examples, and whether it is more than ERRORS of these}; and whether the method is ahead of all.
    """
    areas: dict[str, dict[str, list[np.ndarray]]] = {name: {"insertion": [], "deletion": []} for name in maps}
    curves: dict[str, dict[str, list[np.ndarray]]] = {name: {"insertion": [], "deletion": []} for name in maps}
    nothing = fills(network, x)
    for name, values in maps.items():
        order = ranks(values, network.present(x), seed)
        for empty in nothing.values():
            for way in ("insertion", "deletion"):
                found = curve(network, x, target, order, empty, way == "insertion", probability)
                curves[name][way].append(found)
                areas[name][way].append(np.trapezoid(found, axis=1) / STEPS)
    means = {name: {way: np.mean(each, axis=0) for way, each in ways.items()} for name, ways in areas.items()}
    for ways in means.values():
        ways["score"] = ways["insertion"] - ways["deletion"]
    ahead = {name: beaten(means[own]["score"] - ways["score"]) for name, ways in means.items() if name != own}
    return {"areas": {name: {way: mean_error(values) for way, values in ways.items()} for name, ways in means.items()},
            "fills": {fill: {name: {way: float(each[place].mean()) for way, each in ways.items()}
                             for name, ways in areas.items()} for place, fill in enumerate(nothing)},
            "shares": [step / STEPS for step in range(STEPS + 1)],
            "curves": {name: {way: np.mean(each, axis=(0, 1)).tolist() for way, each in ways.items()}
                       for name, ways in curves.items()},
            "ahead": ahead, "errors": ERRORS, "passed": all(row["beaten"] for row in ahead.values())}


def fills(network: Network, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return what stands in a place that is out: {name: numbers shaped as the model's}."""
    numbers = network.numbers(x)
    if network.kind == "image":
        blur = max(numbers.shape[1:3]) / 8
        return {"mean": np.broadcast_to(numbers.mean(axis=(1, 2), keepdims=True), numbers.shape),
                "blur": gaussian_filter(numbers, (0, blur, blur, 0))}
    if network.kind == "sequence":
        smooth = gaussian_filter(np.where(np.isnan(numbers), network.neutral(np.nan_to_num(x)), numbers),
                                 (0, numbers.shape[1] / 8, 0))
        return {"mean": network.neutral(x), "blur": np.where(np.isnan(numbers), numbers, smooth)}
    return {"nothing" if network.kind == "tokens" else "mean": network.neutral(x)}


def ranks(maps: np.ndarray, present: np.ndarray, seed: int) -> np.ndarray:
    """Return for each place the share of places that come before it, (N, P); 2 for padding, which is never moved.

    Equal places are in random order: in their own, the upper left corner would come first.
    """
    found = np.full((len(maps), maps[0].size), 2.0)
    random = np.random.default_rng(seed)
    for row, (values, there) in enumerate(zip(maps, present, strict=True)):
        places = np.flatnonzero(there)
        chance = random.random(len(places))
        order = np.lexsort((chance, -values.reshape(-1)[places]))
        found[row, places[order]] = np.arange(len(places)) / len(places)
    return found


def curve(network: Network, x: np.ndarray, target: np.ndarray, order: np.ndarray, empty: np.ndarray, inserted: bool,
          probability: Probability) -> np.ndarray:
    """Return the probability of the target (N, STEPS + 1) with more and more of the places put in, or taken out."""
    numbers = network.numbers(x)
    shape = (*network.present(x).shape, *[1] * (numbers.ndim - network.present(x).ndim))
    before, after = (empty, numbers) if inserted else (numbers, empty)
    found = []
    for step in range(STEPS + 1):
        moved = (order < step / STEPS).reshape(shape)
        logits = network.logits(x, np.where(moved, after, before))
        found.append(probability(logits)[np.arange(len(x)), target])
    return np.stack(found, axis=1)


def mean_error(values: np.ndarray) -> list[float]:
    """Return the mean of numbers (N,) and its standard error."""
    return [float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0]


def beaten(differences: np.ndarray) -> dict[str, Any]:
    """Return how far a method is ahead of a control, by differences (N,) on the same examples."""
    mean, error = mean_error(differences)
    return {"mean": mean, "error": error, "beaten": mean > ERRORS * error and mean > 0}
