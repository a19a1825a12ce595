"""Crops of random size, colours, grey, solarize and blur: on pixels, against PIL and TensorFlow."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from kerasdl.data.augment import colours, compose

B, SIDE = 256, 40
SEED = tf.constant([7, 1])
IMAGES = np.random.default_rng(0).integers(0, 256, (B, SIDE, SIDE, 3)).astype(np.uint8)


def run(name, *arguments, images=IMAGES, jit=False):
    """Without XLA, whose compilation takes seconds; test_augment.py compares both, and each kind does it once here."""
    transform = compose(((name, *arguments),), images.shape[1:], labels=False)
    if jit:
        transform = tf.function(transform, jit_compile=True)
    return transform(tf.constant(images), None, SEED)[0].numpy()


def changed(made, images=IMAGES):
    return (made != images).any(axis=(1, 2, 3))


def boxes(*arguments, height=SIDE, width=SIDE):
    """The (top, left, height, width) of each crop, which shows in an image of coordinates."""
    coordinates = np.stack(np.indices((height, width)), axis=-1).astype(np.uint8)
    made = run("random_resized_crop", *arguments, images=np.repeat(coordinates[None], B, axis=0)).astype(int)
    first, last = made[:, 0, 0], made[:, -1, -1]
    return np.concatenate([first, last - first + 1], axis=-1)


@pytest.mark.parametrize("arguments", [pytest.param((), marks=pytest.mark.soak), (0.3, 2.0)])
def test_a_crop_is_the_enlarged_slice(arguments):
    made = run("random_resized_crop", *arguments, jit=True)
    for new, old, (top, left, height, width) in zip(made, IMAGES, boxes(*arguments), strict=True):
        expected = tf.image.resize(old[top:top + height, left:left + width], (SIDE, SIDE))
        np.testing.assert_allclose(new, expected, atol=1.5)


def test_crops_have_the_areas_and_shapes_of_the_paper():
    top, left, height, width = boxes().T
    area, shape = height * width / SIDE**2, np.log(width / height)
    assert 0.07 < area.min() < 0.12 and 0.85 < area.max() <= 1
    assert area.mean() == pytest.approx(0.52, abs=0.06)  # a little less than 0.54: large ones of odd shape do not fit
    assert 0.2 < np.abs(shape).max() < np.log(4 / 3) + 0.1 and shape.mean() == pytest.approx(0, abs=0.04)
    assert (top + height <= SIDE).all() and (left + width <= SIDE).all()
    for start, size in ((top, height), (left, width)):
        place = (start / np.maximum(SIDE - size, 1))[size < SIDE - 5]
        assert place.min() < 0.05 and place.max() > 0.95 and place.mean() == pytest.approx(0.5, abs=0.06)


def test_a_crop_that_never_fits_is_the_largest_at_the_centre():
    np.testing.assert_array_equal(boxes(1.0, height=8, width=64), np.tile([0, 26, 8, 11], (B, 1)))
    np.testing.assert_array_equal(boxes(1.0, height=64, width=8), np.tile([26, 0, 11, 8], (B, 1)))


@pytest.mark.parametrize("spec", [("random_resized_crop", 1.0, 1.0), ("color_jitter", 0, 0, 0, 0), ("grey", 0),
                                  ("color_jitter", 1, 1, 1, 0.5, 0), ("solarize", 0), ("blur", 0)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_changes_nothing_gives_the_images_back(spec, dtype):
    made = run(*spec, images=IMAGES.astype(dtype))
    assert made.dtype == dtype
    np.testing.assert_array_equal(made, IMAGES)


@pytest.mark.parametrize("spec", [("color_jitter",), ("solarize",), *(
    pytest.param((name,), marks=pytest.mark.soak) for name in ("random_resized_crop", "blur"))])
def test_grey_images_are_as_the_channels_of_colour_images(spec):
    """A grey image has no hue, and all its channels are the same."""
    grey = IMAGES[..., :1]
    np.testing.assert_array_equal(np.repeat(run(*spec, images=grey), 3, -1), run(*spec, images=np.repeat(grey, 3, -1)))


@pytest.mark.parametrize("name", ["grey", "solarize", "blur", "color_jitter"])
def test_probabilities_are_honoured(name):
    spec = ("color_jitter", 0.4, 0.4, 0.4, 0.1, 0.3) if name == "color_jitter" else (name, 0.3)
    made = run(*spec, images=np.repeat(IMAGES, 8, axis=0))
    share = changed(made, np.repeat(IMAGES, 8, axis=0)).mean()
    assert share == pytest.approx(0.3 * 0.97 if name == "blur" else 0.3, abs=0.04)  # the least blurs change nothing


def spread(factors, low, high):
    """Even over low..high."""
    assert low - 0.01 <= factors.min() < low + 0.05 and high - 0.05 < factors.max() <= high + 0.01
    assert factors.mean() == pytest.approx((low + high) / 2, abs=0.1 * (high - low))


def test_color_jitter_draws_each_factor_evenly():
    flat = np.full((B, 4, 4, 1), 100, np.uint8)
    spread(run("color_jitter", 0.4, 0, 0, 0, images=flat)[:, 0, 0, 0] / 100, 0.6, 1.4)
    halves = np.concatenate([flat - 50, flat + 50], axis=1)
    made = run("color_jitter", 0, 0.6, 0, 0, images=halves).astype(float)
    np.testing.assert_allclose(made.mean(axis=(1, 2, 3)), 100, atol=0.5)
    spread((made[:, -1, 0, 0] - made[:, 0, 0, 0]) / 100, 0.4, 1.6)
    teal = np.tile(np.uint8([60, 100, 140]), (B, 4, 4, 1))  # its luma is 93
    made = run("color_jitter", 0, 0, 0.5, 0, images=teal)[:, 0, 0].astype(float)
    np.testing.assert_allclose(made @ [0.299, 0.587, 0.114], 93, atol=1)
    spread((made[:, 2] - made[:, 0]) / 80, 0.5, 1.5)


def test_color_jitter_turns_the_hue_evenly():
    red = np.tile(np.uint8([200, 100, 100]), (B, 4, 4, 1))
    made = run("color_jitter", 0, 0, 0, 0.25, images=red, jit=True)[:, 0, 0] / 255
    hues, saturations, values = np.array([colorsys.rgb_to_hsv(*pixel) for pixel in made]).T
    spread((hues + 0.5) % 1, 0.25, 0.75)
    np.testing.assert_allclose(saturations, 0.5, atol=0.01)
    np.testing.assert_allclose(values, 200 / 255, atol=0.005)


@pytest.mark.parametrize("share", [0, 1 / 3, -1 / 3, 0.5, 0.11, -0.27])
def test_the_hue_turns_as_in_hsv(share):
    steps = round(colours.TURN * share)
    pixels = np.concatenate([IMAGES[0, :8], [np.tile([[255, 0, 0], [0, 0, 0], [9, 9, 9], [3, 3, 255]], (10, 1))]])
    made = colours.turn_hue(tf.constant(pixels[None], tf.float32), tf.fill((1, 1, 1, 1), float(steps)))[0].numpy()
    for new, old in zip(made.reshape(-1, 3), pixels.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(old / 255))
        expected = 255 * np.array(colorsys.hsv_to_rgb((hue + steps / colours.TURN) % 1, saturation, value))
        np.testing.assert_allclose(new, expected, atol=1)
    if share == 1 / 3:
        np.testing.assert_array_equal(made[8, 0], [0, 255, 0])
    if share == 0:
        np.testing.assert_array_equal(made, pixels)


def test_grey_and_solarize_are_those_of_pil():
    for name, by_pil in (("grey", ImageOps.grayscale), ("solarize", ImageOps.solarize)):
        expected = [np.asarray(by_pil(Image.fromarray(image)).convert("RGB"), int) for image in IMAGES]
        np.testing.assert_allclose(run(name, 1), expected, atol=1)


def test_blur_is_gaussian_with_deviations_up_to_two_pixels():
    """A single bright pixel shows the weights: 7 x 7 for a side of 64."""
    images = np.zeros((100, 64, 64, 1), np.uint8)
    images[:, 30, 20] = 255
    made = run("blur", 1.0, images=images, jit=True)[..., 0].astype(float)
    window = made[:, 27:34, 17:24]
    assert made.sum() == window.sum()
    reach = np.arange(-3, 4)
    sigmas = np.linspace(0.1, 2, 2000)
    weights = np.exp(-(reach / sigmas[:, None]) ** 2 / 2)
    weights /= weights.sum(axis=1, keepdims=True)
    apart = np.abs(window[:, None] - 255 * weights[:, :, None] * weights[:, None]).max(axis=(2, 3))
    assert apart.min(axis=1).max() < 1
    found = sigmas[apart.argmin(axis=1)][window[:, 3, 3] < 255]  # below 0.27 all of a pixel stays where it is
    assert found.min() < 0.45 and 1.9 < found.max() <= 2 and found.mean() == pytest.approx(1.13, abs=0.15)
    flat = np.full((2, 12, 12, 3), 77, np.uint8)
    np.testing.assert_array_equal(run("blur", 1.0, images=flat), flat)
