"""Baselines of series: a weight for each number of a step, and shares of the classes for series of any length."""

from types import SimpleNamespace

import numpy as np
import pytest

from kerasdl import objectives, zoo
from kerasdl.auto import baselines
from kerasdl.auto.search import fit_baselines
from kerasdl.auto.task import Task
from kerasdl.data import from_arrays
from kerasdl.evaluation.padded import PaddedEvaluator
from kerasdl.recipe import Recipe
from kerasdl.zoo import ensemble


def series(steps, short):
    """Splits of two classes, whose series in val and test have `short` steps."""
    x, y = np.random.default_rng(0).normal(size=(60, steps, 2)) + np.arange(60)[:, None, None] % 2, np.arange(60) % 2
    x[40:, short:] = np.nan
    return from_arrays(x[:40], y[:40], val=(x[40:50], y[40:50]), test=(x[50:], y[50:]))


def test_series_that_are_shorter_than_those_of_training_are_scored():
    splits = series(24, 9)
    networks = [fit(splits)[1] for fit in (baselines.linear, baselines.constant)]
    networks.append(ensemble.build([zoo.build("rnn", (24, 2), 2), networks[0]]))
    objective, x = objectives.of(Recipe(model="linear", data="arrays")), splits["test"].x
    for network in networks:
        found = PaddedEvaluator(objective, network, 4)(splits["test"])
        answers = np.asarray(network(x))
        assert found["accuracy"] == pytest.approx((answers.argmax(1) == splits["test"].y).mean())
    shares = np.exp(np.asarray(networks[1](x)))
    np.testing.assert_allclose(shares, np.tile(np.bincount(splits["train"].y) / 40, (10, 1)), atol=1e-6)


def test_series_too_long_for_a_weight_each_leave_out_the_linear_model_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(baselines, "WIDEST", 47)
    made, skipped = {}, {}
    monkeypatch.setattr("kerasdl.auto.search.fitted.write", lambda recipe, network, *_: made.update(
        {recipe.name: network}) or SimpleNamespace(result={"status": "completed", "val": {}}))
    task = SimpleNamespace(home=tmp_path, splits=series(24, 9), kind="sequence", left=9.0, candidates=made,
                           asked=SimpleNamespace(seed=0), objective=SimpleNamespace(target="class", settings=None),
                           base=Recipe(model="linear", data="arrays"), skip=skipped.__setitem__,
                           keep=lambda candidate: None)
    task.add = lambda *given: Task.add(task, *given)
    fit_baselines(task)
    assert list(made) == ["constant"] and made["constant"].count_params() < 20
    assert list(skipped) == ["linear"] and "48 numbers" in skipped["linear"]


def test_a_part_of_the_examples_has_all_classes(monkeypatch):
    monkeypatch.setattr(baselines, "MOST", 1)
    y = np.zeros(5000, int)
    y[4321] = 1
    train = from_arrays(np.arange(10_000.0).reshape(-1, 2), y, val=(np.ones((2, 2)), np.array([0, 1])),
                        test=(np.ones((2, 2)), np.array([0, 1])))["train"]
    for seed in range(3):
        some = baselines.taken(train, 2, seed)
        assert len(some) == 1000 and set(some.y) == {0, 1}


def test_weights_of_classes_are_those_of_every_model(monkeypatch, tmp_path):
    monkeypatch.setattr("kerasdl.auto.boosting.MOST", 10)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    y = (x[:, 0] + rng.normal(size=300) > 0).astype(int)
    splits = from_arrays(x[:200], y[:200], val=(x[200:250], y[200:250]), test=(x[250:], y[250:]))
    first, second = splits["train"].classes
    chosen = []
    for weight in (None, {second: 20.0}):
        made = {}
        monkeypatch.setattr("kerasdl.auto.search.fitted.write", lambda recipe, network, *_, made=made: made.update(
            {recipe.name: network}) or SimpleNamespace(result={"status": "completed", "val": {}}))
        base = Recipe(model="linear", data="arrays", objective_args={"class_weight": weight} if weight else {})
        task = SimpleNamespace(home=tmp_path, splits=splits, kind="row", left=60.0, candidates=made, base=base,
                               asked=SimpleNamespace(seed=0), objective=objectives.of(base), keep=lambda _: None,
                               skip=lambda name, why: pytest.fail(f"{name}: {why}"))
        task.add = lambda *given, task=task: Task.add(task, *given)
        fit_baselines(task)
        chosen.append({name: np.asarray(network(splits["test"].x)).argmax(1).mean() for name, network in made.items()})
    assert all(chosen[1][name] > chosen[0][name] + 0.2 for name in ("linear", "boosting"))
