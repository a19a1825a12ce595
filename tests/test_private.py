"""Private training: what is drawn, what is clipped, what is added, what is accounted, and what is refused."""

import json
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl import objectives
from kerasdl.data import load, pipeline, poisson
from kerasdl.errors import UserError
from kerasdl.hub import push
from kerasdl.recipe import Recipe
from kerasdl.recipe import load as load_recipe
from kerasdl.run import Run
from kerasdl.train import accounting, loop, private
from kerasdl.train.callbacks import Diverged
from kerasdl.train.fit import train

PRIVATE = {"clip": 0.5, "delta": 1e-4, "noise": 2.0}
RECIPE = Recipe(model="mlp", model_args={"size": "mu"}, data="digits", batch=128, epochs=2, optimizer="sgd", lr=0.5,
                ema=0.5, augment=(("translate", 1),), private=PRIVATE)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(RECIPE, workdir=tmp_path_factory.mktemp("private") / "run", verbose=False)


def test_a_vocabulary_of_the_private_texts_is_refused(here, refused):
    Path("texts.csv").write_text("a,b\n" + "".join(f"word{number} and so,{number % 2}\n" for number in range(200)))
    words = ["train", "textcnn_rt", "data=text:texts.csv", 'data_args={"text": "a", "label": "b"}', "model_args.drop=0",
             "private.epsilon=5", "private.delta=1e-3", "private.clip=1", "weight_decay=0"]
    refused(*words, words=["vocabulary", "data_args.tokens"])


def test_a_vocabulary_that_another_run_made_of_the_private_texts_is_the_same(here):
    """Also one that a run took from that run, and under another name of the file."""
    for name, data, tokens in (("maker", "text:texts.csv", "bpe"), ("taker", "text:other.csv", "maker")):
        made = Run.create(Recipe(model="conv1d", data=data, data_args={"tokens": tokens}), here / name)
        (made.path / "data.json").write_text(json.dumps({"shape": [4], "classes": [], "folder": str(here)}))
    (here / "taker" / "tokenizer.json").write_text("")
    for tokens in ("maker", "taker", "taker/tokenizer.json"):
        made_of = private.vocabulary_of("text:texts.csv", {"tokens": tokens})
        assert made_of == private.path_of(f"text:{here / 'texts.csv'}") != private.path_of("text:other.csv")
    assert private.vocabulary_of("text:texts.csv", {"tokens": "minilm"}) == ""
    assert private.vocabulary_of("arrays", {}) == private.path_of("arrays")


def test_epsilon_is_that_of_dp_accounting(run):
    dp = pytest.importorskip("dp_accounting", reason="the extra `private` is not installed")
    found = run.result["private"]
    accountant = dp.pld.PLDAccountant()
    accountant.compose(dp.PoissonSampledDpEvent(128 / 1257, dp.GaussianDpEvent(2.0)), found["steps"])
    assert found["steps"] == 2 * (1257 // 128) and found["share"] == 128 / 1257
    assert found["epsilon"] == pytest.approx(accountant.get_epsilon(1e-4), rel=1e-6)
    assert 0 < accounting.epsilon(4.0, 0.1, 18, 1e-4) < found["epsilon"]


def test_the_noise_for_an_epsilon_is_the_least(monkeypatch):
    monkeypatch.setattr(accounting, "COARSE", 0.01)
    noise = accounting.noise(2.0, 0.1, 4, 1e-4)
    assert 1.9 < accounting.epsilon(noise, 0.1, 4, 1e-4) <= 2.0


@pytest.mark.soak
def test_a_small_epsilon_has_a_noise(monkeypatch):
    monkeypatch.setattr(accounting, "COARSE", 0.01)
    noise = accounting.noise(0.1, 0.1, 4, 1e-5)
    assert 0.09 < accounting.epsilon(noise, 0.1, 4, 1e-5) <= 0.1


@pytest.mark.soak
def test_a_streamed_run_and_an_interrupted_one_are_the_same(run, tmp_path):
    train(RECIPE, workdir=tmp_path / "run", stop_after=1, verbose=False, feed="streamed")
    again = train(RECIPE, workdir=tmp_path / "run", verbose=False, feed="streamed")
    for a, b in zip(run.model().get_weights(), again.model().get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_example_is_drawn_on_its_own():
    size, batch, steps = 400, 40, 600
    places = poisson.capacity(size, batch, 8)
    draw = poisson.drawer(0, size, batch, places, pipeline.key)
    found = tf.map_fn(tf.function(draw), tf.range(steps, dtype=tf.int64)).numpy()
    real = found < size
    counts = np.bincount(found[real], minlength=size)
    assert places % 8 == 0 and real.sum(1).max() < places
    assert real.sum() / steps == pytest.approx(batch, rel=0.03)
    assert real.sum(1).var() == pytest.approx(batch * (1 - batch / size), rel=0.2)  # a permutation's would be 0
    assert counts.var() == pytest.approx(steps * 0.1 * 0.9, rel=0.3)
    assert (found[:, 1:] > found[:, :-1])[real[:, 1:]].all()
    assert len(draw(tf.constant(7, tf.int64))) == places and poisson.capacity(10, 10) == 10


def test_gradients_are_clipped_one_by_one_and_empty_places_add_nothing():
    split = load("digits", "val")
    objective = objectives.of(RECIPE)
    model = objective.learner(objective, objective.network(split))
    x, y, real = split.x[:6], np.eye(10, dtype="float32")[split.y[:6]], np.array([1, 1, 1, 0, 1, 1], "float32")
    variables = model.network.trainable_weights
    losses, answers, found = private.clipped(model, variables, 0.5, *map(tf.constant, (x, y, real)))
    expected, norms = [0.0 * variable.numpy() for variable in variables], []
    for place in np.flatnonzero(real):
        with tf.GradientTape() as tape:
            loss = keras.losses.categorical_crossentropy(y[place:place + 1], model(x[place:place + 1]),
                                                         from_logits=True)[0]
        grads = [grad.numpy() for grad in tape.gradient(loss, [variable.value for variable in variables])]
        norms.append(np.sqrt(sum((grad**2).sum() for grad in grads)))
        expected = [a + b * min(1, 0.5 / norms[-1]) for a, b in zip(expected, grads, strict=True)]
        assert float(losses[place]) == pytest.approx(float(loss), rel=1e-4)
    assert max(norms) > 0.5 and answers.shape == (6, 10)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_the_noise_is_as_large_as_it_is_accounted():
    split = load("digits", "val")
    objective = objectives.of(RECIPE.override("model_args.width=200"))
    model = objective.learner(objective, objective.network(split))
    model.compile(keras.optimizers.SGD(1.0))
    model.optimizer.build(model.network.trainable_variables)
    before = model.get_weights()
    plan = private.Plan(RECIPE.private_settings, 2.0, 128, 1257, 10, 8, 2, 1, 0)
    step = private.step_on_tensorflow(model, plan)
    step(tf.constant(split.x[:8]), tf.zeros((8, 10)), tf.zeros(8))  # a step without examples is noise alone
    moved = (model.get_weights()[0] - before[0]).ravel()
    assert moved.std() == pytest.approx(0.5 * 2.0 / 128, rel=0.02) and abs(moved.mean()) < 3e-4


def test_penalties_of_weights_are_refused():
    inputs = keras.Input((8, 8, 1))
    for extra in ({"kernel_regularizer": "l2"}, {"activity_regularizer": "l1"}):
        with pytest.raises(UserError, match="adds a penalty to the loss.*weight_decay"):
            private.check_network(keras.Model(inputs, keras.layers.Dense(3, **extra)(keras.layers.Flatten()(inputs))))


def test_a_weight_that_the_loss_does_not_reach_adds_nothing():
    """Of a network of one's own. Keras trains it, with a warning; privately and in parts it is trained, too."""
    inputs = keras.Input((3,))
    unseen = keras.layers.Dense(2, name="unseen")
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs) + keras.ops.stop_gradient(unseen(inputs)))
    model.compile("sgd", keras.losses.MeanSquaredError())
    model.objective = SimpleNamespace(compute_loss=lambda x, y, y_pred: tf.reduce_mean((y - y_pred)**2, axis=1))
    x, y = tf.ones((4, 3)), tf.ones((4, 2))
    _, _, grads = private.clipped(model, model.trainable_variables, 1.0, x, y, tf.ones(4))
    reached = ["unseen" not in weight.path for weight in model.trainable_variables]
    assert [bool(np.any(grad)) for grad in grads] == reached and sum(reached) == 2
    before = [weight.numpy() for weight in model.trainable_variables]
    loop.accumulated_step(model, x, y, parts=2)
    assert [not np.array_equal(old, new) for old, new in zip(before, model.trainable_variables, strict=True)] == reached


def test_a_run_that_diverged_says_what_it_has_spent(tmp_path):
    with pytest.raises(Diverged):
        train(RECIPE.override(lr=1e38, schedule="constant"), workdir=tmp_path / "run", verbose=False)
    result = Run.open(tmp_path / "run").result
    assert result["status"] == "diverged" and result["private"]["noise"] == PRIVATE["noise"]


@pytest.mark.parametrize("changes, words", [
    (("private.delta=0.01",), ["private.delta", "1 / examples"]),
    (("private.delta=1e-13",), ["private.delta", "1e-12"]),
    (("private.noise=0",), ["noise", "greater than 0"]),
    (("private.epsilon=3",), ["one of epsilon and noise", "both"]),
    (("private={'clip': 1.0, 'delta': 1e-5}",), ["neither"]),
    (("private={'clip': 1.0, 'delta': 1e-5, 'epsilon': 800}",), ["epsilon", "100"]),
    (("private.noise=0.05",), ["private.noise=0.05", "above 100", "private.epsilon"]),
    (("private.clipp=1",), ["private.clipp", "clip"]),
    (("model_args.norm=true",), ["normalises over the batch"]),
    (("model_args.drop=0.1",), ["model_args.drop=0"]),
    (("augment=('mixup',)",), ["mixup"]),
    (("objective_args.class_weight=balanced",), ["Weights"])])
def test_what_is_not_accounted_is_refused(changes, words):
    with pytest.raises(UserError) as error:
        train(RECIPE.override(*changes), workdir="nowhere", verbose=False)
    assert all(word in str(error.value) for word in words), error.value


def test_a_private_run_is_not_uploaded(run, tmp_path):
    """Nor one that holds the seeds of private members."""
    with pytest.raises(UserError, match="name the seed.*kerasdl export"):
        push.contents(run, "")
    average = Run.create(Recipe(model="ensemble", data="digits"), tmp_path / "run")
    for name, facts in (("data", {}), ("result", {"members": [{"run": str(run.path)}]})):
        (average.path / f"{name}.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match="name the seed"):
        push.contents(average, "")


@pytest.mark.parametrize("result, words", [
    ({"members": [{"run": "gone"}]}, "gone, whose weights this run has, is not there"),
    ({"members": [{"run": "gone", "private": True}]}, "name the seed"),
    ({"init": {"init": "gone", "recipe": "mlp", "seed": 3}}, "gone, whose weights"),
    ({"init": {"init": "gone", "recipe": "mlp", "seed": 3, "private": True}}, "name the seed")])
def test_what_a_private_run_went_into_is_not_uploaded_wherever_it_is(tmp_path, result, words):
    made = Run.create(Recipe(model="ensemble", data="digits"), tmp_path / "run")
    for name, facts in (("data", {}), ("result", result), ("init", result.get("init"))):
        if facts is not None:
            (made.path / f"{name}.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match=words):
        push.contents(made, "")


def test_objectives_and_recipes():
    with pytest.raises(UserError, match="objective=robust reads more"):
        train(RECIPE.override(objective="robust", objective_args={"eps": 8.0}), verbose=False)
    for name in ("cnn_mnist_dp", "mlp_digits_dp"):
        assert load_recipe(name).private_settings.epsilon
    assert Recipe(model="mlp", data="digits").private_settings is None
