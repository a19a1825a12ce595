"""The benchmarks compare like with like. Nothing here is timed."""

import ast
import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import keras
import numpy as np
import pytest
from zoo_harness import outline

from benchmarks import (
    audit,
    auto,
    ensembles,
    explain,
    harness,
    keras_models,
    nas_cifar10,
    nas_replay,
    nas_table,
    page,
    private,
    probes,
    reproduced,
    robust,
    run,
    search_race,
    texts,
    time_to_accuracy,
    transfer,
    variants,
)
from benchmarks.rows import CLASSES, RACES, ROWS
from kerasdl import zoo
from kerasdl.attacks import suite
from kerasdl.attacks.masking import Check
from kerasdl.auto.asked import Asked
from kerasdl.data import load_splits
from kerasdl.ensemble import ensemble
from kerasdl.errors import UserError
from kerasdl.evaluation.evaluate import evaluate
from kerasdl.files import try_lock, write_json
from kerasdl.published.results import mean_sd
from kerasdl.recipe import load
from kerasdl.train.fit import train
from kerasdl.train.setup import SPLITS
from kerasdl.tuning import load as load_search
from kerasdl.tuning.samplers.grid import combinations
from kerasdl.zoo import mlp
from kerasdl.zoo.cost import multiply_adds

ROOT = Path(__file__).parents[1]


def parameters(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def test_names_of_the_package_that_benchmarks_use_are_there():
    """Most benchmarks run for hours, so that no test runs them."""
    gone = set()
    for file in sorted((ROOT / "benchmarks").glob("*.py")):
        tree, used = ast.parse(file.read_text()), set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "kerasdl":
                used |= {(node.module, alias.name) for alias in node.names}
        packages = {home for home, _ in used if importlib.util.find_spec(home).submodule_search_locations}
        modules = {name: f"{home}.{name}" for home, name in used if home in packages
                   and importlib.util.find_spec(f"{home}.{name}")}
        used |= {(modules[node.value.id], node.attr) for node in ast.walk(tree) if isinstance(node, ast.Attribute)
                 and isinstance(node.value, ast.Name) and node.value.id in modules}
        gone |= {(file.stem, home, name) for home, name in used if name not in modules
                 and not hasattr(importlib.import_module(home), name)}
    assert not gone


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=() if name in ("cnn", "resnet18", "vit") else pytest.mark.soak) for name in ROWS | RACES])
def test_ours_and_plain_keras_are_the_same_network(name):
    row = (ROWS | RACES)[name]
    for model in (outline(zoo.build, row.model, row.shape, CLASSES, **row.args),
                  outline(keras_models.build, row, name)):
        assert parameters(model) == row.parameters
        assert multiply_adds(model) == row.macs


def test_a_contender_that_is_recorded_is_not_measured_again(monkeypatch, tmp_path):
    """So that another interpreter with rivals may be named later."""
    def answer(*_):
        return np.zeros((len(load_splits("digits", SPLITS)["test"]), 10)), "nothing"

    for name in ("ours", "other"):
        monkeypatch.setattr(auto, name, answer)
    monkeypatch.setattr(auto, "RUNS", tmp_path)
    answers = tmp_path / "digits-1-0" / "auto" / "auto.json"
    answers.parent.mkdir(parents=True)
    answers.touch()
    key = {"set": "digits", "minutes": 1.0, "seed": 0}
    kept = [{**key, "contender": name} for name in ("kerasdl auto", "boosting", "default recipe")]
    assert list(auto.measure("digits", ROOT, 1.0, 0, None, kept)) == []
    found = list(auto.measure("digits", ROOT, 1.0, 0, "python", kept))
    assert [(row["contender"], row["ahead"]) for row in found] == [("autogluon", [0.0, 0.0]), ("flaml", [0.0, 0.0])]
    assert auto.with_row(kept, found[0]) == [*kept, found[0]]
    answers.unlink()  # the rows that are kept compare with answers that are gone
    row = next(auto.measure("digits", ROOT, 1.0, 0, "python", kept))
    assert row["contender"] == "kerasdl auto" and auto.with_row([*kept, key | {"contender": "x", "seed": 1}], row) == [
        key | {"contender": "x", "seed": 1}, row]


def test_opponents_have_the_seed_of_the_row(monkeypatch, tmp_path):
    def answer(*given):
        seeds.append(given[0].seed if isinstance(given[0], Asked) else given[-1])
        return np.zeros((len(load_splits("digits", SPLITS)["test"]), 10)), "nothing"

    seeds = []
    monkeypatch.setattr(auto, "RUNS", tmp_path)
    for name in ("ours", "boosting", "default", "other"):
        monkeypatch.setattr(auto, name, answer)
    assert len(list(auto.measure("digits", ROOT, 1.0, 7, "python", []))) == 5 and seeds == [7] * 5
    text = auto.body([{"set": "digits", "contender": "kerasdl auto", "minutes": 1.0, "seed": seed, "score": "accuracy",
                       "test": 0.5, "ahead": None, "environment": DEVICE} for seed in (0, 7)])
    assert "| digits, 1 min, seed 7 | accuracy | 50.0% |" in text


DIVERGED = SimpleNamespace(result={"status": "diverged", "message": "the loss is NaN"}, path=ROOT / "nowhere")


def test_the_default_recipe_has_the_examples_of_all_and_one_that_diverges_is_a_row(monkeypatch, tmp_path):
    def once(recipe, *_, **__):
        trained.append(recipe)
        return DIVERGED

    trained = []
    monkeypatch.setattr(auto, "once", once)
    monkeypatch.setattr(auto, "RUNS", tmp_path)
    data, overrides, objective, recipe = auto.SETS["film reviews"]
    asked = Asked(data.format(folder=tmp_path), objective, overrides)
    with pytest.raises(UserError, match="NaN"):
        auto.default(asked, recipe, tmp_path)
    assert trained[0].data_args == asked.base.data_args and load(recipe).data_args.keys() > asked.base.data_args.keys()
    for name in ("ours", "boosting"):
        monkeypatch.setattr(auto, name, lambda *_: (np.zeros((len(load_splits("digits", SPLITS)["test"]), 10)), ""))
    rows = list(auto.measure("digits", ROOT, 1.0, 0, None, []))
    assert [row.get("error") for row in rows] == [None, None, "the loss is NaN"]


def test_trainings_that_diverge_leave_the_other_seeds_and_rates(monkeypatch, tmp_path, capsys):
    ended = SimpleNamespace(result={"status": "completed", "val": {"accuracy": 0.5}})
    monkeypatch.setattr(texts, "once", lambda recipe, *_, **__: DIVERGED if recipe.lr == 5e-5 else ended)
    assert texts.chosen(load("minilm_rt"), "fine-tuned", tmp_path) is ended
    monkeypatch.setattr(probes, "once", lambda *_, **__: DIVERGED)
    with pytest.raises(UserError, match="NaN"):
        probes.epochs_for(load("mae_cifar10"), 1.0)
    monkeypatch.chdir(tmp_path)
    kept = [{"case": "digits", "seed": 0}]
    write_json(tmp_path / "results.json", kept)
    for module, word in ((texts, str(tmp_path)), (transfer, "digits")):
        monkeypatch.setattr(module, "once", lambda *_, **__: DIVERGED)
        monkeypatch.setattr(module, "RESULTS", tmp_path / "results.json")
        monkeypatch.setattr(sys, "argv", ["it", word, "--seeds", "2"])
        module.main()
        assert capsys.readouterr().out.count("not measured: the loss is NaN") == 2
        assert json.loads((tmp_path / "results.json").read_text()) == kept


def test_multiply_adds_of_the_textbook_cnn_by_hand():
    by_hand = 26 * 26 * 32 * (3 * 3 * 1) + 11 * 11 * 64 * (3 * 3 * 32) + (5 * 5 * 64) * 10
    assert ROWS["cnn"].macs == by_hand == 2_440_960


def test_multiply_adds_of_attention_by_hand():
    x = keras.Input((65, 192))
    model = keras.Model(x, keras.layers.MultiHeadAttention(3, 64)(x, x))
    assert multiply_adds(model) == 4 * 65 * 192 * 192 + 2 * 65 * 65 * 192


def test_everybody_trains_the_same_gan():
    from benchmarks import gan, gan_keras
    from kerasdl.zoo import gan as ours

    pairs = [ours.build(gan.SHAPE, CLASSES, net="dcgan", size="S", latent=gan.LATENT), gan_keras.networks()]
    assert [parameters(net) for net in pairs[0]] == [parameters(net) for net in pairs[1]]
    by_hand = 64 * 256 + 256 * 7 * 7 * 128 + 7 * 7 * (4 * 4 * 128) * 64 + 14 * 14 * (4 * 4 * 64) * 1
    assert multiply_adds(pairs[0][0]) == multiply_adds(pairs[1][0]) == by_hand
    assert multiply_adds(pairs[0][1]) == multiply_adds(pairs[1][1])


@pytest.mark.parametrize("name", ROWS | RACES)
@pytest.mark.skipif(not importlib.util.find_spec("torch"), reason='PyTorch is not installed: pip install -e ".[bench]"')
def test_pytorch_computes_what_keras_computes(name, tmp_path):
    """With the same weights: the same loss before and after two steps of the row's optimizer, in training mode.

    In float64, where rounding is no excuse. Keras' Adam adds its epsilon before the bias is corrected (Kingma & Ba,
    2015, section 2) and PyTorch's after, which shows in the smallest gradients.
    """
    row = (ROWS | RACES)[name]
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float64")
    try:
        model = keras_models.build(row, name)
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile(keras_models.optimizer(row), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images = np.random.default_rng(0).integers(0, 256, (8, *row.shape), dtype="uint8")
    labels = np.arange(8) % CLASSES
    np.savez(tmp_path / "start.npz", images, labels, *[np.asarray(weight) for weight in model.trainable_weights])
    scaled = images.astype("float32") * ((1 - row.low) / 255) + row.low
    ours = [float(model.train_on_batch(scaled, labels)) for _ in range(3)]
    theirs = subprocess.run([sys.executable, "-c", TWIN, name, tmp_path / "start.npz"], cwd=ROOT, check=True, text=True,
                            stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"}).stdout
    tolerance = 1e-5 if row.optimizer == "sgd" else 5e-3
    np.testing.assert_allclose(json.loads(theirs.splitlines()[-1]), ours, rtol=tolerance)


TWIN = """  # In a process of its own: two libraries with their own threads do not share one well.
import json, sys
import numpy as np, torch
from benchmarks import torch_eager, torch_models
from benchmarks.rows import RACES, ROWS
name, path = sys.argv[1:]
images, labels, *weights = np.load(path).values()
torch.Tensor.float = torch.Tensor.double
training = torch_eager.Training((ROWS | RACES)[name], name, "float32", compiled=False)
training.model.double()
torch_models.from_keras(training.model, weights)
training.model.train()
print(json.dumps([training.step(torch.tensor(images), torch.tensor(labels))[0].item() for _ in range(3)]))
"""


ENVIRONMENT = {"cpu": "Some CPU", "cores": 2, "threads": 2, "python": "3.11.7", "keras": "3.15.1", "torch": "2.13.0",
               "load_average": [0.1, 0.2, 0.3], "hostname": "secret"}
DEVICE = {**ENVIRONMENT, "device": "CPU"}


def said(speed, **changes):
    return {"images_per_second": speed, "first_step_seconds": 1.0, "total_seconds": 9.0, "peak_mb": 500.0,
            "parameters": ROWS["cnn"].parameters, "accuracy": 0.9, "loss": 0.3} | changes


def entry(ours, theirs, opponent="torch_eager"):
    made = {**run.entry("cnn", "float32", opponent, ours, theirs), "environment": dict(ENVIRONMENT)}
    run.fractions([made], {"float32": {"gflops": 200.0, "library": "torch", "n": 2048}})
    return made


def test_an_entry_holds_medians_their_spread_and_the_ratio_of_medians():
    made = entry([said(3000.0), said(1000.0), said(2000.0)], [said(1000.0), said(4000.0), said(900.0)])
    assert (made["ours_images_per_second"], made["opponent_images_per_second"], made["ratio"]) == (2000, 1000, 2)
    assert made["ours_spread"] == [1000, 3000] and made["repeats"] == 3
    assert made["ours_fraction_of_gemm_peak"] == round(2000 * 6 * ROWS["cnn"].macs / 200e9, 4)


def test_all_runs_of_a_race_are_counted_and_what_was_unusual_is_shown():
    ours, theirs = ([{"seconds": seconds, "epochs": 3, "peak_mb": 500.0} for seconds in some] for some in (
        (10.0, 30.0), (40.0,)))
    row = {**time_to_accuracy.entry("cnn_mnist", "ours", "torch_eager", ours, theirs), "environment": DEVICE}
    text = page.races([row, row | {"remark": "Begun twice."}])
    assert "| 20.0 (10.0-30.0) | 40.0 (40.0-40.0) | 2.00 | 3 / 3 | 2 / 1 |" in text and text.count("Begun twice.") == 1


def test_another_network_or_a_failure_gives_no_ratio():
    other = entry([said(3000.0)], [said(1000.0, parameters=7)])
    failed = entry([said(3000.0)], [{"error": "exit code 1: no g++"}])
    assert other["ratio"] is None and "not the same network" in other["error"]
    assert failed["ratio"] is None and failed["opponent_images_per_second"] is None and "g++" in failed["error"]


def test_the_page_is_made_from_the_json(tmp_path):
    assert page.body(tmp_path).count("not run") == 13
    rows = [entry([said(2000.0)], [said(1000.0)]), entry([said(2000.0)], [said(2500.0)], "keras_jax"),
            entry([said(2000.0)], [{"error": "exit code 1: no g++"}], "torch_compiled")]
    (tmp_path / "bench.json").write_text(json.dumps(rows))
    (tmp_path / "bench_floor.json").write_text(json.dumps([
        {"row": "cnn", "precision": "float32", "what": "convolutions", "images_per_second": 3e3,
         "environment": ENVIRONMENT},
        {"what": "import", "library": "tensorflow", "peak_mb": 812.3, "environment": ENVIRONMENT}]))
    (tmp_path / "bench_tuning_speed.json").write_text(json.dumps([
        {"what": "speed", "search": "a", "ours": {"trials": 30, "wall_seconds": 50.0, "best": 0.9},
         "theirs": {"wall_seconds": 100.0, "best": 0.8}, "times_faster": 2.0, "environment": ENVIRONMENT}]))
    (tmp_path / "bench_tuning_memory.json").write_text(json.dumps([
        {"what": "memory", "trials": 200, "spread_mb": 3.1, "environment": ENVIRONMENT}]))
    (tmp_path / "bench_startup.json").write_text(json.dumps([
        {"command": "train x splits.test=test[:9]", "name": "x", "environment": ENVIRONMENT, "import": {"seconds": 4.0},
         "first": {"seconds": 9.0, "training": 2.0, "first_step": 1.5, "spread": [8.0, 10.0], "ratio": 1.5,
                   "phases": {"tracing": 0.5}},
         "second": {"seconds": 3.0, "spread": [2.0, 4.0], "ratio": 0.75}}]))
    (tmp_path / "bench_avx2.json").write_text(json.dumps([entry([said(2000.0)], [said(3000.0)])]))
    body = page.body(tmp_path)
    assert "do without AVX-512" in body and "| textbook CNN | float32 | 0.67 |" in body
    assert "| `train x` | first | 9.0 (8.0 to 10.0) | 4.0 | 2.0 | 1.5 | 1.50 |" in body
    assert "| `train x`, first | 0.50 |" in body
    assert "the whole command is `train x splits.test=test[:9]`" in body
    assert "| `train x` | second | 3.0 (2.0 to 4.0) | 4.0 | none | none | 0.75 |" in body
    assert "changed by 3.1 MB" in body
    assert "| `a` | 30 | 50 | 100 | 2.00 | 0.9000 / 0.8000 |" in body
    assert "the convolutions and their gradients alone | 3,000 | 2,000 | 66.7% | none | 3.00 (1.5) |" in body
    assert "Importing alone takes 812 MB for tensorflow." in body
    assert "| textbook CNN | float32 | PyTorch eager | 2.00 | 1.5 | 2,000 (2,000-2,000) | 1,000 (1,000-1,000) |" in body
    assert "| 0.80 |" in body and "kerasdl loses 1 of 3 comparisons" in body and "failed: exit code 1: no g++" in body
    assert "Some CPU" in body and "secret" not in body
    assert "Not run: linear against Keras script, PyTorch eager, PyTorch compiled, Keras on JAX; " in body
    assert "; textbook CNN against Keras script; " in body and "; bfloat16." in body
    page.draw(tmp_path, tmp_path / "bench.svg")
    assert "<svg" in (tmp_path / "bench.svg").read_text()


def of_attacks(**changes):
    right = {name: {"accuracy": 0.5} for name in ("clean", "pgd", "worst", "art", "art_bytes")}
    return {"recipe": "a", "seed": 0, "eps": 8.0, "asked": 9, "examples": 9, "right": right, "environment": DEVICE,
            "checks": {"more_steps": True, "whole_range": False}, "seconds": {"train": 60}, **changes}


def of_corruptions(augment, trained_on, **changes):
    kinds = [{"kind": kind, "accuracy": [right], "trained_on": trained_on if kind == "snow" else []}
             for kind, right in (("snow", 1.0), ("fog", 0.5))]
    return {"recipe": "a", "augment": augment, "seed": 0, "asked": 9, "examples": 9, "mean": 0.75, "clean": 1.0,
            "kinds": kinds, "environment": DEVICE} | changes


def of_explanations(seed, why):
    check = {"examples": 9, "trusted": True,
             "randomisation": {"layers": [{"signed": 0.1, "absolute": 0.2}], "mean": 0.1, "final": 0.1, "passed": True},
             **({} if why else {"planted": {"mass": 0.9, "area": 0.1}})}
    return {"recipe": "a", "seed": seed, "method": "gradient", "test": {"accuracy": 0.9}, "check": check,
            "not_planted": why, "environment": DEVICE}


def test_pages_of_what_was_measured_of_runs():
    attacked = robust.body([of_attacks()])
    assert "| `a` | 8 | 50.0% | 50.0% | 50.0% | 50.0% | 50.0% | 9 | 1 | whole_range |" in attacked
    corrupted = robust.body([of_corruptions("none", []), of_corruptions("augmix", ["augmix"])])
    assert "| `a` | none | 100.00 | 75.00 | 50.00 | 1 |" in corrupted  # without the kind that the other row has seen
    assert "| `a` | augmix | 100.00 | 75.00 | 50.00 | 1 |" in corrupted
    explained = explain.body([of_explanations(0, ""), of_explanations(1, "It was not learned.")])
    assert "(in 10.0 % of the places; 1 of 2 seeds)" in explained and "Seed 1: It was not learned." in explained
    assert "| images | `a` | 10 |" in audit.body([
        {"subject": "images", "recipe": "a", "quick": True, "seconds": 1, "peak_rss_mb": 1, "test_examples": 10,
         "parts": [{"name": "groups", "seconds": 1}], "environment": DEVICE}])
    assert "| `a` | private | 3 | 0.1 | 2 |" in private.body([
        {"recipe": "a", "way": "private", "seed": 0, "test": {"accuracy": 0.9}, "seconds": 1,
         "private": {"epsilon": 3.0, "delta": 0.1, "noise": 2.0}, "environment": DEVICE}])


def test_what_was_reproduced_stands_next_to_the_interval_and_what_was_not_is_named():
    def side(*scores):
        return {"seeds": list(range(len(scores))), "scores": scores}

    one, other = ({"recipe": recipe, "metric": metric, "interval": ends, "reproduced": held, "verdict": verdict,
                   "published": side(*then), "here": side(*now), "environment": DEVICE}
                  for recipe, metric, ends, held, verdict, then, now in (
                      ("linear_digits", "accuracy", (0.9, 1.0), True, "within the interval", (0.94, 0.96), (0.95,)),
                      ("gan_digits", "frechet_cnn_digits", (1, 2), False, "above the interval by 1", (1.5,), (3,))))
    text = reproduced.body([one, other])
    assert "| test accuracy, % | 95.00 ± 1.41 (0-1) | 95.00 (0) | 90.00 .. 100.00 | yes |" in text
    assert "| Fréchet distance (cnn_digits) | 1.500 (0) | 3.000 (0) | 1.000 .. 2.000 | above the interval" in text
    assert "1 of 2 within the interval." in text


def test_a_warning_is_no_sign_of_a_hidden_gradient(monkeypatch):
    result = {"test": {}, "train": {"seconds": 1.0}, "environment": DEVICE}
    mask = np.ones(4, bool)
    checks = [Check("square_loses_to_pgd", "", False, True, ""), Check("whole_range", "", False, False, "")]
    monkeypatch.setattr(robust, "trained", lambda *_: SimpleNamespace(result=result, model=lambda: None))
    monkeypatch.setattr(robust, "examples_of", lambda *_: (np.zeros((4, 2, 2, 1)), np.zeros(4), None))
    monkeypatch.setattr(robust, "Attacked", lambda model: model)
    monkeypatch.setattr(suite, "attack", lambda *_, **__: suite.Attacks({"clean": mask}, mask, checks, 8.0))
    row = robust.attacked("a", 0, 8.0, 4, 5)
    assert row["checks"] == {"whole_range": False} and row["environment"] == DEVICE


def test_attacks_continue_with_the_other_library_s_half(monkeypatch, tmp_path):
    calls, out = [], tmp_path / "robust.json"

    def ours(recipe, count, **facts):
        calls.append(count)
        row = of_attacks(recipe=recipe, asked=count, **facts)
        return row | {"right": {name: row["right"][name] for name in ("clean", "pgd", "worst")}}

    def theirs(row):
        calls.append("art")
        raise MemoryError

    monkeypatch.setattr(robust, "pin", lambda: None)
    monkeypatch.setattr(robust, "attacked", ours)
    monkeypatch.setattr(robust, "attacked_by_art", theirs)
    monkeypatch.setattr(sys, "argv", ["robust", "attacks", "--recipes", "a", "--eps", "8", "--out", str(out)])
    monkeypatch.setitem(sys.modules, "art", None)
    with pytest.raises(ImportError):
        robust.main()
    assert calls == []
    for name in ("art", "art.attacks", "art.attacks.evasion", "art.estimators", "art.estimators.classification"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for _ in range(2):
        with pytest.raises(MemoryError):
            robust.main()
    assert calls == [1000, "art", "art"] and "not run" in robust.body(json.loads(out.read_text()))
    sys.argv += ["--examples", "5"]
    with pytest.raises(MemoryError):
        robust.main()
    assert [row["asked"] for row in json.loads(out.read_text())] == [5]


def test_processes_take_turns_and_one_that_failed_is_not_asked_again():
    order, answers = [], {"a": [{"x": 1}, {"x": 2}], "b": [{"error": "no"}]}

    def program(name):
        return lambda: order.append(name) or answers[name][order.count(name) - 1]

    said = harness.interleaved({"a": program("a"), "b": program("b")}, 2, tell=lambda line: None)
    assert order == ["a", "b", "a"] and said["a"] == [{"x": 1}, {"x": 2}]


def test_both_sides_of_the_race_of_searches_train_the_recipe(tmp_path):
    recipe = load("mlp_digits")
    assert (recipe.batch, recipe.epochs, recipe.ema) == (
        search_race.BATCH, search_race.EPOCHS, search_race.DECAY)
    assert (recipe.schedule, recipe.warmup, recipe.optimizer, recipe.augment) == (
        "cosine", "0%", "adamw", (("translate", 1),))
    assert mlp.hidden_widths(recipe.model_args["size"]) == search_race.WIDTHS
    facts = {"threads": 2, "cores": 2, "cpu": "Some CPU", "kerasdl": "0.1.0", "load_average": [1.0, 1.0, 1.0]}
    rows = [{"program": name, "trials": 30, "seconds": seconds, "spread": [1.0, 99.0], "ratio": seconds / 60,
             "best": [0.98, 0.99], "peak_mb": 900.0, "repeats": 2, "environment": facts}
            for name, seconds in (("ours", 60.0), ("optuna", 90.0))]
    assert "| optuna | 90.0 (1.0-99.0) | 20 | 1.50 | 98.0, 99.0 | 900 |" in page.search_races(rows)


def test_rows_that_are_not_measured_again_stay(tmp_path):
    old = [entry([said(1.0)], [said(1.0)]), entry([said(1.0)], [said(1.0)], "keras_jax")]
    (tmp_path / "bench.json").write_text(json.dumps(old))
    merged = run.merged(tmp_path / "bench.json", [entry([said(5.0)], [said(1.0)])])
    assert [(made["opponent"], made["ratio"]) for made in merged] == [("torch_eager", 5), ("keras_jax", 1)]


@pytest.mark.parametrize("name", ROWS)
def test_epochs_are_whole_batches(name):
    for steps in (1, 5, ROWS[name].steps):
        images, epochs = ROWS[name].epochs(steps)
        assert images % 128 == 0 and images * epochs >= steps * 128
    assert epochs > 1, "one epoch's rate alone has no median"


def test_regrets_stand_under_their_oracle(tmp_path):
    """Also where one was not run."""
    facts = {"threads": 2, "cores": 2, "cpu": "Some CPU", "kerasdl": "0.1.0", "load_average": [1.0, 1.0, 1.0]}
    made = [{"surface": surface, "oracle": oracle, "trials": 50, "seeds": 20, "median": median, "environment": facts,
             "quartiles": [median / 2, median * 2]}
            for surface, oracle, median in (("Branin", "random", 0.5), ("Branin", "bayesian", 1e-4),
                                            ("Table", "bayesian", 0.0))]
    (tmp_path / "bench_tuning.json").write_text(json.dumps(made))
    lines = page.tuning(tmp_path).splitlines()
    assert "| best of 50 trials less the best there is | random | bayesian |" in lines
    assert "| Branin | 0.5 (0.25 to 1; 20 seeds) | 0.0001 (5e-05 to 0.0002; 20 seeds) |" in lines
    assert "| Table | not run | 0 (0 to 0; 20 seeds) |" in lines


def test_trainings_that_the_docs_tell_of(hard_recipe, hard_run, tmp_path):
    """Each by the settings in which it differs from the recipe, as the command has them, and by its test if one was."""
    unread = train(hard_recipe.override("model_args.drop=0.0", "lr=0.03", epochs=1), workdir=tmp_path / "other",
                   verbose=False, test=False)
    entries = [variants.noted(run.path, program) for run, program in ((hard_run, ""), (unread, "no bias"))]
    told = variants.body(entries, [hard_recipe]).splitlines()
    assert told[0] == "### Variants of hard"
    result = hard_run.result
    rest = [f"{100 * value['accuracy']:.2f}" for value in (result["val"], result["test"])]
    assert told[-1] == f"| 3 | {100 * hard_run.metrics['accuracy'].iloc[-1]:.1f} | {' | '.join(rest)} | nothing |"
    assert told[-2].startswith("| 1 | ")
    assert told[-2].endswith(" | not read | `model_args.drop=0.0`, `lr=0.03`; no bias |")
    assert variants.body([], [hard_recipe]) == "None has been noted yet.\n"


@pytest.mark.soak
def test_ensembles_that_the_docs_tell_of(hard_recipe, tmp_path):
    """The average of all seeds beside their mean, with views where the recipe states them."""
    recipe = hard_recipe.override(epochs=1, tta="flip")
    runs = [train(recipe.override(seed=seed), workdir=tmp_path / str(seed), verbose=False) for seed in (3, 4)]
    entry = ensembles.measure(runs)
    assert [member["tta"] for member in entry["members"]] == [run.result["tta"] for run in runs]
    row = ensembles.body([entry]).splitlines()[2].split(" | ")
    assert row[:2] == ["| `hard`", "3-4"]
    for cell, split in ((row[2], "test"), (row[3], "tta")):
        alone = [100 * run.result[split]["accuracy"] for run in runs]
        assert cell == f"{mean_sd(alone)} → {100 * entry[split]['accuracy']:.2f}"
    both = ensemble(runs, workdir=tmp_path / "both")
    assert entry["test"] == both.result["test"]
    assert entry["tta"] == pytest.approx(evaluate(both, tta="flip"))


def test_a_method_that_was_replayed_is_kept(monkeypatch, tmp_path):
    names = [nas_table.key(values) for values in combinations(nas_table.SEARCH.dimensions)]
    rows = {name: {"proxies": {"zico": float(at)}, "curves": {str(seed): [at / 243] for seed in range(3)}}
            for at, name in enumerate(names)}
    order, replayed = list(range(100)), []

    def searched(table, oracle, seed):
        if oracle == "evolution" and not replayed.count(oracle):
            replayed.append(oracle)
            raise KeyboardInterrupt
        replayed.append(oracle)
        return order

    monkeypatch.setattr(nas_table, "load", lambda: {"rows": rows, "environment": DEVICE})
    monkeypatch.setattr(nas_replay, "FILE", tmp_path / "replay.json")
    monkeypatch.setattr(nas_replay, "ORACLES", ("random", "evolution"))
    monkeypatch.setattr(nas_replay, "searched", searched)
    with pytest.raises(KeyboardInterrupt):
        nas_replay.main()
    nas_replay.main()
    methods = [row["method"] for row in json.loads((tmp_path / "replay.json").read_text())["rows"]]
    assert methods == ["random", "evolution", "ranked by zico"] and replayed.count("random") == nas_replay.SEEDS


def test_trainings_of_several_processes_are_all_recorded(monkeypatch, tmp_path):
    """A process reads the table only once no other one is between reading and writing it."""
    monkeypatch.setattr(nas_table, "FILE", tmp_path / "table.json")
    monkeypatch.setattr(nas_table, "LOCK", tmp_path / "lock")
    held = []

    def write(file, table):
        held.append(try_lock(nas_table.LOCK) is None)
        write_json(file, table)

    monkeypatch.setattr(nas_table, "write_json", write)
    name = nas_table.key(next(combinations(nas_table.SEARCH.dimensions)))
    for seed in (0, 1):
        nas_table.record(name, seed, {}, [0.5], {})
    found = nas_table.load(nas_table.FILE)
    assert held == [True, True] and nas_table.missing(found["rows"]) == 243 * 3 - 2


def test_networks_found_stand_next_to_the_one_by_hand(tmp_path):
    """With what both cost, and with the machines of both."""
    def result(cpu):
        return {"test": {"accuracy": 0.9}, "train": {"seconds": 60.0}, "environment": DEVICE | {"cpu": cpu}}

    (tmp_path / "resnet8_cifar10-0.json").write_text(json.dumps(result("By hand")))
    row = {"oracle": "evolution", "limits": {"multiply_adds": 12239488.0, "int8_kb": 96.0}, "trials": 90, "hours": 3.0,
           "costs": {"multiply_adds": 9e6, "int8_kb": 80.2}}
    text = nas_cifar10.body({"by_hand": {"multiply_adds": 12239488, "int8_kb": 95.9}, "rows": [
        row | {"results": [result(cpu)]} for cpu in ("One", "Two")]}, tmp_path)
    assert "by evolution, at most multiply_adds 12,239,488 and int8_kb 96 KB | 90, 3.0 | 9,000,000 | 80 |" in text
    assert "| `resnet8_cifar10`, by hand |  | 12,239,488 | 96 | 90.00 | 1.0 | 1 |" in text
    assert all(f"cores of {cpu};" in text for cpu in ("One", "Two", "By hand"))
    assert nas_cifar10.body([], tmp_path) == "not run\n"


def test_no_network_of_the_search_has_more_multiply_adds_than_resnet_8():
    network = zoo.build("resnet", (32, 32, 3), 10, **load("resnet8_cifar10").model_args)
    assert load_search("resnet8_cifar10_stages").limits["multiply_adds"] == multiply_adds(network)


def test_searches_are_replayed_on_a_table(monkeypatch, tmp_path):
    """A cell with one convolution more is better: a proxy that counts them has no regret, and noise beats nothing."""
    names = [nas_table.key(values) for values in combinations(nas_table.SEARCH.dimensions)]
    assert len(names) == 243
    rng = np.random.default_rng(0)
    with pytest.raises(SystemExit, match="729 of 729 trainings are missing"):
        nas_replay.Table({})
    rows = {name: {"proxies": {"convolutions": float(name.count("conv3")), "noise": float(rng.random())},
                   "curves": {str(seed): [0.5 + 0.1 * name.count("conv3")] for seed in range(3)}} for name in names}
    monkeypatch.setattr(nas_replay, "SEEDS", 12)
    table = nas_replay.Table(rows)
    methods = [nas_replay.measured(table, "random", lambda seed: nas_replay.searched(table, "random", seed)),
               *(nas_replay.measured(table, proxy, lambda seed, proxy=proxy: nas_replay.ranked(table, proxy, seed))
                 for proxy in ("convolutions", "noise"))]
    methods.append({**methods[1], "method": "ranked by convolutions"})
    facts = {**ENVIRONMENT, "device": "CPU", "kerasdl": "0.2", "tensorflow": "2.21"}
    found = {"cells": 243, "best": 1.0, "mean": 0.8, "between_seeds": 0.0, "rows": methods, "environment": facts,
             "correlations": nas_replay.correlations(table)}
    assert found["correlations"]["convolutions"]["all"] == pytest.approx(1.0)
    text = nas_replay.body(found)
    first = text.splitlines()[0]
    assert "Not better than random after 50 trainings:" in first and "noise" in first and "convolutions" not in first
    assert "| convolutions | 0.00 |" in text and "3 outcomes" in text
    assert "| ranked by convolutions | 0.00 | 0.00 | 0.00 | 0.00 |  |" in text  # too few for a test
    assert "Not replayed: evolution, bayesian, " in text and "`shared_weights`" in text and "Hyperband" in text
    assert np.abs(methods[1]["bands"]).max() < 1e-9 < np.max(methods[0]["bands"])
    nas_replay.draw(found, tmp_path / "regret.svg")
    assert (tmp_path / "regret.svg").stat().st_size > 10_000
