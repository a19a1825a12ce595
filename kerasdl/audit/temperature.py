"""One number by which logits are divided, so that a classifier is as sure as it should be (Guo et al. 2017)."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

RANGE = 1e-2, 1e2  # of temperatures
FOLDS = 2
ENDS = 0.01  # nearer to an end of RANGE, by this share, the search has found no best temperature
EXACT = 0.01  # standard errors from the best temperature of the test split within which a net was fitted to it


def nll(logits: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean negative log-likelihood, in nats, of logits (N, classes) for the classes (N,)."""
    return float(losses(logits, truth).mean())


def losses(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the negative log-likelihood of each example (N,), in nats."""
    return -log_softmax(logits.astype("float64"), axis=1)[np.arange(len(truth)), truth]


def best(logits: np.ndarray, truth: np.ndarray) -> float | None:
    """Return the temperature whose division of the logits has the least negative log-likelihood; None without one.

    The likelihood is concave in 1 / T, so that there is one best at most: without a mistake, the colder the better, and
    for a net that knows nothing, the hotter.

    Args:
        logits: (N, classes) of examples that the net did not learn from, and that are not those that it is measured on.
        truth: (N,) their classes.
    """
    if (logits.argmax(1) == truth).all():
        return None
    logits = logits.astype("float64")
    low, high = (1 / end for end in reversed(RANGE))
    scale = minimize_scalar(lambda value: nll(logits * value, truth), bounds=(low, high), method="bounded",
                            options={"xatol": 1e-9}).x
    return float(1 / scale) if low * (1 + ENDS) < scale < high * (1 - ENDS) else None


def fit(logits: np.ndarray, truth: np.ndarray) -> float:
    """Return the best temperature, or 1, which changes nothing, where there is none."""
    return best(logits, truth) or 1.0


def unfit(logits: np.ndarray, truth: np.ndarray) -> str:
    """Return why the examples of validation have no best temperature; "" where they have one."""
    if best(logits, truth) is not None:
        return ""
    low, high = RANGE
    return "validation has no mistake" if (logits.argmax(1) == truth).all() else \
        f"no temperature from {low:g} to {high:g} is best on validation"


def gain(logits: np.ndarray, truth: np.ndarray, seed: int = 0) -> float:
    """Return by how much a temperature lessens the negative log-likelihood of examples that it was not fitted on.

    It is fitted on one half of the examples and measured on the other, and then the other way round. Nothing is gained
    where all of them, or a half, have no best temperature.
    """
    half = np.random.default_rng(seed).permutation(len(truth)) % FOLDS
    found = np.zeros(len(truth))
    if unfit(logits, truth):
        return 0.0
    for fold in range(FOLDS):
        asked, fitted = half == fold, half != fold
        temperature = best(logits[fitted], truth[fitted])
        if temperature is None:
            return 0.0
        found[asked] = losses(logits[asked], truth[asked]) - losses(logits[asked] / temperature, truth[asked])
    return float(found.mean())


def distance(logits: np.ndarray, truth: np.ndarray) -> float:
    """Return how far a net is from the best temperature of these examples, in standard errors; its sign says nothing.

    It is the derivative of the log-likelihood with respect to 1 / T at T = 1, which is zero at the best temperature,
    divided by its standard deviation if the net's probabilities are right: for examples that nothing was fitted to, a
    number within EXACT of zero comes once in a hundred nets, or less often. Infinite where the net expects less than
    one mistake: then nothing can be said.
    """
    logits = logits.astype("float64")
    chances = softmax(logits, axis=1)
    if (1 - chances.max(1)).sum() < 1:
        return np.inf
    mean = (chances * logits).sum(1)
    slope = logits[np.arange(len(truth)), truth] - mean
    spread = (chances * (logits - mean[:, None]) ** 2).sum(1)
    return float(slope.sum() / np.sqrt(spread.sum()))
