"""`kerasdl export --format onnx` and its like: a file is kept only if it answers as the model does."""

import json
import os
import re
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import zoo_harness as harness

from kerasdl import data, objectives, zoo
from kerasdl.compression.quantize_aware import quantize_aware
from kerasdl.deploy import export, exporting, formats, gate, measure, network, unrounded
from kerasdl.deploy.compress import walk
from kerasdl.errors import Impossible, UserError
from kerasdl.files import write_json
from kerasdl.objectives.classify import Classify
from kerasdl.objectives.regress import in_units
from kerasdl.recipe import Recipe, load
from kerasdl.run import Run
from kerasdl.zoo.precision import in_float32

RANDOM = np.random.default_rng(0)
REFERENCE = RANDOM.normal(size=(40, 5))
SUITE = {"onnx": (None, "int8"), "litert": (None, "dynamic")}  # of the kinds; the others run in the soak
CLOSE = {None: 1e-5, "float16": 5e-3, "dynamic": 0.05}


# The gate

def answers(found=REFERENCE, **parts):
    return {"all": found, "first1": found[:1], "first7": found[:7], **parts}


def test_what_is_equal_passes_at_any_number_of_bits():
    near = REFERENCE + 1e-5 * RANDOM.normal(size=REFERENCE.shape)
    for kind in (None, "float16", "int8"):
        assert gate.refusal(REFERENCE, answers(near), kind) is None
    assert gate.refusal(REFERENCE, answers(near), "int8", gate.Score("accuracy", 0.9, 0.897, "max")) is None


def test_answers_to_some_examples_have_no_scores():
    """As OpenVINO gives for some networks; the gate says which shape they have."""
    objective, y = objectives.of(load("linear_digits")), np.eye(10, dtype="float32")
    assert exporting.scores_of(objective, y, y)["accuracy"] == 1 and exporting.scores_of(objective, y, y[:0]) == {}


def test_features_have_none_of_the_scores_of_a_comparison():
    objective = objectives.of(load("supcon_cifar10"))
    assert exporting.scores_of(objective, np.eye(10)[:6], np.zeros((6, 8))) == {} == exporting.rated(objective)


def test_a_model_without_scores_may_be_as_far_as_the_tolerance_says():
    rough = answers(REFERENCE + RANDOM.normal(size=REFERENCE.shape))
    assert gate.refusal(REFERENCE, rough, "int8") and gate.refusal(REFERENCE, rough, "int8", tolerance=0.5) is None


@pytest.mark.parametrize("found, kind, score, tolerance, words", [
    (answers(REFERENCE + 0.01), None, None, None, "of their range from the model's; allowed are 0.0001"),
    (answers(REFERENCE + 1e-5), None, None, 1e-7, "allowed are 1e-07"),
    (answers(np.where(REFERENCE > 2, np.nan, REFERENCE)), None, None, None, "NaN"),
    (answers(REFERENCE[:, :4]), None, None, None, r"shape \(40, 4\)"),
    (answers(first1=REFERENCE[:1] * np.nan), None, None, None, "a batch of 1 is answered otherwise"),
    (answers(first7=REFERENCE[:7] + 0.1), None, None, None, "a batch of 7 is answered otherwise"),
    (answers(), "int8", gate.Score("accuracy", 0.9, 0.8, "max"), None, "accuracy goes from 0.9000 to 0.8000"),
    (answers(), "int8", gate.Score("accuracy", 0.9, 0.897, "max"), 0.001, "allowed is a loss of 0.001"),
    (answers(), "int8", gate.Score("mae", 200.0, 204.0, "min"), 0.01, "allowed is a rise by a share of 0.01"),
    (answers(), "int8", gate.Score("accuracy", 0.9, float("nan"), "max"), None, "to nan"),
    (answers(), "int8", gate.Score("mae", 2.0, 2.2, "min"), None, "mae goes from 2.0000 to 2.2000"),
    (answers(RANDOM.normal(size=REFERENCE.shape)), "int8", None, None, "correlation"),
    (answers(REFERENCE + 0.3 * RANDOM.normal(size=REFERENCE.shape)), "int8", None, 0.01, "0.99 is asked for"),
    (answers(np.zeros_like(REFERENCE)), "int8", None, None, "correlation of 0.000"),
    (answers(RANDOM.normal(size=REFERENCE.shape)), "int8", gate.Score("accuracy", 0.9, 0.9, "max"), None, "0.95 is")])
def test_what_is_wrong_is_refused(found, kind, score, tolerance, words):
    assert re.search(words, gate.refusal(REFERENCE, found, kind, score, tolerance))


@pytest.mark.parametrize("reference, words", [(np.zeros((40, 5)), "alike"), (np.ones((40, 5)) * range(5), "alike"),
                                              (np.full((40, 5), np.inf), "infinity")])
def test_a_comparison_that_says_nothing_is_refused(reference, words):
    """Dead outputs agree with everything that is dead: found in a first measurement of exports."""
    assert words in gate.refusal(reference, answers(reference), None)


PRICES = (5e5, 3) + (2e5, 1) * np.random.default_rng(1).normal(size=(40, 2))  # with ratings
KEPT = gate.Score("mae", 100.0, 100.0, "min")


@pytest.mark.parametrize("rating, kind, score, tolerance, words", [
    (0.0, "int8", KEPT, None, "the number 2 of 2 in its answers is the same for every example"),
    (0.0, "int8", KEPT, np.inf, "the number 2 of 2"),  # as `compress` asks
    (PRICES[::-1, 1], "int8", KEPT, None, "correlation"), (PRICES[:, 1] + 0.01, None, None, None, "of their range"),
    (PRICES[:, 1] + 1e-5, "int8", KEPT, None, None), (PRICES[:, 1] + 1e-5, None, None, None, None)])
def test_the_worst_of_several_numbers_counts_in_its_own_unit(rating, kind, score, tolerance, words):
    found = PRICES.copy()
    found[:, 1] = rating
    assert gate.refusal(PRICES, answers(found), kind, score, tolerance) is None  # of all numbers together
    said = gate.refusal(PRICES, answers(found), kind, score, tolerance, units=True)
    assert said is None if words is None else words in said


def test_a_number_that_differs_by_rounding_or_is_constant_in_the_model_is_no_reason():
    """The latitudes of a city are not much further apart than numbers of float32, and a target may be one number."""
    place = ((47.37, 7, 0) + (0.01, 0, 0) * RANDOM.normal(size=(40, 3))).astype("float32")
    near = place + np.float32([2 * np.spacing(place[0, 0]), 0, 0])
    assert gate.refusal(place, answers(near), None, units=True) is None
    assert gate.refusal(place, answers(near), "int8", units=True) is None
    assert gate.refusal(place, answers(near + np.float32([0, 0.1, 0])), None, units=True)


def test_several_numbers_keep_their_units_in_a_file_of_8_bits(tmp_path):
    onnx = pytest.importorskip("kerasdl.deploy.formats.onnx")
    pytest.importorskip("onnxruntime")
    x, inputs = RANDOM.normal(size=(64, 3)).astype("float32"), keras.Input((3,))
    model = in_units(harness.randomise(keras.Model(inputs, keras.layers.Dense(2)(inputs))), PRICES)
    onnx.write(model, str(tmp_path / "model.onnx"), "int8", x)
    found = onnx.load(str(tmp_path / "model.onnx"), 1)(x)
    assert gate.correlation(model.predict_on_batch(x), found, units=True) > 0.99


# Formats

def cases():
    models = [*zoo.MODELS, *zoo.SEQUENCES, "series rnn", "series conv1d", "series transformer"]
    suite = {"onnx": ("mlp", "cnn", "vit", "series transformer"), "litert": ("mlp", "cnn", "rnn")}
    for name in models:
        for form in formats.names():
            module = import_module(f"kerasdl.deploy.formats.{form}")
            for kind in (None, *module.QUANTIZED):
                few = name in suite.get(form, ()) and kind in SUITE[form] and (kind is None or name == "cnn")
                yield pytest.param(name, form, kind, marks=() if few else pytest.mark.soak)


@pytest.mark.parametrize("name, form, kind", cases())
def test_every_model_has_the_answers_of_keras_in_every_format(tmp_path, name, form, kind):
    try:
        made = formats.find(form, kind)
    except UserError as error:
        pytest.skip(str(error))
    if name in zoo.MODELS:
        model, x = harness.make(name), harness.pictures(64).astype("float32")
    elif name in zoo.SEQUENCES:
        model, x = harness.make_of_tokens(name), np.tile(harness.padded_tokens(), (16, 1))
    else:
        kind_of = name.split()[1]
        model = zoo.build(kind_of, (12, 2), 5, **harness.SEQUENCE_ARGS[kind_of])
        x = RANDOM.normal(size=(64, 12, 2)).astype("float32")
        x[:20, 9:] = np.nan
    wanted = harness.randomise(model).predict_on_batch(x)
    plain = model if getattr(made, "LOOPS", True) else network.unrolled(model, 12)
    file = str(tmp_path / made.FILE)
    made.write(plain, file, kind, x)
    call = made.load(file, 1)
    for batch in (64, 1, 7):
        found = np.array(call(x[:batch]))
        if kind == "int8":  # of random weights: far from what training would leave
            least = 0.5 if "transformer" in name and form == "litert" else 0.9  # it rounds all that is between matrices
            assert gate.correlation(wanted[:batch], found) > least or batch < 64
        else:
            np.testing.assert_allclose(found, wanted[:batch], atol=CLOSE[kind] * np.ptp(wanted))


@pytest.mark.parametrize("form, kind", [("litert", "dynamic"), ("onnx", "int8")])
def test_a_small_column_counts_next_to_a_large_one_in_8_bits(tmp_path, form, kind):
    try:
        made = formats.find(form, kind)
    except UserError as error:
        pytest.skip(str(error))
    x = (RANDOM.normal(size=(256, 4)) * (1, 1, 1, 1e4) + (0, 0, 0, 5e4)).astype("float32")
    model = harness.randomise(zoo.build("mlp", 4, 3, size="512"))  # LiteRT leaves small matrices as they are
    model.get_layer("scale").adapt(x)
    wanted = model.predict_on_batch(x)
    made.write(model, str(tmp_path / made.FILE), kind, x)
    assert gate.correlation(wanted, made.load(str(tmp_path / made.FILE), 1)(x)) > 0.99


def test_answers_in_units_of_the_target_and_networks_in_a_row_have_no_limits(tmp_path):
    litert = pytest.importorskip("kerasdl.deploy.formats.litert")
    pytest.importorskip("ai_edge_litert")
    x, back = RANDOM.normal(size=(64, 3)).astype("float32"), keras.layers.Normalization(
        mean=[5e9], variance=[1e18], invert=True)
    scale = keras.layers.Normalization()
    scale.adapt(x)
    model = keras.Sequential([keras.Input((3,)), scale, keras.layers.Dense(400, "relu"), keras.layers.Dense(1), back])
    wanted = model.predict_on_batch(x)
    litert.write(model, str(tmp_path / "model.tflite"), "dynamic", x)
    assert gate.correlation(wanted, litert.load(str(tmp_path / "model.tflite"), 1)(x)) > 0.99


def test_a_series_of_large_numbers_is_rounded_behind_its_scaling():
    onnx = pytest.importorskip("onnx")
    make, floats = onnx.helper.make_node, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [make("Sub", ["x", "mean"], ["centred"], "sub"), make("Conv", ["centred", "kernel"], ["y"], "conv"),
         make("Relu", ["y"], ["z"], "relu")], "series",
        [onnx.helper.make_tensor_value_info("x", floats, [1, 1, 4])],
        [onnx.helper.make_tensor_value_info("z", floats, [1, 1, 4])],
        [onnx.numpy_helper.from_array(np.full(1, 5e6, "float32"), "mean"),
         onnx.numpy_helper.from_array(np.ones((1, 1, 1), "float32"), "kernel")])
    assert unrounded.nodes(graph, rows=False) == ["sub"]


@pytest.mark.parametrize("name", ["conv1d", "transformer"])
def test_masks_and_attention_leave_8_bits_to_the_rest_of_onnx(tmp_path, name):
    """The text CNN's maximum over words skips padding by a number that would be the whole range."""
    onnx = pytest.importorskip("kerasdl.deploy.formats.onnx")
    pytest.importorskip("onnxruntime")
    if name == "conv1d":
        model = zoo.build(name, (12,), 5, size="kim", vocabulary=harness.WORDS)
        x = np.tile(harness.padded_tokens(), (16, 1))
    else:
        model, x = zoo.build(name, (12, 2), 5, size="mu"), RANDOM.normal(size=(64, 12, 2)).astype("float32")
        x[:20, 9:] = np.nan
    wanted = harness.randomise(model).predict_on_batch(x)
    onnx.write(model, str(tmp_path / "model.onnx"), "int8", x)
    assert gate.correlation(wanted, onnx.load(str(tmp_path / "model.onnx"), 1)(x)) > 0.99


def test_a_copy_without_loops_scales_as_the_network_does():
    """Keras' Normalization computes with a copy of its weights."""
    inputs = keras.Input((6, 2))
    scale = keras.layers.Normalization()
    scale.adapt(RANDOM.normal(5, 3, (50, 6, 2)))
    model = keras.Model(inputs, keras.layers.LSTM(3)(scale(inputs)))
    x = RANDOM.normal(5, 3, (4, 6, 2)).astype("float32")
    np.testing.assert_allclose(network.unrolled(model, 6)(x), model(x), atol=1e-5)


def test_reduced_precision_is_exported_in_float32():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = harness.randomise(harness.make("resnet"))
    finally:
        keras.config.set_dtype_policy(before)
    plain = in_float32(model)
    assert {layer.compute_dtype for layer in plain.layers[1:]} == {"float32"}
    for ours, theirs in zip(plain.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert in_float32(plain) is plain


# Runs

def test_a_file_of_a_regression_that_lost_a_number_is_not_written(tmp_path, runtime_here, monkeypatch):
    x = RANDOM.normal(size=(40, 3)).astype("float32")
    inputs, splits = keras.Input((3,)), data.from_arrays(x, PRICES, target="number")
    made = Run.create(Recipe(model="linear", data="arrays", objective="regress"), tmp_path / "run")
    model = in_units(harness.randomise(keras.Model(inputs, keras.layers.Dense(2)(inputs))), PRICES)
    model.save(made.path / "model.keras")
    write_json(made.path / "data.json", splits["val"].describe())
    measured = exporting.measured
    monkeypatch.setattr(exporting, "measured", lambda *given: {
        name: value if "seconds" in name else value * [1, 0] for name, value in measured(*given).items()})
    with pytest.raises(Impossible, match="the number 2 of 2 in its answers is the same for every example"):
        export(made, "keras", data=splits)


def test_what_a_killed_export_of_the_same_process_id_left_is_overwritten(tmp_path):
    left = tmp_path / f".partial-{os.getpid()}-onnx"
    left.mkdir()
    (left / "half").touch()
    with exporting.folder(tmp_path / "onnx") as partial:
        (partial / "whole").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["onnx", "whole"]


def test_what_another_process_exported_meanwhile_stays(tmp_path):
    out = tmp_path / "onnx"
    with pytest.raises(UserError, match="onnx was written by another process meanwhile"):
        with exporting.folder(out):
            out.mkdir()
            (out / "export.json").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["onnx", "export.json"]


def test_what_other_killed_exports_left_is_removed_and_what_another_process_writes_is_not(tmp_path):
    """A number of a process that is not here may be one in another container."""
    dead, living, other = (tmp_path / f".partial-{name}" for name in ("99999998-onnx", "99999999-onnx", "7-web"))
    for folder in (dead, living, other):
        folder.mkdir()
        (folder / "half").touch()
    lock = exporting.lock_of(living)
    with exporting.folder(tmp_path / "onnx") as partial:
        assert not dead.exists() and exporting.lock_of(partial) is None
    os.close(lock)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([living.name, other.name, "onnx"])


@pytest.fixture
def run(tmp_path):
    """A finished run, as far as an export looks at it, of a network with random weights."""
    made = Run.create(load("cnn_digits").override(model_args={"size": "mu"}), tmp_path / "run")
    keras.utils.set_random_seed(0)  # with some draws every answer is the same class
    harness.randomise(zoo.build("cnn", (8, 8, 1), 10, size="mu")).save(made.path / "model.keras")
    write_json(made.path / "data.json", data.load("digits", "val").describe())
    return made


def test_a_run_is_exported_by_command_and_runs_elsewhere(command, run, refused):
    onnxruntime = pytest.importorskip("onnxruntime")
    (run.path / "tokenizer.json").write_text("{}")  # as that of a run of texts
    done = command("export", run.path, "--format", "onnx", "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    folder = run.path / "export" / "onnx"
    assert sorted(path.name for path in folder.iterdir()) == ["export.json", "model.onnx", "tokenizer.json"]
    assert facts == json.loads((folder / "export.json").read_text()) | {"folder": str(folder)}
    assert facts["difference"] < 1e-5 and facts["examples"] == 180
    assert facts["scores"]["accuracy"]["file"] == facts["scores"]["accuracy"]["keras"]
    assert facts["bytes"] == (folder / "model.onnx").stat().st_size
    assert facts["input"]["shape"] == [8, 8, 1] and facts["output"]["is"] == "logits of classes"

    opened = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    x = harness.pictures(5).astype("float32")
    found = opened.run(None, {facts["input"]["name"]: x})[0]
    np.testing.assert_allclose(found, run.model().predict_on_batch(x), rtol=1e-4, atol=1e-4)
    noted = json.loads(opened.get_modelmeta().custom_metadata_map["kerasdl"])
    assert noted["classes"] == facts["classes"] == list("0123456789")
    refused("export", run.path, "--format", "onnx", words=["is there already", "--out"])


def test_a_calibration_sees_every_class_of_a_split_that_is_sorted(run):
    y = np.repeat(np.arange(10), 100)
    x = np.broadcast_to(y[:, None, None, None] * 25, (1000, 8, 8, 1)).astype("uint8")
    objective, sorted_data = objectives.of(run.recipe, run.path), data.from_arrays(x, y)
    assert (np.diff(sorted_data["train"].y) >= 0).all()
    shown = exporting.tried_with(run, objective, None, sorted_data, True)[2]
    assert len(shown) == network.CALIBRATION and len(np.unique(shown)) == 10


def test_weights_of_4_bits_have_no_file(run, tmp_path):
    x = np.zeros((4, 8, 8, 1), "float32")
    quantize_aware(run.model(), "int4", x).save(run.path / "model.keras")
    try:
        formats.find("litert", "int8")
    except UserError as error:
        pytest.skip(str(error))
    with pytest.raises(UserError, match="weights of 4 bits, for which no file is written"):
        export(run, "litert", quantize="int8", out=tmp_path / "out")


def test_a_batch_of_32_is_timed_also_with_fewer_examples(tmp_path, monkeypatch):
    sizes = []
    made = SimpleNamespace(load=lambda *_: lambda x: sizes.append(len(x)) or x)
    monkeypatch.setattr(formats, "find", lambda _: made)
    np.savez(tmp_path / "given.npz", x=np.ones((5, 2)))
    measure.main("onnx", "", "", *(str(tmp_path / name) for name in ("given.npz", "found.npz", ".")))
    assert set(sizes) == {1, 5, 32}


def test_a_file_that_is_not_the_model_is_not_written(run, runtime_here, monkeypatch, tmp_path):
    """One scale of one layer is poisoned between the model and the file."""
    pytest.importorskip("onnxruntime")
    made = formats.find("onnx")
    write = made.write

    def poisoned(plain, path, kind, examples):
        wrong = keras.models.clone_model(plain)
        wrong.set_weights(plain.get_weights())
        kernel = next(weight for weight in wrong.trainable_weights if weight.ndim == 4)
        kernel.assign(np.asarray(kernel) * 1.01)
        write(wrong, path, kind, examples)

    monkeypatch.setattr(made, "write", poisoned)
    with pytest.raises(Impossible, match="No file was written: as onnx its answers are .* from the model's"):
        export(run, "onnx", out=tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []


def test_what_no_runtime_loads_is_not_written(run, monkeypatch, tmp_path):
    """Keras' own GELU becomes an operation that ONNX does not have; the converter says nothing, and writes a file."""
    pytest.importorskip("onnxruntime")
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(12, "gelu"),
                              keras.layers.Dense(10)])
    harness.randomise(model).save(run.path / "model.keras")
    with pytest.raises(Impossible, match="No file was written: .*onnx.*"):
        export(run, "onnx", out=tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []


@pytest.mark.soak
def test_dynamic_8_bits_of_depthwise_convolutions_are_refused(tmp_path):
    """Depthwise filters differ much in size, and onnxruntime rounds all channels that come out of them to one scale."""
    onnx = pytest.importorskip("kerasdl.deploy.formats.onnx")
    pytest.importorskip("onnxruntime")
    keras.utils.set_random_seed(0)
    spread, inputs = np.geomspace(0.01, 100, 8)[:, None], keras.Input((8, 8, 8))
    depthwise, mixed = keras.layers.DepthwiseConv2D(3, activation="relu"), keras.layers.Conv2D(8, 1, activation="relu")
    x = keras.layers.GlobalAveragePooling2D()(mixed(depthwise(inputs)))
    plain = keras.Model(inputs, keras.layers.Dense(5)(x))
    for layer, scale in ((depthwise, spread), (mixed, 1 / spread)):
        layer.kernel.assign(np.asarray(layer.kernel) * scale)
    x = RANDOM.uniform(0, 255, (40, 8, 8, 8)).astype("float32")
    wanted, said = plain.predict_on_batch(x), []
    for operations in (("MatMul", "Gemm"), ("MatMul", "Gemm", "Conv")):
        with onnx.converted(plain, str(tmp_path / "model.onnx")) as file:
            onnx.dynamic(file, str(tmp_path / "model.onnx"), x, operations)
        call = onnx.load(str(tmp_path / "model.onnx"), 1)
        said.append(gate.refusal(wanted, {"all": call(x), "first1": call(x[:1])}, "dynamic"))
    assert said[0] is None and said[1]


def test_a_file_in_bfloat16_is_refused(run, runtime_here, monkeypatch, tmp_path):
    """Its runtime has no kernels for it, which is why exports are in float32."""
    pytest.importorskip("onnxruntime")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        harness.randomise(zoo.build("cnn", (8, 8, 1), 10, size="mu")).save(run.path / "model.keras")
    finally:
        keras.config.set_dtype_policy(before)
    monkeypatch.setattr(exporting, "in_float32", lambda model: model)
    refused = pytest.importorskip("onnxruntime.capi.onnxruntime_pybind11_state")
    with pytest.raises((refused.NotImplemented, refused.InvalidGraph, refused.Fail), match="bfloat16"):
        export(run, "onnx", out=tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []


def test_dead_outputs_are_refused(run, runtime_here, tmp_path):
    model = run.model()
    for weight in model.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    model.save(run.path / "model.keras")
    with pytest.raises(UserError, match="answers every example alike"):
        export(run, "keras", out=tmp_path / "out")


def test_a_score_that_falls_is_refused(run, runtime_here, monkeypatch, tmp_path):
    """8 bits of a file whose answers are all for the first class; a correlation would not see it."""
    pytest.importorskip("onnxruntime")
    model = run.model()
    x, _ = network.examples_of(Classify(run.recipe), exporting.load_split(run, "val"))
    truth = np.eye(10)[model.predict_on_batch(x).argmax(1)]
    monkeypatch.setattr(exporting, "tried_with", lambda *_: (x, truth, measure.as_input(x)))
    measured = exporting.measured
    monkeypatch.setattr(exporting, "measured", lambda *given: {
        name: value if "seconds" in name else value + 99 * np.eye(10)[0] for name, value in measured(*given).items()})
    with pytest.raises(UserError, match="validation accuracy goes from 1.0000 to 0"):
        export(run, "onnx", quantize="int8", out=tmp_path / "out")


@pytest.mark.parametrize("words, said", [
    (["--format", "onnx", "--quantize", "int4"], ["int4"]),
    (["--format", "keras", "--quantize", "int8"], ["has no --quantize int8", "float32 only"]),
    (["--format", "onnx", "--names", "hf"], ["--names", "safetensors"]),
    (["--quantize", "int8"], ["--quantize", "Choose another --format"]),
    (["--format", "onnx", "--tolerance", "-1"], ["--tolerance"])])
def test_mistakes_are_one_line(refused, run, words, said):
    refused("export", run.path, *words, words=said)


def test_another_backend_is_refused_before_anything_is_made(run, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    for made in (lambda: export(run, "onnx"), lambda: walk.compress(run)):
        with pytest.raises(UserError, match="computes with jax here.*KERAS_BACKEND=tensorflow"):
            made()


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    for name, words in (("openvino", r"pip install 'kerasdl\[openvino\]'"), ("onxx", "Did you mean"),
                        ("onnx", r"pip install 'kerasdl\[export\]'")):
        with pytest.raises(UserError, match=words):
            formats.find(name)


def test_a_keras_file_has_no_validation_data(refused, run):
    refused("export", run.path / "model.keras", "--format", "onnx", words=["validation data", "Name a run"])
    assert Path(run.path / "model.keras").exists()
