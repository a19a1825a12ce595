"""Every transform, pixels and labels both, with XLA and without; and mistakes in one clear line."""

import numpy as np
import pytest
import tensorflow as tf

from kerasdl.data.augment import ALTERNATING, AUGMENTS, alternates, compose
from kerasdl.errors import UserError

B, H, W, C = SHAPE = (64, 12, 16, 3)
SEED, OTHER = tf.constant([7, 1]), tf.constant([7, 2])
IMAGES = np.random.default_rng(0).integers(1, 256, SHAPE).astype(np.uint8)  # no 0: what is filled shows
LABELS = np.eye(B, dtype=np.float32)  # a class an image: a mixed label tells which two, and how much
PARITY = tf.constant(np.arange(B) % 3 == 0, tf.int64)
MIXING = ("mixup", "cutmix")


def run(name, *arguments, images=IMAGES, labels=LABELS, seed=SEED):
    shape = images.shape[1:]
    out = compose(((name, *arguments),), shape)(tf.constant(images), tf.constant(labels), seed, PARITY)
    return out[0].numpy(), out[1].numpy()


def shares(labels):
    """Each image's own share, from its label, once it is certain that the rest is the neighbour's."""
    own = np.diagonal(labels)
    expected = own[:, None] * LABELS + (1 - own)[:, None] * np.roll(LABELS, 1, axis=0)
    np.testing.assert_allclose(labels, expected, atol=1e-6)
    return own


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.soak if name in ("autoaugment", "augmix") else ()) for name in AUGMENTS])
def test_eager_graph_and_xla_agree(name):
    """Pixels bit for bit, blends to rounding; the seed alone decides."""
    transform = compose((name,), SHAPE[1:])
    given = tf.constant(IMAGES), tf.constant(LABELS)
    images, labels = transform(*given, SEED, PARITY)
    for function in (transform, tf.function(transform), tf.function(transform, jit_compile=True)):
        again, again_labels = function(*given, SEED, PARITY)
        assert again.dtype == images.dtype
        np.testing.assert_allclose(again, images, atol=1e-3 if name == "mixup" else 0)
        np.testing.assert_allclose(again_labels, labels, atol=1e-6)
    others = (SEED, 1 - PARITY) if name in ALTERNATING else (OTHER, PARITY)
    assert not np.array_equal(function(*given, *others)[0], images)


@pytest.mark.parametrize("name", AUGMENTS)
def test_floats_behave_as_uint8_and_a_dataset_can_map(name):
    """In tf.data the batch size is unknown while tracing."""
    images, labels = run(name)
    assert images.dtype == (np.float32 if name == "mixup" else np.uint8)
    transform = compose((name,), SHAPE[1:])
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES.astype(np.float32), LABELS)).batch(B)
    mapped, mapped_labels = next(iter(dataset.map(lambda x, y: transform(x, y, SEED, PARITY))))
    assert mapped.dtype == tf.float32
    np.testing.assert_allclose(mapped, images, atol=1e-4)
    np.testing.assert_allclose(mapped_labels, labels, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in AUGMENTS if name not in MIXING])
def test_labels_stay(name):
    np.testing.assert_array_equal(run(name)[1], LABELS)


@pytest.mark.parametrize("name", AUGMENTS)
def test_images_without_labels(name):
    if name in MIXING:
        with pytest.raises(UserError, match=f"{name} blends labels"):
            compose(("flip", name), SHAPE[1:], labels=False)
        return
    images, labels = compose((name,), SHAPE[1:], labels=False)(tf.constant(IMAGES), None, SEED, PARITY)
    assert labels is None
    np.testing.assert_array_equal(images, run(name)[0])


def test_flip_mirrors_about_half():
    flipped, _ = run("flip")
    mirrored = [np.array_equal(new, old[:, ::-1]) for new, old in zip(flipped, IMAGES, strict=True)]
    kept = [np.array_equal(new, old) for new, old in zip(flipped, IMAGES, strict=True)]
    assert all(np.add(mirrored, kept) == 1)
    assert B / 4 < sum(mirrored) < 3 * B / 4


def test_alternating_flip_mirrors_by_parity():
    flipped, _ = run("alternating_flip")
    parity = PARITY.numpy() == 1
    np.testing.assert_array_equal(flipped[parity], IMAGES[parity][:, :, ::-1])
    np.testing.assert_array_equal(flipped[~parity], IMAGES[~parity])
    assert alternates(["cutout", ["alternating_flip"]]) and not alternates((("cutout", 4), "flip"))
    with pytest.raises(UserError, match="flip_parity"):
        compose(("alternating_flip",), SHAPE[1:])(IMAGES, LABELS, SEED)


def offsets(moved, padded, reach):
    """Where in each padded image its result was cut out, exactly."""
    places = [(row, column) for row in range(2 * reach + 1) for column in range(2 * reach + 1)]
    found = []
    for new, old in zip(moved, padded, strict=True):
        found.append([(r, c) for r, c in places if np.array_equal(new, old[r : r + H, c : c + W])])
    assert all(len(places) == 1 for places in found)
    return {places[0] for places in found}


def test_pad_crop_cuts_from_the_reflected_image():
    padded = np.pad(IMAGES, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="reflect")
    found = offsets(run("pad_crop", 3)[0], padded, 3)
    assert {row for row, _ in found} == {column for _, column in found} == set(range(7))


def test_translate_shifts_and_fills_with_black():
    padded = np.pad(IMAGES, ((0, 0), (2, 2), (2, 2), (0, 0)))
    found = offsets(run("translate", 2)[0], padded, 2)
    assert {row for row, _ in found} == {column for _, column in found} == set(range(5))


def box_of(changed):
    """The height and width of the box of True, once it is certain that it is one."""
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    assert changed.sum() == len(rows) * len(columns)
    assert not len(rows) or (np.ptp(rows) + 1, np.ptp(columns) + 1) == (len(rows), len(columns))
    return len(rows), len(columns)


@pytest.mark.parametrize("fill", ["mean", "black"])
def test_cutout_fills_one_box(fill):
    cut, _ = run("cutout", 6, fill)
    colour = IMAGES.mean((1, 2), keepdims=True).round() * (fill == "mean")
    inside = (cut == colour).all(-1)
    boxes = [box_of(new) for new in inside]
    np.testing.assert_array_equal(cut[~inside], IMAGES[~inside])
    assert (6, 6) in boxes and max(boxes) == (6, 6)
    assert min(boxes) >= (3, 3) and (3, 3) < min(boxes[0], (6, 6))
    assert len(set(boxes)) > 3  # the border cuts some


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixup_blends_by_the_share_in_the_label(alpha):
    mixed, labels = run("mixup", alpha)
    share = shares(labels)[:, None, None, None]
    np.testing.assert_allclose(mixed, share * IMAGES + (1 - share) * np.roll(IMAGES, 1, 0), atol=1e-3)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixup_draws_from_beta(alpha):
    """Moments of Beta(alpha, alpha) and its symmetry, over 20,000 examples of one pixel."""
    count = 20_000
    images = np.zeros((count, 1, 1, 1), np.float32)
    images[::2] = 1  # own 1 and neighbour 0, or the reverse: the share shows in the pixel
    mixed, _ = run("mixup", alpha, images=images, labels=np.zeros((count, 1), np.float32))
    share = np.where(images == 1, mixed, 1 - mixed).ravel()
    assert share.min() >= 0 and share.max() <= 1
    assert share.mean() == pytest.approx(0.5, abs=0.01)
    assert share.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)
    kurtosis = np.mean((share - 0.5) ** 4) / share.var() ** 2
    assert kurtosis == pytest.approx(3 * (2 * alpha + 1) / (2 * alpha + 3), rel=0.05)


def test_cutmix_labels_hold_the_area_pasted():
    pasted, labels = run("cutmix")
    neighbour = np.roll(IMAGES, 1, axis=0)
    foreign = (pasted == neighbour).all(-1) & ~(IMAGES == neighbour).all(-1)
    np.testing.assert_array_equal(pasted, np.where(foreign[..., None], neighbour, IMAGES))
    assert len({box_of(image) for image in foreign}) > B / 3
    np.testing.assert_allclose(shares(labels), 1 - foreign.mean(axis=(1, 2)), atol=1e-6)


def test_mixing_takes_any_float_targets_but_not_class_numbers():
    targets = np.random.default_rng(1).normal(size=(B, 2)).astype(np.float32)
    share = shares(run("mixup")[1])[:, None]
    expected = share * targets + (1 - share) * np.roll(targets, 1, axis=0)
    np.testing.assert_allclose(run("mixup", labels=targets)[1], expected, atol=1e-5)
    with pytest.raises(UserError, match="one-hot"):
        run("mixup", labels=np.arange(B))


def test_compose_applies_in_order_with_a_seed_each():
    given = tf.constant(IMAGES), tf.constant(LABELS)
    images, labels = compose((("pad_crop", 2), "flip", ["mixup", 0.5], ("cutout", 8, "black")), SHAPE[1:])(*given, SEED)
    assert images.dtype == tf.float32 and images.shape == SHAPE
    np.testing.assert_allclose(tf.reduce_sum(labels, -1), 1, atol=1e-6)
    assert (images.numpy() == 0).all(-1).any(axis=(1, 2)).all()  # cut before the blend, it would not be black
    twice, _ = compose(("flip", "flip"), SHAPE[1:])(*given, SEED)
    assert 0.25 < (twice.numpy() != IMAGES).any(axis=(1, 2, 3)).mean() < 0.75  # one seed for both: 0


def test_no_specs_change_nothing():
    images, labels, seed = tf.constant(IMAGES), tf.constant(LABELS), SEED
    assert compose((), SHAPE[1:])(images, labels, seed) == (images, labels)
    assert compose((), (13,))(images, labels, seed)[0] is images


@pytest.mark.parametrize(
    ("specs", "shape", "message"),
    [
        (("flop",), SHAPE[1:], "no augmentation 'flop'. Did you mean 'flip'"),
        (("flip", 4), SHAPE[1:], "no augmentation 4"),
        ("flip", SHAPE[1:], "list of transforms, not 'flip'"),
        ((("flip", 4),), SHAPE[1:], "flip takes no arguments; 1 values came: 4"),
        ((("cutout", 4, "mean", 5),), SHAPE[1:], "cutout takes size, fill; 3 values came: 4, 'mean', 5"),
        ((("cutout", 4, "grey"),), SHAPE[1:], "cutout's fill is one of mean, black, not 'grey'"),
        ((("pad_crop", 12),), SHAPE[1:], "pad_crop's pad is a whole number from 0 to 11 here, not 12"),
        ((("pad_crop", 2.5),), SHAPE[1:], "whole number"),
        ((("translate", -1),), SHAPE[1:], "translate's pixels"),
        ((("cutout", 13),), SHAPE[1:], "cutout's size is a whole number from 0 to 12"),
        (("cutout",), (6, 6, 1), "not 8"),
        ((("mixup", 0),), SHAPE[1:], "mixup's alpha is a number from 0.01 to 100"),
        ((("cutmix", "1"),), SHAPE[1:], "not '1'"),
        ((("randaugment", 2, 31),), SHAPE[1:], "magnitude is a number from 0 to 30"),
        ((("randaugment", True),), SHAPE[1:], "layers is a whole number"),
        (("randaugment",), (8, 8, 2), "randaugment needs images of 1 or 3 channels, not 2; leave it out"),
        (("color_jitter",), (8, 8, 4), "color_jitter needs images of 1 or 3 channels, not 4"),
        (("grey",), (8, 8, 1), "grey needs images of 3 channels, not 1; leave it out"),
        ((("random_resized_crop", 0),), SHAPE[1:], "scale is a number from 0.01 to 1 here, not 0"),
        ((("random_resized_crop", 0.08, 0.75),), SHAPE[1:], "ratio is a number from 1 to 10 here, not 0.75"),
        ((("color_jitter", 0.4, 0.4, 0.4, 0.6),), SHAPE[1:], "color_jitter's hue is a number from 0 to 0.5"),
        ((("blur", 1.5),), SHAPE[1:], "blur's p is a number from 0 to 1 here, not 1.5"),
        ((("autoaugment", "svhn"),), SHAPE[1:], "autoaugment's policy is one of cifar10, imagenet, not 'svhn'"),
        (("flip",), (13,), "flip needs images"),
        (("flip",), 13, "flip needs images"),
    ],
)
def test_mistakes_are_one_clear_line(specs, shape, message):
    with pytest.raises(UserError, match="^[^\n]*$") as caught:
        compose(specs, shape)
    assert message in str(caught.value)
