"""Scores of resamples of a split, for intervals (the bootstrap, Efron 1979), in seconds whatever the split.

A resample has as many rows as the split, drawn with replacement; of classes, as many of each as there are. What a
score needs of it are sums over its rows, so that those are drawn and not the rows.
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from kerasdl.objectives.whole_split import log_odds

RESAMPLES = 2000
ROWS = 2000  # of a class, or of numbers, that are drawn row by row at most
ALONE = 200  # of more rows, those that are drawn one by one; the sum of the others is normal
RANKED = 5000  # rows times classes of which each resample is ranked
CHUNK = 10**6  # numbers in memory at once


def sums(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the sums (RESAMPLES, D) of rows drawn from values (N, D).

    Of more than ROWS rows, those farthest from the mean are drawn one by one. The others are many and near one another:
    the sum of n of them is normal (the central limit theorem), with n times their mean and their covariance.
    """
    count, columns = values.shape
    if count <= ROWS:
        some, separate = max(1, CHUNK // count), np.ascontiguousarray(values.T)
        parts = (generator.integers(count, size=(min(some, RESAMPLES - begin), count))
                 for begin in range(0, RESAMPLES, some))
        return np.concatenate([np.stack([column.take(rows).sum(1) for column in separate], axis=1) for rows in parts])
    spread = values.std(0)
    distance = np.abs(values - values.mean(0)) / np.where(spread > 0, spread, 1)
    order = np.argpartition(distance.max(1), -ALONE)
    others, far = values[order[:-ALONE]], values[order[-ALONE:]]
    drawn = generator.multinomial(count, [*[1 / count] * ALONE, len(others) / count], RESAMPLES)
    noise = generator.multivariate_normal(np.zeros(columns), np.atleast_2d(np.cov(others.T, bias=True)), RESAMPLES,
                                          check_valid="ignore", method="eigh")
    return drawn[:, :-1] @ far + drawn[:, -1:] * others.mean(0) + np.sqrt(drawn[:, -1:]) * noise


def sums_by_class(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the sums (RESAMPLES, D) of values (N, D) of examples of the classes (N,)."""
    generator, found = np.random.default_rng(0), np.zeros((RESAMPLES, values.shape[1]))
    for label in np.unique(truth):
        found += sums(values[truth == label], generator)
    return found


def of_guesses(score: str, truth: np.ndarray, guesses: Sequence[np.ndarray], classes: int) -> list[np.ndarray]:
    """Return "balanced_accuracy" or "macro_f1" of each resample (RESAMPLES,) for each of some guesses (N,).

    Both follow from how often each class was answered each way, which is multinomial for each class.
    """
    generator = np.random.default_rng(0)
    right, said = np.zeros((2, len(guesses), classes, RESAMPLES))
    support = np.bincount(truth, minlength=classes)
    for label in np.flatnonzero(support):
        together = np.ravel_multi_index([guess[truth == label] for guess in guesses], (classes,) * len(guesses))
        found, counts = np.unique(together, return_counts=True)
        drawn = generator.multinomial(support[label], counts / support[label], RESAMPLES).T
        for place, answer in enumerate(np.unravel_index(found, (classes,) * len(guesses))):
            ways = len(answer)
            mine = csr_array((np.ones(ways), (answer, np.arange(ways))), shape=(classes, ways)) @ drawn
            right[place, label] = mine[label]
            said[place] += mine
    if score == "balanced_accuracy":
        present = support > 0
        return [(each[present] / support[present, None]).mean(0) for each in right]
    either = said + support[:, None]
    return list((2 * right / np.maximum(either, 1)).mean(1, where=either > 0))


def of_ranks(truth: np.ndarray, logits: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return "auc" of each resample (RESAMPLES,) for each of some logits (N, classes) of the classes (N,).

    Of more than RANKED rows and classes it is the linear part of the resample's AUC: each example's own share of the
    pairs in the right order (DeLong et al. 1988). What it leaves out is smaller by the root of the number of rows.
    """
    ranked = [areas(truth, each) for each in logits]
    if len(truth) * len(ranked[0]) > RANKED:
        shares = np.stack([np.mean([area.shares() for area in each], axis=0) for each in ranked], axis=1)
        return list(np.clip(sums_by_class(shares, truth) - shares.sum(0) / 2, 0, 1).T)
    generator = np.random.default_rng(0)
    places = [np.flatnonzero(truth == label) for label in np.unique(truth)]
    rows = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([generator.choice(place, len(place)) for place in places])
        weights = np.bincount(drawn, minlength=len(truth))
        rows.append([np.mean([area.of(weights) for area in each]) if each else np.nan for each in ranked])
    return list(np.array(rows).T)


class Area:
    """The area under the ROC curve of one class against the rest, sorted once.

    Args:
        there: (N,) booleans: which examples are of the class, some and not all.
        values: (N,), larger where an example is more likely to be.
    """

    def __init__(self, there: np.ndarray, values: np.ndarray):
        self.there, (_, self.ranks) = there, np.unique(values, return_inverse=True)
        self.pairs = int(there.sum()) * int((~there).sum())

    def of(self, weights: np.ndarray) -> float:
        """Return the area where each example counts as often as weights (N,) say, of the class as often as before."""
        return float((weights * self.below(weights * ~self.there))[self.there].sum() / self.pairs)

    def below(self, weights: np.ndarray) -> np.ndarray:
        """Return for each example the weight of those that have a lower rank, and half of that of its own rank."""
        each = np.bincount(self.ranks, weights)
        return (np.cumsum(each) - each / 2)[self.ranks]

    def shares(self) -> np.ndarray:
        """Return for each example the share (N,) of all pairs that it is in, and that are in the right order."""
        count = self.there.sum()
        return np.where(self.there, self.below(~self.there), count - self.below(self.there)) / self.pairs


def areas(truth: np.ndarray, logits: np.ndarray) -> list[Area]:
    """Return the areas whose mean "auc" is; see kerasdl.objectives.whole_split."""
    odds = log_odds(logits)
    wanted = [1] if odds.shape[1] == 2 else range(odds.shape[1])
    return [Area(truth == label, odds[:, label]) for label in wanted if 0 < (truth == label).sum() < len(truth)]
