"""The files of checkpoints: whole or not at all, the last two, and damage is found."""

import os
import threading
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from kerasdl.checkpoints.callback import CheckpointCallback
from kerasdl.checkpoints.files import Checkpoints, Damaged
from kerasdl.checkpoints.trim import trim


def test_every_flipped_byte_of_a_state_is_found_or_harmless(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    arrays = {"a/0": np.arange(40, dtype="float32"), "b/0": np.array(7)}
    checkpoints.save(3, (dict(arrays), {"x": 1}))
    checkpoints.wait()
    file = tmp_path / "step-00000003.npz"
    good, found = file.read_bytes(), 0
    for place in range(0, len(good), 7):
        bad = bytearray(good)
        bad[place] ^= 4
        file.write_bytes(bytes(bad))
        try:
            read, facts = checkpoints.read(3)
            assert facts == {"x": 1} and all(np.array_equal(read[name], arrays[name]) for name in arrays)
        except Damaged:
            found += 1
    assert found > len(good) / 7 / 3


def test_a_state_that_lacks_an_array_or_has_a_checksum_that_differs_is_found(tmp_path):
    checkpoints, file = Checkpoints(tmp_path), tmp_path / "step-00000003.npz"
    checkpoints.save(3, ({"a/0": np.arange(40.0), "b/0": np.array(7)}, {}))
    checkpoints.wait()
    good = file.read_bytes()
    with zipfile.ZipFile(file) as whole, zipfile.ZipFile(tmp_path / "less.npz", "w") as less:
        for name in ("facts.npy", "a/0.npy"):
            less.writestr(name, whole.read(name))
    (tmp_path / "less.npz").rename(file)
    with pytest.raises(Damaged, match="not the arrays"):
        checkpoints.read(3)
    place = good.rindex(b"PK\x01\x02") + 8  # of the last part in the list: whether it is encrypted
    file.write_bytes(good[:place] + bytes([good[place] | 1]) + good[place + 1:])
    with pytest.raises(Damaged, match="encrypted"):
        checkpoints.read(3)


def test_rows_are_on_the_disk_before_a_state_and_one_that_is_cut_short_goes(tmp_path, monkeypatch):
    rows, synced = tmp_path / "metrics.csv", []
    rows.write_text("epoch,loss\n0,1.0\n1,0.")
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.readlink(f"/proc/self/fd/{number}")))
    checkpoints = Checkpoints(tmp_path / "checkpoint", rows)
    checkpoints.save(3, ({"a/0": np.zeros(3)}, {}))
    assert checkpoints.wait() and synced[0] == str(rows) and synced[1].endswith("step-00000003.npz")
    trim(tmp_path, 2)
    assert rows.read_text() == "epoch,loss\n0,1.0\n"


def test_a_full_disk_is_reported_and_nothing_is_lost(tmp_path, monkeypatch, caplog):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, ({"a/0": np.zeros(3)}, {}))
    assert checkpoints.wait()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    checkpoints.save(2, ({"a/0": np.ones(3)}, {}))
    assert not checkpoints.wait()
    (line,) = caplog.messages
    assert "No space left" in line and "\n" not in line
    assert checkpoints.sound() == [1] and sorted(path.name for path in tmp_path.iterdir()) == ["step-00000001.npz"]


def test_a_disk_that_hangs_does_not_hold_up_the_training(tmp_path, monkeypatch):
    answers, write = threading.Event(), np.savez
    monkeypatch.setattr(np, "savez", lambda *given, **arrays: answers.wait(60) and write(*given, **arrays))
    checkpoints = Checkpoints(tmp_path)
    saver = SimpleNamespace(checkpoints=checkpoints, step=1, asked=0, steps=9, ask_every=1, every=0, saved_at=0,
                            devices=tf.distribute.get_strategy(), stop=SimpleNamespace(number=None),
                            _state=lambda: ({"a/0": np.zeros(3)}, {}))
    CheckpointCallback._save_if_due(saver)
    saver.step = 2
    CheckpointCallback._save_if_due(saver)
    assert checkpoints.busy, "the second did not wait for the first"
    answers.set()
    checkpoints.wait()
    saver.step = 3
    CheckpointCallback._save_if_due(saver)
    checkpoints.wait()
    assert checkpoints.steps() == [3, 1]


def test_two_checkpoints_are_kept_in_a_folder_that_is_made(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoint" / "worker-0")
    for step in (5, 40, 300):
        checkpoints.save(step, ({"a/0": np.zeros(3)}, {}))
    checkpoints.wait()
    assert checkpoints.steps() == [300, 40]


def test_what_a_killed_process_had_begun_to_write_is_removed(tmp_path):
    (tmp_path / ".partial-7-step-00000001.npz").write_bytes(b"begun")
    assert Checkpoints(tmp_path).sound() == [] and not list(tmp_path.iterdir())
