"""Examples on the device, many steps a call: the weights of streaming, and what callbacks see of it."""

import json
import math
import os
import re
import shutil
from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl import zoo
from kerasdl.data import from_arrays, pipeline
from kerasdl.devices import on_device
from kerasdl.devices import strategy as strategies
from kerasdl.errors import UserError
from kerasdl.evaluation import padded
from kerasdl.evaluation.padded import PaddedEvaluator
from kerasdl.objectives.classify import Classify
from kerasdl.recipe import Recipe
from kerasdl.train import autotune, profile, setup
from kerasdl.train.fit import train


@pytest.fixture(scope="module")
def split():
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (130, 8, 8, 1)).astype("uint8")
    return from_arrays(x, random.integers(0, 3, 130), classes=["a", "b", "c"])["train"]


def weights(run):
    return run.model().get_weights()


def test_streamed_gives_the_same_run(here, hard_run, hard_recipe):
    streamed = train(hard_recipe, workdir="streamed", feed="streamed", verbose=False)
    for ours, theirs in zip(weights(hard_run), weights(streamed), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    columns = ["loss", "accuracy", "val_loss", "val_accuracy"]
    np.testing.assert_allclose(hard_run.metrics[columns], streamed.metrics[columns], rtol=1e-4)


@pytest.mark.soak
def test_compiled_by_xla_it_gives_the_same_run_too(here, hard_recipe):
    recipe = hard_recipe.override(jit=True, epochs=2)
    runs = [train(recipe, workdir=feed, feed=feed, verbose=False) for feed in ("resident", "streamed")]
    for ours, theirs in zip(*map(weights, runs), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("size, start", [(4, 0), (4, 3), (7, 12), (1, 5), (3, 5), (5, 9)])
def test_blocks_hold_the_indices_of_streaming(split, size, start):
    """From any step on, in blocks that never reach into the next epoch, and as few as Keras counts of each."""
    steps, seen, blocks = pipeline.steps_per_epoch(split, 10), [], Counter()
    for first, count, index in pipeline.blocks(split, 10, size, epochs=3, seed=5, start=start).as_numpy_iterator():
        assert first == start + len(seen) and first // steps == (first + count - 1) // steps and count <= size
        seen += list(index[:count])
        blocks[int(first // steps)] += 1
    for epoch, number in blocks.items():
        assert number == math.ceil(min(steps, (epoch + 1) * steps - start) / size)
    y = np.eye(3, dtype="float32")[split.y]
    streamed = pipeline.shuffled(split, y, 10, epochs=3, seed=5, start=start)
    for index, (x, targets) in zip(seen, streamed.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(split.x[index], x)
        np.testing.assert_array_equal(y[index], targets)


def test_callbacks_see_blocks_as_executions_of_several_steps(here, hard_recipe, monkeypatch):
    monkeypatch.setattr(on_device, "STEPS", 4)
    seen = []
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append((batch, len(logs))))
    run = train(hard_recipe, workdir="run", epochs=1, verbose=False, callbacks=[watch])  # 9 steps in blocks of 3
    assert seen == [(2, 2), (5, 2), (8, 2)] and run.result["train"]["steps"] == 9


def test_a_loss_that_is_not_a_number_ends_the_block_at_its_step(here, refused):
    """Of 19 steps in one block: the message names the step, as it does with one step a call."""
    words = ("linear_digits", "lr=1e38", "optimizer=sgd", "schedule=constant", "epochs=1")
    told = refused("train", *words, "--workdir", "resident", words=["The loss became"])
    step = told.split(" at step ")[1].split()[0]
    assert int(step) < 19
    assert f"at step {step} " in refused("train", *words, "--feed", "streamed", "--workdir", "streamed")


def test_a_block_does_not_grow_with_the_work():
    small, large = zoo.build("linear", (28, 28, 1), 10), zoo.build("resnet", (32, 32, 3), 10, size="20")
    assert on_device.block_size([small], 128, 429) == 215  # two blocks of at most 256
    assert on_device.block_size([large], 128, 390) < 8
    bare = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])  # without a kernel
    assert on_device.block_size([bare], 128, 100) == 100


def test_examples_that_do_not_fit_are_streamed_or_refused(split, monkeypatch, refused):
    monkeypatch.setattr(on_device, "memory", lambda: 4 * split.x.nbytes - 4)
    assert not on_device.is_resident("auto", split)
    with pytest.raises(UserError, match="Use feed=streamed"):
        on_device.is_resident("resident", split)
    refused("train", "linear_digits", "--feed", "residnt", words=["Did you mean 'resident'"])


def test_workers_that_are_not_alike_take_one_feed(split, monkeypatch):
    """Blocks of steps only where all have the memory: each asks the others, whatever it has itself."""
    asked = []

    def vote(others):
        def any_of(devices, mine):
            asked.append(mine)
            return mine or others

        for module in (setup, padded):
            monkeypatch.setattr(module, "any_of", any_of)
        return setup.Setup.of(recipe, {"train": split}, tf.distribute.get_strategy()).resident

    recipe = Recipe(model="mlp", model_args={"size": "mu"}, data="arrays", batch=10)
    objective, network = Classify(recipe), zoo.build("mlp", (8, 8, 1), 3, size="mu")
    assert vote(others=False) and not vote(others=True)
    monkeypatch.setattr(padded.PaddedEvaluator, "_swept", None)
    assert "loss" in padded.PaddedEvaluator(objective, network, 10)(split)
    monkeypatch.setattr(on_device, "memory", lambda: 0)
    assert not vote(others=False) and asked == [False, False, False, True]


def test_a_container_has_no_more_memory_than_it_may_take(tmp_path, monkeypatch):
    monkeypatch.setattr(on_device.tf.config, "list_physical_devices", lambda kind: [])
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for text, found in [("1048576\n", 2**20), ("max\n", machine), (str(2**62), machine), (None, machine)]:
        monkeypatch.setattr(on_device, "LIMIT", tmp_path / str(text).strip())
        if text:
            on_device.LIMIT.write_text(text)
        on_device.memory.cache_clear()
        assert on_device.memory() == found
    on_device.memory.cache_clear()


@pytest.mark.parametrize("size", [7, 64, 130])
def test_evaluation_in_one_call_counts_every_example_once(split, size, monkeypatch):
    """The same as by batches from the pipeline, and as Keras' own evaluate."""
    network, objective = zoo.build("mlp", (8, 8, 1), 3, size="mu"), Classify(Recipe(model="mlp", data="arrays"))
    in_one = PaddedEvaluator(objective, network, size)(split)
    with monkeypatch.context() as patch:
        patch.setattr(on_device, "memory", lambda: 0)
        in_batches = PaddedEvaluator(objective, network, size)(split)
    network.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True),
                    metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")])
    by_keras = network.evaluate(split.x, objective.targets(split), verbose=0, return_dict=True)
    assert in_one == pytest.approx(in_batches, rel=1e-5)
    assert in_one == pytest.approx(by_keras, rel=1e-5)


@pytest.mark.parametrize("streamed", [False, True])
def test_padding_scales_no_regularizer_and_makes_no_nan(split, streamed, monkeypatch):
    """The layer divides each image by its deviation, which is 0 where there is no image."""
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Lambda(lambda x: x / keras.ops.std(x, axis=(1, 2, 3), keepdims=True))(inputs)
    x = keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.5))(keras.layers.Flatten()(x))
    network, objective = keras.Model(inputs, x), Classify(Recipe(model="mlp", data="arrays"))
    network.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    by_keras = network.evaluate(split.x, objective.targets(split), verbose=0, batch_size=len(split))
    if streamed:
        monkeypatch.setattr(on_device, "memory", lambda: 0)
    for size in (7, 64):
        assert PaddedEvaluator(objective, network, size)(split)["loss"] == pytest.approx(by_keras, rel=1e-5)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASDL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_fastest_candidate_is_taken_told_noted_and_remembered(here, cache, hard_recipe, monkeypatch, capsys):
    rates = iter([10.0, 30.0, 20.0, 5.0])
    monkeypatch.setattr(autotune, "speed", lambda call, best: next(rates))
    run = train(hard_recipe, workdir="run", epochs=1, jit="auto", precision="auto")
    assert "auto: jit=false precision=mixed_bfloat16 (jit=false precision=float32 10" in capsys.readouterr().err
    assert run.result["choice"]["precision"] == run.result["environment"]["precision"] == "mixed_bfloat16"
    assert run.recipe.precision == "auto" and run.choice["examples_per_second"]["jit=true precision=float32"] == 20
    again = train(hard_recipe, workdir="again", epochs=1, jit="auto", precision="auto", verbose=False)
    assert again.result["choice"] == run.result["choice"] and next(rates, None) is None
    assert len(list(cache.rglob("*.json"))) == 1


def test_flags_that_change_what_is_fast_have_choices_of_their_own(cache, hard_recipe, monkeypatch):
    def where():
        return autotune.remembered(hard_recipe, (8, 8, 1), "CPU", tf.distribute.get_strategy(), True)

    before = where()
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_max_isa=AVX2")
    assert where() != before
    monkeypatch.delenv("XLA_FLAGS")
    assert where() == before


def test_a_run_that_goes_on_keeps_its_choice(hard_recipe, cache):
    def never(recipe):
        raise AssertionError("measured again")

    noted = {"jit": True, "examples_per_second": {}}
    recipe = hard_recipe.override(jit="auto")
    assert autotune.autotune(recipe, noted, (8, 8, 1), "CPU", tf.distribute.get_strategy(), True, never) == noted
    assert autotune.apply(recipe, noted).jit is True
    assert autotune.autotune(hard_recipe, None, (8, 8, 1), "CPU", tf.distribute.get_strategy(), True, never) == {}


def test_a_candidate_that_is_far_behind_is_called_once_only():
    calls = []

    def call():
        calls.append(None)
        return 1

    assert 0 < autotune.speed(call, best=1e12) and len(calls) == 2  # one that compiles, and one that is timed
    assert 0 < autotune.speed(call) and len(calls) == 2 + 1 + autotune.CALLS


def test_a_candidate_that_does_not_run_is_told_and_left_out(hard_recipe, caplog):
    caplog.set_level("INFO", logger="kerasdl")

    def start(failing):
        def begin(recipe):
            if recipe.jit in failing:
                raise tf.errors.InvalidArgumentError(None, None, "No OpKernel for 'Print'.\n\tStacktrace")
            return lambda: 1
        return begin

    choice = autotune.measure(hard_recipe, ["jit"], tf.distribute.get_strategy(), start({True}))
    assert choice["jit"] is False and list(choice["examples_per_second"]) == ["jit=false"]
    assert caplog.messages == ["auto: jit=true does not run here: No OpKernel for 'Print'."]
    with pytest.raises(tf.errors.InvalidArgumentError):
        autotune.measure(hard_recipe, ["jit"], tf.distribute.get_strategy(), start({False, True}))


def test_what_is_remembered_is_for_this_network_batch_and_machine(hard_recipe, monkeypatch, tmp_path):
    devices = tf.distribute.get_strategy()

    def file(recipe=hard_recipe, shape=(8, 8, 1), device="CPU", stay=True):
        return autotune.remembered(recipe, shape, device, devices, stay)

    assert file() == file(hard_recipe.override(lr=0.5, seed=9, epochs=2))
    (tmp_path / "my_model.py").write_text("build = 1")
    own = hard_recipe.override(model=f"{tmp_path}/my_model.py:build")
    first = file(own)
    (tmp_path / "my_model.py").write_text("build = 2")
    others = [first, file(own), file(), file(hard_recipe.override(batch=64)),
              file(hard_recipe.override("model_args.drop=0.1")), file(shape=(9, 8, 1)), file(device="GPU"),
              file(stay=False)]
    monkeypatch.setattr(autotune, "environment", lambda: {"keras": "9"})
    assert len({file(), *others}) == len(others) + 1


def test_several_workers_measure_nothing(hard_recipe, monkeypatch):
    monkeypatch.setattr(strategies, "describe", lambda devices: "multiworker")
    recipe = hard_recipe.override(jit="auto", precision="auto")
    choice = autotune.autotune(recipe, None, (8, 8, 1), "CPU", None, True, None)
    assert choice == {"jit": False, "precision": "float32"}


@pytest.mark.soak
def test_a_damaged_or_unwritable_cache_is_measured_again(here, cache, hard_recipe, monkeypatch):
    monkeypatch.setattr(autotune, "speed", lambda call, best: 1.0)
    train(hard_recipe, workdir="a", epochs=1, jit="auto", verbose=False)
    file = next(cache.rglob("*.json"))
    file.write_text("{")
    assert train(hard_recipe, workdir="b", epochs=1, jit="auto", verbose=False).choice["jit"] is False
    assert json.loads(file.read_text())["jit"] is False
    shutil.rmtree(file.parent)
    file.parent.write_text("no folder can be made here")
    assert train(hard_recipe, workdir="c", epochs=1, jit="auto", verbose=False).choice["jit"] is False


def test_replicas_measure_what_is_left_without_xla(hard_recipe, monkeypatch):
    monkeypatch.setattr(strategies, "describe", lambda devices: "mirrored")
    for fields in (["precision"], ["jit", "precision"]):
        choice = autotune.measure(hard_recipe, fields, None, lambda recipe: lambda: 1)
        assert choice["precision"] in ("float32", "mixed_bfloat16") and not choice.get("jit")
        assert len(choice["examples_per_second"]) == 2


@pytest.mark.parametrize("step, fed, small, word", [(1.0, 0.9, 0.1, "input"), (1.0, 0.1, 0.8, "overhead"),
                                                    (1.0, 0.0, 0.1, "compute")])
def test_what_bounds_a_step(step, fed, small, word):
    assert profile.verdict(step, fed, small) == word


@pytest.mark.soak
def test_a_short_training_is_profiled_too(here):
    """Of fewer batches than are timed."""
    run = train("linear_digits", epochs=1, batch=600, profile=True, feed="streamed", verbose=False, workdir="run")
    assert run.result["status"] == "completed"


@pytest.mark.parametrize("feed", ["resident", pytest.param("streamed", marks=pytest.mark.soak)])
def test_the_profile_is_told_and_left_for_tensorboard(command, here, feed):
    done = command("train", "linear_digits", "epochs=101", "warmup=101 epochs", "jit=false", "--profile", "--feed",
                   feed, "--no-report", "--workdir", "run")
    assert done.code == 0 and "profile: bound by " in done.err
    imports, building, first = map(float, re.search(
        r"profile: imports ([\d.]+) s, data and building ([\d.]+) s, tracing.* ([\d.]+) s", done.err).groups())
    assert 0 < imports < profile.age() and building + first < profile.age() - imports
    assert list((here / "run" / "tensorboard").rglob("*.xplane.pb"))
