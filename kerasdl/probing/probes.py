"""Classifiers of features that stay as they are: logistic regression and nearest neighbours, chosen on validation."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from kerasdl.evaluation import linear_probe

NEIGHBOURS = (1, 5, 10, 20, 50, 200)


class Probe(NamedTuple):
    """A fitted classifier.

    Attributes:
        answer: a function of features (N, D) to numbers (N, classes), the largest of the class that it chooses.
        accuracy: on validation.
        chosen: by validation: {"C": 0.1} or {"k": 5}.
    """

    answer: Callable[[np.ndarray], np.ndarray]
    accuracy: float
    chosen: dict[str, float]


def linear(train: np.ndarray, y: np.ndarray, val: np.ndarray, y_val: np.ndarray, classes: int) -> Probe:
    """Fit logistic regression; see kerasdl.evaluation.linear_probe.fit, which says what the arguments are."""
    found = linear_probe.fit(train, y, val, y_val, classes)
    return Probe(found.logits, accuracy(found.logits(val), y_val), {"C": found.strength})


def neighbours(train: np.ndarray, y: np.ndarray, val: np.ndarray, y_val: np.ndarray, classes: int) -> Probe:
    """Keep the examples, and let the nearest k vote, by the cosine of features. Arguments as `linear`.

    On features of length 1 the order by Euclidean distance, which scikit-learn computes faster, is that by the cosine.
    The k with the best accuracy on validation is kept, of equal ones the smallest. Of equal votes the first class wins.
    """
    index = NearestNeighbors(algorithm="brute").fit(normalize(train))

    def votes(features: np.ndarray, counts: list[int]) -> dict[int, np.ndarray]:
        nearest = y[index.kneighbors(normalize(features), max(counts), return_distance=False)]
        return {k: np.stack([(nearest[:, :k] == label).mean(1) for label in range(classes)], axis=1) for k in counts}

    scores = {k: accuracy(found, y_val)
              for k, found in votes(val, [k for k in NEIGHBOURS if k <= len(train)]).items()}
    best = max(scores, key=lambda k: scores[k])
    return Probe(lambda features: votes(features, [best])[best], scores[best], {"k": best})


PROBES: dict[str, Callable[..., Probe]] = {"linear": linear, "kNN": neighbours}


def accuracy(answers: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of answers (N, classes) whose largest number is that of the true class (N,)."""
    return float((answers.argmax(1) == truth).mean())
