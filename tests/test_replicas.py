"""N replicas give one device's weights, and every fault that distribute_fixes.py corrects is still Keras'."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import replicas_harness as harness
import tensorflow as tf
from sklearn.metrics import average_precision_score, roc_auc_score

from kerasdl import zoo
from kerasdl.devices import cluster
from kerasdl.devices import strategy as strategies
from kerasdl.devices.launch import free_ports
from kerasdl.errors import UserError
from kerasdl.installation import versions
from kerasdl.recipe import Recipe

HERE = Path(__file__).parent


def run_harness(path: Path, *arguments: str) -> dict[str, np.ndarray]:
    command = [sys.executable, str(HERE / "replicas_harness.py"), str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return run_harness(tmp_path_factory.mktemp("replicas") / "few.npz", "few")


@pytest.fixture(scope="module")
def trained_all(tmp_path_factory):
    return run_harness(tmp_path_factory.mktemp("replicas") / "all.npz", "all")


@pytest.fixture(scope="module")
def keras_alone(tmp_path_factory):
    return run_harness(tmp_path_factory.mktemp("replicas") / "keras.npz", "keras")


def apart(found: dict[str, np.ndarray], case: str, count: int) -> float:
    """The largest difference between a weight on one device and on `count` replicas."""
    keys = [key for key in found if key.startswith(f"{case}/1/") and not key.endswith("scores")]
    assert keys
    return max(np.abs(found[key] - found[key.replace("/1/", f"/{count}/", 1)]).max() for key in keys)


@pytest.mark.parametrize("case, count", harness.FEW, ids=str)
def test_replicas_give_the_weights_of_one_device(trained, case, count):
    assert apart(trained, case, count) < 1e-6


@pytest.mark.parametrize("case, count", harness.FEW, ids=str)
def test_evaluation_counts_every_example_once(trained, case, count):
    """The split ends with a batch that is short, and that does not divide."""
    np.testing.assert_allclose(trained[f"{case}/{count}/scores"], trained[f"{case}/1/scores"], rtol=2e-6)


@pytest.mark.parametrize("feed", ["resident", "streamed"])
def test_several_labels_weighted_and_scored_on_two(trained, feed):
    """Scores of all answers together are those of scikit-learn; the last batch is padded."""
    assert apart(trained, f"{feed}_labels", 2) < 1e-6
    np.testing.assert_array_equal(trained["resident_labels/1/0"], trained["streamed_labels/1/0"])
    truth = harness.labelled_data()["train"].y
    for count in (1, 2):
        scores, answers = trained[f"{feed}_labels/{count}/scores"], trained[f"{feed}_labels/{count}/answers"]
        np.testing.assert_allclose(scores[1:], [average_precision_score(truth, answers), roc_auc_score(truth, answers)],
                                   rtol=1e-12)
        np.testing.assert_allclose(scores, trained[f"{feed}_labels/1/scores"], rtol=1e-5)


@pytest.mark.parametrize("name", harness.VIEWS)
def test_images_are_compared_with_those_of_all_replicas(trained, name):
    """The loss of each, and its gradient, which flows to the embeddings of the other replica, too."""
    for key in ("loss", "gradient"):
        one, two = (trained[f"views/{name}/{count}/{key}"] for count in (1, 2))
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-6 * np.abs(one).max())


def test_replicas_whose_examples_are_streamed(trained):
    assert apart(trained, "streamed_sgd", 2) < 1e-6


@pytest.mark.soak
@pytest.mark.parametrize("feed", ["", "streamed_"])
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("case", harness.CASES)
def test_every_case_on_two_and_four(trained_all, case, count, feed):
    assert apart(trained_all, feed + case, count) < harness.APART.get(case, 1e-6)


@pytest.mark.soak
def test_bfloat16_on_two(trained_all):
    """Near what one device gives; logits are float32 and no loss is scaled, for which float16 would ask."""
    assert 0 < apart(trained_all, "bfloat16", 2) < harness.APART["bfloat16"]
    assert trained_all["bfloat16/logits"] == "float32" and trained_all["bfloat16/optimizer"] == "SGD"


def test_float16_is_refused(command):
    told = command("train", "linear_digits", "precision=float16")
    assert told.code == 2 and "'mixed_bfloat16'" in told.err


def test_replicas_draw_noise_of_their_own_and_draw_it_again(trained):
    first, second = trained["masks/own"]
    assert 0.3 < np.mean(first != second) < 0.7
    np.testing.assert_array_equal(trained["noise/a"], trained["noise/b"])
    assert trained["own"].all() and len(trained["own"])  # of a training, too


def test_accumulated_parts_are_the_whole_batch_on_one_device(trained):
    whole = [trained[key] for key in sorted(trained) if key.startswith("sgd/1/") and "scores" not in key]
    parts = [trained[key] for key in sorted(trained) if key.startswith("accumulate/1/") and "scores" not in key]
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.soak
@pytest.mark.parametrize("fault", ["clipnorm", "norm"])
def test_keras_still_needs_the_mend(keras_alone, fault):
    """When this fails Keras has mended it, and ours in devices/distribute_fixes.py can go."""
    assert apart(keras_alone, f"stock_{fault}", 2) > 1e-4


def test_keras_still_gives_replicas_one_noise(trained):
    first, second = trained["masks/stock"]
    np.testing.assert_array_equal(first, second)


@pytest.mark.soak
@pytest.mark.parametrize("fault", ["accumulation", "odd_batch", "padding", "late_variables", "ema_overwrite",
                                   "ema_statistics"])
def test_keras_still_has_the_fault(keras_alone, fault):
    """When this fails Keras has mended it: accumulated_step, FitsReplicas, padded_step or average.Averager can go."""
    assert keras_alone[f"still/{fault}"]


@pytest.fixture(scope="module")
def workers_alone(tmp_path_factory):
    """What plain Keras does on two workers; one alone does not show it."""
    path = tmp_path_factory.mktemp("workers")
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = []
    for index in (0, 1):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        command = [sys.executable, str(HERE / "replicas_harness.py"), str(path / f"{index}.npz"), "workers"]
        processes.append(subprocess.Popen(command, env=os.environ | {"TF_CONFIG": json.dumps(config)},
                                          stderr=subprocess.PIPE, text=True))
    for process in processes:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told[-3000:]
    return np.load(path / "0.npz")


@pytest.mark.soak
@pytest.mark.parametrize("fault", ["workers", "workers_logs"])
def test_keras_still_cannot_fit_on_several_workers(workers_alone, fault):
    """When this fails Keras has mended that half of FitsReplicas."""
    assert workers_alone[f"still/{fault}"]


RECIPE = Recipe(model="mlp", data="digits")


@pytest.mark.parametrize("changes, replicas, near", [({"batch": 10}, 4, "8 or 12"), ({"batch": 2}, 4, "4"),
                                                     ({"batch": 12, "accumulate": 4}, 2, "8 or 16")])
def test_a_batch_that_does_not_divide_names_the_nearest_that_do(changes, replicas, near):
    class Fake:
        num_replicas_in_sync = replicas

    with pytest.raises(UserError, match=f"Near it: {near}"):
        strategies.check(Fake(), RECIPE.override(**changes), None)


@pytest.mark.parametrize("name, told", [("parameter_server", "keras#18624"), ("CentralStorageStrategy", "another loss"),
                                        ("mirored", "Did you mean 'mirrored'")])
def test_a_strategy_that_cannot_be_is_refused_with_the_reason(name, told):
    with pytest.raises(UserError, match=told):
        strategies.choose(name)


@pytest.mark.parametrize("text, told", [
    ("{", "cannot be read"), ("[]", "cannot be read"), ('{"cluster": {"worker": ["a:1"]}}', "cannot be read"),
    ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 3}}', "workers 0 to 0"),
    ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}', "task ps 0"),
    ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "0"}}', "whole number.*'0'"),
    ('{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}', "chief the first"),
])
def test_a_TF_CONFIG_that_cannot_be(monkeypatch, text, told):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=told):
        strategies.choose("multiworker")


def test_no_logical_cpu_is_refused():
    with pytest.raises(UserError, match="logical_cpus is 1 or more. Received: 0"):
        strategies.choose("mirrored", 0)


def test_only_an_error_between_workers_says_that_one_is_gone(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}')
    monkeypatch.setattr(cluster, "describe", lambda devices: "multiworker")
    for raised, seen in [(tf.errors.UnavailableError, cluster.WorkerLost),
                         (tf.errors.ResourceExhaustedError, tf.errors.ResourceExhaustedError),
                         (tf.errors.InvalidArgumentError, tf.errors.InvalidArgumentError)]:
        with pytest.raises(seen), cluster.collective_errors(None):
            raise raised(None, None, "of the system")


def test_a_port_in_use(monkeypatch):
    import socket

    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": [address, "127.0.0.1:1"]},
                                                    "task": {"type": "worker", "index": 0}}))
        with pytest.raises(UserError, match="port cannot be used"):
            strategies.choose("multiworker")


def test_multiworker_without_TF_CONFIG_says_how_to_try_it():
    with pytest.raises(UserError, match="kerasdl launch"):
        strategies.choose("multiworker")


def test_workers_with_logical_cpus_are_refused():
    with pytest.raises(UserError, match="for strategy=mirrored"):
        strategies.choose("multiworker", 2)


def test_norm_that_sees_parts_of_a_batch_is_told():
    recipe, one = RECIPE.override(batch=128, accumulate=4), harness.devices(1)
    normed, plain = (zoo.build(name, (8, 8, 1), 3, size="mu") for name in ("cnn", "mlp"))
    (told,) = strategies.remarks(one, recipe, normed)
    assert "parts of 32 examples" in told and not strategies.remarks(one, recipe, plain)
    assert not strategies.remarks(one, RECIPE, normed)


@pytest.mark.parametrize("flags, said", [("fma avx2 avx512f", True), ("fma avx512f avx512_bf16", False)])
def test_bfloat16_that_is_emulated_is_said(monkeypatch, tmp_path, flags, said):
    file = tmp_path / "cpuinfo"
    file.write_text(f"model name: of a test\nflags : {flags}\n", encoding="utf-8")
    monkeypatch.setattr(versions, "CPUINFO", file)
    plain, one = zoo.build("mlp", (8, 8, 1), 3, size="mu"), harness.devices(1)
    lines = strategies.remarks(one, RECIPE.override(precision="mixed_bfloat16"), plain)
    assert len(lines) == said and all("precision=float32" in line for line in lines)
    assert not strategies.remarks(one, RECIPE.override(precision="float32"), plain)


def test_a_compiled_step_that_replicas_cannot_have_is_reported(monkeypatch):
    plain = zoo.build("mlp", (8, 8, 1), 3, size="mu")
    monkeypatch.setattr(strategies, "describe", lambda devices: "mirrored")
    assert strategies.remarks(None, RECIPE.override(jit=True), plain) == [
        "jit is switched off: under replicas TensorFlow cannot compile the step"]
    assert not strategies.remarks(None, RECIPE.override(jit=False), plain)


def test_two_kinds_of_clipping(command):
    told = command("train", "linear_digits", "clipnorm=1.0", "clipvalue=0.5")
    assert told.code == 2 and "Choose one of" in told.err


def test_a_processor_that_is_split_is_used_beside_a_gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [kind])
    assert all(name.startswith("CPU:") for name in strategies._devices(split=True))
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: [kind] * 2)
    assert strategies._devices(split=False) == ["GPU:0", "GPU:1"]
