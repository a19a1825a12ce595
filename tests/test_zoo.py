"""What every model must do (zoo_harness.py), on TensorFlow and on JAX; then what each promises for itself."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo_harness as harness

from kerasdl import zoo
from kerasdl.zoo import (
    alexnet,
    blocks,
    cct,
    cell,
    cnn,
    convnext,
    gan,
    inception,
    linear,
    mlp,
    mobilenet,
    residual_mlp,
    resnet,
    stages,
    vgg,
    vit,
)
from kerasdl.zoo.cost import multiply_adds

SIZED = (mlp, residual_mlp, alexnet, vgg, cnn, resnet, cell, inception, mobilenet, convnext, vit, cct, stages)
# What is counted with 224x224x3 pixels and 1000 classes: modules with all their sizes, and sizes of others.
OF_IMAGENET = (mobilenet, convnext, vit)
LARGE = {"18", "50", "2012", "2014", "11", "13", "16", "19", "googlenet", "googlenet_norm", "v3"}
CHECKED = [(name, check) for name in zoo.MODELS for check in harness.CHECKS]
# What takes longest runs for all models in the soak, and in every suite for a sample: {check: models}.
ON_TENSORFLOW = {"memorise": ("mlp",)}
ON_JAX = {**dict.fromkeys(("shape", "body", "save", "precision", "memorise"), ("vit",)),
          "gradient": ("resnet", "convnext", "vit")}


def in_suite(name, check, sample):
    return name in sample.get(check, zoo.MODELS)


def cases(checked, sample):
    return [pytest.param(*case, marks=() if in_suite(*case, sample) else pytest.mark.soak) for case in checked]


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module", autouse=True)
def jax_process(tmp_path_factory, request):
    """A JAX process that imports only kerasdl: it loads what this one saved, and runs all checks as we do."""
    folder = tmp_path_factory.mktemp("jax")
    keras.utils.set_random_seed(0)  # with some draws a ReLU lets nothing through, and no gradient
    for name in zoo.MODELS:
        model = harness.randomise(harness.make(name, **harness.REGULARISED.get(name, {})))
        model.save(folder / f"{name}.keras")
        np.save(folder / f"{name}.npy", harness.logits(model, harness.pictures()))
    for name in zoo.SEQUENCES:
        model = harness.randomise(harness.make_of_tokens(name))
        model.save(folder / f"{name}.keras")
        np.save(folder / f"{name}.npy", harness.logits(model, harness.padded_tokens()))
    quick = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", **harness.quick_jax(folder)}
    left_out = [f"{name}-{check}" for name, check in CHECKED if not in_suite(name, check, ON_JAX)]
    with open(folder / "errors.txt", "w") as errors:
        process = subprocess.Popen(
            [sys.executable, harness.__file__, folder, *([] if request.config.getoption("--soak") else left_out)],
            env={**os.environ, **quick},
            stdout=errors,
            stderr=errors,
        )
        yield process, folder
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def jax_report(jax_process):
    """{model: {check: None or what went wrong}}."""
    process, folder = jax_process
    process.wait(timeout=1200)
    assert process.returncode == 0, (folder / "errors.txt").read_text()
    return json.loads((folder / "report.json").read_text())


@pytest.mark.parametrize("name, check", cases(CHECKED, ON_TENSORFLOW))
def test_on_tensorflow(name, check):
    harness.CHECKS[check](name)


@pytest.mark.parametrize("name, check", cases([(name, "loads_elsewhere") for name in zoo.MODELS] + CHECKED,
                                              ON_JAX))
def test_on_jax(name, check, jax_report):
    assert jax_report["backend"] == "jax"
    assert jax_report[name][check] is None, jax_report[name][check]


@pytest.mark.parametrize("name, check", [*((name, "tokens") for name in zoo.SEQUENCES), ("transformer", "decoder")])
def test_sequences_on_jax(name, check, jax_report):
    assert jax_report[name][check] is None, jax_report[name][check]


def test_zoo_needs_no_keras_until_a_model_and_no_tensorflow_ever(jax_report):
    assert jax_report["light"]
    assert not jax_report["tensorflow"]


def test_table_of_contents_is_the_folder():
    files = {file.stem for file in Path(zoo.__file__).parent.iterdir() if file.suffix == ".py" or file.is_dir()}
    others = {"__init__", "__pycache__", "attention", "blocks", "cost", "ensemble", "fake_quantized", "generation",
              "precision", "sequences", "sound", "tf_idf", "trees", "weights"}
    assert set(zoo.NAMES) == files - others
    assert set(harness.ARGS) == set(zoo.MODELS) and set(harness.SEQUENCE_ARGS) == set(zoo.SEQUENCES)


@pytest.mark.parametrize(
    "module, size",
    [(linear, None), *(
        pytest.param(module, size, marks=() if size in ("mu", list(module.SIZES)[-1]) else pytest.mark.soak)
        for module in SIZED for size in module.SIZES)],
)
def test_parameters_are_as_the_file_says(module, size):
    shape, classes = (28, 28, 1), 10
    if module in OF_IMAGENET or size in LARGE:
        shape, classes = (224, 224, 3), 1000
    elif module not in (linear, mlp, residual_mlp, cnn):
        shape = (32, 32, 3)
    model = harness.outline(module.build, shape, classes, **({"size": size} if size else {}))
    stated = module.PARAMETERS[size] if size else module.PARAMETERS
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == stated


def test_every_size_states_its_parameters():
    for module in SIZED:
        assert module.PARAMETERS.keys() == module.SIZES.keys()


def test_parameters_are_the_papers():
    """Not what this code counts, but what others report: a wrong table must not pass with a wrong model."""
    assert (resnet.PARAMETERS["18"], resnet.PARAMETERS["50"]) == (11_689_512, 25_557_032)
    assert (resnet.PARAMETERS["20"], resnet.PARAMETERS["56"]) == (269_722, 853_018)
    vits = [vit.PARAMETERS[size] for size in ("Ti", "S", "B", "L")]
    assert vits == [5_717_416, 22_050_664, 86_567_656, 304_326_632]
    assert (alexnet.PARAMETERS["2012"], alexnet.PARAMETERS["2014"]) == (60_965_224, 61_100_840)
    assert alexnet.PARAMETERS["cifar"] == 89_578  # Caffe's cifar10_full
    vggs = [vgg.PARAMETERS[size] for size in ("11", "13", "16", "19")]
    assert vggs == [132_863_336, 133_047_848, 138_357_544, 143_667_240]
    inceptions = [inception.PARAMETERS[size] for size in ("cifar", "googlenet", "googlenet_norm", "v3")]
    assert inceptions == [1_649_402, 6_998_552, 6_624_904, 23_834_568]
    assert (mobilenet.PARAMETERS["v2"], mobilenet.PARAMETERS["lite0"]) == (3_504_872, 4_652_008)
    assert [convnext.PARAMETERS[size] for size in ("T", "S", "B")] == [28_589_128, 50_223_688, 88_591_464]
    small = [round(convnext.PARAMETERS[size] / 1e6, 2) for size in ("Atto", "Femto", "Pico", "Nano")]
    assert small == [3.70, 5.22, 9.05, 15.59]  # as timm states them
    assert mlp.PARAMETERS["512"] == 407_050
    largest = {f"edge{edge}": "conv3" for edge in ("01", "02", "12", "03", "13", "23")}
    model = harness.outline(cell.build, (32, 32, 3), 10, size="201", **largest)
    assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == 1_531_546  # of NAS-Bench-201's largest
    assert multiply_adds(model) == 220_119_680
    assert cnn.PARAMETERS["textbook"] == 34_826


@pytest.mark.parametrize(
    "name, shape, args",
    [
        ("cnn", (28, 28, 1), {"size": "textbook", "drop": 0.5}),
        ("cnn", (32, 32, 3), {"size": "textbook"}),
        ("cnn", (10, 10, 1), {"size": "textbook"}),
        ("cnn", (28, 28, 1), {"size": "S"}),
        ("cnn", (8, 8, 1), {"size": "S"}),
        ("cnn", (33, 21, 3), {"size": "S", "drop": 0.2}),
        ("resnet", (28, 28, 1), {"size": "8", "stem_stride": 2}),
        ("resnet", (33, 21, 3), {"size": "mu"}),
        ("resnet", (64, 48, 3), {"size": "18"}),
        ("vit", (28, 28, 1), {"size": "XS", "patch": 7, "pool": "mean"}),
        ("vit", (8, 12, 3), {"size": "mu", "patch": 4}),
        ("mlp", (28, 28, 1), {}),
        ("mlp", (28, 28, 1), {"norm": True, "drop": 0.1}),
        ("cnn", (32, 32, 3), {"size": "M", "whitened": True}),
        ("cnn", (9, 12, 1), {"size": "airbench", "whitened": True}),
        ("cct", (33, 21, 3), {"size": "2/3x2", "drop": 0.1, "drop_path": 0.1}),
        ("alexnet", (33, 21, 3), {"size": "cifar", "drop": 0.5}),
        ("vgg", (33, 21, 3), {"size": "mu", "norm": True}),
        ("inception", (33, 21, 3), {"size": "cifar"}),
        ("mobilenet", (33, 21, 3), {"size": "mu", "padding": "both"}),
        ("convnext", (33, 21, 3), {"size": "mu", "drop": 0.1, "drop_path": 0.1}),
    ],
)
def test_other_sizes_and_shapes(name, shape, args):
    out = harness.logits(zoo.build(name, shape, 3, **args), harness.pictures(2, shape))
    assert out.shape == (2, 3) and np.isfinite(out).all()


@pytest.mark.parametrize("stride, side", [(None, 32), (2, 16)])
def test_stem_stride_shrinks_the_stages(stride, side):
    model = harness.outline(resnet.build, (32, 32, 3), 10, size="mu", stem_stride=stride)
    assert model.get_layer("stage1_block1_relu").output.shape[1:3] == (side, side)


@pytest.mark.parametrize("stride_in, conv1, conv2", [("3x3", 16, 8), ("1x1", 8, 8)])
def test_bottleneck_halves_where_stride_in_says(stride_in, conv1, conv2):
    model = harness.outline(resnet.build, (64, 64, 3), 10, size="50", stride_in=stride_in)
    sides = [model.get_layer(f"stage2_block1_conv{i}").output.shape[1] for i in (1, 2)]
    assert sides == [conv1, conv2]


def test_shortcut_keeps_pixels_and_adds_empty_channels():
    x = harness.pictures(2, (6, 4, 3)).astype("float32")
    out = np.asarray(resnet.PadShortcut(5, 2)(x))
    np.testing.assert_array_equal(out[..., :3], x[:, ::2, ::2])
    assert out.shape == (2, 3, 2, 5) and not out[..., 3:].any()


# Bodies


@pytest.mark.parametrize(
    "name, shape, args, grid, mean",
    [
        ("cnn", (33, 21, 3), {"size": "mu"}, (17, 11), True),
        ("cnn", (28, 28, 1), {"size": "textbook"}, (5, 5), False),
        ("cnn", (32, 32, 3), {"size": "M", "whitened": True}, (3, 3), False),
        ("resnet", (33, 21, 3), {"size": "mu"}, (17, 11), True),
        ("resnet", (64, 96, 3), {"size": "50"}, (2, 3), True),
        ("vit", (8, 12, 3), {"size": "mu", "patch": 4}, (2, 3), False),
        ("vit", (8, 12, 3), {"size": "mu", "patch": 4, "pool": "mean"}, (2, 3), True),
        ("cct", (33, 21, 3), {"size": "2/3x2", "drop": 0.1, "drop_path": 0.1}, (9, 6), False),
        ("vgg", (33, 21, 3), {"size": "mu"}, (8, 5), True),
        ("inception", (33, 21, 3), {"size": "mu"}, (17, 11), True),
        ("mobilenet", (33, 21, 3), {"size": "mu"}, (9, 6), True),
        ("convnext", (33, 21, 3), {"size": "mu", "patch": 2}, (8, 5), False),
    ],
)
def test_maps_are_the_last_grid_that_the_features_pool(name, shape, args, grid, mean):
    body = zoo.body(name, shape, **args)
    maps = keras.ops.convert_to_numpy(body(harness.pictures(2, shape))["maps"])
    features = keras.ops.convert_to_numpy(body(harness.pictures(2, shape))["features"])
    assert maps.shape[:3] == (2, *grid) and np.isfinite(maps).all()
    if mean:
        np.testing.assert_allclose(maps.mean((1, 2)), features, atol=1e-5)


def test_maps_of_a_vit_leave_out_the_class_token_and_follow_its_patches():
    body = vit.body((8, 12, 3), size="mu", patch=4)
    tokens = keras.Model(body.input, body.get_layer("norm").output)(harness.pictures(2, (8, 12, 3)))
    maps = body(harness.pictures(2, (8, 12, 3)))["maps"]
    np.testing.assert_array_equal(np.asarray(maps).reshape(2, 6, -1), np.asarray(tokens)[:, 1:])
    assert vit.resize(body, (16, 20, 3)).output["maps"].shape == (None, 4, 5, 32)


def test_another_head_makes_a_flat_graph():
    body = zoo.body("resnet", (8, 8, 1), size="mu")
    masks = keras.layers.Conv2D(2, 1, name="masks")(body.output["maps"])
    model = keras.Model(body.input, masks)
    assert harness.logits(model, harness.pictures()).shape == (8, 4, 4, 2)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    assert zoo.body("mlp", 5, size="mu").output.keys() == {"features"}


def test_a_vit_that_sees_half_of_its_tokens_has_the_weights_of_a_whole_one():
    """As a masked autoencoder has its encoder, whose weights a classifier then starts with; and its decoder."""
    inputs, grid = vit.patches((8, 8, 1), 32, 2)
    tokens = vit.tokens(grid)  # (B, 16, 32)
    visible = keras.layers.Cropping1D((0, 8), name="visible")(tokens)
    encoded = vit.encode(visible, 2, 2)
    decoded = vit.encode(keras.layers.Dense(16, name="decoder_embed")(encoded), 1, 2, prefix="decoder_")
    model = harness.randomise(keras.Model(inputs, decoded))
    assert harness.logits(model, harness.pictures()).shape == (8, 8, 16)
    whole = vit.build((8, 8, 1), 3, size="mu", patch=2, pool="mean")
    for layer in whole.layers:
        if layer.weights and layer.name != "logits":
            layer.set_weights(model.get_layer(layer.name).get_weights())
    halves = keras.Model(inputs, encoded)
    assert np.isfinite(harness.logits(whole, harness.pictures())).all()
    x = harness.pictures()
    hidden = x.copy()
    hidden[:, 4:] = 0
    np.testing.assert_array_equal(harness.logits(halves, x), harness.logits(halves, hidden))


# Arguments


def test_arguments_of_any_build_function_are_checked():
    def build(image_shape, classes, *, depth, width=8, norm=False, name="mine"):
        raise AssertionError("it is not called")

    def anything(image_shape, classes, **kwargs):
        raise AssertionError("it is not called")

    zoo.check_args(build, {"depth": 2, "norm": True})
    zoo.check_args(anything, {"depht": 2})
    for args, words in [({"depth": 1, "widht": 2}, ["argument of test_zoo", "'widht'", "'width'"]),
                        ({"depth": 1, "norm": "no"}, ["norm", "true or false", "'no'"]),
                        ({"width": 2}, ["'depth'", "no default"]), ({"classes": 3, "depth": 1}, ["'classes'"])]:
        with pytest.raises(ValueError) as caught:
            zoo.check_args(build, args)
        assert all(word in str(caught.value) for word in words), caught.value
    with pytest.raises(ValueError, match="argument of my.py:build 'x'"):
        zoo.check_args(build, {"x": 1, "depth": 1}, "my.py:build")


def test_arguments_of_a_model_have_names():
    assert zoo.arguments("vit") == ["size", "patch", "pool", "drop", "drop_path", "weights", "name"]
    assert zoo.arguments("gan") == ["net", "size", "latent", "conditional", "clusters"]
    with pytest.raises(ValueError, match="'vit'"):
        zoo.arguments("vti")


# A user's mistakes


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: zoo.build("vti", (8, 8, 1), 2), ["'vti'", "'vit'"]),
        (lambda: zoo.build("vit", (8, 8, 1), 2, depht=3, patch=4, name="encoder"), ["'depht'"]),
        (lambda: zoo.build("vit", (8, 8, 1), 2, ptach=4), ["'ptach'", "'patch'"]),
        (lambda: zoo.build("gan", (8, 8, 1), 2, net="mpl"), ["'mpl'", "'mlp'"]),
        (lambda: zoo.build("gan", (8, 8, 1), 0, net="mlp", size="mu", conditional=True), ["classes", "0"]),
        (lambda: zoo.build("linear", (8, 8, 1), 2, nmae="x"), ["argument of linear"]),
        (lambda: zoo.body("gan", (8, 8, 1)), ["'gan'", "linear, mlp"]),
        (lambda: zoo.body("cnn", (8, 8, 1), drop=0.1), ["argument of cnn", "'drop'"]),
        (lambda: vit.build((8, 8, 1), 2, size="ti", patch=4), ["'ti'", "'Ti'"]),
        (lambda: resnet.build((8, 8, 1), 2, size=20), ["20", "'20'"]),
        (lambda: vit.build((30, 28, 1), 2, patch=7), ["patch=7", "(30, 28, 1)", "28 or 35"]),
        (lambda: vit.build((8, 8, 1), 2, patch=16), ["patch=16", "near 8 is 16"]),
        (lambda: vit.build((8, 8, 1), 2, patch=0), ["patch", "pixels", "0"]),
        (lambda: vit.build((8, 8, 1), 2, patch=4, pool="max"), ["'token'", "'mean'", "'max'"]),
        (lambda: vit.resize(mlp.build((8, 8, 1), 2), (16, 16, 1)), ["vit.build", "'mlp'"]),
        (lambda: resnet.build((8, 8, 1), 2, stride_in="1x1"), ["stride_in", "'20'"]),
        (lambda: cnn.build((9, 12, 1), 2, size="textbook"), ["10x10", "9x12"]),
        (lambda: cnn.build((8, 8, 1), 2, whitened=True), ["'airbench'", "'S'"]),
        (lambda: cct.build((8, 8, 1), 2, size="2"), ["'2'", "2/3x2"]),
        (lambda: alexnet.build((62, 80, 3), 2, size="2012"), ["63x63", "'2012'", "62x80"]),
        (lambda: vgg.build((80, 31, 3), 2, size="16"), ["32x32", "'16'", "80x31"]),
        (lambda: inception.build((74, 80, 3), 2, size="v3"), ["75x75", "'v3'", "74x80"]),
        (lambda: convnext.build((31, 80, 3), 2), ["32x32", "'T'", "31x80"]),
        (lambda: convnext.build((32, 32, 3), 2, size="mu", patch=0), ["patch", "1 or more", "0"]),
        (lambda: mobilenet.build((32, 32, 3), 2, padding="valid"), ["'same'", "'both'", "'valid'"]),
        (lambda: cnn.build(12, 2), ["linear or mlp", "12"]),
        (lambda: resnet.build(12, 2), ["linear or mlp", "12"]),
        (lambda: vit.build(12, 2), ["linear or mlp", "12"]),
        (lambda: mlp.build((28, 28), 2), ["(28, 28)", "number of columns"]),
        (lambda: cnn.build(("8", "8", "1"), 2), ["image_shape", "('8', '8', '1')"]),
        (lambda: cnn.build((1, 8, 1), 2, size="M", whitened=True), ["2x2 pixels", "1x8"]),
        (lambda: linear.build(0, 2), ["number of columns", "0"]),
        (lambda: zoo.features(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])), ["features"]),
    ],
)
def test_mistakes_are_named(call, words):
    with pytest.raises(ValueError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.fixture
def channels_first():
    """Sets Keras to it when called, as keras.json can."""
    before = keras.config.image_data_format()
    yield lambda: keras.config.set_image_data_format("channels_first")
    keras.config.set_image_data_format(before)


@pytest.mark.parametrize("name", [*zoo.MODELS, "gan"])
def test_channels_first_is_refused_before_it_makes_another_model(channels_first, name):
    channels_first()
    with pytest.raises(ValueError, match="set_image_data_format"):
        gan.build((8, 8, 1), 3) if name == "gan" else harness.make(name)


def test_channels_first_is_refused_for_convolutions_over_steps(channels_first):
    channels_first()
    with pytest.raises(ValueError, match="set_image_data_format"):
        zoo.build("conv1d", (8, 2), 3)


@pytest.mark.parametrize("name", ["linear", "mlp", "residual_mlp"])
def test_a_column_of_one_value_is_not_scaled(name):
    network = zoo.build(name, 3, 2)
    x = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
    x[:, 1] = 7
    network.get_layer("scale").adapt(x)
    answer = network.predict(x, verbose=0)
    assert np.isfinite(answer).all() and np.ptp(answer, axis=0).min() > 0


@pytest.mark.parametrize("make, words", [
    (lambda: zoo.build("stages", (8, 8, 1), 3, size="mu", width3=-4), "no third one"),
    (lambda: zoo.build("rnn", (None, 2), 3, cell="lstmm"), "cell 'lstmm'"),
    (lambda: zoo.build("resnet", (8, 8, 1), 3, stem_stride="2"), "stem_stride"),
    (lambda: zoo.build("gan", 28, 10), "image_shape"), (lambda: zoo.build("gan", (8, 8, 1), 10, latent=0), "latent"),
    (lambda: zoo.build("gan", (8, 8, 1), 10, clusters=2.5), "clusters"),
    (lambda: zoo.build("cnn", (8, 8, 1), 3, size=["a"]), "size")])
def test_arguments_that_mean_nothing(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_filters_of_single_maps_start_from_what_they_read():
    kernel = zoo.build("mobilenet", (32, 32, 3), 3).get_layer("stage3_block1_filter_conv").get_weights()[0]
    assert kernel.std() == pytest.approx(np.sqrt(2) / 3, rel=0.1)  # He et al. 2015, of 3 x 3 numbers


def test_a_saved_model_is_itself_where_channels_come_first(channels_first):
    x, images = harness.pictures(), np.random.default_rng(0).random((4, 8, 8, 1)).astype("float32")
    network = cnn.build(x.shape[1:], 3, size="M", whitened=True)
    critic = gan.build((8, 8, 1), 3, net="dcgan", size="mu")[1]
    answers = network.predict(x, verbose=0), critic.predict(images, verbose=0)
    network.save("network.keras")
    critic.save("critic.keras")
    channels_first()
    for file, given, answer in zip(("network.keras", "critic.keras"), (x, images), answers, strict=True):
        again = keras.saving.load_model(file)
        np.testing.assert_allclose(again.predict(given, verbose=0), answer, rtol=1e-5)


# Whitening


def test_a_normalised_perceptron_does_not_see_how_dark_a_batch_is():
    """It sees each number beside those of the batch; the plain one sees the number."""
    pictures = 0.5 + np.random.default_rng(0).random((64, 6, 6, 1)).astype("float32") * 200

    def answers(norm, scale):
        keras.utils.set_random_seed(0)
        model = mlp.build((6, 6, 1), 3, size="mu", norm=norm)
        return keras.ops.convert_to_numpy(model(scale * pictures, training=True))

    np.testing.assert_allclose(answers(True, 1.0), answers(True, 0.5), atol=2e-3)
    assert np.abs(answers(False, 1.0) - answers(False, 0.5)).max() > 0.1


def test_whitened_patches_have_mean_0_and_variance_1_in_every_direction():
    rng = np.random.default_rng(0)
    flat = rng.normal(0.4, 0.2, (50, 1, 1, 3)) + rng.normal(0, 0.05, (50, 9, 7, 3))  # neighbours are alike
    layer = cnn.Whitening(patch=2, floor=0.0)
    images = flat.astype("float32")
    before = np.asarray(layer(images))
    np.testing.assert_array_equal(before[..., :12], -before[..., 12:])
    np.testing.assert_allclose(before[0, 3, 2, :12], images[0, 3:5, 2:4].ravel(), atol=1e-6)
    layer.adapt(images)
    out = np.asarray(layer(images)).reshape(-1, 24)
    np.testing.assert_allclose(np.cov(out[:, :12].T), np.eye(12), atol=1e-3)
    np.testing.assert_allclose(out[:, 12:], -out[:, :12], atol=1e-3)
    np.testing.assert_allclose(out.mean(0), 0, atol=1e-3)


def test_whitening_is_saved_and_only_its_bias_learns(tmp_path):
    model = cnn.build((8, 8, 3), 2, size="airbench", whitened=True)
    stem, x = model.get_layer("stem"), harness.pictures(20, (8, 8, 3))
    stem.adapt(x.astype("float32") / 255)
    assert [weight.name for weight in stem.trainable_weights] == ["bias"]
    model.save(tmp_path / "white.keras")
    loaded = keras.saving.load_model(tmp_path / "white.keras")
    np.testing.assert_array_equal(harness.logits(loaded, x), harness.logits(model, x))


# CCT


@pytest.mark.parametrize("size, millions", [("2/3x2", 0.28), ("4/3x2", 0.48), ("7/3x1", 3.76)])
def test_compact_transformers_have_the_papers_parameters_beside_biases_in_the_attention(size, millions):
    width, depth, *_ = cct.SIZES[size]
    assert round((cct.PARAMETERS[size] - 3 * width * depth) / 1e6, 2) == millions


# The classic nets


@pytest.mark.parametrize("args", [{}, {"size": 3, "shift": 1.0, "alpha": 5e-3, "beta": 0.5}])
def test_response_normalisation_is_that_of_tensorflow(args):
    layer, x = blocks.ResponseNorm(**args), np.random.default_rng(0).normal(0, 20, (2, 5, 6, 12)).astype("float32")
    expected = tf.nn.local_response_normalization(x, layer.size // 2, layer.shift, layer.alpha, layer.beta)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(13, 9), (3, 2), (7, 7), (14, 21)])
def test_a_grid_is_the_mean_of_its_cells(shape):
    """From the pixel in which a cell begins to the one in which it ends, as PyTorch has it."""
    x = np.random.default_rng(0).normal(size=(2, *shape, 3)).astype("float32")
    cells = [[x[:, i * shape[0] // 7:-(-(i + 1) * shape[0] // 7), j * shape[1] // 7:-(-(j + 1) * shape[1] // 7)]
              .mean((1, 2)) for j in range(7)] for i in range(7)]
    np.testing.assert_allclose(np.moveaxis(np.asarray(blocks.GridMean(7)(x)), 0, 2), cells, atol=1e-6)


@pytest.mark.parametrize("size, parameters", [("11", 132_868_840), ("13", 133_053_736), ("16", 138_365_992),
                                              ("19", 143_678_248), ("cifar16", 14_728_266)])
def test_vgg_with_normalisation_has_the_parameters_of_torchvision(size, parameters):
    shape, classes = ((32, 32, 3), 10) if size == "cifar16" else ((224, 224, 3), 1000)
    model = harness.outline(vgg.build, shape, classes, size=size, norm=True)
    assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == parameters


@pytest.mark.parametrize("module, args, grid", [
    (alexnet, {"size": "2012"}, (6, 6, 256)), (alexnet, {"size": "2014"}, (6, 6, 256)),
    (vgg, {"size": "11"}, (7, 7, 512)), (inception, {"size": "googlenet"}, (7, 7, 1024)),
    (inception, {"size": "googlenet_norm"}, (7, 7, 1024)), (mobilenet, {"size": "lite0"}, (7, 7, 1280)),
    (mobilenet, {"size": "v2", "padding": "both"}, (7, 7, 1280)), (convnext, {"size": "Atto"}, (7, 7, 320))])
def test_the_last_maps_have_the_papers_shape(module, args, grid):
    model = harness.outline(module.body, (224, 224, 3), **args)
    assert model.output["maps"].shape == (None, *grid)
    assert "grid" not in {layer.name for layer in model.layers}


def test_other_sizes_of_image_have_the_weights_of_the_papers():
    """The hidden layers of AlexNet and VGG read a grid of their own size, so that weights fit."""
    for module, size in ((alexnet, "2012"), (vgg, "11")):
        shapes = [[weight.shape for weight in harness.outline(module.build, (*sides, 3), 10, size=size).weights]
                  for sides in ((224, 224), (300, 140))]
        assert shapes[0] == shapes[1]


def test_alexnets_towers_do_not_see_each_other_before_the_third_convolution():
    body = harness.outline(alexnet.body, (63, 63, 3), size="2012")

    def towers(name):
        below = keras.Model(body.input, body.get_layer(name).output).layers
        return {side for side in (1, 2) if any(f"tower{side}" in layer.name for layer in below)}

    assert [towers(f"stage2_tower{side}_pool") for side in (1, 2)] == [{1}, {2}]
    assert [towers(f"stage3_tower{side}_conv") for side in (1, 2)] == [{1, 2}, {1, 2}]


def test_a_branch_of_convnext_starts_near_zero_and_is_multiplied_by_its_gains():
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    layer = convnext.LayerScale(0.5)
    np.testing.assert_allclose(layer(x), 0.5 * x)
    layer.gain.assign([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(layer(x), x * [1, 2, 3, 4], rtol=1e-6)
    gains = convnext.build((8, 8, 1), 2, size="mu", patch=2).get_layer("stage2_block1_scale").gain
    np.testing.assert_allclose(gains, np.full(16, 1e-6))


def test_stochastic_depth_of_convnext_grows_over_all_stages():
    model = harness.outline(convnext.build, (32, 32, 3), 2, size="Atto", drop_path=0.11)
    rates = [layer.rate for layer in model.layers if isinstance(layer, blocks.DropPath)]
    np.testing.assert_allclose(rates, np.arange(1, 12) / 100)


def test_averages_of_v3_count_zeros_around_the_maps_if_asked():
    """As PyTorch's do: a corner of ones has 4 of 9 pixels."""
    x = np.ones((1, 5, 5, 1), "float32")
    for count_zeros, corner in ((False, 1.0), (True, 4 / 9)):
        inputs = keras.Input((5, 5, 1))
        pool = keras.Model(inputs, inception.apply(inputs, "valid", "mean", "a", count_zeros))
        np.testing.assert_allclose(np.asarray(pool(x))[0, 0, 0, 0], corner, rtol=1e-6)


# Width and depth, which a search varies


def test_width_and_depth_change_a_size():
    def kernels(model):
        return [tuple(layer.kernel.shape) for layer in model.layers if hasattr(layer, "kernel")]

    assert kernels(mlp.build(4, 3, size="512-512", width=8, depth=3)) == [(4, 8), (8, 8), (8, 8), (8, 3)]
    assert kernels(mlp.build(4, 3, size="mu", depth=2)) == [(4, 16), (16, 16), (16, 3)]
    assert kernels(mlp.build(4, 3, size="512-512", depth=1)) == [(4, 512), (512, 3)]
    shapes = kernels(cnn.build((16, 16, 1), 3, size="S", width=16, depth=3))
    assert [shape[-1] for shape in shapes] == [16, 24, 24, 24, 48, 48, 48, 3]  # the stem and two stages
    for size in ("S", "mu", "airbench"):
        assert kernels(cnn.build((16, 16, 3), 3, size=size)) == \
            kernels(cnn.build((16, 16, 3), 3, size=size, width=cnn.SIZES[size][0], depth=2))
    assert cnn.build((16, 16, 3), 3, size="airbench", depth=1).count_params() < \
        cnn.build((16, 16, 3), 3, size="airbench").count_params()


@pytest.mark.soak
def test_an_export_answers_without_the_zoo(tmp_path):
    model = cct.build((16, 16, 3), 3, size="mu")
    model.export(str(tmp_path / "saved"), verbose=False)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype("float32")
    np.save(tmp_path / "images.npy", images)
    code = ("import numpy, sys, tensorflow as tf\n"
            f"images = numpy.load({str(tmp_path / 'images.npy')!r})\n"
            f"saved = tf.saved_model.load({str(tmp_path / 'saved')!r})\n"
            "answers = saved.serve(tf.constant(images))\n"
            f"numpy.save({str(tmp_path / 'answers.npy')!r}, answers)\n"
            "assert 'kerasdl' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
    np.testing.assert_allclose(np.load(tmp_path / "answers.npy"), model.predict(images, verbose=0), atol=1e-6)
