"""The verbs of the `kerasdl` command on tiny runs, from `list` to `doctor`."""

import io
import json
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from rich.logging import RichHandler

from kerasdl import logs, recipe
from kerasdl.cli import terminal
from kerasdl.cli.auto import what_to_find
from kerasdl.cli.command import addressed
from kerasdl.cli.train import what_to_train
from kerasdl.cli.tune import what_to_search
from kerasdl.data import load
from kerasdl.errors import UserError
from kerasdl.evaluation.evaluate import evaluate
from kerasdl.run import Run
from kerasdl.train.fit import train
from kerasdl.train.progress import ProgressBar


@pytest.fixture(scope="module")
def csv_run(table, tmp_path_factory):
    changed = recipe.load("linear_csv").override(f"data=csv:{table}", "data_args.label=kind", epochs=3)
    return train(changed, workdir=tmp_path_factory.mktemp("runs") / "csv", verbose=False)


def answers(line):
    """The name and {class: probability} of a line that predict printed."""
    name, *shown = re.split(r"  +", line)
    return name, {label: float(value) for label, value in (text.rsplit(" ", 1) for text in shown)}


def printed(command, *arguments, code=0):
    """The JSON document on stdout, which holds nothing else; NaN and infinity are refused, as other languages do."""
    def refuse(word):
        raise AssertionError(word)

    done = command(*arguments, "--json")
    assert done.code == code
    return json.loads(done.out, parse_constant=refuse)


def documented(verb):
    """The keys that AGENTS.md names in the row of a verb."""
    text = (Path(__file__).parents[1] / "AGENTS.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith(f"| `kerasdl {verb}"))
    return set(re.findall(r"\w+", row))


def test_help_names_every_verb(command):
    done = command("--help")
    assert done.code == 0
    for verb in ("list", "show", "train", "eval", "predict", "report", "doctor"):
        assert verb in done.out and command(verb, "--help").code == 0
    assert "Usage" in command().out + command().err


@pytest.mark.parametrize("verb", ["--help", "list", "show vit_digits"])
def test_light_verbs_import_nothing_heavy(here, verb):
    code = "import runpy, sys; sys.argv[0] = 'kerasdl'\n" \
           "try: runpy.run_module('kerasdl', run_name='__main__')\n" \
           "except SystemExit: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, *verb.split()], capture_output=True, text=True, check=True)
    assert {"kerasdl", "typer"} <= set(done.stderr.split())
    assert not {"keras", "tensorflow", "jax", "pandas", "sklearn", "scipy", "matplotlib"} & set(done.stderr.split())


def test_json_of_what_the_package_has(command):
    listed = printed(command, "list")
    assert [entry["name"] for entry in listed] == recipe.names()
    assert listed[0].keys() == {"name", "model", "data", "objective", "summary"} <= documented("list")
    shown, changed = printed(command, "show", "vit_digits", "epochs=3"), recipe.load("vit_digits").override(epochs=3)
    assert shown["changed"] == json.loads(json.dumps(changed.diff())) and shown.keys() <= documented("show")
    assert recipe.Recipe.model_validate_json(json.dumps(shown["recipe"])) == changed
    results = printed(command, "results")
    assert results.keys() <= documented("results")
    for entry in results["recipes"]:
        assert entry.keys() <= documented("results") and len(entry["scores"]) == len(entry["seeds"])
        assert (entry["mean"] is None) == (not entry["scores"])
    best = next(entry for entry in results["recipes"] if entry["recipe"] == "vit_digits")
    assert best["metric"] == "accuracy" and best["better"] == "max" and 0.9 < best["mean"] <= 1


def test_json_of_a_run(command, hard_run, csv_run, table):
    scores = printed(command, "eval", hard_run.path)
    assert scores.keys() <= documented("eval") and scores["run"] == str(hard_run.path) and scores["split"] == "test"
    assert scores["scores"]["accuracy"] == pytest.approx(hard_run.result["test"]["accuracy"], abs=1e-6)
    rows = printed(command, "predict", csv_run.path, table, "--top", 2)
    assert len(rows) == 200 and rows[0]["example"] == f"{table}:2" and rows[0].keys() <= documented("predict")
    for row in rows:
        assert {answer["class"] for answer in row["answers"]} == {"big", "small"}
        assert sum(answer["value"] for answer in row["answers"]) == pytest.approx(1, abs=1e-5)


def test_json_of_a_training(command, here):
    found = printed(command, "train", "linear_digits", "epochs=1", "--workdir", "run", "--no-report")
    assert found == {"run": "run", "report": None, "result": Run.open("run").result}
    assert found.keys() <= documented("train")


def test_json_of_doctor(command, here, monkeypatch):
    load("digits")
    found = printed(command, "doctor")
    assert found["problems"] == [] and "keras" in found["facts"] and found.keys() <= documented("doctor")
    monkeypatch.setenv("TFDS_DATA_DIR", str(here / "nowhere"))
    assert "TFDS_DATA_DIR" in printed(command, "doctor", code=1)["problems"][0]


def test_a_mistake_prints_no_json(refused):
    refused("show", "vit_digit", "--json", words=["'vit_digits'"])


def test_numbers_that_json_lacks_are_null(capsys):
    terminal.print_json({"loss": float("nan"), "best": float("-inf"), "shape": (1, 2.5), "path": Path("a")})
    assert json.loads(capsys.readouterr().out) == {"loss": None, "best": None, "shape": [1, 2.5], "path": "a"}


def test_onednn_is_on_unless_the_user_says_otherwise(command, monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    command("list")
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    command("list")
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"


def test_list_has_every_recipe(command):
    done = command("list")
    assert done.code == 0 and not done.err
    for found, headline in recipe.shipped():
        line = next(line for line in done.out.splitlines() if line.split()[:1] == [found.name])
        assert headline in line and found.model in line.split() and found.data in line.split()
    assert "kerasdl train" in done.out


def test_show_is_the_recipe_with_its_changes(command):
    done = command("show", "vit_digits", "epochs=7", "model_args.size=mu")
    assert done.code == 0 and not done.err
    changed = recipe.load("vit_digits").override("epochs=7", "model_args.size=mu")
    assert done.out.startswith(str(changed)) and "kerasdl train vit_digits epochs=7 model_args.size=mu" in done.out


def test_what_show_prints_can_be_pasted(command):
    words = ["cnn_mnist", "augment=(('translate', 2),)", "data=folder:my pictures"]
    last = command("show", *words).out.strip().splitlines()[-1]
    assert shlex.split(last.removeprefix("Train it: ")) == ["kerasdl", "train", *words]


def test_train_writes_a_run_and_says_where(command, here):
    done = command("train", "linear_digits", "epochs=1", "--workdir", "my [run]")
    assert done.code == 0 and done.err.startswith("epoch 1/1") and len(done.err.strip().splitlines()) == 1
    result = Run.open("my [run]").result
    for part in ("val", "test"):
        assert re.search(rf"{part} +.*accuracy {result[part]['accuracy']:.4f}", done.out)
    assert "run     my [run]" in done.out and "kerasdl predict 'my [run]' FILE" in done.out
    assert "report  my [run]/report.html" in done.out
    assert (here / "my [run]/report.html").stat().st_size > 1000
    assert list(here.iterdir()) == [here / "my [run]"]


def test_a_run_that_keeps_the_last_epoch_says_so(command):
    done = command("train", "linear_digits", "epochs=3", "lr=5", "schedule=constant", "ema=0", "keep=last", "--workdir",
                   "run", "--no-report")
    assert Run.open("run").result["best_epoch"] < 3 and re.search(r"^kept +epoch 3 of 3$", done.out, re.M)


def test_train_without_a_report_into_the_usual_place(command, here):
    source = 'from kerasdl.recipe import load\nrecipe = load("linear_digits").override(epochs=1, name="")'
    (here / "mine.py").write_text(source)
    done = command("train", "mine.py", "lr=0.01", "--no-report")
    assert done.code == 0
    (folder,) = (here / "runs/mine").iterdir()
    assert str(folder.relative_to(here)) in done.out and not (folder / "report.html").exists()
    assert Run.open(folder).recipe.lr == 0.01


def test_eval_agrees_with_result_json(command, hard_run):
    done = command("eval", hard_run.path)
    assert done.code == 0 and not done.err
    assert re.search(rf"^test +.*accuracy {hard_run.result['test']['accuracy']:.4f}", done.out)
    val = command("eval", hard_run.path, "--split", "val", "--data", "digits")
    assert re.search(rf"^val +.*accuracy {hard_run.result['val']['accuracy']:.4f}", val.out)


def test_predict_images(command, hard_run, here):
    test = load("digits", "test")
    files = [f"{index}.png" for index in range(5)]
    for file, image in zip(files, test.x, strict=False):
        tf.io.write_file(file, tf.io.encode_png(image))
    done = command("predict", hard_run.path, *files, "--top", 10)
    lines = [answers(line) for line in done.out.splitlines()]
    assert done.code == 0 and not done.err and [name for name, _ in lines] == files
    logits = hard_run.model().predict(test.x[:5], verbose=0)
    for (_, shown), row in zip(lines, tf.nn.softmax(logits).numpy(), strict=True):
        assert list(shown.values()) == sorted(shown.values(), reverse=True)
        assert sum(shown.values()) == pytest.approx(1, abs=1e-3)
        np.testing.assert_allclose([shown[str(digit)] for digit in range(10)], row, atol=1e-4)
    (name, three), = map(answers, command("predict", hard_run.path, files[0]).out.splitlines())
    assert list(three.items()) == list(lines[0][1].items())[:3]


def test_predict_rows(command, csv_run, table, here):
    pd.read_csv(table).iloc[:4, ::-1].drop(columns="kind").to_csv("new.csv", index=False)
    done = command("predict", csv_run.path, "new.csv", "--top", 10)
    lines = [answers(line) for line in done.out.splitlines()]
    assert done.code == 0 and [name for name, _ in lines] == [f"new.csv:{line}" for line in (2, 3, 4, 5)]
    for _, shown in lines:
        assert set(shown) == {"big", "small"} and sum(shown.values()) == pytest.approx(1, abs=1e-3)


def test_rows_are_named_by_their_lines(command, csv_run, table, here):
    """Blank lines are no rows, and a text may have several lines."""
    head, one, two, three, *_ = table.read_text().splitlines()
    (here / "new.csv").write_text("\n".join([f"{head},note", f'{one},"two', 'lines"', "", f"{two},x", f"{three},x"]))
    done = command("predict", csv_run.path, "new.csv")
    assert [answers(line)[0] for line in done.out.splitlines()] == ["new.csv:2", "new.csv:5", "new.csv:6"]
    (here / "new.csv").write_text("\n".join([head, one, "", two.replace(two.split(",")[0], "heavy", 1)]))
    said = command("predict", csv_run.path, "new.csv").err
    assert "new.csv:4: the column 'size' holds numbers, and has 'heavy'" in said


def test_predict_refuses_what_the_model_does_not_take(refused, csv_run, hard_run, table, here):
    tf.io.write_file("digit.png", tf.io.encode_png(np.zeros((8, 8, 1), "uint8")))
    refused("predict", csv_run.path, "digit.png", words=["CSV rows", "digit.png"])
    refused("predict", hard_run.path, table, words=["images", str(table)])
    rows = pd.read_csv(table).head(3)
    rows.assign(colour="purple").to_csv("new.csv", index=False)
    refused("predict", csv_run.path, "new.csv", words=["'colour'", "'purple'"])
    rows.drop(columns="size").to_csv("new.csv", index=False)
    refused("predict", csv_run.path, "new.csv", words=["'size'", "missing"])


def test_report_again(command, hard_run):
    done = command("report", hard_run.path)
    assert done.code == 0 and str(hard_run.path / "report.html") in done.out
    assert (hard_run.path / "report.html").is_file()


@pytest.mark.parametrize(("given", "read"), [
    ("tune x --ray", "tune x --ray auto"), ("train x --ray --seeds 2", "train x --ray auto --seeds 2"),
    ("tune --ray local x", "tune --ray local x"), ("tune x --ray auto", "tune x --ray auto"), ("list", "list")])
def test_ray_without_an_address_is_that_of_this_machine(given, read):
    assert addressed(given.split()) == read.split()


@pytest.mark.parametrize("words", [
    ("train", "linear_digits", "--workdir", ""), ("train", "--resume", ""), ("train", "linear_digits", "--init", ""),
    ("launch", "linear_digits", "--workdir", ""), ("reproduce", "linear_digits", "--workdir", ""),
    ("tune", "--resume", ""), ("tune", "linear_cifar10_grid", "--workdir", ""), ("eval", "")])
def test_an_empty_name_is_not_the_current_folder(refused, here, words):
    """As `--workdir "$UNSET"` gives it."""
    refused(*words, words=["empty"])
    assert not list(here.iterdir())


def test_a_path_with_an_equals_sign_is_no_override(here):
    for word, expected in (("epochs=3", True), ("data=csv:a/b.csv", True), ("year=2024/part.csv", False),
                           ("csv:year=2025/part.csv", False), ("digits", False)):
        (here / "year=2024").mkdir(exist_ok=True)
        (here / "year=2024" / "part.csv").write_text("a,b,y\n" + "1,2,x\n2,3,z\n" * 30)
        assert terminal.is_override(word) is expected
    assert what_to_find("year=2024/part.csv", ["data_args.label=y"], {}, None, None)[0].data == "csv:year=2024/part.csv"
    assert what_to_find("csv:year=2024/part.csv", ["data_args.label=y"], {}, None, None)[0].overrides
    (here / "lr=1.py").write_text("from kerasdl.tuning import Search, log\n"
                                  "search = Search('mlp_digits', {'lr': log(1e-4, 1e-1)})\n")
    assert list(what_to_search("lr=1.py", [], None, None, {})[0].space) == ["lr"]
    (here / "lr=2.py").write_text("from kerasdl.recipe import Recipe\nrecipe = Recipe(model='cnn', data='digits')\n")
    train("linear_digits", epochs=2, workdir="run", stop_after=1, verbose=False)
    with pytest.raises(UserError, match="model"):  # the recipe was read, and is not the run's
        what_to_train("lr=2.py", [], None, "run")


def test_a_damaged_file_of_a_run_is_a_line(refused, hard_run, here):
    for name in ("result.json", "data.json"):
        shutil.copytree(hard_run.path, here / name)
        (here / name / name).write_text('{"half": ')
        refused("report" if name == "result.json" else "eval", here / name, words=[f"{name}/{name} is damaged"])


def test_options_that_would_do_nothing_are_refused(refused, hard_run, here):
    refused("compare", hard_run.path, "--no-report", "--out", "x.html", words=["Give one of the two"])
    refused("sample", hard_run.path, "--prompt", "so", "--out", "x.png", words=["--out is for images"])
    refused("sample", hard_run.path, "--tokens", 3, words=["--tokens is for texts", "Give --prompt"])
    refused("card", hard_run.path, "--out", ".", words=["cannot be written"])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_under_the_output_is_a_line(here):
    code = "from kerasdl.cli import main; main()"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code, "list"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "kerasdl: A file or the output cannot be read or written: No space left on device\n"


def test_what_the_system_refuses_is_a_line(refused):
    for words in (("eval", "r" * 300), ("train", "--resume", "r" * 300), ("show", "r" * 300 + ".py")):
        refused(*words, words=["rrr", ": File name too long"])


def test_a_training_continues_when_nobody_reads_its_log(here, monkeypatch):
    """A log on a full disk, a terminal that was closed, a reader that has stopped."""
    class Gone(io.StringIO):
        def __init__(self, error):
            super().__init__()
            self.error = error

        def write(self, text):
            raise self.error

    for error in (OSError(28, "No space left on device"), BrokenPipeError(32, "Broken pipe")):
        monkeypatch.setattr("sys.stderr", Gone(error))
        run = train("linear_digits", epochs=2)
        assert run.result["train"]["epochs"] == 2
        monkeypatch.undo()
        monkeypatch.chdir(here)


@pytest.mark.soak
def test_a_report_is_written_when_nobody_reads_the_scores(here):
    code = "from kerasdl.cli import main; main()"
    with subprocess.Popen([sys.executable, "-c", code, "train", "linear_digits", "epochs=1", "--workdir", "run"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as done:
        done.stdout.close()
        assert done.stderr.read().count(b"\n") == 1, "an epoch's line and nothing else"
    assert done.returncode == 0 and (here / "run" / "report.html").exists()


def test_other_numbers_than_float32_are_refused(hard_run):
    keras.config.set_floatx("float64")
    try:
        for call in (lambda: train("linear_digits"), lambda: evaluate(hard_run)):
            with pytest.raises(UserError, match="set to float64.*set_floatx"):
                call()
    finally:
        keras.config.set_floatx("float32")


def test_ctrl_c(command, monkeypatch):
    def stopped(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("kerasdl.run.load_recipe", stopped)
    done = command("show", "vit_digits")
    assert done.code == 130 and "Traceback" not in done.err


def test_ctrl_c_while_the_command_is_imported(command, monkeypatch):
    class Stopped:
        def find_spec(self, name, *_):
            if name == "kerasdl.cli.command":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "kerasdl.cli.command")
    monkeypatch.setattr(sys, "meta_path", [Stopped(), *sys.meta_path])
    assert command("list").code == 130


def test_doctor_finds_nothing_wrong_here(command):
    load("digits")
    done = command("doctor")
    assert done.code == 0 and "Nothing is wrong." in done.out, done.out
    for name in ("keras", "tensorflow", "backend", "devices", "data folders"):
        assert re.search(rf"^{name} +\S", done.out, re.MULTILINE)
    assert "digits" in done.out


def test_doctor_names_a_data_folder_that_is_none(command, here, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(here / "nowhere"))
    done = command("doctor")
    assert done.code == 1 and "wrong: TFDS_DATA_DIR" in done.out and str(here / "nowhere") in done.out
    assert "Nothing is wrong" not in done.out


def test_a_program_that_logs_to_a_file_has_every_line_there_and_once_on_stderr(tmp_path, monkeypatch, capsys):
    file, ours = logging.FileHandler(tmp_path / "log"), logging.getLogger("kerasdl.train.fit")
    monkeypatch.setattr(logging.getLogger(), "handlers", [file])
    with logs.on_stderr():
        ours.info("first")
        logging.getLogger().addHandler(logging.StreamHandler(sys.stderr))  # as absl does when it warns
        ours.warning("second")
    assert (tmp_path / "log").read_text() == "first\nsecond\n"
    assert capsys.readouterr().err == "first\nwarning: second\n"
    assert file not in logs.LOGGER.handlers and logs.LOGGER.propagate


def test_a_program_that_logs_to_the_terminal_by_rich_keeps_its_own_form(monkeypatch, capsys):
    monkeypatch.setattr(logging.getLogger(), "handlers", [RichHandler()])
    with logs.on_stderr():
        logging.getLogger("kerasdl.train.fit").info("first")
    out, err = capsys.readouterr()
    assert "INFO" in out and out.count("first") == 1 and not err


@pytest.mark.parametrize("term, isatty, bar", [("xterm", True, True), ("dumb", True, False), ("xterm", False, False)])
def test_a_bar_is_drawn_on_a_terminal_that_can_and_nowhere_else(monkeypatch, term, isatty, bar):
    """Elsewhere there are lines; FORCE_COLOR makes no terminal of a file."""
    stream = io.StringIO()
    stream.isatty = lambda: isatty
    monkeypatch.setattr(sys, "stderr", stream)
    for name, value in (("TERM", term), ("FORCE_COLOR", "1")):
        monkeypatch.setenv(name, value)
    shown = ProgressBar(1, 1, 0, logs.LogConsole(), True, True, "images")
    with shown:
        pass
    assert shown.bar.disable is not bar and bool(stream.getvalue()) is bar


def test_result_json_is_json_for_others(hard_run):
    """Strict JSON, without the NaN and Infinity that Python would write and others refuse."""
    def refuse(word):
        raise AssertionError(word)

    json.loads((hard_run.path / "result.json").read_text(), parse_constant=refuse)
