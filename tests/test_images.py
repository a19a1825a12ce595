"""Image files are read as a viewer shows them, or refused: turned, transparent, of 16 bits, in any format."""

import io
import struct
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps, features

from kerasdl.data import image_files, images, layout, load, load_splits
from kerasdl.data.images import read_raw
from kerasdl.errors import DataError, UserError
from kerasdl.evaluation.paint import hole_of
from kerasdl.evaluation.predict import predict
from kerasdl.photos.folder import _size
from kerasdl.train.fit import train

PARTS = {part: part for part in ("train", "val", "test")}
RNG = np.random.default_rng(0)


def noise(*shape, low=0, high=256, dtype="uint8"):
    return RNG.integers(low, high, shape).astype(dtype)


def refused(call, *words):
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value), caught.value


# What a file shows


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_its_exif_says(tmp_path, orientation, suffix):
    stored = np.zeros((16, 24, 3), "uint8")
    stored[:8, :12] = 240  # the upper left corner is light, so that all eight differ
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(stored).save(tmp_path / f"a.{suffix}", exif=exif, quality=95)
    shown = read_raw(tmp_path / f"a.{suffix}")
    turns = {1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1], 5: stored.swapaxes(0, 1),
             6: stored.swapaxes(0, 1)[:, ::-1], 7: stored.swapaxes(0, 1)[::-1, ::-1], 8: stored.swapaxes(0, 1)[::-1]}
    assert shown.shape == turns[orientation].shape
    np.testing.assert_allclose(shown.astype(int), turns[orientation], atol=30)


def test_a_tag_of_another_type_does_not_keep_a_photograph_from_being_turned(tmp_path):
    """Its unit of resolution is written as a fraction, which Pillow reads and cannot write again."""
    tags = [(274, 3, 1, struct.pack("<HH", 6, 0)), (296, 5, 1, struct.pack("<I", 8 + 2 + 2 * 12 + 4))]
    block = b"II*\0" + struct.pack("<IH", 8, 2) + b"".join(
        struct.pack("<HHI", *tag[:3]) + tag[3] for tag in tags) + struct.pack("<III", 0, 2, 1)
    Image.new("L", (24, 16), 200).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + block)
    Image.new("L", (24, 16), 255).save(tmp_path / "mask.png", exif=b"Exif\0\0" + block)
    Image.fromarray(noise(16, 24, dtype="uint16")).save(tmp_path / "deep.png", exif=b"Exif\0\0" + block)
    assert read_raw(tmp_path / "a.jpg").shape == (24, 16, 1)
    assert read_raw(tmp_path / "deep.png", (0, 255)).shape == (24, 16, 1)
    assert hole_of(tmp_path / "mask.png", np.zeros((24, 16, 1)), tmp_path / "a.jpg").all()
    with pytest.raises(DataError, match="a.tif does not decode"), images.decoding("a.tif"):
        struct.unpack("<I", b"")


@pytest.mark.parametrize("mode, suffix", [("RGBA", "png"), ("LA", "png"), ("RGBA", "webp"), ("RGBA", "tif"),
                                          ("P", "png"), ("P", "gif")])
def test_what_is_drawn_in_alpha_alone_is_seen(tmp_path, mode, suffix):
    alpha = np.zeros((16, 16), "uint8")
    alpha[4:12, 4:12] = 255
    black = np.zeros((16, 16, 3), "uint8")
    icon = Image.fromarray(np.dstack([black, alpha]))
    icon = icon.convert("LA") if mode == "LA" else icon
    if mode == "P":
        icon = Image.fromarray((alpha > 0).astype("uint8"))
        icon.putpalette([9, 9, 9, 0, 0, 0])
        icon.save(tmp_path / f"a.{suffix}", transparency=0)
    else:
        icon.save(tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    shown = read_raw(tmp_path / f"a.{suffix}")
    assert (shown[4:12, 4:12] == 0).all() and (shown[:4] == 255).all()
    assert shown.shape[2] == (1 if mode == "LA" else 3)


def test_white_on_a_transparent_ground_is_refused_and_not_lost(tmp_path):
    icon = np.full((8, 8, 4), 255, "uint8")
    icon[:4, :, 3] = 0
    Image.fromarray(icon).save(tmp_path / "a.png")
    refused(lambda: read_raw(tmp_path / "a.png"), "a.png", "white on a transparent ground")
    icon[..., 3] = 255
    Image.fromarray(icon).save(tmp_path / "a.png")  # plain white is what it is
    assert (read_raw(tmp_path / "a.png") == 255).all()


@pytest.mark.parametrize("values, suffix", [
    (noise(8, 8, high=4096, dtype="uint16"), "png"), (noise(8, 8, high=4096, dtype="uint16"), "tif"),
    (noise(8, 8, high=4096, dtype="int32"), "tif"), (noise(8, 8, high=4096, dtype="float32"), "tif")])
def test_more_than_8_bits_need_a_range(tmp_path, values, suffix):
    Image.fromarray(values).save(file := tmp_path / f"a.{suffix}")
    refused(lambda: read_raw(file), f"a.{suffix}", "more than 8 bits", f"{values.min():.6g}..{values.max():.6g}",
            "value_range=")
    np.testing.assert_array_equal(read_raw(file, (0, 4095))[..., 0], np.round(values / 4095 * 255).astype("uint8"))
    clipped = read_raw(file, (1000, 2000))[..., 0]
    assert (clipped[values <= 1000] == 0).all() and (clipped[values >= 2000] == 255).all()


def test_colours_of_16_bits_are_not_cut_to_8_in_silence(tmp_path):
    import tensorflow as tf

    values = noise(8, 8, 3, high=4096, dtype="uint16")
    (tmp_path / "a.png").write_bytes(tf.io.encode_png(values).numpy())
    refused(lambda: read_raw(tmp_path / "a.png"), "more than 8 bits")
    expected = np.round(values / 4095 * 255).astype("uint8")
    np.testing.assert_array_equal(read_raw(tmp_path / "a.png", (0, 4095)), expected)
    (tmp_path / "b.png").write_bytes(tf.io.encode_png(np.concatenate([values, values[..., :1]], -1)).numpy())
    refused(lambda: read_raw(tmp_path / "b.png", (0, 4095)), "16-bit colours and transparency")


def test_a_bitmap_of_5_6_and_5_bits_is_no_image_of_16_bits(tmp_path):
    import struct

    pixels = struct.pack("<4H", 0xF800, 0x07E0, 0x001F, 0xFFFF)  # the lower row first: red, green; blue, white
    masks = struct.pack("<3I", 0xF800, 0x07E0, 0x001F)
    head = struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, 16, 3, 8, 0, 0, 0, 0) + masks
    start = struct.pack("<IHHI", 14 + len(head) + 8, 0, 0, 14 + len(head))
    (tmp_path / "a.bmp").write_bytes(b"BM" + start + head + pixels)
    np.testing.assert_array_equal(read_raw(tmp_path / "a.bmp"), [[[0, 0, 255], [255, 255, 255]],
                                                                 [[255, 0, 0], [0, 255, 0]]])


def test_a_range_is_of_more_than_8_bits(tmp_path):
    """Files of 8 bits, with a palette or without, are what a viewer shows: scaled as 12 bits they would be black."""
    image = Image.fromarray(np.resize([0, 1], (8, 8)).astype("uint8"))
    image.putpalette([0, 0, 0, 100, 100, 100])
    image.save(tmp_path / "a.png")
    assert set(np.unique(read_raw(tmp_path / "a.png", (0, 200)))) == {0, 100}
    for name in ("b.jpg", "b.png"):
        Image.fromarray(noise(8, 8)).save(tmp_path / name)
        wanted = read_raw(tmp_path / name)
        np.testing.assert_array_equal(read_raw(tmp_path / name, (0, 4095)), wanted)
        found = images.decode(str(tmp_path / name), (8, 8, 1), None, (0, 4095))
        np.testing.assert_array_equal(found.numpy(), wanted)


@pytest.mark.parametrize("magic", [b"P2", b"P5"])
def test_a_pgm_of_12_bits_has_its_own_values(tmp_path, magic):
    """Pillow stretches them to 65535."""
    values = np.arange(64, dtype="uint16").reshape(8, 8) * 65
    pixels = values.astype(">u2").tobytes() if magic == b"P5" else " ".join(map(str, values.ravel())).encode()
    (tmp_path / "a.pgm").write_bytes(magic + b" 8 8 4095\n" + pixels)
    refused(lambda: read_raw(tmp_path / "a.pgm"), "more than 8 bits", f"{values.min()}..{values.max()}")
    np.testing.assert_array_equal(read_raw(tmp_path / "a.pgm", (0, 4095))[..., 0], np.round(values / 4095 * 255))


@pytest.mark.parametrize("largest", [4095, 65535])
def test_a_ppm_of_more_than_8_bits_is_refused(tmp_path, largest):
    (tmp_path / "a.ppm").write_bytes(b"P6 4 4 %d\n" % largest + np.arange(48, dtype=">u2").tobytes())
    for ends in (None, (0, 4095)):
        refused(partial(read_raw, tmp_path / "a.ppm", ends), "a.ppm", "16 bits", "Convert it")
    (tmp_path / "b.ppm").write_bytes(b"P6 4 4 15\n" + bytes([0, 5, 15] * 16))
    assert read_raw(tmp_path / "b.ppm")[0, 0].tolist() == [0, 85, 255]


@pytest.mark.parametrize("value_range", ["4095", [1, 1], [2, 1], [0], [0, "x"], 7])
def test_a_range_is_two_numbers(tmp_path, value_range):
    refused(lambda: images.checked_range(value_range), "(low, high)")


def test_a_model_of_16_bit_images_reads_others_by_the_same_rule(here):
    for name, low in (("low", 0), ("high", 3000)):  # far enough apart that any draw of them is learned
        (here / "scans" / name).mkdir(parents=True)
        for index in range(30):
            scan = noise(8, 8, low=low, high=low + 1000, dtype="uint16")
            Image.fromarray(scan).save(here / f"scans/{name}/{index}.png")
    args = {"value_range": (0, 4000)}
    run = train("linear_digits", data="folder:scans", data_args=args, splits={}, batch=16, epochs=100, augment=(),
                workdir="run", verbose=False)
    assert run.data["reading"] == {"value_range": [0, 4000]} and run.result["test"]["accuracy"] == 1
    answers = dict(predict(run, ["scans/low/0.png", "scans/high/0.png"]))
    assert [answers[f"scans/{name}/0.png"][0][0] for name in ("low", "high")] == ["low", "high"]


@pytest.mark.parametrize("suffix, options", [
    ("png", {}), ("bmp", {}), ("webp", {"lossless": True}), ("tif", {}), ("gif", {}), ("ppm", {}), ("jp2", {}),
    ("avif", {"quality": 100}), ("jpg", {"quality": 95}), ("jfif", {"quality": 95}), ("jpe", {"quality": 95})])
@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1"])
def test_formats_and_modes_of_8_bits(tmp_path, suffix, options, mode):
    smooth = Image.fromarray(noise(3, 3, 3)).resize((24, 24), Image.Resampling.BICUBIC)
    image = smooth.convert(mode)
    lossy = suffix in ("jpg", "jfif", "jpe", "avif", "gif")
    if mode in "P1" and suffix not in ("png", "bmp", "tif") and (suffix, mode) != ("gif", "P"):
        image = smooth
    image.save(tmp_path / f"a.{suffix}", **({"format": "JPEG"} if suffix in ("jfif", "jpe") else {}), **options)
    shown = read_raw(tmp_path / f"a.{suffix}")
    expected = np.asarray(image.convert("RGB"))
    assert shown.dtype == "uint8" and shown.shape[2] in (1, 3)
    loss = 40 if lossy and image.mode != "P" else 0
    np.testing.assert_allclose(np.broadcast_to(shown, (24, 24, 3)).astype(int), expected, atol=loss)


def test_cmyk_and_profiles_become_srgb(tmp_path):
    red = Image.new("RGB", (8, 8), (200, 30, 30))
    red.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    np.testing.assert_allclose(read_raw(tmp_path / "cmyk.jpg")[0, 0].astype(int), (200, 30, 30), atol=12)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    red.save(tmp_path / "srgb.png", icc_profile=srgb)
    np.testing.assert_array_equal(read_raw(tmp_path / "srgb.png")[0, 0], (200, 30, 30))
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    red.save(tmp_path / "wrong.png", icc_profile=lab)  # of other channels than the image: ignored, as viewers do
    np.testing.assert_array_equal(read_raw(tmp_path / "wrong.png")[0, 0], (200, 30, 30))
    red.save(tmp_path / "broken.png", icc_profile=b"no profile")
    np.testing.assert_array_equal(read_raw(tmp_path / "broken.png")[0, 0], (200, 30, 30))


def test_a_profile_counts_under_transparency_too(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(images, "_in_srgb", lambda image: seen.append(image.mode) or image)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGBA", (8, 8), (200, 30, 30, 255)).save(tmp_path / "a.png", icc_profile=profile)
    read_raw(tmp_path / "a.png")
    assert seen == ["RGB"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"]),
       form=st.sampled_from(["PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "AVIF", "JPEG2000"]),
       height=st.integers(1, 20), width=st.integers(1, 20), seed=st.integers(0, 999))
def test_whatever_pillow_writes_is_shown_or_refused_in_a_line(tmp_path, mode, form, height, width, seed):
    rng = np.random.default_rng(seed)
    base = Image.fromarray(rng.integers(0, 256, (height, width, 4), "uint8"))
    base = base if mode == "RGBA" else base.convert("RGB")
    image = base.convert("L").convert(mode) if mode in ("I;16", "I", "F", "1") else base.convert(mode)
    file = tmp_path / "a.bin"
    try:
        image.save(file, form)
    except (OSError, ValueError, KeyError):
        return
    try:
        shown = read_raw(file)
    except DataError as error:
        assert "\n" not in str(error) and (Image.open(file).mode in images.DEEP or "white" in str(error)), error
        return
    with Image.open(file) as again:
        seen = ImageOps.exif_transpose(again).convert("RGBA")
    over = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
    assert shown.shape[:2] == (height, width)
    np.testing.assert_allclose(np.broadcast_to(shown, (height, width, 3)).astype(int), np.asarray(over), atol=1)


@pytest.mark.parametrize("damage", [b"", b"no image", b"\x89PNG\r\n\x1a\n", None])
def test_a_broken_file_is_named(tmp_path, damage):
    buffer = io.BytesIO()
    Image.fromarray(noise(64, 64, 3)).save(buffer, "PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue()[:2000] if damage is None else damage)
    refused(lambda: read_raw(tmp_path / "a.png"), "a.png", "does not decode")


@pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
@pytest.mark.parametrize("after, size", [(b"pitm\0\0\0\0", None), (b"mdat", (16, 16))])  # which image, its pixels
def test_a_broken_avif_is_named_too(tmp_path, after, size):
    """Pillow raises a RuntimeError."""
    Image.new("RGB", (16, 16)).save(file := tmp_path / "a.avif")
    whole = bytearray(file.read_bytes())
    place = whole.index(after) + len(after)
    whole[place:place + 2] = b"\xff\xff"
    file.write_bytes(whole)
    with pytest.raises(RuntimeError), Image.open(file) as opened:
        opened.load()
    refused(lambda: read_raw(file), "a.avif", "does not decode")
    assert _size(file) == size


# What a folder means


def tree(root, *files):
    """Images at these places below a folder."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(8, 8, 3)).save(root / file, "PNG")


def pair(root, *parts, classes=("cats", "dogs"), count=10):
    for part in parts:
        tree(root / part, *(f"{name}/{index}.png" for name in classes for index in range(count)))


@pytest.mark.parametrize("parts", [
    ("train", "valid", "test"), ("Training", "Validation", "Testing"), ("training_set", "dev_set", "test_set"),
    ("seg_train/seg_train", "seg_val/seg_val", "seg_test/seg_test"), ("TRAIN", "DEV", "TEST"),
    ("archive/data/train", "archive/data/val", "archive/data/test"), ("trainset", "valset", "testset"),
    ("train_images", "val_images", "test_images"), ("images/train", "images/dev", "images/test")])
def test_usual_layouts_are_understood(tmp_path, parts, caplog):
    pair(tmp_path / "set", *parts, count=4)
    found = load_splits(f"folder:{tmp_path}/set", PARTS)
    assert found["train"].classes == ("cats", "dogs") and [len(found[part]) for part in PARTS] == [8, 8, 8]
    plain = all(name == part for name, part in zip(parts, ("train", "val", "test"), strict=True))
    assert plain or "is read as" in caplog.text


@pytest.mark.parametrize("wrapper", ["photos", "photos/all", "train"])
def test_folders_around_the_classes_are_looked_through(tmp_path, wrapper, caplog):
    pair(tmp_path / "set", wrapper)
    assert load(f"folder:{tmp_path}/set").classes == ("cats", "dogs")


def test_classes_with_names_of_parts_stay_classes(tmp_path):
    pair(tmp_path / "set", "", classes=("train", "bus", "test"))
    assert load(f"folder:{tmp_path}/set").classes == ("bus", "test", "train")


def test_parts_within_classes_are_not_divided_anew_in_silence(tmp_path):
    pair(tmp_path / "set", "", classes=("cats/train", "cats/test", "dogs/train"), count=1)
    refused(lambda: load(f"folder:{tmp_path}/set"), "such as cats/test", "move those images to test/cats")
    pair(tmp_path / "other", "", classes=("cats/train", "dogs/train", "dogs/train/test"), count=5)  # one part only
    assert load(f"folder:{tmp_path}/other").classes == ("cats", "dogs")


@pytest.mark.parametrize("name, part", [
    ("training_set", "train"), ("seg_test", "test"), ("Dev", "val"), ("trainset", "train"), ("val2017", None),
    ("trainer", None), ("train_cats", None), ("Test Images", "test"), ("set", None), ("validation-data", "val")])
def test_which_part_a_folder_says_it_is(name, part):
    assert layout.part_of(name) == part


def test_what_is_left_out_is_counted_and_named(tmp_path, caplog):
    pair(tmp_path / "set", "")
    for name in ("cats/a", "cats/b", "dogs/c", "notes.txt", "cats/labels.csv"):
        (tmp_path / "set" / name).write_bytes(b"x")
    tree(tmp_path / "set", "cats/@eaDir/0.png/thumb.png", "dogs/#recycle/1.png", "@eaDir/2.png", "dogs/.x/3.png")
    (tmp_path / "set" / "cats" / "Thumbs.db").touch()
    assert sum(map(len, load_splits(f"folder:{tmp_path}/set", PARTS).values())) == 20
    line = next(record.getMessage() for record in caplog.records if "left out" in record.getMessage())
    assert line.startswith("8 files") and "3 without a suffix, such as cats/a" in line and "2 in @eaDir" in line
    assert "1 in #recycle" in line or "other kinds" in line


def test_links_are_followed_once(tmp_path):
    pair(tmp_path / "set", "")
    pair(tmp_path / "more", "", classes=("cats",), count=3)
    (tmp_path / "set/cats/link").symlink_to(tmp_path / "more/cats")
    (tmp_path / "set/cats/loop").symlink_to(tmp_path / "set/cats")
    assert sum(map(len, load_splits(f"folder:{tmp_path}/set", PARTS).values())) == 23


def test_names_that_are_equal_up_to_unicode_are_one_class(tmp_path):
    pair(tmp_path / "set/train", "", classes=("caf\u00e9", "bar"))
    pair(tmp_path / "set/test", "", classes=("cafe\u0301", "bar"))
    found = load_splits(f"folder:{tmp_path}/set", PARTS)
    assert found["train"].classes == ("bar", "caf\u00e9") and len(found["test"]) == 20


def test_a_home_folder_may_be_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    pair(tmp_path / "set", "")
    assert load("folder:~/set").classes == ("cats", "dogs")


def test_a_set_that_is_decoded_as_it_is_used_shows_the_same(tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[274] = 6
    for name in ("a", "b"):
        for index in range(10):
            (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise(8, 8, 4)).save(tmp_path / f"set/{name}/{index}.png", exif=exif)
    held = load_splits(f"folder:{tmp_path}/set", PARTS)
    monkeypatch.setattr(image_files, "MEMORY", 0)
    read = load_splits(f"folder:{tmp_path}/set", PARTS)
    for part in PARTS:
        np.testing.assert_array_equal(read[part].take(np.arange(len(read[part])))[0], held[part].x)


# Images of any size as examples of one


def as_evaluated(image, side, crop, filter):
    """Return what timm's transform for evaluation makes of an image: its shorter side resized, the centre kept."""
    width, height = image.size
    shorter = int(side / crop)
    size = (shorter, shorter * height // width) if width < height else (shorter * width // height, shorter)
    image = image.resize(size, filter)
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    return np.asarray(image.crop((left, top, left + side, top + side)))


@pytest.mark.parametrize("interpolation, filter", [("bilinear", Image.Resampling.BILINEAR),
                                                   ("bicubic", Image.Resampling.BICUBIC)])
@pytest.mark.parametrize("size", [(90, 61), (50, 133), (64, 64), (20, 31)])
def test_a_centre_crop_is_that_of_pillow_to_a_grey_level(tmp_path, size, interpolation, filter):
    pixels = np.random.default_rng(2).integers(0, 256, (9, 8, 3)).astype("uint8")
    image = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
    image.save(tmp_path / "a.png")
    found = images.load_image(tmp_path / "a.png", (32, 32, 3), images.Fit(0.875, interpolation)).astype(int)
    expected = as_evaluated(image, 32, 0.875, filter).astype(int)
    assert np.abs(found - expected).max() <= 1 and np.abs(found - expected).mean() < 0.1


@pytest.mark.parametrize("stored, shape, seen", [
    ((40, 80), (20, 20), (slice(None), slice(20, 60))), ((80, 40), (20, 20), (slice(20, 60), slice(None))),
    ((40, 80), (10, 20), (slice(None), slice(None))), ((64, 80), (10, 20), (slice(12, 52), slice(None)))])
def test_a_crop_keeps_the_proportions(tmp_path, stored, shape, seen):
    pixels = noise(*stored, 1)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "a.png")
    found = images.load_image(tmp_path / "a.png", (*shape, 1), images.Fit(1.0)).astype(int)
    expected = images.fitted(pixels[seen], (*shape, 1), images.Fit()).astype(int)
    inner = np.s_[2:-2, 2:-2]  # at the border the crop's own neighbours count
    assert np.abs(found - expected)[inner].max() <= 1


def folder_of(tmp_path, channels=3):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(20):
            Image.fromarray(noise(20 + number, 24, channels).squeeze()).save(tmp_path / name / f"{number}.png")
    return f"folder:{tmp_path}"


def test_a_run_predicts_images_fitted_as_those_that_it_was_trained_on(tmp_path):
    args = {"image_size": [16, 16], "crop": 0.8, "interpolation": "bicubic"}
    source = folder_of(tmp_path / "data")
    run = train("linear_digits", data=source, data_args=args, batch=8, epochs=1, workdir=tmp_path / "run")
    file = tmp_path / "data/cat/19.png"
    ((_, answers),) = predict(run, [file])
    pixels = images.load_image(file, (16, 16, 3), images.Fit(0.8, "bicubic"))
    logits = run.model().predict(pixels[None], verbose=0)[0]
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert answers[0][1] == pytest.approx(expected.max(), rel=1e-5)


def test_channels_are_as_asked_for(tmp_path):
    source = folder_of(tmp_path, channels=1)
    assert load(source, image_size=16).shape == (16, 16, 1)
    grey = load(source, image_size=16, channels=3)
    assert grey.shape == (16, 16, 3)
    assert (np.ptp(grey.x, axis=-1) == 0).all()
    assert load(source, image_size=16, channels=1).shape == (16, 16, 1)


def test_what_does_not_go_together_is_refused(tmp_path):
    source = folder_of(tmp_path)
    refused(lambda: load(source, crop=0.875), "crop", "image_size")
    refused(lambda: load(source, interpolation="bicubic"), "interpolation", "image_size")
    refused(lambda: load(source, image_size=8, crop=1.5), "crop", "1.5")
    refused(lambda: load(source, image_size=8, interpolation="lanczos"), "interpolation", "lanczos")
    refused(lambda: load(source, image_size=8, channels=2), "channels", "2")
