"""Ranking networks before they are trained: proxies, one network of all cells, the search that follows a ranking."""

import json
import os
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kerasdl import zoo
from kerasdl.data import from_arrays
from kerasdl.errors import UserError
from kerasdl.nas import one_shot, proxies, supernet
from kerasdl.nas import rank as rank_module
from kerasdl.nas.rank import rank
from kerasdl.tuning import Search, choice, log, preflight
from kerasdl.tuning import load as load_search
from kerasdl.tuning.records import Answer, TrialRecord
from kerasdl.tuning.samplers.random import points
from kerasdl.tuning.study import Study
from kerasdl.zoo import cell
from kerasdl.zoo.cost import multiply_adds

SMALL = {"model_args.size": "mu"}
SPACE = {f"model_args.edge{edge}": choice("none", "conv1", "pool3") for edge in ("01", "13", "03")}


def cells(**changes):
    return Search(**{"recipe": "cell_digits", "space": SPACE, "name": "cells", "trials": 3,
                     "overrides": {**SMALL, "epochs": 1, "model_args.edge02": "none", "model_args.edge12": "none",
                                   "model_args.edge23": "none"}, **changes})


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (64, 8, 8, 1)).astype("float32"), rng.integers(0, 10, 64)


def of(name, batch, **edges):
    keras.utils.set_random_seed(0)
    return proxies.find(name)(zoo.build("cell", (8, 8, 1), 10, size="mu", **edges), *batch)


# Proxies

def test_synflow_is_its_definition_for_a_linear_network():
    """Of two dense layers without anything between, R = 1 |A| |B| 1, and sum(w dR/dw) is R for each of the kernels."""
    inputs = keras.Input((3,))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    network = keras.Model(inputs, keras.layers.Dense(2, use_bias=False)(keras.layers.Dense(4, use_bias=False)(x)))
    first, second = network.get_weights()
    r = np.ones(3) @ np.abs(first).astype("float64") @ np.abs(second) @ np.ones(2)
    assert proxies.find("synflow")(network, None, None) == pytest.approx(np.log(2 * r), rel=1e-6)


def test_naswot_is_the_determinant_of_shared_bits():
    inputs = keras.Input((5,))
    network = keras.Model(inputs, keras.layers.Dense(40, activation="relu")(inputs))
    x = np.random.default_rng(0).standard_normal((12, 5)).astype("float32")
    bits = (x @ network.get_weights()[0] > 0).astype(int)
    shared = np.array([[(one == two).sum() for two in bits] for one in bits], float)
    assert proxies.find("naswot")(network, x, None) == pytest.approx(np.linalg.slogdet(shared)[1], rel=1e-9)


def test_zico_is_steadiness_of_gradients():
    inputs = keras.Input((5,))
    network = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((64, 5)).astype("float32"), rng.integers(0, 3, 64)
    kernel, bias = network.get_weights()
    gradients = []
    for some, labels in zip(x.reshape(4, 16, 5), y.reshape(4, 16), strict=True):
        logits = some.astype("float64") @ kernel + bias
        chance = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        gradients.append(np.abs(some.T @ (chance - np.eye(3)[labels]) / 16))
    expected = np.log((np.mean(gradients, 0) / np.std(gradients, 0)).sum())
    assert proxies.find("zico")(network, x, y) == pytest.approx(expected, rel=1e-4)


def test_every_proxy_prefers_convolutions_to_pools(batch):
    for name in proxies.names():
        assert of(name, batch) > of(name, batch, edge01="pool3", edge12="pool3", edge23="pool3"), name


def test_what_a_proxy_cannot_judge(batch):
    with pytest.raises(ValueError, match="no"):
        proxies.find("naswot")(zoo.build("linear", (8, 8, 1), 10), *batch)
    with pytest.raises(UserError, match="'synflow'"):
        proxies.find("synflo")


# One network of all cells

@pytest.mark.parametrize("edges", [
    {"01": "conv3", "12": "conv1", "23": "pool3", "02": "skip", "03": "none", "13": "none"},
    {"01": "pool3", "13": "conv3", "03": "skip", "02": "none", "12": "none", "23": "conv1"}])
def test_a_chosen_path_is_the_cell_with_the_same_weights(edges, batch):
    whole = supernet.build((8, 8, 1), 10, size="mu")
    whole.get_layer("path").select(edges)
    own = cell.build((8, 8, 1), 10, size="mu", **{f"edge{edge}": kind for edge, kind in edges.items()})
    for layer in (layer for layer in own.layers if layer.weights):
        layer.set_weights(whole.get_layer(layer.name).get_weights())
    for training in (False, True):
        ours, theirs = (keras.ops.convert_to_numpy(net(batch[0], training=training)) for net in (own, whole))
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-4)


def test_paths_are_random_in_training_until_one_is_selected(batch):
    path = supernet.Path()
    drawn = [keras.ops.convert_to_numpy(path(batch[0], training=True)) for _ in range(40)]
    assert all((rows.sum(1) == 1).all() for rows in drawn)
    assert np.mean(drawn, 0).min() > 0.02 and len({rows.tobytes() for rows in drawn}) > 30
    path.select({"01": "skip"})
    rows = keras.ops.convert_to_numpy(path(batch[0], training=True))
    assert rows[0, cell.OPERATIONS.index("skip")] == 1 and (rows[1:, 0] == 1).all()


def test_cells_are_compared_on_random_batches_of_one_size(monkeypatch):
    """Norms use the statistics of a batch, and a folder's images are sorted by class."""
    y = np.repeat(np.arange(10), 30)
    x = np.tile(y.astype("uint8")[:, None, None, None], (8, 8, 1))
    sorted_by_class, seen = from_arrays(x, y, val=(x, y), test=(x, y))["val"], []

    def answers(model, function):
        return lambda some: seen.append(some) or np.eye(10)[some[:, 0, 0, 0].astype(int)]

    monkeypatch.setattr(one_shot, "load_splits", lambda *_, **__: {"val": sorted_by_class})
    monkeypatch.setattr(one_shot, "compiled", answers)
    path = SimpleNamespace(select=lambda edges: None)
    run = SimpleNamespace(recipe=cells().base, path=None, model=lambda: SimpleNamespace(get_layer=lambda name: path))
    assert list(one_shot.scores(run, [{}])) == [1.0]  # each answer is compared with the class of its own image
    assert [len(batch) for batch in seen] == [150, 150]
    assert all(min(np.bincount(batch[:, 0, 0, 0].astype(int), minlength=10)) > 5 for batch in seen)


def test_one_network_of_all_cells_trains_to_its_end(tmp_path, monkeypatch):
    """Its validation score while it trains is that of one path, by which no training is to stop."""
    monkeypatch.setattr(one_shot, "train", lambda recipe, **_: recipe)
    shared = one_shot.supernet_of(cells().base.override(patience=2, epochs=5), tmp_path)
    assert (shared.patience, shared.epochs, shared.keep) == (None, 15, "last")


# Rankings

def test_a_search_follows_a_ranking(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = rank(cells(limits={"multiply_adds": "100k"}), "zico", "ranking.json", 27)
    assert found["refused"] and len(found["points"]) + found["refused"] == 27
    scores = [row["scores"] for row in found["points"]]
    assert [row["zico"] for row in scores] == sorted((row["zico"] for row in scores), reverse=True)
    assert all(row["multiply_adds"] <= 100_000 and row["parameters"] > 0 for row in scores)
    made = cells(oracle="ranked:ranking.json")
    assert made.oracle == f"ranked:{tmp_path / 'ranking.json'}"  # a trial in another folder finds it
    study, records = Study(made, tmp_path / "study"), []
    while isinstance(planned := study.plan(records), TrialRecord):
        records.append(planned)
    assert planned is Answer.DONE and [record.values for record in records] == [
        row["values"] for row in found["points"][:3]]


def test_a_score_is_that_of_the_network_as_a_trial_begins_with_it():
    """Whatever was drawn before, and whatever another proxy did to the network."""
    made, some = cells(), rank_module.examples(cells())
    values, names = dict.fromkeys(SPACE, "conv1"), ("naswot", "synflow")
    together, _ = rank_module.scored(made, values, set(names), *some)
    assert together == {name: rank_module.scored(made, values, {name}, *some)[0][name] for name in names}


def test_a_cost_that_cannot_be_measured_here_is_one_line(monkeypatch):
    def measure(network, examples):
        raise ImportError("no converter\nfor this backend.")

    monkeypatch.setattr("kerasdl.costs.int8_kb.measure", measure)
    some, values = rank_module.examples(cells()), dict.fromkeys(SPACE, "conv1")
    with pytest.raises(UserError, match="^The cost int8_kb cannot be measured: ImportError: no converter for"):
        rank_module.scored(cells(limits={"int8_kb": 96}), values, {"parameters"}, *some)
    monkeypatch.setattr("kerasdl.nas.rank.keras.backend.backend", lambda: "jax")
    with pytest.raises(UserError, match=r"backend\. Set KERAS_BACKEND=tensorflow\.$"):
        rank_module.cost_of("int8_kb", None, None)


def test_a_network_adapts_to_the_data_only_for_a_proxy_that_looks_at_it(monkeypatch):
    adapted = []
    monkeypatch.setattr(rank_module, "adapt", lambda *_: adapted.append(True))
    made, some, values = cells(), rank_module.examples(cells()), dict.fromkeys(SPACE, "conv1")
    assert rank_module.scored(made, values, {"parameters", "synflow"}, *some)[0] and not adapted
    found, why = rank_module.scored(replace(made, limits={"parameters": 1}), values, {"naswot"}, *some)
    assert not found and "1 at most" in why and not adapted
    assert rank_module.scored(made, values, {"naswot"}, *some)[0] and adapted
    found, why = rank_module.scored(made, values | {"lr": -1.0}, {"parameters"}, *some)  # no recipe at all
    assert not found and "lr" in why


def test_a_point_whose_build_fails_in_any_way_leaves_the_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("import keras\n\ndef build(shape, classes, *, width):\n    return keras.Sequential(["
                               "keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes + 0 // width)])")
    made = cells(recipe="mlp_digits", overrides={"model": "mine.py:build", "model_args": {}},
                 space={"model_args.width": choice(0, 1)})
    found = rank(made, "parameters", "ranking.json")
    assert [row["values"]["model_args.width"] for row in found["points"]] == [1] and found["refused"] == 1
    none = replace(made, space={"model_args.width": choice(0)})
    with pytest.raises(UserError, match=r"None of 1 points .* The first because: ZeroDivisionError: "):
        rank(none, "parameters", "none.json")


def test_proxies_see_examples_of_all_classes(here):
    for label in range(4):
        for number in range(60):
            (here / "images" / f"{label}").mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), 20 * label).save(here / "images" / f"{label}" / f"{number}.png")
    made = Search(recipe="mlp_digits", space={"lr": choice(1e-3)}, overrides={
        "data": "folder:images", "data_args.image_size": 4, "data_args.channels": 1})
    x, y, _ = rank_module.examples(made)
    assert len(x) == 128 and min(np.bincount(y)) > 15
    assert all(len(np.unique(image)) == 1 and image.max() == 20 * label for image, label in zip(x, y, strict=True))


def test_numbers_are_ranked_by_what_needs_no_classes(here, command):
    rng = np.random.default_rng(0)
    pd.DataFrame(rng.normal(size=(40, 3)), columns=["a", "b", "y"]).round(4).to_csv("rows.csv", index=False)
    Path("numbers.py").write_text(
        "from kerasdl.tuning import Search, choice\n"
        "search = Search('mlp_digits', {'model_args.width': choice(8, 16, 512)}, overrides={'objective': 'regress',\n"
        "    'data': 'csv:rows.csv', 'data_args': {'label': 'y'}, 'monitor': 'r2'}, objective='val/r2')\n")
    done = command("tune", "rank", "numbers.py", "model_args.depth=1", "--by", "parameters", "--limit",
                   "parameters=1k", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert [row["values"]["model_args.width"] for row in found["points"]] == [16, 8] and found["refused"] == 1
    with pytest.raises(UserError, match="zico ranks networks by how they see classes.*multiply_adds"):
        rank(load_search("numbers.py"), "zico", "ranking.json")


def test_a_cell_has_the_edges_that_the_search_leaves_out():
    """Else the shared weights would score a cell that is never trained."""
    made = cells(space={"model_args.edge13": choice("conv1", "conv3")})
    assert rank_module.edges(made, {"model_args.edge13": "conv1"})["01"] == "conv3"  # the default of `cell`
    with pytest.raises(UserError, match="lr is searched, too"):
        rank(cells(space={"model_args.edge13": choice("none", "conv3"), "lr": choice(1e-3)}), "shared_weights", "x")


def test_a_ranking_of_values_that_the_space_has_not_is_refused(tmp_path):
    (tmp_path / "ranking.json").write_text(json.dumps({"points": [{"values": {"batch": 256}}]}))
    with pytest.raises(UserError, match="batch=256, which is not in"):
        preflight.check(Search(recipe="mlp_digits", space={"batch": choice(32, 64)},
                               oracle=f"ranked:{tmp_path / 'ranking.json'}"))
    (tmp_path / "zero.json").write_text(json.dumps({"points": [{"values": {"lr": 0.0}}]}))
    with pytest.raises(UserError, match="lr=0.0, which is not in"):
        preflight.check(Search(recipe="mlp_digits", space={"lr": log(1e-4, 1e-1)},
                               oracle=f"ranked:{tmp_path / 'zero.json'}"))
    preflight.check(Search(recipe="mlp_digits", space={"batch": choice(32, 256)},
                           oracle=f"ranked:{tmp_path / 'ranking.json'}"))


def test_a_network_without_a_score_comes_last(tmp_path, monkeypatch):
    scores = iter([-np.inf, 2.0, 3.0])
    monkeypatch.setattr(rank_module, "scored", lambda *_: ({"zico": next(scores), "parameters": 1.0}, ""))
    found = rank(cells(), "zico", tmp_path / "ranking.json", 3)
    assert [row["scores"]["zico"] for row in found["points"]] == [3.0, 2.0, None]
    scores = iter([-np.inf])
    with pytest.raises(UserError, match="No network of the space has a score by zico"):
        rank(cells(), "zico", tmp_path / "none.json", 1)
    with pytest.raises(UserError, match="'shared_weight'.*'shared_weights'"):
        rank(cells(), "shared_weight", tmp_path / "none.json", 1)


@pytest.mark.parametrize("change, words", [
    (lambda rows: [], ["another", "model_args.edge01"]), (None, ["kerasdl tune rank"])])
def test_a_ranking_of_another_space_is_refused(change, words, tmp_path):
    file = tmp_path / "ranking.json"
    if change:
        file.write_text(json.dumps({"points": [{"values": {"model_args.edge01": "skip", "lr": 0.1}}]}))
    with pytest.raises(UserError) as caught:
        Study(cells(oracle=f"ranked:{file}"), tmp_path).plan([])
    assert all(word in str(caught.value) for word in words)


@pytest.mark.soak
def test_cells_are_ranked_by_the_weights_that_they_share(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = rank(cells(), "shared_weights", "ranking.json", 4, verbose=False)
    assert all(0 <= row["scores"]["shared_weights"] <= 1 for row in found["points"])
    before = os.stat("ranking_supernet/result.json").st_mtime_ns
    again = rank(cells(), "shared_weights", "ranking.json", 4, verbose=False)  # the network is not trained again
    assert os.stat("ranking_supernet/result.json").st_mtime_ns == before and again == found
    with pytest.raises(UserError, match="model=cell"):
        one_shot.supernet_of(cells().base.override(model="mlp"), tmp_path / "other")


def test_the_space_of_stages_holds_networks_within_its_limit():
    """One point in six; in a wider space one was in 600, and the search gave up."""
    search = load_search("resnet8_cifar10_stages")
    drawn = [{name.partition(".")[2]: value for name, value in values.items()}
             for values in islice(points(search.dimensions, search.seed), 3)]
    costs = [multiply_adds(zoo.build("stages", (32, 32, 3), 10, **args)) for args in drawn]
    assert min(costs) <= search.limits["multiply_adds"] < max(costs)
