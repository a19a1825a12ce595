"""Sets of classes that hold the right one as often as was asked for: split conformal prediction.

Papadopoulos et al. 2002; the score of Sadinle, Lei and Wasserman, "Least Ambiguous Set-Valued Classifiers", 2019.
"""

from typing import Any

import numpy as np
from scipy.stats import betabinom

LEVELS = (0.9, 0.95, 0.99)


def sets(val: np.ndarray, y_val: np.ndarray, test: np.ndarray, level: float) -> np.ndarray | None:
    """Return which classes are in the set of each test example, (M, classes) booleans.

    A class is in the set if it is at least as probable as the k-th least probable right answer on validation, where k
    leaves (N + 1) * (1 - level) of them out. None: validation has too few examples for that level.

    Args:
        val, y_val: probabilities (N, classes) and classes (N,) of validation.
        test: probabilities (M, classes).
        level: how often the set is to hold the right class, 0 to 1.
    """
    out = int(np.floor((len(y_val) + 1) * (1 - level) + 1e-9))
    if out < 1:
        return None
    right = np.sort(val[np.arange(len(y_val)), y_val])
    return test >= right[out - 1]


def measured(val: np.ndarray, y_val: np.ndarray, test: np.ndarray, y: np.ndarray, level: float
             ) -> dict[str, Any] | None:
    """Return how often sets of a level hold the right class on test, and between what shares that was expected.

    The number of test examples that are covered is beta-binomial (Angelopoulos and Bates, "A Gentle Introduction to
    Conformal Prediction", 2021): validation, too, is a sample.
    """
    inside = sets(val, y_val, test, level)
    if inside is None:
        return None
    out = int(np.floor((len(y_val) + 1) * (1 - level) + 1e-9))
    expected = betabinom(len(y), len(y_val) + 1 - out, out)
    sizes = inside.sum(1)
    return {"level": level, "coverage": float(inside[np.arange(len(y)), y].mean()),
            "expected": [float(end) / len(y) for end in expected.ppf([0.025, 0.975])],
            "size": float(sizes.mean()), "empty": float((sizes == 0).mean()), "one": float((sizes == 1).mean())}
