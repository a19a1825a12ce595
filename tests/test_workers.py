"""Several worker processes on this machine: the losses of one process, and a job that is killed and started again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kerasdl.run import Run
from kerasdl.train import strategy as strategies

KERASDL = [sys.executable, "-c", "from kerasdl.cli import main; main()"]


def kerasdl(*arguments: str) -> str:
    done = subprocess.run([*KERASDL, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


def assert_same_losses(workers: Path, one: Path) -> None:
    ours, theirs = Run.open(workers), Run.open(one)
    for column in ("loss", "val_loss"):
        np.testing.assert_allclose(ours.metrics[column], theirs.metrics[column], rtol=1e-5)
    assert ours.result["test"]["loss"] == pytest.approx(theirs.result["test"]["loss"], rel=1e-5)
    assert ours.result["environment"]["strategy"] == "multiworker"


def test_two_workers_have_the_losses_of_one_process(here):
    words = ["mlp_digits", "epochs=2", "batch=128", "model_args.size=mu", "jit=false", "--no-report"]
    told = kerasdl("launch", *words, "--workers", "2", "--workdir", "workers")
    assert "[0] epoch 2/2" in told and "[1] epoch" not in told
    told = kerasdl("train", *words, "jit=true", "--logical-cpus", "2", "--workdir", "one")
    assert "jit is switched off" in told
    assert_same_losses(here / "workers", here / "one")
    assert not (here / "workers" / "checkpoint").exists()


def test_a_loss_that_is_not_a_number_stops_replicas_too(here):
    done = subprocess.run([*KERASDL, "train", "linear_digits", "lr=1e6", "optimizer=sgd", "epochs=3", "--logical-cpus",
                           "2", "--workdir", "broken"], capture_output=True, text=True)
    assert done.returncode == 2 and "The loss became" in done.stderr and "Traceback" not in done.stderr
    assert Run.open("broken").result["status"] == "diverged"


def test_strategy_one_writes_its_run_whatever_TF_CONFIG_names(command, monkeypatch):
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    told = command("train", "linear_digits", "epochs=1", "--strategy", "one", "--workdir", "run")
    assert told.code == 0 and "epoch 1/1" in told.err and "report.html" in told.out
    assert Run.open("run").result["environment"]["strategy"] == "one"
    assert not strategies.is_chief("auto") and not strategies.is_chief("multiworker")


def test_the_workers_of_launch_are_told_to_debug(here):
    words = ["launch", "linear_digits", "batch=129", "accumulate=2", "--workers", "1", "--workdir", "job", "--debug"]
    told = subprocess.run([*KERASDL, *words], capture_output=True, text=True)
    assert told.returncode == 1 and "[0] Traceback" in told.stdout


def launched(words: list[str]) -> subprocess.Popen:
    return subprocess.Popen([*KERASDL, "launch", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def worker_pid(launcher: subprocess.Popen, index: int) -> int:
    """The process of a worker, which the launcher tells when it starts it."""
    for line in launcher.stdout:
        if line.startswith(f"[{index}] is process "):
            return int(line.split()[-1])
    raise AssertionError("the launcher did not start it")


@pytest.mark.soak
def test_a_worker_that_is_killed_ends_the_job_and_the_job_goes_on(here):
    words = ["cnn_digits", "epochs=12", "batch=128", "model_args.size=mu", "--no-report", "--checkpoint-every", "0"]
    kerasdl("launch", *words, "--workdir", "whole")
    job = launched([*words, "--workdir", "job"])
    killed, folder = worker_pid(job, 1), here / "job" / "checkpoint" / "worker-1"
    while not list(folder.glob("step-*")) and job.poll() is None:
        time.sleep(0.05)
    os.kill(killed, signal.SIGKILL)
    began = time.monotonic()
    told, _ = job.communicate(timeout=300)
    assert job.returncode != 0 and time.monotonic() - began < 200
    assert "Worker 0 stops: another worker is gone" in told
    kerasdl("launch", *words, "--workdir", "job")
    whole, resumed = Run.open(here / "whole"), Run.open(here / "job")
    assert resumed.result["test"] == whole.result["test"]
    for a, b in zip(resumed.model().get_weights(), whole.model().get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.soak
@pytest.mark.parametrize("recipe, changes", [("vit_digits", ["epochs=3"]), ("cnn_mnist", ["epochs=1"])])
def test_the_recipes_by_two_workers(here, recipe, changes):
    kerasdl("launch", recipe, *changes, "--no-report", "--workdir", "workers")
    kerasdl("train", recipe, *changes, "--no-report", "--logical-cpus", "2", "--workdir", "one")
    assert_same_losses(here / "workers", here / "one")
