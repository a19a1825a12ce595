"""`kerasdl auto`: the best model of some data within a budget, what it has to beat, and one page that says so."""

import hashlib
import json
import re
import shutil
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import save_file
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler
from test_bert import VOCABULARY, tensors
from test_photos import photographs as images
from test_photos import tiny_weights

from kerasdl import objectives
from kerasdl import recipe as recipes
from kerasdl.auto import (
    baselines,
    boosting,
    combined,
    defaults,
    fitted,
    language,
    outcome,
    page,
    photographs,
    scores,
    sizes,
    trainings,
)
from kerasdl.auto.asked import Asked, asked
from kerasdl.auto.search import auto
from kerasdl.auto.task import Task
from kerasdl.auto.timing import Pace
from kerasdl.cli.auto import what_to_find
from kerasdl.data import from_arrays, load_splits
from kerasdl.data.tokens import TokenArgs, Tokens
from kerasdl.errors import UserError
from kerasdl.evaluation import linear_probe, predictions
from kerasdl.evaluation.predict import predict
from kerasdl.files import write_json
from kerasdl.photos import recipes as of_photos
from kerasdl.run import Run, load_model
from kerasdl.train.setup import SPLITS
from kerasdl.tuning import choice, log, trial
from kerasdl.tuning import load as load_search
from kerasdl.zoo import trees
from kerasdl.zoo.weights import public

TINY = (defaults.Family("small", {"model": "mlp", "model_args": {"size": "mu"}, "epochs": 2, "batch": 32, "lr": 1e-2},
                        {"lr": log(1e-3, 1e-1)}),)


# What is asked


def test_a_path_is_what_it_can_only_be(here):
    for name in ("rows.csv", "rows.csv.gz", "rows.parquet", "motions_TRAIN.ts", "texts.jsonl"):
        (here / name).write_text("")
    (here / "letters" / "a").mkdir(parents=True)
    (here / "letters" / "a" / "1.txt").write_text("a text")
    (here / "faces" / "a").mkdir(parents=True)
    Image.new("L", (8, 8)).save(here / "faces" / "a" / "1.png")
    from kerasdl.auto.asked import located

    assert [located(name) for name in ("rows.csv", "rows.csv.gz", "rows.parquet", "motions_TRAIN.ts", "texts.jsonl",
                                       "letters", "faces", "mnist", "series:a.npz")] == [
        "csv:rows.csv", "csv:rows.csv.gz", "csv:rows.parquet", "series:motions_TRAIN.ts", "text:texts.jsonl",
        "text:letters", "folder:faces", "mnist", "series:a.npz"]
    shutil.copy(here / "faces/a/1.png", here / "letters/a/2.png")
    (here / "waves.npz").write_text("")
    for name, keys, words in (("letters", (), ["folder:letters", "text:letters"]), ("waves.npz", (), ["series:"]),
                              ("rows.csv", ("data_args.text",), ["text:rows.csv", "csv:rows.csv"]),
                              ("gone.csv", (), ["no file"])):
        with pytest.raises(UserError) as caught:
            located(name, keys)
        assert "\n" not in str(caught.value) and all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("given, words", [
    (["--max-kb", "96MB"], ["--max-kb", "kilobytes", "'96MB'"]), (["--max-kb", "-1"], ["above 0", "'-1'"]),
    (["--minutes", "0"], ["--minutes", "above 0"]), (["--minutes", "nan"], ["--minutes"]),
    (["--minutes", "10min"], ["minutes", "'10min'"]), (["--objective", "detect"], ["classify or regress"]),
    (["epochs=3"], ["no setting 'epochs'", "kerasdl train"]), (["objective=regress"], ["--objective regress"]),
    (["data_args.label=kinds"], ["'kinds'"]), (["--label", "kind"], ["data_args.label=kind"]),
    (["--resume", "gone"], ["no interrupted search"])])
def test_mistakes_are_one_line(given, words, table, refused):
    label = [] if any("label" in word for word in given) else ["data_args.label=kind"]
    data = [] if "--resume" in given else [table, *label]
    refused("auto", *data, *given, words=words)


def test_what_is_learned_follows_from_the_labels_where_they_say_it(here):
    frame = pd.DataFrame({"a": range(20), "word": ["x", "y"] * 10, "price": np.arange(20) / 4, "rooms": range(20),
                          "sold": [True, False] * 10})
    frame.to_csv("rows.csv", index=False)
    found = [asked("rows.csv", [f"data_args.label={label}"]).objective for label in ("word", "price", "sold")]
    assert found == ["classify", "regress", "classify"]
    assert asked("rows.csv", ["data_args.label=price"]).base.monitor == "r2"
    with pytest.raises(UserError, match="--objective classify or --objective regress"):
        asked("rows.csv", ["data_args.label=rooms"])
    assert asked("rows.csv", ["data_args.label=rooms"], objective="regress").objective == "regress"


# Baselines as Keras models


@pytest.mark.parametrize("load, target", [(load_breast_cancer, "class"), (load_iris, "class"),
                                          (load_diabetes, "number")])
def test_boosted_trees_answer_as_scikit_learn_does(load, target, monkeypatch, tmp_path):
    monkeypatch.setattr(boosting, "MOST", 10)
    kept = []
    grown = boosting.grown
    monkeypatch.setattr(boosting, "grown", lambda model, rounds: kept.append((model, rounds)) or grown(model, rounds))
    x, y = load(return_X_y=True)
    splits = from_arrays(x, y, target=target)
    _, network, facts = boosting.boosted(splits, 60.0)
    network.save(tmp_path / "model.keras")
    model, rounds = kept[0]
    test = splits["test"]
    answers = np.asarray(load_model(tmp_path / "model.keras")(test.x))
    if target == "class":
        expected = list(model.staged_predict_proba(test.x))[rounds - 1]
        powers = np.exp(answers - answers.max(1, keepdims=True))
        np.testing.assert_allclose(powers / powers.sum(1, keepdims=True), expected, atol=1e-5)
    else:
        truth = splits["train"].y.astype("float64")
        expected = list(model.staged_predict(test.x))[rounds - 1] * truth.std() + truth.mean()
        np.testing.assert_allclose(answers[:, 0], expected, rtol=1e-5)
    assert facts["rounds"] == rounds


def test_a_threshold_in_float32_parts_numbers_as_in_float64():
    numbers = np.float32(np.random.default_rng(0).normal(size=1000))
    above = np.nextafter(numbers, np.float32(np.inf))
    between = (numbers.astype("float64") + above) / 2  # no float32: it rounds to one of the two
    rounded = trees.rounded_down(between)
    assert (numbers <= rounded).all() and (above > rounded).all() and (trees.rounded_down(
        numbers.astype("float64")) == numbers).all()


def test_a_class_that_is_in_no_training_example_is_never_predicted():
    rng = np.random.default_rng(0)
    splits = from_arrays(rng.normal(size=(60, 3)), np.arange(60) % 3, classes=["a", "b", "c"])
    train = splits["train"]
    splits = {**splits, "train": train.part(np.flatnonzero(train.y != 1))}
    for _, network, _ in (baselines.constant(splits), baselines.linear(splits), boosting.boosted(splits, 0.0)):
        answers = np.asarray(network(splits["test"].x))
        assert answers.shape[1] == 3 and (answers[:, 1] < answers[:, [0, 2]].min(1)).all()


def test_tf_idf_answers_as_scikit_learn_does(tmp_path):
    rng = np.random.default_rng(0)
    x, y = np.zeros((200, 12), "int32"), np.arange(200) % 3
    for row, label in zip(x, y, strict=True):
        count = rng.integers(2, 13)
        row[:count] = rng.integers(1, 40, count)
        row[0] = label + 1 if rng.random() < 0.8 else 5
    splits = from_arrays(x, y, kind="tokens")
    _, network, facts = baselines.words(splits)
    network.save(tmp_path / "model.keras")
    texts = {name: baselines.written(split) for name, split in splits.items()}
    words = TfidfVectorizer(tokenizer=str.split, token_pattern=None, lowercase=False, sublinear_tf=True,
                            ngram_range=(1, 2)).fit(texts["train"])
    model = LogisticRegression(C=facts["strength"], max_iter=1000).fit(words.transform(texts["train"]),
                                                                       splits["train"].y)
    loaded, x = load_model(tmp_path / "model.keras"), splits["test"].x
    expected = model.decision_function(words.transform(texts["test"]))
    for tokens in (x, np.pad(x, ((0, 0), (0, 7)))):
        np.testing.assert_allclose(np.asarray(loaded(tokens)), expected, atol=1e-4)


def test_ridge_regression_answers_in_the_units_of_the_targets():
    x, y = load_diabetes(return_X_y=True, scaled=False)
    splits = from_arrays(x, y, target="number")
    _, network, facts = baselines.linear(splits)
    scaler, train, test = StandardScaler().fit(splits["train"].x), splits["train"], splits["test"]
    model = Ridge(alpha=facts["alpha"]).fit(scaler.transform(train.x), train.y)
    np.testing.assert_allclose(np.asarray(network(test.x))[:, 0], np.ravel(model.predict(
        scaler.transform(test.x))), rtol=1e-4)


def test_other_strengths_are_tried_while_there_is_time():
    assert list(baselines.in_time((3, 2, 1), time.monotonic() + 60)) == [3, 2, 1]
    assert list(baselines.in_time((3, 2, 1), 0.0)) == [3]
    rng = np.random.default_rng(0)
    splits = from_arrays(rng.normal(size=(90, 3)) + 2 * np.eye(3)[np.arange(90) % 3], np.arange(90) % 3)
    only, best = (baselines.linear(splits, seconds=seconds)[2]["C"] for seconds in (-1.0, 600.0))
    assert only == linear_probe.STRENGTHS[3] != best


def test_linear_models_of_many_classes_take_fewer_examples(monkeypatch):
    """Each class has a row of weights, and each of their steps reads all examples."""
    monkeypatch.setattr(baselines, "MOST", 40_000)
    x = np.zeros((9000, 10), "float32")
    counts = {}
    for classes in (2, 10, 20, 100):
        train = from_arrays(x, np.arange(9000) % classes)["train"]
        counts[classes] = len(baselines.taken(train, 10, 0))
    assert counts == {2: 4000, 10: 4000, 20: 2000, 100: 1000}
    numbers = from_arrays(x, np.arange(270_000).reshape(9000, 30), target="number")
    assert len(baselines.taken(numbers["train"], 10, 0)) == 4000


# How sure a score is


def test_intervals_of_numbers_hold_the_score():
    rng = np.random.default_rng(0)
    truth = rng.normal(5, 2, (80, 1))
    outputs = truth + rng.normal(0, 1, truth.shape)
    low, high = scores.of_score("r2", "number", truth, outputs)
    assert low < r2_score(truth, outputs) < high < 1
    assert scores.of_difference("mae", "number", truth, outputs, outputs) == (0.0, 0.0)
    assert scores.of_difference("r2", "number", truth, outputs, truth * 0 + 5)[0] > 0


# The whole of it


def quick(patch):
    patch.setattr(defaults, "TABLE", {"row": TINY, "image": ()})
    patch.setattr(boosting, "MOST", 10)
    patch.setattr(trainings, "TRIALS", 1)
    patch.setattr(trainings.engine, "run", run_here)
    patch.setattr(combined, "chosen", lambda found, loss: [0, 1])
    patch.setattr(combined, "MARGIN", -1000)
    patch.setattr(sizes.exporting, "export", exported)


def run_here(study, *_, **__):
    """Run one trial of a search in this process: a new one would import TensorFlow for seconds."""
    lease = study.lease()
    outcome = trial.checked(trial.run(lease.task, lease.folder), lease.task["objective"])
    write_json(lease.folder / "outcome.json", outcome | {"attempt": lease.attempt, "seconds": 1.0})
    lease.release()


def failing(*_):
    raise UserError("a baseline that cannot be fitted")


def exported(run, form, *, quantize=None, out=None):
    """Stand for an export, whose file has a byte for each parameter and a hundred more."""
    count = run.result["parameters"]
    facts = {"format": form, "quantize": quantize, "file": "model.tflite", "bytes": count + 100, "scores": {}}
    out.mkdir(parents=True)
    write_json(out / "export.json", facts)
    return facts | {"folder": str(out)}


@pytest.fixture(scope="module")
def noisy(table, tmp_path_factory):
    """That table with some wrong labels, so that no model is perfect."""
    frame = pd.read_csv(table)
    wrong = np.arange(len(frame)) % 6 == 0
    frame["kind"] = np.where(wrong, np.where(frame["kind"] == "big", "small", "big"), frame["kind"])
    file = tmp_path_factory.mktemp("noisy") / "rows.csv"
    frame.to_csv(file, index=False)
    return file


@pytest.fixture(scope="module")
def searched(noisy, tmp_path_factory):
    """A search on a table that was stopped before its ensemble, and resumed; what it says, and its page."""
    home = tmp_path_factory.mktemp("searched") / "auto"
    wanted = asked(str(noisy), ["data_args.label=kind"], minutes=60)
    with pytest.MonkeyPatch.context() as patch:
        quick(patch)
        stop = SimpleNamespace(combine=lambda task: (_ for _ in ()).throw(KeyboardInterrupt))
        patch.setattr("kerasdl.auto.search.combined", stop)
        with pytest.raises(KeyboardInterrupt):
            auto(wanted, home)
        patch.setattr("kerasdl.auto.search.combined", combined)
        before = {file: file.stat().st_mtime_ns for file in home.glob("**/model.keras")}
        spent = json.loads((home / "progress.json").read_text())["spent"]
        found = auto(wanted, home)
        return SimpleNamespace(home=home, found=found, before=before, spent=spent, page=page.write(home, found),
                               wanted=wanted)


def test_everything_is_tried_in_its_order_and_validation_chooses(searched):
    rows = searched.found["candidates"]
    assert [(row["kind"], row["name"]) for row in rows][:6] == [
        ("baseline", "constant"), ("baseline", "linear"), ("baseline", "boosting"), ("default", "small"),
        ("search", "search/trials/0000"), ("ensemble", "ensemble")]
    best = max((row for row in rows if row["kind"] != "retrained"),
               key=lambda row: (row["val"]["accuracy"], row["kind"] == "baseline", -row["val"]["loss"]))
    assert searched.found["chosen"] in searched.found["verdict"]
    if rows[-1]["kind"] != "retrained":
        assert searched.found["chosen"] == best["name"]
    assert searched.found["splits"] == {"train": 140, "val": 20, "test": 40}


def test_all_candidates_have_the_same_splits(searched):
    prints = [Run(searched.home / row["name"]).data["examples"] for row in searched.found["candidates"]]
    assert all(each == prints[0] for each in prints) and set(prints[0]) == {"train", "val", "test"}


def test_the_test_split_is_read_for_the_winner_and_the_best_baseline_alone(searched):
    found = searched.found
    read = {row["name"] for row in found["candidates"] if "test" in Run(searched.home / row["name"]).result}
    assert read == {found["chosen"], found["baseline"]} == set(found["test"])
    assert read == {row["name"] for row in found["candidates"]
                    if predictions.read(Run(searched.home / row["name"])) is not None}
    for test in found["test"].values():
        assert test["interval"][0] <= test["scores"]["accuracy"] <= test["interval"][1]


def test_what_was_finished_before_the_interruption_is_not_made_again(searched):
    assert len(searched.before) == 5 and searched.spent > 0
    for file, written in searched.before.items():
        assert file.stat().st_mtime_ns == written
    assert searched.found["seconds"] >= searched.spent
    with pytest.raises(UserError, match="already holds a finished search"):
        auto(searched.wanted, searched.home)


def test_the_winner_and_the_best_baseline_predict(searched, noisy):
    for name in searched.found["test"]:
        run = Run(searched.home / name)
        answers = predict(run, [noisy])
        truth = pd.read_csv(noisy)["kind"]
        right = np.mean([found[0][0] == label for (_, found), label in zip(answers, truth, strict=True)])
        assert len(answers) == 200 and right > 0.6


def test_the_recipe_to_keep_is_one_that_trains(searched):
    kept = recipes.load(searched.found["recipe"])
    trained = [Run(searched.home / row["name"]).recipe for row in searched.found["candidates"]
               if row["kind"] in ("default", "search", "retrained")]
    assert kept.model_copy(update={"name": ""}) in [each.model_copy(update={"name": ""}) for each in trained]


def test_the_page_tells_the_whole_story(searched):
    text, found = searched.page.read_text(), searched.found
    for row in found["candidates"]:
        assert row["name"] in text
    assert float(re.search(r'id="test" value="([\d.]+)"', text)[1]) == found["test"][found["chosen"]]["scores"][
        "accuracy"]
    assert f"kerasdl predict {found['run']}" in text and "<svg" in text and "read once" in text
    for name in found["test"]:
        assert f'href="{name}/report.html"' in text and (searched.home / name / "report.html").is_file()


def test_an_interrupted_search_is_not_resumed_as_another(searched, noisy, tmp_path):
    shutil.copy(searched.home / "progress.json", tmp_path / "progress.json")
    with pytest.raises(UserError, match="seed 0 -> 1"):
        auto(asked(str(noisy), ["data_args.label=kind"], minutes=60, seed=1), tmp_path)
    grown = tmp_path / "grown.csv"
    grown.write_text(noisy.read_text() + noisy.read_text().splitlines()[-1] + "\n")
    begun = json.loads((searched.home / "progress.json").read_text())
    assert set(begun["examples"]) == {"train", "val", "test"}
    text = (searched.home / "progress.json").read_text().replace(str(noisy), str(grown))
    (tmp_path / "progress.json").write_text(text)
    with pytest.raises(UserError, match="The data has changed since .* was begun"):
        auto(asked(str(grown), ["data_args.label=kind"], minutes=60), tmp_path)
    grown.unlink()
    (tmp_path / "progress.json").rename(tmp_path / "letters.txt")
    with pytest.raises(UserError, match="holds something else"):
        auto(searched.wanted, tmp_path)


def test_only_what_is_small_enough_wins(tmp_path, monkeypatch):
    monkeypatch.setattr(sizes.exporting, "export", exported)
    skipped = {}
    ranked = [SimpleNamespace(name=name, run=SimpleNamespace(path=tmp_path / name, result={"parameters": count}))
              for name, count in (("best", 900), ("second", 450), ("third", 300))]

    def task(limit):
        return SimpleNamespace(asked=SimpleNamespace(max_kb=limit), ranked=lambda: ranked, skip=skipped.__setitem__,
                               home=tmp_path)

    assert sizes.winner(task(None)).name == "best"
    assert sizes.winner(task(0.5)).name == "third"
    assert not (tmp_path / "best").exists()  # parameters alone say that it is too large
    assert set(skipped) == {"best, as a file", "second, as a file"} and "0.6 KB" in skipped["second, as a file"]
    with pytest.raises(UserError, match=r"fits into 0\.31 KB .* third with 0\.4 KB.* --resume .* --max-kb 1\."):
        sizes.winner(task(0.31))
    with pytest.raises(UserError, match=r"third, by its parameters alone, with 0\.3 KB"):
        sizes.winner(task(0.2))
    before = Asked("digits", max_kb=0.31)
    replace(before, max_kb=1.0).check_continues(before, tmp_path)  # a larger limit continues with what there is
    (tmp_path / "progress.json").write_text(json.dumps({"asked": before.to_json()}))
    assert what_to_find(None, [], {"max_kb": "1"}, None, str(tmp_path))[0] == replace(before, max_kb=1.0)


@pytest.mark.parametrize("scores, kept", [((0.82, 0.90, 0.72), "linear"), ((0.80, 0.90, 0.70), "linear"),
                                          ((0.80, 0.90, 0.70 + 1e-7), "linear"), ((0.80, 0.90, 0.71), "mlp"),
                                          ((0.80, 0.81, 0.83), "retrained")])
def test_a_baseline_does_not_lose_to_the_luck_of_one_training(scores, kept):
    """It wins if it is as good as the best recipe is in the mean of two seeds."""
    some = [SimpleNamespace(name=name, kind=kind, val={"accuracy": score, "loss": 0.5}) for name, kind, score in zip(
        ("linear", "mlp", "retrained"), ("baseline", "search", "retrained"), scores, strict=True)]
    task = SimpleNamespace(monitor="accuracy", better="max", asked=SimpleNamespace(max_kb=None), candidates=some)
    task.rank = lambda each: Task.rank(task, each)
    task.ranked = lambda *kinds: Task.ranked(task, *kinds)
    found = sizes.decided(task, some[1], some[2])
    assert found.name == kept
    if kept == "linear":
        text = outcome.verdict(task, found, found, some[1])
        assert f"mlp, has 0.9000, and with another seed {scores[2]:.4f}: 0.8" in text


def test_the_verdict_says_why_a_better_one_did_not_win():
    def candidate(name, kind, accuracy, loss=0.5):
        return SimpleNamespace(name=name, kind=kind, val={"accuracy": accuracy, "loss": loss})

    def words(winner, limit=None, first=2):
        some = [candidate("linear", "baseline", 0.8), candidate("boosting", "baseline", 0.9),
                candidate("mlp", "default", 0.9, 0.1), candidate("retrained", "retrained", 0.85)][:3 + (winner == 3)]
        task = SimpleNamespace(monitor="accuracy", better="max", asked=SimpleNamespace(max_kb=limit), candidates=some)
        task.rank = lambda each: Task.rank(task, each)
        task.ranked = lambda *kinds: Task.ranked(task, *kinds)
        return outcome.verdict(task, some[winner], some[1], some[first])

    assert "A baseline wins: boosting" in words(1) and "mlp, has 0.9000, too: of equal scores" in words(1)
    small = words(3, 20.0)
    assert "mlp, trained once more, wins" in small and "boosting, has 0.9000, and is too large" in small
    assert "A baseline wins: linear" in words(0, 5.0) and "mlp, has 0.9000, and is too large for 5 KB" in words(0, 5.0)


def test_with_minutes_too_few_the_baselines_are_given_in_words(table, command, monkeypatch):
    quick(monkeypatch)
    for name in ("linear", "boosted"):
        monkeypatch.setattr(boosting if name == "boosted" else baselines, name, failing)
    done = command("auto", table, "data_args.label=kind", "--minutes", "0.001", "--workdir", "few", "--json",
                   "--no-report")
    assert done.code == 0
    found = json.loads(done.out)
    assert set(found) == {"run", "report", "result"} and found["report"] is None
    assert {row["kind"] for row in found["result"]["candidates"]} == {"baseline"}
    assert found["result"]["verdict"].startswith("A baseline wins") and found["result"]["recipe"] is None
    assert any("No network was trained" in remark for remark in found["result"]["remarks"])
    assert {"small", "ensemble", "linear", "boosting"} <= {row["name"] for row in found["result"]["not_started"]}
    assert predict(found["run"], [table])


def test_a_number_is_predicted_and_its_winner_is_trained_once_more(here, command, monkeypatch):
    quick(monkeypatch)
    monkeypatch.setattr(trainings, "TRIALS", 0)
    monkeypatch.setattr(trainings.timing, "pace", lambda *_: Pace(0.1, 0.1))
    monkeypatch.setattr(defaults, "TABLE", {"row": (defaults.Family("small", {**TINY[0].fields, "epochs": 12}),)})
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (200, 2)).round(3)
    pd.DataFrame(x, columns=["a", "b"]).assign(y=(np.sin(3 * x[:, 0]) * x[:, 1]).round(4)).to_csv("y.csv", index=False)
    for name in ("linear", "boosted"):  # so that the network wins
        monkeypatch.setattr(boosting if name == "boosted" else baselines, name, failing)
    done = command("auto", "y.csv", "data_args.label=y", "--workdir", "auto", "--no-report")
    assert done.code == 0, done.err
    found = json.loads((here / "auto/auto.json").read_text())
    assert found["score"] == "r2" and [row["kind"] for row in found["candidates"]][-2:] == ["default", "retrained"]
    seeds = [Run(here / "auto" / name).recipe.seed for name in ("small", "retrained")]
    assert seeds == [0, 1] and "another seed" in found["luck"] and found["ahead"][0] < found["ahead"][1]
    assert "kerasdl predict auto/" in done.out and "small" in done.out


def digest(file):
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def test_texts_are_read_by_a_network_that_knows_them_in_its_own_tokens(here, command, monkeypatch):
    """Frozen and fine-tuned, on the same texts as the others; what is put together reads the same tokens."""
    rng = np.random.default_rng(0)
    words, labels = np.array(["warm", "cold", "wet", "dry", "tea", "milk"]), np.arange(120) % 2
    frame = pd.DataFrame({"text": [" ".join(rng.choice(words[label::2], 12)) for label in labels],
                          "kind": np.where(labels, "odd", "even")})
    frame.to_csv("texts.csv", index=False)
    monkeypatch.setenv("KERASDL_CACHE", str(here / "cache"))
    cache, size = public.folder() / "minilm", {"size": "mu", "norm": "post", "types": 2, "longest": 24}
    cache.mkdir(parents=True)
    words = " ".join(f"word{number}" for number in range(VOCABULARY))
    tokens = Tokens.of(TokenArgs(vocabulary=VOCABULARY), [*frame["text"], words])
    (cache / "tokenizer.json").write_text(tokens.text)
    save_file(tensors(), cache / "model.safetensors")
    monkeypatch.setattr(public, "KNOWN", {"minilm": replace(
        public.KNOWN["minilm"], args=size | {"vocabulary": VOCABULARY}, checksum=digest(cache / "model.safetensors"),
        also={"minilm/tokenizer.json": digest(cache / "tokenizer.json")})})
    recipe = recipes.load("minilm_text").override(model_args={**size, "weights": "minilm"}, epochs=2, lr=1e-2)
    monkeypatch.setattr(language, "RECIPE", str(here / "tiny.json"))
    (here / "tiny.json").write_text(recipe.model_dump_json())
    quick(monkeypatch)
    monkeypatch.setattr(defaults, "TABLE", {"tokens": ()})
    monkeypatch.setattr(trainings.timing, "pace", lambda *_: Pace(0.1, 0.1))
    done = command("auto", "text:texts.csv", "data_args.text=text", "data_args.label=kind", "--workdir", "auto",
                   "--no-report")
    assert done.code == 0, done.err
    found = json.loads((here / "auto/auto.json").read_text())
    kinds = {row["name"]: row["kind"] for row in found["candidates"]}
    assert kinds | {"retrained": ""} == {"constant": "baseline", "tf_idf": "baseline", "frozen_minilm": "baseline",
                                         "minilm": "default", "retrained": "", "ensemble": "ensemble"}
    members = [each["recipe"] for each in Run(here / "auto" / "ensemble").result["members"]]
    assert sorted(members) == ["frozen_minilm", "minilm"], "they read the same tokens"
    frozen, counted = Run(here / "auto" / "frozen_minilm"), Run(here / "auto" / "tf_idf")
    assert frozen.recipe.data_args["tokens"] == "minilm" and "tokens" not in counted.recipe.data_args
    assert frozen.result["val"]["accuracy"] == 1.0
    assert [answers[0][0] for _, answers in predict(frozen, [here / "texts.csv"])] == list(frame["kind"])


def test_an_ensemble_takes_what_improves_it():
    truth = np.array([0, 0, 1, 1])
    sure = np.log(np.array([[0.9, 0.1], [0.4, 0.6], [0.1, 0.9], [0.4, 0.6]]))
    other = np.log(np.array([[0.6, 0.4], [0.9, 0.1], [0.4, 0.6], [0.1, 0.9]]))
    wrong = sure[:, ::-1]
    loss = partial(combined.mixed_entropy, truth=truth)
    assert combined.chosen([sure, wrong, other], loss) == [0, 2]
    assert combined.chosen([sure, wrong], loss) == [0]
    numbers, high, low = np.array([[1.0], [2.0], [4.0]]), np.array([[0.2], [0.3], [0.1]]), np.array([[-0.3]] * 3)
    error = partial(combined.squared_error, truth=numbers)
    assert combined.chosen([numbers + high, numbers + 9, numbers + low], error) == [0, 2]
    assert error([numbers + 3]) == pytest.approx(9 / numbers.var())


def test_an_ensemble_two_examples_better_is_enough():
    """Whatever float32 makes of the scores."""
    shares = SimpleNamespace(monitor="accuracy", better="max")
    for count in range(20, 120):
        one, two = (np.float32((count // 2 + more) / count) for more in (1, 2))
        assert combined.enough(shares, float(two), float(np.float32((count // 2) / count)), count)
        assert not combined.enough(shares, float(one), float(np.float32((count // 2) / count)), count)
    for monitor, better, score in (("loss", "min", 0.49), ("auc", "max", 0.51), ("r2", "max", 0.51)):
        errors = SimpleNamespace(monitor=monitor, better=better)
        assert combined.enough(errors, score, 0.5, 100) and not combined.enough(errors, (score + 0.5) / 2, 0.5, 100)


def test_a_training_that_runs_out_of_memory_is_skipped(tmp_path, monkeypatch):
    def full(*_):
        raise MemoryError

    skipped = {}
    task = SimpleNamespace(home=tmp_path, skip=skipped.__setitem__, asked=SimpleNamespace(max_kb=None),
                           splits_of=lambda recipe: {})
    Task.add(task, "large", "default", full)
    monkeypatch.setattr(trainings.timing, "pace", full)
    assert trainings.planned_for(task, [recipes.load("mlp_digits")], (9.0,)) is None
    assert skipped == {"large": "out of memory", "mlp_digits": "not started: out of memory"}


def test_what_cannot_end_in_time_is_not_begun():
    pace = Pace(starting=10.0, epoch=2.0)
    assert pace.epochs(100.0, 500) * 2 + 15 <= 100 and pace.epochs(100.0, 5) == 5 and pace.epochs(12.0, 5) == 0


def test_nothing_is_searched_where_validation_data_can_show_no_better_one(tmp_path):
    skipped = {}
    perfect = SimpleNamespace(name="linear", val={"accuracy": 1.0})
    trainings.search(SimpleNamespace(home=tmp_path, ranked=lambda *_: [perfect], better="max", monitor="accuracy",
                                     asked=SimpleNamespace(max_kb=None), skip=skipped.__setitem__), TINY)
    assert "no mistake on validation data" in skipped["search"] and not list(tmp_path.iterdir())


def default(home, space, **changes):
    """A task that has trained one network, of 80 KB in 8 bits."""
    run = SimpleNamespace(path=home / "small", recipe=recipes.load("mlp_digits"))
    best = SimpleNamespace(name="small", run=run, seconds=1.0, val={"accuracy": 0.9})
    task = SimpleNamespace(home=home, ranked=lambda *_: [best], better="max", monitor="accuracy", left=100.0,
                           base=run.recipe, asked=SimpleNamespace(max_kb=70.0, seed=0), skipped={}, save=lambda: None)
    task.skip = task.skipped.__setitem__
    vars(task).update(changes)
    return task, (defaults.Family("small", {}, space),)


def test_a_network_that_is_too_large_is_not_trained_otherwise(tmp_path, monkeypatch):
    monkeypatch.setattr(sizes, "as_file", lambda candidate: {"bytes": 80_000})
    task, families = default(tmp_path, {"lr": log(1e-3, 1e-1)})
    assert trainings.around_best(task, families) is None and "80.0 KB, more than 70" in task.skipped["search"]
    assert trainings.around_best(*default(tmp_path, {"model_args.width": choice(8, 16)})).limits["int8_kb"] == 70
    task.asked.max_kb = 90.0
    assert trainings.around_best(task, families).limits["int8_kb"] == 90

    def refused(candidate):
        raise UserError("the converter failed")

    monkeypatch.setattr(sizes, "as_file", refused)
    assert trainings.around_best(task, families) is None and "the converter failed" in task.skipped["search"]


@pytest.mark.parametrize(("limit", "width"), [(50.0, None), (20.0, 128), (8.0, 32), (1.0, 0)])
def test_a_limit_on_size_takes_a_smaller_network_of_the_family(monkeypatch, limit, width):
    monkeypatch.setattr(trainings.timing, "pace", lambda *_: Pace(0.1, 0.1))
    base, skipped = recipes.load("mlp_digits"), {}
    splits, family = load_splits("digits", {"train": "train"}), defaults.TABLE["row"][0]
    task = SimpleNamespace(asked=SimpleNamespace(max_kb=limit), splits_of=lambda recipe: splits,
                           skip=skipped.__setitem__, objective=objectives.of(base))
    some = defaults.recipes_of(family, base, splits["train"])
    found = trainings.planned_for(task, some, (100.0,))
    assert (found.model_args.get("width") if found else 0) == width
    assert found or "2,410 parameters take more than 1 KB" in skipped["mlp"]


def test_a_limit_on_a_backend_without_converters_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(UserError, match="KERAS_BACKEND=tensorflow"):
        auto(Asked("digits", max_kb=50.0), "nowhere")


def test_a_search_ends_in_its_time_and_where_there_is_no_other_trial(tmp_path, monkeypatch):
    """One process that others are forked from serves all trials, and none begins that could not end."""
    task, families = default(tmp_path, {"model_args.width": choice(8, 16)})
    runs, connected = [], []
    monkeypatch.setattr(trainings.preflight, "check", lambda search: None)
    monkeypatch.setattr(trainings.ray_cluster, "connect", lambda *given: connected.append(given) or ([], "start"))

    def run(study, shares, *, deadline, start, **_):
        runs.append((study.search.trials, round(deadline - time.monotonic()), study.end - time.monotonic(), start))
        if len(runs) < 3:
            folder = study.home / f"{len(runs)}"
            folder.mkdir(parents=True)
            write_json(folder / "task.json", {"values": {}, "attempt": 1, "rung": None})
            write_json(folder / "outcome.json", {"status": "failed", "attempt": 1, "again": False, "seconds": 50.0})

    monkeypatch.setattr(trainings.engine, "run", run)
    trainings.search(task, families)
    assert connected == [(None, 1)] and [trials for trials, *_ in runs] == [1, 2, 3]
    assert all(left == 99 and start == "start" for _, left, _, start in runs)
    assert [round(end) for _, _, end, _ in runs] == [82, 33, 33]  # 99 less 1.3 times 13, then 51 seconds
    assert load_search(tmp_path / "search" / "search.json").trials == 3


@pytest.mark.parametrize("overrides, monitor, args, smoothed", [
    ((), "balanced_accuracy", {"class_weight": "balanced"}, 0.1),
    (("monitor=accuracy",), "accuracy", {}, 0.1),
    (("monitor=accuracy", "objective_args.label_smoothing=0.2"), "accuracy", {"label_smoothing": 0.2}, 0.2),
    (("objective_args.class_weight=null",), "balanced_accuracy", {"class_weight": None}, 0.1)])
def test_networks_for_photographs_have_the_settings_of_all_candidates(overrides, monitor, args, smoothed, tmp_path,
                                                                      monkeypatch):
    """Heads are fitted in their share of the time."""
    tiny_weights(tmp_path, monkeypatch)
    given, tuned = [], []
    monkeypatch.setattr(fitted, "frozen", lambda *all: given.append((all[0], all[-1] - time.monotonic())))
    monkeypatch.setattr(photographs, "one", lambda task, recipes, *_: tuned.extend(recipes))
    asked = Asked(f"folder:{images(tmp_path / 'photographs', {'across': 24, 'steep': 6})}", overrides=overrides)
    base = photographs.base_of(asked)
    task = SimpleNamespace(base=base, asked=asked, home=tmp_path, left=1000.0, add=lambda name, kind, make: make(name),
                           splits=load_splits(base.data, SPLITS, **base.data_args), ranked=lambda kind: [
                               SimpleNamespace(name="frozen_tiny", run=SimpleNamespace(path=tmp_path))])
    photographs.pretrained(task)
    ((frozen, seconds),), (tuned,) = given, tuned
    assert (base.monitor, base.objective_args) == (monitor, args) == (frozen.monitor, frozen.objective_args)
    assert (tuned.monitor, tuned.objective_args) == (monitor, {"label_smoothing": smoothed} | args)
    assert 0 < seconds <= 1000 * photographs.SHARE


@pytest.mark.soak
def test_photographs_begin_with_the_weights_at_hand(tmp_path, monkeypatch):
    quick(monkeypatch)
    monkeypatch.setattr(of_photos, "MOST", {"fine-tuned": 1, "from scratch": 1})
    monkeypatch.setattr(of_photos, "FEWEST", 1)
    tiny_weights(tmp_path, monkeypatch)
    folder = images(tmp_path / "photographs", {"across": 20, "steep": 16})
    found = auto(asked(str(folder), minutes=60), tmp_path / "auto")
    assert {row["name"]: row["kind"] for row in found["candidates"]} | {"ensemble": 0, "retrained": 0} == {
        "constant": "baseline", "linear": "baseline", "frozen_tiny": "baseline", "finetuned_tiny": "default",
        "ensemble": 0, "retrained": 0}
    tuned = Run(tmp_path / "auto" / "finetuned_tiny")
    assert "logits" in tuned.origin["taken"] and tuned.data["shape"] == [64, 64, 3]
