"""A user's mistake: one line that says what was expected, what came and what to do; exit code 2; no traceback."""

import shutil
import zipfile

import numpy as np
import pytest
import tensorflow as tf

import kerasdl
from kerasdl.errors import UserError, nearest
from kerasdl.evaluation import predictions
from kerasdl.run import Run


def test_nearest_suggests_one_or_lists_all():
    assert nearest("vti", ["vit", "cnn"]) == "Did you mean 'vit'?"
    assert nearest("zzz", ["vit", "cnn"]) == "Choose from: vit, cnn."
    assert isinstance(UserError(), ValueError)


@pytest.mark.parametrize("arguments, words", [
    (["train", "vit_digit"], ["'vit_digit'", "'vit_digits'"]),
    (["show", "zzzzz"], ["'zzzzz'", "vit_digits", "linear_csv"]),
    (["train", "missing.py"], ["missing.py"]),
    (["train", "vit_digits", "epoch=3"], ["'epoch'", "'epochs'"]),
    (["train", "vit_digits", "epochs"], ["key=value", "'epochs'"]),
    (["train", "vit_digits", "epochs=many"], ["epochs", "integer", "'many'", "str"]),
    (["train", "vit_digits", "batch=0"], ["batch", "greater than 0", "0"]),
    (["train", "vit_digits", "schedule=linear"], ["schedule", "'cosine'", "'linear'"]),
    (["train", "vit_digits", "model_args.patch=two"], ["model_args.patch", "int", "'two'"]),
    (["train", "vit_digits", "lr.high=1"], ["lr.high", "lr=VALUE"]),
    (["train", "vit_digits", "splits.vla=train"], ["splits", "'val'", "'vla'"]),
    (["train", "vit_digits", "model=vti"], ["'vti'", "'vit'"]),
    (["train", "linear_digits", "model_args.ptach=4"], ["'ptach'"]),
    (["train", "vit_digits", "model_args.ptach=4"], ["'ptach'", "'patch'"]),
    (["train", "vit_digits", "model_args.patch=3"], ["patch=3", "(8, 8, 1)"]),
    (["train", "vit_digits", "model_args.patch=0"], ["vit cannot be built", "pixels"]),
    (["train", "linear_digits", "model=gan"], ["two networks", "linear, mlp"]),
    (["train", "mlp_digits", "model_args.norm=no"], ["norm", "true or false", "'no'"]),
    (["train", "linear_digits", "objective_args.gp=1"], ["objective=classify", "objective_args.gp"]),
    (["train", "linear_digits", "data=arrays"], ["arrays", "kerasdl.train", "from_arrays"]),
    (["plan", "mlp_digits", "--on", "cpu", "--backend", "jxa"], ["'jxa'", "'jax'"]),
    (["plan", "mlp_digits", "--on", "cpu", "--backend", "jax"], ["--on cpu", "TensorFlow"]),
    (["train", "vit_digits", "warmup=soon"], ["'soon'", "5%"]),
    (["train", "vit_digits", "augment=('flop',)"], ["'flop'", "'flip'"]),
    (["train", "vit_digits", "batch=5000"], ["batch=5000", "1257"]),
    (["train", "linear_digits", "data=mnits"], ["'mnits'", "'mnist'"]),
    (["train", "linear_digits", "data_args.labl=x"], ["'labl'"]),
    (["train", "linear_digits", "objective=regress"], ["digits", "csv:PATH"]),
    (["train", "linear_digits", "splits.val=tset"], ["'tset'", "validation"]),
    (["train", "linear_digits", "splits.val=train[90%:]"], ["train", "val", "share 126"]),
    (["train", "linear_csv", "data=csv:none.csv"], ["none.csv"]),
    (["train", "cnn_digits", "data=folder:nowhere"], ["nowhere"]),
    (["eval", "nowhere"], ["nowhere", "kerasdl train"]),
    (["predict", ".", "digit.png"], ["recipe.json"]),
    (["report", "."], ["recipe.json"]),
])
def test_mistakes_at_the_command(refused, arguments, words):
    refused(*arguments, words=words)


def test_csv_mistakes_at_the_command(refused, table, here):
    refused("train", "linear_csv", f"data=csv:{table}", words=["'label'", "no column"])
    refused("train", "linear_csv", f"data=csv:{table}", "data_args.label=knid", words=["'knid'", "'kind'"])
    train_holes = ["train", "linear_csv", "data=csv:holes.csv", "data_args.label=kind"]
    text = table.read_text().splitlines()
    (here / "holes.csv").write_text("\n".join([*text, ",1,red,big", ",2,red,small", "1,heavy,red,big"]))
    refused(*train_holes, words=["'weight'", "row 204", "'heavy'"])
    (here / "holes.csv").write_text("\n".join([*text, ",1,red,big", ",2,red,small"]))
    refused(*train_holes, words=["'size'", "2 missing", "fill=median"])


def test_folder_mistakes_at_the_command(refused, here):
    for name in ("cat", "dog"):
        (here / "pets" / name).mkdir(parents=True)
        for index in range(10):
            tf.io.write_file(f"pets/{name}/{index}.png", tf.io.encode_png(np.zeros((8, 8, 3), "uint8")))
    (here / "pets/dog/7.png").write_bytes(b"not a picture")
    refused("train", "cnn_digits", "data=folder:pets", words=["pets/dog/7.png", "decode"])
    shutil.rmtree(here / "pets/dog")
    refused("train", "cnn_digits", "data=folder:pets", words=["1 class folder", "two"])


def test_no_data_and_no_network(refused, here, monkeypatch):
    from kerasdl.data.sources import tfds as named

    monkeypatch.setenv("TFDS_DATA_DIR", str(here / "data"))
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.setattr(named, "_online", lambda: False)
    refused("train", "linear_digits", "data=cifar100",
            words=["cifar100", "not on disk", str(here / "data"), "no network", "TFDS_DATA_DIR"])


def test_a_folder_that_is_taken_or_cannot_be_one(refused, hard_run, here):
    refused("train", "linear_digits", "--workdir", hard_run.path, words=["already holds a finished run", "--workdir"])
    (here / "file").write_text("")
    refused("train", "linear_digits", "--workdir", "file", words=["file", "cannot be written"])
    (here / "mine").mkdir()
    (here / "mine" / "metrics.csv").write_text("of something else")
    refused("train", "linear_digits", "--workdir", "mine", words=["not a run's folder", "metrics.csv", "--workdir"])
    assert [file.name for file in (here / "mine").iterdir()] == ["metrics.csv"]
    for run in ("runs/one", "more/linear_digits/one"):
        (here / run).mkdir(parents=True)
        (here / run / "recipe.json").write_text("{}")
        folder = run.partition("/")[0]
        refused("train", "linear_digits", "--workdir", folder, words=[f"{folder} holds runs", run, "--workdir"])
        with pytest.raises(UserError, match=f"{folder} holds runs"):
            kerasdl.train("linear_digits", workdir=folder)
        assert Run.unfinished(folder, hard_run.recipe, several=True) is None
    with pytest.raises(UserError, match="workdir is empty"):
        Run.unfinished("", hard_run.recipe)


def test_a_run_without_a_model(refused, hard_run, here):
    (here / "run").mkdir()
    for name in ("recipe.json", "data.json"):
        shutil.copy(hard_run.path / name, here / "run")
    tf.io.write_file("digit.png", tf.io.encode_png(np.zeros((8, 8, 1), "uint8")))
    refused("eval", "run", words=["model.keras"])
    refused("predict", "run", "digit.png", words=["model.keras"])


def test_pictures_that_do_not_fit(refused, command, hard_run, here):
    tf.io.write_file("wide.png", tf.io.encode_png(np.zeros((9, 12, 1), "uint8")))
    (here / "text.png").write_text("not a picture")
    refused("predict", hard_run.path, "wide.png", words=["wide.png", "9x12", "8x8", "--resize"])
    refused("predict", hard_run.path, "text.png", words=["text.png", "decode"])
    refused("predict", hard_run.path, "none.png", words=["none.png"])
    resized = command("predict", hard_run.path, "wide.png", "--resize")
    assert resized.code == 0 and "wide.png" in resized.out


def test_nan_ends_with_the_step(refused, here):
    refused("train", "linear_digits", "optimizer=sgd", "lr=1e30", "schedule=constant", "--workdir", "run",
            words=["nan", "at step", "(epoch 1)", "Lower lr", "run"])


def test_a_folder_in_the_place_of_something_else(refused, hard_run, here):
    shutil.copytree(hard_run.path, "run")
    (here / "pictures").mkdir()
    refused("predict", "run", "pictures", words=["pictures", "has no images"])
    (here / "run" / "result.json").unlink()
    (here / "run" / "model.keras").unlink()
    refused("eval", "run", words=["did not get that far", "kerasdl train --resume run"])


@pytest.mark.parametrize("damage", ["cut", "bits"])
def test_a_damaged_model_is_told_in_a_line(refused, hard_run, here, damage):
    shutil.copytree(hard_run.path, "run")
    file = here / "run" / "model.keras"
    whole, at = file.read_bytes(), zipfile.ZipFile(file).getinfo("config.json").header_offset + 100
    file.write_bytes(whole[:len(whole) // 2] if damage == "cut" else whole[:at] + bytes(40) + whole[at + 40:])
    for words in (["eval", "run"], ["ensemble", "run", hard_run.path], ["train", "vit_digits", "--init", "run"]):
        refused(*words, words=["model.keras does not load as a Keras model"])


@pytest.mark.parametrize("damage", ["cut", "empty", "bits", "names"])
def test_damaged_predictions_are_told_in_a_line(here, damage):
    run, answers = Run(here), np.arange(4000).reshape(1000, 4)
    predictions.write(run, predictions.Predictions(np.arange(1000), np.zeros(1000), answers))
    whole = (here / "predictions.npz").read_bytes()
    damaged = {"cut": whole[:len(whole) // 2], "empty": b"", "bits": whole[:60] + bytes(40) + whole[100:],
               "names": whole.replace(b"truth", b"trust")}
    (here / "predictions.npz").write_bytes(damaged[damage])
    with pytest.raises(UserError, match="predictions.npz is damaged. Copy the run again, or train it anew."):
        predictions.read(run)


def test_debug_shows_the_traceback(command, monkeypatch):
    from kerasdl.cli import command as cli

    monkeypatch.setattr(cli, "DEBUG", True)
    with pytest.raises(UserError, match="zzzzz"):
        command("show", "zzzzz", "--debug")


def test_an_objective_that_does_not_fit_the_targets_and_other_arguments(here):
    from kerasdl.data import from_arrays
    from kerasdl.train.fit import train

    x = np.random.default_rng(0).normal(size=(40, 3))
    with pytest.raises(UserError, match="objective=regress learns a number, and the data has classes"):
        train("linear_csv", objective="regress", data=from_arrays(x, np.arange(40) % 2), verbose=False)
    with pytest.raises(UserError, match="objective=classify learns a class, and the data has numbers"):
        train("linear_csv", data=from_arrays(x, x[:, 0], target="number"), verbose=False)
    splits = from_arrays(x, np.arange(40) % 2)
    with pytest.raises(UserError, match="no split 'val'. It has: train, test"):
        train("linear_csv", data={name: splits[name] for name in ("train", "test")}, verbose=False)
    with pytest.raises(UserError, match="Received: Split"):
        train("linear_csv", data=splits["train"], verbose=False)
    for epochs in (0, -1):
        with pytest.raises(UserError, match=f"stop_after is .* 1 or more. Received: {epochs}"):
            train("linear_csv", data=splits, stop_after=epochs, verbose=False)
    assert not list(here.iterdir())
