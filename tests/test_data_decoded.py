"""Decoded images that are kept on disk: the same as decoded anew, whatever has happened to the set or to the file."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from data_harness import PARTS

from kerasdl.data import decoded, load, load_splits
from kerasdl.data.sources import tfds as named


@pytest.fixture
def decodings(tmp_path, monkeypatch):
    """The parts of digits that have been decoded, in a cache and a copy of the set of their own."""
    load("digits")
    there = next(folder for folder in named.data_dirs() if (folder / "digits").is_dir())
    shutil.copytree(there / "digits", tmp_path / "sets" / "digits")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "sets"))
    monkeypatch.setenv("KERASDL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(decoded, "SMALLEST", 0)
    monkeypatch.setattr(named, "read", named.read.__wrapped__)  # conftest keeps what was read, too
    calls, arrays = [], named._arrays

    def counted(source, expression):
        calls.append(expression)
        return arrays(source, expression)

    monkeypatch.setattr(named, "_arrays", counted)
    return calls


def test_each_part_is_decoded_once(decodings):
    first, second = (load_splits("digits", PARTS) for _ in range(2))
    assert len(decodings) == len(PARTS)
    for part in PARTS:
        np.testing.assert_array_equal(first[part].x, second[part].x)
        np.testing.assert_array_equal(first[part].y, second[part].y)
        assert second[part].x.dtype == np.uint8 and second[part].y.dtype == np.int32 and second[part].x.flags.writeable
    few = load("digits", "train[:100]")
    np.testing.assert_array_equal(few.x, first["train"].x[:100])
    assert len(decodings) == len(PARTS) + 1


def test_images_that_are_resized_are_not_kept(decodings):
    for size in (16, 16, 32):
        assert load("digits", image_size=(size, size)).x.shape[1] == size
    assert len(decodings) == 3 and not decoded.root().exists()


def test_a_set_that_was_prepared_anew_is_decoded_anew(decodings, tmp_path):
    before = load("digits", "test").x
    for file in (tmp_path / "sets").rglob("*.tfrecord*"):
        os.utime(file, ns=(1, 1))
    np.testing.assert_array_equal(load("digits", "test").x, before)
    assert len(decodings) == 2


@pytest.mark.parametrize("damage", ["cut", "other byte", "no archive", "empty"])
def test_a_damaged_file_is_replaced(decodings, damage):
    before = load("digits", "test")
    file, = decoded.root().iterdir()
    content = bytearray(file.read_bytes())
    if damage == "other byte":
        content[len(content) // 2] ^= 255  # among the pixels
    half = content[:len(content) // 2]
    file.write_bytes({"cut": half, "other byte": content, "no archive": b"x", "empty": b""}[damage])
    for _ in range(2):
        np.testing.assert_array_equal(load("digits", "test").x, before.x)
    assert len(decodings) == 2


def test_where_nothing_can_be_kept_it_works_all_the_same(decodings, tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file, where the folder would be")
    assert len(load("digits", "test")) == 360
    monkeypatch.setenv("KERASDL_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(Path, "expanduser", lambda self: (_ for _ in ()).throw(RuntimeError("no home")))
    assert len(load("digits", "test")) == 360


def test_what_has_not_been_read_for_longest_goes_first(decodings, monkeypatch):
    for number, part in enumerate(("train", "val", "test")):
        load("digits", part)
        newest = max(decoded.root().iterdir(), key=lambda file: file.stat().st_mtime)
        os.utime(newest, (number, number))
    load("digits", "train")  # so that val has waited longest
    monkeypatch.setattr(decoded, "LIMIT", sum(file.stat().st_size for file in decoded.root().iterdir()))
    load("digits", "train[:10]")
    decodings.clear()
    for part in ("train", "test", "train[:10]", "val"):
        load("digits", part)
    assert decodings == ["validation"]
