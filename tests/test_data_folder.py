"""Folders of images: a folder a class, every kind of file, mistakes named."""

import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf
from data_harness import PARTS, RNG, gather, refused

from kerasdl import Recipe
from kerasdl.data import image_files, load, load_splits
from kerasdl.data.sources import folder as folders
from kerasdl.data.sources import load_for
from kerasdl.data.split import check_same
from kerasdl.errors import DataError, UserError
from kerasdl.train import setup


def picture(path, shape=(8, 8, 3), encode=tf.io.encode_png):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = RNG.integers(0, 256, shape).astype("uint8")
    path.write_bytes(encode(image).numpy())
    return image


def read_images(paths, shape, resize=False):
    """Image files as a model of this shape takes them; the first that cannot be read is raised."""
    found = list(folders.read_files(paths, {"shape": shape}, resize=resize))
    for fault in (fault for chunk in found for fault in chunk.faults):
        raise DataError(fault.why)
    return np.concatenate([chunk.x for chunk in found])


@pytest.fixture
def pets(tmp_path):
    """Two classes of twenty pictures; gives {class: the pictures in the order of their names}."""
    return {name: np.stack([picture(tmp_path / "pets" / name / f"{i:02}.png") for i in range(20)])
            for name in ("cat", "dog")}


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


def test_a_class_may_be_called_as_a_part_is(tmp_path):
    for name in ("bus", "train", "valid", "invalid"):
        for index in range(10):
            picture(tmp_path / "one" / name / f"{index}.png")
            picture(tmp_path / "two/training" / name / f"{index}.png")
    assert load(f"folder:{tmp_path}/one").classes == load(f"folder:{tmp_path}/two").classes \
        == ("bus", "invalid", "train", "valid")
    for part in ("val", "validation"):
        picture(tmp_path / "two" / part / "bus" / "0.png")
    refused(lambda: load(f"folder:{tmp_path}/two"), "two folders for val", "'val' and 'validation'")


def test_a_grey_file_does_not_make_colours_grey(pets, tmp_path):
    picture(tmp_path / "pets/cat/00.png", (8, 8, 1))
    train = load(f"folder:{tmp_path}/pets")
    assert train.shape == (8, 8, 3)
    assert {image.tobytes() for image in pets["dog"]} & {image.tobytes() for image in train.x}


def test_a_picture_that_cannot_be_read_is_not_left_out(pets, tmp_path):
    (tmp_path / "pets/dog/00.png").rename(tmp_path / "pets/dog/00.heic")
    refused(lambda: load(f"folder:{tmp_path}/pets"), "00.heic", "1 such file", ".png")


def test_what_systems_put_beside_pictures_is_none(pets, tmp_path):
    parts = load_splits(f"folder:{tmp_path}/pets", PARTS)
    for place in ("cat/.thumbnails/00.png", "dog/.ipynb_checkpoints/00.png", "dog/inner/.x/00.png", "__MACOSX/00.png"):
        picture(tmp_path / "pets" / place)
    (tmp_path / "pets/cat/._00.png").write_bytes(b"of another system")
    again = load_splits(f"folder:{tmp_path}/pets", PARTS)
    for name in PARTS:
        np.testing.assert_array_equal(again[name].x, parts[name].x)


@pytest.mark.parametrize("memory", [0, image_files.MEMORY])
def test_a_name_that_is_not_utf8(pets, tmp_path, monkeypatch, memory):
    """As of a Windows archive unpacked on Linux."""
    (tmp_path / "pets/cat/00.png").rename(os.fsdecode(os.fsencode(tmp_path / "pets/cat/") + b"/caf\xe9.png"))
    monkeypatch.setattr(image_files, "MEMORY", memory)
    parts = load_splits(f"folder:{tmp_path}/pets", PARTS)
    seen = np.concatenate([part.sample(len(part)) for part in parts.values()])
    assert {image.tobytes() for image in seen} == {image.tobytes() for image in np.concatenate(list(pets.values()))}


def test_what_a_layer_adapts_to_is_of_every_class(pets, tmp_path):
    train = load(f"folder:{tmp_path}/pets")
    cats = sum(any((image == cat).all() for cat in pets["cat"]) for image in train.sample(8))
    assert cats == 4
    mixed = dataclasses.replace(train, y=train.y[::-1])
    np.testing.assert_array_equal(mixed.sample(8), train.x[:8])


@pytest.mark.parametrize("memory", [0, image_files.MEMORY])
def test_images_without_labels(tmp_path, monkeypatch, memory):
    """Where no labels are needed: a heap of images, and folders for the parts."""
    monkeypatch.setattr(image_files, "MEMORY", memory)
    made = [picture(tmp_path / "heap" / ("deep" if index > 15 else "") / f"{index:02}.png") for index in range(20)]
    source = f"folder:{tmp_path}/heap"
    parts = load_splits(source, PARTS, target=None)
    assert {name: len(part) for name, part in parts.items()} == {"train": 14, "val": 2, "test": 4}
    assert all(part.y is None and part.target is None and part.classes == () for part in parts.values())
    seen = np.concatenate([part.sample(len(part)) for part in parts.values()])
    assert sorted(map(bytes, seen)) == sorted(map(bytes, made))
    refused(lambda: load(source), "1 class folder", "an objective that needs no labels".capitalize())
    (tmp_path / "heap").rename(tmp_path / "train")
    for name in ("val", "test"):
        picture(tmp_path / name / "0.png")
    three = load_splits(f"folder:{tmp_path}", PARTS, target=None)
    assert {name: len(part) for name, part in three.items()} == {"train": 20, "val": 1, "test": 1}
    before = three["train"].fingerprint()
    (tmp_path / "train/00.png").write_bytes((tmp_path / "train/01.png").read_bytes() + b"more")
    assert load(f"folder:{tmp_path}", target=None).fingerprint() != before
    other = load_for(three["train"].describe(), f"folder:{tmp_path}/train", "all", target=None)
    assert len(other) == 20 and other.y is None


def test_labels_that_are_not_needed_are_kept(pets, tmp_path):
    one, other = (load(f"folder:{tmp_path}/pets", target=target) for target in ("class", None))
    np.testing.assert_array_equal(one.y, other.y)
    assert one.fingerprint() == other.fingerprint() and other.target == "class"
    refused(lambda: load(f"folder:{tmp_path}/pets", target="number"), "csv:PATH")


def test_classes_that_nobody_learns_may_have_no_image_or_one_and_differ_between_parts(pets, tmp_path):
    """Such as albums."""
    picture(tmp_path / "pets/hamster/1.png")
    (tmp_path / "pets/empty").mkdir()
    parts = load_splits(f"folder:{tmp_path}/pets", PARTS, target=None)
    assert sum(map(len, parts.values())) == 41 and parts["train"].classes == ("cat", "dog", "hamster")
    for place in ("train/a", "train/b", "test/c", "test/d"):
        for index in range(10):
            picture(tmp_path / "albums" / place / f"{index}.png")
    parts = load_splits(f"folder:{tmp_path}/albums", PARTS, target=None)
    assert {name: len(part) for name, part in parts.items()} == {"train": 18, "val": 2, "test": 20}
    refused(lambda: load(f"folder:{tmp_path}/albums"), "The class", "is in")
    refused(lambda: load(f"folder:{tmp_path}/pets"), "empty has no images")


def test_errors_of_reading_are_of_one_type(tmp_path):
    for name in (f"folder:{tmp_path}/none", f"csv:{tmp_path}/none.csv", "digtis"):
        with pytest.raises(DataError):
            load(name)
    assert issubclass(DataError, UserError) and DataError.code == 2
    refused(lambda: load(f"floder:{tmp_path}"), "'floder'", "'folder'")


def test_a_split_is_known_again(pets, tmp_path):
    source = f"folder:{tmp_path}/pets"
    before = {name: part.fingerprint() for name, part in load_splits(source, PARTS).items()}
    assert before == {name: part.fingerprint() for name, part in load_splits(source, PARTS).items()}
    picture = tmp_path / "pets/cat/00.png"
    picture.write_bytes((tmp_path / "pets/dog/00.png").read_bytes() + b"more")
    assert before != {name: part.fingerprint() for name, part in load_splits(source, PARTS).items()}
    picture.rename(tmp_path / "pets/dog/99.png")
    assert not set(before.values()) & {part.fingerprint() for part in load_splits(source, PARTS).values()}


def test_classes_that_differ_between_parts(tmp_path):
    for path in ("train/cat", "train/dog", "test/cat"):
        picture(tmp_path / path / "1.png")
    refused(lambda: load(f"folder:{tmp_path}"), "'dog'", f"{tmp_path}/train", "not in test")
    picture(tmp_path / "test/dog/1.png")
    picture(tmp_path / "test/cow/1.png")
    refused(lambda: load(f"folder:{tmp_path}"), "'cow'", f"{tmp_path}/test", "not in train")
    (tmp_path / "train").rename(tmp_path / "tarin")
    refused(lambda: load(f"folder:{tmp_path}"), "'test'", "no folder 'train'")


def test_a_part_of_another_folder_has_the_classes_and_channels_of_the_model(pets, tmp_path):
    train = load(f"folder:{tmp_path}/pets")
    own = load(f"folder:{tmp_path}/pets", "test")
    same = folders.read_for(train.describe(), f"{tmp_path}/pets", "test")
    assert same.fingerprint() == own.fingerprint()
    np.testing.assert_array_equal(same.x, own.x)
    for index in range(12):
        picture(tmp_path / f"grey/dog/{index}.png", (8, 8, 1))
    grey = folders.read_for(train.describe(), f"{tmp_path}/grey", "test")
    check_same(grey, train.describe(), "grey")
    assert grey.y.tolist() == [1, 1, 1] and (grey.x == grey.x[..., :1]).all()
    for path in ("train/cat", "train/dog", "test/cat"):
        for index in range(1 if path == "test/cat" else 6):
            picture(tmp_path / "parts" / path / f"{index}.png")
    assert folders.read_for(train.describe(), f"{tmp_path}/parts", "test").y.tolist() == [0]
    picture(tmp_path / "parts/train/cow/1.png")
    refused(lambda: folders.read_for(train.describe(), f"{tmp_path}/parts", "test"), "does not know 'cow'")
    some = folders.read_for(train.describe(), f"{tmp_path}/parts", "test", classes=["cat", "dog"])
    assert some.classes == ("cat", "dog") and len(some) == 1
    refused(lambda: folders.read_for(train.describe(), f"{tmp_path}/pets", "half"), "train, val, test, all")


def test_folder_mistakes(pets, tmp_path):
    source = f"folder:{tmp_path}/pets"
    refused(lambda: load(f"folder:{tmp_path}/none"), f"{tmp_path}/none", "folder:PATH")
    (tmp_path / "alone").mkdir()
    picture(tmp_path / "alone/cat/1.png")
    refused(lambda: load(f"folder:{tmp_path}/alone"), "1 class folder", "two")
    picture(tmp_path / "pets/dog/99.png", (9, 7, 3))
    refused(lambda: load(source), "dog/99.png", "9x7", "8x8", "image_size=(H, W)")
    (tmp_path / "pets/dog/99.png").write_bytes((tmp_path / "pets/dog/01.png").read_bytes()[:40])
    refused(lambda: load(source), "dog/99.png", "decode")
    (tmp_path / "pets/dog/99.png").write_bytes(b"")
    refused(lambda: load(source), "dog/99.png", "decode")
    (tmp_path / "pets/dog/99.png").unlink()
    (tmp_path / "pets/cow").mkdir()
    refused(lambda: load(source), "pets/cow", "no images", ".png")
    refused(lambda: read_images([tmp_path / "pets/dog/01.png"], (8, 8, 4)), "4 channels", "predict(run, x)")


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
    monkeypatch.setattr(image_files, "LOOKS", 1)  # as if they were too many to look at
    held = load_splits(f"folder:{mixed}", PARTS, image_size=(6, 7))
    monkeypatch.setattr(image_files, "MEMORY", 0)
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
    as_colour = read_images(names, (8, 8, 3))
    share = alpha[..., 3:] / 255
    over_white = alpha[..., :3] * share + 255 * (1 - share)
    np.testing.assert_allclose(as_colour[2].astype(float), over_white, atol=1)
    np.testing.assert_array_equal(as_colour[[0, 1, 3]], [np.repeat(grey, 3, 2), colour, bmp])
    as_grey = read_images(names, (8, 8, 1))
    np.testing.assert_array_equal(as_grey[0], grey)
    np.testing.assert_allclose(as_grey[1, ..., 0], colour @ [0.299, 0.587, 0.114], atol=1)
    assert read_images(names, (4, 5, 3), resize=True).shape == (4, 4, 5, 3)
    refused(lambda: read_images(names, (4, 5, 3)), "grey.png", "8x8", "4x5", "--resize")
    refused(lambda: read_images([tmp_path / "none.png"], (8, 8, 3)), "none.png")


def test_first_frame_of_a_gif(tmp_path):
    image = np.repeat(np.arange(64, dtype="uint8").reshape(8, 8, 1) * 4, 3, axis=2)
    (tmp_path / "x.gif").write_bytes(encode_gif(image).numpy())
    np.testing.assert_allclose(read_images([tmp_path / "x.gif"], (8, 8, 3))[0], image, atol=4)


@pytest.mark.parametrize("damage, size, words", [
    ("cut", (8, 8), ["9.png", "does not decode"]),
    pytest.param("other", None, ["9.png", "6x6", "image_size"], marks=pytest.mark.soak)])
def test_a_file_that_is_wrong_and_only_decoded_when_its_turn_comes_is_named(tmp_path, monkeypatch, damage, size, words):
    """As in a set that is larger than memory, of which none but the first file is seen before training."""
    from kerasdl.train.fit import train

    for name in ("cat", "dog"):
        for index in range(10, 40):
            picture(tmp_path / "all" / name / f"{index}.png", (8, 8, 1))
    broken = tmp_path / "all" / "dog" / "9.png"
    picture(broken, (6, 6, 1) if damage == "other" else (8, 8, 1))
    if damage == "cut":
        broken.write_bytes(broken.read_bytes()[:60])
    monkeypatch.setattr(image_files, "MEMORY", 0)
    args = {"image_size": size} if size else {}
    settings = {"data": f"folder:{tmp_path}/all", "data_args": args, "splits": {}, "batch": 8, "epochs": 1,
                "augment": (), "verbose": False}
    refused(lambda: train("linear_digits", **settings, workdir=tmp_path / "run"), *words)
    whitened = Recipe(model="cnn", model_args={"size": "M", "whitened": True}, data="digits")  # looks at pictures
    monkeypatch.setattr(setup, "ADAPT", 10**9)
    refused(lambda: train(whitened, **settings, workdir=tmp_path / "white"), *words)
