"""Weights from outside: every source's network and ours give the same logits; a mistake in the port does not pass."""

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
from kerasdl.zoo import weights
from kerasdl.zoo.weights import files, tables, vit

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.golden import CLASSES, drawn, drawn_for_keras, pixels, pixels_of  # noqa: E402

GOLDEN = Path(__file__).parent / "golden"
TOLERANCE = 1e-5
PORTS = {  # golden file -> model, arguments
    "vit_timm": ("vit", {"size": "Ti"}), "vit_hf": ("vit", {"size": "Ti"}),
    "resnet_torchvision": ("resnet", {"size": "18"}), "resnet_hf": ("resnet", {"size": "18"}),
    "resnet50_torchvision": ("resnet", {"size": "50"}),
    "convnext_timm": ("convnext", {"size": "Atto"}), "convnext_torchvision": ("convnext", {"size": "T"}),
    "mobilenet_torchvision": ("mobilenet", {"size": "v2", "padding": "both"}),
    "mobilenet_timm": ("mobilenet", {"size": "lite0", "padding": "both"}),
    "googlenet_torchvision": ("inception", {"size": "googlenet_norm"}),
    "inception_torchvision": ("inception", {"size": "v3", "count_zeros": True}),
    "alexnet_torchvision": ("alexnet", {"size": "2014"}), "vgg_torchvision": ("vgg", {"size": "11"}),
    "vgg_bn_torchvision": ("vgg", {"size": "11", "norm": True}),
}
LARGE = {"resnet_hf", "vit_hf", "mobilenet_timm", "resnet50_torchvision", "convnext_torchvision",
         "googlenet_torchvision", "inception_torchvision", "alexnet_torchvision", "vgg_torchvision",
         "vgg_bn_torchvision"}  # run with --soak


def golden(name):
    """Return the tensors of a source, and {side: logits} of its network."""
    with np.load(GOLDEN / f"{name}.npz") as held:
        shapes = {line.partition(":")[0]: tuple(map(int, filter(None, line.partition(":")[2].split(","))))
                  for line in held["names"].tolist()}
        logits = {int(key.removeprefix("logits")): held[key] for key in held if key.startswith("logits")}
    return {tensor: drawn(tensor, shape) for tensor, shape in shapes.items()}, logits


def hub_file(name, path):
    """Write the .weights.h5 file of a network of KerasHub, and return {(height, width): logits} of it."""
    with np.load(GOLDEN / f"{name}.npz") as held, h5py.File(path, "w") as file:
        for line in held["names"].tolist():
            dataset, _, own = line.partition("|")
            own, _, shape = own.partition(":")
            shape = tuple(map(int, shape.split(",")))
            file.create_dataset(dataset, data=drawn_for_keras(dataset, shape)).parent.attrs["name"] = own
        file.create_dataset("optimizer/vars/0", data=3).parent.attrs["name"] = "adam"
        return {tuple(map(int, key.removeprefix("logits").split("x"))): held[key]
                for key in held if key.startswith("logits")}


def images(side, model):
    return pixels(side)[:, :, :side] if model == "vit" else pixels(side)


def difference(name, tensors=None, change=lambda network: None, sides=2, **more):
    """Return the largest relative difference of logits, over some image sizes, after a change to the network."""
    model, args = PORTS[name]
    held, expected = golden(name)
    worst = 0.0
    for side, wanted in list(expected.items())[:sides]:
        x = images(side, model)
        network = zoo.build(model, x.shape[1:], CLASSES, **{**args, **more})
        loaded = weights.load(network, held if tensors is None else tensors(held), model)
        assert not loaded.replaced and not loaded.resized
        change(network)
        worst = max(worst, np.abs(harness.logits(network, x) - wanted).max() / np.abs(wanted).max())
    return worst


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.soak] if name in LARGE else [])
                                  for name in PORTS])
def test_logits_are_those_of_the_source(name):
    assert difference(name) < TOLERANCE


HUB = {  # golden file -> model, arguments
    "vit_hub": ("vit", {"size": "Ti"}), "vit_hub_wide": ("vit", {"size": "Ti"}),
    "resnet_hub": ("resnet", {"size": "18"}), "resnet50_hub": ("resnet", {"size": "50"}),
    "mobilenet_hub": ("mobilenet", {"size": "lite0", "padding": "both"}), "vgg_hub": ("vgg", {"size": "11"}),
}


def hub_difference(name, file, change=lambda network: None, **more):
    """Return the largest relative difference of logits to those of KerasHub, after a change to the network."""
    expected, (model, args), worst = hub_file(name, file), HUB[name], 0.0
    for size, wanted in expected.items():
        network = zoo.build(model, (*size, 3), CLASSES, **{**args, **more}, weights=str(file))
        change(network)
        worst = max(worst, np.abs(harness.logits(network, pixels_of(size)) - wanted).max() / np.abs(wanted).max())
    return worst


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.soak] if not name.startswith("vit") else [])
                                  for name in HUB])
def test_logits_are_those_of_keras_hub(name, tmp_path):
    assert hub_difference(name, tmp_path / "of.weights.h5") < TOLERANCE


def test_a_preset_of_keras_hub_is_a_folder(tmp_path):
    """Its network and its head are files of their own, the first without a prefix."""
    whole = tmp_path / "whole.weights.h5"
    (expected,) = hub_file("vit_hub", whole).values()
    (preset := tmp_path / "preset").mkdir()
    with h5py.File(whole) as file:
        for name, prefix in (("model", "layers/vi_t_backbone"), ("task", "layers/dense")):
            with h5py.File(preset / f"{name}.weights.h5", "w") as part:
                file.copy(prefix, part, name="layers/dense") if name == "task" else \
                    [file.copy(f"{prefix}/layers/{layer}", part, name=f"layers/{layer}")
                     for layer in file[f"{prefix}/layers"]]
    (preset / "config.json").write_text("{}")
    for path in (preset, preset / "model.weights.h5"):
        network = zoo.build("vit", (64, 64, 3), CLASSES, size="Ti", weights=str(path))
        assert np.abs(harness.logits(network, pixels_of((64, 64))) - expected).max() < TOLERANCE * expected.max()


def swapped(one, other):
    """Exchange two tensors wherever their names differ by that."""
    def change(tensors):
        return {name.replace(one, "\0").replace(other, one).replace("\0", other): array
                for name, array in tensors.items()}
    return change


def qk_swapped(tensors):
    """Exchange queries and keys in timm's one map."""
    return {name: np.concatenate([*np.split(array, 3)[1::-1], np.split(array, 3)[2]]) if ".qkv." in name else array
            for name, array in tensors.items()}


def set_everywhere(kind, **values):
    def change(network):
        for layer in network.layers:
            if isinstance(layer, kind):
                for key, value in values.items():
                    setattr(layer, key, value)
    return change


def padded_on_the_other_side(network):
    for layer in network.layers:
        if isinstance(layer, keras.layers.ZeroPadding2D):
            size = sum(layer.padding[0])
            layer.padding = ((0, size), (0, size))


def blue_first(network):
    layer = network.get_layer("stem_conv")
    layer.kernel.assign(np.asarray(layer.kernel)[:, :, ::-1])


def transposed(network):
    """Transpose a square kernel, whose shape says nothing."""
    layer = next(layer for layer in network.layers if layer.name.endswith("conv2"))
    layer.kernel.assign(np.asarray(layer.kernel).transpose(0, 1, 3, 2))


def tanh_gelu(network):
    for layer in network.layers:
        if getattr(layer, "activation", None) is zoo.module("vit").gelu:
            layer.activation = lambda x: keras.activations.gelu(x, approximate=True)


@pytest.mark.parametrize("name, mutation", [
    ("vit_timm", {"tensors": qk_swapped}), ("vit_timm", {"change": tanh_gelu}),
    ("vit_timm", {"change": set_everywhere(keras.layers.LayerNormalization, epsilon=1e-5)}),
    ("resnet_torchvision", {"change": transposed}), ("resnet_torchvision", {"change": padded_on_the_other_side}),
    ("resnet_torchvision", {"change": blue_first}),
    *(pytest.param(*case, marks=pytest.mark.soak) for case in [
        ("vit_hf", {"tensors": swapped(".q_proj.", ".k_proj.")}),
        ("vit_hf", {"change": set_everywhere(keras.layers.LayerNormalization, epsilon=1e-5)}),
        ("resnet_torchvision", {"change": set_everywhere(keras.layers.BatchNormalization, epsilon=1e-3)}),
        ("resnet_torchvision", {"tensors": swapped("bn1.running_mean", "bn1.bias")}),
        ("convnext_timm", {"change": tanh_gelu}), ("mobilenet_torchvision", {"padding": "same"}),
        ("resnet50_torchvision", {"stride_in": "1x1"}), ("inception_torchvision", {"count_zeros": False})]),
])
def test_mistakes_in_a_port_do_not_pass(name, mutation):
    assert difference(name, sides=1, **mutation) > 2 * TOLERANCE


def keys_and_queries_swapped(network):
    layer = network.get_layer("block1_attn")
    query, key = (np.asarray(part.kernel) for part in (layer.query_dense, layer.key_dense))
    layer.query_dense.kernel.assign(key), layer.key_dense.kernel.assign(query)


@pytest.mark.parametrize("name, mutation", [
    ("vit_hub", {"change": keys_and_queries_swapped}), ("vit_hub", {"change": tanh_gelu}),
    ("vit_hub", {"change": set_everywhere(keras.layers.LayerNormalization, epsilon=1e-5)}),
    *(pytest.param(*case, marks=pytest.mark.soak) for case in [
        ("resnet_hub", {"change": set_everywhere(keras.layers.BatchNormalization, epsilon=1e-3)}),
        ("resnet_hub", {"change": transposed}), ("resnet50_hub", {"stride_in": "1x1"}),
        ("mobilenet_hub", {"padding": "same"})])])
def test_mistakes_in_a_port_of_keras_hub_do_not_pass(name, mutation, tmp_path):
    assert hub_difference(name, tmp_path / "of.weights.h5", **mutation) > 2 * TOLERANCE


def test_a_checkpoint_of_google_has_the_logits_that_timm_reads_from_it(tmp_path):
    """timm resizes the positions for another grid as we do; a .npz file itself, as Google does, bilinearly."""
    tensors, logits = golden("vit_augreg")
    np.savez(tmp_path / "ti16.npz", **tensors, **{"pre_logits/bias": np.zeros(3)})
    for side, wanted in logits.items():
        network, x = zoo.build("vit", (side, side, 3), CLASSES, size="Ti"), pixels(side)[:, :, :side]
        assert weights.load(network, tmp_path / "ti16.npz", "vit").resized == (side == 96)
        found = harness.logits(network, x)
        assert np.abs(found - wanted).max() < TOLERANCE * np.abs(wanted).max()
        for change in (keys_and_queries_swapped, tanh_gelu):
            change(network)
            assert np.abs(harness.logits(network, x) - wanted).max() > 2 * TOLERANCE * np.abs(wanted).max()
    with np.load(GOLDEN / "vit_augreg.npz") as held:
        assert 1e-3 < np.abs(found - held["bilinear96"]).max() / np.abs(found).max() < 0.1


def applications(name):
    """A network of keras.applications with random weights, and its tensors."""
    shape = (96, 128, 3) if name != "VGG16" else (224, 224, 3)
    network = getattr(keras.applications, name)(weights=None, input_shape=shape, classes=CLASSES,
                                                classifier_activation=None)
    for weight in network.weights:
        kind = {"kernel": "weight", "moving_variance": "running_var", "gamma": "gamma"}.get(weight.name, weight.name)
        array = drawn(f"{weight.path}.{kind}", weight.shape)
        weight.assign(array * np.sqrt(np.prod(weight.shape[1:]) / np.prod(weight.shape[:-1]))
                      if weight.name == "kernel" else array)
    return network, {f"{layer.name}/{i}": np.asarray(weight) for layer in network.layers
                     for i, weight in enumerate(layer.weights)}


@pytest.mark.parametrize("name, model, args, prepare", [
    *(pytest.param(*case, marks=pytest.mark.soak) for case in [
        ("MobileNetV2", "mobilenet", {"size": "v2"}, keras.applications.mobilenet_v2.preprocess_input),
        ("ResNet50", "resnet", {"size": "50", "stride_in": "1x1"}, keras.applications.resnet.preprocess_input),
        ("InceptionV3", "inception", {"size": "v3"}, keras.applications.inception_v3.preprocess_input),
        ("ConvNeXtTiny", "convnext", {"size": "T"}, lambda x: x),
        ("VGG16", "vgg", {"size": "16"}, keras.applications.vgg16.preprocess_input)])])
def test_networks_of_keras_applications(name, model, args, prepare):
    theirs, tensors = applications(name)
    ours = zoo.build(model, theirs.input_shape[1:], CLASSES, **args)
    weights.load(ours, tensors, model)
    side = theirs.input_shape[1]
    x = pixels(side)[:, :, :theirs.input_shape[2]]
    expected = harness.logits(theirs, prepare(x.astype("float32")))
    assert np.abs(harness.logits(ours, x) - expected).max() < TOLERANCE * np.abs(expected).max()


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
    pytest.param("alexnet", {"size": "2014"}, 3, marks=pytest.mark.soak), ("convnext", {"size": "Atto"}, 3),
    ("mobilenet", {"size": "mu", "padding": "both"}, 3)])
def test_what_is_written_is_read_again_with_its_preprocessing(model, args, channels, tmp_path):
    """Weights, epsilons and the scaling of pixels are the network's own, and not those that are usual for the names."""
    shape = (64, 64, channels)
    network = harness.randomise(zoo.build(model, shape, 7, **args))
    for source in weights.sources(model):
        weights.save(network, file := tmp_path / "w.safetensors", model, source)
        again = zoo.build(model, shape, 7, **args, weights=str(file))
        x = harness.pictures(2, shape)
        np.testing.assert_array_equal(harness.logits(again, x), harness.logits(network, x))
        for one, other in zip(network.variables, again.variables, strict=True):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other), err_msg=one.path)


@pytest.mark.parametrize("model, args, source, words", [
    ("vit", {"size": "mu", "patch": 8, "pool": "mean"}, "hf", "pool='token'"),
    ("resnet", {"size": "50", "stride_in": "1x1"}, "torchvision", "in those of 3x3"),
    ("mobilenet", {"size": "mu"}, "timm", "padding='both'"), ("vit", {"size": "mu", "patch": 8}, "torchvision",
                                                              "Expected one of: hf, timm."),
    ("inception", {"size": "cifar"}, None, "size='v3' or"), ("cct", {"size": "mu"}, None, "'cct'")])
def test_a_network_that_the_source_builds_otherwise_is_not_written(model, args, source, words, tmp_path):
    network = zoo.build(model, (32, 32, 3), 7, **args)
    refused_value(lambda: weights.save(network, tmp_path / "w.safetensors", model, source), words)
    assert not (tmp_path / "w.safetensors").exists()


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


def test_a_file_of_another_network_and_one_that_is_cut_are_refused(tmp_path):
    small, deep = (zoo.build("resnet", (32, 32, 3), 7, size=size) for size in ("18", "50"))
    before = [np.asarray(variable) for variable in small.variables]
    table = weights.tables_of("resnet")[0]
    tensors = weights.exported(small, table)
    refused_value(lambda: weights.load(deep, tensors, "resnet"), "stage1_block1")
    refused_value(lambda: weights.load(zoo.build("vit", (32, 32, 3), 7, size="mu", patch=8), tensors, "vit"),
                  "not of vit", "conv1.weight", "resnet (torchvision)")
    refused_value(lambda: weights.load(small, tensors | {"more": np.zeros(3)}, "resnet"), "'more'", "1 tensor")
    refused_value(lambda: weights.load(small, {k: v for k, v in tensors.items() if k != "bn1.bias"}, "resnet"),
                  "stem_norm/beta", "bn1.bias")
    refused_value(lambda: weights.load(small, tensors | {"bn1.bias": np.zeros(65, "float32")}, "resnet"), "bn1.bias",
                  "(65,)")
    for one, other in zip(before, small.variables, strict=True):
        np.testing.assert_array_equal(one, other)
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
    source = harness.randomise(zoo.build("resnet", (32, 32, 3), 7, size="18"))
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
