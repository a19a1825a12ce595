"""How sure a test score is: intervals of 95 %, of classes as kerasdl.evaluation.intervals has them, of numbers too."""

import numpy as np
from scipy.special import log_softmax

from kerasdl.evaluation import intervals
from kerasdl.evaluation.intervals import Interval, middle
from kerasdl.evaluation.resampling import sums, sums_by_class

CONSTANT = 1e-12  # share of the split's variance, below which that of a resample is rounding


def of_score(name: str, target: str, truth: np.ndarray, outputs: np.ndarray) -> Interval:
    """Return the interval of a score: Wilson's of an accuracy, the bootstrap's of others.

    Args:
        name: of the score.
        target: "class" or "number".
        truth, outputs: classes (N,) and logits (N, classes), or numbers, both (N, outputs).
    """
    if target == "class" and name != "loss":
        return intervals.of_score(name, truth, outputs)
    if name == "r2":
        return middle(1 - shares_of_variance(np.square(truth - outputs), truth))
    return middle(means(errors(name, target, truth, outputs), target, truth))


def of_difference(name: str, target: str, truth: np.ndarray, outputs: np.ndarray, others: np.ndarray) -> Interval:
    """Return the interval of how much higher the score of the first answers is than that of the others."""
    if target == "class" and name != "loss":
        return intervals.of_difference(name, truth, outputs, others)
    if name == "r2":
        return middle(shares_of_variance(np.square(truth - others) - np.square(truth - outputs), truth))
    first, second = (errors(name, target, truth, each) for each in (outputs, others))
    return middle(means(first - second, target, truth))


def errors(name: str, target: str, truth: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return what an example adds to a mean (N,): "mae", or "loss" of classes or numbers."""
    if target == "class":
        return -log_softmax(outputs.astype("float64"), axis=1)[np.arange(len(truth)), truth]
    difference = truth.astype("float64") - outputs
    return (np.abs(difference) if name == "mae" else np.square(difference)).mean(1)


def means(values: np.ndarray, target: str, truth: np.ndarray) -> np.ndarray:
    """Return the mean of values (N,) in each resample."""
    column = values[:, None]
    found = sums_by_class(column, truth) if target == "class" else sums(column, np.random.default_rng(0))
    return found[:, 0] / len(values)


def shares_of_variance(squares: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return what share of the variance some squares (N, outputs) are in each resample, the mean over the outputs.

    It is NaN where an output is constant.
    """
    centred = truth - truth.mean(0, dtype="float64")
    drawn = sums(np.concatenate([squares, centred, np.square(centred)], axis=1), np.random.default_rng(0))
    errors, first, second = np.split(drawn, 3, axis=1)
    spread = second - np.square(first) / len(truth)  # of n numbers y: sum of y^2 - (sum of y)^2 / n
    least = CONSTANT * np.square(centred).sum(0)
    varies = (spread > least) & (truth.max(0) > truth.min(0))
    return (errors / np.where(varies, spread, np.nan)).mean(1)
