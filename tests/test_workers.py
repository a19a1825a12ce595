"""Several worker processes on this machine: the losses of one process, and a job that is killed and started again."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kerasdl.devices import cluster, launch
from kerasdl.devices import strategy as strategies
from kerasdl.devices.launch import NOTICED, free_ports
from kerasdl.errors import UserError
from kerasdl.recipe import load
from kerasdl.run import Run
from kerasdl.train.fit import train

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


def test_two_workers_have_the_losses_of_one_process(here, command):
    words = ["mlp_digits", "epochs=2", "batch=128", "model_args.size=mu", "model_args.drop=0.0", "jit=false",
             "--no-report"]
    told = command("launch", *words, "--workers", "2", "--workdir", "workers")
    assert told.code == 0 and "[0] epoch 2/2" in told.out and "[1] epoch" not in told.out
    assert command("train", *words, "--strategy", "one", "--workdir", "one").code == 0
    assert_same_losses(here / "workers", here / "one")
    assert not (here / "workers" / "checkpoint").exists()


@pytest.mark.soak
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


@pytest.mark.soak
def test_the_workers_of_launch_are_told_to_debug(here):
    words = ["launch", "linear_digits", "batch=129", "accumulate=2", "--workers", "1", "--workdir", "job", "--debug"]
    told = subprocess.run([*KERASDL, *words], capture_output=True, text=True)
    assert told.returncode == 1 and "[0] Traceback" in told.stdout


def test_the_workers_of_launch_are_quiet_as_well(command, monkeypatch):
    given = []
    monkeypatch.setattr(launch, "launch", lambda name, recipe, words, *_: given.append(words) or 0)
    assert not command("launch", "linear_digits").code and not command("launch", "-q", "linear_digits").code
    assert "-q" not in given[0] and given[1] == [*given[0], "-q"]


@pytest.mark.parametrize("nohup, code", [(False, -signal.SIGTERM), (True, 0)])
def test_workers_end_with_the_terminal_of_their_launcher(here, monkeypatch, nohup, code):
    """They are in sessions of their own, which a closed terminal does not reach. Under nohup they go on."""
    monkeypatch.setattr(launch, "start", lambda *_: subprocess.Popen(
        [sys.executable, "-c", "print(1, flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    monkeypatch.setattr(launch, "relay", lambda process, index: None)

    def wait(processes):
        assert processes[0].stdout.readline() == b"1\n"
        os.kill(os.getpid(), signal.SIGHUP)
        if nohup:
            processes[0].communicate(b"\n")
        return processes[0].wait(30)

    monkeypatch.setattr(launch, "wait", wait)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)
    try:
        assert launch.launch("linear_digits", load("linear_digits"), [], 1, here / "job") == code
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_worker_with_a_folder_of_its_own_goes_on(here):
    """It has no recipe.json there, which the first worker writes, but checkpoints."""
    (here / "own" / "checkpoint" / "worker-1").mkdir(parents=True)
    assert Run.unfinished(here / "own", load("linear_digits")) is None
    (here / "own" / "checkpoint" / "step-00000001.npz").touch()
    with pytest.raises(UserError, match="own is not a run's folder, and holds checkpoint"):
        Run.unfinished(here / "own", load("linear_digits"))


def test_a_later_worker_leaves_nothing_in_a_folder_of_its_own(here, monkeypatch):
    """That would keep the next job out: neither a profile nor, once the first one has the result, checkpoints."""
    monkeypatch.setattr(strategies, "is_chief", lambda devices: False)
    monkeypatch.setattr(cluster, "worker_id", lambda devices: "worker-1")
    recipe, seen = load("linear_digits").override(epochs=1), []

    def vote(devices, mine):
        seen.append(any((here / "own").glob("checkpoint/worker-1/step-*")))
        return mine

    monkeypatch.setattr(cluster, "any_of", vote)
    train(recipe, workdir="own", profile=True, checkpoint_every=0, verbose=False)
    assert seen[-1] and not list((here / "own").rglob("*.*")) and Run.unfinished("own", recipe) is None
    ruined = recipe.override(lr=1e38, optimizer="sgd", schedule="constant", warmup=1, batch=1257, epochs=9)
    with pytest.raises(UserError, match="step 3"):  # of one step an epoch
        train(ruined, workdir="own", checkpoint_every=0, verbose=False)
    assert not list((here / "own").rglob("*.*"))


@pytest.mark.soak
def test_SIGTERM_ends_a_worker_before_its_training_begins():
    """TensorFlow's strategy swallows it; while the training goes on it is StopSignal's."""
    cluster = {"cluster": {"worker": [f"127.0.0.1:{free_ports(1)[0]}"]}, "task": {"type": "worker", "index": 0}}
    program = ("import os, signal, time; from kerasdl.devices import strategy; strategy.choose('multiworker'); "
               "os.kill(os.getpid(), signal.SIGTERM); time.sleep(3)")
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | {"TF_CONFIG": json.dumps(cluster)})
    assert done.returncode == -signal.SIGTERM


def launched(words: list[str]) -> subprocess.Popen:
    return subprocess.Popen([*KERASDL, "launch", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def worker_pid(launcher: subprocess.Popen, index: int) -> int:
    """The process of a worker, which the launcher tells when it starts it."""
    for line in launcher.stdout:
        if line.startswith(f"[{index}] is process "):
            return int(line.split()[-1])
    raise AssertionError("the launcher did not start it")


JOB = ["cnn_digits", "epochs=12", "batch=128", "model_args.size=mu", "--no-report", "--checkpoint-every", "0"]


def begun(folder: Path) -> subprocess.Popen:
    """The launcher of the job, when its second worker has written a checkpoint."""
    job = launched([*JOB, "--workdir", str(folder)])
    job.workers = [worker_pid(job, 0), worker_pid(job, 1)]
    while not list(folder.glob("checkpoint/worker-1/step-*")) and job.poll() is None:
        time.sleep(0.05)
    return job


def assert_goes_on(folder: Path, whole: Run) -> None:
    """Started again, the job ends as the undisturbed one did."""
    assert not (folder / "result.json").exists()
    told = kerasdl("launch", *JOB, "--workdir", str(folder))
    resumed = Run.open(folder)
    assert "[0] resuming after step" in told and resumed.result["test"] == whole.result["test"]
    for a, b in zip(resumed.model().get_weights(), whole.model().get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    kerasdl("launch", *JOB, "--workdir", str(folder))
    return Run.open(folder)


@pytest.mark.soak
def test_a_launcher_that_is_told_to_stop_saves_on_every_worker(here):
    job = begun(here / "job")
    job.send_signal(signal.SIGTERM)
    told, _ = job.communicate(timeout=60)
    assert job.returncode == 143 and "Traceback" not in told
    (step,) = set(re.findall(r"Stopped after step (\d+)\. To resume: start the job again", told))
    for index in (0, 1):
        assert f"[{index}] Stopped after step {step}." in told
        assert (here / "job" / "checkpoint" / f"worker-{index}" / f"step-{int(step):08d}.npz").exists()


@pytest.mark.soak
@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_launcher_that_is_told_to_stop_goes_on(here, whole, number, code):
    job = begun(here / "job")
    job.send_signal(number)
    told, _ = job.communicate(timeout=60)
    assert job.returncode == code and told.count("Stopped after step") == 2 and "Traceback" not in told
    assert_goes_on(here / "job", whole)


@pytest.mark.soak
def test_a_worker_that_is_killed_ends_the_job_and_the_job_goes_on(here, whole):
    job = begun(here / "job")
    os.kill(job.workers[1], signal.SIGKILL)
    began = time.monotonic()
    told, _ = job.communicate(timeout=300)
    assert job.returncode != 0 and time.monotonic() - began < 200
    assert "Worker 0 stops: another worker is gone" in told
    assert_goes_on(here / "job", whole)


@pytest.mark.soak
@pytest.mark.parametrize("silent", [0, 1])
def test_a_worker_that_falls_silent_ends_the_job_and_the_job_goes_on(here, whole, silent):
    """Stopped, it lives, and its connections stay open. Once it wakes it ends too."""
    job = begun(here / "job")
    os.kill(job.workers[silent], signal.SIGSTOP)
    began = time.monotonic()
    for line in job.stdout:
        if f"Worker {1 - silent} stops: another worker is gone" in line:
            break
    assert time.monotonic() - began < NOTICED
    os.kill(job.workers[silent], signal.SIGCONT)
    told, _ = job.communicate(timeout=60)
    assert job.returncode == 75 and "Traceback" not in told
    assert_goes_on(here / "job", whole)


@pytest.mark.soak
@pytest.mark.parametrize("recipe, changes", [("vit_digits", ["epochs=3"]), ("cnn_mnist", ["epochs=1"])])
def test_the_recipes_by_two_workers(here, recipe, changes):
    kerasdl("launch", recipe, *changes, "--no-report", "--workdir", "workers")
    told = kerasdl("train", recipe, *changes, "jit=true", "--no-report", "--logical-cpus", "2", "--workdir", "one")
    assert "jit is switched off" in told
    assert_same_losses(here / "workers", here / "one")
