"""Each sampler gives what it promises, and is a function of the trials so far: nothing else is remembered."""

import math
import random
from collections import Counter
from dataclasses import replace
from statistics import mean

import numpy as np
import pytest

from kerasdl import user_code
from kerasdl.errors import UserError
from kerasdl.recipe import Recipe
from kerasdl.tuning import Search, choice, hypermodel, integer, load, log, uniform
from kerasdl.tuning.records import Answer, Rung, TrialRecord
from kerasdl.tuning.samplers import bayesian, optuna, ranked
from kerasdl.tuning.samplers.unit_cube import UnitCube
from kerasdl.tuning.study import Study

RECIPE = Recipe(name="mlp", model="mlp", data="digits", epochs=9)
GRID = {"optimizer": choice("adamw", "sgd"), "optimizer_args.momentum": choice(0.0, 0.5, 0.9).when(optimizer="sgd"),
        "weight_decay": choice(0.0, 0.1).when({"optimizer_args.momentum": [0.5, 0.9]}),
        "model_args.drop": uniform(0, 0.5, step=0.1),
        "jit": choice(None, True)}
CELLS = (1 + 1 + 2 + 2) * 6 * 2
SMALL = {"batch": choice(16, 32, 64, 128), "lr": choice(0.001, 0.01, 0.1, 1.0), "optimizer": choice("adamw", "sgd")}
RANGES = {"lr": log(1e-4, 1e-1), "weight_decay": uniform(0, 1), "optimizer": choice("adamw", "sgd"),
          "optimizer_args.momentum": uniform(0, 0.9).when(optimizer="sgd"), "batch": integer(16, 512, log=True)}


def search(oracle, space=None, **changes):
    return Search(**{"recipe": RECIPE, "space": space or RANGES, "oracle": oracle, **changes})


def score(values):
    """A surface with one best point."""
    return 1 / (1 + abs(math.log10(values.get("lr", 0.01)) + 2) + abs(values.get("weight_decay", 0.3) - 0.3)
                + abs(values.get("optimizer_args.momentum", 0.5) - 0.5) + abs(values.get("batch", 64) - 64) / 100)


class Simulation:
    """A search with several workers, some of whose trials fail. Each question starts from the records alone."""

    def __init__(self, made, folder, workers=1, seed=0, failing=0.0):
        self.made, self.folder, self.workers, self.failing = made, folder, workers, failing
        self.random, self.records = random.Random(seed), []

    def finish(self):
        while True:
            running = [index for index, record in enumerate(self.records) if record.pending]
            while len(running) < self.workers and isinstance(record := self.ask(), TrialRecord):
                running.append(len(self.records))
                self.records.append(record)
            if not running:
                assert record is Answer.DONE
                return self
            self.end(running[self.random.randrange(len(running))])

    def ask(self):
        return Study(self.made, self.folder).plan(self.records)

    def end(self, index):
        record, failed = self.records[index], self.random.random() < self.failing
        self.records[index] = replace(record, status="failed") if failed else \
            replace(record, status="completed", score=score(record.values))

    @property
    def trials(self):
        return [record.values for record in self.records]


def distinct(trials):
    return {repr(sorted(values.items())) for values in trials}


@pytest.mark.parametrize("workers", [1, 4])
def test_grid_is_the_cartesian_product_once_and_in_order(workers, tmp_path):
    done = Simulation(search("grid", GRID), tmp_path, workers, failing=0.2).finish()
    assert len(done.trials) == len(distinct(done.trials)) == CELLS
    assert done.trials == list(done.made.combinations())


@pytest.mark.parametrize("oracle, space, limit", [
    ("grid", GRID, None), ("random", RANGES, 15), ("bayesian", RANGES, 12), ("hyperband", RANGES, None),
    ("evolution", RANGES, 30), ("optuna:TPESampler", RANGES, 15), ("optuna:NSGAIISampler", RANGES, 15)])
def test_same_seed_same_trials(oracle, space, limit, tmp_path):
    made = {seed: [Simulation(search(oracle, space, trials=limit, seed=seed), tmp_path, failing=0.1).finish()
                   for _ in range(2)] for seed in (0, 1)}
    for one, two in made.values():
        assert one.records == two.records
    if oracle != "grid":
        assert not distinct(made[0][0].trials) & distinct(made[1][0].trials)


@pytest.mark.parametrize("oracle, expected", [
    ("random", [(0.07245960239224333, "sgd"), (0.019523938193456013, "adamw"), (0.000772034109432134, "sgd")]),
    ("bayesian", [(0.0016976523765605581, "sgd"), (0.022388265508304493, "adamw"), (0.013709906046573156, "sgd")])])
def test_the_trials_of_a_seed_stay_the_same_from_version_to_version(oracle, expected, tmp_path):
    """As kerasdl 0.1 drew them: published searches can be reproduced."""
    space = {"lr": log(1e-4, 1e-1), "model_args.drop": uniform(0, 0.5), "optimizer": choice("adamw", "sgd")}
    done = Simulation(search(oracle, space, trials=3), tmp_path).finish()
    assert [(values["lr"], values["optimizer"]) for values in done.trials] == expected


@pytest.mark.parametrize("oracle", ["random", "bayesian", "evolution", "optuna:NSGAIISampler"])
@pytest.mark.parametrize("workers", [1, 4])
def test_25_trials_on_32_cells_are_25_points(oracle, workers, tmp_path):
    done = Simulation(search(oracle, SMALL, trials=25), tmp_path, workers, failing=0.1).finish()
    assert len(done.trials) == len(distinct(done.trials)) == 25


@pytest.mark.parametrize("oracle", ["random", "bayesian"])
def test_a_small_space_is_tried_whole_and_then_the_search_ends(oracle, tmp_path):
    space = {"batch": choice(16, 32), "optimizer": choice("adamw", "sgd"),
             "optimizer_args.momentum": choice(0.0, 0.5, 0.9).when(optimizer="sgd"), "seed": integer(3, 3)}
    done = Simulation(search(oracle, space, trials=99), tmp_path).finish()
    assert len(done.trials) == len(distinct(done.trials)) == 2 * (1 + 3)


@pytest.mark.parametrize("oracle", ["random", "bayesian"])
def test_a_field_with_two_dimensions_has_the_value_of_the_active_one(oracle, tmp_path):
    space = {"optimizer": choice("adamw", "sgd"),
             "lr": (log(1e-4, 1e-2).when(optimizer="adamw"), choice(0.1, 0.3).when(optimizer="sgd"))}
    for values in Simulation(search(oracle, space, trials=12), tmp_path).finish().trials:
        assert values["lr"] in (0.1, 0.3) if values["optimizer"] == "sgd" else 1e-4 <= values["lr"] <= 1e-2


def test_a_model_of_the_scores_sees_a_dimension_where_it_is_active():
    """Also below a parent on a logarithmic scale, whose values have no equal shares."""
    space = {"batch": integer(1, 8, log=True), "lr": log(1e-4, 1e-1).when(batch=[1, 2])}
    cube = UnitCube(search("bayesian", space).dimensions)
    points = np.random.default_rng(0).random((50, 2))
    active = ["lr" in cube.values(point) for point in points]
    assert 0 < sum(active) < 50 and cube._active(points)[:, 1].tolist() == active


@pytest.mark.parametrize("seed", [0, 4, 5])
def test_a_value_that_has_a_range_below_it_does_not_end_the_search(seed, tmp_path):
    """Five of six values have nothing below them, and are soon tried."""
    space = {"objective_args.label_smoothing": choice(0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
             "model_args.drop": uniform(0, 0.5).when({"objective_args.label_smoothing": 0.0})}
    done = Simulation(search("random", space, trials=30, seed=seed), tmp_path).finish()
    assert len(done.trials) == len(distinct(done.trials)) == 30


def test_the_limit_may_grow(tmp_path):
    records = []
    for trials in (5, 12, 72):
        done = Simulation(search("grid", GRID, trials=trials), tmp_path)
        done.records = records
        records = done.finish().records
        assert len(records) == trials
    assert [record.id for record in records[:2]] == ["0000", "0001"]


def test_bayesian_finds_more_than_random(tmp_path):
    """A sample of benchmarks/tuning.py: on Branin, from the same number of trials, several times nearer to the best."""
    from statistics import median

    from benchmarks import tuning

    surface = tuning.surfaces()["Branin"]
    regret = {oracle: median(min(tuning.ours(oracle, surface, seed, 24)) - surface.lowest for seed in range(3))
              for oracle in ("random", "bayesian")}
    assert regret["bayesian"] < regret["random"] / 5


def test_a_genetic_sampler_breeds_from_the_best_trials_so_far():
    """On a bowl, whose lowest point is 0.9 everywhere, children of 60 random trials are much lower than these."""
    space = [(f"x{at}", uniform(0, 1)) for at in range(6)]
    rng = random.Random(0)
    known = [{field: rng.random() for field, _ in space} for _ in range(60)]

    def height(values):
        return sum((value - 0.9) ** 2 for value in values.values())

    records = [TrialRecord(f"{at:04}", "completed", values, height(values)) for at, values in enumerate(known)]
    children = [optuna.propose(space, records, seed, name="NSGAIISampler", direction="min") for seed in range(5)]
    assert mean(height(child.values) for child in children) < 0.7 * mean(map(height, known))


def test_a_population_is_small_enough_for_the_trials():
    assert [optuna.population(limit) for limit in (None, 1000, 30, 3)] == [20, 20, 10, 2]


@pytest.mark.parametrize("oracle", ["bayesian", "evolution", "optuna:NSGAIISampler"])
def test_a_long_range_is_never_a_list(oracle, tmp_path):
    """A list of a billion numbers would take gigabytes."""
    dimension = integer(0, 10**9)
    made = search(oracle, {"seed": dimension})
    records = [TrialRecord(f"{at:04}", "completed", {"seed": 10**9 - at}, float(at)) for at in range(21)]
    assert 0 <= Study(made, tmp_path).plan(records).values["seed"] <= 10**9
    assert ranked.holds(dimension, 10**9) and not ranked.holds(dimension, 10**9 + 1)
    assert not ranked.holds(dimension, True)


def test_the_gaussian_process_sees_a_limited_number_of_refused_proposals(monkeypatch):
    sizes, rng = [], random.Random(0)
    monkeypatch.setattr(bayesian, "REFUSED", 3)
    monkeypatch.setattr(bayesian, "fitted", lambda features, *_: sizes.append(len(features)) or 1 / 0)
    statuses = ["completed"] * 6 + ["failed"] * 5 + ["refused"] * 40
    trials = [TrialRecord(f"{at}", status, {"x": rng.random()}, rng.random() if status == "completed" else None)
              for at, status in enumerate(statuses)]
    with pytest.raises(ZeroDivisionError):
        bayesian.propose([("x", uniform(0, 1))], trials, 0, direction="max")
    assert sizes == [6 + 5 + 3]


def test_hyperband_brackets_are_the_papers(tmp_path):
    """Of each round the best third is continued for three times as long, with the same values."""
    done = Simulation(search("hyperband"), tmp_path, 3).finish()
    records = {record.id: record for record in done.records}
    places = Counter((record.rung.bracket, record.rung.epochs) for record in done.records)
    assert places == {(2, 1): 9, (2, 3): 3, (2, 9): 1, (1, 3): 5, (1, 9): 2, (0, 9): 3}
    for record in done.records:
        if record.rung.parent:
            before = records[record.rung.parent]
            assert before.values == record.values and before.rung.epochs * 3 == record.rung.epochs
            assert before.rung.bracket == record.rung.bracket
    promoted = {record.rung.parent for record in done.records} - {None}
    first = [record for record in done.records if (record.rung.bracket, record.rung.round) == (2, 0)]
    assert max(first, key=lambda record: record.score).id in promoted


@pytest.mark.parametrize("space", [RANGES, SMALL])
@pytest.mark.parametrize("failing", [0.3, 0.8])
def test_hyperband_continues_without_what_failed_or_does_not_exist(space, failing, tmp_path):
    made = search("hyperband", space, recipe=RECIPE.override(epochs=27))
    done = Simulation(made, tmp_path, 2, failing=failing).finish()
    rounds = Counter((record.rung.bracket, record.rung.round) for record in done.records)
    assert rounds[3, 1] and (failing > 0.5 or rounds[3, 3] == 1)


def test_hyperband_waits_for_a_round_that_runs(tmp_path):
    made = search("hyperband", {"batch": choice(16, 32)}, recipe=RECIPE.override(epochs=3))
    running = [TrialRecord(f"{number:04}", "running", {"batch": batch}, rung=Rung(1, None, 1, 0))
               for number, batch in enumerate((16, 32))]
    assert Study(made, tmp_path).plan(running) is Answer.WAIT
    assert Study(made, tmp_path).plan([replace(record, status="failed") for record in running]) is Answer.DONE


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


@pytest.mark.soak
def test_a_function_in_the_manner_of_keras_tuner(tmp_path):
    """All scopes are found before the first trial, its numbers are exact, and its grid is the product."""
    (tmp_path / "plain.py").write_text(PLAIN)
    made = Search(build=f"{tmp_path / 'plain.py'}:build", data="digits", oracle="grid")
    found = Simulation(made, tmp_path).finish().trials
    hp = hypermodel.space(made.build, tmp_path)
    for values in found:
        hp.values = dict(values)
        user_code.load(made.build)(hp)
        assert hp.values == values, "build(hp) takes each value as it is, and asks for no other"
    assert len(found) == len(distinct(found)) == (4 + 6 * (1 + 5)) * 2
    assert {values["drop"] for values in found if "drop" in values} == {0.0, 0.2, 0.4, 0.6, 0.8, 1.0}
    assert {repr(values["filters"]) for values in found if "filters" in values} == {"2", "4", "8", "16", "32"}


def test_a_function_that_was_edited_is_another_search(tmp_path):
    file = tmp_path / "plain.py"
    file.write_text(PLAIN)
    begun = Search(build=f"{file}:build", data="digits")
    (tmp_path / "search.json").write_text(begun.to_json())
    load(tmp_path / "search.json").check_continues(load(tmp_path / "search.json"), tmp_path)
    file.write_text(PLAIN.replace("32, step=8", "64, step=8"))
    for search in (load(tmp_path / "search.json"), Search(build=f"{file}:build", data="digits")):
        with pytest.raises(UserError, match="plain.py was edited"):
            search.check_continues(load(tmp_path / "search.json"), tmp_path)


def test_a_name_under_two_conditions_is_refused():
    def function(hp):
        kind = hp.Choice("kind", ["a", "b"])
        for name in ("a", "b"):
            with hp.conditional_scope("kind", [name]):
                if kind == name:
                    hp.Float("lr", 0.1, 1.0)

    with pytest.raises(UserError, match="'lr' under two conditions"):
        hypermodel.probe(function)


@pytest.mark.parametrize("text, words", [
    ("def build(hp): raise KeyError('lr')", "KeyError: 'lr'"),
    pytest.param("import no_such_module", "no_such_module", marks=pytest.mark.soak),
    pytest.param("def other(): pass", "does not define 'build'", marks=pytest.mark.soak)])
def test_a_build_that_fails_is_refused(text, words, tmp_path):
    (tmp_path / "plain.py").write_text(text)
    with pytest.raises(UserError, match=words):
        Study(Search(build=f"{tmp_path / 'plain.py'}:build", data="digits"), tmp_path).plan([])
