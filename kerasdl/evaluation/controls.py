"""What a classifier of texts has to beat: words counted and a linear layer, and its own first weights left as they are.

TF-IDF with logistic regression takes seconds, and often wins where there are few texts (Wang & Manning 2012). The
strength of each control is chosen on validation data, by fits that have not seen it.
"""

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerasdl import zoo
from kerasdl.data import Split, subset
from kerasdl.objectives.base import Objective, build_model

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # scikit-learn's C
WORDS = "tf-idf + logistic regression"
FROZEN = "frozen features + logistic regression"
ITERATIONS = 1000
# What TF-IDF takes at most, so that it ends in minutes and in less than a gigabyte: weights, words of all texts, and
# words times classes.
MOST_WEIGHTS, MOST_WORDS, MOST_PRODUCTS = 1_000_000, 4_000_000, 100_000_000
logger = logging.getLogger(__name__)


def controls(objective: Objective, splits: Mapping[str, Split]) -> dict[str, Any]:
    """Return {control: {"val": {"accuracy"}, "test": {"accuracy"}, "C"}} for texts with classes; {} for other data.

    Args:
        objective: its recipe says which public weights the model began with, if it did.
        splits: "train", "val" and "test".
    """
    if objective.target != "class" or splits["train"].texts is None:
        return {}
    found = {}
    try:
        found[WORDS] = tf_idf(splits)
    except MemoryError:  # the training is not lost with its control
        logger.warning("The control %s is not measured: there is not enough memory.", WORDS)
    if objective.recipe.model_args.get("weights"):
        network = build_model(objective.recipe, splits["train"], run=objective.run)
        from kerasdl.evaluation import linear_probe

        features = linear_probe.features_of(zoo.features(network), splits)
        found[FROZEN] = frozen(features, splits)
    return found


def tf_idf(splits: Mapping[str, Split]) -> dict[str, Any]:
    """Return the accuracy of logistic regression on single words and pairs, weighted by how rare they are.

    Of many texts and classes not all words are taken, which is logged, and said by "bounded" in what is returned.
    """
    train, test = splits["train"], splits["test"]
    taken = _taken(train)
    unseen = taken[subset.unseen(train, splits["val"])[taken]]
    score, model, words = _fitted(splits, unseen, STRENGTHS)
    if len(unseen) < len(taken):
        score, model, words = _fitted(splits, taken, (model.C,))
    found = {"val": {"accuracy": score}, "test": {"accuracy": float(model.score(words.transform(test.texts), test.y))},
             "C": model.C}
    if model.max_iter < ITERATIONS:
        found["bounded"] = (f"the {len(words.vocabulary_):,} most frequent words and pairs of {len(taken):,} of "
                            f"{len(train):,} texts")
        logger.info("%s learns from %s.", WORDS, found["bounded"])
    return found


def _taken(train: Split) -> np.ndarray:
    """Return the places of texts that have as many words as TF-IDF counts, spread over the classes."""
    texts, y = np.asarray(train.texts), np.asarray(train.y)
    most, count = min(MOST_WORDS, MOST_PRODUCTS // _outputs(train)), sum(len(text.split()) for text in texts)
    if count <= most:
        return np.arange(len(train))
    places = np.linspace(0, len(train) - 1, max(2, len(train) * most // count)).astype(int)
    return np.sort(np.argsort(y, kind="stable")[places])


def _outputs(train: Split) -> int:
    """Return how many weights logistic regression has for each word."""
    return len(train.classes) if len(train.classes) > 2 else 1


def _fitted(splits: Mapping[str, Split], taken: np.ndarray, strengths: Sequence[float]) -> tuple[float, Any, Any]:
    """Return the best accuracy on val of some strengths, its model, and the words that it counts."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    train, most = splits["train"], max(1, MOST_WEIGHTS // _outputs(splits["train"]))
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, strip_accents="unicode", token_pattern=r"\S+",
                            max_features=most)
    y = np.asarray(train.y)[taken]
    x, val = words.fit_transform(np.asarray(train.texts)[taken]), words.transform(splits["val"].texts)
    bounded = len(taken) < len(train) or x.shape[1] == most
    best: tuple[float, LogisticRegression] | None = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if bounded else "default", ConvergenceWarning)
        for strength in strengths:
            model = LogisticRegression(C=strength, max_iter=100 if bounded else ITERATIONS).fit(x, y)
            score = float(model.score(val, splits["val"].y))
            if best is None or score > best[0]:
                best = score, model
    return *best, words  # type: ignore[misc]


def frozen(features: Mapping[str, np.ndarray], splits: Mapping[str, Split]) -> dict[str, Any]:
    """Return the accuracy of logistic regression on features (N, D) of each split."""
    truth: dict[str, Any] = {name: split.y for name, split in splits.items()}
    from kerasdl.evaluation import linear_probe

    x, y, classes = features["train"], truth["train"], len(splits["train"].classes)
    unseen = subset.unseen(splits["train"], splits["val"])
    probe = linear_probe.fit(x[unseen], y[unseen], features["val"], truth["val"], classes)
    if not unseen.all():
        probe = linear_probe.fit(x, y, features["val"], truth["val"], classes, strengths=(probe.strength,))
    scores = {name: {"accuracy": float((probe.logits(features[name]).argmax(1) == truth[name]).mean())}
              for name in ("val", "test")}
    return {**scores, "C": probe.strength}
