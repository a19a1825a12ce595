"""What the process of a trial trains: rungs that resume exactly, poor trials, build(hp); and a whole search."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from kerasdl.errors import DataError, UserError
from kerasdl.files import whole, writing
from kerasdl.recipe import Recipe
from kerasdl.run import FILES
from kerasdl.tuning import Search, choice, hypermodel, median_stopping, pool, trial
from kerasdl.tuning.best import best, measure, summary
from kerasdl.tuning.engine import tune
from kerasdl.tuning.study import Study
from kerasdl.tuning.table import Table

HERE = Path(__file__).parent
LINEAR = Recipe(name="linear", model="linear", data="digits", batch=256, epochs=4, lr=1e-2)
SMALL = Search(recipe=LINEAR, space={"lr": choice(1e-3, 1e-2)}, oracle="grid", overrides={"epochs": 12})


def task(folder, recipe=LINEAR, **changes):
    """The task of a trial, in its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {"id": folder.name, "attempt": 1, "recipe": json.loads(recipe.model_dump_json()), "thresholds": [],
            "rung": None, "objective": "val/accuracy", "direction": "max", "options": {}}
    return made | changes


def rung(epochs, parent=None):
    return {"epochs": epochs, "parent": parent, "bracket": 0, "round": 0}


def test_a_poor_trial_stops_early_and_says_why(here):
    outcome = trial.run(task(here / "0000", thresholds=[0.1, 0.9999]), here / "0000")
    assert outcome["status"] == "stopped" and outcome["epochs"] == 2 and 0 < outcome["scores"]["val/accuracy"] < 1
    assert outcome["why"].startswith("stopped after epoch 2") and "0.9999, the median" in outcome["why"]
    assert not (here / "0000" / "checkpoint").exists()


def test_a_rung_continues_exactly_where_the_one_before_stopped_and_no_trial_reads_the_test_split(here):
    whole = trial.run(task(here / "whole"), here / "whole")
    first = trial.run(task(here / "0000", rung=rung(2)), here / "0000")
    second = trial.run(task(here / "0001", rung=rung(3, "0000")), here / "0001")
    last = trial.run(task(here / "0002", rung=rung(4, "0001")), here / "0002")
    curve = median_stopping.curve(here / "whole", "val/accuracy")
    assert [part["epochs"] for part in (first, second, last)] == [2, 3, 4]
    assert first["scores"]["val/accuracy"] == max(curve[:2]) and second["scores"]["val/accuracy"] == max(curve[:3])
    assert (here / "0002" / "model.keras").exists(), "the last rung is the whole recipe"
    assert last["scores"] == whole["scores"] and median_stopping.curve(here / "0002", "val/accuracy") == curve
    assert not any(name.startswith("test") for name in whole["scores"])
    assert "test" not in json.loads((here / "whole" / "result.json").read_text())


def test_a_rung_that_patience_ended_is_not_trained_again(here, monkeypatch):
    recipe = LINEAR.override(patience=1, lr=1e-30, epochs=8)  # nothing improves after the first epoch
    whole = trial.run(task(here / "whole", recipe), here / "whole")
    first = trial.run(task(here / "0000", recipe, rung=rung(4)), here / "0000")
    monkeypatch.setattr("kerasdl.train.fit.train", None)
    second = trial.run(task(here / "0001", recipe, rung=rung(8, "0000")), here / "0001")
    assert first == second and whole["epochs"] == second["epochs"] == 2 and whole["scores"] == second["scores"]
    assert (here / "0001" / "model.keras").read_bytes() == (here / "0000" / "model.keras").read_bytes()


def changing(folder):
    """A search on a table in that folder, and a function that adds a row to it."""
    rows = [f"{index % 7},{index % 5},{'big' if index % 7 > 3 else 'small'}" for index in range(80)]
    table = folder / "rows.csv"
    table.write_text("\n".join(["a,b,kind", *rows]) + "\n")
    recipe = Recipe(name="rows", model="linear", data=f"csv:{table}", data_args={"label": "kind"}, batch=16, epochs=4)

    def grow():
        table.write_text(table.read_text() + "6,4,big\n")

    return Search(recipe=recipe, space={"lr": choice(1e-3, 1e-2, 1e-1)}, oracle="grid"), grow


def run_here(lease):
    """Do in this process what a trial's own does; return its exit code and outcome, and give the trial back."""
    code = trial.main(lease.folder)
    lease.release()
    return code, json.loads((lease.folder / "outcome.json").read_text())


def test_a_search_ends_at_the_first_trial_after_its_data_has_changed(here, monkeypatch):
    """Scores of other validation examples say nothing about those before, and a retrained winner's neither."""
    monkeypatch.setattr(trial, "stop_without_parent", lambda: None)
    made, grow = changing(here)
    study = Study.create(made, "study")
    assert run_here(study.lease())[1]["status"] == "completed"
    before = Path("rows.csv").read_text()
    grow()
    code, outcome = run_here(study.lease())
    assert code == trial.BLOCKED and outcome["why"].startswith("The data has changed since the first trial")
    assert [record.status for record in Study.open("study").records()] == ["completed", "running"]
    monkeypatch.setattr("kerasdl.tuning.ray_cluster.connect", lambda *_: ([], None))

    def one(trials, *_, **__):
        code, outcome = run_here(trials.lease())
        assert code == trial.BLOCKED
        raise UserError(outcome["why"])

    with monkeypatch.context() as patch, pytest.raises(UserError, match="The data has changed since the first trial"):
        patch.setattr("kerasdl.tuning.engine.run", one)
        measure(study, best(study), seeds=1)
    Path("rows.csv").write_text(before)
    assert run_here(study.lease())[1]["status"] == "completed", "it begins anew once the data is as it was"


def test_a_winner_is_not_retrained_next_to_seeds_of_other_data(here):
    study = Study.create(SMALL, "study")
    lease = study.lease()
    (lease.folder / "outcome.json").write_text(json.dumps(
        {"status": "completed", "attempt": 1, "epochs": 1, "scores": {"val/accuracy": 0.5}, "seconds": 1.0}))
    shutil.copytree(lease.folder, "study/final/0000/seed-1")
    lease.release()
    for folder, value in (("trials", "x"), ("final/0000/seed-1", "y")):
        folder = Path("study", folder, *["0000"] * (folder == "trials"))
        (folder / "data.json").write_text(json.dumps({"examples": {"val": value}}))
    with pytest.raises(UserError, match="The data has changed between .*trials/0000 and .*seed-1"):
        measure(study, best(study), seeds=1)


def won(search, here):
    """A study whose first trial has ended well, and that trial."""
    study = Study.create(search, here / "study")
    lease = study.lease()
    (lease.folder / "outcome.json").write_text(json.dumps({
        "status": "completed", "attempt": 1, "epochs": 1, "scores": {"val/accuracy": 0.5}, "seconds": 1.0}))
    lease.release()
    return study, best(study)


def test_a_winner_is_not_retrained_with_other_code(here):
    (here / "mine.py").write_text("def build(shape, outputs): ...")
    study, record = won(replace(SMALL, overrides={"model": "mine.py:build"}), here)
    (here / "mine.py").write_text("def build(shape, outputs): return None")
    with pytest.raises(UserError, match="mine.py was edited since .* began, so that another network would be trained"):
        measure(Study.open(study.folder), record, 1)


@pytest.mark.parametrize("edited", ["mine.py", "layers.py"])
def test_no_trial_begins_with_code_that_was_edited_during_the_search(edited, here):
    """The file of build(hp), or one that it imports."""
    (here / "mine.py").write_text("import layers\ndef build(hp):\n    hp.Float('lr', 1e-4, 1e-1)\n"
                                  "    return layers.net()")
    (here / "layers.py").write_text("import keras\ndef net():\n    model = keras.Sequential([keras.layers.Dense(2)])\n"
                                    "    model.compile('sgd', 'mse')\n    return model")
    study = Study.create(Search(build="mine.py:build", data="digits", trials=3, goal="max"), here / "study")
    study.lease().release()
    before = (here / edited).read_text()
    (here / edited).write_text(before + "\n")
    for begin in (study.lease, lambda: Study.create(study.search, study.folder)):
        with pytest.raises(UserError, match=f"{edited} was edited"):
            begin()
    (here / edited).write_text(before)
    lease = Study.open(study.folder).lease()
    assert lease.id == "0000"
    lease.release()


def test_a_score_that_the_test_split_does_not_have_is_undefined(here, monkeypatch):
    study, record = won(SMALL, here)
    again = SimpleNamespace(seeds=[1], records=lambda: [], outcomes=lambda: [{"scores": {"val/accuracy": 0.5}}])
    monkeypatch.setattr("kerasdl.tuning.best.Seeds", lambda *_: again)
    monkeypatch.setattr("kerasdl.tuning.best.engine.run", lambda *_, **__: None)
    final = measure(study, record, 1)
    assert final["test"] == [None] and summary(final).startswith("test accuracy undefined over 1 seed; val accuracy")


def test_a_promoted_trial_whose_data_has_changed_has_not_failed(here, monkeypatch):
    monkeypatch.setattr(trial, "stop_without_parent", lambda: None)
    made, grow = changing(here)
    trial.run(task(here / "0000", made.recipe, rung=rung(1)), here / "0000")
    grow()
    assert ended_here(here / "0001", made.recipe, rung=rung(2, "0000"))[0] == trial.BLOCKED

    def refuses(*_):
        raise UserError("mine.py has changed since the run began.")

    monkeypatch.setattr(trial, "run", refuses)
    assert ended_here(here / "0002", made.recipe, rung=rung(2, "0000"))[0] == trial.BLOCKED, "it has trained already"
    assert ended_here(here / "0003", made.recipe, rung=rung(2))[1]["status"] == "failed"


def test_what_varies_its_data_is_not_held_to_the_first_trial_s(here):
    for space, free in (({"lr": choice(1e-3)}, False), ({"splits.train": choice("train[:50%]", "train[:60%]")}, True),
                        ({"objective": choice("classify", "supcon")}, True)):
        made = Search(recipe=LINEAR, space=space, oracle="grid")
        study = Study(made, here / "study")
        record = SimpleNamespace(folder=here)
        (here / "data.json").write_text('{"examples": {"val": "x"}}')
        assert study.examples([record]) == (None if free else {"val": "x"})


def test_a_build_function_is_not_fitted_to_data_that_has_changed(here):
    given = task(here / "0000", build="net.py:build", hp={}, examples={"train": "x", "val": "y", "test": "z"})
    with pytest.raises(DataError, match=r"since the first trial began \(train, val, test\)"):
        trial.run(given, here / "0000")
    assert not (here / "0000" / "data.json").exists()


def test_a_promoted_trial_has_all_that_a_run_keeps(tmp_path):
    """The user's own code is what its checkpoint was trained with, and a tokenizer is not written again."""
    for name in ("checkpoint/step-4.npz", "code/mine.py", "tokenizer.json", "init.json", "data.json", "recipe.json"):
        (tmp_path / "0000" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "0000" / name).write_text(name)
    (tmp_path / "0001").mkdir()
    trial.inherit(tmp_path / "0000", tmp_path / "0001")
    assert (tmp_path / "0001" / "code" / "mine.py").read_text() == "code/mine.py"
    names = [{file.name for file in (tmp_path / each).iterdir()} for each in ("0000", "0001")]
    assert names[0] == names[1]
    kept_at_the_end = {"result.json", "model.keras", "predictions.npz", "report.html"}
    assert set(trial.COPIED) == {*FILES, "recipe.json"} - kept_at_the_end


def full(source, target, **_):
    """Write a half of a file to a full disk."""
    Path(target).write_text("half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(target))


@pytest.mark.parametrize("cause, why", [
    (OSError("Unable to synchronously flush file"), "Unable to synchronously flush file"),  # of HDF5 or TensorFlow
    (OSError(errno.ESTALE, os.strerror(errno.ESTALE)), "Stale file handle")])
@pytest.mark.parametrize("where", ["in the run", "elsewhere"])
def test_a_disk_that_fails_is_no_fault_of_the_trial(here, monkeypatch, cause, why, where):
    def run(task, folder):
        if where == "elsewhere":
            raise cause
        with writing(folder, "Resume it."), whole(folder / "model.keras"):
            raise cause

    monkeypatch.setattr(trial, "stop_without_parent", lambda: None)
    monkeypatch.setattr(trial, "run", run)
    code, outcome = ended_here(here / "0000", LINEAR)
    if where == "in the run" or cause.errno:
        assert code == trial.BLOCKED and outcome["why"] == f"its files cannot be written: {why}."
    else:
        assert outcome["status"] == "failed", "who knows what it is of"


@pytest.mark.parametrize("name", ["checkpoint/step-4.npz", "recipe.json"])
def test_a_trial_that_cannot_be_copied_for_want_of_room_is_copied_later(here, monkeypatch, name):
    monkeypatch.setattr(trial, "stop_without_parent", lambda: None)
    for file in ("checkpoint/step-4.npz", "recipe.json"):
        (here / "0000" / file).parent.mkdir(parents=True, exist_ok=True)
        (here / "0000" / file).write_text(file)
    if name == "recipe.json":
        monkeypatch.setattr(trial.shutil, "copytree", lambda *_: None)
    monkeypatch.setattr(trial.shutil, "copyfile", full)
    code, outcome = ended_here(here / "0001", LINEAR, rung=rung(2, "0000"))
    assert code == trial.BLOCKED and outcome["why"].startswith("its files cannot be written: ")
    assert "No space left on device" in outcome["why"] and "[(" not in outcome["why"]
    monkeypatch.undo()
    trial.inherit(here / "0000", here / "0001")
    assert (here / "0001" / name).read_text() == name


def test_only_a_trial_that_this_process_asked_to_stop_was_interrupted(tmp_path):
    """Else one that something ends again and again, as for want of memory, would begin without end."""
    for number, (code, asked) in enumerate([(-signal.SIGTERM, None), (128 + signal.SIGTERM, None),
                                            (-signal.SIGTERM, 1.0), (128 + signal.SIGTERM, 1.0)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        lease = SimpleNamespace(folder=folder, task={}, attempt=1)
        outcome = pool.TrialProcess(lease, pool.Worker(), SimpleNamespace(returncode=code), asked=asked).outcome()
        assert outcome is None if asked else outcome["again"] and "its process ended with" in outcome["why"]
        assert (folder / "outcome.json").exists() == (asked is None)


def test_a_forked_trial_ends_as_one_that_is_run_here(here):
    study = tune(replace(SMALL, overrides={"epochs": 2}), "search", 1, verbose=False)
    for record in study.records():
        recipe = Recipe.from_json((record.folder / "recipe.json").read_text())
        outcome = trial.run(task(here / "plain" / record.id, recipe), here / "plain" / record.id)
        assert outcome["scores"]["val/accuracy"] == record.score


def test_a_rung_that_was_killed_after_it_had_saved_its_state_trains_no_further(here):
    first = trial.run(task(here / "0000", rung=rung(2)), here / "0000")
    assert trial.run(task(here / "0000", rung=rung(2)), here / "0000") == first
    assert len(median_stopping.curve(here / "0000", "val/accuracy")) == 2


BUILD = """import keras

def build(hp):
    units = hp.Int("units", 8, 16, step=8)
    model = keras.Sequential([keras.layers.Input((8, 8, 1)), keras.layers.Rescaling(1 / 16), keras.layers.Flatten(),
                              keras.layers.Dense(units, "relu"), keras.layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""


def test_a_build_function_is_a_trial_too(here):
    from keras_tuner import HyperParameters

    Path("net.py").write_text(BUILD)
    hp = HyperParameters()
    hp.Int("units", 8, 16, step=8)
    base = Recipe(name="build", model="linear", data="digits", batch=128, epochs=2)
    given = task(here / "0000", base, build=f"{here / 'net.py'}:build", hp=hp.get_config())
    outcome = trial.run(given, here / "0000")
    curve = median_stopping.curve(here / "0000", "val/accuracy")
    assert outcome["status"] == "completed" and outcome["epochs"] == 2 and (here / "0000" / "model.keras").exists()
    assert outcome["scores"]["val/accuracy"] == max(curve)
    given = task(here / "0001", base, build=given["build"], hp=given["hp"], objective="val/acuracy")
    with pytest.raises(UserError, match="val/acuracy, which was never logged. Did you mean 'val/accuracy'"):
        trial.run(given, here / "0001")
    assert len(median_stopping.history(here / "0001")) == 1, "it is refused after the first epoch"


def test_a_build_trial_that_diverges_has_failed(here):
    from keras_tuner import HyperParameters

    Path("net.py").write_text(BUILD.replace('"adam"', "keras.optimizers.SGD(1e30)"))
    base = Recipe(name="build", model="linear", data="digits", batch=128, epochs=2)
    given = task(here / "0000", base, build=f"{here / 'net.py'}:build", hp=HyperParameters().get_config())
    outcome = trial.run(given, here / "0000")
    assert outcome["status"] == "failed" and "nan in epoch 1" in outcome["why"] and not outcome["again"]


def test_a_stopped_build_trial_has_the_scores_of_its_best_epoch_by_the_search_s_objective():
    rows = [{"epoch": 0, "val/loss": 2.0, "val/accuracy": 0.9}, {"epoch": 1, "val/loss": 1.0, "val/accuracy": 0.8}]
    found = hypermodel.reached("stopped", rows, "val/loss", "min")
    assert found["best"] == 2 and found["scores"] == {"val/loss": 1.0, "val/accuracy": 0.8}


def test_a_score_through_a_reference_classifier_is_found_without_its_name():
    """So the seeds of a GAN's recipe, whose monitor is frechet, end with a score."""
    scores = {"val/kid_cnn_digits": 0.1, "val/frechet_cnn_digits": 2.0}
    assert median_stopping.logged_as("val/frechet", scores) == "val/frechet_cnn_digits"
    outcome = {"status": "completed", "scores": scores, "seconds": 1.0}
    assert trial.checked(outcome, "val/frechet")["status"] == "completed"
    trials = SimpleNamespace(search=SimpleNamespace(objective="val/frechet"), values=lambda task: {"seed": 1})
    Table(trials, 1, verbose=False).ended(SimpleNamespace(id="seed-1", attempt=1, task={}), outcome)
    assert median_stopping.logged_as("val/precision", {"val/precision_at_recall": 1.0}) == "val/precision"


def test_a_metric_that_is_several_numbers_is_no_number(tmp_path):
    (tmp_path / "metrics.csv").write_text('epoch,val_accuracy,val_f1\n0,0.5,"[0.1, 0.2]"\n1,0.6,"[0.2, 0.3]"\n')
    assert median_stopping.history(tmp_path) == [{"epoch": 0, "val/accuracy": 0.5}, {"epoch": 1, "val/accuracy": 0.6}]


def test_a_build_trial_that_is_killed_while_it_saves_resumes_and_keeps_the_best(here, monkeypatch):
    """From the state before, where the last one is torn; and model.keras is no later epoch that is worse."""
    from keras_tuner import HyperParameters

    Path("net.py").write_text(BUILD)
    hp = HyperParameters()
    hp.Int("units", 8, 16, step=8)
    base = Recipe(name="build", model="linear", data="digits", batch=128, epochs=3)
    folder = here / "0000"
    given = task(folder, base, build=f"{here / 'net.py'}:build", hp=hp.get_config())
    original = hypermodel.BestModel.on_epoch_end

    def broken(self, epoch, logs=None):
        if epoch == 2:
            raise RuntimeError("killed")
        original(self, epoch, logs)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr(hypermodel.BestModel, "on_epoch_end", broken)
        trial.run(given, folder)
    torn = folder / "backup" / "latest.weights.h5"
    torn.write_bytes(torn.read_bytes()[:1000])
    saved = (folder / "model.keras").read_bytes()
    table = folder / "metrics.csv"
    header, *rows = table.read_text().splitlines()
    column = header.split(",").index("val_accuracy")
    first = rows[0].split(",")
    first[column] = "1.0"  # better than what comes
    table.write_text("\n".join([header, ",".join(first), *rows[1:]]) + "\n")
    outcome = trial.run(given, folder)
    assert outcome["status"] == "completed" and outcome["epochs"] == 3 and outcome["best"] == 1
    assert (folder / "model.keras").read_bytes() == saved


def ended_here(folder, recipe, **changes):
    """How a trial ends in this process: its exit code, and its outcome."""
    given = task(folder, recipe, **changes)
    (folder / "task.json").write_text(json.dumps(given))
    return trial.main(folder), json.loads((folder / "outcome.json").read_text())


def ended(folder, recipe, **changes):
    """How the process of a trial ends: its exit code, and its outcome."""
    (folder / "task.json").write_text(json.dumps(task(folder, recipe, **changes)))
    code = subprocess.run([*pool.COMMAND, folder], stdin=subprocess.DEVNULL, capture_output=True).returncode
    return code, json.loads((folder / "outcome.json").read_text())


@pytest.mark.soak
def test_data_that_is_not_there_is_no_failure_of_a_trial(here):
    table = LINEAR.override("data=csv:none.csv", "data_args.label=kind")
    code, outcome = ended(here / "0000", table)
    assert code == trial.BLOCKED and outcome["status"] == "blocked" and "none.csv" in outcome["why"]
    code, outcome = ended(here / "0000", table, varies_data=True)
    assert code == 0 and outcome["status"] == "failed" and not outcome["again"]


def test_a_mistake_in_the_recipe_is_a_failure_of_the_trial(here):
    given = task(here / "0000")
    for error, blocked, again in ((UserError("batch=7"), False, False), (DataError("none.csv"), True, False),
                                  (MemoryError(), False, True), (RuntimeError("odd"), False, True),
                                  (OSError(errno.ENOSPC, "No space left"), True, True)):
        assert (trial.blocked(error, given, resumed=False) is not None) == blocked
        assert trial.failure(error)["again"] == again
    assert trial.blocked(UserError("batch=7"), given, resumed=True) == "batch=7"


def test_tensorflow_s_own_error_means_out_of_memory():
    import tensorflow as tf

    error = tf.errors.ResourceExhaustedError(None, None, "failed to allocate")
    assert trial.failure(error)["why"] == trial.failure(MemoryError())["why"] == "out of memory"


def test_values_reach_the_model_as_they_were_written(here):
    recipe = LINEAR.override(augment=(("translate", 1), "mixup")).model_copy(
        update={"model_args": {"pair": (1, (2, 3)), "flag": True, "none": None}})
    back = Recipe.from_json(recipe.model_dump_json())
    assert back == recipe and back.model_args["pair"] == (1, (2, 3))


def test_a_whole_search_by_command(command, refused):
    """Two real trials in mixed_bfloat16, the page, HParams, the recipe of the winner and its score on the test split.
    """
    Path("small.py").write_text(
        "from kerasdl.tuning import Search, choice\n"
        "search = Search(recipe='linear_digits', space={'lr': choice(1e-4, 1e-2)}, oracle='grid')\n")
    done = command("tune", "small.py", "epochs=2", "precision=mixed_bfloat16", "--workers", 2, "--workdir", "study")
    assert done.code == 0, done.err
    assert "kerasdl tune best study > my_recipe.py" in done.out
    study = Study.open("study")
    winner = best(study)
    assert winner.values == {"lr": 1e-2} and winner.epochs == 2
    for row in study.records():
        result = json.loads((row.folder / "result.json").read_text())
        assert result["environment"]["precision"] == "mixed_bfloat16" and "test" not in result
        assert row.score == result["val"]["accuracy"]
    page = Path("study/report.html").read_text()
    assert 'href="trials/0001/"' in page and f'<data id="best" value="{winner.score}">' in page
    assert "<code>kerasdl tune best study &gt; my_recipe.py" in page and "--logdir study/trials<" in page
    assert_hparams(study)

    written = command("tune", "best", "study", "--seeds", 1)
    Path("mine.py").write_text(written.out)
    final = json.loads(Path("study/final.json").read_text())
    assert final["chosen_by"] == winner.score and f"test accuracy {final['test'][0]:.4f} over 1 seed;" in written.err
    shown = command("show", "mine.py")
    assert shown.code == 0 and "lr              0.01" in shown.out and "mixed_bfloat16" in shown.out
    found = json.loads(command("tune", "report", "study", "--json").out)
    assert found["ranked"][0] == winner.id and found["objective"] == "val/accuracy" and found["better"] == "max"
    assert {trial["id"]: trial["score"] for trial in found["trials"]}[winner.id] == winner.score
    assert f'<data id="final">{final["test"][0]:.4f}' in Path("study/report.html").read_text()
    refused("tune", "small.py", "epochs=3", "--workdir", "study", words=["epochs", "Choose another folder"])


def assert_hparams(study):
    """TensorBoard's own reader finds each trial's values."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    for row in study.records():
        events = EventAccumulator(os.fspath(row.folder / "tensorboard")).Reload()
        content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
        start = metadata.parse_session_start_info_plugin_data(content)
        assert np.isclose(start.hparams["lr"].number_value, row.values["lr"])


def scores(study):
    return {row.id: (row.values, pytest.approx(row.score, abs=1e-6)) for row in study.records()}


@pytest.mark.soak
def test_replicas_give_the_scores_of_one_device(here):
    one = tune(SMALL, "one", verbose=False)
    assert scores(tune(SMALL, "two", verbose=False, strategy="mirrored", logical_cpus=2)) == scores(one)
    result = json.loads(Path("two/trials/0000/result.json").read_text())
    assert result["environment"]["strategy"] == "mirrored" and result["environment"]["replicas"] == 2


@pytest.mark.soak
def test_a_search_that_is_killed_while_it_trains_resumes_its_trials(here):
    """The parent is killed once both trials have saved a state; they end with the scores of an unbroken search."""
    long = replace(SMALL, overrides={"epochs": 400})
    code = f"from test_tuning_trials import *; tune(replace(SMALL, overrides={long.overrides}), 'killed', 2, " \
        "checkpoint_every=0)"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=here,
                              env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (*sys.path, HERE)))})
    while len({file.parts[2] for file in Path("killed").glob("trials/*/checkpoint/*.npz")}) < 2:
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    study = tune(long, "killed", 2, verbose=False)
    assert scores(study) == scores(tune(long, "unbroken", 2, verbose=False))
    logs = [(row.folder / "log.txt").read_text() for row in study.records()]
    assert all("resuming after step" in log for log in logs)


@pytest.mark.soak
def test_a_network_that_is_larger_than_its_memory_fails_alone(here):
    """TensorFlow itself meets the limit: it raises, or its allocator ends the process."""
    search = Search(recipe="vit_digits", space={"model_args.size": choice("B", "mu")}, oracle="grid",
                    overrides={"epochs": 1, "jit": None})
    rows = tune(search, "study", verbose=False, memory=2000).records()
    assert [row.status for row in rows] == ["failed", "completed"]
    assert "out of memory" in rows[0].why or "ended with signal" in rows[0].why
    assert rows[0].attempts == 2 and rows[0].traceback
