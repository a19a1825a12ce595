"""What a classifier of texts has to beat: words counted and a linear layer, and its own first weights left as they are.

TF-IDF with logistic regression takes seconds, and often wins where there are few texts (Wang & Manning 2012). The
strength of each control is chosen on validation data.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kerasdl import zoo
from kerasdl.data import Split
from kerasdl.objectives.base import Objective, build_model

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # scikit-learn's C
WORDS = "tf-idf + logistic regression"
FROZEN = "frozen features + logistic regression"


def controls(objective: Objective, splits: Mapping[str, Split]) -> dict[str, Any]:
    """Return {control: {"val": {"accuracy"}, "test": {"accuracy"}, "C"}} for texts with classes; {} for other data.

    Args:
        objective: its recipe says which public weights the model began with, if it did.
        splits: "train", "val" and "test".
    """
    if objective.target != "class" or splits["train"].texts is None:
        return {}
    found = {WORDS: tf_idf(splits)}
    if objective.recipe.model_args.get("weights"):
        network = build_model(objective.recipe, splits["train"], run=objective.run)
        from kerasdl.evaluation import linear_probe

        features = linear_probe.features_of(zoo.features(network), splits)
        found[FROZEN] = frozen(features, splits)
    return found


def tf_idf(splits: Mapping[str, Split]) -> dict[str, Any]:
    """Return the accuracy of logistic regression on single words and pairs, weighted by how rare they are."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, strip_accents="unicode", token_pattern=r"\S+")
    train, val, test = (words.fit_transform(splits["train"].texts), *(words.transform(splits[name].texts)
                                                                     for name in ("val", "test")))
    best: tuple[float, LogisticRegression] | None = None
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=1000).fit(train, splits["train"].y)
        score = float(model.score(val, splits["val"].y))
        if best is None or score > best[0]:
            best = score, model
    score, model = best  # type: ignore[misc]
    return {"val": {"accuracy": score}, "test": {"accuracy": float(model.score(test, splits["test"].y))}, "C": model.C}


def frozen(features: Mapping[str, np.ndarray], splits: Mapping[str, Split]) -> dict[str, Any]:
    """Return the accuracy of logistic regression on features (N, D) of each split."""
    truth: dict[str, Any] = {name: split.y for name, split in splits.items()}
    from kerasdl.evaluation import linear_probe

    probe = linear_probe.fit(features["train"], truth["train"], features["val"], truth["val"],
                             len(splits["train"].classes))
    scores = {name: {"accuracy": float((probe.logits(features[name]).argmax(1) == truth[name]).mean())}
              for name in ("val", "test")}
    return {**scores, "C": probe.strength}
