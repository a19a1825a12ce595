"""`kerasdl audit`: what it has to catch, what it must not accuse, and that nothing is measured twice."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from scipy.special import softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import euclidean_distances
from test_cli import documented, printed

from kerasdl import zoo
from kerasdl.audit import audit as driver
from kerasdl.audit import confident, conformal, copies, grouping, intervals, page, shadows, slices, temperature
from kerasdl.audit.calibrate import calibrate, cooled
from kerasdl.audit.parts import (
    attacks,
    confidence,
    find,
    groups,
    in_order,
    label_quality,
    membership,
)
from kerasdl.audit.subject import Subject
from kerasdl.cli.audit import show
from kerasdl.data import from_arrays, load_splits
from kerasdl.data.subset import joined
from kerasdl.errors import UserError
from kerasdl.objectives.calibration import calibration_error, equal_mass
from kerasdl.recipe import Recipe, load
from kerasdl.run import Run
from kerasdl.train.fit import train
from kerasdl.zoo import linear

SHORT = ("batch=256", "warmup=0", "jit=null")
OURS = ("groups", "confidence", "label_quality", "membership")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A run of images: a linear classifier that is not sure enough."""
    return train("linear_digits", "epochs=3", *SHORT, workdir=tmp_path_factory.mktemp("digits") / "run", verbose=False)


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    """A table in which the labels of site C are noise that the columns do not explain; D has a few rows."""
    random, count = np.random.default_rng(0), 900
    size, weight = random.normal(50, 10, count), random.normal(0, 1, count)
    site = random.choice(list("ABC"), count, p=[0.4, 0.35, 0.25])
    site[:8] = "D"
    kind = np.where(size + 5 * weight > 50, "big", "small")
    noise = (site == "C") & (random.random(count) < 0.5)
    kind[noise] = np.where(kind[noise] == "big", "small", "big")
    path = tmp_path_factory.mktemp("sites") / "rows.csv"
    pd.DataFrame({"size": size.round(2), "weight": weight.round(3), "site": site, "visit": np.arange(count) % 7,
                  "kind": kind, "code": [f"k{number}" for number in range(count)]}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def rows(sites):
    return train("linear_csv", f"data=csv:{sites}", "data_args.label=kind", "data_args.drop=site,code", "epochs=8",
                 "lr=0.1", *SHORT, workdir=sites.parent / "run", verbose=False)


@pytest.fixture
def copied(digits, tmp_path):
    """The run of digits in a folder of its own, without audits."""
    return Run(shutil.copytree(digits.path, tmp_path / "run", ignore=shutil.ignore_patterns("audit*", "sections")))


# For whom


def test_a_planted_subgroup_failure_is_caught(command, rows):
    found = printed(command, "audit", rows.path, "--group", "site", "--quick")
    assert found.keys() <= documented("audit")
    assert json.loads((rows.path / "audit.json").read_text()) == {key: found[key] for key in found if key != "report"}
    part = next(part for part in found["parts"] if part["name"] == "groups")
    site = next(each for each in part["found"]["groupings"] if each["name"] == "site")
    assert site["worst"] == "C" and site["difference"] > site["chance"] and site["difference_interval"][0] > 0.2
    assert site["small"] == [{"name": "D", "count": site["small"][0]["count"]}] and "site D" in " ".join(part["lines"])
    assert "It fails most for site C" in part["lines"][0]
    best = part["found"]["slices"][0]
    assert best["holds"] and "site is C" in best["rule"]
    assert set(site["rates"]) == {"selection rate", "true positive rate", "false positive rate"}
    assert site["positive"] == "small"
    text = (rows.path / page.PAGE).read_text()
    assert all(f"{one['title']}" in text for one in found["parts"]) and "<svg" in text
    assert "It fails most for site C" in (rows.path / "report.html").read_text()


def test_groups_without_a_difference_are_not_accused(rows):
    subject = Subject(rows, groups=["visit"])
    found = groups.measure(subject)
    visit = next(each for each in found["groupings"] if each["name"] == "visit")
    assert len(visit["groups"]) == 7 and visit["difference"] < visit["chance"]
    logits, truth = subject.answers()
    for group in visit["groups"]:
        right = (logits.argmax(1) == truth)[subject.groups["visit"] == group["name"]]
        assert group["value"] == pytest.approx(right.mean()) and group["count"] == len(right)
        assert group["interval"][0] < group["value"] < group["interval"][1]


def test_the_best_and_the_worst_of_many_equal_groups_differ_by_chance(rows):
    random, subject = np.random.default_rng(1), Subject(rows)
    names, over = np.repeat(np.arange(20).astype(str), 30), 0
    for _ in range(40):
        errors = (random.random(600) < 0.1).astype(float)
        means = [errors[names == name].mean() for name in np.unique(names)]
        over += np.ptp(means) > groups.chance(names, errors, subject)
    assert over <= 6  # 2 are expected


def test_intervals_of_means_and_spreads():
    random = np.random.default_rng(0)
    right = (random.random(500) < 0.8).astype(float)
    low, high = intervals.of_mean(right)
    assert low < right.mean() < high and high - low < 0.08
    two = np.repeat(["a", "b"], 250)
    ends = intervals.of_spread(np.where(two == "a", 1.0, right), two)
    assert ends[0] < 1 - right[two == "b"].mean() < ends[1]
    assert intervals.of_mean(np.ones(30))[0] < 0.95  # of thirty right ones, an interval still has a width


def test_a_column_that_is_called_class_takes_nothing_from_the_classes(rows):
    names = np.repeat(["first", "second"], 90)
    subject = Subject(rows)
    subject.groups = {"class": names}
    found = {each["name"]: each for each in groups.measure(subject)["groupings"]}
    assert {group["name"] for group in found["true class"]["groups"]} == {"big", "small"}
    assert found["true class"]["rates"] == {} and "selection rate" in found["class"]["rates"]


def test_a_slice_is_found_on_one_half_and_measured_on_the_other():
    random = np.random.default_rng(0)
    age, sex = random.uniform(20, 80, 2000), random.choice(["f", "m"], 2000)
    errors = (random.random(2000) < np.where((age > 60) & (sex == "f"), 0.5, 0.05)).astype(float)
    first = slices.worst({"age": age, "sex": sex}, errors, 0)[0]
    assert "age is over" in first["rule"] and "sex is f" in first["rule"].replace("sex is not m", "sex is f")
    assert first["error"] == pytest.approx(0.5, abs=0.15) and first["others"]["error"] < 0.12
    noise = groups.described(slices.worst({"age": age}, (random.random(2000) < 0.1).astype(float), 0)[0], "class")
    assert not noise["holds"]
    assert slices.worst({"age": age}, np.zeros(2000), 0) == []


def test_a_column_of_numbers_is_compared_in_quarters():
    found = grouping.binned(pd.Series([*map(str, range(100)), ""]))
    assert found.value_counts().to_dict() == {"0 to 24": 25, "25 to 49": 25, "50 to 74": 25, "75 to 99": 25,
                                              "(missing)": 1}
    assert set(grouping.binned(pd.Series(["1", "2", "1"]))) == {"1", "2"}


@pytest.mark.parametrize("missing", [None, np.nan])
def test_numbers_of_a_function_are_compared_in_quarters_though_some_are_missing(missing):
    values = np.array([*map(float, range(100)), missing], object)
    assert set(grouping.binned(pd.Series(values))) == {"0 to 24", "25 to 49", "50 to 74", "75 to 99", "(missing)"}


def test_attributes_go_along_and_change_nothing(sites, tmp_path):
    args = {"label": "kind", "drop": ["site", "code"]}
    plain, noted = (load_splits(f"csv:{sites}", {"train": "train", "test": "test"}, **more)
                    for more in (args, args | {"attributes": "site,visit"}))
    frame = pd.read_csv(sites)
    assert plain["test"].fingerprint() == noted["test"].fingerprint() and not plain["test"].attributes
    size = {(row.size_, row.weight): row.site for row in frame.rename(columns={"size": "size_"}).itertuples()}
    x = noted["test"].x.round(3)
    assert [size[round(float(a), 2), round(float(b), 3)] for a, b, *_ in x] == noted["test"].attributes["site"].tolist()
    both = joined([noted["train"], noted["test"]])
    assert len(both.attributes["visit"]) == len(both) and len(both.part(np.arange(3)).attributes["site"]) == 3
    for writer in ("ann", "bob"):
        for name in ("cat", "dog"):
            (tmp_path / name / writer).mkdir(parents=True)
            for number in range(10):
                pixels = np.full((4, 4, 1), number + 10 * (writer == "bob"), "uint8")
                keras.utils.save_img(tmp_path / name / writer / f"{number}.png", pixels, scale=False)
    split = load_splits(f"folder:{tmp_path}", {"test": "test"}, attributes=[1])["test"]
    assert [name == "bob" for name in split.attributes["1"]] == (split.x[:, 0, 0, 0] >= 10).tolist()


# How sure


def test_calibration_error_is_a_hand_count():
    confidence_, right = np.array([0.05, 0.1, 0.6, 0.6, 0.9, 0.9]), np.array([0, 1, 1, 0, 1, 1])
    # width: bins of a fifth, (0.05 and 0.1), (0.6 and 0.6), (0.9 and 0.9)
    assert calibration_error(confidence_, right, 5) == pytest.approx((2 * 0.425 + 2 * 0.1 + 2 * 0.1) / 6)
    # mass: two bins of three
    by_hand = (abs(2 / 3 - 0.25) + abs(2 / 3 - 0.8)) / 2
    assert calibration_error(confidence_, right, 2, equal_mass) == pytest.approx(by_hand)


@pytest.mark.parametrize("degree", [0.5, 2.5])
def test_a_temperature_is_found_again_and_is_scikit_learn_s(degree):
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (4000, 4))
    truth = np.array([random.choice(4, p=row) for row in softmax(logits, axis=1)])
    found = temperature.fit(logits * degree, truth)
    assert found == pytest.approx(degree, rel=0.1) and temperature.gain(logits * degree, truth) > 0
    assert temperature.gain(logits, truth) < 1e-3
    base = FrozenEstimator(Logits().fit(logits, truth))
    theirs = CalibratedClassifierCV(base, method="temperature", ensemble=False).fit(logits * degree, truth)
    np.testing.assert_allclose(theirs.predict_proba(logits * degree), softmax(logits * degree / found, axis=1),
                               atol=2e-3)


class Logits(LogisticRegression):
    """A classifier whose decision is its input."""

    def decision_function(self, x):
        return x


def test_conformal_sets_hold_the_right_class_as_often_as_expected():
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (3000, 5))
    truth = np.array([random.choice(5, p=row) for row in softmax(logits, axis=1)])
    chances = softmax(3 * logits, axis=1)  # too sure, which sets do not mind
    inside = 0
    for _ in range(40):
        order = random.permutation(3000)
        val, test = order[:500], order[500:]
        found = conformal.measured(chances[val], truth[val], chances[test], truth[test], 0.9)
        inside += found["expected"][0] <= found["coverage"] <= found["expected"][1]
    assert inside >= 35  # 38 are expected
    assert conformal.measured(chances[:50], truth[:50], chances, truth, 0.99) is None  # of fifty


def test_selective_accuracy_is_that_of_the_surest():
    found = confidence.selective(np.array([0.9, 0.5, 0.8, 0.6]), np.array([True, False, True, True]))
    assert [row["accuracy"] for row in found if row["share"] in (1.0, 0.5)] == [0.75, 1.0]


def test_what_is_fitted_is_fitted_on_validation(digits):
    subject = Subject(digits)
    found = confidence.measure(subject)
    (val, y_val), (test, y) = subject.answers("val"), subject.answers("test")
    assert found["temperature"] == pytest.approx(temperature.fit(val, y_val))
    assert abs(found["temperature"] - temperature.fit(test, y)) > 1e-3
    assert found["ways"]["temperature"]["nll"] < found["ways"]["as it is"]["nll"]
    assert found["ways"]["as it is"]["nll"] == pytest.approx(digits.result["test"]["loss"], rel=1e-3)
    assert found["fitted_to_test"] == []


def test_only_isotonic_regression_s_likelihood_has_a_floor(digits):
    subject = Subject(digits)
    subject._answers = {"val": subject.answers("val"), "test": subject.answers("test")}
    logits, truth = subject._answers["test"]
    subject._answers["test"] = (100 * logits, truth)
    ways = confidence.measure(subject)["ways"]
    assert ways["as it is"]["nll"] == pytest.approx(temperature.nll(100 * logits, truth))
    assert ways["isotonic"]["nll"] <= np.log(2 * len(subject.answers("val")[1]) * 10)


def test_a_model_that_was_calibrated_on_test_is_caught(copied):
    subject = Subject(copied)
    model = cooled(subject.model, temperature.fit(*subject.answers("test")))
    model.save(copied.path / "model.keras")
    (copied.path / "predictions.npz").unlink()
    found = confidence.measure(Subject(copied))
    assert "exactly the best one for the test split" in found["fitted_to_test"][0]
    assert found["fitted_to_test"][0] in confidence.lines(found)[0]


def test_calibrate_makes_a_run_that_says_where_it_comes_from(command, refused, copied, here):
    found = printed(command, "calibrate", copied.path, "--workdir", here / "cal")
    assert found.keys() <= documented("calibrate")
    made, facts = Run.open(here / "cal"), found["result"]["calibrated"]
    (one, truth), (two, _) = Subject(copied).answers("val"), Subject(made).answers("val")
    np.testing.assert_allclose(two, one / facts["temperature"], rtol=1e-5, atol=1e-6)
    assert facts["temperature"] == pytest.approx(temperature.fit(one, truth)) and facts["on"] == "val"
    assert facts["from"] == str(copied.path) and made.recipe.name == "linear_digits_calibrated"
    assert found["result"]["test"]["accuracy"] == copied.result["test"]["accuracy"]
    assert found["result"]["val"]["loss"] == pytest.approx(facts["nll"]["after"], rel=1e-4)
    np.testing.assert_allclose(Subject(made).answers()[0], made.model().predict(Subject(made).split().x, verbose=0),
                               rtol=1e-5, atol=1e-6)
    assert confidence.measure(Subject(made))["fitted_to_test"] == []
    refused("calibrate", made.path, words=["calibrated already"])
    refused("calibrate", copied.path, "--workdir", made.path, words=["holds a run already"])


def test_calibrate_keeps_what_a_private_training_spent(copied):
    spent = {"private": {"epsilon": 3.0}}
    (copied.path / "result.json").write_text(json.dumps(copied.result | spent))
    made = calibrate(Run(copied.path), copied.path.parent / "cal")
    assert made.result["private"] == spent["private"]


def test_calibrate_refuses_what_validation_does_not_improve(copied, monkeypatch):
    monkeypatch.setattr(temperature, "gain", lambda *_: 0.0)
    with pytest.raises(UserError, match="It stays as it is"):
        calibrate(copied)


# Data


def test_flipped_labels_in_digits_are_found():
    x, y = load_digits(return_X_y=True)
    changed, place = confident.planted(y[:1257], 10, seed=1)
    found, _ = confident.suspects(confident.out_of_fold(x[:1257], changed, "image", 10, 0).chances, changed)
    right = np.isin(found, place).sum()
    assert len(place) == 38 and right / len(found) >= 0.85 and right / len(place) >= 0.65
    assert np.isin(found[:20], place).sum() >= 18  # the likeliest first


def test_few_examples_of_each_class_are_enough_to_look_for_wrong_labels():
    x, y = load_digits(return_X_y=True)
    some = np.concatenate([np.flatnonzero(y == label)[:4] for label in range(10)])
    assert confident.out_of_fold(x[some], y[some], "image", 10, 0).chances.shape == (40, 10)


@pytest.mark.parametrize("kind", ["row", "tokens"])
@pytest.mark.parametrize("positives", [0, 1])
def test_a_class_of_one_example_or_none_stops_nothing(kind, positives):
    x = np.random.default_rng(0).integers(0, 5, (60, 4)).astype("float32")
    y = (np.arange(60) < positives).astype("int64")
    chances = confident.out_of_fold(csr_matrix(x) if kind == "tokens" else x, y, kind, 2, 0).chances
    np.testing.assert_allclose(chances.sum(1), 1)
    assert chances[0, 0] == 1  # nothing else is known of the only positive one


def test_a_suspect_looks_like_the_class_that_it_is_suspected_of():
    """A rare class needs less to be claimed, and the most probable class may be the label itself."""
    chances, y = np.array([[0.9, 0.1]] * 9 + [[0.55, 0.45]] + [[0.6, 0.4]] * 2), np.array([0] * 10 + [1] * 2)
    places, others = confident.suspects(chances, y)
    assert (places.tolist(), others.tolist()) == ([9], [1]) and chances[9].argmax() == 0


def test_a_group_without_positives_has_no_true_positive_rate():
    random = np.random.default_rng(0)
    names, truth = np.repeat(["a", "b", "c"], 60), random.integers(0, 2, 180)
    truth[names == "a"] = 0
    guess = np.where(random.random(180) < 0.8, truth, 1 - truth)
    subject = SimpleNamespace(target="class", classes=("no", "yes"), seed=0, size=lambda full, quick: quick)
    found = groups.compared(subject, "site", names, (guess != truth).astype("float64"), guess, truth)
    rates = {group["name"]: group["rates"]["true positive rate"] for group in found["groups"]}
    assert rates["a"] is None and found["rates"]["true positive rate"]["difference"] == abs(rates["b"] - rates["c"])
    assert "–" in groups.shown({"target": "class", "unit": "", "fewest": 10}, found).body
    alone = groups.compared(subject, "site", names, np.zeros(180), guess * 0, truth * 0)
    assert set(alone["rates"]) == {"selection rate", "false positive rate"}
    truth[:grouping.FEWEST - 1] = 1  # too few to compare a rate of them
    few = groups.compared(subject, "site", names, (guess != truth).astype("float64"), guess, truth)
    assert few["rates"]["true positive rate"] == found["rates"]["true positive rate"]
    assert few["groups"][0]["rates"]["true positive rate"] is None


def test_sentences_on_groups_say_what_was_done():
    random = np.random.default_rng(0)
    subject = SimpleNamespace(target="class", classes=("no", "yes"), seed=0, size=lambda full, quick: quick)
    guess, errors = np.zeros(200, int), np.zeros(200)
    several = {f"column {place}": random.choice(["a", "b"], 200) for place in range(6)}
    several["site"] = np.array(["north"] * 97 + ["south"] * 97 + ["west"] * 6)
    found = {"target": "class", "unit": "", "fewest": 10, "asked": list(several), "attributes": ["size"],
             "searched": False, "slices": [],
             "groupings": [groups.compared(subject, name, values, errors, guess, guess)
                           for name, values in several.items()]}
    said = groups.lines(found)
    assert "site west (6)" in said[2] and len(said) == 6 and "fewer than 5 mistakes" in said[-1]
    assert "found none" in groups.lines(found | {"searched": True})[-1]
    alone = groups.lines(found | {"target": "number", "groupings": []})[0]
    assert "no two groups" not in alone and "--group" in alone
    assert not slices.searchable({"size": np.arange(200.0)}, errors, 0)


def test_an_id_that_gives_the_label_away_is_caught(tmp_path):
    random = np.random.default_rng(0)
    kind = np.sort(random.choice(["a", "b"], 400))
    pd.DataFrame({"number": np.arange(400) + 1000, "value": random.normal(0, 1, 400),
                  "age": random.integers(18, 80, 400), "code": np.where(kind == "a", 3, 5), "kind": kind}).to_csv(
        tmp_path / "rows.csv", index=False)
    train_split = load_splits(f"csv:{tmp_path / 'rows.csv'}", {"train": "train"}, label="kind", keep="number")["train"]
    found = {row["column"]: row for row in copies.ids(train_split)}
    assert set(found) == {"number", "code"} and found["number"]["share"] > 0.95
    assert "rises with the rows" in found["number"]["why"] or "alone tells" in found["number"]["why"]


def test_copies_and_near_copies_between_splits_are_counted(digits):
    random = np.random.default_rng(0)
    coarse = random.integers(0, 255, (300, 6, 6, 1))
    x = np.clip(np.kron(coarse, np.ones((1, 4, 4, 1))) + random.normal(0, 20, (300, 24, 24, 1)), 0, 255).astype("uint8")
    made = from_arrays(x, np.arange(300) % 2)
    known, y = made["train"].x, made["train"].y
    test = np.concatenate([made["test"].x, known[:7], np.clip(known[7:12].astype(int) + 9, 0, 255).astype("uint8")])
    data = {**made, "test": from_arrays(known, y, test=(test, np.arange(len(test)) % 2))["test"]}
    subject = Subject(digits, data=data)
    subject._splits = data
    subject._answers = {name: (np.zeros((len(split), 2)), split.y) for name, split in data.items()}
    found = copies.between(subject)
    assert (found["test"]["same"], found["val"]["same"]) == (7, 0) and 3 <= found["test"]["near"] <= 6


def test_label_quality_of_a_run(digits):
    found = label_quality.measure(Subject(digits, quick=True))
    train_, test = found["labels"]["train"], found["labels"]["test"]
    assert train_["examined"] == 1257 and train_["found"] > 0.6 * train_["planted"] and test["examined"] == 360
    assert len(train_["suspects"]) < 15 and found["between"]["test"]["same"] == 0
    assert label_quality.sections(found)


# Whose data


def test_a_model_that_remembers_each_example_is_caught(digits):
    """The nearest training example of each class answers."""
    x, y = load_digits(return_X_y=True)
    labels = np.random.default_rng(0).integers(0, 10, len(y))  # nothing to learn: what is known is memory
    data = from_arrays((15 * x).astype("uint8").reshape(-1, 8, 8, 1), labels)
    known, subject = data["train"], Subject(digits, data=data, shadows=0)
    subject._splits = data
    for name, split in data.items():
        away = euclidean_distances(*(each.x.reshape(len(each), -1).astype(float) for each in (split, known)))
        logits = -np.stack([away[:, known.y == label].min(1) for label in range(10)], axis=1)
        subject._answers[name] = (logits.astype("float32"), split.y)
    found = membership.measure(subject)
    assert found["accuracy"]["train"] == 1 and found["accuracy"]["test"] < 0.2
    row = found["attacks"][membership.LOSS]["rates"][0]
    assert row["works"] and row["alarms"] <= 0.01
    assert membership.lines(found)[0].startswith("It gives training examples away")


@pytest.mark.parametrize("result, recipe, words", [
    ({"calibrated": 1.2}, {}, "not what a training of its recipe gives"), ({"fitted": {}}, {}, "not what a training"),
    ({}, {"init": "runs/a"}, "may know the examples"), ({}, {"objective_args": {"teacher": "runs/a"}}, "may know")])
def test_shadow_runs_of_what_is_no_plain_training_are_refused(result, recipe, words):
    plain = {"train": {"seconds": 1.0}}
    subject = SimpleNamespace(run=SimpleNamespace(path="run", result=plain | result), shadows=None, quick=False,
                              recipe=Recipe(model="mlp", data="digits").model_copy(update=recipe))
    assert shadows.count_for(subject) == 0
    subject.shadows = 2
    with pytest.raises(UserError, match=words):
        shadows.count_for(subject)


@pytest.mark.soak
def test_a_net_that_was_trained_to_memorise_is_caught(tmp_path):
    x, y = load_digits(return_X_y=True)
    labels = np.random.default_rng(0).integers(0, 10, len(y))  # nothing to learn: what is known is memory
    x = (15 * x).astype("uint8").reshape(-1, 8, 8, 1)
    data = from_arrays(x[:300], labels[:300], test=(x[300:700], labels[300:700]))
    run = train("mlp_digits", "epochs=80", "batch=90", "warmup=0", "jit=null", "lr=0.01", "weight_decay=0",
                "augment=()", "keep=last", "model_args.drop=0.0", data=data, workdir=tmp_path / "run", verbose=False)
    found = membership.measure(Subject(run, data=data, shadows=0))
    assert found["accuracy"]["train"] > 0.9 and found["attacks"][membership.LOSS]["rates"][0]["works"]
    assert membership.lines(found)[0].startswith("It gives training examples away")


def test_a_net_with_nothing_to_find_is_not_accused(digits):
    found = membership.measure(Subject(digits, quick=True))
    row, none = found["attacks"][membership.LOSS]["rates"]
    assert not row["works"] and row["interval"][0] <= row["alarms"] <= row["interval"][1]
    assert none == {"rate": 0.001, "recognised": None, "works": False}  # 360 examples cannot show one in a thousand
    assert found["smallest"] == 1 / 360 and found["shadows"] == 0
    assert "smallest rate of false alarms that can be shown is 0.278 %" in membership.lines(found)[2]


def test_shadow_runs_show_which_examples_are_easy(digits, monkeypatch):
    subject, seen = Subject(digits, seed=3), []

    def fake(asked, half, number):
        seen.append(half)
        return digits

    monkeypatch.setattr(shadows, "trained", fake)
    members, others = np.arange(50), np.arange(60)
    sure = shadows.outside(subject, members, others, 2)
    logits, truth = subject.answers_at("train", members)
    np.testing.assert_allclose(sure[:50], shadows.sureness(logits, truth), rtol=1e-4, atol=1e-4)
    assert len(seen[0]) + len(seen[1]) == 1257 + 360
    chances = softmax(np.array([[2.0, 0.0, 1.0]]), axis=1)[0, 0]
    assert shadows.sureness(np.array([[2.0, 0, 1]]), np.array([0]))[0] == pytest.approx(np.log(chances / (1 - chances)))
    assert np.isfinite(shadows.sureness(np.array([[900.0, 0]]), np.array([0])))[0]


def test_members_weigh_something_and_shadow_runs_weigh_them_alike(digits, monkeypatch):
    subject, seen = Subject(digits), []
    train = subject.split("train")
    weights = np.where(np.arange(len(train)) % 4, 0.0, 5.0)
    subject._splits["train"] = replace(train, weights=weights)
    (places,) = np.nonzero(weights)
    assert np.array_equal(membership.learned(subject), places)
    members = subject.examples(100, "train", places)
    assert len(members) == 100 and np.isin(members, places).all() and (np.diff(members) > 0).all()
    monkeypatch.setattr(shadows, "trained", lambda asked, half, number: seen.append(half) or digits)
    shadows.outside(subject, members, np.arange(60), 2)
    drawn = np.concatenate([half.weights for half in seen])
    mean = weights.mean()
    assert sorted(drawn) == pytest.approx(sorted([*(weights / mean), *np.ones(360)]))


def test_a_shadow_run_is_of_what_the_run_has_kept(copied, monkeypatch):
    seen = []
    monkeypatch.setattr(shadows, "train", lambda recipe, **_: seen.append(recipe))
    (copied.path / "code").mkdir()
    (copied.path / "code" / "mine.py").write_text("")
    (copied.path / "tokenizer.json").write_text("")
    subject = Subject(copied)
    subject.recipe = subject.recipe.model_copy(update={"model": "elsewhere/mine.py:build"})
    shadows.trained(subject, subject.split("val"), 0)
    assert seen[0].model == f"{copied.path / 'code' / 'mine.py'}:build"
    assert seen[0].data_args == {"tokens": str(copied.path)}


def test_shadow_runs_that_nobody_asked_for_stop_no_audit(copied, monkeypatch):
    def diverged(recipe, workdir, data, **_):
        run = Run.create(recipe, workdir)
        (run.path / "result.json").write_text(json.dumps({"status": "diverged"}))
        raise UserError("The loss became nan.")

    monkeypatch.setattr(shadows, "train", diverged)
    monkeypatch.setattr(shadows, "SECONDS", 1e3)
    found = membership.measure(Subject(copied))
    assert found["shadows"] == 0 and "shadow runs failed: The loss became nan." in membership.lines(found)[2]
    with pytest.raises(UserError, match="diverged. Train others with another --seed"):
        membership.measure(Subject(copied, shadows=2))


@pytest.mark.soak
def test_shadow_runs_are_trained_once(copied):
    first = driver.audit(copied, shadows=2, only=["membership"])
    folder = copied.path / "audit" / "shadows"
    times = [(folder / name / "result.json").stat().st_mtime_ns for name in ("0", "1")]
    (copied.path / "audit" / "membership.json").unlink()
    second = driver.audit(copied, shadows=2, only=["membership"])
    assert times == [(folder / name / "result.json").stat().st_mtime_ns for name in ("0", "1")]
    assert first["parts"][0]["found"] == second["parts"][0]["found"]
    assert second["parts"][0]["found"]["attacks"].keys() == {membership.LOSS, membership.LIRA}


# The driver


def test_the_same_seed_gives_the_same_audit_and_nothing_is_measured_twice(copied, monkeypatch):
    calls = []

    def counting(name, part, stop):
        real = part.measure

        def measure(subject):
            calls.append(name)
            if stop and len(calls) == 2:
                raise KeyboardInterrupt
            return real(subject)
        return measure

    kept = {name: find(name).measure for name in OURS}
    for name in OURS:
        monkeypatch.setattr(find(name), "measure", counting(name, find(name), True))
    with pytest.raises(KeyboardInterrupt):
        driver.audit(copied, quick=True, only=OURS)
    assert not (copied.path / "audit.json").exists()
    for name in OURS:
        monkeypatch.setattr(find(name), "measure", kept[name])
        monkeypatch.setattr(find(name), "measure", counting(name, find(name), False))
    first = driver.audit(copied, quick=True, only=OURS)
    assert calls == ["groups", "confidence", "confidence", "label_quality", "membership"]
    again = driver.audit(copied, quick=True, only=OURS)
    assert len(calls) == 5 and [part["found"] for part in first["parts"]] == [part["found"] for part in again["parts"]]
    shutil.rmtree(copied.path / "audit")
    fresh = driver.audit(copied, quick=True, only=("groups", "confidence"))
    assert [part["found"] for part in fresh["parts"]] == [part["found"] for part in first["parts"][:2]]
    driver.audit(copied, quick=True, only=("groups", "confidence"), seed=1)
    assert calls[-2:] == ["groups", "confidence"]
    monkeypatch.setattr(confidence, "VERSION", 99)
    driver.audit(copied, quick=True, only=("groups", "confidence"), seed=1)
    assert calls[-1] == "confidence" and len(calls) == 10


def test_other_groups_measure_only_what_reads_groups(rows):
    subjects = [Subject(rows, groups=words) for words in (["site"], ["visit"])]
    assert len({driver.key(subject, groups) for subject in subjects}) == 2
    assert len({driver.key(subject, confidence) for subject in subjects}) == 1


def test_groups_and_parts_in_python_are_one_or_several_and_groups_may_be_a_function(rows, capsys):
    def half(split):
        return np.arange(len(split)) % 2

    assert Subject(rows, groups="site").grouped_by == ("site",)
    subject = Subject(rows, groups=["site", half])
    assert subject.grouped_by == ("site", "half") and set(subject.groups["half"]) == {"0", "1"}
    found = driver.audit(rows, ["site", half], only="groups", quick=True)
    assert [part["name"] for part in found["parts"]] == ["groups"]
    assert page.command(rows.path, found) == (f"kerasdl audit {rows.path} --group site --quick --only groups --seed 0 "
                                              "# and from Python: audit(run, [half])")
    show(found)
    for text in (capsys.readouterr().out, page.card(found).body, page.write(rows.path, found).read_text()):
        assert "Not asked this time: attacks, confidence, corruptions, label_quality" in " ".join(text.split())
    assert page.left_out({"parts": [{"name": name} for name in in_order()]}) == ""
    with pytest.raises(UserError, match="Two groupings have one name: half, half"):
        Subject(rows, groups=["half", half])


def test_a_streamed_training_split_is_not_gone_through_for_a_few_images(monkeypatch):
    x = np.zeros((8, 6, 6, 1), "uint8")
    streamed = SimpleNamespace(streamed=True, sample=lambda count: x[:count])
    test = SimpleNamespace(take=lambda index: (x[index], np.zeros(len(index), int)))
    seen = []

    def attack(model, images, y, eps, others, **_):
        seen.append(others)
        raise KeyboardInterrupt

    monkeypatch.setattr(attacks.suite, "attack", attack)
    subject = SimpleNamespace(
        seed=0, quick=True, model=linear.build((6, 6, 1), 2), run=SimpleNamespace(data={"shape": [6, 6, 1]}),
        split=lambda name: streamed if name == "train" else test, answers=lambda name: (None, np.zeros(8, int)),
        objective=SimpleNamespace(attack_budget=8.0), size=lambda full, quick: 4, examples=lambda count: np.arange(4))
    with pytest.raises(KeyboardInterrupt):
        attacks.measure(subject)
    assert len(seen[0]) == 4


def test_examples_are_a_share_of_each_class(digits):
    subject = Subject(digits, seed=1)
    y = subject.split("train").y
    some = subject.examples(200, "train")
    assert len(some) == 200 and (np.diff(some) > 0).all()
    assert np.abs(np.bincount(y[some]) - np.bincount(y) * 200 / len(y)).max() < 1.5
    assert np.array_equal(some, Subject(digits, seed=1).examples(200, "train"))
    assert not np.array_equal(some, Subject(digits).examples(200, "train"))


def test_parts_come_in_order_and_their_packages_are_asked_for(monkeypatch):
    assert [name for name in in_order() if name in OURS] == list(OURS)
    monkeypatch.setattr(groups, "PACKAGES", ("nothing_of_that_name",))
    with pytest.raises(UserError, match=r"needs nothing_of_that_name: pip install 'kerasdl\[audit\]'"):
        in_order()
    with pytest.raises(UserError, match="Did you mean 'groups'"):
        in_order(("group",))


# Mistakes


def test_mistakes_are_one_line(refused, rows, here):
    refused("audit", rows.path, "--group", "sites", words=["no column 'sites'", "'site'"])
    refused("audit", rows.path, "--group", "code", words=["180 groups", "0 of 10 examples", "choose another"])
    (here / "mine.py").write_text("def short(split):\n    return ['a', 'b']\n")
    refused("audit", rows.path, "--group", "mine.py:short", words=["for each of the 180 test examples", "(2,)"])
    refused("audit", rows.path, "--shadows", "1", words=["0, or 2 or more"])
    refused("audit", rows.path, "--only", "group", words=["Did you mean 'groups'"])
    refused("audit", "nowhere", words=["no run folder"])
    shutil.copytree(rows.path, here / "half", ignore=shutil.ignore_patterns("result.json"))
    refused("audit", here / "half", words=["did not finish"])


def test_runs_without_groups_or_data(refused, digits, rows, tmp_path):
    refused("audit", digits.path, "--group", "site", words=["for tables and folders", "FILE.py:NAME"])
    gone = Run(shutil.copytree(rows.path, tmp_path / "gone"))
    facts = json.loads((gone.path / "recipe.json").read_text()) | {"data": "csv:gone.csv"}
    (gone.path / "recipe.json").write_text(json.dumps(facts))
    refused("audit", gone.path, words=["gone.csv"])
    generator = json.loads((digits.path / "recipe.json").read_text()) | {"objective": "reconstruct"}
    shutil.copytree(digits.path, tmp_path / "other")
    (tmp_path / "other" / "recipe.json").write_text(json.dumps(generator))
    refused("audit", tmp_path / "other", words=["reconstruct", "Audit a classifier or a regression"])


def test_a_regression_gets_its_groups_and_a_line_for_the_rest(sites, tmp_path):
    recipe = load("linear_csv").override(f"data=csv:{sites}", "data_args.label=weight", "data_args.drop=code",
                                         "objective=regress")
    split = load_splits(recipe.data, {"test": "test"}, target="number", **recipe.data_args)["test"]
    run = Run.create(recipe, tmp_path / "run")
    zoo.build("linear", split.shape, 1).save(run.path / "model.keras")
    (run.path / "data.json").write_text(json.dumps(split.describe()))
    (run.path / "result.json").write_text(json.dumps({"status": "completed"}))
    found = {part["name"]: part for part in driver.audit(run, ["site"], quick=True, only=OURS)["parts"]}
    (site,) = found["groups"]["found"]["groupings"]
    assert site["name"] == "site" and "it is off by" in found["groups"]["lines"][0]
    assert all(found[name]["silent"] for name in OURS[1:])
    assert "off by" in page.write(run.path, driver.read(run.path / "audit.json")).read_text()


@pytest.mark.parametrize("kind", ["tokens", "sequence"])
def test_texts_and_series_are_audited(kind, tmp_path):
    """Three of four examples say which class they are of; the model has learned nothing."""
    random, y = np.random.default_rng(0), np.arange(240) % 2
    if kind == "tokens":
        words = np.where(random.random(240) < 0.75, np.array(["good", "bad"])[y], "some")
        pd.DataFrame({"text": [f"{word} words {place % 9}" for place, word in enumerate(words)],
                      "kind": np.array(["fine", "poor"])[y]}).to_csv(tmp_path / "texts.csv", index=False)
        name, args = f"text:{tmp_path / 'texts.csv'}", {"text": "text", "label": "kind"}
        data = load_splits(name, {each: each for each in ("train", "val", "test")}, **args)
    else:
        name, args = "arrays", {}
        data = from_arrays((random.normal(size=(240, 12, 1)) + 3 * y[:, None, None]).astype("float32"), y)
    split = data["test"]
    keras.utils.set_random_seed(0)
    recipe = Recipe(model="conv1d", data=name, data_args=args)
    run = Run.create(recipe, tmp_path / "run")
    inputs = keras.Input(split.example_shape, name=kind)
    keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs))).save(run.path / "model.keras")
    (run.path / "data.json").write_text(json.dumps(split.describe()))
    (run.path / "result.json").write_text(json.dumps({"status": "completed"}))
    asked = ("groups", "label_quality")
    found = {part["name"]: part for part in driver.audit(run, quick=True, data=data, only=asked)["parts"]}
    assert split.kind == kind and not any(found[part]["silent"] for part in asked)
    assert found["label_quality"]["found"]["labels"]["train"]["right"] > 0.75
    assert (found["label_quality"]["found"]["unusual"] is None) == (kind == "tokens")
    assert page.write(run.path, driver.read(run.path / "audit.json")).is_file()
