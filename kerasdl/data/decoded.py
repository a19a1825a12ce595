"""Decoded images, kept on disk for the next process that reads the same: decoding is much of a short run.

What is kept is named by all that it depends on, so that nothing has to be compared. A file that is damaged is not read,
and where none can be written every process decodes for itself.
"""

import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl import files
from kerasdl.errors import UserError

SMALLEST, LARGEST = 2**22, 2**28  # bytes of images: fewer are decoded at once, more would leave no room for others
LIMIT = 2**30  # bytes of all that is kept; beyond it those go that have not been read for longest
ROOM = 2**31  # bytes that must be free on the disk


def kept(known: Any, size: int, decode: Callable[[], tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and labels that `decode` makes, or made in a process before this one.

    Args:
        known: all that they depend on; its repr names them.
        size: of the images, in bytes.
        decode: called if they are not kept yet.
    """
    if not SMALLEST <= size <= LARGEST:
        return decode()
    try:
        file = root() / f"{hashlib.sha256(repr(known).encode()).hexdigest()[:32]}.npz"
    except UserError:  # no home folder
        return decode()
    with suppress(OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        with np.load(file) as held:  # which sums up what it reads, and compares
            found = held["images"], held["labels"]
        os.utime(file)
        return found
    images, labels = decode()
    with suppress(OSError):
        root().mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(root()).free > ROOM:
            with files.whole(file) as partial, open(partial, "wb") as opened:
                np.savez(opened, images=images, labels=labels)
            tidy()
    return images, labels


def root() -> Path:
    """Return the folder of all."""
    return files.cache() / "decoded"


def tidy() -> None:
    """Remove what has not been read for longest, while there is too much."""
    there = []
    for file in root().glob("*.npz"):
        with suppress(OSError):  # another process removes it
            there.append((file.stat().st_mtime, file.stat().st_size, file))
    there.sort(reverse=True)
    total = 0
    for _, size, file in there:
        total += size
        if total > LIMIT:
            with suppress(OSError):
                file.unlink()
