"""What gives the answer away: copies of training examples, exact and near, and labels that contradict each other."""

import io

import numpy as np
import pytest
from data_harness import PARTS
from PIL import Image
from sklearn import datasets

from kerasdl.data import duplicates, from_arrays, leaks, load_splits
from kerasdl.errors import DataError

RNG = np.random.default_rng(1)


def scene(side=64):
    """An image with the spectrum of photographs: much of it coarse, some of it fine, little of it colour."""
    total = np.zeros((side, side, 3))
    for size in [size for size in (3, 6, 12, 24, 48) if size <= side / 2]:
        for strength in (np.ones(3), *0.3 * np.eye(3)):
            coarse = Image.fromarray(RNG.normal(0, 1 / size, (size, size)).astype("float32"))
            total += strength * np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))[..., None]
    return np.clip(128 + 220 * total, 0, 255).astype("uint8")


def as_jpeg(image, quality=60):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def at_half_size(image):
    small = Image.fromarray(image).resize((image.shape[1] // 2, image.shape[0] // 2), Image.Resampling.BICUBIC)
    return np.asarray(small.resize(image.shape[1::-1], Image.Resampling.BICUBIC))


CHANGES = {
    "jpeg": as_jpeg,
    "brighter": lambda image: np.clip(image.astype(int) + 5, 0, 255).astype("uint8"),
    "darker": lambda image: (image * 0.8).astype("uint8"),
    "moved right": lambda image: np.pad(image, ((0, 0), (1, 0), (0, 0)), "edge")[:, :-1],
    "moved up": lambda image: np.pad(image, ((0, 1), (0, 0), (0, 0)), "edge")[1:],
    "smaller and back": at_half_size,
    "noise": lambda image: np.clip(image + RNG.normal(0, 4, image.shape), 0, 255).astype("uint8"),
}


def split(images, labels=None):
    return from_arrays(np.stack(images), np.arange(len(images)) % 2 if labels is None else labels)


def about(found):
    """The splits that are remarked."""
    return [name for name in ("val", "test") if any(f"of {name} " in line for line in found)]


@pytest.mark.parametrize("side, name", [(side, name) for side in (32, 80) for name in CHANGES
                                        if side > 32 or name not in ("smaller and back", "jpeg")])  # too few are left
def test_near_copies_are_remarked(side, name):
    change = CHANGES[name]
    train, test = ([scene(side) for _ in range(30)] for _ in range(2))
    copies = [change(image) for image in train[:20]]
    parts = from_arrays(np.stack(train), np.arange(30) % 2, test=(np.stack(copies + test[:10]), np.arange(30) % 2))
    (line,) = leaks.remarks(parts)
    assert "images of test look like an image of train" in line
    assert leaks.remarks(split(train + test)) == []


def test_frames_of_a_film_are_remarked_where_they_are_divided_at_random():
    views = [scene(160) for _ in range(4)]
    frames = [view[time:time + 96, 2 * time // 3:2 * time // 3 + 96] for view in views for time in range(30)]
    assert about(leaks.remarks(split(frames))) == ["val", "test"]


@pytest.mark.parametrize("colours", [[(200, 0, 0), (0, 200, 0)], [(0, 0, 200), (200, 200, 0)],
                                     [(90, 0, 0), (0, 0, 90)]])
def test_shapes_of_another_colour_are_no_copies(colours):
    """A hash in grey would say so: the classes differ in nothing but colour."""
    shapes = RNG.integers(0, 2, (120, 6, 6, 1)).repeat(6, 1).repeat(6, 2)
    train = shapes * np.array(colours[0])
    test = shapes * np.array(colours[1])
    found = duplicates.near(train.astype("uint8"), duplicates.thumbnails(train.astype("uint8")), test.astype("uint8"))
    assert not found.any()


def test_flat_images_are_no_near_copies():
    flat = np.full((40, 32, 32, 3), 0, "uint8") + np.arange(40, dtype="uint8")[:, None, None, None]
    assert not duplicates.near(flat, duplicates.thumbnails(flat), flat + 50).any()


@pytest.mark.parametrize("shape, dtype", [((8, 8, 1), "uint8"), ((5, 5, 3), "uint8"), ((80, 80, 3), "uint8"),
                                          ((7,), "float32"), ((2000,), "float32"), ((30, 4), "float32")])
def test_equal_examples_are_found_whatever_their_size(shape, dtype):
    train = RNG.integers(0, 256, (50, *shape)).astype(dtype)
    other = RNG.integers(0, 256, (30, *shape)).astype(dtype)
    other[[3, 9, 29]] = train[[0, 0, 49]]
    found = duplicates.copied(duplicates.keys(train), train, duplicates.keys(other), other)
    assert np.flatnonzero(found).tolist() == [3, 9, 29]


def test_large_examples_that_differ_where_the_key_does_not_look_are_not_equal():
    train = RNG.integers(0, 256, (10, 100, 100, 3), "uint8")
    other = train.copy()
    other[:, 5, 50] += 1
    assert (duplicates.keys(train) == duplicates.keys(other)).all()
    assert not duplicates.copied(duplicates.keys(train), train, duplicates.keys(other), other).any()
    assert not duplicates.contradicted(duplicates.keys(np.concatenate([train, other])), np.concatenate([train, other]),
                                       np.repeat([0, 1], 10)).any()


def test_images_with_two_labels_are_remarked():
    images = [scene() for _ in range(100)]
    again = split(images + images[:20], np.r_[np.arange(100) % 2, (np.arange(20) + 1) % 2])
    assert any("there again with another class" in line for line in leaks.remarks(again))
    same = split(images + images[:20], np.r_[np.arange(100) % 2, np.arange(20) % 2])
    assert not any("another class" in line for line in leaks.remarks(same))


def table(tmp_path, **columns):
    """A CSV file of these columns and a label that has nothing to do with them."""
    labels = RNG.permutation(np.resize(["yes", "no"], len(next(iter(columns.values())))))
    lines = zip(*columns.values(), labels, strict=True)
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([",".join([*columns, "label"]), *(",".join(map(str, line)) for line in lines)]))
    return load_splits(f"csv:{path}", PARTS, label="label")


def test_rows_that_repeat_because_their_columns_have_few_values_are_no_copies(tmp_path):
    def words(count):
        return RNG.choice(["a", "b", "c", "d"][:count], 400)

    assert leaks.remarks(table(tmp_path, p=words(3), q=words(3), r=words(2))) == []
    assert leaks.remarks(table(tmp_path, p=words(4), q=words(4), r=words(4), s=RNG.integers(0, 2, 400))) == []
    assert leaks.remarks(table(tmp_path, age=RNG.integers(20, 30, 400), q=words(4))) == []


def test_copies_of_measured_rows_are_remarked(tmp_path):
    def often(values):
        return np.repeat(values, 10)

    flowers = datasets.load_iris().data
    for columns in ({"p": RNG.normal(size=40).round(3), "q": RNG.normal(size=40).round(2)},
                    {"p": RNG.normal(size=40).round(1), "q": RNG.choice(["a", "b"], 40),
                     "r": RNG.normal(size=40).round(2), "s": RNG.normal(size=40).round(1)},
                    dict(zip("pqrs", flowers.T, strict=True)),
                    {"height": RNG.integers(100, 2000, 40), "weight": RNG.integers(30, 3000, 40)}):
        found = leaks.remarks(table(tmp_path, **{name: often(values) for name, values in columns.items()}))
        assert about(found) == ["val", "test"], columns


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_copies_among_files_that_are_decoded_as_they_are_used_are_remarked(tmp_path, monkeypatch, suffix):
    from kerasdl.data import image_files

    monkeypatch.setattr(image_files, "MEMORY", 0)
    for times in (1, 4):
        for name in ("a", "b"):
            (tmp_path / str(times) / name).mkdir(parents=True)
            for index in range(15):
                image = Image.fromarray(scene(40))
                for copy in range(times):
                    image.save(tmp_path / f"{times}/{name}/{index}_{copy}.{suffix}")
    assert leaks.remarks(load_splits(f"folder:{tmp_path}/1", PARTS)) == []
    lines = leaks.remarks(load_splits(f"folder:{tmp_path}/4", PARTS))
    assert about(lines) == ["val", "test"] and all("files of" in line for line in lines)


@pytest.mark.parametrize("augmented", [False, True])
def test_a_folder_in_which_every_image_is_there_ten_times_is_remarked(tmp_path, augmented):
    changes = list(CHANGES.values()) if augmented else [lambda image: image]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(6):
            image = scene(80)
            for copy in range(10):
                Image.fromarray(changes[copy % len(changes)](image)).save(tmp_path / f"{name}/{index}_{copy}.png")
    assert "test" in about(leaks.remarks(load_splits(f"folder:{tmp_path}", PARTS)))


@pytest.mark.soak
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_no_false_alarm_on_the_standard_sets_and_planted_copies_are_found(name):
    try:
        parts = load_splits(name, PARTS)
    except DataError as missing:
        pytest.skip(str(missing))
    assert leaks.remarks(parts) == []
    train = parts["train"]
    for change in ("jpeg", "brighter", "moved up", "noise"):
        images = duplicates.spread(train.x, 8000)
        copies = [CHANGES[change](image.squeeze() if change == "jpeg" else image) for image in images[:400]]
        found = duplicates.near(images, duplicates.thumbnails(images), np.stack(copies).reshape(400, *train.shape))
        assert found.mean() > leaks.NEAR[1], change
