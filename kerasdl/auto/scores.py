"""How sure a test score is: intervals of 95 %, of classes as kerasdl.evaluation.intervals has them, of numbers too."""

from collections.abc import Callable

import numpy as np

from kerasdl.evaluation import intervals
from kerasdl.evaluation.intervals import RESAMPLES, Interval
from kerasdl.evaluation.linear_probe import cross_entropy

Score = Callable[[np.ndarray, np.ndarray], float]  # of truth and outputs


def score_of(name: str, target: str) -> Score:
    """Return the function of a score: of classes (N,) and logits (N, classes), or of numbers, both (N, outputs)."""
    if target == "number":
        return {"r2": r2, "mae": lambda truth, outputs: float(np.abs(truth - outputs).mean()),
                "loss": lambda truth, outputs: float(np.square(truth - outputs).mean())}[name]
    if name == "loss":
        return lambda truth, outputs: cross_entropy(outputs, truth)
    return lambda truth, outputs: intervals.score(name, truth, outputs)


def r2(truth: np.ndarray, outputs: np.ndarray) -> float:
    """Return the share of the variance that is explained, the mean over the outputs; NaN if one of them is constant.
    """
    error, spread = np.square(truth - outputs).sum(0), np.square(truth - truth.mean(0)).sum(0)
    varies = truth.max(0) > truth.min(0)
    return float((1 - error / np.where(varies, spread, np.nan)).mean())


def of_score(name: str, target: str, truth: np.ndarray, outputs: np.ndarray) -> Interval:
    """Return the interval of a score: Wilson's of an accuracy, the bootstrap's of others."""
    if name == "accuracy":
        return intervals.of_score(name, truth, outputs)
    score = score_of(name, target)
    return middle([score(truth[index], outputs[index]) for index in resampled(truth, target)])


def of_difference(name: str, target: str, truth: np.ndarray, outputs: np.ndarray, others: np.ndarray) -> Interval:
    """Return the interval of how much higher the score of the first answers is than that of the others."""
    if name == "accuracy":
        return intervals.of_difference(name, truth, outputs, others)
    score = score_of(name, target)
    return middle([score(truth[index], outputs[index]) - score(truth[index], others[index])
                   for index in resampled(truth, target)])


def resampled(truth: np.ndarray, target: str):
    """Yield indices drawn with replacement, of classes as many of each as there are."""
    generator = np.random.default_rng(0)
    places = [np.arange(len(truth))] if target == "number" else [
        np.flatnonzero(truth == label) for label in np.unique(truth)]
    for _ in range(RESAMPLES):
        yield np.concatenate([generator.choice(place, len(place)) for place in places])


def middle(values: list[float]) -> Interval:
    """Return the ends of the middle 95 % of some values."""
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)
