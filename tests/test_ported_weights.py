"""Weights from outside: every source's network and ours give the same logits; a mistake in the port does not pass."""

import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import zoo_harness as harness

from kerasdl import zoo
from kerasdl.zoo import weights
from kerasdl.zoo.weights import public
from kerasdl.zoo.weights.choice import tables_of

sys.path.insert(0, str(Path(__file__).parents[1]))
from weights_harness import GOLDEN, LARGE, PORTS, TOLERANCE, golden, images

from benchmarks.golden import CLASSES, drawn, drawn_for_keras, pixels, pixels_of  # noqa: E402


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


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.soak] if name != "vit_hub" else [])
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
    ("vit_timm", {"tensors": qk_swapped}),
    ("vit_timm", {"change": set_everywhere(keras.layers.LayerNormalization, epsilon=1e-5)}),
    ("resnet_torchvision", {"change": padded_on_the_other_side}), ("resnet_torchvision", {"change": transposed}),
    ("resnet_torchvision", {"change": blue_first}),
    *(pytest.param(*case, marks=pytest.mark.soak) for case in [
        ("vit_timm", {"change": tanh_gelu}),
        ("vit_hf", {"tensors": swapped(".q_proj.", ".k_proj.")}),
        ("vit_hf", {"change": set_everywhere(keras.layers.LayerNormalization, epsilon=1e-5)}),
        ("resnet_torchvision", {"change": set_everywhere(keras.layers.BatchNormalization, epsilon=1e-3)}),
        ("resnet_torchvision", {"tensors": swapped("bn1.running_mean", "bn1.bias")}),
        ("convnext_timm", {"change": tanh_gelu})]),
])
def test_mistakes_in_a_port_do_not_pass(name, mutation):
    assert difference(name, sides=1, **mutation) > 2 * TOLERANCE


@pytest.mark.parametrize("name, args", [
    ("mobilenet_torchvision", {"padding": "same"}),
    *(pytest.param(*case, marks=pytest.mark.soak) for case in [
        ("resnet50_torchvision", {"stride_in": "1x1"}), ("inception_torchvision", {"count_zeros": False})])])
def test_a_network_that_the_source_builds_otherwise_takes_no_weights(name, args):
    """All tensors have their names and shapes, so that nothing else would tell."""
    with pytest.raises(ValueError, match="torchvision builds another network than this one"):
        difference(name, sides=1, **args)


@pytest.mark.parametrize("model, args, net, words", [
    ("resnet", {"size": "50"}, "keras", "stride_in='1x1' here"),
    ("resnet", {"size": "50", "stride_in": "1x1"}, "keras_hub", "v1.5"),
    ("resnet", {"size": "18", "stem_stride": 1}, "torchvision", "stem keeps the resolution"),
    ("resnet", {"size": "18", "stem_stride": 1}, "hf", "stem keeps the resolution"),
    ("mobilenet", {"size": "lite0"}, "keras_hub", "padding='both' here"),
    ("mobilenet", {"size": "lite0", "padding": "both"}, "tpu", "padding='same' does here"),
    ("mobilenet", {"size": "v2", "padding": "both"}, "keras", "padding='same' does here"),
    ("inception", {"size": "v3", "count_zeros": True}, "keras", "average pools")])
def test_what_names_do_not_tell_is_refused_in_every_table(model, args, net, words):
    network = zoo.build(model, (96, 96, 3), CLASSES, **args)
    (table,) = (table for table in tables_of(model) if table.source == net)
    assert words in table.refuses(network)


def keys_and_queries_swapped(network):
    layer = network.get_layer("block1_attn")
    query, key = (np.asarray(part.kernel) for part in (layer.query_dense, layer.key_dense))
    layer.query_dense.kernel.assign(key), layer.key_dense.kernel.assign(query)


@pytest.mark.parametrize("name, mutation", [
    ("vit_hub", {"change": tanh_gelu}),
    *(pytest.param(*case, marks=pytest.mark.soak) for case in [
        ("vit_hub", {"change": keys_and_queries_swapped}),
        ("vit_hub", {"change": set_everywhere(keras.layers.LayerNormalization, epsilon=1e-5)}),
        ("resnet_hub", {"change": set_everywhere(keras.layers.BatchNormalization, epsilon=1e-3)}),
        ("resnet_hub", {"change": transposed})])])
def test_mistakes_in_a_port_of_keras_hub_do_not_pass(name, mutation, tmp_path):
    assert hub_difference(name, tmp_path / "of.weights.h5", **mutation) > 2 * TOLERANCE


def test_a_checkpoint_of_google_has_the_logits_that_timm_reads_from_it(tmp_path, monkeypatch):
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
    monkeypatch.setenv("KERASDL_CACHE", str(tmp_path))
    place = public.folder() / public.KNOWN["augreg/ti16"].file
    place.parent.mkdir()
    (tmp_path / "ti16.npz").rename(place)
    network, wanted = zoo.build("vit", (64, 64, 3), CLASSES, size="Ti", weights="augreg/ti16"), logits[64]
    assert np.abs(harness.logits(network, pixels(64)[:, :, :64]) - wanted).max() < TOLERANCE * np.abs(wanted).max()
    with np.load(GOLDEN / "vit_augreg.npz") as held:
        assert 1e-3 < np.abs(found - held["bilinear96"]).max() / np.abs(found).max() < 0.1


def applications(name, shape):
    """A network of keras.applications with random weights, and its tensors."""
    network = getattr(keras.applications, name)(weights=None, input_shape=shape, classes=CLASSES,
                                                classifier_activation=None)
    for weight in network.weights:
        kind = {"kernel": "weight", "moving_variance": "running_var", "gamma": "gamma"}.get(weight.name, weight.name)
        array = drawn(f"{weight.path}.{kind}", weight.shape)
        weight.assign(array * np.sqrt(np.prod(weight.shape[1:]) / np.prod(weight.shape[:-1]))
                      if weight.name == "kernel" else array)
    return network, {f"{layer.name}/{i}": np.asarray(weight) for layer in network.layers
                     for i, weight in enumerate(layer.weights)}


@pytest.mark.parametrize("shape", [(96, 128, 3), pytest.param((128, 96, 3), marks=pytest.mark.soak)])
@pytest.mark.parametrize("name, model, args, prepare", [
    ("MobileNetV2", "mobilenet", {"size": "v2"}, keras.applications.mobilenet_v2.preprocess_input),
    *(pytest.param(*case, marks=pytest.mark.soak) for case in [
        ("ResNet50", "resnet", {"size": "50", "stride_in": "1x1"}, keras.applications.resnet.preprocess_input),
        ("InceptionV3", "inception", {"size": "v3"}, keras.applications.inception_v3.preprocess_input),
        ("ConvNeXtTiny", "convnext", {"size": "T"}, lambda x: x),
        ("VGG16", "vgg", {"size": "16"}, keras.applications.vgg16.preprocess_input)])])
def test_networks_of_keras_applications(name, model, args, prepare, shape):
    theirs, tensors = applications(name, shape if model != "vgg" else (224, 224, 3))  # whose head takes one size
    ours = zoo.build(model, theirs.input_shape[1:], CLASSES, **args)
    weights.load(ours, tensors, model)
    side = theirs.input_shape[1]
    x = pixels(side)[:, :, :theirs.input_shape[2]]
    expected = harness.logits(theirs, prepare(x.astype("float32")))
    assert np.abs(harness.logits(ours, x) - expected).max() < TOLERANCE * np.abs(expected).max()
