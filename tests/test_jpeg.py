"""The fast way into a JPEG gives Pillow's bits, and takes no file that needs more."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageCms

from kerasdl.data import images, jpeg

RNG = np.random.default_rng(0)


def smooth(height, width, channels):
    coarse = RNG.integers(0, 256, (height // 6 + 2, width // 6 + 2, channels), "uint8")
    image = Image.fromarray(coarse.squeeze()).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image).reshape(height, width, channels)


def written(image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("options", [{}, {"quality": 20}, {"quality": 100}, {"progressive": True}, {"subsampling": 0},
                                     {"subsampling": 1}, {"optimize": True}, {"restart_marker_rows": 1},
                                     {"comment": b"a"}],
                         ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_bits_are_those_of_pillow(tmp_path, options, channels):
    for size in [(1, 1), (7, 9), (16, 16), (33, 64), (121, 75), (200, 301)]:
        data = written(Image.fromarray(smooth(*size, channels).squeeze((2,) if channels == 1 else ())), **options)
        found = jpeg.read(data)
        expected = np.asarray(Image.open(io.BytesIO(data))).reshape(*size, channels)
        if options.get("quality") != 20:  # whose quantisation tables look as if more could follow
            np.testing.assert_array_equal(found, expected)
        (tmp_path / "a.jpg").write_bytes(data)
        name = tf.constant(str(tmp_path / "a.jpg"))
        np.testing.assert_array_equal(images.decode(name, (*size, channels), None), expected)


def test_files_that_hold_more_than_pixels_are_left_to_pillow():
    image = Image.fromarray(smooth(40, 60, 3))
    exif = Image.Exif()
    exif[images.ORIENTATION] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    plain = written(image)
    xmp = b"\xff\xe1" + (2 + 29 + 1).to_bytes(2, "big") + b"http://ns.adobe.com/xap/1.0/\0" + b" "
    for data in (written(image, exif=exif), written(image, icc_profile=profile), written(image.convert("CMYK")),
                 plain[:20] + xmp + plain[20:], plain[:-2] + xmp, b"GIF89a", b"", b"\xff\xd8",
                 written(image.convert("CMYK")).replace(b"Adobe", b"Other")):
        assert jpeg.read(data) is None
    assert jpeg.read(plain) is not None


def test_a_limit_of_pillow_holds_here_too(monkeypatch, tmp_path):
    data = written(Image.fromarray(smooth(40, 60, 3)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert not tf.function(jpeg.pixels)(tf.constant(data)).numpy().size


def test_images_are_conformed_as_op_by_op(tmp_path):
    for channels, wanted in ((1, 1), (1, 3), (3, 1), (3, 3)):
        for size, fit in (((20, 30), images.Fit()), ((45, 33), images.Fit(0.9, "bicubic")), ((37, 50), None)):
            image = smooth(37, 50, channels)
            Image.fromarray(image.squeeze()).save(tmp_path / "a.png")
            expected = images.conform(tf.constant(image), (*size, wanted), fit).numpy()
            found = images.load_image(tmp_path / "a.png", (*size, wanted), fit)
            np.testing.assert_array_equal(found, expected)
