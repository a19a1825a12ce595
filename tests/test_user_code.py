"""A user's own model and objective from a file get what those of the package have."""

import json
import shutil
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from kerasdl import objectives, user_code
from kerasdl.cli.train import what_to_train
from kerasdl.data import from_arrays, load
from kerasdl.devices import launch
from kerasdl.errors import UserError
from kerasdl.evaluation.evaluate import evaluate
from kerasdl.evaluation.predictions import read
from kerasdl.files import write_json
from kerasdl.objectives.contract import check_class
from kerasdl.plan import planner
from kerasdl.recipe import Recipe
from kerasdl.reports.page import report
from kerasdl.run import Run
from kerasdl.runs.compare import compare
from kerasdl.train import pretrained
from kerasdl.train.fit import resolved, train
from kerasdl.train.setup import adapt
from kerasdl.zoo.blocks import set_moments

MODEL = '''
import keras
from keras import layers


class Twice(layers.Layer):
    """Not registered with Keras."""

    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return self.factor * x

    def get_config(self):
        return super().get_config() | {"factor": self.factor}


def build(image_shape, classes, *, width=8, bold=False):
    inputs = keras.Input(image_shape)
    x = Twice(name="twice")(layers.Rescaling(1 / 255)(inputs))
    x = layers.Dense(width, activation="relu", name="features")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x))


def seven(image_shape, classes):
    return build(image_shape, 7)


def flat(image_shape, classes):
    return build((64,), classes)


def two(image_shape, classes):
    first, second = keras.Input(image_shape), keras.Input(image_shape)
    return keras.Model([first, second], layers.Dense(classes)(layers.Flatten()(first + second)))


def wrong(image_shape, classes):
    return None


def bare():
    return None


def unbuilt(image_shape, classes):
    return keras.Sequential([layers.Flatten(), layers.Dense(classes)])


class Forgetful(Twice):
    def __init__(self, factor, **kwargs):
        super().__init__(factor(), **kwargs)

    get_config = layers.Layer.get_config


def through(layer, image_shape, classes):
    inputs = keras.Input(image_shape)
    return keras.Model(inputs, layers.Dense(classes)(layers.Flatten()(layer(inputs))))


def forgetful(image_shape, classes):
    return through(Forgetful(lambda: 2.0), image_shape, classes)


def unsafe(image_shape, classes):
    return through(layers.Lambda(lambda x: x / 16), image_shape, classes)


def soft(image_shape, classes):
    inputs = keras.Input(image_shape)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(layers.Flatten()(inputs)))
'''
OBJECTIVE = '''
from keras import ops

from kerasdl.objectives.base import Objective
from kerasdl.objectives.classify import Classify
from kerasdl.settings import Settings


class Focal(Classify):
    def compute_loss(self, x, y, y_pred):
        log = ops.log_softmax(y_pred)
        return -ops.sum(y * log, axis=-1) * (1 - ops.sum(y * ops.exp(log), axis=-1)) ** 2


class Scalar(Classify):
    def compute_loss(self, x, y, y_pred):
        return ops.mean(y_pred)


class Lossless(Objective):
    pass


class Swapped(Classify):
    def compute_loss(self, y, y_pred):
        return ops.mean(y_pred, axis=-1)


class Loose(Classify):
    class Settings(Settings):
        gamma: float = 2.0


class Demanding(Classify):
    class Settings(Classify.Settings):
        gamma: float


class Misspelt(Classify):
    monitor = "acuracy"


class Unlogged(Classify):
    scores = {"accuracy": "max", "loss": "min", "f1": "max"}


class Highest(Classify):
    scores = {"accuracy": "highest", "loss": "min"}


class Flowers(Classify):
    inputs = ("flower",)


class Unseeded(Classify):
    def prepare(self, x, y):
        return x, y


class Replicaless(Classify):
    def check(self, split):
        pass


class Halved(Classify):
    def prepare(self, x, y, seed):
        return x


class Unshown(Classify):
    def sections(self, findings):
        return [1 / 0]


class Nothing:
    pass
'''
SMALL = {"batch": 128, "epochs": 2, "verbose": False}


@pytest.fixture
def files(here):
    (here / "my_model.py").write_text(MODEL)
    (here / "my_objective.py").write_text(OBJECTIVE)
    return here


def recipe(**changes):
    return Recipe(**{"model": "my_model.py:build", "objective": "my_objective.py:Focal", "data": "digits"} | changes)


def test_trained_resumed_measured_and_reported(files):
    whole = train(recipe(), workdir="whole", **SMALL)
    half = train(recipe(), workdir="half", stop_after=1, **SMALL)
    assert not (half.path / "result.json").exists() and list(half.path.glob("checkpoint/step-*.npz"))
    (files / "my_model.py").unlink()  # the run has a copy
    (files / "my_objective.py").unlink()
    resumed = train(half.recipe, workdir="half", verbose=False)
    for one, other in zip(whole.model().get_weights(), resumed.model().get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert resumed.result["test"] == whole.result["test"]
    assert evaluate(Run.open("whole"), "test") == pytest.approx(whole.result["test"], rel=1e-6)
    assert 'id="confusion"' in report("whole").read_text()


def test_a_changed_file_is_refused(files):
    train(recipe(), workdir="run", stop_after=1, **SMALL)
    (files / "my_objective.py").write_text(OBJECTIVE.replace("** 2", "** 3"))
    with pytest.raises(UserError, match="my_objective.py has changed since"):
        train(recipe(), workdir="run", **SMALL)


def test_a_file_that_changed_while_the_training_began_is_refused(files):
    """What trains is what was imported, and the run would keep the later one."""
    for reference in user_code.references(recipe()):  # of which either may be looked at first
        user_code.load(reference)
    (files / "run").mkdir()
    (files / "my_objective.py").write_text(OBJECTIVE.replace("** 2", "** 3"))
    with pytest.raises(UserError, match="my_objective.py has changed since this training imported it"):
        user_code.keep(recipe(), files / "run")
    assert not (files / "run" / "code" / "my_objective.py").exists()


def saved(path):
    """A run of my_model.py as it is now: its copy of the file, and an untrained model."""
    run = Run.create(recipe(objective="classify"), path)
    build = user_code.load(run.recipe.model)
    user_code.keep(run.recipe, run.path)
    build((8, 8, 1), 10).save(run.path / "model.keras")
    return run


def test_each_run_has_the_layers_of_its_own_file(files):
    """Two in one process, and an edited file trained again: both are called by the file, as a new process does."""
    first = saved("first")
    (files / "my_model.py").write_text(MODEL.replace("self.factor * x", "self.factor * x + 1"))
    runs = {first: 2.0, saved("second"): 3.0}
    for run, one in [*runs.items(), *runs.items()]:
        assert float(run.model().get_layer("twice")(np.ones(1))[0]) == one
        assert b'"my_model>Twice"' in zipfile.ZipFile(run.path / "model.keras").read("config.json")


def test_a_run_that_began_with_own_layers_goes_on_where_nobody_knows_them(files):
    origin, own = saved("origin"), keras.saving.get_custom_objects()
    write_json(origin.path / "data.json", {"kind": "image", "shape": [8, 8, 1], "classes": list("0123456789")})
    write_json(origin.path / "result.json", {"recipe": "x", "seed": 0, "status": "completed"})
    begun = Recipe(model="cnn", data="digits", init="origin")
    found = pretrained.read(begun)
    pretrained.note(run := Run.create(begun, "run"), found, {})
    shutil.rmtree("origin")
    for name in [name for name in own if name.startswith("my_model")]:
        own.pop(name)
    again = pretrained.read(begun, run)
    assert again.facts["weights"] == found.facts["weights"]


def test_a_run_of_0_2_whose_layers_are_called_by_their_module_loads(files):
    run = saved("run")
    name = user_code.import_file(run.path / "code" / "my_model.py").__name__
    with zipfile.ZipFile(run.path / "model.keras") as file:
        parts = {part: file.read(part) for part in file.namelist()}
    with zipfile.ZipFile(run.path / "model.keras", "w") as file:
        for part, data in parts.items():
            file.writestr(part, data.replace(b'"my_model>', f'"{name}>'.encode()))
    assert float(run.model().get_layer("twice")(np.ones(1))[0]) == 2.0


def test_a_file_that_imports_its_neighbour_is_refused(files):
    (files / "helpers.py").write_text("width = 8\n")
    (files / "my_model.py").write_text("import numpy\nfrom helpers import width\n" + MODEL)
    (files / "numpy.py").write_text("")  # found elsewhere, too
    with pytest.raises(UserError, match="my_model.py imports helpers, which is no installed package"):
        user_code.keep(recipe(objective="classify"), files)


@pytest.mark.parametrize("lines, missed", [
    ("from own_layers import width", {"own_layers"}), ("import own_parts.conv", {"own_parts"}),
    ("from own_parts import conv", {"own_parts"}), ("def build():\n    import own_layers", {"own_layers"}),
    ("import keras, numpy.linalg, json", set()), ("from google.protobuf import message", set()),
    ("try:\n    import nowhere\nexcept ImportError:\n    pass", set()), ("import own_folder", set()),
    ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import own_layers", set()),
    ("if __name__ == '__main__':\n    import own_layers\nelse:\n    import own_parts.conv", {"own_parts"}),
])
def test_a_file_that_imports_code_of_its_project_is_refused(here, monkeypatch, lines, missed):
    """What is on the path of this process alone: of a notebook or script, its folder."""
    project, file = here / "project", here / "models" / "net.py"
    for folder in (project / "own_parts", project / "own_folder", file.parent):  # without an __init__.py
        folder.mkdir(parents=True)
    (project / "own_layers.py").write_text("width = 8")
    (project / "own_parts" / "conv.py").write_text("width = 8")
    file.write_text(lines)
    monkeypatch.syspath_prepend(project)
    assert user_code.not_installed(file) == missed


@pytest.mark.parametrize("stop, raised", [("KeyboardInterrupt", KeyboardInterrupt), ("SystemExit", UserError)])
def test_an_interrupted_import_begins_anew(here, stop, raised):
    (here / "slow.py").write_text(f"import os\nif os.path.exists('stop'):\n    raise {stop}(3)\nwidth = 8")
    (here / "stop").touch()
    with pytest.raises(raised, match="^slow.py cannot be imported: SystemExit: 3.$" if raised is UserError else "3"):
        user_code.load("slow.py:width")
    (here / "stop").unlink()
    assert user_code.load("slow.py:width") == 8


@pytest.mark.parametrize("change, message", [
    ({"model": "none.py:build"}, "There is no file none.py"),
    ({"model": "my_model.py:bild"}, "does not define 'bild'. It defines: .*build"),
    ({"model": "my_model.py:wrong"}, "must return a keras.Model. Received: NoneType"),
    ({"model": "my_model.py:bare"}, "called with .image_shape, classes. and model_args: too many"),
    ({"model": "my_model.py:soft"}, "must answer with logits, and its answers are probabilities"),
    ({"model": "my_model.py:3"}, "written FILE.py:NAME"),
    ({"model": "my_model.py"}, "written FILE.py:NAME"),
    ({"objective": "my_objective.py"}, "written FILE.py:NAME"),
    ({"model": "my_model.py:seven"}, r"answers with \(B, 10\) for this data. my_model.py:seven answers with \(B, 7\)"),
    ({"model": "my_model.py:flat"}, r"examples are \(B, 8, 8, 1\), and my_model.py:flat takes \(B, 64\)"),
    ({"model": "my_model.py:two"}, "a model of one input. Received one of 2"),
    ({"model": "my_model.py:unbuilt"}, "Sequential that begins with keras.Input.* Received: Sequential without inputs"),
    ({"model": "my_model.py:forgetful"}, "could not be loaded once it is saved: Object Forgetful .* get_config with"),
    ({"model": "my_model.py:unsafe"}, "could not be loaded once it is saved: .*`Lambda`.* keras.layers.Rescaling"),
    ({"model": "my_model.py:forgetful", "ema": 0.5}, "could not be loaded once it is saved"),
    ({"model": "my_model.py:unsafe", "ema": 0.5}, "could not be loaded once it is saved"),
    ({"objective": "my_objective.py:Lossless"}, r"needs a method compute_loss\(self, x, y, y_pred\)"),
    ({"objective": "my_objective.py:Swapped"}, r"compute_loss is called as compute_loss\(x, y, y_pred\)"),
    ({"objective": "my_objective.py:Loose"}, "Settings must be a subclass of .*ClassifySettings"),
    ({"objective": "my_objective.py:Demanding"}, "objective_args.gamma is required"),
    ({"objective": "my_objective.py:Misspelt"}, "monitor='acuracy' is not among its scores: accuracy, loss"),
    ({"objective": "my_objective.py:Unlogged"}, "has a score 'f1', and no metric of that name"),
    ({"objective": "my_objective.py:Highest"}, "'max' or 'min' is better"),
    ({"objective": "my_objective.py:Flowers"}, "inputs is a tuple of 'image'"),
    ({"objective": "my_objective.py:Unseeded"}, r"prepare is called as prepare\(x, y, seed\)"),
    ({"objective": "my_objective.py:Replicaless"}, r"check is called as check\(split, replicas\)"),
    ({"objective": "my_objective.py:Halved"}, r"prepare\(x, y, seed\) must return \(x, y\). Received: Symbolic"),
    ({"objective": "my_objective.py:Halved", "feed": "streamed"}, r"prepare\(x, y, seed\) must return \(x, y\)"),
    ({"model_args": {"widht": 3}}, "Did you mean 'width'"),
    ({"model_args": {"bold": "no"}}, "Expected bold to be true or false"),
    ({"objective": "my_objective.py:Nothing"}, "not an objective"),
    ({"objective": "my_objective.py:Scalar"}, "one number for each example"),
    ({"objective_args": {"gamma": 3}}, "no setting objective_args.gamma"),
    ({"objective": "focal"}, "Unknown objective 'focal'"),
])
def test_mistakes_are_one_line(files, change, message):
    with pytest.raises(ValueError, match=message) as told:
        words = {"model": recipe().model, "objective": recipe().objective} | change
        train("linear_digits", workdir="run", **SMALL, **words)
    assert "\n" not in str(told.value)
    assert "model" not in change or not (files / "run").exists()  # before the first step


@pytest.mark.parametrize("name", objectives.names())
def test_those_of_the_package_keep_the_contract(name):
    check_class(objectives.get(name), name)


def test_sections_that_fail_leave_the_rest_of_the_report(files, caplog):
    run = train(recipe(objective="my_objective.py:Unshown"), workdir="run", epochs=1, verbose=False)
    page = report(run).read_text()
    assert "ZeroDivisionError" in page and "test accuracy" in page.lower()
    assert "my_objective.py:Unshown failed: ZeroDivisionError" in caplog.text


def test_predictions_are_what_the_model_answers(here):
    run = train("linear_digits", workdir="run", **SMALL)
    from kerasdl.data import load

    split, found = load("digits", "test"), read(run)
    np.testing.assert_array_equal(found.index, np.arange(len(split)))
    np.testing.assert_array_equal(found.truth, split.y)
    np.testing.assert_allclose(found.outputs, run.model().predict(split.x, verbose=0), atol=1e-5)
    accuracy = (found.outputs.argmax(1) == found.truth).mean()
    assert accuracy == pytest.approx(json.loads((run.path / "result.json").read_text())["test"]["accuracy"])


def test_a_run_is_shown_and_trained_again_from_its_folder(files, command, monkeypatch):
    """With its own copy of the files: they are elsewhere, or were changed since."""
    saved(files / "run")
    copy = str(files / "run" / "code" / "my_model.py")
    (files / "my_model.py").write_text(MODEL.replace("width=8", "size=8"))
    assert what_to_train("run", ["model_args.width=4"], None, None)[0].model == f"{copy}:build"
    assert what_to_train("run/recipe.json", [], "new", None)[0].model == f"{copy}:build"
    assert what_to_train("run", ["model=my_model.py:build"], None, None)[0].model == "my_model.py:build"
    assert what_to_train("run", [], "run", None)[0] == resolved("run", [], None, "run", {}) == Run.open("run").recipe
    found = [resolved(Path("run"), [], None, None, {"seed": 1}).model]
    monkeypatch.setattr(launch, "launch", lambda name, recipe, *_: found.append(recipe.model) or 0)
    monkeypatch.setattr(planner, "plan", lambda recipe, *_, **__: found.append(recipe.model))
    assert command("launch", "run", "--workdir", "new").code == command("plan", "run", "--json").code == 0
    assert found == [f"{copy}:build"] * 3
    assert resolved("run", [], None, None, {"model": "my_model.py:build"}).model == "my_model.py:build"
    monkeypatch.chdir(files / "run")
    assert f"{copy}:build" in command("show", ".", "model_args.width=4").out


def test_a_run_trained_again_elsewhere_has_the_files_that_it_began_with(here, monkeypatch):
    """Also where others have their names."""
    args = {"data_args": {"label": "kind", "val": "val.csv"}, "objective_args": {"teacher": "teacher"}}
    run = Run.create(Recipe(model="linear", data="csv:t.csv", objective="distill", init="origin", **args), "a/run")
    write_json(run.path / "data.json", {"shape": 1, "folder": str(here / "a")})
    for name in ("a/t.csv", "b/t.csv", "a/val.csv", "b/kind", "a/kind", "a/teacher", "a/origin"):
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).touch()
    monkeypatch.chdir(here / "a")
    assert what_to_train("run", [], "new", None)[0] == Run.open("run").recipe
    monkeypatch.chdir(here / "b")
    found, _ = what_to_train("../a/run", [], "new", None)
    assert (found.data, found.init) == (f"csv:{here}/a/t.csv", f"{here}/a/origin")
    assert found.data_args == {"label": "kind", "val": f"{here}/a/val.csv"}
    assert found.objective_args == {"teacher": f"{here}/a/teacher"}
    assert resolved("../a/run", [], None, None, {}) == found
    assert what_to_train("../a/run", ["data=csv:t.csv"], None, None)[0].data == "csv:t.csv"
    assert what_to_train("../a/run", [], "../a/run", None)[0].data == "csv:t.csv"  # resumed as it is


def test_a_training_of_a_run_s_copy_is_compared_as_the_same_recipe(files):
    first = saved(files / "run")
    again = Run.create(what_to_train("run", ["seed=1"], None, None)[0], "again")
    user_code.load(again.recipe.model)
    user_code.keep(again.recipe, again.path)
    assert [group.seeds for group in compare([first.path, again.path]).groups] == ["0, 1"]


def test_a_completed_run_of_a_file_that_changed_is_not_that_of_the_command(files):
    run = saved(files / "run")
    write_json(run.path / "result.json", {"status": "completed"})
    assert Run.completed("run", run.recipe) and not Run.completed("run", run.recipe.override(epochs=9))
    (files / "my_model.py").write_text(MODEL.replace("width=8", "width=9"))
    assert Run.completed("run", run.recipe) is None


@pytest.mark.parametrize("kind", [keras.Sequential, keras.Model])
def test_layers_inside_of_models_are_shown_what_reaches_them(kind):
    """Of two models that a third one calls, the second is shown what the first answers."""
    norms = [keras.layers.Normalization(axis=3) for _ in range(2)]
    inner = [keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Rescaling(2.0), norm]) for norm in norms]
    outer = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Rescaling(0.5), *inner])
    layers, split = [keras.Input((8, 8, 1)), keras.layers.Rescaling(3.0), outer], load("digits")
    network = kind(layers) if kind is keras.Sequential else kind(layers[0], outer(layers[1](layers[0])))
    adapt(network, split)
    np.testing.assert_allclose(norms[0].adapt_mean, [3 * split.x.mean()], rtol=0.05)
    np.testing.assert_allclose([norms[1].adapt_mean[0], norms[1].adapt_variance[0]], [0, 4], atol=1e-4)


def test_a_layer_that_no_data_reaches_is_refused():
    inputs, norm = keras.Input((5, 3)), keras.layers.Normalization()
    around = keras.layers.TimeDistributed(norm, name="each")
    network, split = keras.Model(inputs, around(inputs)), from_arrays(np.ones((12, 5, 3)), [0, 1] * 6)["train"]
    with pytest.raises(UserError, match="layer 'normalization.*' adapts to data .* inside of 'each'"):
        adapt(network, split)
    set_moments(norm, np.ones(3), np.ones(3))
    adapt(network, split)
