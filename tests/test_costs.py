"""Searches that weigh what a network costs: limits, fronts, evolution and its ancestors, and what may not be asked."""

import io
import json
import math
import os
import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from kerasdl import costs, zoo
from kerasdl.costs import _worker, int8_kb
from kerasdl.errors import UserError
from kerasdl.recipe import load
from kerasdl.tuning import Search, choice, costing, integer, log, pool, report, uniform
from kerasdl.tuning import load as load_search
from kerasdl.tuning.costing import Refused
from kerasdl.tuning.front import ancestry, changes, front
from kerasdl.tuning.records import Answer, Rung, TrialRecord
from kerasdl.tuning.samplers import bayesian, evolution, optuna
from kerasdl.tuning.study import Study
from kerasdl.zoo.cost import multiply_adds

ROOT = Path(__file__).parents[1]
OPERATIONS = "none", "skip", "conv1"
EDGES = "01", "02", "12", "03", "13", "23"
CELLS = {f"model_args.edge{edge}": choice(*OPERATIONS) for edge in EDGES}
SPACE = [("width", integer(1, 64, log=True)), ("lr", log(1e-4, 1.0)), ("kind", choice("a", "b", "c")),
         ("drop", uniform(0, 1).when(kind="b"))]


def cells(**changes):
    return Search(**{"recipe": "cell_digits", "space": CELLS, "trials": 5, "overrides": {"model_args.size": "mu"},
                     "limits": {"parameters": "3k"}, **changes})


def request(recipe, *names, **limits):
    return {"recipe": json.loads(recipe.model_dump_json()), "costs": names, "limits": limits}


class Costs:
    """A meter that costs nothing: every convolution of a cell has 1,000 parameters."""

    def __init__(self, limits):
        self.limits, self.asked = limits, []

    def measure(self, recipe):
        self.asked.append(recipe.model_args)
        count = {"parameters": 1000.0 * sum(kind == "conv1" for kind in recipe.model_args.values())}
        return count, costs.over(count, self.limits)


# Multiply-adds

def small_base(side):
    """Two convolutions and a pooling, for images of this side; None: of any."""
    inputs = keras.Input((side, side, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(inputs)
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same")(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


OF_BASE = 64 * 27 * 4 + 16 * 36 * 8  # on images of 8 x 8


@pytest.mark.parametrize("shape, layer, by_hand", [
    ((8, 8, 3), lambda: small_base(8), OF_BASE),
    ((8, 8, 3), lambda: small_base(None), OF_BASE),
    ((8, 8, 3), lambda: keras.Sequential([keras.layers.Rescaling(2.0), small_base(None), keras.layers.Dense(6)]),
     OF_BASE + 8 * 6),
    ((5, 8, 8, 3), lambda: keras.layers.TimeDistributed(small_base(None)), 5 * OF_BASE),
    ((None, 8, 8, 3), lambda: keras.layers.TimeDistributed(small_base(None)), 9 * OF_BASE),
    ((5, 7, 3), lambda: keras.layers.TimeDistributed(keras.layers.LSTM(4)), 5 * 7 * (3 + 4) * 16),
    ((7, 3), lambda: keras.layers.Bidirectional(keras.layers.LSTM(4)), 2 * 7 * (3 + 4) * 16),
    ((None, 3), lambda: keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True)), 2 * 9 * (3 + 4) * 16),
    ((8, 8, 3), lambda: keras.layers.SeparableConv2D(5, 3, strides=2, padding="same"), 16 * (9 * 3 + 3 * 5)),
    ((8, 3), lambda: keras.layers.SeparableConv1D(5, 3, depth_multiplier=2), 6 * (3 * 6 + 6 * 5)),
    ((8, 3), lambda: keras.layers.Conv1DTranspose(5, 4, strides=2), 8 * 4 * 3 * 5),
])
def test_multiply_adds_of_a_users_layers_by_hand(shape, layer, by_hand):
    inputs = keras.Input(shape)
    assert multiply_adds(keras.Model(inputs, layer()(inputs)), 9) == by_hand


# Limits

def test_limits_of_cells_leave_3x3_convolutions():
    """Those of the shipped search two in each of the three cells, those of the command in the docs one."""
    found, text = load_search("cell_digits_evolution"), (ROOT / "docs" / "tuning.md").read_text()
    command = re.search(r"cell_digits_evolution --limit (parameters)=(\w+)", text).groups()
    for limit, kinds in ((found.limits["parameters"], {"edge01": "conv3", "edge13": "conv3"}),
                         (costs.limit(*command), {"edge01": "conv3", "edge13": "skip"})):
        args = found.base.model_args | dict.fromkeys((f"edge{edge}" for edge in EDGES), "none") | kinds
        network = zoo.build("cell", (8, 8, 1), 10, **args)
        assert sum(math.prod(weight.shape) for weight in network.trainable_weights) <= limit

@pytest.mark.parametrize("name, given, value", [
    ("parameters", 50_000, 50_000), ("parameters", "50k", 50_000), ("multiply_adds", "1.5M", 1.5e6),
    ("int8_kb", "96 KB", 96), ("int8_kb", "1 MB", 1000), ("int8_kb", 96, 96), ("int8_ms", "500us", 0.5)])
def test_a_limit_is_a_number_or_has_a_unit(name, given, value):
    assert costs.limit(name, given) == pytest.approx(value)


@pytest.mark.parametrize("make, words", [
    (lambda: cells(limits={"parameters": "96 KB"}), ["parameters", "50k", "'96 KB'"]),
    (lambda: cells(limits={"int8_kb": "3 ms"}), ["int8_kb", "KB", "'3 ms'"]),
    (lambda: cells(limits={"parameters": -1}), ["above 0", "-1"]),
    (lambda: cells(limits={"paramters": 10}), ["'paramters'", "'parameters'"]),
    (lambda: cells(costs=["flops"]), ["'flops'", "multiply_adds"]),
    (lambda: cells(inherit=True), ["inherit", "evolution", "random"]),
    (lambda: cells(oracle="evolutoin"), ["'evolutoin'", "'evolution'", "optuna:"]),
    (lambda: optuna.find("TPE"), ["optuna:TPE", "TPESampler"]),
    (lambda: optuna.find("GridSampler"), ["GridSampler"]),
    (lambda: optuna.find("CmaEsSampler"), ["pip install cmaes"]),
    (lambda: Search(build="my.py:build", data="digits", limits={"parameters": 10}), ["build(hp)"])])
def test_what_cannot_be_asked_for(make, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my.py").write_text("def build(hp): ...")
    with pytest.raises(UserError) as caught:
        make()
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


def test_a_search_with_costs_survives_json(tmp_path):
    made = cells(costs=("multiply_adds",), oracle="evolution", inherit=True)
    (tmp_path / "search.json").write_text(made.to_json())
    again = load_search(tmp_path / "search.json")
    assert again.differences(made) == [] and again.limits == {"parameters": 3000.0} and again.inherit
    assert made.measured == ["parameters", "multiply_adds"]


# Costs of real networks

def test_costs_are_those_of_the_network():
    recipe = load("cell_digits").override("model_args.size=mu")
    found = _worker.answer(request(recipe, "parameters", "multiply_adds"))
    network = zoo.build("cell", (8, 8, 1), 10, **recipe.model_args)
    assert found["costs"]["parameters"] == sum(math.prod(one.shape) for one in network.trainable_weights)
    assert found["costs"]["multiply_adds"] > 8 * 8 * 9 * 8  # of the stem alone
    assert found["why"] == ""


def test_a_network_beyond_a_limit_is_not_measured_further():
    recipe = load("cell_digits").override("model_args.size=mu")
    found = _worker.answer(request(recipe, "parameters", "int8_ms", parameters=100))
    assert set(found["costs"]) == {"parameters"} and "100 at most" in found["why"]


def test_a_network_whose_build_fails_in_any_way_is_refused_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("def build(shape, classes):\n    assert False, 'width % heads'\n")
    recipe = load("mlp_digits").override("model=mine.py:build", "model_args={}")
    assert _worker.answer(request(recipe, "parameters"))["why"] == "AssertionError: width % heads"
    Path("mine.py").write_text("def build(shape, classes):\n    raise ValueError\n")
    assert _worker.answer(request(recipe, "parameters"))["why"].startswith("ValueError")


def test_a_cell_without_a_path_is_refused_with_the_reason():
    closed = dict.fromkeys((f"model_args.edge{edge}" for edge in ("01", "02", "03")), "none")
    assert "no path" in _worker.answer(request(load("cell_digits").override(**closed), "parameters"))["why"]


def test_the_size_in_8_bits_is_that_of_the_file_and_a_users_own_cost_counts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("def layers(network, examples):\n    return len(network.layers)\n")
    recipe = load("mlp_digits").override("model_args.size=mu")
    found = _worker.answer(request(recipe, "int8_kb", "mine.py:layers"))["costs"]
    assert found["mine.py:layers"] == len(zoo.build("mlp", (8, 8, 1), 10, **recipe.model_args).layers)
    assert 1 < found["int8_kb"] < 8  # 1,210 weights of a byte, and what LiteRT says about them


@pytest.mark.parametrize("returned, why", [
    ("1 / 0", "The cost mine.py:layers cannot be measured: ZeroDivisionError: division by zero"),
    ("float('nan')", "The cost mine.py:layers is nan.")])
def test_a_cost_that_fails_is_said_with_what_was_measured_before(returned, why, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_worker, "KNOWN", {})
    Path("mine.py").write_text(f"def layers(network, examples):\n    return {returned}\n")
    assert _worker.answer(request(load("linear_digits"), "parameters", "mine.py:layers")) == {
        "costs": {"parameters": 650.0}, "why": why, "unmeasured": "mine.py:layers"}


def test_what_this_machine_lacks_is_no_fault_of_the_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_worker, "KNOWN", {})
    Path("mine.py").write_text("def layers(network, examples):\n    import no_such_module\n")
    with pytest.raises(UserError, match="mine.py:layers cannot be measured: ModuleNotFoundError"):
        _worker.answer(request(load("linear_digits"), "mine.py:layers"))


# Proposals

def planned(study, count):
    records = []
    while len(records) < count and isinstance(planned := study.plan(records), TrialRecord):
        records.append(planned)
    return records


@pytest.mark.parametrize("oracle", ["random", "grid", "bayesian", "evolution", "optuna:TPESampler"])
def test_no_trial_is_beyond_a_limit_and_no_proposal_is_made_twice(oracle, tmp_path):
    made = cells(oracle=oracle, limits={"parameters": "1k"}, trials=12)
    study = Study(made, tmp_path)
    study.meter = Costs(made.limits)
    records = planned(study, 12)
    assert len(records) == 12 and all(record.costs["parameters"] <= 1000 for record in records)
    proposed = [entry["values"] for entry in study.refused.entries()] + [record.values for record in records]
    assert len({repr(sorted(values.items())) for values in proposed}) == len(proposed) == len(study.meter.asked)
    resumed = Study(made, tmp_path)  # in a new process: what was refused is not measured again
    resumed.meter = Costs(made.limits)
    assert planned(resumed, 12)[-1].values == records[-1].values and len(resumed.meter.asked) == 12


def test_a_promotion_keeps_the_costs_of_its_trial(tmp_path):
    made = cells(oracle="hyperband", trials=None, overrides={"model_args.size": "mu", "epochs": 3})
    study, records = Study(made, tmp_path), []
    study.meter = Costs(made.limits)
    while isinstance(planned := study.plan(records), TrialRecord):
        records.append(replace(planned, status="completed", score=float(len(records))))
    promoted = [record for record in records if record.rung.parent]
    by_id = {record.id: record for record in records}
    assert promoted and all(record.costs == by_id[record.rung.parent].costs != {} for record in promoted)


def test_a_space_beyond_the_limit_is_said_so(tmp_path):
    made = cells(limits={"parameters": 10}, space={"model_args.edge01": choice("conv1", "conv3"),
                                                   "model_args.edge03": choice("conv1")})
    study = Study(made, tmp_path)
    study.meter = Costs(made.limits)
    with pytest.raises(UserError, match=r"None of 2 networks .*\(parameters 10\).* least there was: parameters 1,000"):
        study.plan([])


def test_a_network_whose_cost_cannot_be_measured_is_refused_once_another_s_was(tmp_path):
    """Before that, nothing says that any network has the cost. The answers are those of the process that measures."""
    fails = {"costs": {"parameters": 1.0}, "why": "The cost multiply_adds is nan.", "unmeasured": "multiply_adds"}
    answers = [fails, {"costs": {"parameters": 1.0, "multiply_adds": 2.0}, "why": ""}, fails,
               {"costs": {"parameters": 1.0, "multiply_adds": 3.0}, "why": ""}]
    study = Study(cells(oracle="random"), tmp_path)
    study.meter._process = SimpleNamespace(stdin=io.StringIO(), stdout=io.StringIO(
        "".join(f"{json.dumps(each)}\n" for each in answers)))
    with pytest.raises(UserError, match="multiply_adds is nan"):
        study.plan([])
    assert [record.costs["multiply_adds"] for record in planned(study, 2)] == [2.0, 3.0]
    assert [(entry["costs"], entry["why"]) for entry in study.refused.entries()] == [
        ({"parameters": 1.0}, "The cost multiply_adds is nan.")]


def beyond(folder, monkeypatch, **changes):
    """A search of numbers, which never run out, whose networks are all beyond a limit."""
    monkeypatch.setattr(costing, "MANY", 5)
    study = Study(cells(**{"space": {"lr": log(1e-4, 1e-1)}, **changes}), folder)
    study.meter = SimpleNamespace(measure=lambda recipe: ({"parameters": 4000.0}, "beyond"))
    return study


def test_a_space_too_large_to_try_ends_after_many_refusals(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="None of 5 networks .* least there was: parameters 4,000"):
        beyond(tmp_path, monkeypatch).plan([])
    assert len(Refused(tmp_path).entries()) == 5


def test_a_search_ends_where_all_other_networks_are_beyond_a_limit(tmp_path, monkeypatch):
    """Refused proposals are counted after a trial, too, and a resumption ends with the same reason."""
    records = [TrialRecord("0000", "completed", {"lr": 1e-2}, 0.5)]
    for _ in range(2):
        study = beyond(tmp_path, monkeypatch)
        assert study.plan(records) is Answer.DONE and len(study.refused.entries()) == 5
        assert study.given_up == "5 networks in a row were refused, the last because: beyond." and not study.cut_short


def test_hyperband_promotes_what_there_is_when_no_other_network_is_within_the_limits(tmp_path, monkeypatch):
    """Without refusing as many again after each promotion."""
    study = beyond(tmp_path, monkeypatch, oracle="hyperband", trials=None,
                   overrides={"model_args.size": "mu", "epochs": 3})
    running = TrialRecord("0000", "running", {"lr": 1e-2}, rung=Rung(1, None, 1, 0), costs={"parameters": 10.0})
    assert study.plan([running]) is Answer.WAIT
    records = [replace(running, status="completed", score=0.5)]
    promoted = study.plan(records)
    assert promoted.rung == Rung(3, "0000", 1, 1) and promoted.costs == running.costs
    records.append(replace(promoted, status="completed", score=0.6))
    assert study.plan(records) is Answer.DONE and study.given_up and len(study.refused.entries()) == 5


def test_a_grid_is_tried_to_its_end(tmp_path, monkeypatch):
    """The last field varies fastest: many refusals in a row are no sign that nothing else is within the limits."""
    study = beyond(tmp_path, monkeypatch, oracle="grid", space={"lr": choice(*(1e-3 * each for each in range(1, 9)))})
    assert study.plan([TrialRecord("0000", "completed", {"lr": 1.0}, 0.5)]) is Answer.DONE
    assert len(study.refused.entries()) == 8 and not study.given_up


def test_nothing_is_proposed_after_the_time(tmp_path, monkeypatch):
    study = beyond(tmp_path, monkeypatch)
    study.end = time.monotonic()
    assert study.plan([]) is Answer.DONE and study.cut_short and not study.refused.entries()


def test_a_network_is_measured_once_whatever_its_training_is(monkeypatch):
    recipe, asked = load("linear_digits"), []
    monkeypatch.setattr(_worker.costs, "find", lambda name: lambda *_: asked.append(name) or 7.0)
    monkeypatch.setattr(_worker, "KNOWN", {})
    for change in ("lr=0.1", "lr=0.2", "model=mlp"):
        assert _worker.answer(request(recipe.override(change), "int8_kb"))["costs"] == {"int8_kb": 7.0}
        keras.backend.clear_session()
    assert len(asked) == 2


def test_a_recurrent_network_is_converted_without_loops(tmp_path, monkeypatch):
    """LiteRT takes none."""
    written = []
    monkeypatch.setattr(int8_kb.litert, "write", lambda network, *_: written.append(network))
    int8_kb.exported(zoo.build("rnn", (3, 2), 2, size="mu"), np.zeros((2, 3, 2), "float32"), tmp_path)
    assert written[0].input_shape == (None, 3, 2)
    assert all(layer.unroll for layer in written[0].layers if isinstance(layer, keras.layers.RNN))


# Evolution

def evolved(space, count, seed=0, score=lambda values: float(values["width"])):
    records = []
    for number in range(count):
        proposal = evolution.propose(space, records, seed, direction="max", population=5, sample=3)
        if isinstance(proposal, Answer):
            break
        records.append(TrialRecord(f"{number:04}", "completed", proposal.values, score(proposal.values),
                                   parent=proposal.parent))
    return records


def test_a_child_differs_from_a_parent_among_the_living_in_one_dimension():
    records = evolved(SPACE, 40)
    by_id = {record.id: (number, record) for number, record in enumerate(records)}
    children = [(number, record) for number, record in enumerate(records) if record.parent]
    assert len(children) > 30
    for number, record in children:
        at, parent = by_id[record.parent]
        assert number - 5 <= at < number  # the population is the last five
        keys = {key for key in {**parent.values, **record.values} if parent.values.get(key) != record.values.get(key)}
        assert len(keys - {"drop"}) <= 1 and (keys == {"drop"} or "drop" not in keys or "kind" in keys)
    assert max(record.score for record in records[-5:]) > max(record.score for record in records[:5])


def test_ancestors_are_found_and_their_changes():
    records = evolved(SPACE, 20)
    line = ancestry(records, records[-1])
    assert line[-1] is records[-1] and line[0].parent is None
    assert [record.parent for record in line[1:]] == [record.id for record in line[:-1]]
    assert changes(line)[0] == "" and all("->" in change for change in changes(line)[1:])


# Fronts

def test_the_front_is_what_nothing_dominates():
    rng = np.random.default_rng(0)
    records = [TrialRecord(f"{number:04}", "completed", {}, float(score), costs={"a": float(one), "b": float(two)})
               for number, (score, one, two) in enumerate(rng.random((60, 3)).round(1))]
    found = front(records, "max", ["a", "b"])
    for record in records:
        beaten = any(other.score >= record.score and other.costs["a"] <= record.costs["a"]
                     and other.costs["b"] <= record.costs["b"] and (other.score, *other.costs.values())
                     != (record.score, *record.costs.values()) for other in records)
        assert (record in found) is not beaten
    assert [record.costs["a"] for record in found] == sorted(record.costs["a"] for record in found)


def test_trials_that_stopped_early_are_drawn_and_not_on_the_front(monkeypatch):
    rows = [TrialRecord(f"{at}", status, {}, score, costs={"parameters": 10.0})
            for at, (status, score) in enumerate([("completed", 0.5), ("stopped", 0.9), ("failed", None)])]
    monkeypatch.setattr(report.figures, "front", lambda x, y, ahead, *_, **__: (y, ahead))
    drawn = report.fronts(rows, SimpleNamespace(search=SimpleNamespace(
        measured=["parameters"], direction="max", objective="val/accuracy")))
    assert drawn == [("parameters", ([0.5, 0.9], [True, False]), rows[:1])]


@pytest.mark.parametrize("propose", [
    lambda *given: bayesian.propose(*given, 0, direction="max", limit=40, costs=("a",)),
    lambda *given: optuna.propose(*given, 0, name="NSGAIISampler", direction="max", costs=("a",))],
    ids=["bayesian", "nsga2"])
def test_a_search_for_score_and_cost_goes_to_both_ends_of_the_front(propose):
    space, records = [("x", uniform(0, 1)), ("y", uniform(0, 1))], []
    for number in range(40):
        values = propose(space, records).values
        records.append(TrialRecord(f"{number:04}", "completed", values, values["x"] - values["y"],
                                   costs={"a": values["x"] ** 2 + values["y"]}))
    late = [record.values["x"] for record in records[10:]]
    assert min(late) < 0.2 and max(late) > 0.8  # all of y=0 is the front
    found = front(records, "max", ["a"])
    assert np.mean([record.values["y"] for record in found]) < np.mean([record.values["y"] for record in records[:10]])


# The page, the command, and the seeds of a recipe

def test_a_search_with_costs_by_command(command, refused, monkeypatch):
    """Networks are really measured, in a process; the trials take no time."""
    monkeypatch.setattr(pool, "COMMAND", (sys.executable, os.fspath(Path(__file__).with_name("tuning_child.py"))))
    Path("cells.py").write_text(
        "from kerasdl.tuning import Search, choice\n"
        f"space = {{f'model_args.edge{{edge}}': choice('none', 'skip', 'conv1') for edge in {list(EDGES)}}}\n"
        "search = Search('cell_digits', space, oracle='evolution', inherit=True, overrides={'model_args.size': 'mu',\n"
        "                'epochs': 1})\n")
    refused("tune", "cells.py", "--limit", "parameters=3 KB", words=["parameters", "50k", "'3 KB'"])
    refused("tune", "cells.py", "--limit", "parameters", words=["COST=MOST"])
    refused("tune", "cells.py", "--cost", "flops", words=["'flops'", "multiply_adds"])
    refused("tune", "cells.py", "--oracle", "optuna:Grid", words=["optuna:Grid"])
    refused("tune", "cells.py", "--workers", 2, "--ray", "127.0.0.1:1", words=["127.0.0.1:1", "ray start --head"])
    done = command("tune", "cells.py", "--limit", "parameters=4k", "--cost", "multiply_adds", "--trials", 2,
                   "--workdir", "study", "--json")
    found = json.loads(done.out)
    assert [trial["status"] for trial in found["trials"]] == ["completed"] * 2, done.err
    assert all(trial["costs"]["parameters"] <= 4000 for trial in found["trials"])
    assert found["limits"] == {"parameters": 4000} and set(found["front"]) <= set(found["ranked"])
    page = Path("study/report.html").read_text()
    assert "parameters at most" in page and "no other is better at no more multiply adds" in page


def test_a_child_begins_with_the_weights_of_its_parent(tmp_path):
    study = Study(cells(oracle="evolution", inherit=True, limits={}), tmp_path)
    (tmp_path / "trials" / "0003").mkdir(parents=True)
    child = TrialRecord("0004", "running", {"model_args.edge01": "skip"}, parent="0003")
    assert study.task(child, [])["recipe"]["init"] == ""  # the parent has no weights
    (tmp_path / "trials" / "0003" / "model.keras").touch()
    assert study.task(child, [])["recipe"]["init"] == str(tmp_path / "trials" / "0003")
