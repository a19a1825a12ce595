"""Corruptions: every kind changes an image, more at each severity, and the same seed gives the same ones."""

import tracemalloc

import numpy as np
import pytest

from kerasdl.data import corruptions
from kerasdl.data.corruptions import sampling
from kerasdl.errors import UserError


@pytest.fixture(scope="module")
def images():
    """Smooth images of 16x16 in colour."""
    rows, columns = np.mgrid[:16, :16] / 15
    waves = [np.sin(7 * rows * k + c) * np.cos(5 * columns + k) for k in range(1, 5) for c in range(3)]
    return (127 + 80 * np.array(waves)).reshape(4, 3, 16, 16).transpose(0, 2, 3, 1).astype("uint8")


@pytest.mark.parametrize("kind", corruptions.KINDS)
def test_every_kind_grows_with_its_severity(images, kind):
    found = [corruptions.corrupt(images, kind, severity) for severity in corruptions.SEVERITIES]
    far = [np.abs(each.astype(int) - images).mean() for each in found]
    assert found[0].shape == images.shape and found[0].dtype == np.uint8
    assert far[0] > 0 and far[-1] > far[0] and (corruptions.corrupt(images, kind, 5) == found[-1]).all()


def test_seeds_and_grey_images(images):
    first, other = (corruptions.corrupt(images, "gaussian_noise", 3, seed) for seed in (0, 1))
    assert (first != other).any()
    grey = images[..., :1]
    for kind in corruptions.kinds(grey.shape[1:]):
        assert corruptions.corrupt(grey, kind, 2).shape == grey.shape
    assert "saturate" in corruptions.kinds((8, 8, 3)) and "saturate" not in corruptions.kinds((8, 8, 1))
    with pytest.raises(UserError, match="snow"):
        corruptions.corrupt(images, "snoww", 1)
    with pytest.raises(UserError, match="1 to 5"):
        corruptions.corrupt(images, "snow", 6)


@pytest.mark.parametrize("kind", ["zoom_blur", "motion_blur", "glass_blur", "elastic", "rotate", "snow"])
def test_images_that_are_read_a_few_at_a_time_are_the_same(images, kind, monkeypatch):
    whole = corruptions.corrupt(images, kind, 3)
    monkeypatch.setattr(sampling, "PIXELS", 16 * 16, raising=False)
    assert (corruptions.corrupt(images, kind, 3) == whole).all()


@pytest.mark.parametrize("kind", ["zoom_blur", "motion_blur", "scale"])
def test_many_images_take_little_more_than_their_numbers(kind, monkeypatch):
    monkeypatch.setattr(sampling, "PIXELS", 32 * 32, raising=False)
    images = np.zeros((100, 32, 32, 3), "uint8")
    tracemalloc.start()
    corruptions.corrupt(images, kind, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 8 * images.size


def test_moves_and_stripes_do_what_they_say():
    image = np.zeros((1, 17, 17, 1), "uint8")
    image[:, 8, 2:15] = 200  # a line through the centre
    assert (corruptions.corrupt(image, "scale", 5)[0, 8] > 100).sum() < 10
    turned = corruptions.corrupt(image, "rotate", 5)[0, ..., 0]
    assert np.diag(turned).sum() + np.diag(turned[::-1]).sum() > 5 * turned[8].sum() / 4
    striped = corruptions.corrupt(image, "stripe", 1)
    assert ((striped != image).any(axis=(0, 1, 3)).sum() == 1) and (striped + image)[striped != image].max() <= 255


def test_what_training_already_shows_is_named():
    recipe = ("flip", ("pad_crop", 4), "randaugment")
    assert corruptions.trained_on(recipe, "translate") == ["pad_crop", "randaugment"]
    assert corruptions.trained_on(recipe, "snow") == [] and corruptions.trained_on((("augmix", 9),), "contrast") == []
    from kerasdl.data.augment import AUGMENTS
    assert {name for names in corruptions.TRAINED_BY.values() for name in names} <= set(AUGMENTS)
    assert set(corruptions.TRAINED_BY) <= set(corruptions.KINDS)
