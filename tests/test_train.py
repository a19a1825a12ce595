"""A recipe becomes a run: the same one every time, with the weights and the numbers that it says."""

import errno
import inspect
import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import urllib.error
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import kerasdl
from kerasdl import zoo
from kerasdl.data import from_arrays, load
from kerasdl.errors import UserError
from kerasdl.evaluation import predictions
from kerasdl.evaluation.evaluate import evaluate
from kerasdl.files import whole, write_json, writing
from kerasdl.objectives import average
from kerasdl.recipe import Recipe
from kerasdl.run import Run, folder_for
from kerasdl.text import thousands
from kerasdl.train import loop, optim, progress, record
from kerasdl.train.callbacks import Diverged, checked
from kerasdl.train.fit import train
from kerasdl.train.setup import seeded

LINEAR = Recipe(name="linear", model="linear", data="digits", batch=128, epochs=2, lr=2e-2)
FILES = {"recipe.json", "data.json", "result.json", "metrics.csv", "tensorboard", "model.keras", "predictions.npz"}


@pytest.fixture
def run(here):
    """Trains quietly, into a new folder each time."""

    def call(recipe, *overrides, **changes):
        return train(recipe, *overrides, verbose=False, **changes)

    return call


def weights(run):
    return run.model().get_weights()


def same_numbers(one, other):
    """All that is measured and is not time, bit for bit."""
    for key in ("test", "val", "best_epoch", "parameters"):
        assert one.result[key] == other.result[key]
    timed = ["examples_per_second"]
    pd.testing.assert_frame_equal(one.metrics.drop(columns=timed), other.metrics.drop(columns=timed), check_exact=True)
    for a, b in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(a, b)


# The same again


def test_a_run_repeats_bit_for_bit_and_leaves_the_caller_alone(run, hard_recipe, hard_run):
    """Batch norm, dropout, augmentation and averaging in it; whatever the caller's own random states are."""
    random.seed(7)
    np.random.seed(7)
    tf.random.set_seed(7)
    try:
        before = random.getstate(), np.random.get_state()[1].tolist(), keras.config.dtype_policy().name
        again = run(hard_recipe)
        assert (random.getstate(), np.random.get_state()[1].tolist(), keras.config.dtype_policy().name) == before
    finally:
        tf.random.set_seed(None)
    same_numbers(hard_run, again)


@pytest.mark.soak
def test_a_transformer_repeats_bit_for_bit(run):
    recipe = Recipe(model="vit", model_args={"size": "mu", "patch": 4, "drop": 0.1, "drop_path": 0.1}, data="digits",
                    batch=128, epochs=1, optimizer="sgd", lr=1e-2, label_smoothing=0.1)
    same_numbers(run(recipe), run(recipe))


def test_another_seed_is_another_run(run):
    one, other = run(LINEAR, epochs=1), run(LINEAR, epochs=1, seed=1)
    assert one.result["test"] != other.result["test"]
    assert (weights(one)[0] != weights(other)[0]).mean() > 0.9


def test_the_saved_recipe_runs_again_to_the_same_numbers(run):
    first = run(LINEAR, "epochs=1", lr=1e-2)
    again = run(first.path / "recipe.json")
    assert again.recipe == first.recipe == LINEAR.override(epochs=1, lr=1e-2)
    same_numbers(first, again)


@pytest.mark.soak
def test_whitened_patches_are_those_of_the_training_images(run):
    recipe = Recipe(model="cnn", model_args={"size": "M", "whitened": True}, data="digits", batch=256, epochs=1)
    first, again = run(recipe), run(recipe)
    stem = first.model().get_layer("stem")
    images = load("digits", "train").x.astype("float32") / 255
    out = np.asarray(stem(images))[..., :4] - np.asarray(stem.bias)[:4]
    same_numbers(first, again)
    covariance = np.cov(out.reshape(-1, 4).T)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-2)
    np.testing.assert_allclose(np.diag(covariance), 1, atol=0.05)


@pytest.mark.parametrize("tta, corners", [
    ("flip", [(1, 1)]), ("flip_shift", [(1, 1), (1, 1), (0, 0), (2, 2)])])  # where the view begins in a wider image
def test_test_time_augmentation_stands_beside_the_scores_without(run, tta, corners):
    done = run(LINEAR, epochs=1, tta=tta)
    model, test = done.model(), load("digits", "test")
    wide = np.pad(test.x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="reflect")
    views = [wide[:, row : row + 8, column : column + 8] for row, column in corners]
    logits = np.mean([(model(view) + model(view[:, :, ::-1])) / 2 for view in views], axis=0)
    loss = keras.losses.sparse_categorical_crossentropy(test.y, logits, from_logits=True)
    assert done.result["tta"]["accuracy"] == pytest.approx((np.argmax(logits, -1) == test.y).mean(), abs=1e-6)
    assert done.result["tta"]["loss"] == pytest.approx(np.mean(loss), rel=1e-5)
    assert done.result["tta"] == pytest.approx(evaluate(done, tta=tta))
    assert done.result["test"] == pytest.approx(evaluate(done)) != done.result["tta"]
    with pytest.raises(UserError, match="flip"):
        evaluate(done, tta="flipp")


def test_rows_of_a_table_have_no_mirror_image(refused, table):
    refused("train", "linear_csv", f"data=csv:{table}", "data_args.label=kind", "tta=flip",
            words=["tta=flip is for images"])


# The average


def test_the_average_is_what_numpy_computes_batch_norm_statistics_included():
    network = zoo.build("cnn", (8, 8, 1), 10, size="mu")
    slow_network = average.copy(network)
    model = keras.Model(network.inputs, network.outputs)
    model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    loop.install(model, after=[average.Averager(network, slow_network, 0.4).update])
    digits = load("digits", "val")
    expected = network.get_weights()
    for step in range(1, 6):
        model.fit(digits.x[step * 32:][:32], digits.y[step * 32:][:32], batch_size=32, verbose=0)
        share = 1 - min(0.4, (1 + step) / (10 + step))
        expected = [slow + share * (fast - slow) for slow, fast in zip(expected, network.get_weights(), strict=True)]
    names = [variable.path for variable in slow_network.weights]
    assert any("moving_variance" in name for name in names)
    for name, slow, mine, fast in zip(names, slow_network.get_weights(), expected, network.get_weights(), strict=True):
        np.testing.assert_allclose(slow, mine, rtol=1e-4, atol=1e-6, err_msg=name)
        assert np.abs(slow - fast).max() > 1e-5, name


def test_averaging_leaves_training_as_it_is_and_is_what_is_kept(run, hard_recipe, hard_run):
    plain = run(hard_recipe, ema=0.0)
    np.testing.assert_allclose(plain.metrics["loss"], hard_run.metrics["loss"], rtol=1e-4)
    assert (np.abs(plain.metrics["val_loss"] - hard_run.metrics["val_loss"]) > 1e-3).all()
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(weights(plain), weights(hard_run), strict=True))


def test_the_average_of_a_table_sees_scaled_rows(run, table):
    """The average is a copy of the network: with its normalisation, or it would be of something else."""
    recipe = Recipe(model="mlp", model_args={"size": "mu"}, data=f"csv:{table}", data_args={"label": "kind"},
                    batch=32, epochs=3, lr=1e-2)
    with_average, without = run(recipe, ema=0.5), run(recipe)
    assert with_average.result["test"]["loss"] == pytest.approx(without.result["test"]["loss"], abs=0.2)
    assert evaluate(with_average)["loss"] == pytest.approx(with_average.result["test"]["loss"], rel=1e-5)  # of the file


# Which epoch is kept


RESTLESS = LINEAR.override(optimizer="sgd", lr=3.0, schedule="constant", epochs=8, batch=64)  # overshoots, up and down


def test_the_best_epoch_is_kept_and_the_last_on_request(run):
    best, last = run(RESTLESS), run(RESTLESS, keep="last")
    scores = best.metrics["val_accuracy"]
    pd.testing.assert_series_equal(scores, last.metrics["val_accuracy"], check_exact=True)
    assert scores.max() > scores.iloc[-1], "the recipe of this test should end worse than its best"
    assert best.result["val"]["accuracy"] == scores.max()
    losses = best.metrics["val_loss"][scores == scores.max()]  # of epochs that are equally good the one with least loss
    assert best.result["best_epoch"] == losses.idxmin() + 1 and best.result["val"]["loss"] == losses.min()
    assert last.result["val"] == {"accuracy": scores.iloc[-1], "loss": last.metrics["val_loss"].iloc[-1]}


def test_patience_stops_after_so_many_epochs_without_a_better_one(run):
    stopped = run(RESTLESS, patience=2, epochs=30)
    epochs = stopped.result["train"]["epochs"]
    assert epochs == len(stopped.metrics) < 30
    assert epochs == stopped.result["best_epoch"] + 2
    assert stopped.result["train"]["steps"] == epochs * (1257 // 64)


# What a run's folder holds


def test_result_json(hard_run, hard_recipe):
    result = hard_run.result
    assert list(result) == ["recipe", "seed", "orders", "settings", "status", "monitor", "best_epoch", "parameters",
                            "test", "val", "train", "better", "finished", "peak_rss_mb", "environment"]
    assert (result["monitor"], result["better"]) == ("accuracy", {"accuracy": "max", "loss": "min"})
    assert result["finished"].endswith("Z") and result["finished"][:2] == "20"
    assert result["settings"] == hard_recipe.diff()
    assert (result["recipe"], result["seed"], result["status"]) == ("hard", 0, "completed")
    assert set(result["test"]) == set(result["val"]) == {"accuracy", "loss"}
    assert all(0 <= result[part]["accuracy"] <= 1 and result[part]["loss"] > 0 for part in ("test", "val"))
    assert result["parameters"] == hard_run.model().count_params()
    assert set(result["train"]) == {"seconds", "compile_seconds", "examples_per_second", "epochs", "steps"}
    assert 0 < result["train"]["compile_seconds"] <= result["train"]["seconds"]
    assert result["train"]["examples_per_second"] > 0
    assert (result["train"]["epochs"], result["train"]["steps"]) == (3, 3 * (1257 // 128))
    assert result["peak_rss_mb"] > 100
    environment = result["environment"]
    assert environment["precision"] == "float32" and environment["keras"] == keras.__version__
    assert {"python", "tensorflow", "numpy", "cpu", "cores", "git", "device", "strategy"} <= set(environment)


@pytest.mark.soak
def test_a_long_run_tells_how_fast_its_machine_multiplies(here, monkeypatch):
    monkeypatch.setattr(record, "LONG", math.inf)
    short = train("linear_digits", epochs=1, verbose=False)
    monkeypatch.setattr(record, "LONG", 0)
    long = train("linear_digits", epochs=1, verbose=False)
    assert "gemm_gflops" not in short.result["environment"] and long.result["environment"]["gemm_gflops"] > 0


def test_files(hard_run, hard_recipe):
    names = {path.name for path in hard_run.path.iterdir()}
    assert names - {"report.html"} == FILES
    assert not [path for path in hard_run.path.rglob("*") if "partial" in path.name]
    assert hard_run.recipe == hard_recipe
    examples, notes = hard_run.data["examples"], {key: hard_run.data[key] for key in ("folder", "remarks")}
    assert Path(notes["folder"]).is_absolute() and notes["remarks"] == []
    assert {name: int(mark.partition("-")[0]) for name, mark in examples.items()} == \
        {"train": 1257, "val": 180, "test": 360}
    assert hard_run.data == {"kind": "image", "shape": [8, 8, 1], "classes": list("0123456789"), "columns": {},
                             "orders": 2, "examples": examples, "run": str(hard_run.path), **notes}
    assert kerasdl.load(hard_run.path) == Run.open(str(hard_run.path)) == hard_run


def test_metrics_csv_has_a_row_an_epoch(hard_run, hard_recipe):
    metrics = hard_run.metrics
    assert set(metrics.columns) == {"epoch", "accuracy", "loss", "learning_rate", "examples_per_second", "val_accuracy",
                                    "val_loss"}
    assert len(metrics) == 3 and np.isfinite(metrics.drop(columns="examples_per_second").to_numpy()).all()
    assert list(np.isfinite(metrics["examples_per_second"])) == [False, True, True]  # the first call compiled
    steps = optim.schedule(hard_recipe, 1257 // 128)
    means = [np.mean([float(steps(step)) for step in range(9 * epoch, 9 * epoch + 9)]) for epoch in range(3)]
    np.testing.assert_allclose(metrics["learning_rate"], means, rtol=1e-5)
    assert metrics["val_accuracy"].max() == hard_run.result["val"]["accuracy"]


def test_tensorboard_holds_the_same_numbers(hard_run):
    found = {}
    for file in sorted((hard_run.path / "tensorboard").rglob("events.*")):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                found.setdefault((file.parent.name, value.tag), []).append(float(tf.make_ndarray(value.tensor)))
    for key, column in ((("train", "epoch_accuracy"), "accuracy"), (("train", "epoch_learning_rate"), "learning_rate"),
                        (("train", "epoch_loss"), "loss"), (("validation", "epoch_accuracy"), "val_accuracy")):
        np.testing.assert_allclose(found[key], hard_run.metrics[column], rtol=1e-5, err_msg=str(key))


def test_the_model_is_plain_keras_and_is_as_good_as_result_json_says(hard_run):
    model = keras.saving.load_model(hard_run.path / "model.keras")
    for part in ("test", "val"):
        split = load("digits", part)
        logits = model.predict(split.x, verbose=0)
        assert (logits.argmax(1) == split.y).mean() == pytest.approx(hard_run.result[part]["accuracy"], abs=1e-6)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(split.y, logits)
        assert float(loss) == pytest.approx(hard_run.result[part]["loss"], rel=1e-4)


def test_half_written_files_never_have_their_final_name(tmp_path):
    file = tmp_path / "result.json"
    write_json(file, {"a": 1})
    for wrong in (math.nan, object()):
        with pytest.raises((ValueError, TypeError)):
            write_json(file, {"a": wrong})
    with pytest.raises(KeyboardInterrupt), whole(file) as partial:
        partial.write_text("half")
        assert partial.suffix == file.suffix and partial.parent == tmp_path
        raise KeyboardInterrupt
    assert json.loads(file.read_text()) == {"a": 1} and list(tmp_path.iterdir()) == [file]


def test_of_two_that_begin_a_run_at_once_one_trains_it(tmp_path, monkeypatch):
    recipe = Recipe(model="mlp", data="digits")
    first = Run.create(recipe, tmp_path, new=True)
    (tmp_path / ".partial-7-model.keras").touch()  # of a process that was killed
    with first.alone():
        second = Run.create(recipe, tmp_path, new=True)
        with pytest.raises(UserError, match="Another process trains"), second.alone():
            pass
    with pytest.raises(UserError, match="another recipe: seed 0 -> 1"):
        Run.create(recipe.override(seed=1), tmp_path, new=True)
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.json"]


def test_a_file_system_without_hard_links_holds_runs_too(tmp_path, monkeypatch):
    def none(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", none)
    assert Run.create(Recipe(model="mlp", data="digits"), tmp_path, new=True).recipe.model == "mlp"
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.json"]


def test_what_a_finished_run_no_longer_needs_goes_when_it_is_met(tmp_path):
    """The process was killed between result.json and the end."""
    run = Run.create(Recipe(model="mlp", data="digits"), tmp_path)
    (tmp_path / "result.json").write_text('{"status": "completed"}')
    (tmp_path / "checkpoint").mkdir()
    with pytest.raises(UserError, match="finished run"):
        Run.unfinished(tmp_path, run.recipe)
    assert not (tmp_path / "checkpoint").exists()


def test_threads_take_seeds_one_after_the_other():
    drawn = []
    other = threading.Thread(target=seeded(1)(lambda: drawn.append(random.random())))
    with seeded(0):
        other.start()
        other.join(0.05)
        assert not drawn and random.random() == random.Random(0).random()


def test_a_run_of_a_file_of_ones_own_is_in_runs(tmp_path):
    assert folder_for(f"{tmp_path}/my_model.py:build").parent == Path("runs/my_model")
    assert folder_for("cnn_digits").parent == Path("runs/cnn_digits")


@pytest.mark.parametrize("error, ours", [
    (OSError(errno.ENOSPC, "full", "elsewhere"), True), (PermissionError(errno.EACCES, "no", "RUN/metrics.csv"), True),
    (OSError(errno.EHOSTUNREACH, "far"), False), (FileNotFoundError(errno.ENOENT, "none", "elsewhere/a.csv"), False),
    (ConnectionResetError(errno.ECONNRESET, "far"), False), (urllib.error.URLError("far"), False), (OSError(), False)])
def test_errors_of_somebodys_callback_are_not_taken_for_those_of_the_disk(tmp_path, error, ours):
    if error.filename:
        error.filename = error.filename.replace("RUN", str(tmp_path))
    with pytest.raises(UserError if ours else type(error)), writing(tmp_path, "Make room."):
        raise error


def test_a_folder_is_no_run_or_not_yet_one(tmp_path, hard_run):
    for call, words in ((lambda: Run.open(tmp_path / "none"), "no run folder"),
                        (lambda: Run.open(tmp_path), "recipe.json"),
                        (lambda: Run.unfinished(hard_run.path, hard_run.recipe), "already holds a finished run")):
        with pytest.raises(UserError, match=words):
            call()
    shutil.copy(hard_run.path / "recipe.json", tmp_path)
    begun = Run.open(tmp_path)
    for call in (lambda: begun.result, lambda: begun.metrics, lambda: begun.data, begun.model):
        with pytest.raises(UserError, match="did not"):
            call()


# Options


def test_label_smoothing_changes_what_is_learned_and_not_what_is_measured(run):
    plain, smooth = run(LINEAR, epochs=1), run(LINEAR, epochs=1, label_smoothing=0.5)
    assert smooth.metrics["loss"][0] > plain.metrics["loss"][0]
    val = load("digits", "val")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(val.y, smooth.model().predict(val.x, verbose=0))
    assert float(loss) == pytest.approx(smooth.result["val"]["loss"], rel=1e-5)
    assert float(loss) == pytest.approx(smooth.metrics["val_loss"][0], rel=1e-5)


def test_a_policy_of_keras_is_no_precision_of_a_recipe(here):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        with pytest.raises(UserError, match="policy is mixed_bfloat16, and the recipe has precision=float32. Give"):
            kerasdl.train("linear_digits", verbose=False)
    finally:
        keras.config.set_dtype_policy("float32")


def test_mixed_precision(run):
    made = run(LINEAR.override(model="mlp", model_args={"size": "mu"}, epochs=1), precision="mixed_bfloat16", ema=0.9)
    assert keras.config.dtype_policy().name == "float32"
    model = made.model()
    assert [model.get_layer(name).compute_dtype for name in ("features", "logits")] == ["bfloat16", "float32"]
    assert {str(weight.dtype) for weight in model.trainable_weights} == {"float32"}
    assert made.result["environment"]["precision"] == "mixed_bfloat16" and made.result["test"]["accuracy"] > 0.2


@pytest.mark.parametrize("model, args", [
    pytest.param("vit", {"size": "mu", "patch": 2}, marks=pytest.mark.soak),
    pytest.param("resnet", {"size": "mu"}, marks=pytest.mark.soak), ("cnn", {"size": "mu"})])
def test_in_bfloat16_too_the_saved_model_has_the_scores_of_result_json(run, model, args):
    """A fused layer does not round where Keras' own does, and a saved model has Keras' own."""
    made = run(LINEAR.override(model=model, epochs=1).model_copy(update={"model_args": args}),
               precision="mixed_bfloat16", tta="flip")
    for split in ("val", "test"):
        assert evaluate(made, split) == pytest.approx(made.result[split], rel=1e-6)
    assert evaluate(made, tta="flip") == pytest.approx(made.result["tta"], rel=1e-6)


@pytest.mark.parametrize("feed", ["resident", "streamed"])
def test_the_answers_of_a_run_are_those_of_its_model_in_the_order_of_the_split(run, feed):
    """Of a split whose last batch is short."""
    made, test = run(LINEAR.override(model="cnn", epochs=1, ema=0.9), batch=48, feed=feed), load("digits", "test")
    found = predictions.read(made)
    np.testing.assert_array_equal(found.truth, test.y)
    np.testing.assert_array_equal(found.index, np.arange(len(test)))
    np.testing.assert_allclose(found.outputs, made.model().predict(test.x, verbose=0), rtol=1e-4, atol=1e-5)
    assert np.mean(found.outputs.argmax(1) == test.y) == pytest.approx(made.result["test"]["accuracy"], abs=1e-7)


def test_arrays(run):
    rng = np.random.default_rng(0)
    labels = np.resize(["dark", "light"], 100)
    images = rng.integers(0, 128, (100, 4, 4)) + 127 * (labels == "light")[:, None, None]
    made = run(LINEAR, epochs=20, batch=35, lr=0.1, data=from_arrays(images, labels, kind="image"))
    assert made.recipe.data == "arrays" and made.data["classes"] == ["dark", "light"]
    assert made.result["test"]["accuracy"] == 1.0


def test_another_data_set_by_name(run, table):
    made = run(LINEAR.override(data_args={"label": "kind"}), data=f"csv:{table}", batch=32, epochs=1)
    assert made.recipe.data == f"csv:{table}" and list(made.data["columns"]) == ["size", "weight", "colour"]


# What goes wrong


def test_a_loss_that_is_not_a_number_stops_the_run_and_keeps_what_was_there(run, here):
    """One step an epoch. The first has a rate of zero; the second ruins the weights; the third finds out."""
    recipe = LINEAR.override(optimizer="sgd", lr=1e38, schedule="constant", warmup=1, batch=1257, epochs=9)
    with pytest.raises(Diverged, match=r"step 3 \(epoch 3\).* Lower lr.*model of epoch 1 is kept") as caught:
        run(recipe, workdir="broken")
    assert isinstance(caught.value, UserError) and "\n" not in str(caught.value)
    broken = Run.open("broken")
    assert broken.result["status"] == "diverged" and "step 3" in broken.result["message"]
    assert broken.result["best_epoch"] == 1 and "test" not in broken.result
    assert all(np.isfinite(weight).all() for weight in weights(broken))
    assert len(broken.metrics) == 2


def test_weights_that_the_last_step_ruins_end_the_run_too(run):
    """No training loss has seen them; the scores do."""
    with pytest.raises(Diverged, match="test/loss is .* at the end. Lower lr.* nothing to keep"):
        run(LINEAR, epochs=1, batch=1257, optimizer="sgd", lr=1e38, schedule="constant", workdir="broken")
    assert Run.open("broken").result["best_epoch"] is None
    broken = Run.open("broken")
    assert broken.result["status"] == "diverged" and not (broken.path / "model.keras").exists()


def test_a_column_of_one_value_in_training_is_not_blown_up_elsewhere(run):
    """By Keras' Normalization it would be, ten million times."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 3)).astype("float32"), np.arange(200) % 2
    x[:, 2] = 7
    other = x[:20].copy()
    other[:, 2] = 8
    made = run(Recipe(model="mlp", model_args={"size": "mu"}, data="arrays", batch=20, epochs=2, lr=1e-2),
               data=from_arrays(x, y, test=(other, y[:20])))
    known = made.model().predict(x[:20], verbose=0)
    assert np.abs(made.model().predict(other, verbose=0) - known).max() < 10
    assert made.result["test"]["loss"] < 10


def test_a_run_that_is_killed_leaves_nothing_that_looks_finished(here, run):
    """kill -9, in a process of its own, as soon as it has told of its first epoch."""
    code = "from kerasdl.cli import main; main()"
    killed = subprocess.Popen([sys.executable, "-c", code, "train", "linear_digits", "epochs=10000", "batch=32"],
                              stderr=subprocess.PIPE, text=True)
    try:
        next(line for line in killed.stderr if line.startswith("epoch 1/"))
    finally:
        killed.kill()
        killed.wait()
        killed.stderr.close()
    (folder,) = (here / "runs/linear_digits").iterdir()
    left = Run.open(folder)
    assert left.recipe.epochs == 10000 and left.data["classes"] == list("0123456789")
    assert len(left.metrics) >= 1 and {"accuracy", "val_accuracy"} <= set(left.metrics.columns)
    assert not {"result.json", "model.keras", "report.html"} & {path.name for path in folder.iterdir()}
    with pytest.raises(UserError, match="did not finish"):
        left.result  # noqa: B018
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    following = run("linear_digits", epochs=1)
    assert following.path.parent.resolve() == folder.parent and following.result["status"] == "completed"
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


# What a log shows


def test_a_log_has_a_line_within_an_epoch_that_takes_long(here, monkeypatch, capsys):
    monkeypatch.setattr(progress, "SILENCE", 0)
    kerasdl.train("linear_digits", epochs=2, feed="streamed")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch ")]
    within = [line for line in lines if "  step " in line]
    assert re.fullmatch(r"epoch 1/2  step 1/19  accuracy [\d.]+  loss [\d.]+  [\d.]+ (s|min) left", within[0])
    assert [line.split()[3] for line in within] == [f"{step}/19" for step in range(1, 19)] * 2
    assert len(lines) == len(within) + 2 and "learning_rate" in lines[-1]


def test_the_line_of_an_epoch_names_rows_and_shortens_their_speed(here, capsys, table):
    kerasdl.train("linear_csv", f"data=csv:{table}", "data_args.label=kind", epochs=2)
    first, second = (line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch "))
    assert re.search(r"  [\d.]+( [kMG])? rows/s$", second) and "rows/s" not in first  # the first call compiled
    assert re.search(r"^epoch 1/2  .*val_loss [\d.]+.*learning_rate [\d.]+", first)


@pytest.mark.parametrize("number, shown", [(405_812, "406 k"), (2788, "2.79 k"), (41.2345, "41.2"), (999.96, "1.00 k"),
                                           (0.5, "0.50"), (3.1e9, "3.10 G"), (1e6, "1.00 M"), (999.4, "999")])
def test_thousands(number, shown):
    assert thousands(number) == shown


# Class weights


def test_a_class_weight_counts_an_example_as_often_as_keras_does():
    from kerasdl import objectives
    from kerasdl.objectives import classify

    x = np.random.default_rng(0).normal(size=(60, 3)).astype("float32")
    split = from_arrays(x, np.arange(60) % 6 // 4, classes=["often", "rare"])["train"]
    weights = {"balanced": len(split) / (2 * np.bincount(split.y)), "given": np.array([1.0, 3.0])}
    logits = np.random.default_rng(1).normal(size=(len(split), 2)).astype("float32")
    plain = keras.losses.sparse_categorical_crossentropy(split.y, logits, from_logits=True).numpy()
    for setting, expected in (("balanced", weights["balanced"]), ({"rare": 3.0}, weights["given"])):
        objective = objectives.of(Recipe(model="linear", data="arrays", objective_args={"class_weight": setting}))
        losses = objective.compute_loss(None, objective.training_targets(split), logits)
        np.testing.assert_allclose(losses, plain * expected[split.y], rtol=1e-5)
        np.testing.assert_allclose(objective.compute_loss(None, objective.targets(split), logits), plain, rtol=1e-5)
    assert weights["balanced"][split.y].mean() == pytest.approx(1)
    numbered = Recipe(model="linear", data="arrays", objective_args={"class_weight": {0: 3.0}})  # as Keras has it
    assert numbered == Recipe.from_json(numbered.model_dump_json())
    found = classify.class_weights(numbered.objective_args["class_weight"], replace(split, classes=("0", "1")))
    assert found.tolist() == [3, 1]


@pytest.mark.parametrize("objective, target", [("classify", "class"), ("multilabel", "labels")])
@pytest.mark.parametrize("weights, words", [({0: 1.0, 1: 5.0}, "names a class '0' .* Choose from: often, rare"),
                                            ({"rare": 0.0}, "class_weight: input should be greater than 0")])
def test_class_weights_are_those_of_named_classes_and_more_than_0(here, objective, target, weights, words):
    y = np.arange(60) % 6 // 4
    splits = from_arrays(np.zeros((60, 3)), np.eye(2)[y] if target == "labels" else y, classes=["often", "rare"],
                         target=target)
    with pytest.raises(UserError, match=words):
        kerasdl.train("linear_csv", data=splits, objective=objective, objective_args={"class_weight": weights},
                      workdir="run", verbose=False)
    assert not (here / "run").exists()


def test_the_package_that_is_called_shows_the_arguments():
    assert list(inspect.signature(kerasdl.train).parameters)[:2] == ["recipe", "overrides"]
    assert "help(kerasdl.train.fit.train)" in kerasdl.train.__doc__


def test_callbacks_are_one_or_several_and_those_that_the_run_replaces_are_refused(here):
    one = keras.callbacks.TerminateOnNaN()
    assert checked(one) == checked([one]) == [one]
    for bad, words in ((keras.callbacks.ModelCheckpoint("a.keras"), "keep=best"),
                       (keras.callbacks.LearningRateScheduler(lambda epoch: 0.1), "schedule="),
                       (keras.callbacks.ReduceLROnPlateau(), "schedule="),
                       (keras.callbacks.BackupAndRestore("backup"), "workdir"), ("early", "Received: 'early'")):
        with pytest.raises(UserError, match=words):
            kerasdl.train("linear_digits", callbacks=[one, bad], workdir="run", verbose=False)
    assert not (here / "run").exists()


def test_the_scores_are_those_of_weights_that_a_callback_sets_at_the_end(here):
    class Forgets(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            self.model.set_weights([0 * weight for weight in self.model.get_weights()])

    made = kerasdl.train("linear_digits", epochs=1, keep="last", callbacks=Forgets(), verbose=False)
    assert made.result["val"] == pytest.approx(evaluate(made, "val"))


def test_class_weights_find_a_rare_class_and_mistakes_are_one_line(here):
    rng = np.random.default_rng(0)
    y = (rng.random(2000) < 0.05).astype(int)
    x = (rng.normal(size=(2000, 2)) + y[:, None]).astype("float32")
    splits = from_arrays(x, np.where(y, "rare", "often"))

    def recall(**args):
        made = kerasdl.train("linear_csv", data=splits, epochs=20, batch=64, objective_args=args, verbose=False)
        found = made.model().predict(splits["test"].x, verbose=0).argmax(1)
        return (found == splits["test"].y)[splits["test"].y == splits["test"].classes.index("rare")].mean()

    assert recall(class_weight="balanced") > recall() + 0.3
    for setting, word in (({"rair": 2.0}, "'rare'"), ("even", "balanced"), ({"rare": -1.0}, "class_weight")):
        with pytest.raises(UserError, match=word):
            recall(class_weight=setting)
