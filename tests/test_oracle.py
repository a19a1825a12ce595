"""Each oracle gives what it promises, whatever dies. tests/test_keras_tuner.py tells why keras-tuner's own do not."""

import json
import math
import random
from collections import Counter
from contextlib import contextmanager

import pytest
from keras_tuner import Objective
from keras_tuner.oracles import HyperbandOracle

from kerasdl import run as runs
from kerasdl.errors import UserError
from kerasdl.recipe import Recipe
from kerasdl.tuning import Search, build, choice, integer, load, log, uniform
from kerasdl.tuning.hyperband import rung
from kerasdl.tuning.oracle import make

RECIPE = Recipe(name="mlp", model="mlp", data="digits", epochs=9)
GRID = {"optimizer": choice("adamw", "sgd"), "momentum": choice(0.0, 0.5, 0.9).when(optimizer="sgd"),
        "weight_decay": choice(0.0, 0.1).when(momentum=[0.5, 0.9]), "model_args.drop": uniform(0, 0.5, step=0.1),
        "jit": choice(None, True)}
CELLS = (1 + 1 + 2 + 2) * 6 * 2
SMALL = {"batch": choice(16, 32, 64, 128), "lr": choice(0.001, 0.01, 0.1, 1.0), "optimizer": choice("adamw", "sgd")}
RANGES = {"lr": log(1e-4, 1e-1), "weight_decay": uniform(0, 1), "optimizer": choice("adamw", "sgd"),
          "momentum": uniform(0, 0.9).when(optimizer="sgd"), "batch": integer(16, 512, log=True)}


def search(oracle, space=None, **changes):
    return Search(**{"recipe": RECIPE, "space": space or RANGES, "oracle": oracle, **changes})


def score(values):
    """A surface with one best point."""
    return 1 / (1 + abs(math.log10(values.get("lr", 0.01)) + 2) + abs(values.get("weight_decay", 0.3) - 0.3)
                + abs(values.get("momentum", 0.5) - 0.5) + abs(values.get("batch", 64) - 64) / 100)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """Nothing here cuts the power."""
    monkeypatch.setattr("os.fsync", lambda file: None)


class Killed(BaseException):
    """What takes the parent away."""


class Parent:
    """A search with several workers, of which some trials fail, and which can be killed and started again."""

    def __init__(self, made, folder, workers=1, seed=0, failing=0.0):
        self.made, self.folder, self.workers, self.failing = made, folder, workers, failing
        self.random = random.Random(seed)
        self.begun, self.started = Counter(), 0
        self.again()

    def again(self):
        self.oracle = make(self.made, self.folder)
        self.oracle.reload()
        self.running = []

    def step(self):
        """Give a trial to each free worker, and end one; False when all is done."""
        status = "RUNNING"
        while len(self.running) < self.workers and status == "RUNNING":
            self.started += 1
            trial = self.oracle.create_trial(f"worker{self.started}")
            status = trial.status
            if status == "RUNNING":
                self.running.append(trial)
                self.begun[trial.trial_id] += 1
        if not self.running:
            assert status == "STOPPED"
            return False
        trial = self.running.pop(self.random.randrange(len(self.running)))
        self.oracle.update_trial(trial.trial_id, {"val/accuracy": self.score(trial)}, step=1)
        trial.status = "FAILED" if self.random.random() < self.failing else "COMPLETED"
        self.oracle.end_trial(trial)
        return True

    def score(self, trial):
        return score(self.made.values(trial.hyperparameters))

    def finish(self):
        while self.step():
            pass
        return self

    @property
    def trials(self):
        return [self.made.values(trial.hyperparameters) for trial in self.oracle.trials.values()]

    @property
    def scores(self):
        return {name: (trial.status, trial.score) for name, trial in self.oracle.trials.items()}


def distinct(trials):
    return {repr(sorted(values.items())) for values in trials}


@pytest.mark.parametrize("workers", [1, 4])
def test_grid_is_the_cartesian_product_once(workers, tmp_path):
    done = Parent(search("grid", GRID), tmp_path, workers, failing=0.2).finish()
    assert len(done.trials) == len(distinct(done.trials)) == CELLS
    assert distinct(done.trials) == distinct(done.made.cells())
    assert set(done.begun.values()) == {1}


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("oracle, space, limit", [
    ("grid", GRID, None), ("random", RANGES, 12), ("random", SMALL, 32), ("bayesian", SMALL, 12),
    ("hyperband", RANGES, None)])
def test_killed_anywhere_nothing_is_lost_or_counted_twice(oracle, space, limit, workers, tmp_path, monkeypatch):
    """The parent dies before or after a random file is written, again and again."""
    whole = runs.whole
    dice = random.Random(1)

    def dying(path):
        with whole(path) as partial:
            yield partial
            if dice.random() < 0.04:
                raise Killed
        if dice.random() < 0.04:
            raise Killed

    made = search(oracle, space, trials=limit)
    once = Parent(made, tmp_path / "once", 1).finish()
    monkeypatch.setattr(runs, "whole", contextmanager(dying))
    parent, kills, lost = Parent(made, tmp_path / "killed", workers), 0, 0
    while True:
        try:
            if not parent.step():
                break
        except Killed:
            kills += 1
            lost += len(parent.running) + 1
            parent.again()
    assert kills >= 5
    assert len(parent.trials) == len(once.trials)
    assert sum(parent.begun.values()) - len(parent.begun) <= lost
    assert {status for status, _ in parent.scores.values()} == {"COMPLETED"}
    assert len(parent.oracle.end_order) == len(set(parent.oracle.end_order)) == len(parent.trials)
    if oracle != "hyperband":
        assert len(distinct(parent.trials)) == len(parent.trials)
    if workers == 1:
        assert parent.trials == once.trials and parent.scores == once.scores


@pytest.mark.parametrize("oracle, space, limit", [
    ("grid", GRID, None), ("random", RANGES, 15), ("bayesian", RANGES, 12), ("hyperband", RANGES, None)])
def test_same_seed_same_trials(oracle, space, limit, tmp_path):
    made = {seed: [Parent(search(oracle, space, trials=limit, seed=seed), tmp_path / f"{seed}{turn}",
                          failing=0.1).finish() for turn in range(2)] for seed in (0, 1)}
    for one, two in made.values():
        assert one.trials == two.trials and one.scores == two.scores
    if oracle != "grid":
        assert not distinct(made[0][0].trials) & distinct(made[1][0].trials)


@pytest.mark.parametrize("oracle", ["random", "bayesian"])
@pytest.mark.parametrize("workers", [1, 4])
def test_25_trials_on_32_cells_are_25_points(oracle, workers, tmp_path):
    done = Parent(search(oracle, SMALL, trials=25), tmp_path, workers, failing=0.1).finish()
    assert len(done.trials) == len(distinct(done.trials)) == 25


@pytest.mark.parametrize("oracle", ["random", "bayesian"])
def test_a_small_space_is_tried_whole_and_then_the_search_ends(oracle, tmp_path):
    space = {"batch": choice(16, 32), "optimizer": choice("adamw", "sgd"),
             "momentum": choice(0.0, 0.5, 0.9).when(optimizer="sgd"), "seed": integer(3, 3)}
    done = Parent(search(oracle, space, trials=99), tmp_path).finish()
    assert len(done.trials) == len(distinct(done.trials)) == 2 * (1 + 3)


@pytest.mark.parametrize("seed", [0, 4, 5])
def test_a_value_that_has_a_range_below_it_does_not_end_the_search(seed, tmp_path):
    """Five of six values have nothing below them, and are soon tried."""
    space = {"label_smoothing": choice(0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
             "model_args.drop": uniform(0, 0.5).when(label_smoothing=0.0)}
    done = Parent(search("random", space, trials=30, seed=seed), tmp_path).finish()
    assert len(done.trials) == len(distinct(done.trials)) == 30


def test_the_limit_may_grow(tmp_path):
    for trials in (5, 12, 72):
        done = Parent(search("grid", GRID, trials=trials), tmp_path).finish()
        assert len(done.trials) == trials and done.oracle.remaining_trials() == 0
    assert distinct(done.trials) == distinct(done.made.cells())
    assert list(done.oracle.trials)[:2] == ["0000", "0001"]


def test_bayesian_finds_more_than_random(tmp_path):
    """A sample of benchmarks/tuning.py: on Branin, from the same number of trials, several times nearer to the best."""
    from statistics import median

    from benchmarks import tuning

    surface = tuning.surfaces()["Branin"]
    regret = {oracle: median(min(tuning.ours(oracle, surface, seed, 24)) - surface.lowest for seed in range(3))
              for oracle in ("random", "bayesian")}
    assert regret["bayesian"] < regret["random"] / 5


def test_hyperband_brackets_are_the_papers(tmp_path):
    """Of each round the best third goes on three times as long, to the same values."""
    done = Parent(search("hyperband"), tmp_path, 3).finish()
    places = Counter((trial.hyperparameters.values["tuner/bracket"], rung(trial).epochs)
                     for trial in done.oracle.trials.values())
    sizes = HyperbandOracle(objective=Objective("a", "max"), max_epochs=9)._get_size
    assert places == {(bracket, 9 // 3 ** (bracket - turn)): sizes(bracket, turn)
                      for bracket in (2, 1, 0) for turn in range(bracket + 1)}
    for trial in done.oracle.trials.values():
        parent = rung(trial).parent
        if parent:
            before = done.oracle.trials[parent]
            assert done.made.values(before.hyperparameters) == done.made.values(trial.hyperparameters)
            assert rung(before).epochs * 3 == rung(trial).epochs
            assert not any(key.startswith("tuner/") for key in done.made.values(trial.hyperparameters))
    promoted = {rung(trial).parent for trial in done.oracle.trials.values()} - {None}
    first = [trial for trial in done.oracle.trials.values() if trial.hyperparameters.values["tuner/bracket"] == 2
             and trial.hyperparameters.values["tuner/round"] == 0]
    best = sorted(first, key=lambda trial: -trial.score)[:1]
    assert {trial.trial_id for trial in best} <= promoted


@pytest.mark.parametrize("space", [RANGES, SMALL])
@pytest.mark.parametrize("failing", [0.3, 0.8])
def test_hyperband_goes_on_without_what_failed_or_is_not_there(space, failing, tmp_path):
    done = Parent(search("hyperband", space, recipe=RECIPE.override(epochs=27)), tmp_path, 2, failing=failing).finish()
    rounds = Counter((trial.hyperparameters.values["tuner/bracket"], trial.hyperparameters.values["tuner/round"])
                     for trial in done.oracle.trials.values())
    assert rounds[3, 1] and (failing > 0.5 or rounds[3, 3] == 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_no_number_fails_the_trial(value, tmp_path):
    oracle = make(search("random"), tmp_path)
    trial = oracle.create_trial("one")
    oracle.update_trial(trial.trial_id, {"val/accuracy": 0.5}, step=1)
    oracle.update_trial(trial.trial_id, {"val/accuracy": value}, step=2)
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    assert (trial.status, trial.message) == ("FAILED", f"val/accuracy was {value} at epoch 2.")
    assert oracle.get_best_trials(3) == []
    json.loads((tmp_path / "oracle.json").read_text(), parse_constant=pytest.fail)


def test_an_objective_that_is_never_logged_is_told(tmp_path):
    oracle = make(search("random"), tmp_path)
    trial = oracle.create_trial("one")
    with pytest.raises(UserError, match="val/accuracy, which was never logged. Did you mean 'val/acc'"):
        oracle.update_trial(trial.trial_id, {"val/acc": 0.5, "val/loss": 0.1})
    trial.status = "COMPLETED"
    with pytest.raises(UserError, match="0000 ended without val/accuracy"):
        oracle.end_trial(trial)


def test_a_crash_is_tried_once_more_and_failures_never_end_the_search(tmp_path):
    oracle = make(search("grid", GRID), tmp_path)
    for _ in range(2 * 10):
        trial = oracle.create_trial("one")
        trial.status, trial.message = "INVALID", "Traceback"
        oracle.end_trial(trial)
    assert [trial.status for trial in oracle.trials.values()] == ["FAILED"] * 10
    assert oracle.trials["0003"].message == "Traceback"


def test_a_worker_that_asks_twice_gets_the_same_trial(tmp_path):
    oracle = make(search("random"), tmp_path)
    assert oracle.create_trial("one") is oracle.create_trial("one") is not oracle.create_trial("two")


PLAIN = """
import keras

def build(hp):
    kind = hp.Choice("kind", ["wide", "deep"])
    model = keras.Sequential([keras.Input((4,))])
    with hp.conditional_scope("kind", ["wide"]):
        if kind == "wide":
            model.add(keras.layers.Dense(hp.Int("units", 8, 32, step=8)))
    with hp.conditional_scope("kind", ["deep"]):
        if kind == "deep":
            hp.Float("drop", 0, 1, step=0.2)
            batch_norm = hp.Boolean("batch_norm")
            with hp.conditional_scope("batch_norm", [True]):
                if batch_norm:
                    hp.Int("filters", 2, 32, step=2, sampling="log")
    model.compile(hp.Choice("optimizer", ["sgd", "adam"]), "mse")
    return model
"""


def test_a_function_in_the_manner_of_keras_tuner(tmp_path):
    """All scopes are found before the first trial, its numbers are exact, and its grid is the product."""
    (tmp_path / "plain.py").write_text(PLAIN)
    made = Search(build=f"{tmp_path / 'plain.py'}:build", data="digits", oracle="grid")
    oracle, found = make(made, tmp_path), []
    function = build.load(made.build)
    while (trial := oracle.create_trial("one")).status == "RUNNING":
        function(trial.hyperparameters)
        found.append(dict(trial.hyperparameters.values))
        oracle.update_trial(trial.trial_id, {"val/accuracy": 0.5})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        if len(found) % 7 == 0:
            oracle = make(made, tmp_path)
            oracle.reload()
    assert len(found) == len(distinct(found)) == (4 + 6 * (1 + 5)) * 2
    assert {values["drop"] for values in found if "drop" in values} == {0.0, 0.2, 0.4, 0.6, 0.8, 1.0}
    assert {repr(values["filters"]) for values in found if "filters" in values} == {"2", "4", "8", "16", "32"}


def test_a_function_that_was_edited_is_another_search(tmp_path):
    file = tmp_path / "plain.py"
    file.write_text(PLAIN)
    begun = Search(build=f"{file}:build", data="digits")
    (tmp_path / "search.json").write_text(begun.to_json())
    load(tmp_path / "search.json").go_on_from(load(tmp_path / "search.json"), tmp_path)
    file.write_text(PLAIN.replace("32, step=8", "64, step=8"))
    for search in (load(tmp_path / "search.json"), Search(build=f"{file}:build", data="digits")):
        with pytest.raises(UserError, match="plain.py was edited"):
            search.go_on_from(load(tmp_path / "search.json"), tmp_path)


def test_a_name_under_two_conditions_is_refused():
    def function(hp):
        kind = hp.Choice("kind", ["a", "b"])
        for name in ("a", "b"):
            with hp.conditional_scope("kind", [name]):
                if kind == name:
                    hp.Float("lr", 0.1, 1.0)

    with pytest.raises(UserError, match="'lr' under two conditions"):
        build.probe(function)


@pytest.mark.parametrize("text, words", [
    ("import no_such_module", "no_such_module"), ("def other(): pass", "no function 'build'"),
    ("def build(hp): raise KeyError('lr')", "KeyError: 'lr'")])
def test_a_build_that_cannot_be_asked_is_told(text, words, tmp_path):
    (tmp_path / "plain.py").write_text(text)
    with pytest.raises(UserError, match=words):
        make(Search(build=f"{tmp_path / 'plain.py'}:build", data="digits"), tmp_path)
