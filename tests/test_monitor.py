"""The score that chooses the epoch: scikit-learn's number on the whole split, wherever it is computed."""

import json
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn import metrics

from kerasdl import objectives
from kerasdl.data import from_arrays
from kerasdl.errors import UserError
from kerasdl.evaluation.evaluate import evaluate
from kerasdl.evaluation.padded import PaddedEvaluator
from kerasdl.objectives import whole_split
from kerasdl.recipe import Recipe
from kerasdl.runs import find
from kerasdl.train.callbacks import BestWeights
from kerasdl.train.fit import train
from kerasdl.tuning import Search, choice, preflight

RECIPE = Recipe(model="mlp", model_args={"size": "mu"}, data="arrays", batch=16, epochs=3, lr=3e-3)


def imbalanced(classes=3, size=330, seed=0):
    """Rows of which the last class is a tenth or less, and whose splits end with a short batch."""
    random = np.random.default_rng(seed)
    y = np.minimum(random.geometric(0.6, size) - 1, classes - 1)
    return from_arrays((random.normal(size=(size, 4)) + 0.7 * y[:, None]).astype("float32"), y)


def sklearn_score(name, truth, logits):
    guess, shares = logits.argmax(1), softmax(logits.astype("float64"), axis=1)
    if name == "auc":
        two = shares.shape[1] == 2
        return metrics.roc_auc_score(truth, shares[:, 1] if two else shares, multi_class="ovr")
    return {"balanced_accuracy": lambda: metrics.balanced_accuracy_score(truth, guess),
            "macro_f1": lambda: metrics.f1_score(truth, guess, average="macro"),
            "accuracy": lambda: np.float32(metrics.accuracy_score(truth, guess)),
            "loss": lambda: metrics.log_loss(truth, shares)}[name]()


@pytest.mark.parametrize("score, classes", [
    ("auc", 2), ("auc", 3), ("macro_f1", 3), ("balanced_accuracy", 3), ("accuracy", 3), ("loss", 3),
    *(pytest.param(score, 2, marks=pytest.mark.soak)
      for score in ("macro_f1", "balanced_accuracy", "accuracy", "loss"))])
def test_scores_are_those_of_scikit_learn(score, classes):
    splits = imbalanced(classes)
    recipe = RECIPE.override(monitor=score)
    objective = objectives.of(recipe)
    network = objective.network(splits["train"])
    for split in splits.values():
        ours = PaddedEvaluator(objective, network, 16)(split)
        assert set(ours) == {"accuracy", "loss", score}  # nothing that was not asked for
        expected = sklearn_score(score, split.y, network.predict(split.x, verbose=0))
        assert ours[score] == (pytest.approx(expected, rel=1e-6) if score == "loss" else pytest.approx(expected, 1e-12))


def test_the_recipe_s_score_chooses_the_epoch_and_is_written_everywhere(here):
    splits = imbalanced(seed=2)
    run = train(RECIPE, data=splits, monitor="macro_f1", epochs=6, workdir="run", verbose=False)
    curve, best = run.metrics["val_macro_f1"], run.result["best_epoch"]
    assert curve[best - 1] == curve.max()
    assert run.result["monitor"] == "macro_f1" and run.result["better"]["macro_f1"] == "max"
    for name in ("val", "test"):
        expected = sklearn_score("macro_f1", splits[name].y, run.model().predict(splits[name].x, verbose=0))
        assert run.result[name]["macro_f1"] == pytest.approx(expected, abs=1e-12)
    assert evaluate(run, data=splits)["macro_f1"] == run.result["test"]["macro_f1"]
    plain = train(RECIPE, data=splits, epochs=6, workdir="plain", verbose=False)
    assert curve[plain.result["best_epoch"] - 1] < curve.max()
    assert "macro_f1" not in plain.result["val"] and "val_macro_f1" not in plain.metrics
    pd.testing.assert_series_equal(plain.metrics["val_loss"], run.metrics["val_loss"], rtol=1e-6)  # it trains alike
    with pytest.raises(UserError, match=r"different scores \(accuracy, macro_f1\)"):
        find.best(find.find(here))
    row, key, _ = find.best(find.find(here), "val/macro_f1")
    assert (row.path.name, key) == ("run", "val/macro_f1")


def test_patience_follows_it(here):
    run = train(RECIPE, data=imbalanced(), monitor="loss", patience=1, lr=0.3, epochs=30, workdir="run", verbose=False)
    losses = run.metrics["val_loss"]
    assert run.result["best_epoch"] == losses.idxmin() + 1 and len(losses) == losses.idxmin() + 2 < 30


def test_a_regression_may_be_chosen_by_any_of_its_scores(here):
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 3)).astype("float32")
    data = from_arrays(x, x @ [1.0, 2.0, -1.0] + random.normal(size=120), target="number")
    run = train(RECIPE, data=data, objective="regress", monitor="r2", workdir="run", verbose=False)
    truth, answers = data["test"].y, run.model().predict(data["test"].x, verbose=0)
    assert run.result["monitor"] == "r2"
    assert run.result["test"]["r2"] == pytest.approx(metrics.r2_score(truth, answers), rel=1e-5)
    assert run.result["test"]["mae"] == pytest.approx(metrics.mean_absolute_error(truth, answers), rel=1e-5)


def test_a_class_that_a_split_lacks_is_left_out():
    splits = imbalanced()
    objective = objectives.of(RECIPE.override(monitor="auc"))
    logits = np.random.default_rng(1).normal(size=(len(splits["val"]), 3)).astype("float32")
    truth = np.where(splits["val"].y == 2, 0, splits["val"].y)
    shares = softmax(logits.astype("float64"), axis=1)
    expected = np.mean([metrics.roc_auc_score(truth == label, shares[:, label]) for label in (0, 1)])
    assert objective.overall("auc", np.eye(3)[truth], logits) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
def test_confident_answers_have_an_order_too(classes):
    """Their probability of the second class is 1.0 in float64."""
    margin = np.array([60.0, 50.0, 45.0, 40.0])
    logits = np.stack([0 * margin, margin, *[0 * margin - 9] * (classes - 2)], axis=1).astype("float32")
    truth = np.array([1, 1, 1, 0])
    assert whole_split.of_classes("auc", truth, logits) == 1
    assert whole_split.of_classes("auc", np.array([1, 0, 1, 1]), logits) == pytest.approx(1 / 3)
    random = np.random.default_rng(0).normal(scale=3, size=(20, classes))
    p = softmax(random, axis=1)
    np.testing.assert_allclose(whole_split.log_odds(random), np.log(p / (1 - p)), rtol=1e-9, atol=1e-9)


def test_a_split_on_which_it_is_undefined_is_refused_before_training(here):
    splits = imbalanced()
    one = replace(splits["val"], y=np.zeros_like(splits["val"].y))
    with pytest.raises(UserError, match="auc is undefined on the val split"):
        train(RECIPE, data=splits | {"val": one}, monitor="auc", workdir="run", verbose=False)
    numbers = from_arrays(splits["train"].x, np.arange(len(splits["train"])), target="number")
    one = replace(numbers["val"], y=np.full_like(numbers["val"].y, 7.0))
    with pytest.raises(UserError, match="r2 is undefined on the val split"):
        train(RECIPE, data=numbers | {"val": one}, objective="regress", monitor="r2", workdir="run", verbose=False)


class Kept:
    @staticmethod
    def get_weights():
        return []


def test_a_score_that_is_no_number_chooses_no_epoch():
    scores = iter([np.nan, 0.5, np.nan, 0.4])
    best = BestWeights(Kept, lambda: {"auc": next(scores), "loss": 1.0}, "auc", "max")
    for epoch in range(4):
        best.on_epoch_end(epoch, {})
    assert best.best_epoch == 2 and best.scores["auc"] == 0.5


def test_patience_is_not_spent_in_epochs_that_do_not_count():
    """As those in which a network is still being pruned."""
    best = BestWeights(Kept, lambda: {"auc": 0.5, "loss": 1.0}, "auc", "max", first=10)
    for epoch in range(5):
        best.on_epoch_end(epoch, {})
    best.validate = lambda: {"auc": np.nan, "loss": 1.0}
    best.on_epoch_end(5, {})
    assert best.best_epoch == 5  # all are pruned less than asked for: the last one most
    best = BestWeights(Kept, lambda: {"auc": 0.5, "loss": 1.0}, "auc", "max", patience=3, first=10)
    best.set_model(keras.Sequential())
    ended = next(epoch for epoch in range(30) if best.on_epoch_end(epoch, {}) or best.enough)
    assert (ended + 1, best.best_epoch) == (13, 10)


@pytest.mark.parametrize("objective, monitor, near", [
    ("classify", "acuracy", "accuracy"), ("classify", "map", "auc"), ("regress", "accuracy", "mae"),
    ("multilabel", "mapp", "map"), ("mae", "mae", "loss"), ("adversarial", "fid", "kid")])
def test_a_score_that_the_objective_has_not(objective, monitor, near):
    with pytest.raises(UserError, match=f"objective={objective} has no score '{monitor}' to monitor.*{near}"):
        objectives.of(RECIPE.override(objective=objective, monitor=monitor))


def test_a_search_optimizes_it_if_the_recipe_logs_it(here):
    space = {"lr": choice(1e-3, 1e-2)}
    search = Search(recipe=RECIPE.override(data="digits"), space=space, objective="val/macro_f1")
    with pytest.raises(UserError, match="Add monitor=macro_f1"):
        preflight.check(search)
    logged = Search(recipe=RECIPE.override(data="digits", monitor="macro_f1"), space=space, objective="val/macro_f1")
    preflight.check(logged)
    assert preflight.goal(logged) == "max"


def test_the_command_line(command, refused, tmp_path):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(120, 3)).round(3), columns=["a", "b", "c"])
    frame["kind"] = np.where(frame.a + random.normal(size=120) > 1, "rare", "often")
    frame.to_csv("rows.csv", index=False)
    words = ["train", "linear_csv", "data=csv:rows.csv", "data_args.label=kind", "batch=8", "epochs=1", "--no-report"]
    line = refused(*words, "monitor=f1_macro", words=["no score 'f1_macro'"])
    assert "macro_f1" in line
    refused(*words, "metric_for_best_model=auc", words=["'monitor'"])
    done = command(*words, "monitor=auc", "--workdir", "run", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["result"]["monitor"] == "auc" and "val_auc" in done.err
