"""Searches that are killed, fail, or run out of space or time: nothing is lost, and the user learns why."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import searches as searches_page
from kerasdl.cli.tune import what_to_search
from kerasdl.errors import UserError
from kerasdl.files import try_lock
from kerasdl.recipe import load
from kerasdl.tuning import Search, choice, engine, log, median_stopping, nursery, pool, preflight, table, trial, uniform
from kerasdl.tuning.best import best, measure, source, spread
from kerasdl.tuning.engine import tune
from kerasdl.tuning.records import Answer, Rung, TrialRecord
from kerasdl.tuning.same_data import check_same_data
from kerasdl.tuning.samplers import hyperband
from kerasdl.tuning.search import load as load_search
from kerasdl.tuning.study import Study
from kerasdl.tuning.trials import Lease, is_locked

HERE = Path(__file__).parent
GRID = Search(recipe="mlp_digits", oracle="grid", name="grid", stop_early=False,
              space={"lr": choice(1e-3, 1e-2, 1e-1), "model_args.drop": choice(0.0, 0.1)})
DONE = {"status": "completed", "attempt": 1, "epochs": 1, "scores": {"val/accuracy": 0.5}, "seconds": 1.0}


@pytest.fixture
def quick(here, monkeypatch):
    """Runs a search whose trials take no time and do wrong what `faults` says; returns its study."""
    monkeypatch.setattr(pool, "COMMAND", (sys.executable, os.fspath(HERE / "tuning_child.py")))
    monkeypatch.setattr(engine, "POLL", 0.02)

    def run(search=GRID, faults=None, workers=2, **options):
        Path("study").mkdir(exist_ok=True)
        Path("study/faults.json").write_text(json.dumps(faults or {}))
        return tune(search, "study", workers, **options)

    return run


def starts() -> list[str]:
    """The trials in the order in which a process of theirs began."""
    return Path("study/ledger").read_text().split()


def statuses(study: Study) -> dict[str, str]:
    return {record.id: record.status for record in study.records()}


def end(lease, outcome=None):
    """End a trial as its process does."""
    (lease.folder / "outcome.json").write_text(json.dumps(outcome or DONE))
    lease.release()


def killed(folder, oracle, workers, kills, seed=1):
    """What tests/tuning_harness.py prints about a search whose parent and children are killed `kills` times."""
    words = [sys.executable, HERE / "tuning_harness.py", folder, oracle, workers, kills, seed]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def assert_nothing_lost(found, workers, count=12):
    names = [name for name, *_ in found["trials"]]
    assert len(names) == len(set(names)) == count
    assert {status for _, status, *_ in found["trials"]} == {"completed"}
    assert len({json.dumps(values) for _, _, values, _ in found["trials"]}) == count
    assert set(found["ledger"]) == set(names)
    repeated = len(found["ledger"]) - len(names)
    assert repeated <= found["parents"] * workers + found["children"], "more than what ran was repeated"


@pytest.mark.parametrize("oracle, workers", [("grid", 3), pytest.param("bayesian", 1, marks=pytest.mark.soak)])
def test_a_search_that_is_killed_loses_nothing_and_counts_nothing_twice(here, oracle, workers):
    found = killed(here / "killed", oracle, workers, 3)
    assert found["parents"] >= 2 and found["children"] >= 2
    assert_nothing_lost(found, workers)
    if workers == 1:
        assert killed(here / "unbroken", oracle, 1, 0)["trials"] == found["trials"]


@pytest.mark.soak
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("oracle", ["grid", "random", "bayesian", "hyperband", "evolution"])
def test_ten_kills_of_parents_and_ten_of_children(here, oracle, workers):
    unbroken = killed(here / "unbroken", oracle, workers, 0)
    for seed in range(3):
        found = killed(here / f"killed-{seed}", oracle, workers, 10, seed)
        assert_nothing_lost(found, workers, 26 if oracle == "evolution" else 12)
        if workers == 1 or oracle in ("grid", "random"):
            assert found["trials"] == unbroken["trials"]


def test_a_parent_killed_before_the_task_was_written_leaves_a_search_that_can_be_resumed(quick, here):
    search = Search(recipe="mlp_digits", space={"lr": log(1e-4, 1e-1)}, trials=3)
    Study.create(search, "study")
    Path("study/trials/0000").mkdir(parents=True)
    Path("study/trials/0000/lock").touch()
    assert [row.status for row in quick(search, workers=1).records()] == ["completed"] * 3


def test_one_worker_gives_the_same_search_twice_and_seed_0_is_a_seed(quick):
    search = Search(recipe="mlp_digits", space={"lr": log(1e-4, 1e-1)}, trials=5)
    trials = []
    for seed in (0, 0, 1):
        study = quick(replace(search, seed=seed), workers=1)
        trials.append([(row.id, row.values, row.score) for row in study.records()])
        Path("study").rename(f"study-{len(trials)}")
    assert trials[0] == trials[1] != trials[2]


def test_no_trial_begins_after_the_minutes(quick, capfd):
    assert not quick(minutes=1e-9).records()
    assert "For other trials: kerasdl tune --resume study --workers 2 --minutes 1e-09" in capfd.readouterr().err
    assert len(quick(minutes=60).records()) == 6
    with pytest.raises(UserError, match="minutes is a number above 0"):
        quick(minutes=0)


def test_what_was_interrupted_does_not_begin_again_after_the_time(here):
    study = Study.create(Search(recipe="mlp_digits", space={"lr": log(1e-4, 1e-1)}, trials=1), "study")
    lease = study.lease()
    study.end = time.monotonic()
    assert not study.over  # it runs
    lease.release()
    assert study.lease() is Answer.DONE and study.over and not study.cut_short
    study.end = None
    assert not study.over and study.lease().id == lease.id


def test_a_search_that_has_more_trials_tells_its_oracle(here):
    study = Study.create(Search(recipe="mlp_digits", space={"lr": log(1e-4, 1e-1)}, trials=1), "study")
    assert study.oracle.max_trials == 1
    study.extend(3)
    assert study.oracle.max_trials == 3


def test_a_trial_that_runs_at_the_deadline_is_stopped(here):
    study = Study.create(Search(recipe="mlp_digits", space={"lr": log(1e-4, 1e-1)}, trials=1), "study")
    loop = engine.Loop(study, [], None, None, None, time.monotonic())
    stopped = []
    process = SimpleNamespace(waits=False, seconds=0.0, ask_to_stop=lambda: stopped.append(True))
    loop.running.append(process)
    loop._watch_time()
    assert stopped and process.late == "not done when the time of the search was over"


def test_a_trial_that_fails_is_tried_once_more_and_the_search_continues(quick, capfd):
    faults = {"0000": "raise once", "0001": "raise", "0002": "kill", "0003": "nan", "0004": "mistake"}
    study = quick(faults=faults)
    rows = {row.id: row for row in study.records()}
    assert [row.status for row in rows.values()] == ["completed", "failed", "failed", "failed", "failed", "completed"]
    assert sorted(starts()) == sorted(["0000", "0001", "0002"] * 2 + ["0003", "0004", "0005"])
    assert rows["0001"].why == "RuntimeError: it broke" and "Traceback" in rows["0001"].traceback
    assert "SIGKILL" in rows["0002"].why and "val/accuracy is nan" in rows["0003"].why
    assert rows["0004"].why == "batch=7 does not divide by 2 replicas."
    first = json.loads((rows["0000"].folder / "outcome-1.json").read_text())
    assert first["why"] == "RuntimeError: it broke" and "Traceback" in first["traceback"]
    assert f"The log is {rows['0002'].folder}/log.txt" in rows["0002"].why
    told = capfd.readouterr()
    assert "trial 0000  failed (one more attempt): RuntimeError: it broke" in told.err
    assert "trial 0001  failed: RuntimeError: it broke" in told.err and not told.out


def test_a_trial_that_wants_more_memory_than_it_may_have_fails_alone(quick):
    study = quick(faults={"0001": "eat"}, memory=400)
    row = study.records()[1]
    assert row.status == "failed" and row.why == "out of memory" and row.attempts == 2
    assert "MemoryError" in row.traceback
    assert list(statuses(study).values()).count("completed") == 5


def test_a_trial_has_a_time_limit(quick, monkeypatch):
    passed = property(lambda self: 61.0 if self.lease.id == "0002" and "0002" in starts() else 0.0)
    monkeypatch.setattr(pool.TrialProcess, "seconds", passed)
    study = quick(replace(GRID, timeout="1 min"), faults={"0002": "hang"}, workers=1)
    row = study.records()[2]
    assert row.status == "failed" and row.why == "not done within its time limit of 60 s" and row.attempts == 1
    assert list(statuses(study).values()).count("completed") == 5


def test_a_search_of_which_everything_fails_ends_unless_it_is_a_grid(quick):
    search = Search(recipe="mlp_digits", space={"lr": log(1e-4, 1e-1)}, trials=30)
    with pytest.raises(UserError, match="1[01] trials failed and none succeeded, the last because: batch=7"):
        quick(search, {f"{number:04}": "mistake" for number in range(30)})  # the other worker's may have ended by then
    assert len(starts()) <= 11


def test_a_search_without_a_trial_that_ended_well_is_an_error_as_json_too(quick, command):
    quick(replace(GRID, space={"lr": choice(1e-3)}), {"0000": "mistake"})
    done = command("tune", "--resume", "study", "--json", "--no-report")
    assert done.code == 2 and "No trial of study has ended well" in done.err
    assert [trial["status"] for trial in json.loads(done.out)["trials"]] == ["failed"]


def test_a_full_disk_ends_the_search_in_one_line_and_is_no_failure_of_the_trial(quick):
    told = "Trial 0003 cannot be trained: its files cannot be written: No space left.* --resume study --memory 900$"
    with pytest.raises(UserError, match=told):
        quick(faults={"0003": "disk"}, workers=1, memory=900)
    study = quick(workers=1)
    assert set(statuses(study).values()) == {"completed"}
    assert starts() == ["0000", "0001", "0002", "0003", "0003", "0004", "0005"]


def test_a_mistake_in_a_trial_that_has_trained_already_is_not_its_own_and_ends_the_search(quick):
    """The backend or an option is another one. The message says so, and the trial can be resumed."""
    checkpoint = Path("study/trials/0002/checkpoint/step-3.npz")
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    with pytest.raises(UserError, match="Trial 0002 cannot be trained: batch=7 does .* kerasdl tune --resume study"):
        quick(faults={"0002": "mistake"}, workers=1)
    study = quick(workers=1)
    assert set(statuses(study).values()) == {"completed"} and {row.attempts for row in study.records()} == {1}


def test_a_resumed_trial_that_diverges_has_failed(quick):
    folder = Path("study/trials/0002")
    (folder / "checkpoint").mkdir(parents=True)
    (folder / "checkpoint" / "step-3.npz").touch()
    (folder / "result.json").write_text("{}")  # which a run that diverged has written
    assert statuses(quick(faults={"0002": "mistake"}))["0002"] == "failed"


def test_failures_after_a_success_do_not_end_a_search_that_is_resumed(quick):
    search = Search(recipe="mlp_digits", space={"lr": log(1e-4, 1e-1)}, trials=1)
    quick(search)
    study = quick(replace(search, trials=13), {f"{number:04}": "mistake" for number in range(1, 13)})
    assert list(statuses(study).values()) == ["completed", *["failed"] * 12]


def test_a_trial_that_somebody_removed_leaves_the_others_as_they_are(here):
    study = Study.create(GRID, "study")
    for _ in range(3):
        end(study.lease())
    shutil.rmtree("study/trials/0001")
    again = Study.create(GRID, "study").lease()
    assert again.id == "0003" and [record.id for record in study.records()] == ["0000", "0002", "0003"]


def test_a_folder_of_another_name_among_the_trials_does_no_harm(here):
    study = Study.create(GRID, "study")
    end(study.lease())
    shutil.copytree("study/trials/0000", "study/trials/0000-old")
    assert Study.create(GRID, "study").lease().id == "0001"


def test_a_search_is_not_continued_with_another_backend(here, monkeypatch):
    end(Study.create(GRID, "study").lease())
    Study.create(GRID, "study")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(UserError, match="trained with tensorflow, and Keras computes with jax. Give --backend tensorf"):
        Study.create(GRID, "study")


def test_a_search_that_would_end_before_hyperband_has_promoted_is_refused():
    made = Search(recipe="mlp_digits", space={"lr": log(1e-4, 1e-1)}, oracle="hyperband", trials=20)
    first = hyperband.Bracket.of([], hyperband.brackets(made.base.epochs, 3) - 1, made.base.epochs, 3, "")
    least = sum(map(first.size, range(first.number))) + 1
    with pytest.raises(UserError, match=f"Trial {least} of hyperband is the first one"):
        preflight.check_new(made)
    preflight.check_new(replace(made, trials=least))
    preflight.check_new(replace(made, trials=None))


def test_a_search_that_began_is_continued_whatever_is_refused_today(quick):
    made = Search(recipe="mlp_digits", space={"lr": log(1e-4, 1e-1)}, oracle="hyperband", trials=2, name="mine")
    Study.create(made, "study")
    assert len(quick(made).records()) == 2


def test_settings_of_a_conditional_objective_are_checked_with_it():
    space = {"objective": choice("classify", "robust"),
             "objective_args.eps": choice(1.0, 2.0).when(objective="robust")}
    preflight.check(Search(recipe="cnn_digits", space=space))


def test_what_a_build_function_does_not_read_is_refused(here):
    Path("net.py").write_text("def build(hp): pass\n")
    with pytest.raises(UserError, match="lr would change nothing"):
        tune(Search(build="net.py:build", data="digits", goal="max", overrides={"lr": 5.0}), "study")
    with pytest.raises(UserError, match="Leave out strategy"):
        tune(Search(build="net.py:build", data="digits", goal="max"), "study", strategy="mirrored")


def test_limits_and_costs_of_the_command_come_to_those_of_the_search():
    asked = {"limits": {"int8_kb": "96"}, "costs": ("int8_kb",)}
    found, _ = what_to_search("cell_digits_evolution", [], None, None, asked)
    before = load_search("cell_digits_evolution")
    assert {**before.limits, "int8_kb": 96.0} == found.limits and found.costs == (*before.costs, "int8_kb")
    again, _ = what_to_search("cell_digits_evolution", [], None, None, {"costs": before.costs})
    assert again.costs == before.costs != ()  # once each


def test_a_trial_whose_lock_somebody_looks_at_is_given_out_afterwards(here):
    study = Study.create(GRID, "study")
    folder = Path("study/trials/0000")
    folder.mkdir(parents=True)
    lock = try_lock(folder / "lock")
    assert study.lease() is Answer.WAIT
    os.close(lock)
    assert study.lease().id == "0000"


@pytest.mark.parametrize("option, words", [({"strategy": "miror"}, "'mirrored'"), ({"workers": 0}, "from 1 on"),
                                           ({"memory": -5}, "above 0"),
                                           ({"checkpoint_every": "5 minutes"}, "'5 minutes'")])
def test_an_option_of_which_every_trial_would_fail_is_refused_before_the_first(quick, option, words):
    with pytest.raises(UserError, match=words):
        quick(**option)
    assert not Path("study/search.json").exists()


def test_numbers_of_numpy_are_numbers(quick):
    quick(Search(recipe="mlp_digits", oracle="grid", space={"lr": choice(*np.logspace(-3, -1, 3))}))
    assert [row.values for row in Study.open("study").records()] == [{"lr": lr} for lr in np.logspace(-3, -1, 3)]


def test_what_looks_like_markup_is_shown_as_it_is(here, capsys):
    """rich takes [/data] for the end of a style, and ends the program."""
    study = Study.create(GRID, "my [runs]")
    assert study.resume == "kerasdl tune --resume 'my [runs]'"
    shown = table.Table(study, 1)
    shown.records = [TrialRecord("0000", "failed", {}, why="none of [/data/a, /data/b] exists")]
    shown.console.width = 100
    shown.console.print(shown.draw([]))
    assert "none of [/data/a, /data/b] exists" in capsys.readouterr().err


def test_scores_in_small_units_keep_their_digits(here, capsys):
    study = Study.create(replace(GRID, objective="val/loss", goal="min"), "study")
    shown = table.Table(study, 1)
    shown.records = [TrialRecord("0000", "completed", {}, score, epochs=1) for score in (3.217e-5, 0.98765)]
    shown.console.print(shown.draw([]))
    told = capsys.readouterr().err
    assert "3.217e-05" in told and "0.9877" in told
    assert spread([2e-5, 4e-5]) == "3e-05 ± 1.414e-05" and spread([0.9, 0.9002]) == "0.9001 ± 0.0001"


@pytest.mark.parametrize("number, end", [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
def test_asked_to_stop_it_leaves_what_runs_to_the_next_time(quick, monkeypatch, capfd, number, end):
    began = table.Table.began

    def stop(self, lease):
        began(self, lease)
        if lease.id == "0003":
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(table.Table, "began", stop)
        with pytest.raises(end):
            quick(workers=1, faults={"0003": "hang"})
    assert "Stopped. To resume: kerasdl tune --resume study" in capfd.readouterr().err
    study = quick(workers=1)
    assert set(statuses(study).values()) == {"completed"} and {row.attempts for row in study.records()} == {1}
    assert [name for name in starts() if name != "0003"] == ["0000", "0001", "0002", "0004", "0005"]


def test_under_hyperband_a_trial_of_a_higher_rung_is_better():
    """Also where it ended before its rung, by the patience of its recipe."""
    rows = [TrialRecord(name, "completed", {}, score, Rung(budget), epochs=epochs)
            for name, score, epochs, budget in (("0000", 0.9, 1, 1), ("0001", 0.8, 2, 9), ("0002", 0.7, 9, 9))]
    assert [row.id for row in table.ranked(rows, GRID)] == ["0001", "0002", "0000"]
    assert table.ranked([replace(row, rung=None) for row in rows], GRID)[0].id == "0000"


def test_a_folder_that_cannot_be_written(here):
    Path("file").write_text("")
    with pytest.raises(UserError, match="cannot be written: Not a directory. Choose another --workdir."):
        tune(GRID, "file/study")


def test_another_space_is_refused_and_more_trials_are_not(quick):
    search = Search(recipe="mlp_digits", space={"lr": log(1e-4, 1e-1)}, trials=2)
    quick(search)
    with pytest.raises(UserError, match=r"lr: log\(0.0001, 0.1\) -> log\(0.0001, 0.2\)"):
        quick(replace(search, space={"lr": log(1e-4, 2e-1)}))
    quick(replace(search, trials=4))
    assert sorted(starts()) == ["0000", "0001", "0002", "0003"]


def test_several_processes_share_a_folder_and_a_dead_one_leaves_its_trial_to_the_others(here):
    ours, theirs = (Study.create(GRID, "study") for _ in range(2))
    leases = [ours.lease(), theirs.lease(), ours.lease()]
    assert [each.id for each in leases] == ["0000", "0001", "0002"]
    end(leases[1])
    assert statuses(ours) == {"0000": "running", "0001": "completed", "0002": "running"}
    leases[2].release()  # as when its process is killed
    again = theirs.lease()
    assert again.id == "0002" and again.attempt == 1 and is_locked(again.folder / "lock")
    assert ours.lease().id == "0003"


def test_a_trial_that_ended_after_its_parent_was_killed_is_not_run_again(here):
    end(Study.create(GRID, "study").lease())
    after = Study.create(GRID, "study")
    assert after.lease().id == "0001" and after.records()[0].score == 0.5


def test_a_parent_killed_while_it_prepares_the_second_attempt_counts_it_once(here, monkeypatch):
    study = Study.create(GRID, "study")
    end(study.lease(), {"status": "failed", "why": "it broke", "traceback": "", "again": True, "attempt": 1})
    assert statuses(study) == {"0000": "waiting"}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("os.replace", lambda source, target, replace=os.replace: replace(source, target)
                      if "partial" in str(source) else (_ for _ in ()).throw(KeyboardInterrupt))
        study.lease()
    lease = study.lease()
    assert (lease.id, lease.attempt) == ("0000", 2) and (lease.folder / "outcome-1.json").exists()
    end(lease, {"status": "failed", "why": "it broke", "traceback": "", "again": True, "attempt": 2})
    assert statuses(study) == {"0000": "failed"}


def test_a_trial_that_is_resumed_has_the_seconds_of_all_its_processes(here, monkeypatch):
    monkeypatch.setattr(trial, "run", lambda *_: dict(DONE))
    monkeypatch.setattr(trial, "stop_without_parent", lambda: None)
    study = Study.create(GRID, "study")
    for began, lived in ((1000, 40.0), (2000, 25.0)):
        lease = study.lease()
        lease.release()
        Path("study/trials/0000/metrics.csv").touch()
        os.utime("study/trials/0000/task.json", (began, began))
        os.utime("study/trials/0000/metrics.csv", (began + lived, began + lived))
    lease = study.lease()
    assert (lease.id, lease.task["spent"]) == ("0000", 65.0)
    trial.main(lease.folder)
    lease.release()
    assert 65 <= study.records()[0].seconds < 125


def test_a_child_that_has_begun_is_resumed_where_its_search_has_moved(here):
    """The run in its folder names the parent's folder as it was called then, and has a copy of its weights."""
    search = Search(recipe="mlp_digits", space={"lr": log(1e-4, 1e-1)}, oracle="evolution", inherit=True)
    study = Study(search, Path("moved"))
    child = TrialRecord("0004", "running", {"lr": 1e-3}, parent="0003")
    for file in ("0003/model.keras", "0004/log.txt"):
        (study.home / file).parent.mkdir(parents=True, exist_ok=True)
        (study.home / file).touch()
    assert study.task(child, [])["recipe"]["init"] == os.fspath(study.home / "0003")
    begun = search.trial(child.values).override(init="study/trials/0003")
    (study.home / "0004" / "recipe.json").write_text(begun.model_dump_json())
    assert study.task(child, [])["recipe"] == json.loads(begun.model_dump_json())


def test_the_values_of_a_trial_are_read_as_they_were_written(here):
    search = Search(recipe="mlp_digits", oracle="grid", space={
        "augment": choice((), (("translate", 1), "flip")), "jit": choice(None, True)})
    study = Study.create(search, "study")
    for _ in range(4):
        end(study.lease())
    assert [record.values for record in Study.open("study").records()] == list(search.combinations())


def test_a_finished_search_of_kerasdl_0_1_is_read_and_not_continued(here):
    """Its tasks had no values, and `epochs` and `parent` in place of the rung."""
    study = Study.create(GRID, "study")
    end(study.lease())
    file = Path("study/trials/0000/task.json")
    task = json.loads(file.read_text())
    del task["values"], task["rung"]
    file.write_text(json.dumps(task | {"epochs": 3, "parent": "0009", "bar": []}))
    Path("study/oracle.json").write_text("{}")
    won = best(Study.open("study"))
    assert won.values == {"lr": 1e-3, "model_args.drop": 0.0} and (won.rung.epochs, won.rung.parent) == (3, "0009")
    with pytest.raises(UserError, match="of kerasdl 0.1, which can be read but not continued"):
        Study.create(GRID, "study")


def test_the_machine_is_divided(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 4}, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert [worker.cores for worker in pool.workers(2)] == [(0, 2, 4), (1, 3)]
    assert [worker.gpu for worker in pool.workers(4)] == ["2", "3", "2", "3"]
    assert pool.workers(1) == [pool.Worker()]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [worker.cores for worker in pool.workers(6)] == [(0,), (1,), (2,), (3,), (4,), (0,)]


def test_the_median_rule():
    """Golovin et al. 2017: the best so far against the median of the others' averages up to the same epoch."""
    records = [TrialRecord("", "completed", {}, curve[-1], curve=curve)
               for curve in ([0.2, 0.4], [0.4, 0.8], [0.6, 0.8], [0.1, 0.3], [0.9, 0.9])]
    thresholds, missed = median_stopping.thresholds(records), median_stopping.missed
    assert thresholds == pytest.approx([0.4, 0.6])
    assert median_stopping.thresholds(records[:4]) == []
    assert median_stopping.thresholds([replace(record, status="stopped") for record in records]) == []
    assert missed([0.39], thresholds, "max", epochs=5) == 0.4 and missed([0.4], thresholds, "max", epochs=5) is None
    assert missed([0.5, 0.1, 0.2], thresholds, "max", epochs=5)  # beyond the others' last epoch
    assert not missed([0.3], thresholds, "max", epochs=10), "it has a fifth of its epochs to warm up"
    assert not missed([0.3] * 5, thresholds, "max", epochs=5), "a trial at its end is not stopped"
    assert missed([0.5], thresholds, "min", epochs=5) and not missed([0.3], thresholds, "min", epochs=5)


def test_mistakes_in_what_was_typed(refused, here):
    refused("tune", "mlp_digits_gird", words=["Unknown search"])
    refused("tune", "--workers", 2, words=["Which search?"])
    refused("tune", "mlp_digits_grid", "lr=0.1", words=["lr is searched", "would fix it"])
    refused("tune", "--resume", "nowhere", words=["nowhere is not a search"])
    refused("tune", "report", "nowhere", words=["nowhere is not a search"])
    refused("tune", "best", "nowhere", words=["nowhere is not a search"])
    Study.create(GRID, "study")
    refused("tune", "--resume", "study", "--workdir", "other", words=["one of the two"])


def test_the_winners_recipe_is_a_recipe(here):
    search = Search(recipe="vit_digits", name="mine", trials=1, space={
        "lr": log(1e-4, 1e-1), "model_args.drop_path": uniform(0, 0.5), "augment": choice((), ("mixup",))})
    study = Study.create(search, "study")
    lease = study.lease()
    with pytest.raises(UserError, match="No trial of study has ended well. To resume"):
        best(study)
    end(lease)
    Path("won.py").write_text(source(study, best(study)))
    won = load("won.py")
    assert won.model_copy(update={"name": "", "claim": None}) == search.trial(
        study.records()[0].values).model_copy(update={"name": "", "claim": None})


def test_the_winner_is_trained_again_with_the_backend_of_the_search(here):
    study = Study.create(GRID, "study")
    lease = study.lease()
    end(lease)
    (lease.folder / "result.json").write_text('{"environment": {"backend": "jax"}}')
    with pytest.raises(UserError, match="trained with jax, and Keras computes with tensorflow. Give --backend jax"):
        measure(study, best(study), seeds=1)


def test_the_winner_is_trained_with_each_seed_once_and_a_failed_one_again(quick):
    """By the loop that runs trials, so a killed retraining is resumed like a trial."""
    study = quick()
    won = best(study)
    final = measure(study, won, seeds=2, workers=2)
    assert final["seeds"] == [1, 2] and final["val"] == final["test"] == [won.score] * 2
    home = Path("study/final") / won.id
    failed = {"status": "failed", "why": "it broke", "traceback": "", "again": False, "attempt": 1}
    (home / "seed-2" / "outcome.json").write_text(json.dumps(failed))
    assert measure(study, won, seeds=3)["seeds"] == [1, 2, 3]
    ledger = Path("study/final/ledger").read_text().split()
    assert sorted(ledger[:2]) == ["seed-1", "seed-2"] and ledger[2:] == ["seed-2", "seed-3"]


def test_a_retraining_that_fails_says_where_its_log_is(quick, here):
    study = quick()
    Path("study/final").mkdir()
    Path("study/final/faults.json").write_text(json.dumps({"seed-2": "mistake"}))
    with pytest.raises(UserError, match=r"_tuned with seed 2 failed: batch=7 does .* study/final/\d+/seed-2/log.txt"):
        measure(study, best(study), seeds=2)
    assert measure(study, best(study), seeds=1)["seeds"] == [1], "a seed that nobody asked for is not tried again"


def test_seeds_whose_data_changed_have_no_mean(tmp_path):
    runs = [tmp_path / f"seed-{seed}" for seed in range(3)]
    for run, sums in zip(runs, ("x", "x", "y"), strict=True):
        run.mkdir()
        (run / "data.json").write_text(json.dumps({"examples": {"val": sums}}))
    check_same_data(runs[:2])
    with pytest.raises(UserError, match="changed between .*seed-0 and .*seed-2"):
        check_same_data(runs)


def test_a_recipe_with_several_seeds(quick, command, refused, monkeypatch):
    quick()  # trials that take no time
    pages: list[str] = []
    monkeypatch.setattr("kerasdl.reports.page.report", lambda run: pages.append(run.path.name))
    done = command("train", "mlp_digits", "--seeds", 3, "--workers", 2, "--workdir", "many", "--json")
    found = json.loads(done.out)
    assert found["seeds"] == [0, 1, 2] and len(found["scores"]["test/accuracy"]) == 3
    assert pages == ["seed-0", "seed-1", "seed-2"]
    older = json.loads(Path("many/seeds.json").read_text())
    older["recipe"]["claim"] = {"published": 0.5}  # as an earlier version has written it
    del older["recipe"]["private"]
    Path("many/seeds.json").write_text(json.dumps(older))
    assert command("train", "mlp_digits", "--seeds", 4, "--workdir", "many", "--no-report").out.count("\n") >= 6
    assert sorted(Path("many/../ledger").read_text().split()) == [f"seed-{seed}" for seed in range(4)]
    refused("train", "mlp_digits", "lr=1", "--seeds", 4, "--workdir", "many", words=["another recipe: lr 0.002 -> 1.0"])
    refused("train", "mlp_digits", "--workers", 2, words=["--seeds"])


def test_a_search_in_the_docs(quick):
    """Best first, with what each trial changed; one that has no score is not told."""
    entry = searches_page.noted(quick().folder)
    scores = [trial["score"] for trial in entry["trials"]]
    assert len(scores) == 6 and scores == sorted(scores, reverse=True)
    told = searches_page.body([entry])
    assert told.startswith("### grid\n\nTrials of `mlp_digits`, by grid search, on ")
    assert "| `lr` | `model_args.drop` | epochs | validation accuracy, % |" in told
    best = entry["trials"][0]
    row = f"| {best['values']['lr']:.3g} | {best['values']['model_args.drop']:.3g} | {best['epochs']} |"
    assert f"{row} {100 * best['score']:.2f} |" in told
    assert searches_page.body([]) == "No search has been run yet.\n"


def test_a_file_of_the_user_s_is_not_taken_for_python_s_own(here):
    (here / "random.py").write_text("raise SystemExit(77)")
    done = subprocess.run([*pool.COMMAND, "nowhere"], capture_output=True, text=True)
    assert done.returncode != 77 and "nowhere" in done.stderr


def test_processes_begin_as_well_if_the_one_that_they_are_forked_from_dies(quick, monkeypatch):
    """What was forked runs on to its end, and the others begin from nothing."""
    begun, forked = [], []
    plain, fork = pool.begin, nursery.Nursery.fork

    def counting(self, lease, worker, log):
        process = fork(self, lease, worker, log)
        forked.append(lease.id)
        if len(forked) == 2:
            self.process.kill()
            self.process.wait()
        return process

    monkeypatch.setattr(nursery.Nursery, "fork", counting)
    monkeypatch.setattr(pool, "begin", lambda lease, *rest: begun.append(lease.id) or plain(lease, *rest))
    assert set(statuses(quick()).values()) == {"completed"}
    assert sorted(starts()) == sorted(["0000", "0001", *begun]) and len(begun) == 4


def test_a_process_with_the_number_of_one_that_has_ended_runs():
    home, (here, there) = nursery.Nursery(), socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    home.link = here
    with here, there:
        for message, code in (({"pid": 7}, None), ({"pid": 7, "code": 1}, 1), ({"pid": 7}, None),
                              ({"pid": 7, "code": 0}, 0)):
            there.send(json.dumps(message).encode())
            assert home.end_of(7) == code


def test_a_forked_process_is_like_one_that_began_by_itself(tmp_path, monkeypatch):
    """Its standard input ends with its parent, its output goes to the log, its lock to nobody else, its code back."""
    child = tmp_path / "child.py"
    child.write_text("""
import os, random, sys, time
from kerasdl.tuning import trial
def main(folder):
    print(os.getsid(0) == os.getpid(), os.environ.get("MINE"), os.getcwd(), len(os.sched_getaffinity(0)))
    print(random.random())
    open(folder / "there", "w").close()
    if (folder / "wait").exists():
        sys.exit(os.read(0, 1) != b"")
    return 7
trial.main, trial.prepare = main, lambda: None
sys.exit(trial.command(sys.argv[1:]))
""")
    monkeypatch.setattr(pool, "COMMAND", (sys.executable, os.fspath(child)))
    monkeypatch.setenv("MINE", "yes")
    home, drawn = nursery.Nursery(), set()
    for name, cores in (("one", (0,)), ("two", (0,))):
        (tmp_path / name).mkdir()
        lease = Lease(name, tmp_path / name, 1, try_lock(tmp_path / name / "lock"), {})
        process = pool.start(lease, pool.Worker(cores), None, home.fork)
        assert process.popen.wait() == 7 and process.ended
        lease.release()
        assert not is_locked(tmp_path / name / "lock")
        _, facts, random = (tmp_path / name / "log.txt").read_text().splitlines()
        assert facts == f"True yes {os.getcwd()} 1"
        drawn.add(random)
    assert len(drawn) == 2 and isinstance(process.popen, nursery.Forked)
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "wait").touch()
    lease = Lease("three", tmp_path / "three", 1, try_lock(tmp_path / "three" / "lock"), {})
    process = pool.start(lease, pool.Worker(), None, home.fork)
    lease.release()
    while not (tmp_path / "three" / "there").exists():
        time.sleep(0.01)
    assert not process.ended and is_locked(tmp_path / "three" / "lock")
    process.popen.stdin.close()
    assert process.popen.wait() == 0 and not is_locked(tmp_path / "three" / "lock")
    (tmp_path / "three" / "there").unlink()
    lease = Lease("three", tmp_path / "three", 2, try_lock(tmp_path / "three" / "lock"), {})
    process = pool.start(lease, pool.Worker(), None, home.fork)
    process.kill()
    assert process.popen.returncode == -signal.SIGKILL
    lease.release()
