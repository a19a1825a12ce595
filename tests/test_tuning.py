"""A search that is killed, that fails, that runs out of room or time: nothing is lost, and it is told why."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import searches as searches_page
from kerasdl.errors import UserError
from kerasdl.files import try_lock
from kerasdl.recipe import load
from kerasdl.tuning import Search, choice, early, log, processes, table, uniform
from kerasdl.tuning import search as searches
from kerasdl.tuning.best import best, measure, source, spread
from kerasdl.tuning.search import tune
from kerasdl.tuning.study import Study, is_locked

HERE = Path(__file__).parent
GRID = Search(recipe="mlp_digits", oracle="grid", name="grid", stop_early=False,
              space={"lr": choice(1e-3, 1e-2, 1e-1), "model_args.drop": choice(0.0, 0.1)})
DONE = {"status": "completed", "attempt": 1, "epochs": 1, "scores": {"val/accuracy": 0.5}, "seconds": 1.0}


@pytest.fixture
def quick(here, monkeypatch):
    """Runs a search whose trials take no time and do wrong what `faults` says; returns its study."""
    monkeypatch.setattr(processes, "COMMAND", (sys.executable, os.fspath(HERE / "tuning_child.py")))
    monkeypatch.setattr(searches, "POLL", 0.02)

    def run(search=GRID, faults=None, workers=2, **options):
        Path("study").mkdir(exist_ok=True)
        Path("study/faults.json").write_text(json.dumps(faults or {}))
        return tune(search, "study", workers, **options)

    return run


def starts() -> list[str]:
    """The trials in the order in which a process of theirs began."""
    return Path("study/ledger").read_text().split()


def statuses(study: Study) -> dict[str, str]:
    return {row.id: row.status for row in study.rows()}


def killed(folder, oracle, workers, kills, seed=1):
    """What tests/tuning_harness.py tells of a search whose parent and children are killed so often."""
    words = [sys.executable, HERE / "tuning_harness.py", folder, oracle, workers, kills, seed]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def assert_nothing_lost(told, workers):
    names = [name for name, *_ in told["trials"]]
    assert len(names) == 12 and sorted(told["ended"]) == sorted(names)  # each ended, and once
    assert {status for _, status, *_ in told["trials"]} == {"completed"}
    assert len({json.dumps(values) for _, _, values, _ in told["trials"]}) == 12
    assert set(told["ledger"]) == set(names)
    repeated = len(told["ledger"]) - len(names)
    assert repeated <= told["parents"] * workers + told["children"], "more than what ran was repeated"


@pytest.mark.parametrize("oracle, workers", [("grid", 3), pytest.param("bayesian", 1, marks=pytest.mark.soak)])
def test_a_search_that_is_killed_loses_nothing_and_counts_nothing_twice(here, oracle, workers):
    told = killed(here / "killed", oracle, workers, 3)
    assert told["parents"] >= 2 and told["children"] >= 2
    assert_nothing_lost(told, workers)
    if workers == 1:
        assert killed(here / "unbroken", oracle, 1, 0)["trials"] == told["trials"]


@pytest.mark.soak
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("oracle", ["grid", "random", "bayesian", "hyperband"])
def test_ten_kills_of_parents_and_ten_of_children(here, oracle, workers):
    unbroken = killed(here / "unbroken", oracle, workers, 0)
    for seed in range(3):
        told = killed(here / f"killed-{seed}", oracle, workers, 10, seed)
        assert_nothing_lost(told, workers)
        if workers == 1 or oracle in ("grid", "random"):
            assert told["trials"] == unbroken["trials"]


def test_a_parent_killed_between_the_oracle_and_the_lock_leaves_a_search_that_goes_on(quick, here):
    search = Search(recipe="mlp_digits", space={"lr": log(1e-4, 1e-1)}, trials=3)
    study = Study.create(search, "study")
    with study.locked() as oracle:
        oracle.create_trial("killed before it took the trial's lock")
    assert [row.status for row in quick(search, workers=1).rows()] == ["completed"] * 3


def test_one_worker_gives_the_same_search_twice_and_seed_0_is_a_seed(quick):
    search = Search(recipe="mlp_digits", space={"lr": log(1e-4, 1e-1)}, trials=5)
    trials = []
    for seed in (0, 0, 1):
        study = quick(replace(search, seed=seed), workers=1)
        trials.append([(row.id, row.values, row.score) for row in study.rows()])
        Path("study").rename(f"study-{len(trials)}")
    assert trials[0] == trials[1] != trials[2]


def test_a_trial_that_fails_is_tried_once_more_and_the_search_goes_on(quick, capfd):
    faults = {"0000": "raise once", "0001": "raise", "0002": "kill", "0003": "nan", "0004": "mistake"}
    study = quick(faults=faults)
    rows = {row.id: row for row in study.rows()}
    assert [row.status for row in rows.values()] == ["completed", "failed", "failed", "failed", "failed", "completed"]
    assert sorted(starts()) == sorted(["0000", "0001", "0002"] * 2 + ["0003", "0004", "0005"])
    assert rows["0001"].why == "RuntimeError: it broke" and "Traceback" in rows["0001"].traceback
    assert "SIGKILL" in rows["0002"].why and "val/accuracy is nan" in rows["0003"].why
    assert rows["0004"].why == "batch=7 does not divide by 2 replicas."
    first = json.loads((rows["0000"].folder / "outcome-1.json").read_text())
    assert first["why"] == "RuntimeError: it broke" and "Traceback" in first["traceback"]
    told = capfd.readouterr()
    assert "trial 0000  failed (one more attempt): RuntimeError: it broke" in told.err
    assert "trial 0001  failed: RuntimeError: it broke" in told.err and not told.out


def test_a_trial_that_wants_more_memory_than_it_may_have_fails_alone(quick):
    study = quick(faults={"0001": "eat"}, memory=400)
    row = study.rows()[1]
    assert row.status == "failed" and row.why == "out of memory" and row.attempts == 2
    assert "MemoryError" in row.traceback
    assert list(statuses(study).values()).count("completed") == 5


def test_a_trial_has_a_time_limit(quick, monkeypatch):
    passed = property(lambda self: 61.0 if self.given.id == "0002" and "0002" in starts() else 0.0)
    monkeypatch.setattr(processes.Process, "seconds", passed)
    study = quick(replace(GRID, timeout="1 min"), faults={"0002": "hang"}, workers=1)
    row = study.rows()[2]
    assert row.status == "failed" and row.why == "not done within its time limit of 60 s" and row.attempts == 1
    assert list(statuses(study).values()).count("completed") == 5


def test_a_search_of_which_everything_fails_ends_unless_it_is_a_grid(quick):
    search = Search(recipe="mlp_digits", space={"lr": log(1e-4, 1e-1)}, trials=30)
    with pytest.raises(UserError, match="10 trials failed and none succeeded, the last because: batch=7"):
        quick(search, {f"{number:04}": "mistake" for number in range(30)})
    assert len(starts()) <= 11


def test_a_full_disk_ends_the_search_in_one_line_and_is_no_failure_of_the_trial(quick):
    told = "study cannot be written: .*No space left.* kerasdl tune --resume study --memory 900$"
    with pytest.raises(UserError, match=told):
        quick(faults={"0003": "disk"}, workers=1, memory=900)
    study = quick(workers=1)
    assert set(statuses(study).values()) == {"completed"}
    assert starts() == ["0000", "0001", "0002", "0003", "0003", "0004", "0005"]


def test_a_mistake_in_a_trial_that_has_trained_already_is_not_its_own_and_ends_the_search(quick):
    """The backend is another one, or an option: it is told, and the trial goes on when that is mended."""
    checkpoint = Path("study/trials/0002/checkpoint/step-3.npz")
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    with pytest.raises(UserError, match="Trial 0002 cannot be trained: batch=7 does .* kerasdl tune --resume study"):
        quick(faults={"0002": "mistake"}, workers=1)
    study = quick(workers=1)
    assert set(statuses(study).values()) == {"completed"} and {row.attempts for row in study.rows()} == {1}


def test_a_trial_that_goes_on_and_diverges_has_failed(quick):
    folder = Path("study/trials/0002")
    (folder / "checkpoint").mkdir(parents=True)
    (folder / "checkpoint" / "step-3.npz").touch()
    (folder / "result.json").write_text("{}")  # which a run that diverged has written
    assert statuses(quick(faults={"0002": "mistake"}))["0002"] == "failed"


def test_failures_after_a_success_do_not_end_a_search_that_goes_on(quick):
    search = Search(recipe="mlp_digits", space={"lr": log(1e-4, 1e-1)}, trials=1)
    quick(search)
    study = quick(replace(search, trials=13), {f"{number:04}": "mistake" for number in range(1, 13)})
    assert list(statuses(study).values()) == ["completed", *["failed"] * 12]


def test_a_trial_whose_lock_somebody_looks_at_is_given_out_afterwards(here):
    study = Study.create(GRID, "study")
    folder = Path("study/trials/0000")
    folder.mkdir(parents=True)
    lock = try_lock(folder / "lock")
    assert study.ask() == "IDLE"
    os.close(lock)
    assert study.ask().id == "0000"


@pytest.mark.parametrize("option, words", [({"strategy": "miror"}, "'mirrored'"), ({"workers": 0}, "from 1 on"),
                                           ({"memory": -5}, "above 0"),
                                           ({"checkpoint_every": "5 minutes"}, "'5 minutes'")])
def test_an_option_of_which_every_trial_would_fail_is_refused_before_the_first(quick, option, words):
    with pytest.raises(UserError, match=words):
        quick(**option)
    assert not Path("study/search.json").exists()


def test_numbers_of_numpy_are_numbers(quick):
    quick(Search(recipe="mlp_digits", oracle="grid", space={"lr": choice(*np.logspace(-3, -1, 3))}))
    study = Study.open("study")
    study.refresh()
    assert [row.values for row in study.rows()] == [{"lr": lr} for lr in np.logspace(-3, -1, 3)]


def test_a_state_that_changes_while_it_is_read_is_read_again(here, monkeypatch):
    ours, theirs = (Study.create(GRID, "study") for _ in range(2))
    ours.refresh()
    theirs.ask()
    reload = ours.oracle.reload

    def slow():
        reload()
        theirs.ask()

    with monkeypatch.context() as patch:
        patch.setattr(ours.oracle, "reload", slow)
        ours.refresh()
    ours.refresh()
    assert list(ours.oracle.trials) == ["0000", "0001"] and ours.ask().id == "0002"


def test_what_looks_like_markup_is_shown_as_it_is(here, capsys):
    """rich takes [/data] for the end of a style, and ends the program."""
    study = Study.create(GRID, "my [runs]")
    assert study.again == "kerasdl tune --resume 'my [runs]'"
    shown = table.Table(study, 1)
    shown.rows = [table.Row("0000", "failed", {}, None, Path(), why="none of [/data/a, /data/b] exists")]
    shown.console.width = 100
    shown.console.print(shown.draw([]))
    assert "none of [/data/a, /data/b] exists" in capsys.readouterr().err


def test_scores_in_small_units_keep_their_digits(here, capsys):
    study = Study.create(replace(GRID, objective="val/loss"), "study")
    shown = table.Table(study, 1)
    shown.rows = [table.Row("0000", "completed", {}, score, Path(), epochs=1) for score in (3.217e-5, 0.98765)]
    shown.console.print(shown.draw([]))
    told = capsys.readouterr().err
    assert "3.217e-05" in told and "0.9877" in told
    assert spread([2e-5, 4e-5]) == "3e-05 ± 1.414e-05" and spread([0.9, 0.9002]) == "0.9001 ± 0.0001"


@pytest.mark.parametrize("number, end", [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
def test_asked_to_stop_it_leaves_what_runs_to_the_next_time(quick, monkeypatch, capfd, number, end):
    began = table.Table.began

    def stop(self, given):
        began(self, given)
        if given.id == "0003":
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(table.Table, "began", stop)
        with pytest.raises(end):
            quick(workers=1, faults={"0003": "hang"})
    assert "Stopped. To go on: kerasdl tune --resume study" in capfd.readouterr().err
    study = quick(workers=1)
    assert set(statuses(study).values()) == {"completed"} and {row.attempts for row in study.rows()} == {1}
    assert [name for name in starts() if name != "0003"] == ["0000", "0001", "0002", "0004", "0005"]


def test_under_hyperband_a_trial_of_a_higher_rung_is_better():
    """Also where it ended before its rung, by the patience of its recipe."""
    rows = [table.Row(name, "completed", {}, score, Path(), epochs=epochs, budget=budget)
            for name, score, epochs, budget in (("0000", 0.9, 1, 1), ("0001", 0.8, 2, 9), ("0002", 0.7, 9, 9))]
    assert [row.id for row in table.ranked(rows, GRID)] == ["0001", "0002", "0000"]
    assert table.ranked([replace(row, budget=0) for row in rows], GRID)[0].id == "0000"


def test_a_folder_that_cannot_be_written(here):
    Path("file").write_text("")
    with pytest.raises(UserError, match="cannot be written: Not a directory. Choose another --workdir."):
        tune(GRID, "file/study")


def test_going_on_with_another_space_is_refused_and_with_more_trials_is_not(quick):
    search = Search(recipe="mlp_digits", space={"lr": log(1e-4, 1e-1)}, trials=2)
    quick(search)
    with pytest.raises(UserError, match=r"lr: log\(0.0001, 0.1\) -> log\(0.0001, 0.2\)"):
        quick(replace(search, space={"lr": log(1e-4, 2e-1)}))
    quick(replace(search, trials=4))
    assert sorted(starts()) == ["0000", "0001", "0002", "0003"]


def test_several_processes_share_a_folder_and_a_dead_one_leaves_its_trial_to_the_others(here):
    ours, theirs = (Study.create(GRID, "study") for _ in range(2))
    given = [ours.ask(), theirs.ask(), ours.ask()]
    assert [each.id for each in given] == ["0000", "0001", "0002"]
    theirs.tell(given[1], DONE)
    ours.refresh()
    assert statuses(ours) == {"0000": "running", "0001": "completed", "0002": "running"}
    os.close(given[2].lock)  # as when its process is killed
    again = theirs.ask()
    assert again.id == "0002" and again.attempt == 1 and is_locked(again.folder / "lock")
    assert ours.ask().id == "0003"


def test_a_trial_that_ended_before_its_parent_could_tell_is_not_run_again(here):
    study = Study.create(GRID, "study")
    given = study.ask()
    (given.folder / "outcome.json").write_text(json.dumps(DONE))
    os.close(given.lock)
    after = Study.create(GRID, "study")
    assert after.ask().id == "0001" and after.rows()[0].score == 0.5


def test_the_machine_is_divided(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 4}, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert [slot.cores for slot in processes.slots(2)] == [(0, 2, 4), (1, 3)]
    assert [slot.gpu for slot in processes.slots(4)] == ["2", "3", "2", "3"]
    assert processes.slots(1) == [processes.Slot()]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [slot.cores for slot in processes.slots(6)] == [(0,), (1,), (2,), (3,), (4,), (0,)]


def test_the_median_rule():
    """Golovin et al. 2017: the best so far against the median of the others' averages up to the same epoch."""
    rows = [table.Row("", "completed", {}, curve[-1], Path(), curve=curve)
            for curve in ([0.2, 0.4], [0.4, 0.8], [0.6, 0.8], [0.1, 0.3], [0.9, 0.9])]
    assert early.bar(GRID, rows) == pytest.approx([0.4, 0.6])
    assert early.bar(GRID, rows[:4]) == [] and early.bar(GRID, [replace(row, status="stopped") for row in rows]) == []
    bar = early.bar(GRID, rows)
    assert early.below([0.39], bar, "max", epochs=5) and not early.below([0.4], bar, "max", epochs=5)
    assert early.below([0.5, 0.1, 0.2], bar, "max", epochs=5)  # beyond the others' last epoch
    assert not early.below([0.3], bar, "max", epochs=10), "it has a fifth of its epochs to warm up"
    assert not early.below([0.3] * 5, bar, "max", epochs=5), "a trial at its end is not stopped"
    assert early.below([0.5], bar, "min", epochs=5) and not early.below([0.3], bar, "min", epochs=5)


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
    given = study.ask()
    with pytest.raises(UserError, match="No trial of study has ended well. To go on"):
        best(study)
    study.tell(given, DONE)
    Path("won.py").write_text(source(study, best(study)))
    won = load("won.py")
    assert won.model_copy(update={"name": "", "claim": None}) == search.trial(
        study.oracle.trials["0000"].hyperparameters).model_copy(update={"name": "", "claim": None})


def test_the_winner_is_trained_again_with_the_backend_of_the_search(here):
    study = Study.create(GRID, "study")
    given = study.ask()
    study.tell(given, DONE)
    (given.folder / "result.json").write_text('{"environment": {"backend": "jax"}}')
    with pytest.raises(UserError, match="trained with jax, and Keras computes with tensorflow. Give --backend jax"):
        measure(study, best(study), seeds=1)


def test_a_search_that_the_docs_tell_of(quick):
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
    done = subprocess.run([*processes.COMMAND, "nowhere"], capture_output=True, text=True)
    assert done.returncode != 77 and "nowhere" in done.stderr
