"""Arrays of a program as data, and every split as a data set for plain Keras."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from data_harness import RNG, gather, refused

from kerasdl.data import from_arrays, load
from kerasdl.data.divide import divide
from kerasdl.data.spec import Feature, recorded_kind
from kerasdl.data.split import check_same
from kerasdl.errors import UserError
from kerasdl.train.fit import train

IMAGES, LABELS = RNG.integers(0, 256, (60, 5, 4)).astype("uint8"), np.resize([0, 1, 2], 60)
LOST = divide(LABELS, None)["test"][0]  # where one example of a class is carved into the test part


def test_arrays():
    parts = from_arrays(IMAGES, LABELS)
    assert {name: len(part) for name, part in parts.items()} == {"train": 42, "val": 6, "test": 12}
    assert parts["train"].shape == (5, 4, 1) and parts["train"].classes == ("0", "1", "2")
    assert gather(parts) == sorted((row.tobytes(), str(label)) for row, label in zip(IMAGES, LABELS, strict=True))
    named_classes = from_arrays(IMAGES, LABELS, classes=["a", "b", "c"])["test"]
    assert named_classes.classes == ("a", "b", "c")
    np.testing.assert_array_equal(named_classes.y, parts["test"].y)
    words = from_arrays(IMAGES.astype("float64"), np.array(["x", "y", "z"])[LABELS], kind="image")["val"]
    assert words.classes == ("x", "y", "z") and words.x.dtype == np.uint8
    np.testing.assert_array_equal(words.x, parts["val"].x)


NUMBERS = RNG.normal(100, 30, (60, 5, 4)).clip(2, 255)  # that could be grey images, and are not


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint16"])
def test_three_axes_are_a_sequence_and_keep_their_numbers(dtype):
    x = NUMBERS.astype(dtype)
    parts = from_arrays(x, LABELS)
    train = parts["train"]
    assert train.kind == "sequence" and train.shape == (5, 4) and train.x.dtype == np.float32
    np.testing.assert_array_equal(np.sort(np.concatenate([part.x for part in parts.values()]), 0),
                                  np.sort(x.astype("float32"), 0))


def test_three_axes_of_bytes_are_grey_images_and_kind_says_otherwise():
    assert from_arrays(IMAGES, LABELS)["train"].kind == "image"
    assert from_arrays(IMAGES, LABELS, kind="sequence")["train"].kind == "sequence"
    grey = from_arrays(NUMBERS, LABELS, kind="image")["train"]
    assert grey.kind == "image" and grey.shape == (5, 4, 1) and grey.x.dtype == np.uint8
    late = from_arrays(IMAGES[:40], LABELS[:40], test=(NUMBERS[40:], LABELS[40:]))["test"]
    assert late.kind == "image" and late.x.dtype == np.uint8


def test_tokens_are_whole_numbers():
    words = RNG.integers(1, 5000, (60, 7))
    for x in (words, words.astype("float64")):
        train = from_arrays(x, LABELS, kind="tokens")["train"]
        assert train.kind == "tokens" and train.shape == (7,) and train.x.dtype == np.int32
    assert from_arrays(words, LABELS)["train"].kind == "row"


def test_the_vocabulary_of_tokens_goes_to_the_model():
    words = np.arange(1, 60 * 7 + 1).reshape(60, 7)
    assert all(part.build_args == {"vocabulary": 421} for part in from_arrays(words, kind="tokens").values())
    assert not from_arrays(words)["train"].build_args


def test_padding_is_at_the_end_of_tokens():
    words = RNG.integers(1, 50, (60, 4))
    words[:, 2:] = 0
    assert (from_arrays(words, LABELS, kind="tokens")["train"].x[:, 2:] == 0).all()
    assert len(from_arrays(words[:, :1], LABELS, kind="tokens")["train"].x)
    words[3], words[4] = [0, 0, 5, 6], [5, 0, 6, 0]
    refused(lambda: from_arrays(words, LABELS, kind="tokens"), "in 2 of 60 examples", "padding='post'")


@pytest.mark.parametrize("x", [1.7e9 + NUMBERS[:, 0], 10**9 + np.arange(60 * 20).reshape(60, 5, 4)])
def test_differences_that_float32_would_lose_are_refused(x):
    """A table subtracts a constant itself, which it writes down; the columns of an array have no names."""
    refused(lambda: from_arrays(x, LABELS), "0 that float32 cannot hold", "Subtract a constant")
    refused(lambda: from_arrays(NUMBERS[:, 0], x.reshape(60, -1), target="number"), "y has", "Subtract a constant")
    assert len(from_arrays(x - x.mean(), LABELS)["train"]) and len(from_arrays(x.astype("float32"), LABELS)["train"])


def test_shorter_sequences_end_with_nan():
    x = NUMBERS.astype("float32")
    x[::2, 3:] = np.nan
    parts = from_arrays(x, LABELS)
    assert sum(np.isnan(part.x[:, 3:]).all(axis=(1, 2)).sum() for part in parts.values()) == 30
    assert not np.isnan(parts["train"].x[:, :3]).any()
    x[1] = np.nan
    refused(lambda: from_arrays(x, LABELS), "missing values (NaN)", "in 1 of 60 examples", "end a shorter one")
    x[1, 1:] = 0
    refused(lambda: from_arrays(x, LABELS), "in 1 of 60 examples")
    refused(lambda: from_arrays(np.where(np.arange(4) == 3, np.nan, NUMBERS), LABELS), "in 60 of 60 examples")


def test_arrays_without_labels():
    parts, labelled = from_arrays(IMAGES), from_arrays(IMAGES, LABELS)
    assert {name: len(part) for name, part in parts.items()} == {"train": 42, "val": 6, "test": 12}
    assert all(part.y is None and part.target is None and part.outputs == 0 for part in parts.values())
    assert not any(part.streamed for part in parts.values())
    seen = np.concatenate([part.x for part in parts.values()])
    assert sorted(map(bytes, seen)) == sorted(map(bytes, IMAGES))
    assert parts["train"].fingerprint() != from_arrays(255 - IMAGES)["train"].fingerprint()
    assert parts["train"].fingerprint() != labelled["train"].fingerprint()
    own = from_arrays(IMAGES[:40], test=IMAGES[40:])
    assert {name: len(part) for name, part in own.items()} == {"train": 36, "val": 4, "test": 20}
    assert [len(batch) for batch in own["test"].dataset(8).as_numpy_iterator()] == [1, 1, 1]
    examples, answers = own["test"].take(np.array([3, 1]))
    np.testing.assert_array_equal(examples[..., 0], IMAGES[[43, 41]])
    assert answers is None


def test_what_one_example_holds():
    spec = from_arrays(IMAGES, LABELS, classes=["a", "b", "c"])["train"].spec
    assert spec == {"image": Feature("image", (5, 4, 1), "uint8"), "label": Feature("label", (), "int32", tuple("abc"))}
    assert from_arrays(IMAGES)["train"].spec == {"image": Feature("image", (5, 4, 1), "uint8")}
    spec = from_arrays(NUMBERS, NUMBERS[:, 0, :2], target="number")["train"].spec
    assert spec == {"sequence": Feature("sequence", (5, 4), "float32"), "number": Feature("number", (2,), "float32")}
    assert from_arrays(NUMBERS[:, 0])["train"].spec == {"row": Feature("row", (4,), "float32")}
    with pytest.raises(UserError, match="no kind of data 'picture'"):
        Feature("picture", (), "uint8")


@pytest.mark.parametrize("change, words", [
    ({"kind": "row"}, "the number of its columns. Received: .5, 4, 1"),
    ({"shape": 20}, "kind='image' is 3 numbers. Received: 20"),
    ({"kind": "imgae"}, "'imgae'. Did you mean 'image'"),
    ({"streamed": True}, "streamed=True, x of type ndarray"),
    ({"x": tf.data.Dataset.range(3)}, "streamed=False"),
])
def test_a_split_says_what_it_is(change, words):
    with pytest.raises(UserError, match=words):
        dataclasses.replace(from_arrays(IMAGES, LABELS)["train"], **change)


def test_an_old_run_wrote_no_kind():
    for x in (IMAGES, NUMBERS[:, 0]):
        train = from_arrays(x, LABELS)["train"]
        old = {key: value for key, value in train.describe().items() if key != "kind"}
        check_same(train, old, "it")
        assert recorded_kind(old) == train.kind
    tokens = from_arrays(IMAGES[:, 0] | 1, kind="tokens")["train"]
    with pytest.raises(UserError, match="takes sequence examples, and it has tokens"):
        check_same(tokens, tokens.describe() | {"kind": "sequence"}, "it")


def test_arrays_with_a_test_set():
    parts = from_arrays(IMAGES[:40], LABELS[:40], test=(IMAGES[40:], LABELS[40:]))
    assert {name: len(part) for name, part in parts.items()} == {"train": 36, "val": 4, "test": 20}
    np.testing.assert_array_equal(parts["test"].x[..., 0], IMAGES[40:])
    np.testing.assert_array_equal(parts["test"].y, LABELS[40:])


@pytest.mark.parametrize("given, sizes", [({"val": slice(48, None)}, (38, 12, 10)),
                                          ({"val": slice(48, None), "test": slice(40, 48)}, (40, 12, 8))])
def test_arrays_with_a_validation_set(given, sizes):
    first = min(part.start for part in given.values())
    parts = from_arrays(IMAGES[:first], LABELS[:first], weights=np.ones(first),
                        **{name: (IMAGES[part], LABELS[part]) for name, part in given.items()})
    assert tuple(len(parts[name]) for name in ("train", "val", "test")) == sizes
    np.testing.assert_array_equal(parts["val"].x[..., 0], IMAGES[48:])
    np.testing.assert_array_equal(parts["val"].y, LABELS[48:])
    assert parts["val"].weights is None and parts["train"].weights.sum() == sizes[0]
    with pytest.raises(UserError, match="val must be shaped as x and y"):
        from_arrays(IMAGES, LABELS, val=(IMAGES[:, :2], LABELS))


def test_labels_as_other_libraries_have_them():
    x, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2
    expected = from_arrays(x, y)["train"]
    for other in (y[:, None], y.astype("float32")):
        found = from_arrays(x, other)["train"]
        assert found.classes == expected.classes and np.array_equal(found.y, expected.y)
    assert from_arrays(x, np.array([b"no", b"yes"])[y])["train"].classes == ("no", "yes")


def test_arrays_of_rows_and_numbers():
    x, y = RNG.normal(size=(50, 3)), RNG.normal(size=(50, 2))
    train = from_arrays(x, y, target="number")["train"]
    assert train.shape == 3 and train.outputs == 2 and train.classes == () and train.y.dtype == np.float32
    assert from_arrays(x, y[:, 0], target="number")["train"].y.shape == (35, 1)
    assert from_arrays(x, LABELS[:50])["train"].shape == 3


@pytest.mark.parametrize("x, y, args, words", [
    (IMAGES / 255, LABELS, {"kind": "image"}, ["0..1", "by 255"]),
    (IMAGES / 255 * 1.0000001, LABELS, {"kind": "image"}, ["0..1", "by 255"]),  # as after resizing
    (IMAGES // 128, LABELS, {}, ["0..1", "by 255"]),
    (IMAGES > 127, LABELS, {"kind": "image"}, ["0..1", "by 255"]),
    (IMAGES.astype(int) - 300, LABELS, {"kind": "image"}, ["0..255"]),
    (IMAGES, LABELS[:59], {}, ["60", "59", "length"]),
    (IMAGES[:0], LABELS[:0], {}, ["empty"]),
    (IMAGES[:9], LABELS[:9], {}, ["9 examples", "10"]),
    (np.where(IMAGES > 250, np.nan, IMAGES), LABELS, {}, ["NaN", "of 60 examples"]),
    (np.full((60, 2), np.inf), LABELS, {}, ["infinite", "60"]),
    (IMAGES.astype(str), LABELS, {}, ["numbers"]),
    (IMAGES[:, 0, 0], LABELS, {}, ["(N, H, W, C)", "(60,)"]),
    (IMAGES, np.zeros(60, int), {}, ["one class only", "'0'"]),
    (IMAGES, np.where(np.arange(60) == LOST, 7, LABELS), {}, ["'7'", "1 of 60", "training part"]),
    (IMAGES, np.eye(3)[LABELS], {}, ["(N,)", "(60, 3)"]),
    (IMAGES, LABELS, {"classes": ["a", "b"]}, ["0..1", "2 classes", "0..2"]),
    (IMAGES, LABELS.astype(str), {"classes": ["a", "b", "c"]}, ["0..2", "'0'"]),
    (IMAGES, np.zeros(60, int), {"classes": ["a"]}, ["1 name", "two"]),
    (IMAGES, np.where(LABELS, LABELS, np.nan), {}, ["y", "NaN", "20 of 60"]),
    (IMAGES, np.where(LABELS, LABELS, np.nan), {"target": "number"}, ["y", "NaN"]),
    (IMAGES, LABELS.astype(str), {"target": "number"}, ["y", "numbers"]),
    (IMAGES, np.where(LABELS, "a", None), {}, ["y", "missing", "20 of 60"]),
    (IMAGES, np.resize(np.array(["a", 1], object), 60), {}, ["several types"]),
    ([image[: 3 + i % 2] for i, image in enumerate(IMAGES)], LABELS, {}, ["differ in shape"]),
    (np.zeros((60, 3, 32, 32), "uint8"), LABELS, {}, ["(60, 3, 32, 32)", "moveaxis(x, 1, -1)"]),
    (IMAGES, LABELS, {"test": (IMAGES[:20, :2], LABELS[:20])}, ["test", "(20, 2, 4)"]),
    (IMAGES, LABELS, {"test": (IMAGES[:20], LABELS[:19])}, ["20", "19", "length"]),
    (IMAGES, LABELS, {"test": (IMAGES[:20], LABELS[:20] + 1)}, ["test has a class '3' that y has not"]),
    (IMAGES, LABELS, {"test": IMAGES[:20]}, ["test is (x, y)", "ndarray"]),
    (IMAGES, LABELS[:, None] > 0, {"target": "labels"}, ["two columns or more", "target='class'"]),
    (IMAGES, LABELS, {"target": "regress"}, ["'class', 'labels' or 'number'", "'regress'"]),
    (IMAGES, LABELS, {"classes": ["a", "b", "a"]}, ["different names", "a, b, a"]),
    (IMAGES, LABELS + 0.5, {}, ["not whole", "target='number'"]),
    (IMAGES, 3, {}, ["arrays of examples", "()"]),
    (IMAGES, None, {"classes": ["a", "b"]}, ["classes", "no y"]),
    (IMAGES[:0], None, {}, ["not empty", "(0, 5, 4)"]),
    (IMAGES, None, {"test": (IMAGES[:20], LABELS[:20])}, ["x alone", "no y"]),
    (IMAGES, None, {"test": IMAGES[:20, :2]}, ["test", "(20, 2, 4)"]),
    (IMAGES, LABELS, {"test": (IMAGES[:20], None)}, ["test is (x, y)", "(x, None)"]),
    (IMAGES, LABELS, {"kind": "imgae"}, ["'imgae'", "'image'"]),
    (IMAGES, LABELS, {"kind": "row"}, ["kind='row'", "(N, F)", "(60, 5, 4)"]),
    (IMAGES[..., None], LABELS, {"kind": "sequence"}, ["kind='sequence'", "(N, T, F)", "(60, 5, 4, 1)"]),
    (IMAGES[:, 0] - 0.5, LABELS, {"kind": "tokens"}, ["whole numbers >= 0", "float64"]),
    (IMAGES[:, 0].astype(int) - 9, LABELS, {"kind": "tokens"}, ["whole numbers >= 0", "-9"]),
    (np.full((60, 5, 2), 1e300), LABELS, {}, ["too large for a float32"]),
    (IMAGES[:, :0], LABELS, {}, ["length 0"]),
])
def test_arrays_that_are_refused(x, y, args, words):
    refused(lambda: from_arrays(x, y, **args), *words)


@pytest.mark.parametrize("name", ["val", "test"])
@pytest.mark.parametrize("change, words", [
    ({"classes": ("light", "dark")}, "class 0 is 'light', where the model learns 'dark'"),
    ({"classes": ("dark", "light", "grey")}, "class 2 is 'grey'"),
    ({"x": np.zeros((20, 5, 4, 1), "uint8"), "shape": (5, 4, 1)}, r"\(4, 4, 1\), and the split .* has \(5, 4, 1\)"),
])
def test_splits_of_two_kinds_are_not_trained_on(name, change, words):
    images = np.random.default_rng(0).integers(0, 256, (100, 4, 4)).astype("uint8")
    parts = from_arrays(images, np.resize(["dark", "light"], 100))
    with pytest.raises(UserError, match=words):
        train("linear_digits", verbose=False, data=parts | {name: dataclasses.replace(parts[name], **change)})


def test_splits_with_other_numbers_of_targets_are_not_trained_on():
    x, y = np.random.default_rng(0).normal(size=(50, 3)), np.random.default_rng(1).normal(size=(50, 2))
    one, two = (from_arrays(x, each, target="number") for each in (y[:, 0], y))
    with pytest.raises(UserError, match="The split test has 2 targets, and train 1"):
        train("linear_digits", verbose=False, data=one | {"test": two["test"]}, objective="regress")


def test_a_split_is_a_dataset_for_plain_keras():
    test = load("digits", "test")
    images, labels = zip(*test.dataset(batch=100).as_numpy_iterator(), strict=True)
    assert [len(batch) for batch in images] == [100, 100, 100, 60]
    np.testing.assert_array_equal(np.concatenate(images), test.x)
    np.testing.assert_array_equal(np.concatenate(labels), test.y)
