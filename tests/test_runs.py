"""kerasdl runs, best and compare: rows read from JSON files, sorted, narrowed down, and next to one another."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial

import pytest

from kerasdl import Recipe
from kerasdl.cli import completion
from kerasdl.errors import UserError
from kerasdl.reports import comparison as page
from kerasdl.runs import find
from kerasdl.runs.compare import compare


def make(folder, accuracy=0.5, status="completed", finished="2026-11-28T13:00:00Z", name="mlp_digits", **changes):
    """A run's folder with the JSON files that are read."""
    fields = {"model": "mlp", "data": "digits", "model_args": {"size": "mu"}} | changes
    recipe = Recipe(name=name, **fields)
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text(recipe.model_dump_json())
    (folder / "metrics.csv").write_text("epoch,loss,val_accuracy,val_loss\n0,1.0,0.4,1.1\n1,0.8,0.5,0.9\n")
    if status != "unfinished":
        result = {"recipe": name, "seed": recipe.seed, "status": status, "monitor": "accuracy", "best_epoch": 2,
                  "parameters": 1000, "val": {"accuracy": accuracy, "loss": 1 - accuracy},
                  "test": {"accuracy": accuracy - 0.1, "loss": 1.1 - accuracy},
                  "train": {"seconds": 60 * accuracy, "epochs": 2, "examples_per_second": 4000.0},
                  "better": {"accuracy": "max", "loss": "min"}, "finished": finished}
        (folder / "result.json").write_text(json.dumps(result))
    return folder


def change(folder, **facts):
    """Facts of a run's result.json."""
    file = folder / "result.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | facts))


def noted(folder, **sums):
    """Checksums of a run's splits."""
    (folder / "data.json").write_text(json.dumps({"examples": sums}))


@pytest.fixture
def some(here):
    """Five runs: three seeds of one recipe, one with another rate, one unfinished."""
    for seed, accuracy in enumerate((0.6, 0.7, 0.8)):
        make(here / "runs" / "a" / str(seed), accuracy, seed=seed, finished=f"2026-11-28T13:0{seed}:00Z")
    make(here / "runs" / "b", 0.75, lr=0.01, finished="2026-11-28T12:00:00Z")
    make(here / "runs" / "c", status="unfinished")
    return here / "runs"


def paths(rows, home):
    return [str(row.path.relative_to(home)) for row in rows]


def test_runs_are_found_at_any_depth_the_newest_last(some):
    assert paths(find.find(some), some)[:4] == ["b", "a/0", "a/1", "a/2"]
    (some / "a" / "0" / "checkpoint").mkdir()
    make(some / "a" / "0" / "checkpoint" / "inner")  # a run's own folders are its own
    assert len(find.find(some)) == 5
    for folder in ("audit/shadows/0", "probe/run/5", "compress/channels-40/run"):
        make(some / "a" / "0" / folder)
    assert len(find.find(some)) == 5
    make(some / "a" / "0" / "tuned" / "twice")  # as of --workdir runs/a/0/tuned/twice
    assert len(find.find(some)) == 6
    with pytest.raises(UserError, match="two different runs"):
        compare([some / "a" / "0"])
    shutil.rmtree(some / "a" / "0" / "tuned")
    (some / "broken").mkdir()
    (some / "broken" / "recipe.json").write_text("{")
    assert len(find.find(some)) == 5 and len(find.find(some / "b")) == 1


@pytest.mark.parametrize("key, expected", [
    ("val/accuracy", ["a/2", "b", "a/1", "a/0", "c"]), ("val/loss", ["a/2", "b", "a/1", "a/0", "c"]),
    ("-val/accuracy", ["a/0", "a/1", "b", "a/2", "c"]), ("seconds", ["a/0", "a/1", "b", "a/2", "c"]),
    ("finished", ["b", "a/0", "a/1", "a/2", "c"])])
def test_the_best_score_comes_first_and_what_has_none_last(some, key, expected):
    assert paths(find.ordered(find.find(some), key), some) == expected


@pytest.mark.parametrize("conditions, expected", [
    (["lr=0.01"], ["b"]), (["lr!=0.01"], ["a/0", "a/1", "a/2", "c"]), (["val/accuracy>=0.7", "lr<0.01"],
                                                                           ["a/1", "a/2"]),
    (["status=unfinished"], ["c"]), (["model_args.size=mu", "seed=2"], ["a/2"]), (["recipe=other"], []),
    (["epochs_done==2", "val/accuracy>0.7"], ["b", "a/2"]), (["finished<2026-11-28T12:30"], ["b"])])
def test_conditions(some, conditions, expected):
    assert paths(find.where(find.find(some), conditions), some) == expected


@pytest.mark.parametrize("condition, message", [("val/acuracy>0.5", "Did you mean 'val/accuracy'"), ("lr", "KEY=VALUE"),
                                             ("lr>", "KEY=VALUE"), ("lr=abc", "lr is a number"),
                                             ("learning=1", "No run here has 'learning'")])
def test_a_condition_that_means_nothing_is_refused(some, condition, message):
    with pytest.raises(UserError, match=re.escape(message)):
        find.where(find.find(some), [condition])


@pytest.mark.parametrize("condition, met", [
    ("augment=flip", True), ('augment=["flip"]', True), ("augment!=flip", False), ("jit=True", True),
    ("jit=None", False), ("patience=null", True), ("patience!=null", False), ("patience<null", False),
    ("augment=flip,crop", False), ("lr>.0001", True), ("freeze=()", True), ("freeze!=()", False)])
def test_conditions_are_written_as_settings_are(here, condition, met):
    make(here / "a")
    recipe = json.loads((here / "a" / "recipe.json").read_text())
    (here / "a" / "recipe.json").write_text(json.dumps(recipe | {"augment": ["flip"], "jit": True, "patience": None}))
    assert len(find.where(find.find(here), [condition])) == met


def test_a_folder_that_is_somebody_else_s_is_passed_over(some, monkeypatch):
    """The tests may run as root, to whom no folder is closed."""
    (some / "a" / "theirs").mkdir()
    stat, scan = os.stat, os.scandir

    def closed(call, inside, path, *rest, **how):
        if inside in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return call(path, *rest, **how)

    monkeypatch.setattr(os, "stat", partial(closed, stat, "/theirs/"))
    monkeypatch.setattr(os, "scandir", partial(closed, scan, "/theirs"))
    assert len(find.find(some)) == 5


@pytest.mark.parametrize("key", ["monitor/accuracy", "seed/monitor", "nothing/accuracy"])
def test_a_key_that_looks_like_a_score_is_a_line(some, refused, key):
    refused("runs", "--sort", key, words=[f"No run here has '{key}'"])
    refused("runs", "--where", f"{key}>0", words=[f"No run here has '{key}'"])


def test_a_run_counts_once_whatever_links_lead_to_it(some):
    before = len(find.find(some))
    (some / "latest").symlink_to(some / "b")
    (some / "self").symlink_to(some / "self")
    (some / "round").symlink_to(some)
    (some / "gone").symlink_to(some / "nowhere")
    (some / "a_link").symlink_to(some / "b")
    found = paths(find.find(some), some)
    assert len(found) == before and "b" in found and "a_link" not in found
    assert list(completion.holding(some, "recipe.json", 2))


def test_runs_at_the_command(some, command):
    shown = command("runs", "--sort", "val/accuracy", "--show", "lr").out
    lines = shown.splitlines()
    assert lines[0].split()[:2] == ["run", "recipe"] and "runs/a/2" in lines[1] and "accuracy 0.8" in lines[1]
    assert "unfinished" in lines[-1] and "2/10" in lines[-1]
    rows = json.loads(command("runs", "--where", "lr=0.01", "--show", "lr", "--json").out)
    assert [(row["run"], row["lr"], row["val"]["accuracy"]) for row in rows] == [("runs/b", 0.01, 0.75)]
    assert "No run in runs meets these conditions." in command("runs", "--where", "recipe=other").out
    assert command("runs", "nowhere").code == 2


def test_a_thousand_runs_are_read_without_tensorflow_pandas_and_pydantic(here):
    for number in range(3):
        make(here / "runs" / f"{number}", 0.5)
    for number in range(3, 1000):
        shutil.copytree(here / "runs" / "0", here / "runs" / f"{number}")
    code = ("import sys; sys.argv = ['kerasdl', 'runs', '--sort', 'val/accuracy']\n"
            "from kerasdl.cli import main\n"
            "try:\n    main()\nexcept SystemExit:\n    pass\n"
            "print(sorted({'kerasdl.recipe', 'keras', 'tensorflow', 'pandas', 'numpy'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.count("completed") == 1000 and done.stdout.rstrip().endswith("[]"), done.stderr


def test_best_is_chosen_on_val_and_refuses_what_does_not_compare(some, command, refused):
    done = command("best")
    assert done.out == "runs/a/2\n" and "mlp_digits, val/accuracy 0.8000, the best of 4 runs" in done.err
    assert "optimistic" in command("best", "--by", "test/accuracy").err
    assert json.loads(command("best", "--json").out)["value"] == 0.8
    make(some / "d", 0.9, data="mnist")
    refused("best", words=["different data (digits, mnist)", "--where data=digits"])
    assert command("best", "--where", "data=digits").out == "runs/a/2\n"
    refused("best", "--where", "status=unfinished", words=["No run here is completed"])
    refused("best", "--where", "data=digits", "--by", "parameters", words=["a score, such as val/accuracy"])


def test_best_refuses_runs_on_other_examples(here):
    for name, change in (("a", {}), ("b", {"data_args": {"per_class": 5}}), ("c", {"splits": {"val": "test"}})):
        make(here / name, **change)
    for name in "bc":  # the sums are not noted
        with pytest.raises(UserError, match=f"different val examples, those of .*/a and .*/{name} for"):
            find.best([find.read(here / "a"), find.read(here / name)])
    for name in "abc":
        (here / name / "data.json").write_text(json.dumps({"examples": {"val": "9-x" if name < "c" else "9-y"}}))
    rows = [find.read(here / name) for name in "abc"]
    assert find.best(rows[:2])[2] == 2  # another share of training examples
    with pytest.raises(UserError, match="different val examples, those of .*/a and .*/c for"):
        find.best([rows[0], rows[2]])


def test_examples_that_are_known_to_differ_do_so_next_to_a_run_that_noted_none(here):
    for lr, name in enumerate("abc", start=1):
        make(here / name, lr=lr / 100)
    noted(here / "a", val="9-x")
    noted(here / "b", val="9-y")
    rows = [find.read(here / name) for name in "abc"]
    with pytest.raises(UserError, match="different val examples, those of .*/a and .*/b for"):
        find.best(rows)
    assert "different data" in compare([here / name for name in "abc"]).remarks[0]
    assert not compare([here / "a", here / "c"]).remarks
    make(here / "d", data_args={"per_class": 5})
    assert "different data" in compare([here / "c", here / "d"]).remarks[0]


def test_best_knows_a_file_whose_path_was_written_in_another_way(here):
    for name, data in (("a", "csv:t.csv"), ("b", f"csv:{here}/t.csv"), ("c", "csv:other.csv"), ("d", "mnist")):
        noted(make(here / name, data=data), val="9-y" if name == "c" else "9-x")
    rows = {name: find.read(here / name) for name in "abcd"}
    assert find.best([rows["a"], rows["b"]])[2] == 2
    for other in "cd":
        with pytest.raises(UserError, match="The runs have different data"):
            find.best([rows["a"], rows[other]])
    for name in "ab":  # of a streamed split the number alone is known
        noted(here / name, val="9")
    with pytest.raises(UserError, match="The runs have different data"):
        find.best([find.read(here / name) for name in "ab"])


def test_runs_of_different_code_of_ones_own_are_two_recipes(here):
    for name in "ab":
        code = make(here / name, model="my.py:build") / "code"
        code.mkdir()
        (code / "my.py").write_text("width = 1\n")
    assert len(compare([here / "a", here / "b"]).groups) == 1
    (code / "my.py").write_text("width = 2\n")
    found = compare([here / "a", here / "b"])
    assert [(line.key, len(set(line.texts))) for line in found.settings] == [("code/my.py", 2)]


def test_an_objective_of_ones_own_is_the_same_wherever_its_file_was(here):
    for lr, name in enumerate("ab", start=1):
        folder = make(here / name, lr=lr / 100)
        recipe = json.loads((folder / "recipe.json").read_text())
        own = {"objective": "my.py:Focal" if name == "a" else f"{here}/a/code/my.py:Focal"}
        (folder / "recipe.json").write_text(json.dumps(recipe | own))
        (folder / "code").mkdir()
        (folder / "code" / "my.py").write_text("gamma = 2\n")
    rows = [find.read(here / name) for name in "ab"]
    assert find.best(rows)[2] == 2 and not compare([here / "a", here / "b"]).remarks
    (here / "b" / "code" / "my.py").write_text("gamma = 3\n")
    with pytest.raises(UserError, match="The runs have different objectives"):
        find.best(rows)


def test_an_ensemble_leaves_the_best_what_it_is(here):
    """It has chosen no epoch, and its scores may be those of test alone."""
    make(here / "runs" / "a", 0.7)
    made = make(here / "runs" / "e", name="ensemble") / "result.json"
    facts = {key: value for key, value in json.loads(made.read_text()).items() if key not in ("monitor", "val")}
    made.write_text(json.dumps(facts))
    assert find.best(find.find(here / "runs"))[0].path.name == "a"
    assert find.read(here / "runs" / "e").value("test/monitor") == 0.4  # the accuracy, also where val is missing


def test_a_calibrated_run_is_a_column_of_its_own(here):
    make(here / "runs" / "a", 0.7)
    change(make(here / "runs" / "b", 0.7, name="mlp_digits_calibrated"), calibrated={"temperature": 1.5})
    assert [len(group.rows) for group in compare([here / "runs"]).groups] == [1, 1]


def test_a_backend_is_a_column_of_its_own(here):
    """One that has noted none, such as an unfinished one, goes with the first that has."""
    make(here / "a", status="unfinished", seed=1)
    for name, backend in (("b", "tensorflow"), ("c", "jax")):
        change(make(here / name), environment={"backend": backend})
    found = compare([here / name for name in "abc"])
    assert [[row.path.name for row in group.rows] for group in found.groups] == [["b", "a"], ["c"]]
    assert [(line.key, line.texts) for line in found.settings] == [("backend", ["tensorflow", "jax"])]
    assert not found.remarks


def test_an_ensemble_is_also_of_the_split_it_was_measured_on(here):
    for name, score in (("a", {"val": {"accuracy": 0.7}, "test": {}}), ("b", {"test": {"accuracy": 0.6}})):
        file = make(here / name, name="ensemble") / "result.json"
        facts = {key: value for key, value in json.loads(file.read_text()).items() if key not in ("val", "test")}
        file.write_text(json.dumps(facts | {"members": [], **{split: it for split, it in score.items() if it}}))
    found = compare([here / "a", here / "b"])
    assert len(found.groups) == 2 and not found.remarks
    assert [(line.key, line.texts) for line in found.scores] == [("val/accuracy", ["0.7000", ""]),
                                                                 ("test/accuracy", ["", "0.6000"])]


@pytest.mark.parametrize("first, second, apart", [
    ("simclr", "mae", ["accuracy", "loss"]), ("classify", "distill", ["loss"]), ("classify", "my.py:Focal", ["loss"]),
    ("classify", "tag", ["accuracy", "loss"]), ("masked", "masked", [])])
def test_scores_that_objectives_measure_in_their_own_way_are_not_compared(here, first, second, apart):
    for name, objective, accuracy in (("a", first, 0.5), ("b", second, 0.7)):
        make(here / name, accuracy, lr=accuracy)
        recipe = json.loads((here / name / "recipe.json").read_text())
        (here / name / "recipe.json").write_text(json.dumps(recipe | {"objective": objective}))
    found = compare([here / "a", here / "b"])
    for line in found.scores:
        compares = line.key.partition("/")[2] not in apart
        assert bool(line.changes[1]) is compares and (line.best is not None) is (compares and line.key[:3] == "val")
    assert [remark.rpartition(": ")[2] for remark in found.remarks] == ([", ".join(apart) + "."] if apart else [])


def test_scores_on_different_test_examples_are_not_subtracted(here):
    for name, test, data in (("a", "10-c", "csv:t.csv"), ("b", "500-z", f"csv:{here}/t.csv")):
        folder = make(here / "runs" / name, 0.7, data=data, lr=0.1 if name == "a" else 0.2)
        (folder / "data.json").write_text(json.dumps({"examples": {"val": "5-v", "test": test}}))
    found = compare([here / "runs"])
    assert found.remarks == ["The runs have different test examples, so those scores do not compare."]
    changes = {line.key: line.changes[1] for line in found.scores}
    assert changes["val/accuracy"] and not changes["test/accuracy"]


def test_seeds_are_one_column_with_mean_and_sample_deviation(some):
    found = compare([some / "a", some / "b"])
    assert [(group.title, group.seeds) for group in found.groups] == [("A", "0, 1, 2"), ("B", "0")]
    assert [(line.key, line.texts) for line in found.settings] == [("lr", ["0.001", "0.01"])]
    accuracy = next(line for line in found.scores if line.key == "val/accuracy")
    assert accuracy.texts == ["0.7000 ± 0.1000 (3)", "0.7500"] and accuracy.best == 1
    assert accuracy.changes == ["", "+0.0500"]
    loss = next(line for line in found.scores if line.key == "val/loss")
    assert loss.best == 1 and loss.changes[1] == "-0.0500"


def test_the_direction_of_a_score_of_ones_own_is_that_of_its_objective(here):
    for name, value in (("a", 1.0), ("b", 2.0)):
        file = make(here / name, lr=0.01 * value) / "result.json"
        result = json.loads(file.read_text())
        file.write_text(json.dumps(result | {"val": {"mine": value}, "better": {"mine": "max"}, "monitor": "mine"}))
    found = compare([here / "a", here / "b"])
    assert next(line for line in found.scores if line.key == "val/mine").best == 1
    assert find.best(find.find(here))[0].path.name == "b"


def test_changed_data_is_a_difference(here):
    for name in "ab":
        make(here / name)
        (here / name / "data.json").write_text(json.dumps({"examples": {"train": f"100-{name}", "val": "10-x"}}))
    found = compare([here / "a", here / "b"])
    assert [(line.key, line.texts) for line in found.settings] == [("train examples", ["100-a", "100-b"])]
    assert not found.remarks and found.scores[0].changes[1]
    (here / "b" / "data.json").write_text(json.dumps({"examples": {"train": "100-a", "val": "10-y"}}))
    found = compare([here / "a", here / "b"])  # scores on other examples are not compared
    assert "different data" in found.remarks[0]
    assert all(line.best is None and line.changes == ["", ""] for line in found.scores)


def test_a_seed_that_is_there_twice_counts_once(some):
    make(some / "again", 0.9, seed=2, finished="2026-11-29T00:00:00Z")
    found = compare([some / "a", some / "again"])
    assert [group.seeds for group in found.groups] == ["0, 1, 2"]
    assert found.scores[0].texts == ["0.7333 ± 0.1528 (3)"]
    assert found.remarks == [f"Seed 2 of column A is there more than once. Left out: {some / 'a' / '2'}"]


def test_a_damaged_result_is_said(some):
    (some / "b" / "result.json").write_text("{")
    assert {row.path.name: row.status for row in find.find(some)}["b"] == "damaged"


def test_compare_at_the_command_writes_a_page(some, command, refused):
    done = command("compare", "runs/a", "runs/b")
    assert done.code == 0 and "0.7000 ± 0.1000 (3)" in done.out and "comparison.html" in done.out
    text = (some.parent / "comparison.html").read_text()
    assert "0.7000 ± 0.1000 (3)" in text and text.count("<svg") == 2 and "0.01" in text
    document = json.loads(command("compare", "runs/a", "runs/b", "--no-report", "--json").out)
    accuracy = document["groups"][0]["scores"]["val/accuracy"]
    assert accuracy["runs"] == [0.6, 0.7, 0.8] and accuracy["mean"] == pytest.approx(0.7) and not document["report"]
    assert document["settings"] == {"lr": {"A": "0.001", "B": "0.01"}}
    refused("compare", "runs/b", "runs/b", words=["two different runs or more"])
    refused("compare", "runs/b", "nowhere", words=["nowhere"])


def test_a_page_links_to_the_reports_that_are_there(some):
    (some / "b" / "report.html").touch()
    file = page.write(compare([some / "a", some / "b"]), some.parent / "pages" / "one.html")
    assert 'href="../runs/b/report.html"' in file.read_text() and "runs/a/0/report.html" not in file.read_text()


def test_neighbours_of_a_report(some):
    from kerasdl.reports.page import neighbours

    for name in ("0", "2"):
        (some / "a" / name / "report.html").touch()
    assert neighbours(some / "a" / "1") == {"previous": "../0/report.html", "next": "../2/report.html"}
    assert neighbours(some / "a" / "0") == {"next": "../2/report.html"}
