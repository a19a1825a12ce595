"""The masked autoencoder: its loss, what it hides, replicas, resume, and the classifier that starts from it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from kerasdl import objectives, zoo
from kerasdl.data import load
from kerasdl.evaluation.evaluate import evaluate
from kerasdl.objectives.features import encoder
from kerasdl.objectives.film import film
from kerasdl.objectives.mae import normalised, patches_of, pixels_of
from kerasdl.recipe import Recipe
from kerasdl.recipe import load as load_recipe
from kerasdl.reports.page import report
from kerasdl.train import pretrained
from kerasdl.train.fit import train

SMALL = {"model_args.size": "mu", "batch": 256, "epochs": 2, "jit": None, "warmup": 0, "verbose": False}
REPLICAS = """
import sys, numpy as np
from kerasdl.train import pretrained
from kerasdl.train.fit import train
for strategy, logical_cpus in (("mirrored", 2), ("one", None)):
    run = train("mae_digits", "model_args.size=mu", batch=256, epochs=1, warmup=0, optimizer="sgd", lr=0.05,
                strategy=strategy, logical_cpus=logical_cpus, workdir=sys.argv[1] + "/" + strategy, verbose=False,
                test=False)
    np.savez(sys.argv[1] + "/" + strategy + ".npz", *run.model().get_weights())
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train("mae_digits", workdir=tmp_path_factory.mktemp("mae") / "run", **SMALL)


def built(**settings):
    """The objective and its network on digits, in patches of 2 of the 8x8 images."""
    objective = objectives.of(load_recipe("mae_digits").override("model_args.size=mu", objective_args=settings))
    network = objective.network(load("digits", "val"))
    objective.bind(network)
    return objective, network


def test_patches_are_rows_of_pixels_and_come_back():
    images = np.arange(2 * 4 * 6 * 3, dtype="uint8").reshape(2, 4, 6, 3)
    patches = np.asarray(patches_of(images, 2))
    np.testing.assert_array_equal(patches[1, 4], images[1, 2:4, 2:4].ravel())
    np.testing.assert_array_equal(pixels_of(patches, images.shape, 2), images)


def test_the_loss_is_that_of_the_hidden_patches_by_hand():
    objective, network = built(mask=0.75)
    random = np.random.default_rng(0)
    images, noise = random.integers(0, 256, (3, 8, 8, 1)).astype("uint8"), random.random((3, 16)).astype("float32")
    answer = random.normal(size=(3, 16, 4)).astype("float32")
    target = np.asarray(normalised(patches_of(images, 2))[0])
    expected = [np.mean([np.square(answer[i, j] - target[i, j]).mean() for j in np.argsort(noise[i])[4:]])
                for i in range(3)]
    found = objective.compute_loss({"image": images, "noise": noise}, None, answer)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5)


@pytest.mark.parametrize("mask, visible", [
    (0.75, 4), pytest.param(0.5, 8, marks=pytest.mark.soak), pytest.param(0.99, 1, marks=pytest.mark.soak)])
def test_only_visible_patches_decide_the_answer(mask, visible):
    objective, network = built(mask=mask)
    random = np.random.default_rng(1)
    images, noise = random.integers(0, 256, (1, 8, 8, 1)).astype("float32"), random.random((1, 16)).astype("float32")
    assert objective.visible(16) == visible
    answer = network.predict({"image": images, "noise": noise}, verbose=0)
    for place, patch in enumerate(np.argsort(noise[0])):
        changed = np.asarray(patches_of(images, 2)).copy()
        changed[0, patch] = 255 - changed[0, patch]
        other = network.predict({"image": pixels_of(changed, images.shape, 2).astype("float32"), "noise": noise},
                                verbose=0)
        assert np.array_equal(answer, other) == (place >= visible)


def test_every_weight_of_encoder_and_decoder_learns():
    import tensorflow as tf

    objective, network = built()
    x, _ = objective.prepare(tf.constant(load("digits", "val").x[:32]), None, tf.constant([0, 0], "int64"))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(objective.compute_loss(x, None, network(x, training=True)))
    for weight, gradient in zip(network.trainable_weights,
                                tape.gradient(loss, [w.value for w in network.trainable_weights]), strict=True):
        if not weight.path.endswith("key/bias"):  # which softmax cancels
            assert gradient is not None and np.abs(gradient).max() > 0, weight.path


def test_it_needs_no_labels_and_scores_are_the_same_in_another_process_s_evaluation(run):
    assert run.result["status"] == "completed" and set(run.result["test"]) == {"loss"}
    assert evaluate(run, "test") == pytest.approx(run.result["test"], rel=1e-6)


@pytest.mark.soak
def test_streamed_is_resident_also_in_a_compiled_step(tmp_path):
    """The draws of XLA are other ones than TensorFlow's: both feeds have those of the step."""
    changes = {**SMALL, "epochs": 1, "jit": True, "test": False}
    one, other = (train("mae_digits", workdir=tmp_path / feed, feed=feed, **changes).model().get_weights()
                  for feed in ("resident", "streamed"))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.soak
def test_resumed_is_unbroken(run, tmp_path):
    first = train("mae_digits", workdir=tmp_path / "run", stop_after=1, **SMALL)
    assert not (first.path / "result.json").exists()
    again = train("mae_digits", workdir=tmp_path / "run", **SMALL)
    for one, other in zip(run.model().get_weights(), again.model().get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.result["test"] == run.result["test"]


@pytest.mark.soak
def test_two_replicas_are_one_device(tmp_path):
    subprocess.run([sys.executable, "-c", REPLICAS, str(tmp_path)], check=True)
    one, two = (np.load(tmp_path / f"{name}.npz") for name in ("one", "mirrored"))
    for name in one.files:
        np.testing.assert_allclose(one[name], two[name], atol=2e-6)


def test_the_report_shows_reconstructions(run):
    page = report(run).read_text()
    assert 'id="reconstructions"' in page and page.count("masked, reconstructed and original images") == 2
    assert [epoch for epoch, _ in film(run.path / "tensorboard")] == [1, 2] and 'id="film"' in page
    assert 'id="neighbours"' in page and 'id="map"' in page


def test_the_map_is_of_what_a_classifier_begins_with(run):
    images, recipe = load("digits", "val").x[:8], run.recipe
    args = objectives.of(recipe).classifier_args | recipe.model_args
    ours = encoder(run.model(), recipe.model, args, (8, 8, 1))(images)
    np.testing.assert_allclose(ours, pretrained.body(run)(images)["features"], rtol=1e-6)


def test_a_class_token_is_always_visible_and_learns():
    """A classifier that reads it has all layers but its head from here."""
    import tensorflow as tf

    args = {"size": "mu", "patch": 2, "pool": "token"}
    objective = objectives.of(load_recipe("mae_digits").override(model_args=args))
    network, split = objective.network(load("digits", "val")), load("digits", "val")
    objective.bind(network)
    assert network.get_layer("block1_attn").output.shape[1] == 1 + objective.visible(16)
    x, _ = objective.prepare(tf.constant(split.x[:8]), None, tf.constant([0, 0], "int64"))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(objective.compute_loss(x, None, network(x, training=True)))
    assert np.abs(tape.gradient(loss, network.get_layer("class_token").token.value)).max() > 0
    classifier = zoo.build("vit", split.shape, 10, **args)
    own = {layer.name: [one.shape for one in layer.weights] for layer in network.layers}
    assert {layer.name for layer in classifier.layers if layer.weights
            and own.get(layer.name) != [one.shape for one in layer.weights]} == {"logits"}


def test_a_classifier_starts_from_the_encoder(run, tmp_path):
    tuned = train(Recipe(model="vit", model_args={"size": "mu", "patch": 2, "pool": "mean"}, data="digits",
                         init=str(run.path), epochs=1, batch=256), workdir=tmp_path / "tuned", verbose=False)
    taken = json.loads((tuned.path / "init.json").read_text())
    assert {"patches", "position", "block1_attn", "block2_down", "norm"} <= set(taken["taken"])
    assert taken["new"] == ["logits"]


@pytest.mark.parametrize("change, message", [
    ({"model": "cnn", "model_args": {}}, "needs model=vit"), ({"objective_args": {"mask": 1.5}}, "objective_args.mask"),
    ({"objective_args": {"masc": 0.5}}, "Did you mean 'mask'"),
    ({"model_args": {"drip": 0.1}}, "no argument.*'drip'|Unknown argument.*drip"),
    ({"model_args": {"weights": "minilm"}}, "init=RUN"),
    ({"model_args": {"patch": 4}, "objective_args": {"mask": 0.1}}, "mask=0.1 hides none of the 4 patches")])
def test_mistakes_are_one_line(change, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(load_recipe("mae_digits").model_copy(update=change), workdir=tmp_path / "run", verbose=False)
