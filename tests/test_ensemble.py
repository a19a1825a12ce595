"""An ensemble is the mean of its members' probabilities, in one flat model that is used like any other."""

import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest

from kerasdl import zoo
from kerasdl.data import from_arrays, load
from kerasdl.ensemble import differ, ensemble, kept, opened, scores, table
from kerasdl.errors import UserError
from kerasdl.evaluation.evaluate import evaluate
from kerasdl.evaluation.predict import predict
from kerasdl.recipe import Recipe
from kerasdl.reports.page import report
from kerasdl.run import Run
from kerasdl.train.fit import train
from kerasdl.zoo import ensemble as networks
from kerasdl.zoo import vit


@pytest.fixture(scope="module")
def members(hard_recipe, hard_run, tmp_path_factory):
    """Different architectures on the same data."""
    folder = tmp_path_factory.mktemp("members")
    other = hard_recipe.override("model_args.drop=0.0", model="mlp", ema=0.0, seed=1, epochs=2)
    return [hard_run, train(other, workdir=folder / "mlp", verbose=False)]


@pytest.fixture(scope="module")
def made(members, tmp_path_factory):
    return ensemble(members, workdir=tmp_path_factory.mktemp("ensemble") / "run")


def softmax(logits):
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    return exponents / exponents.sum(1, keepdims=True)


def test_its_probabilities_are_the_mean_of_the_members(members, made):
    x = load("digits", "test").x
    mean = np.mean([softmax(run.model().predict(x, verbose=0).astype("float64")) for run in members], 0)
    logits = made.model().predict(x, verbose=0)
    np.testing.assert_allclose(np.exp(logits), mean, atol=1e-6)
    np.testing.assert_allclose(softmax(logits), mean, atol=1e-6)


def test_the_saved_file_is_what_was_measured(members, made):
    """Equal bit for bit, and Keras loads it in a process that imports kerasdl alone."""
    x = load("digits", "test").x[:50]
    built = networks.build([run.model() for run in members])
    np.testing.assert_array_equal(made.model().predict(x, verbose=0), built.predict(x, verbose=0))
    code = f"import keras, kerasdl; m = keras.saving.load_model({str(made.path / 'model.keras')!r}); print(m.name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "ensemble"


def test_it_is_one_flat_graph(members, made):
    model = made.model()
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    names = [layer.name for layer in model.layers]
    assert {"member1_stem_conv", "member2_features", "member1_logits", "logits"} <= set(names)
    assert made.result["parameters"] == sum(run.result["parameters"] for run in members)


def test_members_of_attention_and_of_reduced_precision_go_together():
    random = np.random.default_rng(0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = zoo.build("cnn", (8, 8, 1), 3, size="mu")
    finally:
        keras.config.set_dtype_policy("float32")
    x = random.integers(0, 256, (4, 8, 8, 1)).astype("float32")
    models = [half, vit.build((8, 8, 1), 3, size="mu", patch=4, drop_path=0.1)]
    mean = np.mean([softmax(model.predict(x, verbose=0)) for model in models], 0)
    built = networks.build(models)
    assert built.output.dtype == "float32"
    np.testing.assert_allclose(np.exp(built.predict(x, verbose=0)), mean, atol=1e-5)


def test_a_member_that_is_certain_and_wrong_costs_a_finite_loss():
    """The logarithm of a mean of which a part is 0 in float32."""
    layer = networks.MeanProbability(name="logits")
    found = layer([np.array([[200.0, -200.0]]), np.array([[0.0, 0.0]])]).numpy()
    np.testing.assert_allclose(np.exp(found), [[0.75, 0.25]], rtol=1e-6)


def test_the_table_has_each_member_as_eval_has_it(members, made):
    result = made.result
    for run, told in zip(members, result["members"], strict=True):
        assert told["run"] == str(run.path) and told["seed"] == run.recipe.seed and len(told["weights"]) == 64
        assert told["test"]["accuracy"] == pytest.approx(run.result["test"]["accuracy"], abs=1e-7)
        assert told["test"]["loss"] == pytest.approx(run.result["test"]["loss"], rel=1e-4)
    frame = table(result, "test")
    assert len(frame) == 4 and frame.loc["ensemble", "accuracy"] == result["test"]["accuracy"]
    mean = np.mean([member["test"]["loss"] for member in result["members"]])
    assert frame.loc["mean of the members", "loss"] == pytest.approx(mean)
    assert result["test"]["loss"] < mean, "the logarithm is concave"


def test_it_is_used_like_a_run(made, here):
    assert evaluate(made)["accuracy"] == pytest.approx(made.result["test"]["accuracy"], abs=1e-7)
    assert evaluate(made)["loss"] == pytest.approx(made.result["test"]["loss"], rel=1e-4)
    keras.utils.save_img(here / "digit.png", load("digits", "test").x[0], scale=False)
    (_, answers), = predict(made, [here / "digit.png"])
    page = report(made).read_text()
    assert len(answers) == 3 and "The mean of 2 models on" in page and "epochs" not in page.partition("<main>")[0]


def test_a_report_of_one_that_was_measured_on_train(members, tmp_path):
    """result.json's "train" has scores there, and seconds elsewhere."""
    for split in ("train", "val"):
        made = ensemble(members, split, workdir=tmp_path / split)
        page = report(made).read_text()
        assert f"{made.result[split]['accuracy']:.2%}" in page
        assert "The test split was not read." in page and "did not finish" not in page


def test_the_command(command, members, here):
    paths = [run.path for run in members]
    done = command("ensemble", *paths, "--split", "val", "--workdir", "both", "--out", "both.keras")
    assert done.code == 0, done.err
    assert all(word in done.out.splitlines()[0] for word in ("val", "accuracy", "loss", "calibration error"))
    assert "mean of the members" in done.out and "kerasdl predict both" in done.out
    assert (here / "both.keras").read_bytes() == (here / "both" / "model.keras").read_bytes()
    assert "test" not in Run.open("both").result, "test is for what was chosen"
    assert command("eval", "both").code == 0


def test_runs_that_do_not_go_together(refused, members, hard_recipe, here):
    first = members[0].path
    refused("ensemble", first, words=["two different runs"])
    refused("ensemble", first, first, words=["two different runs"])
    (here / "mine").mkdir()
    (here / "mine" / "model.keras").write_bytes(b"mine")
    refused("ensemble", first, members[1].path, "--workdir", "mine", words=["mine", "model.keras", "--workdir"])
    assert (here / "mine" / "model.keras").read_bytes() == b"mine"
    refused("ensemble", first, "nowhere", words=["no run folder nowhere"])
    refused("ensemble", first, members[1].path, "--out", "model.h5", words=["--out", "model.h5"])
    small = hard_recipe.override("model_args.drop=0.0", model="mlp", augment=(), ema=0.0, epochs=1)
    other = train(small, splits={"val": "train[:100]", "train": "train[100:]"}, verbose=False)
    refused("ensemble", first, other.path, words=["splits.val", "train[:100]"])
    digits = load("digits", "train[:200]")
    arrays = train(small, batch=32, data=from_arrays(digits.x, digits.y % 3), verbose=False)
    refused("ensemble", first, arrays.path, words=["digits", "arrays"])
    shutil.copytree(first, here / "old")
    noted = json.loads((here / "old" / "data.json").read_text())
    (here / "old" / "data.json").write_text(json.dumps({key: noted[key] for key in noted if key != "examples"}))
    for pair in ((first, here / "old"), (here / "old", first)):
        assert len(opened(pair)) == 2, "of a run that has not noted its examples nothing is known"
    (here / "old" / "data.json").write_text(json.dumps({key: noted[key] for key in noted if key != "orders"}
                                                       | {"steps": 2}))
    assert len(opened((first, here / "old"))) == 2, "in which order one has learned is no part of what it takes"
    (here / "old" / "data.json").write_text(json.dumps(noted | {"medians": {"size": 1.0}}))
    for pair in ((first, here / "old"), (here / "old", first)):
        with pytest.raises(UserError, match="differ in their data: .* has medians"):
            opened(pair)
    shutil.copytree(first, here / "unfinished")
    (here / "unfinished" / "model.keras").unlink()
    refused("ensemble", first, "unfinished", words=["has no model.keras"])
    result = here / "unfinished" / "result.json"
    result.write_text(result.read_text().replace('"completed"', '"diverged"'))
    refused("ensemble", first, "unfinished", words=["unfinished diverged"])


def test_the_same_file_may_be_written_otherwise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("here/rows.csv", "here/held.csv", "there/rows.csv", "there/held.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def run(name, data, test, folder):
        made = Run.create(Recipe(model="linear", data=data, data_args={"label": "kind", "test": test}), tmp_path / name)
        (made.path / "data.json").write_text(json.dumps({"shape": 2, "folder": str(tmp_path / folder)}))
        return made

    first = run("first", "csv:rows.csv", "held.csv", "here")
    assert differ(first, run("again", "csv:here/rows.csv", "here/held.csv", "."), rooted=True) == []
    other = run("other", "csv:there/rows.csv", "here/held.csv", ".")
    assert differ(first, other, rooted=True) == ["data"]


def test_networks_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        networks.build([zoo.build("mlp", (8, 8, 1), classes, size="mu") for classes in (2, 3)])


def test_an_ensemble_keeps_what_its_members_need(tmp_path):
    """The user's own files and the tokenizer: without them it could not be loaded, or asked about texts."""
    for name, layer in (("a", "x = 1"), ("b", "x = 1"), ("c", "x = 2")):
        (tmp_path / name / "code").mkdir(parents=True)
        (tmp_path / name / "code" / "mine.py").write_text(layer)
        (tmp_path / name / "tokenizer.json").write_text("{}")
    runs = [Run(tmp_path / name) for name in "abc"]
    assert set(kept(runs[:2])) == {"code/mine.py", "tokenizer.json"}
    with pytest.raises(UserError, match="differ in code/mine.py"):
        kept(runs)


def test_numbers_are_averaged_and_measured_as_numbers(command, refused, members, here):
    """In their own unit; `eval`, the report and the table take it as they take a run of numbers."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(90, 3)).round(3), columns=list("abc"))
    frame.assign(y=(1000 + 50 * frame.a + rng.normal(size=90)).round(2)).to_csv("y.csv", index=False)
    words = ["data=csv:y.csv", "data_args.label=y", "objective=regress", "batch=8", "lr=0.01", "--no-report"]
    for name, model, epochs in (("one", "linear", 2), ("two", "mlp", 1)):
        assert command("train", f"{model}_csv", *words, f"epochs={epochs}", "--workdir", name).code == 0
    done = command("ensemble", "one", "two", "--split", "val", "--workdir", "both")
    assert done.code == 0, done.err
    assert done.out.split()[:4] == ["val", "r2", "mae", "loss"]
    made, runs = Run.open("both"), [Run.open("one"), Run.open("two")]
    x = frame.to_numpy("float32")
    mean = np.mean([run.model().predict(x, verbose=0) for run in runs], axis=0)
    np.testing.assert_allclose(made.model().predict(x, verbose=0), mean, rtol=1e-6)
    for run, member in zip(runs, made.result["members"], strict=True):
        wanted = {name: run.result["val"][name] for name in ("r2", "mae", "loss")}
        assert member["val"] == pytest.approx(wanted, rel=1e-5)
    assert evaluate(made, "val") == pytest.approx(made.result["val"], rel=1e-6)
    assert f"{made.result['val']['mae']:.4g}" in report(made).read_text()
    refused("ensemble", "one", members[0].path, words=["answer the same", "is regress", "classify"])


def test_calibration_is_how_far_certainty_is_from_accuracy():
    """Of a network that always answers 3, with a probability of 0.6."""
    split, shares = load("digits", "test"), np.where(np.arange(10) == 3, 0.6, 0.4 / 9)
    constant = zoo.build("linear", (8, 8, 1), 10)
    constant.set_weights([np.log(shares) if weight.shape == (10,) else np.zeros(weight.shape)
                          for weight in constant.weights])
    found = scores(constant, split, 64)
    assert found["accuracy"] == pytest.approx((split.y == 3).mean())
    assert found["loss"] == pytest.approx(-np.log(shares[split.y]).mean(), rel=1e-6)
    assert found["calibration_error"] == pytest.approx(0.6 - found["accuracy"], abs=1e-6)
