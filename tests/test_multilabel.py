"""Several labels an example: as data, in training, and in predictions and reports."""

import csv
import json
import re
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from data_harness import refused
from scipy.special import expit
from sklearn import metrics
from sklearn.datasets import make_multilabel_classification

from kerasdl import objectives
from kerasdl.data import from_arrays, load, subset
from kerasdl.data.sources import load_for
from kerasdl.ensemble import ensemble
from kerasdl.errors import UserError
from kerasdl.evaluation.answers import write
from kerasdl.evaluation.predict import predict
from kerasdl.objectives import whole_split
from kerasdl.objectives.multilabel import Multilabel, summary
from kerasdl.objectives.sections import template
from kerasdl.recipe import Recipe
from kerasdl.reports.page import report
from kerasdl.train.fit import train

NAMES = ("sky", "sea", "sun", "sand")
RECIPE = Recipe(model="mlp", model_args={"size": "mu"}, data="arrays", objective="multilabel", batch=32, epochs=3,
                lr=3e-3)
X, Y = make_multilabel_classification(330, 12, n_classes=4, n_labels=2, random_state=0)


@pytest.fixture(scope="module")
def data():
    return from_arrays(X, Y, target="labels", classes=NAMES)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return train(RECIPE, data=data, workdir=tmp_path_factory.mktemp("runs") / "labels", verbose=False)


# Data

def lists(rows):
    return [[name for name, there in zip(NAMES, row, strict=True) if there] for row in rows]


@pytest.mark.parametrize("y, args", [
    (Y, {"classes": NAMES}), (Y.astype(bool), {"classes": NAMES}), (Y.astype("float64"), {"classes": NAMES}),
    (pd.DataFrame(Y, columns=NAMES), {}), (lists(Y), {"classes": NAMES}),
    (tuple(map(set, lists(Y))), {"classes": NAMES}), (np.array(lists(Y), object), {"classes": NAMES})])
def test_rows_and_lists_are_the_same_labels(data, y, args):
    found = from_arrays(X, y, target="labels", **args)
    for name, split in found.items():
        assert split.target == "labels" and split.classes == NAMES and split.outputs == 4
        np.testing.assert_array_equal(split.y, data[name].y)
        assert split.y.dtype == np.float32 and split.fingerprint() == data[name].fingerprint()
    feature = found["train"].spec["labels"]
    assert (feature.kind, feature.shape, feature.dtype, feature.names) == ("labels", (4,), "float32", NAMES)


def test_names_of_lists_are_sorted_and_test_has_no_others():
    found = from_arrays(X, lists(Y), target="labels", test=(X[:20], lists(Y[:20])))
    assert found["train"].classes == tuple(sorted(NAMES)) and found["test"].outputs == 4
    np.testing.assert_array_equal(found["test"].y, Y[:20][:, [NAMES.index(name) for name in sorted(NAMES)]])
    refused(lambda: from_arrays(X, lists(Y), target="labels", test=(X[:20], [["moon"]] * 20)), "no class 'moon'")


@pytest.mark.parametrize("y, args, words", [
    (np.where(Y > 0, 2, 0), {}, ["0 and 1", "Received: 2"]), (Y - 0.5, {}, ["0 and 1", "0.5"]),
    (Y[:, 0], {}, ["(N, classes)", "(330,)"]), (Y, {"classes": NAMES[:3]}, ["4 different names", "sky, sea, sun"]),
    (Y, {"classes": ("a", "b", "c", "a")}, ["4 different names"]),
    (Y * [1, 0, 1, 1], {}, ["None", "'1'", "Take it out"]),
    (Y | [0, 0, 1, 0], {"classes": NAMES}, ["Each", "'sun'", "nothing to learn"]),
    (np.where(Y > 0, Y, np.nan), {}, ["missing values"]), (Y, {"target": "class"}, ["objective=multilabel", "labels"])])
def test_rows_that_are_refused(y, args, words):
    refused(lambda: from_arrays(X, y, **{"target": "labels", **args}), *words)


def test_what_is_for_one_class_says_so(data):
    for call in (lambda: subset.of_classes(data["train"], ["sky", "sea"]), lambda: subset.per_class(data["train"], 2)):
        refused(call, "an example here has several labels")
    one = from_arrays(X, Y[:, 0], classes=["no", "yes"])
    refused(lambda: train(RECIPE, data=one, verbose=False), "learns labels", "the data has classes")
    refused(lambda: train(RECIPE, data=data, objective="classify", verbose=False), "several labels an example")
    mixed = data | {"test": replace(data["test"], y=data["test"].y.argmax(1).astype("int32"))}
    refused(lambda: train(RECIPE, data=mixed, verbose=False), "several labels", "split test has one class")


def pairs():
    return tf.data.Dataset.from_tensor_slices((X.astype("float32"), Y))


def unknown():
    """Pairs of which the Dataset does not know how many axes they have."""
    return pairs().map(lambda x, y: tf.numpy_function(lambda *pair: pair, [x, y], [tf.float32, Y.dtype]))


@pytest.mark.parametrize("given", [
    pairs, lambda: pairs().batch(32), lambda: pairs().batch(33, drop_remainder=True), unknown,
    lambda: unknown().batch(32),
    lambda: list(zip(X, Y, strict=True)),
    lambda: ((x, y) for x, y in zip(X, Y, strict=True)),
    lambda: ((X[i:i + 100], Y[i:i + 100]) for i in range(0, 330, 100))])
def test_pairs_one_by_one_or_in_batches(data, given):
    found = from_arrays(given(), target="labels", classes=NAMES)
    for name, split in found.items():
        np.testing.assert_array_equal(split.x, data[name].x)
        np.testing.assert_array_equal(split.y, data[name].y)


def test_pairs_of_images_and_names():
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3)).astype("uint8")
    words = np.array(["cat", "dog"])[np.arange(40) % 2]
    expected = from_arrays(images, words, test=(images, words))
    whole = tf.data.Dataset.from_tensor_slices((images, words))
    listed = list(zip(images, words, strict=True))
    for other in (from_arrays(whole, test=whole.batch(16)), from_arrays(listed, test=(images, words))):
        assert other["train"].classes == ("cat", "dog") and other["train"].kind == "image"
        for name in expected:
            np.testing.assert_array_equal(other[name].x, expected[name].x)
            np.testing.assert_array_equal(other[name].y, expected[name].y)
    rows = [(1.0, 2.0), (3.0, 4.0)] * 10  # a table of two columns, and no pairs
    assert from_arrays(rows)["train"].shape == 2 and from_arrays(rows)["train"].target is None


@pytest.mark.parametrize("given, words", [
    (lambda: pairs().repeat(), ["without an end", "repeat"]), (lambda: pairs().map(lambda x, y: x), ["pairs (x, y)"]),
    (lambda: pairs().take(0), ["no pairs"]), (lambda: ((x, 1, 2) for x in X), ["pairs (x, y)", "tuple of 3"]),
    (lambda: ((np.zeros(2 + i % 2), i % 3) for i in range(50)), ["differ in shape"])])
def test_pairs_that_are_refused(given, words):
    refused(lambda: from_arrays(given()), *words)


def test_pairs_that_memory_does_not_hold(monkeypatch):
    monkeypatch.setattr("kerasdl.data.pairs.SHARE", 1e-9)
    refused(lambda: from_arrays(((x, y) for x, y in zip(X, Y, strict=True)), target="labels"), "GiB of examples")


# Training

def test_the_loss_is_keras_s_and_scores_are_scikit_learn_s(data, run):
    for name in ("val", "test"):
        logits, truth = run.model().predict(data[name].x, verbose=0), data[name].y
        found, result = keras.losses.binary_crossentropy(truth, logits, from_logits=True), run.result[name]
        assert result["loss"] == pytest.approx(float(np.mean(found)), rel=1e-5)
        assert result["map"] == pytest.approx(metrics.average_precision_score(truth, logits), abs=1e-12)
    assert run.result["monitor"] == "map" and run.result["best_epoch"] == run.metrics["val_map"].idxmax() + 1


@pytest.mark.parametrize("score", ["macro_f1", "auc"])
def test_other_scores(data, score):
    logits = np.random.default_rng(0).normal(size=(330, 4)).astype("float32") + Y
    expected = {"macro_f1": lambda: metrics.f1_score(Y, expit(logits) >= 0.5, average="macro"),
                "auc": lambda: metrics.roc_auc_score(Y, logits, average="macro")}[score]()
    found = objectives.of(RECIPE.override(monitor=score))
    targets = found.targets(replace(data["train"], x=X, y=Y.astype("float32"), size=330))
    assert found.overall(score, targets, logits) == pytest.approx(expected, abs=1e-12)


def test_a_class_that_is_not_there_or_always_has_no_part_in_the_mean():
    rows, logits = Y * [1, 0, 1, 1] | [0, 0, 0, 1], np.random.default_rng(0).normal(size=Y.shape)
    expected = metrics.average_precision_score(rows[:, [0, 2]], logits[:, [0, 2]])
    assert whole_split.of_labels("map", rows, logits) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(whole_split.of_labels("auc", np.zeros_like(rows), logits))


def test_thresholds_are_the_best_of_val_and_not_of_test(data, run):
    logits = {name: run.model().predict(data[name].x, verbose=0) for name in ("val", "test")}
    found = run.result["thresholds"]
    assert tuple(found) == NAMES
    values = np.array(list(found.values()))
    for index in range(4):
        truth, shares = data["val"].y[:, index], expit(logits["val"][:, index].astype("float64"))
        best = max(metrics.f1_score(truth, shares >= value) for value in shares)
        assert metrics.f1_score(truth, shares >= values[index]) == pytest.approx(best, abs=1e-12)
    other = whole_split.best_thresholds(data["test"].y, logits["test"])
    assert np.abs(other - values).max() > 0.01
    given = expit(logits["test"].astype("float64")) >= values
    expected = {"macro_f1": metrics.f1_score(data["test"].y, given, average="macro"),
                "micro_f1": metrics.f1_score(data["test"].y, given, average="micro"),
                "subset_accuracy": metrics.accuracy_score(data["test"].y, given)}
    assert run.result["at_thresholds"]["test"] == pytest.approx(expected, abs=1e-12)


def test_a_threshold_lies_between_two_answers_and_equal_ones_stay_together():
    rows, logits = np.array([[1], [1], [0], [0.0]]), np.array([[2.0], [1.0], [-1.0], [-2.0]])
    (found,) = whole_split.best_thresholds(rows, logits)
    assert found == pytest.approx((expit(1) + expit(-1)) / 2)
    assert whole_split.best_thresholds(rows, np.zeros((4, 1))).tolist() == [0.25]  # all of them, F1 2/3
    assert whole_split.best_thresholds(0 * rows, logits).tolist() == [0.5]


def test_balanced_is_negatives_by_positives(data):
    def targets(setting):
        return Multilabel(RECIPE.override(objective_args={"class_weight": setting})).training_targets(data["train"])

    rows = data["train"].y
    balanced = targets("balanced")
    np.testing.assert_allclose(balanced[:, :4].sum(0), balanced[:, 4:].sum(0), rtol=1e-5)
    np.testing.assert_array_equal(targets({"sea": 3.0}), np.concatenate([rows * [1, 3, 1, 1], 1 - rows], 1))
    np.testing.assert_array_equal(Multilabel(RECIPE).training_targets(data["train"]), targets({"sea": 1.0}))
    with pytest.raises(UserError, match="'se' that the data does not have"):
        targets({"se": 2.0})


def test_a_run_that_was_interrupted_ends_as_if_it_was_not(data, run, here):
    assert not (train(RECIPE, data=data, workdir="some", stop_after=1, verbose=False).path / "result.json").exists()
    resumed = train(RECIPE, data=data, workdir="some", verbose=False)
    for key in ("val", "test", "thresholds", "at_thresholds", "best_epoch"):
        assert resumed.result[key] == run.result[key]
    for one, other in zip(run.model().get_weights(), resumed.model().get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_that_ends_in_a_sigmoid_is_refused(data, here):
    text = """import keras

def build(shape, classes, *, end="sigmoid"):
    inputs = keras.Input(shape if isinstance(shape, tuple) else (shape,))
    return keras.Model(inputs, keras.layers.Dense(classes, activation=end)(inputs))
"""
    (here / "mine.py").write_text(text)
    own = RECIPE.override(model="mine.py:build", epochs=1)
    refused(lambda: train(own, data=data, verbose=False), "answer with logits", "Take the sigmoid out")
    train(own, data=data, model_args={"end": None}, workdir="run", verbose=False)


# What a user sees

def test_predictions_name_all_labels_from_their_thresholds_on(data, run, here):
    x, objective = data["test"].x, objectives.of(run.recipe, run.path)
    shares = expit(run.model().predict(x, verbose=0).astype("float64"))
    values = np.array([run.result["thresholds"][name] for name in NAMES])
    found = predict(run, x, top=1)
    assert len({len(objective.chosen(answers)) for _, answers in found}) > 2
    for (_, answers), row in zip(found, shares, strict=True):
        assert answers[0] == (NAMES[row.argmax()], pytest.approx(row.max(), rel=1e-5))
        assert {NAMES[index] for index in np.flatnonzero(row >= values)} == set(objective.chosen(answers))
    write(predict(run, x, top=4), here / "out.csv", objective.chosen)
    with open(here / "out.csv") as file:
        table = list(csv.DictReader(file))
    for line, row in zip(table, shares, strict=True):
        assert set(line["prediction"].split("|")) - {""} == {NAMES[index] for index in np.flatnonzero(row >= values)}
        assert [float(line[name]) for name in NAMES] == pytest.approx(row.tolist(), rel=1e-5)


def test_the_command_marks_them(run, command):
    np.save("x.npy", X[:2])
    objective = objectives.of(run.recipe, run.path)
    done = command("predict", run.path, "x.npy", "--top", "4")
    for line, (_, answers) in zip(done.out.splitlines(), predict(run, X[:2], top=4), strict=True):
        assert [word.split()[0] for word in line.split("  ")[1:] if word.endswith("*")] == objective.chosen(answers)
    rows = json.loads(command("predict", run.path, "x.npy", "--json").out)
    assert [row["chosen"] for row in rows] == [objective.chosen(answers) for _, answers in predict(run, X[:2])]


def test_the_report_has_every_class_at_its_threshold(data, run):
    page = report(run, data=data).read_text()
    table = page[page.index('id="classes"'):]
    logits = run.model().predict(data["test"].x, verbose=0)
    given = expit(logits.astype("float64")) >= list(run.result["thresholds"].values())
    expected = metrics.classification_report(data["test"].y, given, output_dict=True, zero_division=0,
                                             target_names=NAMES)
    for index, name in enumerate(NAMES):
        row = table[table.index(f'<th scope="row">{name}</th>'):]
        row = row[:row.index("</tr>")]
        average = metrics.average_precision_score(data["test"].y[:, index], logits[:, index])
        scores = [average, *(expected[name][key] for key in ("precision", "recall", "f1-score"))]
        assert [float(value) for value in re.findall(r'value="([^"]+)"', row)] == pytest.approx(scores, abs=1e-12)
        assert row.rstrip().endswith(f"<td>{expected[name]['support']:.0f}</td>")
    assert "Precision by recall" in page and "The most confident mistakes" in page and "mAP" in page


def test_the_table_of_classes_has_the_run_s_map(data):
    """A class that no example has, or all have, has no average precision and no part in the mean."""
    rows, logits = Y * [1, 0, 1, 1] | [0, 0, 0, 1], np.random.default_rng(0).normal(size=Y.shape)
    some = replace(data["test"], x=X.astype("float32"), y=rows.astype("float32"), size=len(X))
    found = summary(some, logits, rows, np.full(4, 0.5))
    average, recall = (np.array([score[place] for score in found["scores"]]) for place in (1, 3))
    assert np.isnan(average).tolist() == [False, True, False, True] and np.isnan(recall).tolist() == [0, 1, 0, 0]
    assert found["means"][0] == pytest.approx(whole_split.of_labels("map", rows, logits), abs=1e-12)
    assert found["means"][3] == pytest.approx(
        whole_split.at_thresholds(rows, logits, np.full(4, 0.5))["macro_f1"], abs=1e-12)
    page = template("multilabel.html.j2", data="data", size=len(X), classes=True, **found)
    assert page.count("<td>&ndash;</td>") == 3 and "nan" not in page.lower()


def test_an_average_of_runs_is_for_one_class(data, run, here):
    other = train(RECIPE, data=data, seed=1, epochs=1, workdir="other", verbose=False)
    with pytest.raises(UserError, match="is multilabel"):
        ensemble([run, other], data=data)


def test_labels_that_are_numbers_are_the_same_next_to_an_empty_field(tmp_path):
    """pandas reads 0.0 there if no row has several."""
    x = np.arange(60) / 7
    several = pd.DataFrame({"x": x, "y": np.resize(["0|1", "1", "2", "0"], 60)})
    single = pd.DataFrame({"x": x[:4], "y": ["0", None, "2", "1"]})
    several.to_csv(tmp_path / "train.csv", index=False)
    single.to_csv(tmp_path / "new.csv", index=False)
    args = {"label": "y", "label_sep": "|", "target": "labels"}
    facts = load(f"csv:{tmp_path}/train.csv", **args).describe()
    found = load_for(facts, f"csv:{tmp_path}/new.csv", "all", **args)
    assert found.classes == ("0", "1", "2")
    np.testing.assert_array_equal(found.y, [[1, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 0]])
