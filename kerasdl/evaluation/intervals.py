"""How sure a score on a test split is: intervals of 95 %."""

import numpy as np
from scipy.stats import binomtest

from kerasdl.objectives import whole_split

Interval = tuple[float, float]
RESAMPLES = 2000


def score(name: str, truth: np.ndarray, logits: np.ndarray) -> float:
    """Return "accuracy" or a score of kerasdl.objectives.whole_split for classes (N,) and logits (N, classes)."""
    if name == "accuracy":
        return float((logits.argmax(1) == truth).mean())
    return whole_split.of_classes(name, truth, logits)


def of_score(name: str, truth: np.ndarray, logits: np.ndarray) -> Interval:
    """Return the interval of a score: of the accuracy Wilson's (1927), of others the bootstrap's (Efron 1979)."""
    if name == "accuracy":
        return of_share(int((logits.argmax(1) == truth).sum()), len(truth))
    return _middle([score(name, truth[index], logits[index]) for index in _resampled(truth)])


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
        counts = np.random.default_rng(0).multinomial(len(ahead), shares, RESAMPLES)
        return _middle(((counts[:, 0] - counts[:, 1]) / len(ahead)).tolist())
    return _middle([score(name, truth[index], logits[index]) - score(name, truth[index], others[index])
                    for index in _resampled(truth)])


def _resampled(truth: np.ndarray):
    """Yield indices of as many examples of each class as there are, drawn with replacement."""
    generator = np.random.default_rng(0)
    places = [np.flatnonzero(truth == label) for label in np.unique(truth)]
    for _ in range(RESAMPLES):
        yield np.concatenate([generator.choice(place, len(place)) for place in places])


def _middle(values: list[float]) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
