"""A run that was interrupted anywhere goes on as if nothing had happened."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasdl.run
from kerasdl.checkpoints import callback
from kerasdl.checkpoints.files import Checkpoints, seconds
from kerasdl.data import from_arrays
from kerasdl.devices import on_device, strategy
from kerasdl.errors import UserError
from kerasdl.files import try_lock
from kerasdl.recipe import Recipe
from kerasdl.run import Run
from kerasdl.train import fit
from kerasdl.train.callbacks import Timing
from kerasdl.train.fit import train

RECIPE = Recipe(model="mlp", model_args={"size": "mu", "drop": 0.2}, data="digits", batch=256, epochs=4, ema=0.9,
                warmup="10%", augment=(("translate", 1), ("mixup", 0.2)), weight_decay=0.05, patience=3,
                prune=0.5)
STEPS = 4  # of an epoch


@pytest.fixture(autouse=True)
def blocks_of_two_steps(monkeypatch):
    """So that an epoch of resident training can be interrupted within."""
    monkeypatch.setattr(on_device, "STEPS", STEPS // 2)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return train(RECIPE, workdir=tmp_path_factory.mktemp("runs") / "unbroken", verbose=False)


def train_until(step: int, folder: Path, number: int = signal.SIGTERM, **options) -> Path:
    """Train until a step, or the end of its block, where a signal stops the process; return the run's folder."""
    original = callback.CheckpointCallback.on_train_batch_end

    def stop_at(self, batch, logs=None):
        if self.step < step <= self.epoch_began + callback.steps_done(self, batch):
            os.kill(os.getpid(), number)
        original(self, batch, logs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callback.CheckpointCallback, "on_train_batch_end", stop_at)
        with pytest.raises((SystemExit, KeyboardInterrupt)) as stopped:
            train(RECIPE, workdir=folder, verbose=False, **options)
    if number == signal.SIGTERM:
        assert stopped.value.code == 143
    return folder


@pytest.fixture
def interrupted(here):
    def until(step: int, number: int = signal.SIGTERM, **options):
        return train_until(step, here / "broken", number, **options)

    return until


@pytest.fixture(scope="module")
def once_stopped(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_device, "STEPS", STEPS // 2)
        return train_until(7, tmp_path_factory.mktemp("runs") / "stopped", checkpoint_every=0)


@pytest.fixture
def stopped(here, once_stopped):
    """A copy of a run that was stopped after step 8 of 16, with two checkpoints."""
    return shutil.copytree(once_stopped, here / "broken")


def write_recipe(file: Path) -> None:
    file.write_text(f"from kerasdl import Recipe\nrecipe = Recipe(**{RECIPE.model_dump()!r})\n")


def scalars(run: Run) -> dict[tuple[str, str, int], float]:
    """Every TensorBoard scalar; one that is there twice is an error."""
    found = {}
    for file in run.path.glob("tensorboard/**/events*"):
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                key = file.parent.name, value.tag, event.step
                assert key not in found
                found[key] = float(tf.make_ndarray(value.tensor)) if value.HasField("tensor") else None
    return found


def assert_same(broken: Run, unbroken: Run) -> None:
    for key in ("test", "val", "best_epoch", "status", "parameters"):
        assert broken.result[key] == unbroken.result[key], key
    assert broken.result["train"]["steps"] == unbroken.result["train"]["steps"]
    drop = ["examples_per_second"]
    assert broken.metrics.drop(columns=drop).equals(unbroken.metrics.drop(columns=drop))
    for a, b in zip(broken.model().get_weights(), unbroken.model().get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    speed = "epoch_examples_per_second"
    ours, theirs = ({key: value for key, value in scalars(run).items() if key[1] != speed}
                    for run in (broken, unbroken))
    assert ours == theirs


@pytest.mark.parametrize("feed, step", [
    ("resident", 9), *(pytest.param(feed, step, marks=pytest.mark.soak) for feed, step in (
        ("streamed", 1), ("streamed", 7), ("streamed", 16), ("resident", 1), ("resident", 4), ("resident", 15)))])
def test_interrupted_at_any_step_it_ends_as_if_nothing_had_happened(interrupted, unbroken, feed, step):
    """In the first epoch, at the end of one, within one, at the beginning of one, and in the last."""
    folder = interrupted(step, feed=feed)
    assert not (folder / "result.json").exists() and list(folder.glob("checkpoint/step-*.npz"))
    assert_same(train(RECIPE, workdir=folder, verbose=False), unbroken)
    assert not (folder / "checkpoint").exists()


@pytest.mark.soak
def test_ctrl_c_in_streaming_within_a_block_leaves_a_run_that_resumes_resident(interrupted, unbroken):
    folder = interrupted(5, number=signal.SIGINT, feed="streamed")
    assert_same(train(RECIPE, workdir=folder, feed="resident", verbose=False), unbroken)


@pytest.mark.soak
def test_interrupted_twice_and_the_time_of_all_parts_counts(interrupted, unbroken):
    interrupted(3)
    checkpoints = Checkpoints(interrupted(6) / "checkpoint")
    step = checkpoints.steps()[0]
    arrays, facts = checkpoints.read(step)
    checkpoints.save(step, (arrays, facts | {"seconds": 1000.0}))
    assert checkpoints.wait()
    run = train(RECIPE, workdir=checkpoints.folder.parent, verbose=False)
    assert_same(run, unbroken)
    assert 1000 < run.result["train"]["seconds"] < 2000


def test_the_command_resumes_by_name(stopped, command):
    told = command("train", "--resume", stopped, "--no-report")
    assert told.code == 0 and "after step 8 of 16" in told.err and Run.open(stopped).result["status"] == "completed"


def test_the_command_of_a_finished_run_shows_it_again(stopped, command, monkeypatch):
    """As a scheduler starts it that has lost the job while the report was written."""
    words = ["train", stopped / "recipe.json", "--workdir", stopped]
    first, again = command(*words, "--no-report"), command(*words)
    assert again.code == 0 and "already holds this run, finished" in again.err and (stopped / "report.html").is_file()
    assert first.out.splitlines()[:3] == again.out.splitlines()[:3] and "epoch" in first.out
    (stopped / "report.html").write_text("there")
    assert command("train", "--resume", stopped).code == 0 and (stopped / "report.html").read_text() == "there"
    done = command(*words, "lr=0.5")
    assert done.code == 2 and "already holds a finished run" in done.err
    monkeypatch.setattr(strategy, "is_chief", lambda name: False)
    later = command(*words)
    assert later.code == 0 and not later.out + later.err
    (stopped / "result.json").write_text(json.dumps(Run.open(stopped).result | {"status": "diverged"}))
    assert command(*words).code == 2


def test_resume_with_a_changed_recipe_tells_the_difference(stopped, command):
    told = command("train", "--resume", stopped, "lr=0.5", "epochs=9")
    assert told.code == 2 and "lr 0.001 -> 0.5" in told.err and "epochs 4 -> 9" in told.err


def test_resume_of_nothing(command):
    told = command("train", "--resume", "nowhere")
    assert told.code == 2 and "no run folder" in told.err


@pytest.mark.parametrize("damage", [
    "flip", pytest.param("cut", marks=pytest.mark.soak), pytest.param("empty", marks=pytest.mark.soak)])
def test_a_damaged_checkpoint_is_told_and_the_one_before_is_used(stopped, unbroken, capsys, damage):
    older, newer = sorted((stopped / "checkpoint").glob("step-*.npz"))
    content = bytearray(newer.read_bytes())
    for place in range(len(content) // 2, len(content) // 2 + 400):  # more than lies between two arrays
        content[place] ^= 1
    newer.write_bytes({"flip": bytes(content), "cut": bytes(content[:-900]), "empty": b""}[damage])
    run = train(RECIPE, workdir=stopped, verbose=False)
    assert f"{newer.name} is damaged" in capsys.readouterr().err
    assert_same(run, unbroken)


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory):
    """Runs on a small tmpfs that was full, or not to be written, for a while: see disk_harness."""
    folder = tmp_path_factory.mktemp("spoiled")
    alone = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    if not shutil.which("unshare") or subprocess.run([*alone, "mount", "-t", "tmpfs", "tmpfs", folder]).returncode:
        pytest.skip("this process may not mount a tmpfs, neither as it is nor by unshare -rm")
    write_recipe(folder / "recipe.py")
    harness = Path(__file__).with_name("disk_harness.py")
    command = [*alone, sys.executable, harness, folder, folder / "recipe.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("case, reason, kept", [
    *(pytest.param(*case, marks=pytest.mark.soak) for case in (
        ("result", "No space left on device", r"The checkpoint of step 16 is kept"),
        ("rows", "No space left on device", r"No checkpoint was written yet|The checkpoint of step 1 is kept"),
        ("tensorboard", "No space left on device", r"The checkpoint of step [78] is kept"),
        ("unwritable", "Read-only file system", r"The checkpoint of step [78] is kept")))])
def test_a_full_disk_ends_in_one_line_and_the_run_goes_on_once_there_is_room(spoiled, unbroken, case, reason, kept):
    (failed, said), (resumed, _) = json.loads((spoiled / "told.json").read_text())[case]
    lines = [line for line in said.splitlines() if not line.startswith(("epoch", "warning: a checkpoint"))]
    assert failed == 2 and len(lines) == 1
    assert re.search(rf"{case} cannot be written: {reason}\. ({kept})\. Once it can be: kerasdl train --resume",
                     lines[0])
    assert resumed == 0
    assert_same(Run.open(spoiled / "out" / case), unbroken)


@pytest.mark.soak
def test_a_report_that_does_not_fit_on_the_disk_can_be_written_again(spoiled):
    failed, said = json.loads((spoiled / "told.json").read_text())["report"][0]
    assert failed == 2 and "No space left on device. Once it can be: kerasdl report" in said.splitlines()[-1]


@pytest.mark.parametrize("held, step", [([[-1, -1], [-1, -1]], 0), ([[20, 10], [10, -1]], 10), ([[20, 10]], 20),
                                        ([[20, 10], [30, 20]], 20), ([[20, 10], [-1, -1]], None)])
def test_workers_agree_on_the_newest_common_checkpoint_or_refuse(held, step):
    assert callback.common(held) == step


def test_a_checkpoint_that_other_workers_do_not_have_is_not_kept_for_theirs(here, monkeypatch):
    """This worker has 20 and 10 where another was killed after 10; after 15 it keeps 10, which the other has, too."""
    saver = callback.CheckpointCallback(here, *[None] * 5, 0, tf.distribute.get_strategy())
    for step in (10, 20):
        saver.checkpoints.save(step, ({"a/0": np.zeros(3)}, {}))
        assert saver.checkpoints.wait()
    monkeypatch.setattr(saver, "_restore", lambda step: None)
    monkeypatch.setattr(callback.strategies, "all_gather_ints", lambda devices, mine: [mine, [10, 5]])
    assert saver.restore() == 10
    saver.checkpoints.save(15, ({"a/0": np.zeros(3)}, {}))
    assert saver.checkpoints.wait() and saver.checkpoints.steps() == [15, 10]


@pytest.mark.parametrize("text, value", [("5 min", 300), ("30 s", 30), ("1.5 h", 5400), (7, 7), ("0", 0)])
def test_durations(text, value):
    assert seconds(text) == value


def test_a_duration_that_cannot_be_read(command):
    told = command("train", "linear_digits", "--checkpoint-every", "often")
    assert told.code == 2 and "'5 min'" in told.err


def test_compilation_is_left_out_of_the_speed_of_a_run_that_goes_on():
    timing = Timing(10, lambda: np.linspace(1, 0, 30), 10)
    timing.set_params({"steps": 10})
    timing.set_model(keras.Sequential([keras.Input((1,))]))
    timing.model.compile("sgd")
    timing.resume(5.0, 1.0, [100.0])
    timing.on_train_begin()
    timing.on_epoch_begin(1)
    timing.on_train_batch_end(9)  # the epoch's only call, in which this process compiles
    logs: dict[str, float] = {}
    timing.on_epoch_end(1, logs)
    assert timing.speeds == [100.0] and timing.compile_seconds == 1.0 and np.isnan(logs["examples_per_second"])
    timing.on_epoch_begin(2)
    timing.on_train_batch_end(9)
    timing.on_epoch_end(2, {})
    assert len(timing.speeds) == 2


@pytest.mark.soak
def test_a_disk_that_does_not_answer_costs_no_checkpoint(here, interrupted, unbroken, monkeypatch):
    folder = interrupted(7, checkpoint_every=0)
    before = sorted(folder.rglob("*"))

    def stale(*_, **__):
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as patch:
        patch.setattr(np, "load", stale)
        with pytest.raises(UserError, match="cannot be read: Stale file handle. The run was left as it is"):
            train(RECIPE, workdir=folder, verbose=False)
    assert sorted(folder.rglob("*")) == before
    assert_same(train(RECIPE, workdir=folder, verbose=False), unbroken)


def test_a_checkpoint_of_versions_with_other_weights_is_refused(stopped):
    checkpoints = Checkpoints(stopped / "checkpoint")
    step = checkpoints.steps()[0]
    arrays, facts = checkpoints.read(step)
    first, *others = facts["variables"]["network"]
    assert first == ["mask0", 64, 16]
    for network in ([*others, first], others, [["weight", 64, 16], *others]):
        checkpoints.save(step, (arrays, facts | {"variables": facts["variables"] | {"network": network},
                                                 "versions": {"kerasdl": "0.0.9", "keras": "3.99.0"}}))
        checkpoints.wait()
        with pytest.raises(UserError, match="kerasdl 0.0.9, keras 3.99.0, of which .* other weights"):
            train(RECIPE, workdir=stopped, verbose=False)


def test_stopped_while_the_scores_are_measured_it_goes_on_with_them(here, unbroken, monkeypatch, capsys):
    """Of a training that had ended, which other versions then measure: nothing is trained again, both are listed."""
    def stopped(conclude) -> str:
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as stopped:
            patch.setattr(fit, "conclude", conclude)
            train(RECIPE, workdir="run", verbose=False)
        assert stopped.value.code == 143
        return capsys.readouterr().err.splitlines()[-1]

    again = "To resume: kerasdl train --resume run"
    assert stopped(lambda *_: os.kill(os.getpid(), signal.SIGTERM)).endswith(f"Stopped after step 16. {again}")
    monkeypatch.setattr(keras.Model, "fit", None)
    assert stopped(lambda *_: sys.exit(143)).endswith(f": {again}")  # as a training within this one ends
    checkpoints = Checkpoints(here / "run" / "checkpoint")
    arrays, facts = checkpoints.read(16)
    checkpoints.save(16, (arrays, facts | {"versions": facts["versions"] | {"keras": "3.0"}}))
    checkpoints.wait()
    run = train(RECIPE, workdir="run", verbose=False)
    assert_same(run, unbroken)
    assert f"interruption: keras 3.0 -> {keras.__version__}." in capsys.readouterr().err
    assert [one["keras"] for one in run.result["versions"]] == ["3.0", keras.__version__]


def test_only_a_folder_that_stays_is_to_resume():
    assert fit.resumes(Run(Path("runs/a"))) and not fit.resumes(Run(Path("cache/referees/.partial-1")))


def test_a_run_is_trained_by_one_process_at_a_time(stopped, unbroken):
    before = (stopped / "metrics.csv").read_text()
    lock = try_lock(stopped / "recipe.json")
    with pytest.raises(UserError, match="Another process trains .*broken"):
        train(RECIPE, workdir=stopped, verbose=False)
    assert (stopped / "metrics.csv").read_text() == before
    os.close(lock)
    assert_same(train(RECIPE, workdir=stopped, verbose=False), unbroken)


@pytest.mark.soak
def test_a_file_system_without_locks_trains_all_the_same(stopped, unbroken, monkeypatch):
    def none(file):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(kerasdl.files, "try_lock", none)
    assert_same(train(RECIPE, workdir=stopped, verbose=False), unbroken)


def test_a_callback_that_stops_the_training_stops_one_that_goes_on(interrupted):
    class Enough(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    folder = interrupted(5, callbacks=[Enough()])  # within the second epoch
    assert train(RECIPE, workdir=folder, verbose=False, callbacks=[Enough()]).result["train"]["epochs"] == 2


def test_a_callback_that_stops_within_an_epoch_counts_its_steps(here, monkeypatch):
    """Also where the process is stopped while the scores are measured."""
    class Enough(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = int(self.model.optimizer.iterations) == STEPS + STEPS // 2

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(fit, "conclude", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        train(RECIPE, workdir="run", verbose=False, callbacks=Enough())
    run = train(RECIPE, workdir="run", verbose=False)
    assert (run.result["train"]["epochs"], run.result["train"]["steps"], len(run.metrics)) == (2, STEPS + STEPS // 2, 2)


@pytest.mark.soak
def test_series_of_several_lengths_stream_and_resume(here):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 9, 2)).astype("float32")
    for series, length in zip(x, rng.integers(2, 10, 60), strict=True):
        series[length:] = np.nan
    change = {"data": from_arrays(x, np.arange(60) % 2), "model": "rnn", "batch": 8, "augment": (), "verbose": False,
              "model_args": {"cell": "gru", "size": "mu", "drop": 0.2}}
    whole = train(RECIPE, workdir=here / "whole", feed="resident", **change)
    change.pop("verbose")
    folder = train_until(7, here / "broken", feed="streamed", **change)
    assert not (folder / "result.json").exists()
    assert_same(train(RECIPE, workdir=folder, feed="streamed", verbose=False, **change), whole)


def test_arrays_with_other_pixels_are_other_data(here):
    images, labels = np.random.default_rng(0).integers(0, 256, (60, 4, 4)).astype("uint8"), np.resize([0, 1], 60)

    def begin(images, *callbacks):
        return train(RECIPE, workdir="run", data=from_arrays(images, labels), verbose=False, batch=14, augment=(),
                     callbacks=callbacks)

    with pytest.raises(SystemExit):
        begin(images, keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: os.kill(os.getpid(), signal.SIGTERM)))
    with pytest.raises(UserError, match="not what .* began with"):
        begin(255 - images)
    assert begin(images).result["train"]["epochs"] == 4


def test_other_data_than_the_run_began_with_is_refused(stopped):
    facts = json.loads((stopped / "data.json").read_text())
    assert set(facts["examples"]) == {"train", "val", "test"}
    for other in ({"shape": [9, 9, 1]}, {"examples": facts["examples"] | {"val": "180-00000000"}}):
        (stopped / "data.json").write_text(json.dumps(facts | other))
        with pytest.raises(UserError, match="not what .* began with"):
            train(RECIPE, workdir=stopped, verbose=False)


def test_a_run_of_texts_that_began_with_other_gradients_is_refused(here):
    (here / "texts.csv").write_text("text,kind\n" + "so good,a\nso bad,b\n" * 20)
    recipe = Recipe(model="rnn", model_args={"size": "mu"}, data="text:texts.csv", batch=4, epochs=2,
                    data_args={"text": "text", "label": "kind", "length": 4})
    run = train(recipe, workdir="run", verbose=False, stop_after=1)
    facts = json.loads((run.path / "data.json").read_text())
    assert facts.pop("steps") == 2
    (run.path / "data.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match="began with version 0.2 .* Start a new run"):
        train(recipe, workdir="run", verbose=False)


def test_a_run_that_began_with_the_orders_of_0_1_is_refused(stopped):
    facts = json.loads((stopped / "data.json").read_text())
    assert facts.pop("orders") == 2
    (stopped / "data.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match="began with the orders of kerasdl 0.1 .* Start a new run"):
        train(RECIPE, workdir=stopped, verbose=False)


def test_checkpoints_of_another_number_of_workers_are_not_passed_over(stopped):
    folder = stopped / "checkpoint"
    (folder / "worker-0").mkdir()
    for file in folder.glob("step-*"):
        file.rename(folder / "worker-0" / file.name)
    with pytest.raises(UserError, match="another number of workers"):
        train(RECIPE, workdir=folder.parent, verbose=False)


def saving_always(recipe: str) -> list[str]:
    """The command that trains into the folder `broken` and saves after every call."""
    return [sys.executable, "-c", "from kerasdl.cli import main; main()", "train", recipe, "--workdir", "broken",
            "--no-report", "--checkpoint-every", "0"]


@pytest.mark.soak
def test_killed_by_the_system_while_it_writes(here, unbroken):
    write_recipe(here / "recipe.py")
    process = subprocess.Popen(saving_always("recipe.py"), stderr=subprocess.DEVNULL)
    while process.poll() is None and not Checkpoints(here / "broken" / "checkpoint").steps():
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert subprocess.run(saving_always("recipe.py"), capture_output=True).returncode == 0
    assert_same(Run.open("broken"), unbroken)


@pytest.mark.soak
@pytest.mark.parametrize("number, recipe, span", [
    (signal.SIGKILL, "vit_digits", 2.4), (signal.SIGTERM, "vit_digits", 2.4), (signal.SIGKILL, "cnn_mnist", 14.0)])
def test_twenty_interruptions_of_one_run(here, number, recipe, span):
    """At random moments, every fourth one while the process still starts; the recipe as it is shipped.

    It is saved after every call, so that many a moment falls into the writing of a file. If one interruption in
    twenty changed a bit, the end would not be that of the unbroken run.
    """
    whole, random, cuts = train(recipe, workdir="whole", verbose=False), np.random.default_rng(0), 0
    checkpoints = Checkpoints(here / "broken" / "checkpoint")
    command = saving_always(recipe)
    for turn in range(20):
        before, process = checkpoints.steps()[:1], subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while turn % 4 and process.poll() is None and checkpoints.steps()[:1] == before:
            time.sleep(0.01)
        try:
            process.wait(random.uniform(0, span if turn % 4 else 8.0))
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        _, told = process.communicate()
        print(f"{recipe}: interruption {turn + 1} with {process.returncode} at {checkpoints.steps()}")
        if (here / "broken" / "result.json").exists():
            break
        assert process.returncode in (-number, 128 + number), told
        cuts += 1
    else:
        assert subprocess.run(command, capture_output=True).returncode == 0
    assert cuts >= 15
    assert_same(Run.open("broken"), whole)
