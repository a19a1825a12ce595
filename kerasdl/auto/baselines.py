"""What every network has to beat: the most common answer, a linear model, boosted trees, and TF-IDF for texts.

scikit-learn fits them, validation data chooses their strength, and each becomes a Keras model that gives the same
answers. So a baseline that wins is a run that predicts, exports and is audited like any other.
"""

import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from kerasdl import zoo
from kerasdl.data import Split
from kerasdl.errors import UserError
from kerasdl.evaluation import linear_probe
from kerasdl.evaluation.controls import STRENGTHS
from kerasdl.evaluation.linear_probe import ClassWeight, cross_entropy
from kerasdl.objectives.regress import in_units
from kerasdl.train.setup import adapt
from kerasdl.zoo import sequences, tf_idf
from kerasdl.zoo.blocks import entrance, head

Fitted = tuple[str, keras.Model, dict[str, Any]]  # the recipe's `model`, the network, and how it was fitted
SIDE = 16  # pixels a side, at least, of the thumbnails that a linear model sees of larger images
WIDEST = 20_000  # numbers of a sequence, above which a weight for each is no baseline
MOST = 10**7  # numbers of all examples that a linear model is fitted to; of more, some examples are taken
CLASSES = 10  # above which a linear model takes fewer in proportion: it has a row of weights for each class
TERMS = 100_000  # that TF-IDF keeps, the most frequent ones
ALPHAS = tuple(10.0 ** power for power in range(-3, 5))  # strengths of ridge regression on standardised features
ABSENT = -1e3  # the logit of a class that has no training example


def constant(splits: Mapping[str, Split]) -> Fitted:
    """Return the model that knows the labels alone: how frequent each class is, or the mean."""
    train = splits["train"]
    if train.target == "number":
        bias = np.zeros(train.outputs)
    else:
        counts = np.bincount(np.asarray(train.y), minlength=train.outputs)
        bias = np.where(counts, np.log(np.maximum(counts, 1) / len(train)), ABSENT)
    if train.kind == "tokens":
        return "tf_idf", finished(of_terms(train, {"1": 0}, np.ones(1), np.zeros((1, train.outputs)), bias), train), {}
    network = mean_step(train) if train.kind == "sequence" else body(train)
    kernel = np.zeros((network.output["features"].shape[-1], train.outputs))
    return "linear", finished(with_head(network, kernel, bias), train), {}


def linear(splits: Mapping[str, Split], seed: int = 0, class_weight: ClassWeight = None, seconds: float = math.inf
           ) -> Fitted:
    """Return logistic or ridge regression on the columns, the pixels of a thumbnail, or the steps.

    Args:
        splits: of rows, images or sequences.
        seed: of the examples that are taken where they are too many.
        class_weight: as scikit-learn takes it.
        seconds: after which no other strength is tried.

    Raises:
        UserError: the examples have too many numbers for it.
    """
    train, end = splits["train"], time.monotonic() + seconds
    network = body(train)
    width = network.output["features"].shape[-1]
    some = taken(train, width, seed)
    features = linear_probe.features_of(network, {"train": some, "val": splits["val"]})
    facts: dict[str, Any] = {"examples": len(some), "features": width}
    if train.target == "number":
        kernel, bias, strength = ridge(features, some, splits["val"], train, end)
        return "linear", finished(with_head(network, kernel, bias), train), facts | {"alpha": strength}
    probe = linear_probe.fit(features["train"], some.y, features["val"], splits["val"].y,  # type: ignore[arg-type]
                             train.outputs, class_weight=class_weight, until=end)
    return "linear", finished(with_head(network, probe.kernel, probe.bias), train), facts | {"C": probe.strength}


def words(splits: Mapping[str, Split], class_weight: ClassWeight = None, seconds: float = math.inf) -> Fitted:
    """Return logistic or ridge regression on TF-IDF of tokens and pairs of tokens, those that the networks read.

    Args:
        splits: of texts.
        class_weight: as scikit-learn takes it.
        seconds: after which no other strength is tried.
    """
    train, val, end = splits["train"], splits["val"], time.monotonic() + seconds
    found = TfidfVectorizer(tokenizer=str.split, token_pattern=None, lowercase=False, sublinear_tf=True,
                            ngram_range=(1, 2 if vocabulary(train) <= tf_idf.LARGEST else 1), max_features=TERMS)
    features = {"train": found.fit_transform(written(train)), "val": found.transform(written(val))}
    if train.target == "number":
        kernel, bias, strength = ridge(features, train, val, train, end)
    else:
        kernel, bias, strength = logistic(features, train, val, class_weight, end)
    network = of_terms(train, found.vocabulary_, found.idf_, kernel, bias)
    return "tf_idf", finished(network, train), {"terms": len(found.idf_), "strength": strength}


def taken(train: Split, width: int, seed: int) -> Split:
    """Return the training examples that a linear model is fitted to: all, or as many as MOST and CLASSES allow, with
    one of each class at least."""
    classes = train.outputs if train.target == "class" else 1  # ridge regression costs about the same for any number
    count = max(1000, int(MOST / max(1, classes / CLASSES)) // width)
    if len(train) <= count:
        return train
    order = np.random.default_rng(seed).permutation(len(train))
    if train.target == "class":
        first = np.unique(np.asarray(train.y)[order], return_index=True)[1]  # where each class comes first
        order, count = np.concatenate([order[first], np.delete(order, first)]), max(count, len(first))
    return train.part(np.sort(order[:count]))


def body(train: Split) -> keras.Model:
    """Return what a linear model sees of an example, standardised where it is no image: {"features": (B, D)}.

    Raises:
        UserError: sequences of more than WIDEST numbers.
    """
    if train.kind == "row":
        found = zoo.body("linear", train.shape)
    elif train.kind == "image":
        inputs, x = entrance(train.shape)
        if (pool := min(train.shape[:2]) // SIDE) > 1:
            x = layers.AveragePooling2D(pool, name="thumbnail")(x)
        found = keras.Model(inputs, {"features": layers.Flatten(name="features")(x)})
    else:
        count = int(np.prod(train.shape))
        if count > WIDEST:
            raise UserError(f"a weight for each of {count:,} numbers of an example is no baseline.")
        inputs = keras.Input(train.shape, name="sequence")  # of one length: each step has its own weights
        steps = sequences.StandardizeSteps(name="scale", dtype="float32")(inputs)
        found = keras.Model(inputs, {"features": layers.Reshape((count,), name="features")(steps)})
    adapt(found, train)
    return found


def mean_step(train: Split) -> keras.Model:
    """Return the mean of the steps of a sequence, of any length: {"features": (B, F)}."""
    inputs, mask, steps = sequences.entrance(train.shape, 1)
    found = keras.Model(inputs, {"features": sequences.MeanStep(name="features")(steps, mask)})
    adapt(found, train)
    return found


def with_head(network: keras.Model, kernel: np.ndarray, bias: np.ndarray) -> keras.Model:
    """Return a body with the layer "logits" of these weights."""
    whole = keras.Model(network.input, head(network.output["features"], len(bias)), name="linear")
    whole.get_layer("logits").set_weights([kernel, bias])
    return whole


def finished(network: keras.Model, train: Split) -> keras.Model:
    """Return a network that answers in the units of the targets, where these are numbers."""
    return in_units(network, train.y) if train.target == "number" else network  # type: ignore[arg-type]


def standardised(y: Any, train: Split) -> np.ndarray:
    """Return numbers (N, outputs) with the mean and spread of the training split taken away."""
    truth = np.asarray(train.y, "float64")
    spread = truth.std(0)
    return (np.asarray(y, "float64") - truth.mean(0)) / np.where(spread > 0, spread, 1.0)


def in_time(strengths: Sequence[float], end: float) -> Iterator[float]:
    """Yield the first of some strengths, and the others as long as time.monotonic() is before the end."""
    yield strengths[0]
    yield from itertools.takewhile(lambda _: time.monotonic() < end, strengths[1:])


def ridge(features: Mapping[str, Any], fitted: Split, val: Split, train: Split, end: float = math.inf
          ) -> tuple[np.ndarray, np.ndarray, float]:
    """Return kernel (D, outputs), bias (outputs,) and the strength of ridge regression with the least error on val."""
    y, truth, best = standardised(fitted.y, train), standardised(val.y, train), None
    for alpha in in_time(ALPHAS, end):
        model = Ridge(alpha=alpha).fit(features["train"], y, sample_weight=fitted.relative_weights)
        error = float(np.square(model.predict(features["val"]).reshape(truth.shape) - truth).mean())
        if best is None or error < best[0]:
            best = error, model, alpha
    model, alpha = best[1:]  # type: ignore[index]
    return model.coef_.reshape(y.shape[1], -1).T, np.reshape(model.intercept_, -1), alpha


def logistic(features: Mapping[str, Any], train: Split, val: Split, class_weight: ClassWeight, end: float = math.inf
             ) -> tuple[np.ndarray, np.ndarray, float]:
    """Return kernel, bias and the strength of logistic regression on sparse features with the least loss on val."""
    best = None
    for strength in in_time(STRENGTHS, end):
        model = LogisticRegression(C=strength, max_iter=1000, class_weight=class_weight)
        model.fit(features["train"], train.y)
        kernel, bias = linear_probe.of_all_classes(model, train.outputs)
        loss = cross_entropy(features["val"] @ kernel + bias, val.y)  # type: ignore[arg-type]
        if best is None or loss < best[0]:
            best = loss, kernel, bias, strength
    return best[1:]  # type: ignore[index]


def vocabulary(train: Split) -> int:
    """Return how many tokens there are, with the 0 of padding."""
    return int(train.build_args["vocabulary"])


def written(split: Split) -> list[str]:
    """Return the tokens of each text as words of digits, without the padding."""
    return [" ".join(map(str, row[row > 0])) for row in np.asarray(split.x)]


def of_terms(train: Split, columns: Mapping[str, int], idf: np.ndarray, kernel: np.ndarray, bias: np.ndarray
             ) -> keras.Model:
    """Return the network of terms, {"3 17": its column}."""
    size = vocabulary(train)
    terms = np.zeros(len(columns), "int32")
    for term, column in columns.items():
        first, *second = map(int, term.split())
        terms[column] = first * size + second[0] if second else first
    return tf_idf.build(size, train.outputs, terms, idf, kernel, bias)
