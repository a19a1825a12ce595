"""`kerasdl probe`: what the features of a run are worth, next to controls, and that nothing frozen moves."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import KNeighborsClassifier
from test_cli import documented, printed

from kerasdl import zoo
from kerasdl.audit.parts import confidence
from kerasdl.data import from_arrays, from_frame, load
from kerasdl.data.sources import load_splits
from kerasdl.errors import UserError
from kerasdl.evaluation import intervals, linear_probe, raw
from kerasdl.files import alone
from kerasdl.photos.backbones import Backbone
from kerasdl.probing import labels, network, outcome, page, training
from kerasdl.probing.probe import probe
from kerasdl.recipe import Recipe
from kerasdl.recipe import load as load_recipe
from kerasdl.run import SEEN, Run
from kerasdl.train import pretrained
from kerasdl.train.fit import train
from kerasdl.train.setup import SPLITS

SHORT = ("epochs=1", "batch=256", "warmup=0", "jit=null")


@pytest.fixture(scope="module")
def mae(tmp_path_factory):
    return train("mae_digits", "model_args.size=mu", "jit=None", *SHORT, workdir=tmp_path_factory.mktemp("mae") / "run",
                 verbose=False, test=False)


@pytest.fixture(scope="module")
def linear(tmp_path_factory):
    """A run whose trainings take no time."""
    return train("linear_digits", *SHORT, workdir=tmp_path_factory.mktemp("linear") / "run", verbose=False, test=False)


@pytest.fixture(scope="module")
def probed(linear):
    return probe(linear, "5%,300", *SHORT, steps=3)


@pytest.fixture(scope="module")
def frozen(mae):
    return probe(mae, "5%", finetune=False)


@pytest.fixture
def copied(hard_run, tmp_path):
    """A classifier with batch normalisation in a folder of its own."""
    return Run(shutil.copytree(hard_run.path, tmp_path / "run"))


# Labels


@pytest.mark.parametrize("count, expected", [(10, [7, 2, 1]), (100, [70, 20, 10]), (13, [9, 3, 1]), (50, [35, 10, 5])])
def test_subsets_have_each_class_in_its_share(count, expected):
    y = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [70, 20, 10]))
    place = labels.stratified(y, count, "abc", 0)
    assert np.bincount(y[place]).tolist() == expected and (np.diff(place) > 0).all()
    again, other = labels.stratified(y, count, "abc", 0), labels.stratified(y, count, "abc", 1)
    assert np.array_equal(place, again) and (count == 100 or not np.array_equal(place, other))


def test_what_learned_without_labels_is_not_probed_on_images_that_it_has_seen(mae):
    digits = load("digits", "train")
    assert len(np.load(mae.path / SEEN)) == len(digits)
    with pytest.raises(UserError, match="learned, without labels, from examples that are in val or test here"):
        probe(mae, "5%", data=from_arrays(digits.x[:300], digits.y[:300]))


def test_a_class_without_an_example_is_an_error_that_says_how_many_are_enough():
    y = np.repeat([0, 1], [99, 1])
    with pytest.raises(UserError, match=r"leaves the class 'b', which has 1 of 100 .* Choose 100 or more"):
        labels.stratified(y, 10, "ab", 0)
    assert len(labels.stratified(y, 100, "abc", 0)) == 100  # nobody has an example of c


def test_labels_are_shares_or_numbers():
    assert labels.parse("1%,10%, 500") == labels.parse(["1%", "10%", 500]) == ["1%", "10%", "500"]
    assert [labels.count(text, 1257) for text in ("1%", "100%", "500")] == [13, 1257, 500]


def test_of_the_default_shares_those_that_lose_a_class_are_left_out():
    y, classes = np.arange(100) % 5, tuple("abcde")
    assert list(labels.places(labels.DEFAULT, y, classes, 0)) == [10, 100]
    with pytest.raises(UserError, match="without one"):
        labels.places(["1%", "100%"], y, classes, 0)


def test_all_ways_have_the_same_labels_and_runs_begin_alike(probed):
    task, y = probed, probed.truth["train"]
    assert [len(place) for place in task.places.values()] == list(task.places) == [63, 300]
    for count, place in task.places.items():
        one, two = (Run(task.home / f"{way}-{count}") for way in ("fine-tuned", "from-scratch"))
        times = training.repeats(task.recipe, count, len(y), task.steps)
        expected = task.splits["train"].part(np.tile(place, times)).fingerprint()
        assert one.data["examples"]["train"] == two.data["examples"]["train"] == expected
        assert two.recipe == one.recipe.model_copy(update={"init": ""}) and one.origin["new"] == []


def test_few_labels_are_learned_in_as_many_steps():
    recipe = Recipe(model="cnn", data="digits", epochs=10, batch=100)
    assert training.repeats(recipe, 1000, 1000, 50) == 1  # 100 steps
    assert training.repeats(recipe, 100, 1000, 50) == 5  # 10 epochs of 5 batches
    assert training.repeats(recipe, 10, 1000, 5000) == 100  # no more than with all labels
    assert training.repeats(recipe, 3, 50, 1) == 34  # a batch is full


# Frozen


def test_the_hash_catches_a_statistic_that_moves(copied, monkeypatch):
    def moving(body, splits):
        body(splits[next(iter(splits))].x[:64], training=True)
        return real(body, splits)

    real = linear_probe.features_of
    found = probe(copied, "100%", finetune=False)
    assert found.hashes["run"]["before"] == found.hashes["run"]["after"] != found.hashes["random"]["after"]
    monkeypatch.setattr(linear_probe, "features_of", moving)
    with pytest.raises(UserError, match=r"features of the run moved .*_norm"):
        probe(copied, "100%", finetune=False)
    assert not (copied.path / outcome.FILE).exists()


def test_a_frozen_network_is_the_run_with_all_tokens_and_the_control_is_one_with_other_weights(mae, frozen):
    initial = pretrained.read(frozen.recipe.override(init=str(mae.path)))
    networks = [network.classifier(frozen.recipe, frozen.splits["train"], mae, begin) for begin in (initial, None)]
    assert pretrained.account(networks[0], initial, "0123456789")["new"] == ["logits"]
    (ours, random), kept = map(network.body, networks), mae.model()
    for layer in ours.layers:
        for one, two in zip(layer.get_weights(), kept.get_layer(layer.name).get_weights() if layer.weights else [],
                            strict=True):
            np.testing.assert_array_equal(one, two)
    assert [(one.name, one.output.shape) for one in ours.layers] == [(one.name, one.output.shape)
                                                                     for one in random.layers]
    assert ours.get_layer("tokens").output.shape == (None, 16, 32)  # all of them
    assert "patches" in frozen.layers["taken"] and not frozen.layers["fitted"]
    assert network.hashes(ours)["all"] == frozen.hashes["run"]["before"] == frozen.hashes["run"]["after"]
    assert network.hashes(random)["all"] == frozen.hashes["random"]["after"]
    assert network.hashes(ours)["patches"] != network.hashes(random)["patches"]


def test_probes_are_scikit_learn_on_the_same_features(mae, frozen):
    initial = pretrained.read(frozen.recipe.override(init=str(mae.path)))
    body = network.body(network.classifier(frozen.recipe, frozen.splits["train"], mae, initial))
    found = {name: body.predict(part.x, batch_size=64, verbose=0) for name, part in frozen.splits.items()}
    place, truth = frozen.places[63], frozen.truth
    ways = {way.way: way for way in frozen.ways if way.features == "run"}
    fitted = linear_probe.fit(found["train"][place], truth["train"][place], found["val"], truth["val"], 10)
    np.testing.assert_allclose(ways["linear"].answers, fitted.logits(found["test"]), rtol=1e-3, atol=1e-3)
    assert ways["linear"].chosen == {"C": fitted.strength}
    neighbours = {k: KNeighborsClassifier(k, metric="cosine").fit(found["train"][place], truth["train"][place])
                  for k in (1, 5, 10, 20, 50)}
    best = max(neighbours, key=lambda k: neighbours[k].score(found["val"], truth["val"]))
    assert ways["kNN"].chosen == {"k": best}
    assert (ways["kNN"].answers.argmax(1) == neighbours[best].predict(found["test"])).mean() > 0.995  # equally near


def test_raw_is_pixels_and_counts_of_tokens():
    digits = load_splits("digits", {"val": "val"})
    np.testing.assert_array_equal(raw.features(digits)["val"], digits["val"].x.reshape(len(digits["val"]), -1))
    large = from_arrays(np.full((12, 64, 48, 3), 7, "uint8"), np.arange(12) % 2)["train"]
    assert raw.features({"train": large})["train"].shape == (len(large), 32 * 32 * 3)
    x = np.array([[3, 1, 3, 0], [2, 0, 0, 0]], "int32")
    tokens = replace(large, x=x, y=np.zeros(2, "int32"), size=2, shape=(4,), kind="tokens",
                     build_args={"vocabulary": 5})
    assert raw.features({"train": tokens})["train"].tolist() == [[0, 1, 0, 2, 0], [0, 0, 1, 0, 0]]


def test_a_run_is_a_network_up_to_its_features_for_images_of_any_size(mae):
    """A masked autoencoder's encoder is a ViT that reads all patches, and begins `kerasdl photos`, too."""
    x, recipe = load("digits", "test").x[:5], training.recipe_of(mae, None, (), 0)
    tuned = network.classifier(recipe, load("digits", "train"), mae, pretrained.read(recipe.override(
        init=str(mae.path))))
    body = pretrained.body(mae)
    np.testing.assert_array_equal(body.predict(x, verbose=0)["features"], zoo.features(tuned).predict(x, verbose=0))
    assert pretrained.body(mae.path, (12, 16, 1)).output["maps"].shape[1:3] == (6, 8)
    with pytest.raises(UserError, match="no network up to a layer 'features'.*patch"):
        pretrained.body(mae, (7, 7, 1))
    fields = Backbone("mae", str(mae.path), "vit", dict(mae.recipe.model_args), 8).fields
    assert fields == {"model": "vit", "model_args": {"size": "mu", "patch": 2, "pool": "mean"}, "init": str(mae.path)}


# The whole verb


def test_the_command_shows_every_way_and_does_not_train_again(command, linear, probed, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(training, "train", fail)
    options = ("--labels", "5%,300", *SHORT, "--steps", "3")
    found = printed(command, "probe", linear.path, *options)
    assert found.keys() <= documented("probe") and found["labels"] == [63, 300]
    assert json.loads((linear.path / outcome.FILE).read_text()) == {key: found[key] for key in found if key != "report"}
    ways = [(row["features"], row["way"]) for row in found["rows"] if row["labels"] == 63]
    assert sorted(ways) == sorted([(name, way) for name in ("run", "random", "raw") for way in ("linear", "kNN")]
                                  + [("run", "fine-tuned"), ("random", "from scratch")])
    for row, way in zip(found["rows"], probed.ways, strict=True):
        right = way.answers.argmax(1) == probed.truth["test"]
        assert row["test"]["accuracy"] == pytest.approx(right.mean(), abs=0.01)
        assert row["interval"][0] < row["test"]["accuracy"] < row["interval"][1]
    assert {(row["way"], tuple(row["control"])) for row in found["ahead"]} == {
        (ours[1], control) for ours, controls in outcome.CONTROLS.items() for control in controls}
    assert page.command(linear.path, found) == " ".join(
        ["kerasdl probe", str(linear.path), "--steps=3", *SHORT, "--labels=63,300", "--seed=0"])
    text = (linear.path / page.PAGE).read_text()
    assert "the run, linear" in text and "<svg" in text and found["frozen"]["run"]["after"] in text
    assert "from scratch" in command("probe", linear.path, *options, "--no-report").out


def test_the_trainings_of_a_run_that_was_moved_go_on_and_are_kept(linear, tmp_path):
    shutil.copytree(linear.path, tmp_path / "before", ignore=shutil.ignore_patterns("probe*"))
    recipe, splits = linear.recipe.override(init=str(tmp_path / "before"), epochs=2), load_splits("digits", SPLITS)
    weights, home = pretrained.read(recipe).facts["weights"], Path("probe", "fine-tuned-9")
    train(recipe, workdir=tmp_path / "before" / home, data=splits, stop_after=1, test=False, verbose=False)
    (tmp_path / "before").rename(tmp_path / "after")
    moved = recipe.override(init=str(tmp_path / "after"))
    done = training.trained(moved, splits, tmp_path / "after" / home, weights)
    assert done.result["train"]["epochs"] == 2 and len(done.metrics) == 2
    written = done.model_file.stat().st_mtime_ns
    assert training.trained(moved, splits, done.path, weights).model_file.stat().st_mtime_ns == written
    assert [each.name for each in done.path.parent.iterdir()] == [home.name]
    (done.path / "result.json").unlink()  # and it has no copy of the first weights, which are elsewhere now
    assert training.other(done, moved, splits, weights) == "another recipe"


@pytest.mark.soak
def test_an_interrupted_probe_is_resumed(linear, tmp_path, monkeypatch):
    def interrupted(recipe, **how):
        begun.append(how["workdir"].name)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return train(recipe, **how)

    begun, copied = [], Run(shutil.copytree(linear.path, tmp_path / "run", ignore=shutil.ignore_patterns("probe*")))
    monkeypatch.setattr(training, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        probe(copied, "200", *SHORT, steps=1)
    task = probe(copied, "200", *SHORT, steps=1)
    assert begun == ["fine-tuned-200", "from-scratch-200", "from-scratch-200"]
    assert "learned from labels" in outcome.remarks(task)[0]
    probe(copied, "200", *SHORT, steps=1, seed=1)  # other labels and weights
    assert begun[3:] == ["fine-tuned-200", "from-scratch-200"]


@pytest.mark.parametrize("verb", ["probe", "audit"])
def test_two_processes_do_not_work_in_one_folder_of_a_run(refused, copied, monkeypatch, verb):
    """The second one would take the trainings of the first for its own, or put others in their place."""
    monkeypatch.setattr(training, "train", None)
    monkeypatch.setattr(confidence, "measure", None)
    words = (verb, copied.path, "--labels", "300") if verb == "probe" else (verb, copied.path, "--only", "confidence")
    with alone(copied.path / verb, ""):
        refused("-q", *words, words=[f"Another process works in {copied.path / verb}. Wait for it, or stop it."])


def test_the_interval_of_a_difference_is_the_bootstrap_s():
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 400)
    one, two = (np.eye(3)[np.where(random.random(400) < right, truth, 0)] for right in (0.9, 0.7))
    found = intervals.of_difference("accuracy", truth, one, two)
    ahead = (one.argmax(1) == truth).astype(float) - (two.argmax(1) == truth)
    drawn = [np.concatenate([random.choice(ahead[truth == label], (truth == label).sum()) for label in range(3)]).mean()
             for _ in range(2000)]
    np.testing.assert_allclose(found, np.percentile(drawn, [2.5, 97.5]), atol=0.006)


# Recipes


def test_a_named_recipe_trains_the_run_s_network(mae):
    plan = training.recipe_of(mae, "vit_mnist", ["lr=0.5"], 3)
    strong = load_recipe("vit_mnist")
    assert plan.augment == strong.augment and (plan.lr, plan.seed, plan.data) == (0.5, 3, "digits")
    assert plan.model_args == strong.model_args | {"size": "mu", "patch": 2, "pool": "mean"}


@pytest.mark.parametrize("named, overrides, words", [
    ("cnn_digits", [], "model=cnn, and .* model=vit"), ("mae_digits", [], "objective=mae. Name one with"),
    (None, ["seed=3"], "give --seed"), (None, ["init=x"], "decides init itself")])
def test_recipes_that_do_not_fit(mae, named, overrides, words):
    with pytest.raises(UserError, match=words):
        training.recipe_of(mae, named, overrides, 0)


# Mistakes


def test_mistakes_are_one_line(refused, mae, here):
    refused("probe", mae.path, "--labels", "lots", words=["'lots'", "1%,10%,100%"])
    refused("probe", mae.path, "--labels", "0.5%", "--no-finetune", words=["leaves the class"])
    refused("probe", mae.path, "--labels", "5000", "--no-finetune", words=["5000 of the 1257"])
    refused("probe", mae.path, "--epochs", "3", words=["epochs=3"])
    refused("probe", "nowhere", words=["no run folder"])
    train("linear_digits", workdir=here / "half", stop_after=1, verbose=False)
    refused("probe", here / "half", words=["did not finish"])


def test_a_run_without_features(refused, here, mae):
    (here / "mine.py").write_text(
        "import keras\n\ndef build(shape, classes):\n    x = inputs = keras.Input(shape)\n"
        "    return keras.Model(inputs, keras.layers.Dense(classes)(keras.layers.Flatten()(x)))\n")
    run = train(Recipe(model="mine.py:build", data="digits", epochs=1, batch=512), workdir=here / "mine", verbose=False,
                test=False)
    refused("probe", run.path, words=["a probe of a run without features", "no layer 'features'"])
    refused("probe", mae.path, "model_args.size=XS", words=["without features", "no layer of vit has"])


def test_data_without_classes(mae, hard_run, here, refused):
    split = load("digits", "val")
    one = {name: replace(split, y=np.zeros(len(split), "int32")) for name in ("train", "val", "test")}
    none = {name: replace(split, y=None, classes=()) for name in ("train", "val", "test")}
    with pytest.raises(UserError, match="two classes or more, and the training split has 1"):
        probe(mae, data=one)
    with pytest.raises(UserError, match="has no labels. Give --data NAME"):
        probe(mae, data=none)
    arrays = train(hard_run.recipe.override(epochs=1), data={name: split for name in one}, workdir=here / "arrays",
                   verbose=False, test=False)
    refused("probe", arrays.path, words=["trained on arrays"])


def test_columns_in_another_order_than_the_run_s_are_refused(linear, tmp_path):
    shutil.copytree(linear.path, tmp_path / "run")
    (tmp_path / "run/data.json").write_text(json.dumps(linear.data | {"columns": {"a": None, "b": None}}))
    frame = pd.DataFrame({"b": np.arange(40) ** 2 % 37, "a": np.arange(40) ** 2 % 31, "kind": ["x", "y"] * 20})
    with pytest.raises(UserError, match=r"columns of .*run differ: a \(number\), where the model learns b"):
        probe(tmp_path / "run", "50%", data=from_frame(frame, "kind"), finetune=False)


@pytest.mark.soak
def test_a_masked_autoencoder_of_digits_beats_random_weights(tmp_path):
    """The demo of docs/probe.md."""
    run = train("mae_digits", workdir=tmp_path / "run", verbose=False)
    found = outcome.document(probe(run))
    score = {(row["features"], row["way"], row["labels"]): row["test"]["accuracy"] for row in found["rows"]}
    assert score["run", "linear", 1257] > score["random", "linear", 1257]
    assert keras.backend.floatx() == "float32"
