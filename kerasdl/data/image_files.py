"""Image files as a split: all decoded in memory, or names that are decoded as they are used."""

import os
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from kerasdl.data import images
from kerasdl.data.image_args import ImageArgs
from kerasdl.data.split import Split
from kerasdl.errors import DataError

LOOKS = 100  # files that are looked at for their channels
MEMORY = 2 * 2**30  # bytes of decoded pixels that are kept in memory; above, files are decoded as they are used


def split_of(files: Sequence[Path], y: np.ndarray | None, classes: Sequence[str], args: ImageArgs, *,
             shape: tuple[int, ...] | None = None, weights: np.ndarray | None = None) -> Split:
    """Return image files as one split called "all".

    Args:
        files: image files.
        y: their targets; None without.
        classes: the classes' names.
        args: how they are read.
        shape: (H, W, C) of an example; None: as asked for, or as in the first file, with one channel if all files that
            are looked at are grey.
        weights: how much each counts in training; None: all alike.

    Raises:
        DataError: a file that is broken, or of another size.
    """
    args.check()
    shape = shape or _measure(files, args)
    pixels, decode = _images(files, shape, args.fit, args.ends)
    paths = None if decode else names_in_bytes(files)
    return Split("all", pixels, y, shape, len(files), tuple(classes), decode=decode, reading=args.reading(),
                 weights=weights, paths=paths)


def divided(whole: Split, files: Sequence[Path], root: Path, parts: Mapping[str, np.ndarray]) -> dict[str, Split]:
    """Return the parts of a split of image files, each with a checksum of the names and sizes of its files.

    Args:
        whole: the split.
        files: its files.
        root: the folder that the names in the checksum are relative to.
        parts: {"train": indices, ...}.
    """
    inside = np.array([os.fsencode(os.path.relpath(file, root)) + b":%d" % file.stat().st_size for file in files])
    return {name: whole.part(index, name=name, checksum=zlib.crc32(b"/".join(inside[index])))
            for name, index in parts.items()}


def groups_of(files: Sequence[Path], root: Path, group: int | str | None) -> np.ndarray | None:
    """Return the name of the group that each file belongs to, (N,).

    Args:
        files: image files.
        root: the folder that was asked for.
        group: 1: the name of the folder that a file lies in, 2: that of the folder above it ...; or a regular
            expression that is searched in the file's path below the root, whose first bracket, or else whole match, is
            the group. None: no groups.

    Raises:
        DataError: a file that has no such folder or does not match, or not an expression.
    """
    return None if group is None else names_of(files, root, group)


def names_of(files: Sequence[Path], root: Path, group: int | str) -> np.ndarray:
    """Return what `groups_of` gives; the arguments are its."""
    if isinstance(group, str):
        try:
            pattern = re.compile(group)
        except re.error as error:
            raise DataError(f"group={group!r} is not a regular expression: {error}.") from None
    elif type(group) is not int or group < 1:
        raise DataError(f"group is a level of folders, 1 or more, or a regular expression. Received: {group!r}.")
    names = []
    for file in files:
        inside = Path(os.path.relpath(file, root))
        if isinstance(group, int):
            found = inside.parts[-1 - group] if len(inside.parts) > group else None
        else:
            match = pattern.search(inside.as_posix())
            found = match and (match[1] if pattern.groups else match[0])
        if found is None:
            raise DataError(f"group={group}: {inside} has no such part.")
        names.append(found)
    return np.array(names)


def names_in_bytes(files: Sequence[Path]) -> np.ndarray:
    """Return the names of files as bytes (N,): a name need not be UTF-8."""
    return np.array([os.fsencode(file) for file in files])


def _images(files: Sequence[Path], shape: tuple[int, ...], fit: images.Fit | None, ends: images.Range | None
            ) -> tuple[np.ndarray, Callable | None]:
    """Return the images (N, H, W, C) and None; of more than MEMORY the names of their files and what reads one."""
    def decode(name):
        return images.decode(name, shape, fit, ends)

    if len(files) * np.prod(shape) > MEMORY:
        return names_in_bytes(files), decode
    found = np.empty((len(files), *shape), "uint8")  # filled in place: a list of images would take as much again

    def read(index: int) -> None:
        found[index] = images.load_image(files[index], shape, fit, ends)

    with ThreadPoolExecutor() as pool:
        list(pool.map(read, range(len(files))))  # a list raises what a thread raised
    return found, None


def _measure(files: Sequence[Path], args: ImageArgs) -> tuple[int, int, int]:
    def seen(file: Path) -> tuple[int, ...]:
        return images.read_raw(file, args.ends).shape

    height, width = args.size or seen(files[0])[:2]
    looked_at = files[::max(1, len(files) // LOOKS)]
    return height, width, args.channels or (1 if all(seen(file)[2] == 1 for file in looked_at) else 3)
