"""Intervals of 95 % of what is the mean of many examples: of one group, and of the distance between groups."""

import numpy as np
from scipy.stats import t

from kerasdl.evaluation.intervals import RESAMPLES, of_share


def of_mean(values: np.ndarray) -> list[float]:
    """Return the interval of a mean: Wilson's where the values are 0 and 1, else Student's."""
    shares = bool(np.isin(values, (0.0, 1.0)).all())
    return of_moments(float(values.mean()), float(values.std(ddof=min(1, len(values) - 1))), len(values), shares=shares)


def of_moments(mean: float, deviation: float, count: int, shares: bool) -> list[float]:
    """Return the interval of the mean of `count` values, which are 0 and 1 if they are `shares`."""
    if shares:
        return list(of_share(round(mean * count), count))
    half = float(t.ppf(0.975, max(1, count - 1)) * deviation / np.sqrt(count))
    return [mean - half, mean + half]


def of_spread(values: np.ndarray, groups: np.ndarray, random: np.random.Generator, draws: int = RESAMPLES
              ) -> list[float]:
    """Return the bootstrap's interval of the largest mean of a group less the smallest, reflected at what was seen.

    The largest of several means less the smallest is too large in every resample, as it is in the sample: the basic
    bootstrap (Davison & Hinkley 1997, 5.2) takes that away once more, down to 0. Between many groups that are alike it
    is still too far from 0; the shuffles say what chance does.

    Args:
        values: (N,) of each example.
        groups: (N,) which it belongs to. Each resample has as many examples of a group as there are.
        random: what draws.
        draws: how many resamples.
    """
    means, seen = [], [values[groups == group].mean() for group in np.unique(groups)]
    for group in np.unique(groups):
        mine = values[groups == group]
        if np.isin(mine, (0.0, 1.0)).all():  # a resample of 0 and 1 is a binomial draw
            means.append(random.binomial(len(mine), mine.mean(), draws) / len(mine))
        else:
            means.append(np.array([random.choice(mine, len(mine)).mean() for _ in range(draws)]))
    high, low = 2 * np.ptp(seen) - np.percentile(np.ptp(means, axis=0), [2.5, 97.5])
    return [max(0.0, float(low)), max(0.0, float(high))]
