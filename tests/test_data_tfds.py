"""Digits and the sets of tensorflow-datasets: the parts that belong together, nothing shared, mistakes named."""

import os
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow_datasets as tfds
from data_harness import PARTS, refused, rows

from kerasdl.data import load, load_splits
from kerasdl.data.sources import tfds as named
from kerasdl.data.sources.digits import Digits


def test_digits_parts():
    splits = load_splits("digits", PARTS)
    assert {name: len(split) for name, split in splits.items()} == {"train": 1257, "val": 180, "test": 360}
    every = np.concatenate([split.x for split in splits.values()])
    assert every.dtype == np.uint8 and every.shape == (1797, 8, 8, 1) and every.min() == 0 and every.max() == 255
    counts = np.bincount(np.concatenate([split.y for split in splits.values()]))
    for split in splits.values():
        assert split.classes == tuple("0123456789") and split.shape == (8, 8, 1)
        np.testing.assert_allclose(np.bincount(split.y) / len(split), counts / 1797, atol=0.02)


def test_digits_parts_share_no_image_and_lose_none():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = np.rint(images * 255 / 16).astype("uint8")
    found = [row for split in load_splits("digits", PARTS).values() for row in rows(split)]
    assert sorted(found) == sorted((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))


def test_digits_is_a_builder_that_tfds_reads():
    load("digits")
    folder = next(folder for folder in named.data_dirs() if (folder / "digits").is_dir())
    builder = tfds.builder_from_directory(next((folder / "digits").glob("*.*.*")))
    assert builder.info.features["label"].num_classes == 10
    theirs = tfds.as_numpy(tfds.load("digits", data_dir=folder, split="test", as_supervised=True))
    assert sorted((image.tobytes(), int(label)) for image, label in theirs) == sorted(rows(load("digits", "test")))
    assert isinstance(Digits(data_dir=folder), tfds.core.DatasetBuilder)


@pytest.mark.parametrize("own, expected", [
    (("train", "test"), ("train[:90%]", "train[90%:]", "test")),
    (("train", "validation", "test"), ("train", "validation", "test")),
    (("train", "validation"), ("train[:90%]", "train[90%:]", "validation")),
    (("train",), ("train[:70%]", "train[70%:80%]", "train[80%:]")),
    (("train", "test", "extra"), ("train[:90%]", "train[90%:]", "test")),
])
def test_canonical_parts_never_overlap(own, expected):
    plan = named.canonical(own)
    assert plan == dict(zip(("train", "val", "test"), expected, strict=True))
    for size in (10, 11, 57, 60_000):
        infos = tfds.core.splits.SplitDict([
            tfds.core.SplitInfo(name=name, shard_lengths=[size], num_bytes=0) for name in own])
        read = tfds.core.ReadInstruction.from_spec
        places = {name: {(part.splitname, index) for part in read(text).to_absolute(infos)
                         for index in named._range(part, infos)} for name, text in plan.items()}
        assert all(places.values())
        assert not any(one & other for one, other in combinations(places.values(), 2))
        if "test" in own:
            assert not any(place[0] == "test" for name in ("train", "val") for place in places[name])


def test_overlap_is_refused_and_expressions_are_literal():
    refused(lambda: load_splits("digits", {"train": "train", "val": "train[90%:]"}), "train", "val", "share 126")
    refused(lambda: load_splits("digits", {"train": "train+test", "test": "test"}), "share 360")
    refused(lambda: load("digits", "tset"), "'tset'", "train, val, test", "validation")
    refused(lambda: load("digits", "train[5:5]"), "empty")
    assert len(load("digits", "train[:]")) == len(load("digits", "train"))
    half, rest = load("digits", "train[:50%]"), load("digits", "train[50%:]")
    np.testing.assert_array_equal(np.concatenate([half.x, rest.x]), load("digits", "train").x)
    both = load("digits", "train+test")
    np.testing.assert_array_equal(both.y, np.concatenate([load("digits", "train").y, load("digits", "test").y]))


def test_mnist_parts():
    if not (Path(os.environ.get("TFDS_DATA_DIR", "")) / "mnist").is_dir():
        pytest.skip("no mnist: set TFDS_DATA_DIR to a folder that has it")
    splits = load_splits("mnist", {"val": "val", "test": "test"})
    assert {name: len(split) for name, split in splits.items()} == {"val": 6_000, "test": 10_000}
    last = load("mnist", "train[54000:]")
    np.testing.assert_array_equal(splits["val"].x, last.x)


class Sizes(tfds.core.GeneratorBasedBuilder):
    """Pictures of different sizes in several files, as a set with which streaming can be told from memory."""

    VERSION = tfds.core.Version("1.0.0")
    NAME = "sizes"

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict({
                "image": tfds.features.Image(shape=(None, None, 3)), "label": tfds.features.ClassLabel(num_classes=3)}),
            supervised_keys=("image", "label"))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(90), "test": self._generate_examples(20)}

    def _generate_examples(self, count):
        rng = np.random.default_rng(count)
        for index in range(count):
            shape = (*rng.integers(4, 12, 2), 3)
            yield index, {"image": rng.integers(0, 256, shape).astype("uint8"), "label": index % 3}


@pytest.fixture
def sizes(tmp_path, monkeypatch):
    builder = Sizes(data_dir=tmp_path)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(num_shards=3))
    monkeypatch.setattr(named, "_prepared", lambda name: builder)
    return builder


def test_pictures_of_different_sizes_need_a_size(sizes):
    refused(lambda: load("sizes"), "differ in size", "image_size=(H, W)")
    refused(lambda: load("sizes", image_size=(4, 4, 3)), "(height, width)", "(4, 4, 3)")
    refused(lambda: load("sizes", image_size="4x4"), "(height, width)", "'4x4'")
    assert load("sizes", image_size=[6, 4]).x.shape == (81, 6, 4, 3)
    assert load("sizes", image_size=6).shape == (6, 6, 3)


def test_a_set_larger_than_memory_is_streamed_with_the_same_examples_in_the_same_order(sizes, monkeypatch):
    held = load_splits("sizes", PARTS, image_size=(6, 6))
    monkeypatch.setattr(named, "MEMORY", 100)
    streamed = load_splits("sizes", PARTS, image_size=(6, 6))
    for name in PARTS:
        assert streamed[name].streamed and not held[name].streamed and streamed[name].target == "class"
        assert streamed[name].y is None and len(streamed[name]) == len(held[name])
        for _ in range(2):
            images, labels = zip(*streamed[name].x.as_numpy_iterator(), strict=True)
            np.testing.assert_array_equal(np.stack(images), held[name].x)
            np.testing.assert_array_equal(np.stack(labels), held[name].y)
        assert streamed[name].describe() == held[name].describe() and streamed[name].outputs == 3


class Contest(Sizes):
    """A test part whose labels its authors keep, which tfds has as -1."""

    NAME = "contest"

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(90), "validation": self._generate_examples(30),
                "test": ((key, example | {"label": -1}) for key, example in self._generate_examples(20))}


@pytest.mark.parametrize("memory", [0, named.MEMORY])
def test_a_test_part_without_labels_is_none(tmp_path, monkeypatch, memory):
    builder = Contest(data_dir=tmp_path)
    builder.download_and_prepare()
    monkeypatch.setattr(named, "_prepared", lambda name: builder)
    monkeypatch.setattr(named, "MEMORY", memory)
    parts = load_splits("contest", PARTS, image_size=6)
    assert {name: len(part) for name, part in parts.items()} == {"train": 81, "val": 9, "test": 30}
    refused(lambda: load_splits("contest", {"test": "test[:10]"}, image_size=6), "'test[:10]'", "no labels",
            "splits.test")
    for name, part in parts.items():
        assert len(load("contest", name, image_size=6)) == len(part)


class Unlabelled(Sizes):
    """Images and nothing else to learn."""

    NAME = "unlabelled"

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(
            {"image": tfds.features.Image(shape=(None, None, 3)), "source": tfds.features.Text()}))

    def _generate_examples(self, count):
        for index, example in super()._generate_examples(count):
            yield index, {"image": example["image"], "source": "camera"}


def test_a_set_without_labels(tmp_path, monkeypatch):
    builder = Unlabelled(data_dir=tmp_path)
    builder.download_and_prepare()
    monkeypatch.setattr(named, "_prepared", lambda name: builder)
    refused(lambda: load("unlabelled", image_size=6), "not an image-classification set")
    held = load_splits("unlabelled", PARTS, image_size=6, target=None)
    assert {name: (len(part), part.y, part.target) for name, part in held.items()} == {
        "train": (81, None, None), "val": (9, None, None), "test": (20, None, None)}
    monkeypatch.setattr(named, "MEMORY", 100)
    streamed = load_splits("unlabelled", PARTS, image_size=6, target=None)
    for name, part in streamed.items():
        assert part.streamed and not held[name].streamed and part.describe() == held[name].describe()
        np.testing.assert_array_equal(part.sample(100), held[name].x)
        examples, labels = part.take(np.array([5, 2]))
        np.testing.assert_array_equal(examples, held[name].x[[5, 2]])
        assert labels is None


def test_sets_that_are_not_of_classified_images(monkeypatch, sizes):
    for keys in (None, ("label", "image"), ("image", "image")):
        info = SimpleNamespace(features=sizes.info.features, supervised_keys=keys)
        monkeypatch.setattr(named, "_prepared", lambda name, info=info: SimpleNamespace(info=info))
        refused(lambda: load("sizes", image_size=4), "not an image-classification set")


def test_where_data_is_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", "~/data")
    assert named.data_dirs() == [tmp_path / "data", tmp_path / "tensorflow_datasets"]
    monkeypatch.setenv("TFDS_DATA_DIR", "gs://bucket/data")
    refused(lambda: load("digits"), "gs://bucket/data", "a folder of this machine")


def test_a_disk_that_is_full_when_digits_is_prepared(monkeypatch, tmp_path):
    """tfds raises another error for it than Python does."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))

    def full(self, **_):
        raise RuntimeError("OutOfRangeError: Failed to finalize writing")

    monkeypatch.setattr(Digits, "download_and_prepare", full)
    refused(lambda: load("digits"), str(tmp_path), "Failed to finalize writing", "Set TFDS_DATA_DIR")


def test_names_that_do_not_exist(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(named, "_online", lambda: False)
    refused(lambda: load("mnsit"), "'mnsit'", "'mnist'", "csv:PATH")
    refused(lambda: load("cifar100"), "cifar100 is not on disk", str(tmp_path / "data"), "TFDS_DATA_DIR", "no network")
    refused(lambda: load("digits", image_szie=4), "image_szie", "image_size")
    refused(lambda: load("digits", target="number"), "digits", "csv:PATH")
