"""Data from every source: the parts that belong together, nothing shared, nothing guessed, mistakes named."""

import os
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from kerasdl.data import folders, from_arrays, load, load_splits, named, tables
from kerasdl.data.digits import Digits
from kerasdl.errors import UserError

PARTS = {"train": "train", "val": "val", "test": "test"}
RNG = np.random.default_rng(0)


def refused(call, *words):
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def rows(split):
    """Each example as bytes, with its label: what two parts must not share."""
    return [(row.tobytes(), int(label)) for row, label in zip(split.x, split.y, strict=True)]


# digits


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


# Sets of tensorflow-datasets


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
        assert streamed[name].y is None and len(streamed[name]) == len(held[name])
        for _ in range(2):
            images, labels = zip(*streamed[name].x.as_numpy_iterator(), strict=True)
            np.testing.assert_array_equal(np.stack(images), held[name].x)
            np.testing.assert_array_equal(np.stack(labels), held[name].y)
        assert streamed[name].describe() == held[name].describe() and streamed[name].outputs == 3


def test_sets_that_are_not_of_classified_images(monkeypatch, sizes):
    for keys in (None, ("label", "image"), ("image", "image")):
        info = SimpleNamespace(features=sizes.info.features, supervised_keys=keys)
        monkeypatch.setattr(named, "_prepared", lambda name, info=info: SimpleNamespace(info=info))
        refused(lambda: load("sizes", image_size=4), "not an image-classification set")


def test_names_that_do_not_exist(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(named, "_online", lambda: False)
    refused(lambda: load("mnsit"), "'mnsit'", "'mnist'", "csv:PATH")
    refused(lambda: load("cifar100"), "cifar100 is not on disk", str(tmp_path / "data"), "TFDS_DATA_DIR", "no network")
    refused(lambda: load("digits", image_szie=4), "image_szie", "image_size")
    refused(lambda: load("digits", target="number"), "digits", "csv:PATH")


# CSV


@pytest.fixture
def csv(tmp_path):
    """Writes a frame, or text, to a CSV and gives its name as data."""

    def write(frame, name="rows.csv"):
        path = tmp_path / name
        path.write_text(frame) if isinstance(frame, str) else frame.to_csv(path, index=False)
        return f"csv:{path}"

    return write


@pytest.fixture
def frame():
    n = 200
    return pd.DataFrame({"size": np.arange(n) / 2, "colour": np.resize(["red", "green", "blue"], n),
                         "ripe": np.resize([True, False], n), "id": [f"apple {i}" for i in range(n)],
                         "price": np.arange(n) * 1.5, "kind": np.resize(["good", "bad"], n)})


def test_rows_become_numbers_and_one_hot_categories(csv, frame):
    parts = load_splits(csv(frame), PARTS, label="kind", drop=["id", "price"])
    assert {name: len(part) for name, part in parts.items()} == {"train": 140, "val": 20, "test": 40}
    train = parts["train"]
    assert train.classes == ("bad", "good") and train.shape == 5 and train.x.dtype == np.float32
    assert train.columns == {"size": None, "colour": ["blue", "green", "red"], "ripe": None}
    every = np.concatenate([part.x for part in parts.values()])
    every, labels = every[order := np.argsort(every[:, 0])], np.concatenate([part.y for part in parts.values()])
    np.testing.assert_array_equal(every[:, 0], frame["size"])
    for column, name in enumerate(["blue", "green", "red"], 1):
        np.testing.assert_array_equal(every[:, column], frame.colour == name)
    np.testing.assert_array_equal(every[:, 4], frame.ripe)
    np.testing.assert_array_equal(np.array(train.classes)[labels[order]], frame.kind)
    for part in parts.values():
        assert abs(part.y.mean() - 0.5) < 0.03
    again = load(csv(frame), "val", label="kind", drop=["id", "price"])
    np.testing.assert_array_equal(again.x, parts["val"].x)


def test_a_number_to_predict(csv, frame):
    train = load(csv(frame), label="price", drop="id", target="number")
    assert train.y.shape == (140, 1) and train.classes == () and train.outputs == 1
    np.testing.assert_allclose(train.y[:, 0], train.x[:, 0] * 3)


def test_a_file_of_its_own_for_test(csv, frame, tmp_path):
    source, test = csv(frame.iloc[:150], "train.csv"), csv(frame.iloc[150:, ::-1], "test.csv").removeprefix("csv:")
    parts = load_splits(source, PARTS, label="kind", drop="id", test=test)
    assert {name: len(part) for name, part in parts.items()} == {"train": 135, "val": 15, "test": 50}
    np.testing.assert_array_equal(parts["test"].x[:, 0], frame["size"][150:])
    assert parts["test"].columns == parts["train"].columns
    csv(frame.iloc[150:].drop(columns="colour"), "test.csv")
    refused(lambda: load(source, label="kind", drop="id", test=test), "test.csv", "'colour'", "train.csv")
    csv(frame.iloc[150:].assign(kind="rotten"), "test.csv")
    refused(lambda: load(source, label="kind", drop="id", test=test), "test.csv", "'rotten'", "train.csv")
    csv(frame.iloc[150:].assign(size=["heavy", *range(49)]), "test.csv")
    refused(lambda: load(source, label="kind", drop="id", test=test), "'size'", "row 2 of", "test.csv", "'heavy'")


def test_missing_values(csv, frame):
    frame = frame.drop(columns=["id", "price"])
    frame.loc[[3, 8, 11], "size"], frame.loc[[5], "colour"] = np.nan, None
    refused(lambda: load(csv(frame), label="kind"), "'size'", "3 missing values", "200 rows", "fill=median")
    refused(lambda: load(csv(frame), label="kind", drop="size"), "'colour'", "1 missing value in")
    refused(lambda: load(csv(frame), label="kind", fill="mean"), "'median'", "'mean'")
    parts = load_splits(csv(frame), PARTS, label="kind", fill="median")
    assert parts["train"].columns["colour"] == ["blue", "green", "red", "(missing)"]
    every = np.concatenate([part.x for part in parts.values()])
    assert every[:, 4].sum() == 1 and np.isfinite(every).all()


def test_what_is_missing_is_filled_with_the_median_of_train_alone(csv, frame):
    frame = frame.drop(columns=["id", "price", "colour"])
    test = csv(frame.iloc[150:].assign(size=np.nan), "test.csv").removeprefix("csv:")
    parts = load_splits(csv(frame.iloc[:150], "train.csv"), PARTS, label="kind", fill="median", test=test)
    assert set(parts["test"].x[:, 0]) == {np.median(parts["train"].x[:, 0])}
    assert np.median(parts["train"].x[:, 0]) != np.median(frame["size"][:150])


@pytest.mark.parametrize("text, args, words", [
    ("a,kind\n1,x\n2,y\n", {}, ["label=COLUMN", "a, kind"]),
    ("a,kind\n1,x\n2,y\n", {"label": "knid"}, ["'knid'", "'kind'"]),
    ("a,kind\n1,x\n2,y\n", {"label": "kind", "drop": "b"}, ["'b'", "to drop"]),
    ("a,kind\n1,x\n2,y\n", {"label": "kind", "drop": ["kind"]}, ["'kind'", "dropped"]),
    ("a,kind\n1,x\n2,y\n", {"label": "kind"}, ["2 examples", "10"]),
    ("a,kind\n1,x\n2,x\n", {"label": "kind"}, ["one class only", "'x'"]),
    ("a,kind\n1,x\n2,\n", {"label": "kind"}, ["label column 'kind'", "1 of 2 rows"]),
    ("kind\nx\ny\n", {"label": "kind"}, ["no column but the label"]),
    ("a,kind\n", {"label": "kind"}, ["no rows"]),
    ("", {"label": "kind"}, ["not a CSV"]),
    ("a,kind\n1,x\n2,y,3\n", {"label": "kind"}, ["not a CSV"]),
    ("a,kind\n" + "1,x\n2,y\n" * 9 + "1 kg,x\n", {"label": "kind"}, ["'a'", "row 20", "'1 kg'", "1 such value"]),
    ("a,kind\n" + "1,x\n2,y\n" * 9 + "inf,x\n", {"label": "kind"}, ["'a'", "infinite"]),
    ("a,kind\n" + "".join(f"n {i},{i % 2}\n" for i in range(20)), {"label": "kind"}, ["20 different", "drop='a'"]),
    ("a,kind\n" + "".join(f"{i},{i / 2}\n" for i in range(20)), {"label": "kind"}, ["'kind'", "objective=regress"]),
    ("a,kind\n" + "".join(f"{i},{i}\n" for i in range(200)), {"label": "kind"}, ["200 different", "objective=regress"]),
    ("a,kind\n" + "1,2\n3,many\n" * 9, {"label": "kind", "target": "number"}, ["'kind'", "row 3", "'many'"]),
])
def test_csv_mistakes(csv, text, args, words):
    refused(lambda: load(csv(text), **args), *words)


def test_csv_that_is_not_there_or_not_text(tmp_path, csv, frame):
    refused(lambda: load("csv:none.csv", label="kind"), "none.csv", "csv:PATH")
    (tmp_path / "picture.csv").write_bytes(bytes(range(256)))
    refused(lambda: load(f"csv:{tmp_path}/picture.csv", label="kind"), "not a CSV")
    refused(lambda: load(csv(frame), "valid", label="kind", drop="id"), "train, val, test", "'valid'")


def test_rows_to_predict(csv, frame):
    columns = {"size": None, "colour": ["blue", "green", "red"]}

    def read(new):
        return tables.read_rows(csv(new).removeprefix("csv:"), columns)

    np.testing.assert_array_equal(read(frame.iloc[:2, ::-1]), [[0, 0, 0, 1], [0.5, 0, 1, 0]])
    refused(lambda: read(frame.drop(columns="size")), "'size' is missing", "size, colour")
    refused(lambda: read(frame.assign(colour="blu")), "'colour'", "'blu'", "'blue'")
    refused(lambda: read(frame.assign(size="big")), "'size'", "row 2", "'big'")
    refused(lambda: read(frame.assign(size=np.nan)), "'size'", "200 missing")


# Folders


def picture(path, shape=(8, 8, 3), encode=tf.io.encode_png):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = RNG.integers(0, 256, shape).astype("uint8")
    path.write_bytes(encode(image).numpy())
    return image


@pytest.fixture
def pets(tmp_path):
    """Two classes of twenty pictures; gives {class: the pictures in the order of their names}."""
    return {name: np.stack([picture(tmp_path / "pets" / name / f"{i:02}.png") for i in range(20)])
            for name in ("cat", "dog")}


def gather(parts):
    """All examples of all parts, sorted, with their classes' names."""
    return sorted((row, part.classes[label]) for part in parts.values() for row, label in rows(part))


def test_a_folder_a_class(pets, tmp_path):
    picture(tmp_path / "pets/.hidden/x.png")
    (tmp_path / "pets/cat/notes.txt").write_text("not a picture, and not named as one")
    parts = load_splits(f"folder:{tmp_path}/pets", PARTS)
    assert {name: len(part) for name, part in parts.items()} == {"train": 28, "val": 4, "test": 8}
    val = parts["val"]
    assert val.classes == ("cat", "dog") and val.shape == (8, 8, 3) and val.x.dtype == np.uint8
    assert gather(parts) == sorted((row.tobytes(), name) for name, images in pets.items() for row in images)
    assert {name: part.y.sum() for name, part in parts.items()} == {"train": 14, "val": 2, "test": 4}


def test_folders_of_parts(tmp_path):
    for part, count in (("train", 12), ("test", 3)):
        for name in ("cat", "dog"):
            for index in range(count):
                picture(tmp_path / part / name / "inner" / f"{index}.png")
    parts = load_splits(f"folder:{tmp_path}", PARTS)
    assert {name: len(part) for name, part in parts.items()} == {"train": 21, "val": 3, "test": 6}
    for name in ("cat", "dog"):
        for index in range(2):
            picture(tmp_path / "validation" / name / f"{index}.png")
    three = load_splits(f"folder:{tmp_path}", PARTS)
    assert {name: len(part) for name, part in three.items()} == {"train": 24, "val": 4, "test": 6}
    np.testing.assert_array_equal(three["test"].x, parts["test"].x)
    for file in (tmp_path / "test").rglob("*.png"):
        file.unlink()
    refused(lambda: load(f"folder:{tmp_path}"), "test/cat", "no images")
    (tmp_path / "test").rename(tmp_path / ".test")
    two = load_splits(f"folder:{tmp_path}", PARTS)
    assert {name: len(part) for name, part in two.items()} == {"train": 19, "val": 4, "test": 5}
    np.testing.assert_array_equal(two["val"].x, three["val"].x)


def test_classes_that_differ_between_parts(tmp_path):
    for path in ("train/cat", "train/dog", "test/cat"):
        picture(tmp_path / path / "1.png")
    refused(lambda: load(f"folder:{tmp_path}"), "'dog'", f"{tmp_path}/train", "not in test")
    picture(tmp_path / "test/dog/1.png")
    picture(tmp_path / "test/cow/1.png")
    refused(lambda: load(f"folder:{tmp_path}"), "'cow'", f"{tmp_path}/test", "not in train")
    (tmp_path / "train").rename(tmp_path / "tarin")
    refused(lambda: load(f"folder:{tmp_path}"), "'test'", "no folder 'train'")


def test_folder_mistakes(pets, tmp_path):
    source = f"folder:{tmp_path}/pets"
    refused(lambda: load(f"folder:{tmp_path}/none"), f"{tmp_path}/none", "folder:PATH")
    refused(lambda: load(f"folder:{tmp_path}"), "1 class folder", "two")
    picture(tmp_path / "pets/dog/99.png", (9, 7, 3))
    refused(lambda: load(source), "dog/99.png", "9x7", "8x8", "image_size=(H, W)")
    (tmp_path / "pets/dog/99.png").write_bytes((tmp_path / "pets/dog/01.png").read_bytes()[:40])
    refused(lambda: load(source), "dog/99.png", "decode")
    (tmp_path / "pets/dog/99.png").write_bytes(b"")
    refused(lambda: load(source), "dog/99.png", "decode")
    (tmp_path / "pets/dog/99.png").unlink()
    (tmp_path / "pets/cow").mkdir()
    refused(lambda: load(source), "pets/cow", "no images", ".png")


def encode_bmp(image):
    """A BMP of 24 bits a pixel, or 8: TensorFlow can read one but not write it."""
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(file, "bmp")
    return tf.constant(file.getvalue())


def encode_gif(image):
    import io

    from PIL import Image

    file = io.BytesIO()
    frames = [Image.fromarray(image).quantize(256), Image.fromarray(255 - image).quantize(256)]
    frames[0].save(file, "gif", save_all=True, append_images=frames[1:])
    return tf.constant(file.getvalue())


@pytest.fixture
def mixed(tmp_path):
    """Every format, grey and colour, two sizes; the first file, by name, decides on grey or colour."""
    for name in ("cat", "dog"):
        for index in range(3):
            picture(tmp_path / "mixed" / name / f"{index}colour.png")
            picture(tmp_path / "mixed" / name / f"{index}grey.png", (8, 8, 1))
            picture(tmp_path / "mixed" / name / f"{index}alpha.png", (8, 8, 4))
            picture(tmp_path / "mixed" / name / f"{index}greyalpha.png", (8, 8, 2))
            picture(tmp_path / "mixed" / name / f"{index}.JPG", (10, 6, 3), tf.io.encode_jpeg)
            picture(tmp_path / "mixed" / name / f"{index}grey.jpeg", (8, 8, 1), tf.io.encode_jpeg)
            picture(tmp_path / "mixed" / name / f"{index}.bmp", (8, 8, 3), encode_bmp)
            picture(tmp_path / "mixed" / name / f"{index}.gif", (8, 8, 3), encode_gif)
    return tmp_path / "mixed"


@pytest.mark.parametrize("channels", [1, 3])
def test_decoding_while_training_gives_what_memory_holds(mixed, monkeypatch, channels):
    picture(mixed / "cat" / "+first.png", (8, 8, channels))
    held = load_splits(f"folder:{mixed}", PARTS, image_size=(6, 7))
    monkeypatch.setattr(folders, "MEMORY", 0)
    read = load_splits(f"folder:{mixed}", PARTS, image_size=(6, 7))
    assert sum(map(len, held.values())) == 49
    for name in PARTS:
        assert held[name].shape == read[name].shape == (6, 7, channels)
        np.testing.assert_array_equal(read[name].y, held[name].y)
        files = tf.data.Dataset.from_tensor_slices(read[name].x).map(read[name].decode)  # in a graph, as training does
        np.testing.assert_array_equal(np.stack(list(files.as_numpy_iterator())), held[name].x)


def test_what_a_file_becomes(tmp_path):
    grey, colour = picture(tmp_path / "grey.png", (8, 8, 1)), picture(tmp_path / "colour.png")
    alpha, bmp = picture(tmp_path / "alpha.png", (8, 8, 4)), picture(tmp_path / "x.bmp", (8, 8, 3), encode_bmp)
    names = [tmp_path / name for name in ("grey.png", "colour.png", "alpha.png", "x.bmp")]
    as_colour = folders.read_images(names, (8, 8, 3))
    np.testing.assert_array_equal(as_colour, [np.repeat(grey, 3, 2), colour, alpha[..., :3], bmp])
    as_grey = folders.read_images(names, (8, 8, 1))
    np.testing.assert_array_equal(as_grey[0], grey)
    np.testing.assert_allclose(as_grey[1, ..., 0], colour @ [0.299, 0.587, 0.114], atol=1)
    assert folders.read_images(names, (4, 5, 3), resize=True).shape == (4, 4, 5, 3)
    refused(lambda: folders.read_images(names, (4, 5, 3)), "grey.png", "8x8", "4x5", "--resize")
    refused(lambda: folders.read_images([tmp_path / "none.png"], (8, 8, 3)), "none.png")


def test_first_frame_of_a_gif(tmp_path):
    image = np.repeat(np.arange(64, dtype="uint8").reshape(8, 8, 1) * 4, 3, axis=2)
    (tmp_path / "x.gif").write_bytes(encode_gif(image).numpy())
    np.testing.assert_allclose(folders.read_images([tmp_path / "x.gif"], (8, 8, 3))[0], image, atol=4)


# Arrays

IMAGES, LABELS = RNG.integers(0, 256, (60, 5, 4)).astype("uint8"), np.resize([0, 1, 2], 60)


def test_arrays():
    parts = from_arrays(IMAGES, LABELS)
    assert {name: len(part) for name, part in parts.items()} == {"train": 42, "val": 6, "test": 12}
    assert parts["train"].shape == (5, 4, 1) and parts["train"].classes == ("0", "1", "2")
    assert gather(parts) == sorted((row.tobytes(), str(label)) for row, label in zip(IMAGES, LABELS, strict=True))
    named_classes = from_arrays(IMAGES, LABELS, classes=["a", "b", "c"])["test"]
    assert named_classes.classes == ("a", "b", "c")
    np.testing.assert_array_equal(named_classes.y, parts["test"].y)
    words = from_arrays(IMAGES.astype("float64"), np.array(["x", "y", "z"])[LABELS])["val"]
    assert words.classes == ("x", "y", "z") and words.x.dtype == np.uint8
    np.testing.assert_array_equal(words.x, parts["val"].x)


def test_arrays_with_a_test_set():
    parts = from_arrays(IMAGES[:40], LABELS[:40], test=(IMAGES[40:], LABELS[40:]))
    assert {name: len(part) for name, part in parts.items()} == {"train": 36, "val": 4, "test": 20}
    np.testing.assert_array_equal(parts["test"].x[..., 0], IMAGES[40:])
    np.testing.assert_array_equal(parts["test"].y, LABELS[40:])


def test_arrays_of_rows_and_numbers():
    x, y = RNG.normal(size=(50, 3)), RNG.normal(size=(50, 2))
    train = from_arrays(x, y, target="number")["train"]
    assert train.shape == 3 and train.outputs == 2 and train.classes == () and train.y.dtype == np.float32
    assert from_arrays(x, y[:, 0], target="number")["train"].y.shape == (35, 1)
    assert from_arrays(x, LABELS[:50])["train"].shape == 3


@pytest.mark.parametrize("x, y, args, words", [
    (IMAGES / 255, LABELS, {}, ["0..1", "multiply them by 255"]),
    (IMAGES.astype(int) - 300, LABELS, {}, ["0..255"]),
    (IMAGES, LABELS[:59], {}, ["60", "59", "length"]),
    (IMAGES[:0], LABELS[:0], {}, ["empty"]),
    (IMAGES[:9], LABELS[:9], {}, ["9 examples", "10"]),
    (np.where(IMAGES > 250, np.nan, IMAGES), LABELS, {}, ["NaN", "of 60 examples"]),
    (np.full((60, 2), np.inf), LABELS, {}, ["infinite", "60"]),
    (IMAGES.astype(str), LABELS, {}, ["numbers"]),
    (IMAGES[:, 0, 0], LABELS, {}, ["(N, H, W, C)", "(60,)"]),
    (IMAGES, np.zeros(60, int), {}, ["one class only", "'0'"]),
    (IMAGES, np.eye(3)[LABELS], {}, ["(N,)", "(60, 3)"]),
    (IMAGES, LABELS, {"classes": ["a", "b"]}, ["0..1", "2 classes", "0..2"]),
    (IMAGES, LABELS.astype(str), {"classes": ["a", "b", "c"]}, ["0..2", "'0'"]),
    (IMAGES, np.zeros(60, int), {"classes": ["a"]}, ["1 name", "two"]),
    (IMAGES, np.where(LABELS, LABELS, np.nan), {}, ["y", "NaN", "20 of 60"]),
    (IMAGES, np.where(LABELS, LABELS, np.nan), {"target": "number"}, ["y", "NaN"]),
    (IMAGES, LABELS.astype(str), {"target": "number"}, ["y", "numbers"]),
    (IMAGES, LABELS, {"test": (IMAGES[:20, :2], LABELS[:20])}, ["test", "(20, 2, 4)"]),
    (IMAGES, LABELS, {"test": (IMAGES[:20], LABELS[:19])}, ["20", "19", "length"]),
])
def test_arrays_that_are_refused(x, y, args, words):
    refused(lambda: from_arrays(x, y, **args), *words)


def test_a_split_is_a_dataset_for_plain_keras():
    test = load("digits", "test")
    images, labels = zip(*test.dataset(batch=100).as_numpy_iterator(), strict=True)
    assert [len(batch) for batch in images] == [100, 100, 100, 60]
    np.testing.assert_array_equal(np.concatenate(images), test.x)
    np.testing.assert_array_equal(np.concatenate(labels), test.y)
