"""How sure a score on a test split is: intervals of 95 %."""

import numpy as np
from scipy.stats import binomtest

from kerasdl.evaluation import resampling
from kerasdl.objectives import whole_split

Interval = tuple[float, float]


def score(name: str, truth: np.ndarray, logits: np.ndarray) -> float:
    """Return "accuracy" or a score of kerasdl.objectives.whole_split for classes (N,) and logits (N, classes)."""
    if name == "accuracy":
        return float((logits.argmax(1) == truth).mean())
    return whole_split.of_classes(name, truth, logits)


def of_score(name: str, truth: np.ndarray, logits: np.ndarray) -> Interval:
    """Return the interval of a score: of the accuracy Wilson's (1927), of others the bootstrap's (Efron 1979)."""
    if name == "accuracy":
        return of_share(int((logits.argmax(1) == truth).sum()), len(truth))
    return middle(_resampled(name, truth, logits)[0])


def of_share(count: int, of: int, method: str = "wilson") -> Interval:
    """Return the interval of a share, such as an accuracy: Wilson's (1927), or the "exact" one of Clopper-Pearson."""

    found = binomtest(count, of).proportion_ci(method=method)
    return float(found.low), float(found.high)


def of_difference(name: str, truth: np.ndarray, logits: np.ndarray, others: np.ndarray) -> Interval:
    """Return the interval of how much better the first answers are than the others for the same examples.

    An accuracy counts examples, so that its resamples are drawn as counts: of those that the first alone answers
    rightly, that the others alone do, and of the rest. Resamples of other scores have as many examples of a class as
    there are, so that a class with few of them varies too little: with n, by (n - 1) / n of its variance.
    """
    if name == "accuracy":
        ahead = (logits.argmax(1) == truth).astype(int) - (others.argmax(1) == truth)
        shares = [(ahead == sign).mean() for sign in (1, -1, 0)]
        counts = np.random.default_rng(0).multinomial(len(ahead), shares, resampling.RESAMPLES)
        return middle((counts[:, 0] - counts[:, 1]) / len(ahead))
    first, second = _resampled(name, truth, logits, others)
    return middle(first - second)


def middle(values: np.ndarray) -> Interval:
    """Return the ends of the middle 95 % of some values; those that are undefined do not count."""
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def _resampled(name: str, truth: np.ndarray, *logits: np.ndarray) -> list[np.ndarray]:
    if name == "auc":
        return resampling.of_ranks(truth, logits)
    return resampling.of_guesses(name, truth, [each.argmax(1) for each in logits], logits[0].shape[1])
