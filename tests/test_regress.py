"""Numbers to predict: learned and told in the units of the data, whatever they are."""

import json

import numpy as np
import pandas as pd
import pytest

from kerasdl.data import Split, from_arrays, load
from kerasdl.errors import UserError
from kerasdl.evaluation.evaluate import evaluate
from kerasdl.evaluation.predict import predict
from kerasdl.objectives.regress import R2, Regress
from kerasdl.recipe import Recipe
from kerasdl.reports.page import report
from kerasdl.train.fit import train
from kerasdl.zoo import linear


def test_a_straight_line_is_found_in_the_data_s_own_unit(here):
    """Training has to reach the closed form, here for prices of about 250,000."""
    rng = np.random.default_rng(0)
    homes = pd.DataFrame({"area": rng.normal(80, 20, 100), "age": rng.uniform(0, 50, 100)})
    homes["far"] = rng.normal(0, 1e-3, 100)
    homes["price"] = 100_000 + 2500 * homes.area - 1000 * homes.age + 2e7 * homes.far + rng.normal(0, 20_000, 100)
    homes.to_csv("homes.csv", index=False)
    made = train(Recipe(model="linear", objective="regress", data="csv:homes.csv", data_args={"label": "price"},
                        batch=10, epochs=80, lr=0.1, keep="last"), verbose=False)
    splits = {part: load("csv:homes.csv", part, label="price", target="number") for part in ("train", "val", "test")}
    kernel, bias = linear.least_squares(splits["train"].x, splits["train"].y)
    for split in splits.values():
        exact = split.x @ kernel + bias
        np.testing.assert_allclose(made.model().predict(split.x, verbose=0), exact, atol=250)
    error = splits["test"].x @ kernel + bias - splits["test"].y
    assert made.result["test"]["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-2)
    assert made.result["test"]["loss"] == pytest.approx((error ** 2).mean(), rel=1e-2)
    assert made.result["test"]["r2"] == pytest.approx(1 - (error ** 2).mean() / splits["test"].y.var(), abs=1e-2)
    with pytest.raises(UserError, match="label_smoothing"):
        train(made.recipe, label_smoothing=0.1, verbose=False)


@pytest.mark.parametrize("mean, unit", [(52.5, 0.01), pytest.param(0.0, 1e-5, marks=pytest.mark.soak)])
def test_numbers_are_learned_and_told_in_any_unit(here, mean, unit):
    """Latitudes in a town, of which R2 has to be computed near their mean, and metres of things that are micrometres.

    The same training as of numbers near one, but for rounding.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3)).astype("float32")
    y = x @ [1.0, -2.0, 0.5] + 0.5 * rng.normal(size=200)
    recipe = Recipe(model="linear", objective="regress", data="arrays", batch=20, epochs=20, lr=0.05, keep="last")
    plain = train(recipe, data=from_arrays(x, y, target="number"), workdir="plain", verbose=False)
    other = train(recipe, data=from_arrays(x, mean + unit * y, target="number"), workdir="other", verbose=False)
    assert plain.result["test"]["r2"] > 0.9
    assert other.result["test"]["r2"] == pytest.approx(plain.result["test"]["r2"], abs=2e-3)
    assert other.result["test"]["loss"] == pytest.approx(unit**2 * plain.result["test"]["loss"], rel=2e-2)


@pytest.mark.parametrize("model, args, columns, target", [
    ("mlp", {"size": "mu"}, 1e-15, 1e-15), ("linear", {}, 1e15, 1e15),
    *(pytest.param("linear", {}, *units, marks=pytest.mark.soak)
      for units in ((1e-15, 1e-15), (1e-9, 1e9), (1e8, 1e-8))),
    *(pytest.param("mlp", {"size": "mu"}, *units, marks=pytest.mark.soak)
      for units in ((1e15, 1e15), (1e-9, 1e9), (1e8, 1e-8)))])
def test_a_unit_changes_no_score(here, model, args, columns, target):
    """Farads, parsecs: of columns and of the target. Keras' Normalization takes no deviation to be below 1e-7."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3)).astype("float32")
    y = x @ [1.0, -2.0, 0.5] + 0.5 * rng.normal(size=200)
    recipe = Recipe(model=model, model_args=args, objective="regress", data="arrays", batch=20, epochs=5, lr=0.05)
    r2 = [train(recipe, data=from_arrays(x * scale, y * unit, target="number"), workdir=name, verbose=False,
                clipnorm=1.0).result["test"]["r2"]
          for name, scale, unit in (("plain", 1.0, 1.0), ("other", columns, target))]
    assert r2[0] > 0.5 and r2[1] == pytest.approx(r2[0], abs=1e-3)


@pytest.mark.parametrize("columns, target, words", [
    (1e-24, 1.0, "Column 0 has a standard deviation of .*multiply it by 1e2"),
    (1e-21, 1.0, "Column 0 has a standard deviation of .*e-2.*multiply it by 1e2"),
    (1.0, 1e-18, "The target has a standard deviation of .*multiply it by 1e1"),
    (1.0, 1e18, "The target has a standard deviation of .*multiply it by 1e-1")])
def test_a_unit_that_float32_has_no_room_for_is_refused(here, columns, target, words):
    rng = np.random.default_rng(0)
    x, y = columns * rng.normal(size=(60, 3)), target * rng.normal(size=60)
    with pytest.raises(UserError, match=words):
        train("linear_csv", data=from_arrays(x, y, target="number"), objective="regress", data_args={}, batch=8,
              epochs=1, verbose=False)


def test_numbers_of_two_units_are_learned_alike(here):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3)).astype("float32")
    y = np.stack([x @ [1.0, -2.0, 0.5], 1000 * x @ [0.3, 1.0, -1.0]], 1)
    made = train(Recipe(model="linear", objective="regress", data="arrays", batch=20, epochs=30, lr=0.05, keep="last"),
                 data=from_arrays(x, y, target="number"), workdir="run", verbose=False)
    error = made.model().predict(x, verbose=0) - y
    assert (error.std(0) < 0.05 * y.std(0)).all()


def test_several_numbers_keep_the_names_of_their_columns(command):
    """In answers, in files, in the report, and where another table is to be compared with."""
    rng = np.random.default_rng(0)
    homes = pd.DataFrame({"area": rng.uniform(20, 200, 120), "rooms": rng.integers(1, 7, 120)})
    homes["price"], homes["rating"] = 3000 * homes.area, homes.rooms / 2 + rng.normal(0, 0.1, 120)
    homes.to_csv("homes.csv", index=False)
    run = train("linear_csv", data="csv:homes.csv", data_args={"label": ["price", "rating"]}, objective="regress",
                batch=8, epochs=2, verbose=False)
    assert run.data["numbers"] == ["price", "rating"]
    outputs = run.model().predict(homes[["area", "rooms"]].to_numpy("float32"), verbose=0)
    assert [label for label, _ in predict(run, "homes.csv")[3][1]] == ["price", "rating"]
    assert command("predict", run.path, "homes.csv").out.splitlines()[3] == \
        f"homes.csv:5  price {outputs[3, 0]:.6g}  rating {outputs[3, 1]:.6g}"
    assert json.loads(command("predict", run.path, "homes.csv", "--json").out)[3]["answers"][1] == {
        "class": None, "name": "rating", "value": float(outputs[3, 1])}
    command("predict", run.path, "homes.csv", "--out", "found.csv")
    assert list(pd.read_csv("found.csv")) == ["example", "price", "rating"]
    page = report(run).read_text()
    assert "<h3>price</h3>" in page and "<h3>rating</h3>" in page and page.count("Mean absolute error") == 2
    given = from_arrays(homes[["area", "rooms"]], homes[["price", "rating"]], target="number")
    assert given["test"].describe()["numbers"] == ["price", "rating"]
    swapped = load("csv:homes.csv", "test", label=["rating", "price"], target="number")
    with pytest.raises(UserError, match="number 1 is 'rating', where the model learns 'price'.*label=price,rating"):
        evaluate(run, data={"test": swapped})


def test_the_unit_of_one_target_of_several_decides_nothing(here):
    """Neither the epoch that is kept nor where patience ends: the first target is noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 10)).astype("float32")
    y = np.stack([rng.normal(size=200), x @ rng.normal(size=10)], 1)
    recipe = Recipe(model="linear", objective="regress", data="arrays", batch=20, epochs=8, lr=0.02, patience=2)
    kilometres, metres = (train(recipe, data=from_arrays(x, y * [unit, 1.0], target="number"), workdir=name,
                                verbose=False).result for name, unit in (("kilometres", 1.0), ("metres", 1000.0)))
    assert metres["best_epoch"] == kilometres["best_epoch"]
    for name in ("loss", "r2"):
        assert metres["test"][name] == pytest.approx(kilometres["test"][name], rel=1e-3)


def test_the_mean_of_a_million_numbers_far_from_zero():
    """NumPy adds up the rows of a matrix in float32, one after the other."""
    y = np.random.default_rng(0).normal((2000.0, 1e6), (10.0, 1e3), (1_000_000, 2)).astype("float32")
    objective = Regress(Recipe(model="linear", objective="regress", data="arrays"))
    network = objective.network(Split("train", np.zeros((2, 3)), y, 3, 2, kind="row"))
    unscale = network.get_layer("unscale")
    np.testing.assert_allclose(np.ravel(unscale.input_mean), y.astype("float64").mean(0), rtol=1e-6)
    np.testing.assert_allclose(np.ravel(unscale.input_variance), y.astype("float64").var(0), rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_r2_of_equal_targets_is_undefined_and_of_all_others_is_their_own(batch):
    def r2(y, y_pred):
        metric = R2(np.array([1950.0, 0.0], "float32")[:y.shape[1]], np.array([29.0, 1.0], "float32")[:y.shape[1]])
        for start in range(0, len(y), batch):
            metric.update_state(y[start:start + batch], y_pred[start:start + batch])
        return float(metric.result())

    rng = np.random.default_rng(0)
    for value in (1950.0, 1949.3, 2010.7, 5000.0):
        equal = np.full((100, 1), value, "float32")
        assert np.isnan(r2(equal, equal + rng.normal(size=(100, 1)).astype("float32"))), value
        assert np.isnan(r2(np.concatenate([equal + rng.normal(size=(100, 1)), equal / equal], 1).astype("float32"),
                           np.ones((100, 2), "float32")))
    months = (2010 + np.arange(100) % 12 / 12)[:, None].astype("float32")  # far from those of the training
    answers = months + 0.1 * rng.normal(size=(100, 1)).astype("float32")
    assert r2(months, answers) == pytest.approx(1 - ((months - answers) ** 2).mean() / months.var(), abs=1e-2)


def test_other_targets_than_the_model_s_are_refused(here):
    """One number beside two would be broadcast."""
    rng = np.random.default_rng(0)
    one, two = (from_arrays(rng.normal(size=(60, 3)), rng.normal(size=(60, outputs)), target="number")
                for outputs in (1, 2))
    run = train("linear_csv", data=two, objective="regress", data_args={}, batch=8, epochs=1, verbose=False)
    for call in (evaluate, report):
        with pytest.raises(UserError, match="answers with 2 numbers, and an example here has 1"):
            call(run, data=one)
    assert evaluate(run, data=two) == pytest.approx(run.result["test"], rel=1e-5)


def test_numbers_that_are_all_the_same_are_refused():
    x = np.random.default_rng(0).normal(size=(40, 3))
    with pytest.raises(UserError, match="y is 1000 in every example"):
        from_arrays(x, np.full(40, 1000.0), target="number")


def test_test_time_augmentation_is_of_classes(here):
    images = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 1))
    splits = from_arrays(images, images.mean((1, 2, 3)), target="number")
    settings = {"data": splits, "objective": "regress", "batch": 16, "epochs": 1, "verbose": False}
    with pytest.raises(UserError, match="tta is for images that have classes"):
        train("linear_digits", **settings, tta="flip")
    run = train("linear_digits", **settings)
    with pytest.raises(UserError, match="tta is for images that have classes"):
        evaluate(run, data=splits, tta="flip")
    assert run.model().input.shape == (None, 8, 8, 1)
