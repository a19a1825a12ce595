"""Intervals of what is the mean of many examples: of one group, and of the distance between groups."""

import numpy as np
from scipy.stats import binomtest, t

SURE = 0.95


def of_mean(values: np.ndarray, sure: float = SURE) -> list[float]:
    """Return the interval of a mean: Wilson's where the values are 0 and 1, else Student's."""
    shares = bool(np.isin(values, (0.0, 1.0)).all())
    deviation = float(values.std(ddof=min(1, len(values) - 1)))
    return of_moments(float(values.mean()), deviation, len(values), shares, sure)


def of_moments(mean: float, deviation: float, count: int, shares: bool, sure: float = SURE) -> list[float]:
    """Return the interval of the mean of `count` values, which are 0 and 1 if they are `shares`."""
    if shares:
        found = binomtest(round(mean * count), count).proportion_ci(sure, "wilson")
        return [float(found.low), float(found.high)]
    half = float(t.ppf((1 + sure) / 2, max(1, count - 1)) * deviation / np.sqrt(count))
    return [mean - half, mean + half]


def of_spread(values: np.ndarray, groups: np.ndarray) -> list[float]:
    """Return the interval of 95 % of the largest mean of a group less the smallest.

    The interval of the difference of two groups is made of those of their means, of shares by Newcombe (1998, method
    10) and of other means by Zou & Donner (2008):

        from d - sqrt((m1 - low1)^2 + (high2 - m2)^2) to d + sqrt((high1 - m1)^2 + (m2 - low2)^2)

    Which groups are the best and the worst is chance, too. So all pairs have an interval, of 1 - 5 % / pairs
    (Bonferroni): the distance is as large as the lower end of each of them, and no larger than the highest upper end.

    Args:
        values: (N,) of each example.
        groups: (N,) which it belongs to, two groups or more.
    """
    each = [values[groups == group] for group in np.unique(groups)]
    pairs = len(each) * (len(each) - 1) / 2
    means = np.array([mine.mean() for mine in each])
    low, high = np.array([of_mean(mine, 1 - (1 - SURE) / pairs) for mine in each]).T
    apart = means[:, None] - means
    other = ~np.eye(len(each), dtype=bool)
    least = apart - np.hypot((means - low)[:, None], high - means)
    most = apart + np.hypot((high - means)[:, None], means - low)
    return [max(0.0, float(least[other].max())), float(most[other].max())]
