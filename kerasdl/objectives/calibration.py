"""Whether a classifier is as often right as it says."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

BINS = 15  # of confidence, as in Guo et al., "On Calibration of Modern Neural Networks", 2017


def calibration(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> "pd.DataFrame":
    """Top-label confidence against accuracy, in bins (lower, upper] of equal width (Guo et al., 2017).

    Args:
        confidence: (N,) the largest probability of each example.
        right: (N,) whether that class was the true one.

    Returns:
        A row a bin: count, and the mean confidence and accuracy, which are NaN where it is empty.
    """
    place = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    return _table(confidence, right, place, bins)


def equal_mass(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> "pd.DataFrame":
    """The same in bins of as many examples each, by their order (Nixon et al., "Measuring Calibration", 2019).

    Equal confidences may come into two bins: of a net that is almost always sure, most would come into one otherwise.
    """
    order = np.argsort(confidence, kind="stable")
    place = np.empty(len(order), int)
    place[order] = np.arange(len(order)) * bins // len(order)
    return _table(confidence, right, place, bins)


def _table(confidence: np.ndarray, right: np.ndarray, place: np.ndarray, bins: int) -> "pd.DataFrame":
    import pandas as pd

    grouped = pd.DataFrame({"confidence": confidence, "accuracy": right}, dtype="float64").groupby(place)
    return grouped.mean().assign(count=grouped.size()).reindex(range(bins)).fillna({"count": 0})


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = BINS, binned=calibration) -> float:
    """Expected calibration error, 0 (honest) to 1: the bins' gap of confidence and accuracy, weighted by count.

    Guo et al., "On Calibration of Modern Neural Networks", 2017. Arguments as in calibration.

    Args:
        binned: calibration for bins of equal width, equal_mass for bins of as many examples each.
    """
    table = binned(confidence, right, bins)
    gaps = (table["accuracy"] - table["confidence"]).abs().fillna(0)
    return float((gaps * table["count"]).sum() / table["count"].sum())
