"""Files of weights: what is written is read again, and what does not fit is refused."""

import pickle
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import zoo_harness as harness
from data_harness import refused_value

from kerasdl import zoo
from kerasdl.compression import graph
from kerasdl.explain.controls import GuidedBackprop
from kerasdl.explain.network import Network
from kerasdl.objectives import average
from kerasdl.zoo import ensemble, precision, weights
from kerasdl.zoo.blocks import set_moments
from kerasdl.zoo.weights import bodies, files, reading, tables, vit

sys.path.insert(0, str(Path(__file__).parents[1]))
from weights_harness import LARGE, PORTS, golden, images

from benchmarks.golden import CLASSES, pixels  # noqa: E402


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.soak] if name in LARGE else [])
                                  for name in PORTS])
def test_what_is_written_are_the_tensors_that_the_source_has(name, tmp_path):
    model, args = PORTS[name]
    held, expected = golden(name)
    x = images(next(iter(expected)), model)
    network = zoo.build(model, x.shape[1:], CLASSES, **args)
    weights.load(network, held, model)
    source, classes = name.rpartition("_")[2], list("abcdefghij")
    header = weights.save(network, file := tmp_path / "w.safetensors", model, source, classes)
    held = vit.hf_names(held, network) if name == "vit_hf" else held
    written = files.read(file)
    assert written.keys() == held.keys()
    for key in held:
        assert written[key].shape == held[key].shape
        np.testing.assert_array_equal(written[key], held[key], err_msg=key)
    assert header["image_size"] == list(x.shape[1:3]) and header["classes"] == classes


@pytest.mark.parametrize("model, args, channels", [
    ("vit", {"size": "mu", "patch": 8}, 3), ("resnet", {"size": "8"}, 1), ("vgg", {"size": "mu", "norm": True}, 3),
    pytest.param("alexnet", {"size": "2014"}, 3, marks=pytest.mark.soak),
    pytest.param("convnext", {"size": "Atto"}, 3, marks=pytest.mark.soak),
    ("mobilenet", {"size": "mu", "padding": "both"}, 3)])
def test_what_is_written_is_read_again_with_its_preprocessing(model, args, channels, tmp_path):
    """Weights, epsilons and the scaling of pixels are the network's own, and not those that are usual for the names."""
    shape = (64, 64, channels)
    network = harness.randomise(zoo.build(model, shape, 7, **args))
    for source in weights.sources(model):
        weights.save(network, file := tmp_path / "w.safetensors", model, source)
        assert reading.classes_of(zoo.build(model, shape, 9, **args), file, model) == 7
        again = zoo.build(model, shape, 7, **args, weights=str(file))
        x = harness.pictures(2, shape)
        np.testing.assert_array_equal(harness.logits(again, x), harness.logits(network, x))
        for one, other in zip(network.variables, again.variables, strict=True):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other), err_msg=one.path)


@pytest.mark.parametrize("model, args, source, words", [
    ("vit", {"size": "mu", "patch": 8, "pool": "mean"}, "hf", "pool='token'"),
    pytest.param("resnet", {"size": "50", "stride_in": "1x1"}, "torchvision", "in those of 3x3",
                 marks=pytest.mark.soak),
    ("mobilenet", {"size": "mu"}, "timm", "padding='both'"), ("vit", {"size": "mu", "patch": 8}, "torchvision",
                                                              "Expected one of: hf, timm."),
    ("inception", {"size": "cifar"}, None, "size='v3' or"), ("cct", {"size": "mu"}, None, "'cct'")])
def test_a_network_that_the_source_builds_otherwise_is_not_written(model, args, source, words, tmp_path):
    network = zoo.build(model, (32, 32, 3), 7, **args)
    refused_value(lambda: weights.save(network, tmp_path / "w.safetensors", model, source), words)
    assert not (tmp_path / "w.safetensors").exists()


def test_a_network_that_the_source_builds_otherwise_is_not_read_into(tmp_path):
    """The names are the same, and the answers would be another network's."""
    file = tmp_path / "w.safetensors"
    weights.save(zoo.build("mobilenet", (32, 32, 3), 7, size="mu", padding="both"), file, "mobilenet", "timm")
    refused_value(lambda: zoo.build("mobilenet", (32, 32, 3), 7, size="mu", weights=str(file)), "padding='both'")


def test_weights_of_one_channel_without_their_preprocessing_are_refused():
    grey = zoo.build("resnet", (32, 32, 1), 4, size="18")
    tensors = weights.exported(grey, weights.tables_of("resnet")[0])
    refused_value(lambda: weights.load(grey, tensors, "resnet"), "images of 3 channels", "data_args.channels=3")


def test_old_files_of_keras_are_read(tmp_path):
    """h5py 2 wrote names as bytes of one length, and a whole model has its weights in a group."""
    kernel = np.arange(6.0).reshape(2, 3)
    for whole in (False, True):
        with h5py.File(tmp_path / f"{whole}.h5", "w") as file:
            inside = file.create_group("model_weights") if whole else file
            inside.attrs["layer_names"] = np.array([b"dense", b"flat"], "S5")
            inside.create_group("flat").attrs["weight_names"] = np.array([], "S1")
            dense = inside.create_group("dense")
            dense.attrs["weight_names"] = np.array([b"dense/kernel:0"], "S14")
            dense.create_dataset("dense/kernel:0", data=kernel)
        found = files.read(tmp_path / f"{whole}.h5")
        assert list(found) == ["dense/0"]
        np.testing.assert_array_equal(found["dense/0"], kernel)


def test_files_that_keras_offers_are_read_by_the_names_and_the_order_that_they_have():
    """MobileNetV2's layers are called as a converter did, and the head of ResNet-50 "probs"."""
    source = harness.randomise(zoo.build("mobilenet", (32, 32, 3), 7, size="mu"))
    table = weights.tables_of("mobilenet")[-1]
    layers, tensors = {"Conv1": "Conv1"}, {}
    for name, array in weights.exported(source, table).items():
        layer, _, place = name.rpartition("/")
        tensors[f"{layers.setdefault(layer, f'mobl{len(layers)}')}/{place}"] = array
    network = zoo.build("mobilenet", (32, 32, 3), 7, size="mu")
    assert weights.load(network, tensors, "mobilenet").table == table
    for one, other in zip(network.weights, source.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert weights.load(zoo.build("mobilenet", (32, 32, 3), 5, size="mu"), tensors, "mobilenet").replaced == ("logits",)
    weights.load(zoo.body("mobilenet", (32, 32, 3), size="mu"), tensors, "mobilenet")
    tensors = {"conv1_conv/0": np.zeros((7, 7, 3, 64)), "probs/1": np.zeros(5)}
    found = weights.tables_of("resnet")[-1].prepare(tensors, None)
    assert list(found) == ["conv1_conv/0", "predictions/1"]


def test_a_head_of_other_classes_is_new_and_another_grid_is_resized():
    source = harness.randomise(zoo.build("vit", (32, 32, 3), 7, size="mu", patch=8))
    tensors = weights.exported(source, weights.tables_of("vit")[0])
    network = zoo.build("vit", (64, 48, 3), 5, size="mu", patch=8)
    head = np.asarray(network.get_layer("logits").kernel)
    loaded = weights.load(network, tensors, "vit")
    assert loaded.replaced == ("logits",) and loaded.resized
    np.testing.assert_array_equal(head, network.get_layer("logits").kernel)
    expected = zoo.module("vit").resize(source, (64, 48, 3))
    np.testing.assert_allclose(np.asarray(network.get_layer("position").table),
                               np.asarray(expected.get_layer("position").table), atol=1e-6)
    body = zoo.body("vit", (32, 32, 3), size="mu", patch=8)
    weights.load(body, tensors, "vit")
    np.testing.assert_array_equal(body.get_layer("norm").gamma, source.get_layer("norm").gamma)


def test_a_grid_of_as_many_patches_in_another_form_is_resized(tmp_path):
    """A file says its grid, or has a square one."""
    square, wide = (harness.randomise(zoo.build("vit", shape, 7, size="mu", patch=8)) for shape in (
        (32, 32, 3), (16, 64, 3)))
    table = weights.tables_of("vit")[0]
    new = zoo.build("vit", (16, 64, 3), 7, size="mu", patch=8)
    assert weights.load(new, weights.exported(square, table), "vit").resized
    expected = zoo.module("vit").resize(square, (16, 64, 3))
    np.testing.assert_allclose(np.asarray(new.get_layer("position").table),
                               np.asarray(expected.get_layer("position").table), atol=1e-6)
    weights.save(wide, tmp_path / "w.safetensors", "vit", "timm", list("abcdefg"))
    assert not weights.load(new, tmp_path / "w.safetensors", "vit").resized
    np.testing.assert_array_equal(new.get_layer("position").table, wide.get_layer("position").table)
    assert weights.load(square, tmp_path / "w.safetensors", "vit").resized


def test_a_file_of_another_network_and_one_that_is_cut_are_refused(tmp_path):
    small, deep = (zoo.build("resnet", (32, 32, 3), 7, size=size) for size in ("8", "20"))
    before = [np.asarray(variable) for variable in small.variables]
    table = weights.tables_of("resnet")[0]
    tensors = weights.exported(small, table)
    refused_value(lambda: weights.load(deep, tensors, "resnet"), "stage1_block2_conv1")
    refused_value(lambda: weights.load(zoo.build("vit", (32, 32, 3), 7, size="mu", patch=8), tensors, "vit"),
                  "not of vit", "conv1.weight", "resnet (torchvision)")
    refused_value(lambda: weights.load(small, tensors | {"more": np.zeros(3)}, "resnet"), "'more'", "1 tensor")
    refused_value(lambda: weights.load(small, {k: v for k, v in tensors.items() if k != "bn1.bias"}, "resnet"),
                  "stem_norm/beta", "bn1.bias")
    refused_value(lambda: weights.load(small, tensors | {"bn1.bias": np.zeros(17, "float32")}, "resnet"), "bn1.bias",
                  "(17,)")
    for one, other in zip(before, small.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    second = {"conv1_conv/0": np.zeros((7, 7, 3, 64)), "conv1_conv/1": np.zeros(64)}  # as ResNet50V2 begins
    refused_value(lambda: weights.load(small, second, "resnet"), "another architecture", "no tensor 'conv1_bn/2'",
                  "conv1_conv/0 (7, 7, 3, 64)")
    refused_value(lambda: weights.load(zoo.build("vgg", (32, 32, 3), 7, size="mu"), {
        f"features.{place}.weight": np.zeros((8, 8, 3, 3)) for place in range(13)} | {"classifier.6.bias": np.zeros(7)},
        "vgg"), "another architecture", "13 convolutions and normalisations, and the network has")
    weights.save(small, path := tmp_path / "w.safetensors", "resnet", "torchvision")
    whole = path.read_bytes()
    for content in (whole[:-1000], whole[:4], b"", b"x" * 999):
        path.write_bytes(content)
        refused_value(lambda: weights.load(small, path, "resnet"), "w.safetensors", "damaged")
    refused_value(lambda: files.read(tmp_path / "none.npz"), "no file of weights")


def test_no_pickle_is_loaded(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "touched",))

    for name in ("w.pt", "w.bin", "w.pkl", "w.pth"):
        (tmp_path / name).write_bytes(pickle.dumps(Evil()) * 5)
        refused_value(lambda name=name: files.read(tmp_path / name), name)
    np.savez(tmp_path / "w.npz", a=np.array([Evil()], object))
    refused_value(lambda: files.read(tmp_path / "w.npz"), "w.npz")
    assert not (tmp_path / "touched").exists()


def test_preprocessing_and_epsilon_are_part_of_the_saved_model(tmp_path):
    source = harness.randomise(zoo.build("resnet", (32, 32, 3), 7, size="8"))
    weights.load(source, weights.exported(source, weights.tables_of("resnet")[0]), "resnet")
    mean, deviation = tables.IMAGENET
    x = pixels(32)[:, :, :32]
    scaled = np.asarray(keras.Model(source.input, source.get_layer("scale").output)(x))
    np.testing.assert_allclose(scaled, (x / 255 - mean) / deviation, rtol=1e-4, atol=1e-5)
    source.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(harness.logits(keras.saving.load_model(tmp_path / "m.keras"), x),
                                  harness.logits(source, x))


def test_a_backbone_is_a_trained_network_without_its_head_for_images_of_any_size(tmp_path):
    for name, args, shape in (("vit", {"size": "mu", "patch": 8}, (32, 48, 3)), ("vgg", {"size": "mu"}, (20, 36, 3))):
        whole = harness.randomise(zoo.build(name, (32, 32, 3), 7, **args))
        whole.save(tmp_path / "whole.keras")
        same = weights.backbone(tmp_path / "whole.keras", (32, 32, 3))
        x = pixels(32)[:, :, :32]
        np.testing.assert_array_equal(np.asarray(same(x)["features"]), harness.logits(zoo.features(whole), x))
        other = weights.backbone(tmp_path / "whole.keras", shape)
        assert other(np.zeros((2, *shape)))["features"].shape == same(x)["features"].shape
        for one, another in zip(same.variables, other.variables, strict=True):
            if one.path != "position/table":
                np.testing.assert_array_equal(one, another)
    refused_value(lambda: weights.backbone(tmp_path / "whole.keras", (32, 32, 1)), "3 channels", "(32, 32, 1)")
    refused_value(lambda: weights.backbone(tmp_path / "none.keras", (32, 32, 3)), "There is no file")
    refused_value(lambda: weights.backbone(tmp_path / "w.npz", (32, 32, 3)), "kerasdl weights import")
    flat = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(4, name="features")]
    keras.Sequential(flat).save(tmp_path / "flat.keras")
    refused_value(lambda: weights.backbone(tmp_path / "flat.keras", (9, 8, 3)), "8x8 pixels only")
    keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()]).save(tmp_path / "own.keras")
    refused_value(lambda: weights.backbone(tmp_path / "own.keras", (8, 8, 3)), "no layer named 'features'")


@pytest.mark.parametrize("patches", [False, True])
def test_a_network_of_another_size_normalises_as_before(patches):
    """A Normalization computes with copies of its weights."""
    layers, norm = keras.layers, keras.layers.Normalization(name="norm")
    x = norm(inputs := keras.Input((8, 8, 3)))
    if patches:
        x = layers.Reshape((-1, 2))(layers.Conv2D(2, 4, 4, name="patches")(x))
        x = layers.GlobalAveragePooling1D(name="features")(zoo.module("vit").PositionEmbedding(name="position")(x))
    else:
        x = layers.GlobalAveragePooling2D(name="features")(x)
    set_moments(norm, np.array([100.0, 120, 140]), np.array([900.0, 400, 100]))
    larger, image = bodies.of_model(keras.Model(inputs, x), (16, 8, 3)), np.full((1, 16, 8, 3), 130.0)
    np.testing.assert_allclose(larger.get_layer("norm")(image)[0, 0, 0], [1, 0.5, -1], rtol=1e-6)


COPIES = {"precision": precision.in_float32, "average": average.copy,
          "graph": lambda model: graph.rebuilt(model, graph.same, {}),
          "ensemble": lambda model: ensemble.copy(model, keras.Input((3,)), "member1"),
          "gradients": lambda model: copied_for_gradients(model)}


def copied_for_gradients(model):
    guided = GuidedBackprop(Network(model, "row"))
    guided(np.zeros((1, 3), "float32"), np.zeros(1, "int32"))
    return guided.copy.model


@pytest.mark.parametrize("name", COPIES)
def test_copies_of_a_network_normalise_inside_of_the_models_that_it_calls(name):
    norm = keras.layers.Normalization()
    norm.build((None, 3))
    set_moments(norm, np.array([100.0, 120, 140]), np.array([900.0, 400, 100]))
    inner = keras.Sequential([keras.Input((3,)), norm])
    outer = keras.Sequential([keras.Input((3,)), inner], name="prepare")
    dtype = "mixed_bfloat16" if name == "precision" else "float32"
    last = keras.layers.Activation("linear", dtype=dtype, name="last")
    model = keras.Model(x := keras.Input((3,)), last(outer(x)))
    np.testing.assert_allclose(COPIES[name](model)(np.full((1, 3), 130.0)), [[1, 0.5, -1]], rtol=1e-6)
