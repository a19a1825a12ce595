"""RandAugment and AutoAugment: each operation, on pixels, and how they are drawn."""

from functools import partial
from itertools import product

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from kerasdl.data.augment import compose, operations, policies
from kerasdl.data.augment.policies import RANDAUGMENT

B, H, W, C = SHAPE = (64, 12, 16, 3)
SEED = tf.constant([7, 1])
IMAGES = np.random.default_rng(0).integers(1, 256, SHAPE).astype(np.uint8)


def run(name, *arguments, images=IMAGES):
    return compose(((name, *arguments),), images.shape[1:], labels=False)(tf.constant(images), None, SEED)[0].numpy()


def operate(name, images, level, sign=1):
    """One operation on a whole batch."""
    return follow([name], images, level, sign)


def follow(names, images, level, sign=1):
    """Operations in order, their moves as one."""
    whole, batch = tf.cast(images, tf.float32), len(images)
    for name in names:
        strengths = tf.fill((batch,), operations.strength(name, level, sign))
        whole = operations.tone(whole, [name], tf.zeros(batch, tf.int32), strengths)
    matrices = np.stack([operations.matrix(name, level, sign, *images.shape[1:3]) for name in names])
    return operations.move(whole, tf.repeat(matrices[:, None], batch, axis=1)).numpy()


def luma(images):
    return np.floor(images @ np.array([0.299, 0.587, 0.114]) + 0.5)[..., None]


@pytest.mark.parametrize(("sign", "factor"), [(1, 1.9), (-1, 0.1)])
@pytest.mark.parametrize("name", ["brightness", "contrast", "color", "sharpness"])
def test_enhancing_moves_away_from_a_base(name, sign, factor):
    images = IMAGES.astype(float)
    base = {
        "brightness": np.zeros(SHAPE),
        "contrast": np.floor(luma(images).mean(axis=(1, 2, 3), keepdims=True) + 0.5),
        "color": luma(images),
        "sharpness": images.copy(),
    }[name]
    if name == "sharpness":
        shifts = [images[:, r : r + H - 2, c : c + W - 2] for r in range(3) for c in range(3)]
        base[:, 1:-1, 1:-1] = (sum(shifts) + 4 * shifts[4]) / 13
    expected = np.clip(base + factor * (images - base), 0, 255)
    np.testing.assert_allclose(operate(name, IMAGES, 1.0, sign), expected, atol=1.6)


@pytest.mark.parametrize("shape", [(2, 1, 6, 3), (2, 6, 1, 3), (2, 2, 2, 1)])
def test_images_that_are_all_border_are_not_sharpened(shape):
    images = tf.cast(np.resize(np.arange(36), shape), tf.float32)
    np.testing.assert_array_equal(operations.sharpness(images, tf.constant(1.9)), images)


def test_solarize_inverts_the_bright_and_posterize_drops_bits():
    inverted = np.where(IMAGES < 128, IMAGES, 255 - IMAGES)
    np.testing.assert_array_equal(operate("solarize", IMAGES, 0.5), inverted)
    np.testing.assert_array_equal(operate("posterize", IMAGES, 1.0), IMAGES & 0b11110000)


def test_autocontrast_stretches_and_equalize_flattens():
    dull = 90 + IMAGES // 8
    stretched = operate("autocontrast", dull, 0.3)
    assert (stretched.min(axis=(1, 2)) == 0).all() and (stretched.max(axis=(1, 2)) == 255).all()
    skewed = (np.linspace(0, 1, 64 * 64) ** 3 * 255).astype(np.uint8).reshape(1, 64, 64, 1)
    flat = operate("equalize", skewed, 0.3)
    even = np.linspace(0, 255, 64 * 64)  # skewed is sorted
    assert (np.diff(flat.ravel()) >= 0).all()
    assert np.abs(flat.ravel() - even).mean() < np.abs(skewed.ravel() - even).mean() / 4
    constant = np.full((2, 64, 64, 1), 77, np.uint8)
    for name in ("autocontrast", "equalize"):
        np.testing.assert_array_equal(operate(name, constant, 0.3), constant)


def test_moves_place_pixels():
    square = IMAGES[:, :, :H]
    np.testing.assert_array_equal(operate("rotate", square, 3.0, 1), np.rot90(square, 1, axes=(1, 2)))
    np.testing.assert_array_equal(operate("rotate", square, 3.0, -1), np.rot90(square, -1, axes=(1, 2)))
    right = operate("translate_x", IMAGES, 1.0, -1)  # 0.45 of 16 pixels is 7.2
    np.testing.assert_array_equal(right[:, :, 7:], IMAGES[:, :, :-7])
    assert (right[:, :, :7] == operations.GREY).all()
    up = operate("translate_y", IMAGES, 1.0, 1)  # 0.45 of 12 pixels is 5.4
    np.testing.assert_array_equal(up[:, :-5], IMAGES[:, 5:])
    sheared = operate("shear_x", IMAGES, 1.0)
    for row in range(H):
        shift = round(0.3 * (row - (H - 1) / 2))
        expected = np.roll(IMAGES[:, row], -shift, axis=1)[:, max(-shift, 0) : W - max(shift, 0)]
        np.testing.assert_array_equal(sheared[:, row, max(-shift, 0) : W - max(shift, 0)], expected)
    turned = operate("shear_x", IMAGES.transpose(0, 2, 1, 3), 1.0)
    np.testing.assert_array_equal(operate("shear_y", IMAGES, 1.0), turned.transpose(0, 2, 1, 3))


def test_layers_follow_one_another():
    level = 5 / (0.45 * H)  # a shift of 5 whole pixels, so that rounding once is rounding twice

    def both(*names):
        return follow(names, IMAGES, level)

    for first, second in (("translate_y", "shear_x"), ("shear_x", "translate_y"), ("brightness", "solarize")):
        expected = operate(second, operate(first, IMAGES, level), level)
        inside = expected != operations.GREY  # beyond the border the two may differ
        np.testing.assert_array_equal(both(first, second)[inside], expected[inside])
    assert not np.array_equal(both("translate_y", "shear_x"), both("shear_x", "translate_y"))


@pytest.mark.parametrize("channels", [1, 3])
def test_randaugment_draws_each_operation(channels):
    """Each copy of one image comes out as some operation would make it, and all occur, about evenly."""
    image = (IMAGES[:1, :, :, :channels] // 2 + np.arange(W, dtype=np.uint8)[:, None] * 4) + 5
    made = {}
    for name in RANDAUGMENT:
        for sign in (-1, 1):
            made.setdefault(operate(name, image, 20 / 30, sign).astype(np.uint8).tobytes(), name)
    copies = np.repeat(image, 600, axis=0)
    augmented = run("randaugment", 1, 20, images=copies)
    drawn = [made[result.tobytes()] for result in augmented]
    unchanged = {"equalize", "color"} if channels == 1 else {"equalize"}  # grey; under 256 pixels
    for name in set(RANDAUGMENT) - unchanged - {"identity"}:
        assert 20 < drawn.count(name) < 75
    assert set(drawn) == set(RANDAUGMENT) - unchanged


def test_randaugment_at_magnitude_0_only_stretches_the_range():
    still = run("randaugment", 2, 0)
    changed = (still != IMAGES).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(still[changed], operate("autocontrast", IMAGES, 0.0)[changed])
    assert 0 < changed.mean() < 0.4


def of_autoaugment(monkeypatch, pairs, images):
    """The images under a policy of these pairs."""
    monkeypatch.setitem(policies.POLICIES, "tried", tuple(pairs))
    return policies.autoaugment(tf.constant(images), None, SEED, "tried")[0].numpy()


def by_pil(name, magnitude, sign, image):
    """What PIL makes of an image, with the ranges of the paper."""
    level, (height, width, _), image = magnitude / 9, image.shape, Image.fromarray(image)
    shift, shear = sign * 0.45 * level, sign * 0.3 * level
    affine = {"shear_x": (1, shear, -shear * height / 2, 0, 1, 0), "shear_y": (1, 0, 0, shear, 1, -shear * width / 2),
              "translate_x": (1, 0, shift * width, 0, 1, 0), "translate_y": (1, 0, 0, 0, 1, shift * height)}
    enhance = {"color": ImageEnhance.Color, "contrast": ImageEnhance.Contrast, "brightness": ImageEnhance.Brightness,
               "sharpness": ImageEnhance.Sharpness}
    if name in affine:
        return image.transform(image.size, Image.AFFINE, affine[name], Image.NEAREST, fillcolor=(128,) * 3)
    if name in enhance:
        return enhance[name](image).enhance(1 + sign * 0.9 * level)
    return {"rotate": partial(image.rotate, sign * 30 * level, Image.NEAREST, fillcolor=(128,) * 3),
            "solarize": partial(ImageOps.solarize, image, round(256 * (1 - level))),
            "posterize": partial(ImageOps.posterize, image, 8 - round(4 * level)),
            "autocontrast": partial(ImageOps.autocontrast, image), "equalize": partial(ImageOps.equalize, image),
            "invert": partial(ImageOps.invert, image)}[name]()


@pytest.mark.parametrize("name", sorted({*operations.TONES, *operations.MOVES}))
def test_operations_are_those_of_pil_at_every_magnitude(name):
    """Pixels are equal, and within one grey level for colour, contrast, brightness and sharpness.

    Positions are rounded to sixteenths of a pixel, so that a move may take the neighbour where PIL is halfway between
    two: on this slope, three grey levels.
    """
    y, x = np.indices((48, 64))
    image = np.random.default_rng(2).integers(30, 220, (48, 64, 3)).astype(np.uint8)
    if name in operations.MOVES:
        image = np.stack([3 * x + 1, 3 * y + 1, 0 * x + 126], axis=-1).astype(np.uint8)
    cases = list(product(range(10), (-1, 1)))
    batch = tf.constant(np.repeat(image[None], len(cases), axis=0), tf.float32)
    strengths = tf.constant([operations.strength(name, magnitude / 9, sign) for magnitude, sign in cases])
    matrices = np.stack([operations.matrix(name, magnitude / 9, sign, 48, 64) for magnitude, sign in cases])
    made = operations.move(operations.tone(batch, [name], tf.zeros(len(cases), tf.int32), strengths), matrices[None])
    for (magnitude, sign), one in zip(cases, made.numpy(), strict=True):
        apart = np.abs(one - by_pil(name, magnitude, sign, image))
        if name in operations.MOVES:
            assert apart.any(-1).mean() < 0.2 and (apart > 3).any(-1).mean() < 0.01, (magnitude, sign)
        else:
            assert apart.max() <= (name in operations.ENHANCING), (magnitude, sign)


@pytest.mark.parametrize("name", ["translate_x", "brightness"])
def test_autoaugment_goes_either_way(name, monkeypatch):
    made = of_autoaugment(monkeypatch, 25 * [((name, 1.0, 7), ("invert", 0.0, 0))], np.repeat(IMAGES[:1], 400, axis=0))
    there, back = (operate(name, IMAGES[:1], 7 / 9, sign).astype(np.uint8) for sign in (-1, 1))
    ways = [(made == way).all(axis=(1, 2, 3)) for way in (there, back)]
    assert (ways[0] ^ ways[1]).all() and 150 < ways[0].sum() < 250


@pytest.mark.parametrize("name", policies.POLICIES)
def test_the_published_policies_are_whole(name):
    pairs = policies.POLICIES[name]
    assert len(pairs) == 25
    for operation, probability, magnitude in (one for pair in pairs for one in pair):
        assert operation in operations.TONES or operation in operations.MOVES
        assert round(10 * probability, 9) in range(11) and magnitude in range(10)
    assert pairs[3] == {"cifar10": (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
                        "imagenet": (("posterize", 0.6, 7), ("posterize", 0.6, 6))}[name]


def test_autoaugment_draws_all_pairs_evenly_and_keeps_their_order(monkeypatch):
    """To solarize and then to posterize is not the reverse."""
    pairs = [(("solarize", 1.0, a), ("posterize", 1.0, b)) for a, b in product((1, 3, 5, 7, 9), (0, 3, 5, 7, 9))]
    image = IMAGES[0]
    made = {}
    for number, pair in enumerate(pairs):
        expected = image
        for name, _, magnitude in pair:
            expected = np.asarray(by_pil(name, magnitude, 1, expected))
        made[expected.tobytes()] = number
    drawn = [made[one.tobytes()] for one in of_autoaugment(monkeypatch, pairs, np.repeat(image[None], 5000, axis=0))]
    counts = np.bincount(drawn, minlength=25)
    assert len(made) == 25 and counts.min() > 130 and counts.max() < 270  # 200 +- 5 deviations


def test_autoaugment_honours_each_probability(monkeypatch):
    pairs = 25 * [(("invert", 0.3, 0), ("posterize", 0.8, 9))]
    copies = np.repeat(IMAGES[:1], 4000, axis=0)
    made = of_autoaugment(monkeypatch, pairs, copies)
    share = {(a, b): np.mean([(one == expected).all() for one in made]) for a, b, expected in (
        (a, b, (IMAGES[0] ^ 255 * a) & 255 - 15 * b) for a in (0, 1) for b in (0, 1))}
    for a, b in share:
        assert share[a, b] == pytest.approx((0.3, 0.7)[not a] * (0.8, 0.2)[not b], abs=0.03)
    assert (of_autoaugment(monkeypatch, 25 * [(("invert", 0.0, 0), ("invert", 1.0, 0))], copies) == 255 - copies).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", policies.POLICIES)
def test_autoaugment_changes_most_images_and_not_their_form(policy, channels):
    images = np.random.default_rng(3).integers(0, 256, (64, 20, 28, channels)).astype(np.uint8)
    made = run("autoaugment", policy, images=images)
    assert made.dtype == np.uint8 and made.shape == images.shape
    assert (made != images).any(axis=(1, 2, 3)).mean() > 0.5
    np.testing.assert_array_equal(run("autoaugment", policy, images=images.astype(np.float32)), made)
