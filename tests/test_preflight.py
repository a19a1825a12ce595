"""Mistakes that are found before TensorFlow is imported: with the words of the later check, and no false alarm."""

import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kerasdl import objectives, recipe, registry, unimported, zoo
from kerasdl.cli import preflight
from kerasdl.data import sources
from kerasdl.data.sources import tfds
from kerasdl.errors import DataError
from kerasdl.evaluation.evaluate import evaluate
from kerasdl.run import Run
from kerasdl.train.fit import train

CSV = ["train", "linear_csv", "data=csv:rows.csv", "data_args.label=kind"]
TRAINING = [  # and a word of the message
    (["train", "mlp_csv", "data=csv:nothere.csv", "data_args.label=kind"], "nothere.csv"),
    (["train", "mlp_csv", "data=csv:rows.csv"], "label=COLUMN"),
    (["train", "mlp_csv", "data=csv:rows.csv", "data_args.label=knid"], "'knid'"),
    (["train", "mlp_csv", "data=rows.csv"], "csv:rows.csv"),
    ([*CSV, "data_args.labl=kind"], "'labl'"),
    ([*CSV, "data_args.drop=colour,wieght"], "'wieght'"),
    ([*CSV, "data_args.drop=kind"], "dropped"),
    ([*CSV, "data_args.fill=mean"], "fill"),
    ([*CSV, "data_args.test=nothere.csv"], "nothere.csv"),
    ([*CSV, "data_args.test=narrow.csv"], "'colour', 'kind'"),
    ([*CSV, "data_args.sep=;"], "';'"),
    (["train", "mlp_csv", "data=csv:semicolon.csv", "data_args.label=kind"], "sep"),
    (["train", "mlp_csv", "data=csv:twice.csv", "data_args.label=b"], "two columns"),
    (["train", "mlp_csv", "data=csv:numbers.csv", "data_args.label=7"], "header"),
    ([*CSV, "model_args.widht=3"], "'widht'"),
    ([*CSV, "model=mpl"], "'mpl'"),
    ([*CSV, "model=mine.py:build"], "mine.py"),
    ([*CSV, "objective=mine.py:Loss"], "mine.py"),
    ([*CSV, "objective_args.label_smothing=0.1"], "label_smothing"),
    ([*CSV, "epoch=3"], "'epoch'"),
    ([*CSV, "--init", "nothere"], "nothere"),
    ([*CSV, "--strategy", "mirorred"], "'mirorred'"),
    ([*CSV, "--checkpoint-every", "soon"], "'soon'"),
    (["train", "cnn_digits", "data=folder:nowhere"], "nowhere"),
    (["train", "cnn_digits", "data=folder:pets"], "1 class folders"),
    (["train", "cnn_digits", "data=folder:pets", "objective=regress"], "csv:PATH"),
    (["train", "linear_digits", "data_args.labl=x"], "'labl'"),
]
ASKING = [
    (["eval", "nowhere"], "nowhere"),
    (["eval", "run", "--data", "csv:nothere.csv"], "nothere.csv"),
    (["eval", "run", "--data", "csv:narrow.csv"], "'kind'"),
    (["eval", "run", "--data", "csv:unlike.csv"], "'colour'"),
    (["eval", "run", "--data", "folder:pets"], "row data"),
    (["predict", "nowhere", "rows.csv"], "nowhere"),
    (["predict", "run", "nothere.csv"], "nothere.csv"),
    (["predict", "run", "pets/cat/0.png"], "CSV rows"),
    (["predict", "run", "pets"], "a folder"),
    (["predict", "run", "x.npy"], "an array"),
    (["predict", "run", "rows.csv", "--out", "p.txt"], "p.txt"),
]


@pytest.fixture
def place(here, table, csv_run):
    """A folder with what the mistakes are made with."""
    shutil.copy(table, "rows.csv")
    shutil.copytree(csv_run.path, "run")
    (here / "pets" / "cat").mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8), "uint8")).save("pets/cat/0.png")
    np.save("x.npy", np.zeros((2, 3)))
    for name, text in {"narrow": "size,weight\n1,2\n", "unlike": "size,kind\n1,big\n", "twice": "a,a,b\n1,2,3\n",
                       "semicolon": "size;kind\n1;2\n", "numbers": "7,3.5\n1,2\n"}.items():
        (here / f"{name}.csv").write_text(text)
    return here


@pytest.fixture(scope="module")
def csv_run(table, tmp_path_factory):
    return train("linear_csv", f"data=csv:{table}", "data_args.label=kind", epochs=1, verbose=False,
                 workdir=tmp_path_factory.mktemp("runs") / "csv")


def test_mistakes_are_found_without_tensorflow(place):
    """In a new process, because this one has it."""
    code = f"""if True:
        import io, json, sys
        from contextlib import redirect_stderr
        import kerasdl.cli
        for arguments, word in json.loads({json.dumps(json.dumps(TRAINING + ASKING))}):
            sys.argv, said = ["kerasdl", *arguments], io.StringIO()
            try:
                with redirect_stderr(said):
                    kerasdl.cli.main()
                code = 0
            except SystemExit as stop:
                code = stop.code
            lines = said.getvalue().splitlines()
            assert code == 2 and len(lines) == 1 and word in lines[0], (arguments, code, lines)
            heavy = {{"tensorflow", "keras", "jax", "sklearn", "tensorflow_datasets"}} & set(sys.modules)
            assert not heavy, (arguments, heavy)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stdout


@pytest.mark.parametrize("arguments, word", TRAINING + ASKING, ids=lambda value: " ".join(value)
                         if isinstance(value, list) else "")
def test_the_words_are_those_of_the_later_check(place, refused, monkeypatch, arguments, word):
    early = refused(*arguments, words=[word])
    for name in ("training", "evaluation", "prediction"):
        monkeypatch.setattr(preflight, name, lambda *_, **__: None)
    assert refused(*arguments) == early


@pytest.mark.parametrize("name", recipe.names())
def test_every_recipe_of_the_package_passes(here, name):
    found = recipe.load(name)
    if ":" not in found.data:
        preflight.training(found)


def test_what_is_declared_is_what_the_class_has():
    for name in objectives.names():
        found, declared = objectives.get(name), registry.declared(name)
        assert declared.get("target") == found.target and declared.get("predicts", False) == found.predicts
        assert declared.get("Settings", list(found.Settings.model_fields)) == list(found.Settings.model_fields)
    assert registry.declared("classify")["Settings"]


def test_a_function_that_is_not_imported_takes_what_it_takes():
    pairs = [(zoo.module(name).build, unimported.function(zoo.file_of(name), "build"))
             for name in (*zoo.MODELS, *zoo.GENERATIVE)]
    pairs.append((tfds.read, unimported.function(Path(sources.__file__).with_name("tfds.py"), "read")))
    for real, light in pairs:
        known, found = (inspect.signature(function).parameters for function in (inspect.unwrap(real), light))
        assert [(one.name, one.kind) for one in known.values()] == [(one.name, one.kind) for one in found.values()]
        for one in known.values():
            assert found[one.name].default in (one.default, ...)


HEADS = {  # files that `read` accepts, whatever a first look may think of them
    "quoted": '"a, b","c ""d""",label\n', "na": "NA,null,label\n", "unnamed": "a,,label\n", "spaces": " a , b ,label\n",
    "lines": '"a\nb",c,label\n', "blank": "\n\na,b,label\n", "years": "2019,2020,2021\n", "bom": "\ufeffa,b,label\n"}


@pytest.mark.parametrize("head", HEADS)
def test_a_header_that_is_read_passes(here, head):
    rng = np.random.default_rng(0)
    rows = "".join(f"{rng.normal():.5f},{rng.normal():.5f},{label}\n" for label in np.resize([0, 1], 40))
    (here / "rows.csv").write_text(HEADS[head] + rows)
    args = {"label": "2021" if head == "years" else "label", "drop": ["Unnamed: 1"] if head == "unnamed" else []}
    assert sources.load("csv:rows.csv", **args).size
    sources.look("csv:rows.csv", target="class", **args)


def test_a_look_reads_no_more_than_the_first_lines(here, monkeypatch):
    (here / "rows.csv").write_text("a,label\n" + "1,x\n" * 10)
    monkeypatch.setattr(pd, "read_csv", lambda *_, nrows, real=pd.read_csv, **how: real(*_, nrows=nrows, **how))
    sources.look("csv:rows.csv", target="class", label="label")
    with pytest.raises(DataError, match="'lable'"):
        sources.look("csv:rows.csv", target="class", label="lable")


def test_an_interrupted_run_resumes_without_what_it_began_with(place, here):
    """Its first weights were copied, so the run of `init` may be gone."""
    begun = recipe.load("linear_csv").override("data=csv:rows.csv", "data_args.label=kind", "init=run", "epochs=2")
    train(begun, workdir="new", stop_after=1, verbose=False)
    shutil.rmtree("run")
    preflight.training(begun, "new")
    with pytest.raises(preflight.UserError, match="init=run"):
        preflight.training(begun, "other")


def test_the_test_file_of_a_run_is_found_from_another_folder(here, table, monkeypatch):
    frame = pd.read_csv(table)
    frame[:150].to_csv("rows.csv", index=False)
    frame[150:].to_csv("held.csv", index=False)
    made = train("linear_csv", "data=csv:rows.csv", "data_args.label=kind", "data_args.test=held.csv", epochs=1,
                 batch=16, workdir="run", verbose=False)
    before = evaluate(made)
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert evaluate(here / "run") == before
    preflight.evaluation(Run.open(here / "run"), None)


def test_an_interrupted_run_finds_its_data_from_another_folder(here, table, command, monkeypatch):
    frame = pd.read_csv(table)
    frame[:150].to_csv("rows.csv", index=False)
    frame[150:].to_csv("held.csv", index=False)
    train("linear_csv", "data=csv:rows.csv", "data_args.label=kind", "data_args.test=held.csv", epochs=2, batch=16,
          workdir="run", verbose=False, stop_after=1)
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    done = command("train", "--resume", here / "run")
    assert done.code == 0, done.err
    assert Run.open(here / "run").result["status"] == "completed" and (here / "run" / "report.html").is_file()
    assert Run.open(here / "run").recipe.data == "csv:rows.csv"  # as it was typed
