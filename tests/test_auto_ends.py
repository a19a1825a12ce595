"""How `kerasdl auto` ends: undefined scores, a second training without time, a failed baseline, another folder."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from test_auto import TINY, failing, quick, run_here
from test_photos import tiny_weights

from kerasdl.auto import baselines, boosting, defaults, outcome, photographs, scores, trainings
from kerasdl.auto.asked import asked
from kerasdl.auto.search import auto
from kerasdl.auto.task import Task
from kerasdl.errors import UserError
from kerasdl.evaluation import resampling
from kerasdl.recipe import SEEDS, Recipe
from kerasdl.run import Run
from kerasdl.tuning import Search, choice


def rows(count=80):
    """A table with a word and a number to learn."""
    x = np.random.default_rng(0).normal(size=(count, 2)).round(3)
    return pd.DataFrame(x, columns=["a", "b"]).assign(fraud=np.where(x[:, 0] > 0.3, "yes", "no"), y=x.sum(1) + 0.5)


def test_a_score_that_the_test_rows_do_not_have_is_refused_before_anything_is_fitted(here):
    frame = rows()
    frame.drop(columns="y").to_csv("fraud.csv", index=False)
    frame[frame["fraud"] == "no"].drop(columns="y").to_csv("may.csv", index=False)
    frame.drop(columns="fraud").to_csv("price.csv", index=False)
    frame.drop(columns="fraud").head(20).assign(y=2.5).to_csv("june.csv", index=False)
    for data, wanted in (("fraud.csv", ["data_args.label=fraud", "data_args.test=may.csv", "monitor=auc"]),
                         ("price.csv", ["data_args.label=y", "data_args.test=june.csv"])):
        with pytest.raises(UserError, match="is undefined on the test split"):
            auto(asked(data, wanted), here / "auto")
        assert not list((here / "auto").glob("*/model.keras"))
    constant = np.full((9, 1), 0.1, "float32")
    assert np.isnan(scores.shares_of_variance(constant + 1, constant)).all()


def drawn_rows(score, *arrays):
    """Return the ends of the middle 95 % of a score of resampled rows."""
    rng = np.random.default_rng(1)
    rows = rng.integers(len(arrays[0]), size=(1000, len(arrays[0])))
    return np.percentile([score(*(each[index] for each in arrays)) for index in rows], [2.5, 97.5])


def test_sums_that_are_drawn_give_the_intervals_of_rows_that_are_drawn(monkeypatch):
    """Of numbers with heavy tails, within 3 standard errors of the ends."""
    rng = np.random.default_rng(0)
    truth = rng.lognormal(0, 1, (300, 1))
    outputs, others = (truth + rng.standard_t(3, truth.shape) * size for size in (0.5, 0.6))

    def r2(truth, outputs):
        return 1 - np.square(truth - outputs).sum() / np.square(truth - truth.mean()).sum()

    def loss(truth, outputs):
        return np.square(truth - outputs).mean()

    def mae(truth, outputs):
        return np.abs(truth - outputs).mean()

    for rows in (resampling.ROWS, 250):  # all of them drawn, or the sum of some of them
        monkeypatch.setattr(resampling, "ROWS", rows)
        monkeypatch.setattr(resampling, "ALONE", 30)
        for name, score in (("r2", r2), ("loss", loss), ("mae", mae)):
            wanted = drawn_rows(score, truth, outputs)
            assert scores.of_score(name, "number", truth, outputs) == pytest.approx(wanted, abs=0.1 * np.ptp(wanted))
            wanted = drawn_rows(lambda *three, score=score: score(*three[:2]) - score(three[0], three[2]), truth,
                                outputs, others)
            found = scores.of_difference(name, "number", truth, outputs, others)
            assert found == pytest.approx(wanted, abs=0.1 * np.ptp(wanted))


def test_a_second_training_that_the_time_ends_does_not_count(tmp_path, monkeypatch):
    """Its seed is the next one, of which the first comes after the last."""
    winner = SimpleNamespace(run=SimpleNamespace(recipe=Recipe(model="mlp", data="digits", epochs=9, seed=SEEDS - 1),
                                                 result={"train": {"seconds": 1.0, "epochs": 9}}))
    skipped, trained = {}, []
    task = SimpleNamespace(home=tmp_path, left=100.0, skip=skipped.__setitem__, ranked=lambda *_: [],
                           here=lambda recipe: recipe)
    task.add = lambda *given: Task.add(task, *given)

    def train(recipe, *, workdir, callbacks, **_):
        trained.append(recipe)
        workdir.mkdir()
        (workdir / "result.json").write_text('{"status": "completed"}')
        callbacks[0].ended = 2
        return SimpleNamespace(result={"status": "completed", "val": {}})

    monkeypatch.setattr(trainings, "train", train)
    assert trainings.again(task, winner) is None and trained[0].seed == 0
    assert "not finished in the time left" in skipped["retrained"] and "epoch 2 of 9" in skipped["retrained"]
    assert not (tmp_path / "retrained").exists(), "a resumed search would take it as a whole training"


def test_a_baseline_that_raises_is_skipped(tmp_path):
    def raising(path):
        raise ValueError("This solver needs samples of\nat least 2 classes")

    skipped = {}
    Task.add(SimpleNamespace(home=tmp_path, skip=skipped.__setitem__), "linear", "baseline", raising)
    assert skipped == {"linear": "This solver needs samples of at least 2 classes"}


@pytest.mark.parametrize("shape", [(32, 48, 3), (32, 32, 1)])
def test_frozen_networks_are_for_squares_in_colour(shape, tmp_path, monkeypatch):
    tiny_weights(tmp_path, monkeypatch)
    skipped = {}
    photographs.pretrained(SimpleNamespace(base=Recipe(model="linear", data="folder:nowhere"),
                                           splits={"train": SimpleNamespace(shape=shape)}, skip=skipped.__setitem__))
    assert f"images here are {shape}" in skipped["frozen networks"]


def test_a_recipe_whose_training_was_cut_says_so():
    def candidate(note):
        run = SimpleNamespace(recipe=Recipe(name="mlp", model="mlp", data="csv:rows.csv", epochs=50))
        return SimpleNamespace(name="mlp", trains=True, run=run, note=note)

    task = SimpleNamespace(base=Recipe(model="linear", data="csv:rows.csv"), asked=SimpleNamespace(minutes=1.0))
    for note, words in (("seed 1, ended by the budget after epoch 3 of 50", "ended by the budget after epoch 3 of 50"),
                        ("seed 1", "kerasdl auto, 1 minutes.\"\"\"")):
        first = outcome.recipe_to_keep(task, candidate(note)).splitlines()[0]
        assert words in first and "seed" not in first


def test_it_is_resumed_from_another_folder_and_gets_the_page_that_it_lacks(here, command, monkeypatch):
    """The baselines but one fail, so that a network wins and is trained again there."""
    quick(monkeypatch)
    monkeypatch.setattr(defaults, "TABLE", {"row": (replace(TINY[0], fields={**TINY[0].fields, "epochs": 8}),)})
    for module, name in ((baselines, "linear"), (boosting, "boosted")):
        monkeypatch.setattr(module, name, failing)
    frame = rows(200).drop(columns="y")
    frame["fraud"] = np.where((frame["a"] > 0) ^ (np.arange(200) % 6 == 0), "yes", "no")  # no model is perfect
    for name in ("began", "later"):
        (here / name).mkdir()
    frame.head(160).to_csv("began/rows.csv", index=False)
    frame.tail(40).to_csv("began/test.csv", index=False)
    monkeypatch.chdir(here / "began")
    wanted = asked("rows.csv", ["data_args.label=fraud", "data_args.test=test.csv"], minutes=60)
    monkeypatch.setattr(trainings.engine, "run", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        auto(wanted, "home")
    assert not list(Path("home").glob("search/trials/*/result.json"))
    monkeypatch.setattr(trainings.engine, "run", run_here)
    monkeypatch.setattr("kerasdl.auto.search.combined", SimpleNamespace(combine=lambda task: None))
    monkeypatch.chdir(here / "later")
    done = command("auto", "--resume", "../began/home", "--no-report")
    assert done.code == 0, done.err
    found = json.loads((here / "began/home/auto.json").read_text())
    assert {"default", "search", "retrained"} <= {row["kind"] for row in found["candidates"]}, found["verdict"]
    assert not (here / "began/home/report.html").exists()
    monkeypatch.setattr("kerasdl.auto.search.auto", None)
    monkeypatch.chdir(here)
    again = command("auto", "--resume", "began/home", "--json")
    assert again.code == 0, again.err
    shown = json.loads(again.out)
    assert Path(shown["report"]).samefile("began/home/report.html") and Run(Path(shown["run"])).result["test"]
    assert shown["result"]["test"] == found["test"]


@pytest.mark.parametrize("ending", ["jsonl", "ndjson"])
def test_labels_of_json_lines_say_what_is_learned_as_those_of_a_table_do(here, ending):
    frame = pd.DataFrame({"text": ["one two", "three"] * 10, "word": ["x", "y"] * 10, "price": np.arange(20) / 4,
                          "stars": np.arange(20) % 5})
    frame.to_json(f"texts.{ending}", orient="records", lines=True)

    def found(label, **more):
        return asked(f"texts.{ending}", ["data_args.text=text", f"data_args.label={label}"], **more).objective

    assert (found("word"), found("price")) == ("classify", "regress")
    with pytest.raises(UserError, match="'stars' holds 5 different whole numbers.*--objective"):
        found("stars")
    assert found("stars", objective="classify") == "classify"


def test_a_trial_that_was_killed_finds_its_data_from_another_folder(tmp_path):
    recipe = Recipe(model="mlp", data="csv:t.csv")
    trials = [Run.create(recipe, tmp_path / "trials" / name).path for name in ("0000", "0001")]
    (trials[1] / "result.json").write_text("{}", encoding="utf-8")
    file = tmp_path / "search.json"
    file.write_text(Search(recipe, {"lr": choice(0.1, 0.2)}).to_json(), encoding="utf-8")
    task = SimpleNamespace(home=tmp_path, here=lambda given: given.override(data="csv:/data/t.csv"))
    assert trainings.begun(task, file).recipe == Run(trials[0]).recipe == task.here(recipe)
    assert Run(trials[1]).recipe == recipe  # as it was trained
