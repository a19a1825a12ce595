"""Keras on JAX trains what Keras on TensorFlow trains: the same losses, files and runs, on any number of devices."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import backends_harness as harness
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score
from zoo_harness import quick_jax

from kerasdl.data import load
from kerasdl.devices import jax
from kerasdl.devices import strategy as strategies
from kerasdl.errors import UserError
from kerasdl.installation import backend
from kerasdl.recipe import Recipe
from kerasdl.run import Run
from kerasdl.train.fit import train

HERE = Path(__file__).parent


def on_jax(what: str, folder: Path, **given: np.ndarray):
    """What the harness finds in a process of its own, where JAX optimizes little in the suite, and all in the soak."""
    np.savez(folder / "given.npz", **given)
    command = [sys.executable, str(HERE / "backends_harness.py"), what, str(folder)]
    how = {"suite": quick_jax(folder), "double": {"JAX_ENABLE_X64": "1"}}.get(what, {})
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent, env=os.environ | how)
    assert done.returncode == 0, done.stderr[-3000:]
    return np.load(folder / "found.npz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("backends")


@pytest.fixture(scope="module")
def found(folder, hard_run):
    given = {"x": load("digits", "test").x[:64]}
    for name, changes in harness.SMALL.items():
        given |= harness.packed(name, harness.weights_of(harness.still(name, **changes)))
    shutil.copytree(hard_run.path, folder / "tensorflow")
    return on_jax("suite", folder, **given)


@pytest.mark.parametrize("name", harness.SMALL)
def test_both_backends_have_the_same_losses(found, folder, name):
    """Of 20 steps with augmentation, schedule, decay and average; the last one is what the kept network is worth."""
    given = np.load(folder / "given.npz")
    ours = harness.losses(harness.still(name, **harness.SMALL[name]), harness.unpacked(given, name))
    assert np.ptp(ours) > 0.1, "nothing was learned"
    np.testing.assert_allclose(found[f"losses/{name}"], ours, atol=1e-4)


@pytest.fixture(scope="module")
def all_found(tmp_path_factory):
    weights = {name: harness.weights_of(harness.still(name)) for name in harness.ALL}
    given = {key: value for name, arrays in weights.items() for key, value in harness.packed(name, arrays).items()}
    folder = tmp_path_factory.mktemp("soak")
    return on_jax("soak", folder, **given), weights, folder


@pytest.mark.soak
@pytest.mark.parametrize("name", harness.ALL)
def test_every_recipe_has_the_same_losses_and_answers(all_found, name):
    found, weights, folder = all_found
    ours = harness.losses(harness.still(name), weights[name])
    np.testing.assert_allclose(found[f"losses/{name}"], ours, atol=harness.APART.get(name, 1e-4))
    answers = harness.answers(folder / f"{name}.keras")
    np.testing.assert_allclose(found[f"predicted/{name}"], answers, atol=1e-5, rtol=1e-5)


@pytest.mark.soak
def test_what_is_between_the_backends_is_rounding(tmp_path):
    """Recipes that are apart in float32 are not in float64, or much less, in any of 20 steps.

    The deep ResNet still is: Keras' batch normalisation on one of the backends passes through float32 on its way.
    """
    weights = {name: harness.weights_of(harness.still(name)) for name in harness.ROUNDED}
    given = {key: value for name, arrays in weights.items() for key, value in harness.packed(name, arrays).items()}
    found = on_jax("double", tmp_path, **given)
    with harness.float64():
        for name in harness.ROUNDED:
            ours = harness.losses(harness.still(name, ema=0.0), weights[name], judged=False)
            np.testing.assert_allclose(found[f"losses/{name}"], ours, atol=harness.ROUNDED[name])


@pytest.mark.soak
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("case", harness.DIVIDED)
def test_every_case_on_several_devices(all_found, case, count):
    same_weights(all_found[0], case, count)


def test_a_file_trained_on_one_backend_predicts_the_same_on_the_other(found, folder):
    x = load("digits", "test").x[:64]
    for name, trained in (("jax", "whole"), ("tensorflow", "tensorflow")):
        ours = Run.open(folder / trained).model().predict(x, verbose=0)
        np.testing.assert_allclose(found[f"predicted/{name}"], ours, atol=1e-5, rtol=1e-5)


def test_both_backends_explain_alike(found, folder):
    ours = harness.explained(folder / "tensorflow", load("digits", "test").x[:8])
    for name, values in ours.items():
        assert np.abs(values).max() > 0
        np.testing.assert_allclose(found[name], values, atol=1e-5 * np.abs(values).max(), rtol=1e-4)


@pytest.mark.parametrize("case, count", harness.FEW)
def test_several_devices_give_the_weights_of_one(found, case, count):
    same_weights(found, case, count)


def same_weights(found, case, count):
    """Of one device and of several, and the same scores."""
    one, several = (harness.unpacked(found, f"{case}/{number}") for number in (1, count))
    assert len(one) == len(several) > 2
    for a, b in zip(one, several, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6, rtol=1e-6)


def test_several_labels_weighted_and_scored(found):
    ours, truth = harness.labelled(), harness.labelled_data()["test"].y
    for key in ("labels/scores", "labels/thresholds", "labels/answers"):
        np.testing.assert_allclose(found[key], ours[key], rtol=1e-4, atol=1e-5)
    both = average_precision_score(truth, found["labels/answers"]), roc_auc_score(truth, found["labels/answers"])
    np.testing.assert_allclose(found["labels/scores"][1:], both, rtol=1e-12)


@pytest.mark.soak
def test_holes_are_filled_and_scored_alike(all_found):
    for key, values in harness.reconstructed().items():
        np.testing.assert_allclose(all_found[0][key], values, rtol=1e-4, err_msg=key)


def test_a_loss_that_is_no_number_is_told(found, folder):
    assert "became nan at step" in str(found["diverged"]) and "Lower lr" in str(found["diverged"])
    assert Run.open(folder / "diverged").result["status"] == "diverged"


def test_features_of_a_short_batch_are_computed_on_several_devices(found):
    assert found["features"].shape[1] == 2 and len(found["features"]) % 4


def test_a_run_on_jax_is_a_run(found, folder):
    """The same files and columns, and a result that says what made it."""
    ours, theirs = (Run.open(folder / name) for name in ("tensorflow", "whole"))
    files = [{path.name for path in run.path.iterdir()} - {"report.html"} for run in (ours, theirs)]
    assert files[0] == files[1]
    assert list(ours.metrics) == list(theirs.metrics) and ours.data == theirs.data | {"run": ours.data["run"]}
    assert ours.result.keys() | {"zeros"} == theirs.result.keys()  # the pruned one
    told = [run.result["environment"] for run in (ours, theirs)]
    assert [facts["backend"] for facts in told] == ["tensorflow", "jax"]
    assert [facts["strategy"] for facts in told] == ["one", "dataparallel"] and told[1]["replicas"] == 4
    assert theirs.result["test"]["accuracy"] > 0.3


def test_an_interrupted_run_on_jax_ends_as_if_nothing_had_happened(found, folder):
    whole, interrupted = (Run.open(folder / name) for name in ("whole", "interrupted"))
    timed = ["examples_per_second"]
    pd.testing.assert_frame_equal(whole.metrics.drop(columns=timed), interrupted.metrics.drop(columns=timed),
                                  check_exact=True)
    for key in ("test", "val", "best_epoch"):
        assert whole.result[key] == interrupted.result[key]
    for a, b in zip(whole.model().get_weights(), interrupted.model().get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_other_backend_does_not_go_on_with_a_run(found, folder):
    with pytest.raises(UserError, match="began with jax, and Keras computes with tensorflow. Resume with --back"):
        train(harness.NOISY, workdir=folder / "stopped", verbose=False)


def test_how_to_go_on_names_the_backend(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert Run(tmp_path).again == f"kerasdl train --resume {tmp_path}"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert Run(tmp_path).again == f"kerasdl train --resume {tmp_path} --backend jax"


@pytest.mark.parametrize("name", ["tensorflow", "jax"])
def test_a_gpu_that_may_round_to_tf32_is_named_with_a_remedy_for_both_backends(monkeypatch, name):
    monkeypatch.setattr(backend, "current", lambda: name)
    monkeypatch.setattr(strategies.tf.config, "list_physical_devices", lambda kind=None: ["GPU"])
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    recipe = Recipe(model="linear", data="digits")
    (line,) = strategies.remarks(None, recipe, None)
    assert "start with NVIDIA_TF32_OVERRIDE=0" in line
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert strategies.remarks(None, recipe, None) == []


def test_what_needs_tensorflow_is_refused_on_jax(monkeypatch):
    """Named before anything is trained; the process of this test only says that it has JAX."""
    monkeypatch.setattr(backend, "current", lambda: "jax")
    with pytest.raises(UserError, match="objective=adversarial trains with tensorflow"):
        train("gan_digits", strategy="one", verbose=False)
    with pytest.raises(UserError, match="feed=resident is for --backend tensorflow"):
        train("linear_digits", strategy="one", feed="resident", verbose=False)
    with pytest.raises(UserError, match="multiworker is for --backend tensorflow"):
        train("linear_digits", strategy="multiworker", verbose=False)
    assert strategies.remarks(jax.Devices(), harness.NOISY.override(jit=False), None) == [
        "jit is switched on: JAX compiles every step"]
