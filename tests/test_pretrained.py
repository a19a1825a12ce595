"""A run that begins with another's weights: which are taken, which stay as they are, and when it needs the other."""

import json
import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest

from kerasdl import zoo
from kerasdl.checkpoints import callback
from kerasdl.data import from_arrays, from_frame, load
from kerasdl.devices import on_device
from kerasdl.devices import strategy as strategies
from kerasdl.errors import UserError
from kerasdl.evaluation.evaluate import evaluate
from kerasdl.objectives.classify import Classify
from kerasdl.recipe import Recipe
from kerasdl.reports.page import report
from kerasdl.run import Run
from kerasdl.train import pretrained
from kerasdl.train.fit import train
from kerasdl.train.setup import Setup, adapt, precision
from kerasdl.zoo import vit
from kerasdl.zoo.blocks import set_moments
from kerasdl.zoo.precision import policies

CLI = [sys.executable, "-c", "from kerasdl.cli import main; main()"]


@pytest.fixture
def origin(hard_run):
    """Reads a run, a file or a folder as a recipe's `init`."""
    def call(init=hard_run.path):
        return pretrained.read(Recipe(model="cnn", data="digits", init=str(init)))

    return call


def test_pixels_and_norms_stay_as_they_were_when_the_weights_were_learned(saved):
    """Public weights have means of their own, and another epsilon."""
    old = zoo.build("resnet", (8, 8, 3), 10, size="mu")
    scale, norm = old.get_layer("scale"), next(layer for layer in old.layers if hasattr(layer, "epsilon"))
    scale.scale, scale.offset, norm.epsilon = [0.01, 0.02, 0.03], [-1.0, -2.0, -3.0], 1e-2
    before, x = saved(old), np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype("float32")
    new = zoo.build("resnet", (8, 8, 3), 10, size="mu")
    pretrained.load_into(new, before, Recipe(model="resnet", data="arrays"), ())
    np.testing.assert_allclose(new(x), old(x), rtol=1e-6)
    grey = zoo.build("resnet", (8, 8, 1), 10, size="mu")
    pretrained.load_into(grey, before, Recipe(model="resnet", data="arrays"), ())
    assert (grey.get_layer("scale").scale, grey.get_layer("scale").offset) == (pytest.approx(0.02), -2.0)


def test_a_column_that_was_stored_minus_something_else_is_refused():
    frame = pd.DataFrame({"time": 1.7e9 + np.arange(40.0) ** 2 % 97, "kind": ["a", "b"] * 20})
    split = from_frame(frame, "kind")["train"]
    old = SimpleNamespace(columns=split.columns, tokens=None, run=SimpleNamespace(data={"reading": split.reading}))
    pretrained.check_fits(old, split, "init=x")
    for reading in ({}, {"offsets": {"time": 1.6e9}}):
        old.run.data = {"reading": reading}
        with pytest.raises(UserError, match="column 'time' of init=x is stored minus .* learns it minus 17000"):
            pretrained.check_fits(old, split, "init=x")


def test_a_run_that_began_with_a_compressed_one_is_of_that_form(hard_run, tmp_path):
    for name in ("recipe.json", "data.json", "model.keras"):
        shutil.copy(hard_run.path / name, tmp_path)
    assert "changed" not in pretrained.source(str(tmp_path))[1]
    (tmp_path / "init.json").write_text('{"changed": true}')
    assert pretrained.source(str(tmp_path))[1]["changed"]


def test_a_compressed_network_is_trained_on_in_the_precision_of_the_recipe(tmp_path):
    with precision("mixed_bfloat16"):
        zoo.build("cnn", (8, 8, 1), 10, size="mu").save(tmp_path / "slim.keras")
    before = pretrained.Pretrained(tmp_path / "slim.keras", {"init": "slim"}, None, None, {}, None, changed=True)
    found = pretrained.continued(zoo.build("cnn", (8, 8, 1), 10, size="mu"), before)
    assert policies(found) == {"float32"}
    with precision("mixed_bfloat16"):
        assert "mixed_bfloat16" in policies(pretrained.continued(zoo.build("cnn", (8, 8, 1), 10, size="mu"), before))


@pytest.fixture
def saved(here):
    """Saves a network with weights like those of training, and returns its Origin."""
    def call(network, name="old.keras"):
        random = np.random.default_rng(1)
        network.set_weights([random.uniform(0.1, 1, weight.shape) for weight in network.weights])
        network.save(here / name)
        return pretrained.read(Recipe(model="vit", data="digits", init=str(here / name)))

    return call


def begun(network, origin, classes=(), **fields):
    pretrained.load_into(network, origin, Recipe(model="vit", data="digits", **fields), classes)
    return network


def arrays_of(model):
    return {layer.name: [weight.tobytes() for weight in layer.get_weights()] for layer in model.layers if layer.weights}


# What is taken


def test_every_layer_that_fits_is_taken(hard_run, origin):
    network = zoo.build("cnn", (8, 8, 1), 10, size="mu")
    begun(network, origin(), [str(digit) for digit in range(10)])
    assert arrays_of(network) == arrays_of(hard_run.model())


def test_the_head_is_new_where_classes_differ(hard_run, origin):
    """As many other classes, and fewer; all before the head is taken, whatever the size of the pictures."""
    old = arrays_of(hard_run.model())
    for classes in ("abcdefghij", "ab"):
        network = begun(zoo.build("cnn", (12, 16, 1), len(classes), size="mu"), origin(), list(classes))
        new = arrays_of(network)
        assert new.pop("logits") != old["logits"]
        assert new == {name: arrays for name, arrays in old.items() if name != "logits"}
        assert pretrained.account(network, origin(), list(classes))["new"] == ["logits"]


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_positions_are_resized_on_the_grid_of_patches(saved, pool):
    """As vit.resize does, from a square grid to one that is not."""
    old = vit.build((16, 16, 1), 4, size="mu", patch=4, pool=pool)
    origin = saved(old)
    new = begun(vit.build((8, 24, 1), 4, size="mu", patch=4, pool=pool), origin)
    assert arrays_of(new) == arrays_of(vit.resize(old, (8, 24, 1)))
    assert pretrained.account(new, origin, ())["fitted"] == {"position": "4x4 -> 2x6 patches"}
    assert "position 4x4 -> 2x6 patches" in pretrained.summary(origin, pretrained.account(new, origin, ()))


@pytest.mark.parametrize("first, second, pools", [((16, 16), (8, 32), ("mean", "mean")),
                                                  ((12, 20), (16, 16), ("token", "mean"))])
def test_grids_of_as_many_tokens_are_not_the_same(saved, first, second, pools):
    old = vit.build((*first, 1), 4, size="mu", patch=4, pool=pools[0])
    new = vit.build((*second, 1), 4, size="mu", patch=4, pool=pools[1])
    position = begun(new, saved(old)).get_layer("position").get_weights()[0]
    assert position.shape == old.get_layer("position").get_weights()[0].shape
    expected = vit.resize(old, (*second, 1)).get_layer("position").get_weights()[0]
    np.testing.assert_array_equal(position, expected[:, -position.shape[1]:])


def test_a_class_token_that_one_of_the_two_lacks_keeps_its_own_place(saved):
    origin = saved(vit.build((8, 8, 1), 4, size="mu", patch=4, pool="mean"))
    new = vit.build((8, 8, 1), 4, size="mu", patch=4, pool="token")
    before = new.get_layer("position").get_weights()[0]
    after = begun(new, origin).get_layer("position").get_weights()[0]
    np.testing.assert_array_equal(after[:, :1], before[:, :1])
    np.testing.assert_allclose(after[:, 1:], origin.weights["position"][0], atol=1e-6)


@pytest.mark.parametrize("model, args, old, new, offset, how", [
    ("cnn", {}, 1, 3, -0.5, ""), ("cnn", {}, 3, 1, -0.5, ""), ("cnn", {}, 3, 1, [-1.0, -2.0, -3.0], ""),
    ("vit", {"patch": 4}, 3, 1, [-3.0, -2.0, -2.5], ", whose offsets differ")])
def test_grey_pictures_look_the_same_with_other_channels(saved, model, args, old, new, offset, how):
    """Their channels may be scaled otherwise, with the same mean or, where there is a bias, with another."""
    source = zoo.build(model, (8, 8, old), 4, size="mu", **args)
    source.get_layer("scale").offset = offset
    if isinstance(offset, list):
        source.get_layer("scale").scale = [0.01, 0.02, 0.03]
    origin = saved(source)
    target = begun(zoo.build(model, (8, 8, new), 4, size="mu", **args), origin)
    assert list(pretrained.account(target, origin, ())["fitted"].values())[0] == f"{old} -> {new} channels{how}"
    grey = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1)).astype("float32")
    answers = [network(np.repeat(grey, channels, 3)).numpy() for network, channels in ((source, old), (target, new))]
    np.testing.assert_allclose(*answers, rtol=1e-4, atol=1e-4)


def test_layers_of_another_size_are_new_and_told(saved):
    origin = saved(vit.build((8, 8, 1), 4, size="mu", patch=4))
    new = begun(vit.build((8, 8, 1), 4, size="mu", patch=2), origin)
    told = pretrained.account(new, origin, ())
    assert told["new"] == ["patches"] and "position" in told["fitted"] and "block2_down" in told["taken"]
    assert pretrained.summary(origin, pretrained.account(new, origin, ())).endswith("new: patches")


def test_the_hash_is_of_the_weights_and_not_of_the_file(hard_run, origin, here):
    model = hard_run.model()
    model.save(here / "again.keras")
    assert origin(here / "again.keras").facts["weights"] == origin().facts["weights"]
    model.get_layer("logits").bias.assign_add(np.eye(10, dtype="float32")[0])
    model.save(here / "other.keras")
    assert origin(here / "other.keras").facts["weights"] != origin().facts["weights"]


def test_layers_without_names_are_those_of_an_earlier_training_of_this_process(here):
    (here / "my_model.py").write_text("""
from keras import Input, Sequential, layers


def build(image_shape, classes):
    return Sequential([Input(image_shape), layers.Flatten(), layers.Dense(classes), layers.Dense(classes)])
""")
    recipe = Recipe(model="my_model.py:build", data="digits")
    splits, devices = {"train": load("digits")}, strategies.choose("one")
    old = Setup(recipe, Classify(recipe), splits, devices).networks()[1]
    old.save("old.keras")
    recipe = recipe.override(init="old.keras")
    setup = Setup(recipe, Classify(recipe), splits, devices, initial=pretrained.read(recipe))
    assert arrays_of(setup.networks()[1]) == arrays_of(old) and not setup.begun["new"]
    assert keras.layers.Dense(1).name not in {layer.name for layer in old.layers}, "both may be in one model"


def test_a_norm_that_comes_with_its_mean_keeps_it():
    """As that of keras.applications.EfficientNetB0 does, whose weights are from elsewhere."""
    known, new = keras.layers.Normalization(axis=3), keras.layers.Normalization(axis=3)
    inputs = keras.Input((8, 8, 1))
    network, split = keras.Model(inputs, new(known(inputs))), load("digits")
    set_moments(known, np.array([5.0]), np.array([4.0]))
    adapt(network, split)
    assert [float(weight[0]) for weight in (known.adapt_mean, known.adapt_variance)] == [5, 4]
    np.testing.assert_allclose(new.adapt_mean, [(split.x.mean() - 5) / 2], rtol=0.05)


# What does not learn


FROZEN = {"freeze": "features", "epochs": 2, "seed": 1, "weight_decay": 0.1, "ema": 0.9, "layer_decay": 0.7}


def assert_frozen(run, old):
    """By bytes: kernels, biases and the statistics of batch normalisation; the head has learned."""
    before, after = arrays_of(Run.open(old).model()), arrays_of(Run.open(run).model())
    assert before.keys() == after.keys() and before.pop("logits") != after.pop("logits")
    assert before == after


@pytest.mark.parametrize("changes", [
    {"feed": "streamed"}, {"feed": "resident"}, pytest.param({"optimizer": "muon", "ema": 0.0}, marks=pytest.mark.soak),
    {"optimizer": "sgd", "accumulate": 2, "precision": "mixed_bfloat16"},
    pytest.param({"optimizer": "lion", "jit": True}, marks=pytest.mark.soak),
], ids=lambda changes: "-".join(map(str, changes.values())))
def test_frozen_weights_do_not_change(hard_recipe, hard_run, here, changes):
    run = train(hard_recipe, verbose=False, init=str(hard_run.path), workdir=here / "run", **FROZEN | changes)
    assert_frozen(run, hard_run)
    assert all(layer.trainable for layer in run.model().layers), "the file should not show how it was trained"


@pytest.mark.soak
@pytest.mark.parametrize("words", [("--strategy", "mirrored", "--logical-cpus", "2"), ("--backend", "jax")],
                         ids=["replicas", "jax"])
def test_frozen_weights_do_not_change_elsewhere(hard_recipe, hard_run, here, words):
    (here / "hard.json").write_text(hard_recipe.model_dump_json())
    fields = [f"{key}={value}" for key, value in FROZEN.items()]
    subprocess.run([*CLI, "train", "hard.json", *fields, "--init", hard_run.path, "--workdir", "run", "--no-report",
                    *words], check=True, capture_output=True, cwd=here,
                   env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert_frozen(here / "run", hard_run)


def test_frozen_weights_have_no_slots(hard_recipe):
    """Nor are they among what the average moves."""
    recipe = hard_recipe.override(freeze="features")
    model, kept = Setup(recipe, Classify(recipe), {"train": load("digits")}, strategies.choose("one")).networks()
    head = [weight.path for weight in model.network.get_layer("logits").weights]
    assert [weight.path for weight in model.optimizer._trainable_variables] == head
    assert len(model.averager.pairs) == len(head)


def test_patterns_freeze_what_they_name():
    network = zoo.build("cnn", (8, 8, 1), 10, size="mu")
    pretrained.freeze(network, ("stem_*", "logits"))
    still = {layer.name for layer in network.layers if layer.weights and not layer.trainable}
    assert still == {"stem_conv", "stem_norm", "logits"}
    pretrained.thaw(network)
    assert all(layer.trainable for layer in network.layers)


@pytest.mark.parametrize("freeze, words", [("stm_*", "'stem_"), (("stem_conv", "block1"), "freeze=block1"),
                                           ("*", "nothing to learn")])
def test_patterns_that_cannot_be(freeze, words):
    with pytest.raises(UserError, match=words):
        pretrained.freeze(zoo.build("cnn", (8, 8, 1), 10, size="mu"), freeze)


def test_features_are_frozen_where_there_is_such_a_layer():
    """The network of inpaint_digits ends in pixels, and an own one may have no such layer."""
    body = zoo.body("cnn", (8, 8, 1), size="mu")
    network = keras.Model(body.input, body.output["maps"], name="mine")
    with pytest.raises(UserError, match="mine has none of that name. Name the layers that are not to learn: stem_conv"):
        pretrained.freeze(network, "features")


# The run


def test_the_result_says_what_it_came_from(hard_recipe, hard_run, here, capfd):
    run = train(hard_recipe, init=str(hard_run.path), epochs=1, workdir=here / "run", data=two_classes())
    facts = run.result["init"]
    assert (facts["init"], facts["recipe"], facts["seed"]) == (str(hard_run.path), "hard", 0)
    assert len(facts["weights"]) == 64 and facts["new"] == ["logits"] and "stem_conv" in facts["taken"]
    assert f"init {hard_run.path} (hard, seed 0): 6 layers taken; new: logits" in capfd.readouterr().err
    assert not (run.path / "checkpoint").exists()


def two_classes():
    digits = load("digits", "train[:400]")
    return from_arrays(digits.x, digits.y % 2, classes=["even", "odd"])


@pytest.mark.soak
def test_resumed_it_ends_the_same_and_needs_the_old_run_no_more(hard_recipe, hard_run, here, monkeypatch):
    """Stopped before the first checkpoint would be due, within an epoch; the old run is gone by then."""
    monkeypatch.setattr(on_device, "STEPS", 2)
    shutil.copytree(hard_run.path, here / "old")
    recipe = hard_recipe.override(init="old", freeze=("stem*", "stage1_norm1"), layer_decay=0.6, seed=3)
    whole = train(recipe, workdir=here / "whole", verbose=False)
    original = callback.CheckpointCallback.on_train_batch_end

    def stop(self, batch, logs=None):
        if self.epoch_began + batch >= 12:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, batch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(callback.CheckpointCallback, "on_train_batch_end", stop)
        with pytest.raises(SystemExit):
            train(recipe, workdir=here / "broken", verbose=False)
    shutil.rmtree(here / "old")
    broken = train(recipe, workdir=here / "broken", verbose=False)
    assert arrays_of(broken.model()) == arrays_of(whole.model())
    assert broken.result["test"] == whole.result["test"] and broken.result["init"] == whole.result["init"]
    assert evaluate(broken) == pytest.approx(broken.result["test"])
    assert report(broken).exists()


@pytest.mark.soak
def test_killed_before_its_first_checkpoint_it_begins_with_the_copy(hard_recipe, hard_run, here):
    shutil.copytree(hard_run.path, here / "old")
    recipe = hard_recipe.override(init="old", epochs=1)
    whole = train(recipe, workdir=here / "whole", verbose=False)
    begun = here / "begun"  # what there is when training starts
    begun.mkdir()
    (begun / "checkpoint").mkdir()
    for name in ("recipe.json", "init.json", "data.json"):
        shutil.copy(here / "whole" / name, begun)
    shutil.move(here / "old" / "model.keras", begun / pretrained.INIT)
    shutil.rmtree(here / "old")
    assert arrays_of(train(recipe, workdir=begun, verbose=False).model()) == arrays_of(whole.model())


@pytest.mark.soak
def test_without_the_copy_it_is_told_anew_what_it_begins_with(hard_recipe, hard_run, here):
    recipe = hard_recipe.override(init=str(hard_run.path), epochs=1)
    whole = train(recipe, workdir=here / "whole", verbose=False)
    (here / "begun").mkdir()  # whose checkpoint folder was removed, to begin again
    for name in ("recipe.json", "data.json"):
        shutil.copy(here / "whole" / name, here / "begun")
    old = json.loads((here / "whole" / "init.json").read_text()) | {"weights": "of another run"}
    (here / "begun" / "init.json").write_text(json.dumps(old))
    assert train(recipe, workdir=here / "begun", verbose=False).result["init"] == whole.result["init"]


@pytest.mark.parametrize("init, words", [
    ("nowhere", "there is no nowhere/model.keras"), ("nowhere.keras", "there is no nowhere.keras"),
    ("imagenet", "model_args.weights=NAME, see kerasdl weights list"),
    ("broken.keras", "does not load as a Keras model"), ("other.keras", "no layer of cnn has the name and shape"),
])
def test_what_cannot_be_begun_with(refused, here, init, words):
    (here / "broken.keras").write_text("not a model")
    zoo.build("mlp", (8, 8, 1), 3, size="mu").save(here / "other.keras")
    refused("train", "cnn_digits", "model_args.size=mu", "epochs=1", "--init", init, words=["init=" + init, words])
    assert not (here / "runs").exists()


@pytest.mark.parametrize("change", ["freeze=generator", "init=old", "layer_decay=0.5"])
def test_generators_have_none_of_it(refused, here, change):
    zoo.build("mlp", (8, 8, 1), 3, size="mu").save(here / "old.keras")
    refused("train", "gan_digits", change.replace("old", "old.keras"), words=["objective=adversarial"])


def test_a_table_begins_with_the_old_scale(table, here):
    """Its features know columns by the mean and deviation that they were learned with."""
    recipe = Recipe(name="rows", model="mlp", model_args={"size": "mu"}, data=f"csv:{table}",
                    data_args={"label": "kind"}, batch=16, epochs=1)
    old = train(recipe, workdir=here / "old", verbose=False)
    scaled = old.model().get_layer("scale")
    rows = keras.ops.convert_to_numpy(scaled(load(f"csv:{table}", label="kind").x))
    new = zoo.build("mlp", old.model().input_shape[1], 2, size="mu")
    begun(new, pretrained.read(recipe.override(init=str(old.path))), old.data["classes"])
    np.testing.assert_allclose(new.get_layer("scale")(load(f"csv:{table}", label="kind").x), rows, atol=1e-6)
    assert json.loads((here / "old" / "recipe.json").read_text())["init"] == ""
    other = here / "other.csv"
    other.write_text(table.read_text().replace("weight", "income", 1))
    with pytest.raises(UserError, match=r"The columns of init=\S*old differ: weight \(number\), .* income \(number\)"):
        train(recipe, f"data=csv:{other}", init=str(old.path), workdir=here / "new", verbose=False)
    assert not (here / "new").exists()
