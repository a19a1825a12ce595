"""Adversarial training: the attacks it learns from, its scores, and that feeds and resuming change nothing."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl import objectives
from kerasdl.attacks.pgd import pgd
from kerasdl.data import load
from kerasdl.deploy import export
from kerasdl.deploy.compress import ladder
from kerasdl.evaluation import predictions
from kerasdl.recipe import Recipe
from kerasdl.recipe import load as load_recipe
from kerasdl.reports.page import report
from kerasdl.train.fit import train

RECIPE = Recipe(model="cnn", model_args={"size": "mu"}, data="digits", objective="robust",
                objective_args={"eps": 24.0, "steps": 2}, batch=128, epochs=2, lr=1e-2, ema=0.5,
                augment=(("translate", 1),))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(RECIPE, workdir=tmp_path_factory.mktemp("robust") / "run", verbose=False)


def test_scores_of_a_run(run):
    result, test = run.result, load("digits", "test")
    assert result["monitor"] == "robust_accuracy"
    model = run.model()
    clean = predictions.read(run)
    assert result["test"]["accuracy"] == pytest.approx((clean.outputs.argmax(1) == test.y).mean(), abs=1e-6)
    assert result["test"]["robust_accuracy"] < result["test"]["accuracy"]
    attacked = pgd(model, test.x, test.y, 24, steps=10)
    left = (model.predict(attacked, verbose=0).argmax(1) == test.y).mean()
    assert left == pytest.approx(result["test"]["robust_accuracy"], abs=0.06)  # of another start, and rounded


def test_a_file_has_the_scores_of_images_as_they_are(run, tmp_path):
    """What is left under attack is not measured of a file, and nothing is compared with it."""
    facts = export(run, "keras", out=tmp_path / "out")
    assert "robust_accuracy" not in facts["scores"] and ladder.score_of(run) == "accuracy"
    assert facts["scores"]["accuracy"]["keras"] == pytest.approx(run.result["val"]["accuracy"], abs=1e-6)


@pytest.mark.soak
def test_an_interrupted_run_and_a_streamed_one_are_the_same(run, tmp_path):
    train(RECIPE, workdir=tmp_path / "run", stop_after=1, verbose=False, feed="streamed")
    again = train(RECIPE, workdir=tmp_path / "run", verbose=False, feed="streamed")
    for a, b in zip(run.model().get_weights(), again.model().get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert again.result["test"] == run.result["test"]


@pytest.mark.parametrize("method, steps", [("pgd", 3), ("fast", 1)])
def test_attacks_stay_within_the_budget_and_leave_the_network_as_it_is(method, steps):
    objective = objectives.of(RECIPE.override(f"objective_args.method={method}", f"objective_args.steps={steps}"))
    split = load("digits", "val")
    network = objective.network(split)
    before = network.get_weights()
    x, y = split.x[:16], np.eye(10, dtype="float32")[split.y[:16]]
    given, _ = objective.prepare(tf.constant(x), tf.constant(y), tf.constant([1, 2], tf.int64))
    start = given["start"].numpy()
    assert np.abs(start).max() <= 24 and start.std() == pytest.approx(24 / np.sqrt(3), rel=0.1)
    images = x.astype("float32")
    moved = keras.ops.convert_to_numpy(objective.moved(network, tf.constant(images), given["rows"], given["start"],
                                                       True))
    assert np.abs(moved - images).max() <= 24 + 1e-4 and moved.min() >= 0 and moved.max() <= 255
    loss = objective.compute_loss(None, y, network(moved)).numpy().mean()
    began = objective.compute_loss(None, y, network(np.clip(images + start, 0, 255))).numpy().mean()
    assert loss > began
    assert all((a == b).all() for a, b in zip(before, network.get_weights(), strict=True))


def test_mistakes(tmp_path, refused):
    refused("train", "cnn_digits", "objective=robust", "objective_args.eps=0.3", words=["objective_args.eps=76.5"])
    refused("train", "cnn_digits", "objective=robust", words=["eps is required"])
    refused("train", "cnn_digits", "objective=robust", "objective_args.eps=8", "tta=flip", words=["tta"])


def test_recipes_and_the_report(run):
    for name in ("cnn_mnist_pgd", "resnet_cifar10_fast_adversarial"):
        objectives.of(load_recipe(name))
    text = report(run).read_text()
    assert "Under attack" in text and f"{run.result['test']['robust_accuracy']:.2%}" in text
    assert json.loads((run.path / "result.json").read_text())["better"]["robust_accuracy"] == "max"
