"""Durations, schedules, and that weight decay falls where it should, for every optimizer of a recipe."""

import keras
import numpy as np
import pytest

from kerasdl import zoo
from kerasdl.data import load
from kerasdl.errors import UserError
from kerasdl.recipe import Recipe
from kerasdl.train.job import seeded
from kerasdl.train.optim import StepDecay, duration, optimizer, schedule

STEPS, EPOCHS = 10, 10
PLAIN = Recipe(model="mlp", data="digits", epochs=EPOCHS, lr=0.5)
OPTIMIZERS = pytest.mark.parametrize("name", ["adamw", "sgd", "lion", "muon"])


@pytest.mark.parametrize("length, steps", [
    ("5%", 50), ("2.5 %", 25), ("100%", 1000), ("3 epochs", 300), ("1 epoch", 100), ("0.5 epochs", 50), (70, 70),
    ("70", 70), ("70 steps", 70), (0, 0), ("0%", 0), (1000, 1000),
])
def test_durations(length, steps):
    assert duration(length, 100, 1000) == steps


@pytest.mark.parametrize("length, words", [
    ("soon", "'soon'"), ("-5%", "'-5%'"), (-5, "-5"), ("5 parsecs", "'5 parsecs'"), ("", "''"),
    ("101%", "1010 steps; the run has 1000"), ("11 epochs", "1100 steps"), (1001, "1001 steps"),
])
def test_durations_that_cannot_be(length, words):
    with pytest.raises(UserError, match=words):
        duration(length, 100, 1000)


def rates(**changes):
    """The learning rate of each step of a run of 100."""
    made = schedule(PLAIN.override(**changes), STEPS)
    return np.array([float(made(step)) for step in range(STEPS * EPOCHS)])


def test_constant():
    np.testing.assert_allclose(rates(schedule="constant"), 0.5)
    np.testing.assert_allclose(rates(schedule="constant", warmup="2 epochs")[20:], 0.5)


@pytest.mark.parametrize("name", ["constant", "cosine", "step"])
def test_warmup_rises_in_a_line_from_zero(name):
    np.testing.assert_allclose(rates(schedule=name, warmup=20)[:21], np.linspace(0, 0.5, 21), atol=1e-6)


@pytest.mark.parametrize("warmup", ["0%", "20%"])
def test_cosine_falls_from_the_peak_to_nothing(warmup):
    found = rates(schedule="cosine", warmup=warmup)
    peak = duration(warmup, STEPS, 100)
    assert found.argmax() == peak and found[peak] == pytest.approx(0.5)
    assert (np.diff(found[peak:]) < 0).all() and 0 < found[-1] < 0.5 / 500
    assert found[peak + (100 - peak) // 2] == pytest.approx(0.25)


@pytest.mark.parametrize("warmup, peak", [("0%", 30), ("50%", 50)])
def test_onecycle_peaks_where_the_warmup_ends(warmup, peak):
    found = rates(schedule="onecycle", warmup=warmup)
    assert found[0] == pytest.approx(0.5 / 25) and found.argmax() == peak and found[peak] == pytest.approx(0.5)
    assert (np.diff(found[:peak + 1]) > 0).all() and (np.diff(found[peak:]) < 0).all() and found[-1] < 0.5 / 500


def test_step_divides_by_ten_at_a_half_and_at_three_quarters():
    np.testing.assert_allclose(rates(schedule="step"), np.repeat([0.5, 0.05, 0.005], [50, 25, 25]), rtol=1e-5)
    made = schedule(PLAIN.override(schedule="step", warmup=20), STEPS)
    again = StepDecay.from_config(made.get_config())
    assert [float(again(step)) for step in range(100)] == [float(made(step)) for step in range(100)]


@OPTIMIZERS
@pytest.mark.parametrize("model, args", [("vit", {"size": "mu", "patch": 4}), ("cnn", {"size": "mu"})])
def test_weight_decay_shrinks_kernels_and_nothing_else(name, model, args):
    """With gradients of zero, decay is all that moves a weight: by lr x weight_decay, decoupled."""
    network = zoo.build(model, (8, 8, 1), 10, **args)
    rng = np.random.default_rng(0)
    for variable in network.trainable_variables:
        variable.assign(1 + rng.random(variable.shape))
    before = [variable.numpy() for variable in network.trainable_variables]
    made = optimizer(PLAIN.override(optimizer=name, schedule="constant", lr=0.1, weight_decay=0.5), network, STEPS)
    made.build(network.trainable_variables)
    made.apply([keras.ops.zeros_like(variable) for variable in network.trainable_variables])
    kernels = 0
    for variable, old in zip(network.trainable_variables, before, strict=True):
        kernel = variable.path.endswith("/kernel")
        kernels += kernel
        np.testing.assert_allclose(variable.numpy(), old * (0.95 if kernel else 1), rtol=1e-5, err_msg=variable.path)
    assert 0 < kernels < len(before)


@OPTIMIZERS
def test_optimizers_learn(name):
    digits = load("digits", "val")
    with seeded(0):
        network = zoo.build("mlp", (8, 8, 1), 10, size="mu")
    rate = {"adamw": 3e-2, "sgd": 0.1, "lion": 1e-2, "muon": 3e-2}[name]
    made = optimizer(PLAIN.override(optimizer=name, lr=rate, weight_decay=1e-3, epochs=8), network, 6)
    network.compile(made, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = network.fit(digits.x, digits.y, batch_size=30, epochs=8, shuffle=False, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
