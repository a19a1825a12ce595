"""Labels that are likely to be wrong: confident learning (Northcutt, Jiang and Chuang 2021, arXiv:1911.00068).

A class is claimed for an example if its probability reaches the mean that the examples of that class have for their own
label. An example that another class claims more than any does is one whose label is likely to be wrong. Probabilities
have to come from a model that has not learned the label in question.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kerasdl.data import Split
from kerasdl.evaluation import raw

FOLDS, NEIGHBOURS, DIMENSIONS = 5, 10, 50
PLANTED = 0.03  # share of labels that are changed to see how many are found


class Finding(NamedTuple):
    """What a simple model that never saw the label says of each example.

    Attributes:
        chances: (N, classes) probabilities, each from a model that learned from the other folds.
        model: what the model is, in words.
    """

    chances: np.ndarray
    model: str


def suspects(chances: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of examples whose label is likely to be wrong, the likeliest first, and what they look like.

    Args:
        chances: (N, classes) probabilities by a model that has not learned these labels.
        y: (N,) the labels.
    """
    classes = chances.shape[1]
    own = chances[np.arange(len(y)), y]
    limits = np.array([own[y == label].mean() if (y == label).any() else np.inf for label in range(classes)])
    claimed = np.where(chances >= limits, chances, -1.0)
    wrong = np.flatnonzero((claimed.max(1) >= 0) & (claimed.argmax(1) != y))
    wrong = wrong[np.argsort(own[wrong] - chances[wrong].max(1), kind="stable")]
    return wrong, claimed[wrong].argmax(1)


def planted(y: np.ndarray, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels with PLANTED of them changed to another class, and the places of those."""
    random = np.random.default_rng(seed)
    place = np.sort(random.choice(len(y), max(1, round(PLANTED * len(y))), replace=False))
    changed = y.copy()
    changed[place] = (changed[place] + random.integers(1, classes, len(place))) % classes
    return changed, place


def recall(chances_of: Callable[[np.ndarray], np.ndarray], y: np.ndarray, classes: int, seed: int) -> dict[str, Any]:
    """Return how many of the labels that are changed on purpose are found, and how many are named for that.

    Args:
        chances_of: gives the probabilities for labels (N,), which a model learns from unless they are of no use to it.
        y: the labels as they are.
        classes: how many there are.
        seed: which labels are changed.
    """
    changed, place = planted(y, classes, seed)
    found, _ = suspects(chances_of(changed), changed)
    return {"planted": len(place), "found": int(np.isin(found, place).sum()), "named": len(found)}


def out_of_fold(x: Any, y: np.ndarray, kind: str, classes: int, seed: int) -> Finding:
    """Return what the simple model of a kind of examples says, which of two is likelier to be right if there are two.

    Args:
        x: features (N, D), as `features` gives them.
        y: (N,) the labels.
        kind: of the examples.
        classes: how many there are.
        seed: of the folds.
    """
    best = None
    for name, model in models(kind, x.shape).items():
        chances = np.zeros((len(y), classes))
        for fitted, asked in folds(y, seed):
            known = len(np.unique(y[fitted])) > 1  # if a class has one example, the other folds hold a single class
            made = (model() if known else DummyClassifier()).fit(x[fitted], y[fitted])
            chances[np.ix_(asked, made.classes_)] = made.predict_proba(x[asked])
        loss = -np.log(np.maximum(chances[np.arange(len(y)), y], 1e-3)).mean()
        if best is None or loss < best[0]:
            best = loss, Finding(chances, name)
    return best[1]  # type: ignore[index]


def folds(y: np.ndarray, seed: int):
    """Yield (the rest, a fold): each has as many of a class as of any other fold, a class of few examples in some."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that have fewer examples than there are folds
        count = min(FOLDS, int(np.bincount(y).max()))
        yield from StratifiedKFold(count, shuffle=True, random_state=seed).split(np.zeros(len(y)), y)


def models(kind: str, shape: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    """Return what classifies examples of a kind, {name: a function that makes one}."""
    def linear():
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))

    if kind == "row":
        return {"logistic regression": linear,
                "a forest of 100 trees": lambda: ExtraTreesClassifier(100, min_samples_leaf=3, random_state=0)}
    if kind == "tokens":
        return {"logistic regression of counted words": lambda: make_pipeline(
            TfidfTransformer(sublinear_tf=True), LogisticRegression(C=10, max_iter=300))}
    count = min(DIMENSIONS, shape[1], shape[0] // 2)
    return {f"the {NEIGHBOURS} nearest neighbours": lambda: make_pipeline(
        PCA(count, svd_solver="randomized", random_state=0), KNeighborsClassifier(NEIGHBOURS, weights="distance"))}


def features(split: Split) -> Any:
    """Return the examples of a split as rows (N, D): pixels, columns, steps, or counts of tokens, these sparse."""
    if split.kind != "tokens":
        return raw.features({"all": split})["all"]
    x = np.asarray(split.x)
    row, column = np.nonzero(x)
    return csr_matrix((np.ones(len(row), "float32"), (row, x[row, column])),
                      shape=(len(x), split.build_args["vocabulary"]))
