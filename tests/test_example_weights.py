"""Weights of examples: an example that weighs 2 is there twice, one that weighs 0 is not there."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl import objectives
from kerasdl.data import from_arrays, pipeline, subset
from kerasdl.data.augment import compose
from kerasdl.errors import UserError
from kerasdl.objectives.base import Objective
from kerasdl.objectives.classify import class_weights
from kerasdl.objectives.multilabel import positive_weights
from kerasdl.objectives.regress import Regress
from kerasdl.recipe import Recipe
from kerasdl.train.fit import train
from kerasdl.train.setup import Setup

SIZE = 24
RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(SIZE, 3)).astype("float32")
IMAGES = RANDOM.integers(0, 256, (SIZE, 4, 4, 1)).astype("uint8")
Y = {"classify": np.arange(SIZE) % 3, "regress": RANDOM.normal(size=SIZE),
     "multilabel": RANDOM.integers(0, 2, (SIZE, 3))}
TARGET = {"classify": "class", "regress": "number", "multilabel": "labels"}
RECIPE = Recipe(model="linear", data="arrays", batch=SIZE, epochs=1, lr=0.1, optimizer="sgd", schedule="constant",
                optimizer_args={"momentum": 0.0}, keep="last")


def whole(objective, index=slice(None), weights=None, x=ROWS):
    """One split of all examples, or of some."""
    found = from_arrays(x, Y[objective], target=TARGET[objective], test=(x, Y[objective]))["test"]
    return dataclasses.replace(found, x=found.x[index], y=found.y[index], size=len(found.x[index]), weights=weights)


def stepped(objective, split, feed="streamed", **changes):
    """The weights of a linear network after one step of all examples, and the loss of that step."""
    recipe = RECIPE.override(objective=objective, batch=len(split), **changes)
    made = objectives.of(recipe)
    setup = Setup(recipe, made, {"train": split}, tf.distribute.get_strategy(), feed == "resident")
    model, kept = setup.networks()
    for variable in model.trainable_variables:
        variable.assign(keras.ops.ones(variable.shape) * 0.1)
    logs = model.fit(setup.batches(model), steps_per_epoch=1, verbose=0, shuffle=False).history
    return np.concatenate([np.ravel(weight) for weight in model.trainable_variables]), logs["loss"][0]


def same(one, other):
    np.testing.assert_allclose(one[0], other[0], rtol=1e-5, atol=1e-6)
    assert one[1] == pytest.approx(other[1], rel=1e-5)


@pytest.mark.parametrize("objective, feed, accumulate", [
    ("classify", "streamed", 1), ("classify", "resident", 2), ("regress", "streamed", 2), ("multilabel", "resident", 1),
    *(pytest.param(objective, feed, parts, marks=pytest.mark.soak)
      for objective in Y for feed in ("streamed", "resident") for parts in (1, 2))])
def test_a_weight_of_two_is_the_example_twice(objective, feed, accumulate, monkeypatch):
    """The network's normalisation of columns, and the units of a regression, look at the rows: they are fixed."""
    weights = np.where(np.arange(SIZE) < SIZE // 3, 2.0, 1.0)
    twice = np.concatenate([np.arange(SIZE), np.arange(SIZE // 3)])
    monkeypatch.setattr("kerasdl.train.setup.adapt", lambda network, split: None)
    keep_units(monkeypatch)
    one = stepped(objective, whole(objective, weights=weights), feed, accumulate=accumulate)
    same(one, stepped(objective, whole(objective, twice), feed, accumulate=accumulate))
    plain = stepped(objective, whole(objective), feed, accumulate=accumulate)
    assert np.abs(one[0] - plain[0]).max() > 1e-4


def keep_units(monkeypatch):
    network, everything = Regress.network, whole("regress")
    monkeypatch.setattr(Regress, "network", lambda self, split: network(self, everything))


@pytest.mark.parametrize("objective", list(Y))
def test_a_weight_of_zero_is_no_example(objective, monkeypatch):
    monkeypatch.setattr("kerasdl.train.setup.adapt", lambda network, split: None)
    keep_units(monkeypatch)
    there = np.arange(SIZE) % 4 > 0
    one = stepped(objective, whole(objective, weights=7.0 * there))
    same(one, stepped(objective, whole(objective, np.flatnonzero(there))))


@pytest.mark.parametrize("feed", ["streamed", "resident"])
@pytest.mark.parametrize("smooth", [0.0, 0.2])
def test_the_weight_of_a_class_is_that_of_its_examples(feed, smooth, monkeypatch):
    """TensorFlow's cross-entropy takes rows of targets to sum to 1 in its gradient."""
    monkeypatch.setattr("kerasdl.train.setup.adapt", lambda network, split: None)
    some = np.flatnonzero((Y["classify"] == 0) | (np.arange(SIZE) % 2 > 0))  # of the class 0 there are more
    counts = np.bincount(Y["classify"][some])
    rare = (len(some) / 3 / counts)[Y["classify"][some]]
    settings = {"label_smoothing": smooth}
    one = stepped("classify", whole("classify", some, rare), feed, objective_args=settings)
    balanced = {**settings, "class_weight": "balanced"}
    same(stepped("classify", whole("classify", some), feed, objective_args=balanced), one)
    plain = stepped("classify", whole("classify", some), feed, objective_args=settings)
    assert np.abs(one[0] - plain[0]).max() > 1e-3


def test_balanced_classes_count_what_their_examples_weigh():
    """And a class without examples is none of those that share the weight."""
    split = dataclasses.replace(whole("classify", weights=1.0 + np.arange(SIZE)), classes=("0", "1", "2", "none"))
    shares = class_weights("balanced", split)
    each = split.relative_weights * shares[split.y]
    np.testing.assert_allclose(np.bincount(split.y, each), SIZE / 3, rtol=1e-5)
    assert each.mean() == pytest.approx(1, rel=1e-5) and shares[3] == 1
    plain = dataclasses.replace(split, weights=None)
    assert class_weights("balanced", plain)[plain.y].mean() == pytest.approx(1, rel=1e-5)


def test_labels_and_their_absence_weigh_the_same():
    split = whole("multilabel", weights=1.0 + np.arange(SIZE))
    shares = positive_weights("balanced", split)
    has, lacks = split.relative_weights @ split.y, split.relative_weights @ (1 - split.y)
    np.testing.assert_allclose(has * shares, lacks, rtol=1e-5)


def test_only_ratios_count():
    split = whole("classify", weights=np.arange(SIZE))
    assert split.relative_weights.mean() == pytest.approx(1, rel=1e-6)
    same(stepped("classify", split), stepped("classify", dataclasses.replace(split, weights=1e6 * np.arange(SIZE))))


@pytest.mark.parametrize("augment", ["mixup", "cutmix"])
def test_a_mixture_takes_from_each_label_by_its_weight(augment):
    """Of an example that weighs 0 nothing is learned, mixed or not; and the weights are mixed as the labels are."""
    images, hot = tf.constant(IMAGES), tf.one_hot(Y["classify"], 3)
    weights = tf.constant((Y["classify"] != 2) * 2.0, tf.float32)
    change = pipeline.transform(compose((augment,), (4, 4, 1)), None)
    seed = tf.constant([0, 3], tf.int64)
    x, y, w = change((images, hot, weights), seed, None)
    plain_x, plain_y = change((images, hot), seed, None)
    np.testing.assert_array_equal(x, plain_x)
    share = np.asarray(plain_y)
    np.testing.assert_allclose(w, 2 * share[:, :2].sum(1), atol=1e-5)
    np.testing.assert_allclose(np.asarray(y * w[:, None])[:, :2], 2 * share[:, :2], atol=1e-5)
    assert np.asarray(y)[:, 2].max() == 0


def test_scores_are_not_weighted_and_both_feeds_are_equal(here):
    data = from_arrays(np.tile(IMAGES, (5, 1, 1, 1)), np.tile(Y["classify"], 5), weights=np.arange(120) % 3)
    recipe = RECIPE.override(batch=16, epochs=2, augment=(("translate", 1),))
    runs = [train(recipe, data=data, feed=feed, workdir=feed, verbose=False) for feed in ("resident", "streamed")]
    for one, other in zip(*(run.model().get_weights() for run in runs), strict=True):
        np.testing.assert_array_equal(one, other)
    logits = runs[0].model().predict(data["test"].x, verbose=0)
    assert runs[0].result["test"]["accuracy"] == pytest.approx((logits.argmax(1) == data["test"].y).mean())


class Own(Objective):
    """Labels as they are, whole numbers."""

    target = "class"

    def compute_loss(self, x, y, y_pred):
        return keras.losses.sparse_categorical_crossentropy(y, y_pred, from_logits=True)


def test_an_objective_of_the_user_needs_nothing(monkeypatch):
    monkeypatch.setattr("kerasdl.train.setup.adapt", lambda network, split: None)
    monkeypatch.setattr(objectives, "of", lambda recipe, run=None: Own(recipe))
    there = np.arange(SIZE) % 4 > 0
    same(stepped("classify", whole("classify", weights=1.0 * there)),
         stepped("classify", whole("classify", np.flatnonzero(there))))


def test_weights_go_along_with_their_examples():
    weights = np.arange(SIZE * 5) + 1.0
    x = np.tile(ROWS, (5, 1))
    x[:, 0] = weights
    data = from_arrays(x, np.tile(Y["classify"], 5), weights=weights)
    for split in (*data.values(), subset.of_classes(data["train"], ["0", "2"]), subset.per_class(data["train"], 5)):
        np.testing.assert_array_equal(split.weights, split.x[:, 0])
        assert split.weights.dtype == np.float32
    changed = dataclasses.replace(data["train"], weights=data["train"].weights[::-1])
    assert changed.fingerprint() != data["train"].fingerprint()
    own = from_arrays(x, np.tile(Y["classify"], 5), weights=weights, test=(ROWS, Y["classify"]))
    assert own["test"].weights is None and own["train"].weights is not None


@pytest.mark.parametrize("weights, words", [
    (np.ones(SIZE - 1), "24 examples. Received shape \\(23,\\)"), (np.ones((SIZE, 1)), "Received shape"),
    (np.where(np.arange(SIZE) == 5, -1.0, 1.0), "from 0 on. Received -1 for example 5"),
    (np.full(SIZE, np.nan), "Received nan for example 0 and others, 24 in all"), (["a"] * SIZE, "must hold numbers")])
def test_weights_that_are_refused(weights, words):
    with pytest.raises(UserError, match=words):
        from_arrays(ROWS, Y["classify"], weights=weights)


def test_who_takes_no_weights(here):
    x = RANDOM.integers(0, 256, (40, 8, 8, 1)).astype("uint8")
    data = from_arrays(x, np.arange(40) % 2, weights=np.ones(40))
    for recipe, words in (("mae_digits", "reads no labels, and takes no weights"), ("gan_digits", "A GAN takes no")):
        with pytest.raises(UserError, match=words):
            train(recipe, data=data, batch=8, epochs=1, verbose=False)
    nothing = from_arrays(x, np.arange(40) % 2, weights=np.zeros(40))
    with pytest.raises(UserError, match="All weights of train are 0"):
        train("linear_digits", data=nothing, batch=8, epochs=1, verbose=False)
