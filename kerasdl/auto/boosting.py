"""Gradient boosting of scikit-learn on the rows of a table, as a Keras model that gives the same answers.

Its trees are read from names of scikit-learn that are not public, all of them in `grown`, seen to work with 1.5 to 1.9.
What they answer is compared with what scikit-learn answers before the model is kept.
"""

import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from kerasdl.auto.baselines import ABSENT, Fitted, finished, standardised
from kerasdl.data import Split
from kerasdl.errors import UserError
from kerasdl.evaluation.linear_probe import ClassWeight, cross_entropy
from kerasdl.zoo import trees

SETTINGS: tuple[dict[str, Any], ...] = (
    {"learning_rate": 0.1, "max_leaf_nodes": 31, "min_samples_leaf": 20},
    {"learning_rate": 0.1, "max_leaf_nodes": 8, "min_samples_leaf": 5},
    {"learning_rate": 0.05, "max_leaf_nodes": 31, "min_samples_leaf": 5, "l2_regularization": 1.0})
ROUNDS = 10  # trees, for each output, between two looks at val
MOST = 300  # rounds
PATIENCE = 3  # looks without improvement
GAIN = 1e-3  # share of the loss that an improvement takes away
COMPARED = 1000  # rows whose answers are compared with scikit-learn's
CLOSE = 1e-4  # how far answers may be from scikit-learn's, in units of their spread


def boosted(splits: Mapping[str, Split], seconds: float, seed: int = 0, class_weight: ClassWeight = None) -> Fitted:
    """Return boosted trees with the settings, and the number of rounds, that have the least loss on val.

    Args:
        splits: of rows with classes, or with one number.
        seconds: after which no more trees are grown.
        seed: of scikit-learn.
        class_weight: as scikit-learn takes it.

    Raises:
        UserError: several numbers to predict, or a version of scikit-learn whose trees cannot be read.
    """
    train, val = splits["train"], splits["val"]
    if train.target == "number" and train.outputs > 1:
        raise UserError("scikit-learn's boosted trees predict one number, and there are "
                        f"{train.outputs} target columns.")
    end, best = time.monotonic() + seconds, None
    for settings in SETTINGS:
        model, worse, lowest = new(train, settings, seed, class_weight), 0, np.inf
        while worse < PATIENCE and model.max_iter <= MOST and (best is None or time.monotonic() < end):
            model.fit(train.x, of(train, train), sample_weight=train.relative_weights)
            answers = raw(model, val)
            error = loss(model, answers, val, train)
            worse, lowest = (0, error) if error < (1 - GAIN) * lowest else (worse + 1, lowest)
            if best is None or error < best[0]:
                best = error, model, model.max_iter, answers, settings
            model.set_params(max_iter=model.max_iter + ROUNDS)
    _, model, rounds, answers, settings = best  # type: ignore[misc]
    network = as_network(model, rounds, train)
    there = keras.Model(network.input, network.get_layer("features").output)
    check(keras.ops.convert_to_numpy(there(val.x[:COMPARED])), answers[:COMPARED])
    return "trees", finished(network, train), {"rounds": rounds, **settings}


def new(train: Split, settings: Mapping[str, Any], seed: int, class_weight: ClassWeight) -> Any:
    """Return an estimator that grows ROUNDS more trees each time that it is fitted."""
    more = {"max_iter": ROUNDS, "warm_start": True, "early_stopping": False, "random_state": seed, **settings}
    if train.target == "number":
        return HistGradientBoostingRegressor(**more)
    return HistGradientBoostingClassifier(class_weight=class_weight, **more)


def of(split: Split, train: Split) -> np.ndarray:
    """Return what is fitted: class indices, or numbers in units of their spread."""
    return standardised(split.y, train)[:, 0] if train.target == "number" else np.asarray(split.y)


def raw(model: Any, split: Split) -> np.ndarray:
    """Return what the trees add up to, (N, outputs): numbers, logits, or of two classes the logit of the second."""
    answers = model.decision_function(split.x) if hasattr(model, "decision_function") else model.predict(split.x)
    return answers.reshape(len(split), -1)


def loss(model: Any, answers: np.ndarray, split: Split, train: Split) -> float:
    """Return the squared error, or the cross-entropy."""
    if train.target == "number":
        return float(np.square(answers[:, 0] - of(split, train)).mean())
    kernel, bias = to_logits(model, answers.shape[1], train)
    return cross_entropy(answers @ kernel + bias, split.y)  # type: ignore[arg-type]


def to_logits(model: Any, outputs: int, train: Split) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel (outputs, classes) and bias (classes,) from what the trees add up to."""
    if train.target == "number":
        return np.eye(1), np.zeros(1)
    kernel, bias = np.zeros((outputs, train.outputs)), np.full(train.outputs, ABSENT)
    kernel[:, model.classes_] = [[-0.5, 0.5]] if outputs == 1 else np.eye(outputs)  # softmax of both is the sigmoid
    bias[model.classes_] = 0.0
    return kernel, bias


def as_network(model: Any, rounds: int, train: Split) -> Any:
    """Return the first rounds of trees as a Keras model: rows (B, F) -> logits, or numbers in units of their spread."""
    found, base = grown(model, rounds)
    return trees.build(int(train.shape), train.outputs, found, base, *to_logits(model, len(base), train))


def grown(model: Any, rounds: int) -> tuple[list[dict[str, np.ndarray]], np.ndarray]:
    """Return the nodes of each tree as kerasdl.zoo.trees takes them, and what all rows begin with (outputs,).

    Raises:
        UserError: this version of scikit-learn keeps them elsewhere.
    """
    try:
        nodes = [tree.nodes for row in model._predictors[:rounds] for tree in row]
        base = np.ravel(model._baseline_prediction)
        return [as_arrays(each) for each in nodes], base
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"The trees of this version of scikit-learn cannot be read: {error}.") from None


def as_arrays(nodes: np.ndarray) -> dict[str, np.ndarray]:
    """Return a tree of scikit-learn as arrays, in which a leaf is followed by itself."""
    leaf, own = nodes["is_leaf"].astype(bool), np.arange(len(nodes))
    threshold = np.where(leaf, 0.0, nodes["num_threshold"])
    return {"feature": np.where(leaf, 0, nodes["feature_idx"]).astype("int32"),
            "threshold": trees.rounded_down(threshold), "value": np.where(leaf, nodes["value"], 0.0).astype("float32"),
            "left": np.where(leaf, own, nodes["left"]).astype("int32"),
            "right": np.where(leaf, own, nodes["right"]).astype("int32")}


def check(found: np.ndarray, expected: np.ndarray) -> None:
    """Raise a UserError for answers that are not scikit-learn's."""
    if np.abs(found - expected).max() > CLOSE * max(1.0, float(np.ptp(expected))):
        raise UserError("The trees of this version of scikit-learn answer otherwise as a Keras model.")
