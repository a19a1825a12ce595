"""Finding copies of training examples: equal ones, files of equal bytes, and images that show the same.

Images that show the same are found as perceptual hashes find them, by thumbnails of 8 x 8 ("average hash", Krawetz,
"Looks Like It", 2011), not rounded to bits: silhouettes such as MNIST's share most bits with each other. What two
thumbnails have in common is then checked on their fine detail.
"""

import os
import zlib
from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np

WHOLE = 1024  # bytes of an example that are read for its key, in RUNS pieces where it is larger
RUNS = 8
TAIL = 4096  # bytes at the end of a file that are read where another file has its size
TRAIN, ASKED = 8000, 250  # training images, and images of another split, that are looked at for near copies
SIDE, GRID = 8, 32  # of a thumbnail, and the largest one on which detail is compared
SMALLEST = 16  # pixels a side; smaller images, such as 8 x 8 digits, have no detail that tells copies from neighbours
LIKE = 0.8  # correlation of two thumbnails from which their detail is compared
# Correlation of detail from which two images show the same. Between the standard splits, at most 0.2 % of MNIST and
# CIFAR-10 reach it, and 0.9 % of Fashion-MNIST, whose shirts are alike. Of images of LARGE pixels or more, which have
# more detail, no street scene does and 1.4 % of photographs of blood cells. Of copies saved as JPEG of quality 60, at
# least 83 % do; of those moved by a pixel, at least 25 %.
SAME, SAME_LARGE, LARGE = 0.97, 0.9, 64


def keys(x: np.ndarray) -> np.ndarray:
    """Return a number for each example, uint64 (N,): the same for equal ones, and almost never for others.

    It is a multilinear hash (Lemire and Kaser, "Strongly universal string hashing is fast", 2014) of words of 32 bits.
    Of examples larger than WHOLE it reads a part, so that equal keys have to be confirmed; see `copied`.
    """
    if x.dtype.hasobject:
        return np.array([zlib.crc32(str(example).encode()) for example in x], "uint64")
    data = np.ascontiguousarray(x).reshape(len(x), -1).view("uint8")
    starts, run = [0], data.shape[1]
    if data.shape[1] > WHOLE:
        run = WHOLE // RUNS
        starts = np.linspace(0, data.shape[1] - run, RUNS).astype(int).tolist()
    random, found = np.random.default_rng(0), np.zeros(len(x), "uint64")
    for start in starts:
        factors = random.integers(1, 2**64, -(-run // 4), "uint64")
        for first in range(0, len(x), 1024):  # as much as stays in the processor's cache
            part = data[first:first + 1024, start:start + run]
            if run % 4:
                part = np.pad(part, ((0, 0), (0, -run % 4)))
            words = np.ascontiguousarray(part).view("uint32").astype("uint64")
            found[first:first + 1024] += words @ factors
    return found


def copied(known: np.ndarray, train: np.ndarray, asked: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return which examples are in train, too, byte for byte: bool (M,).

    Args:
        known: the keys (N,) of `train`, (N, ...).
        asked: the keys (M,) of `other`, (M, ...).
    """
    found = among(asked, known)
    if found.any() and train[0].nbytes > WHOLE:
        whole = {checksum(train[i]) for i in np.flatnonzero(np.isin(known, asked[found]))}
        found[found] = [checksum(other[i]) in whole for i in np.flatnonzero(found)]
    return found


def among(asked: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return which numbers (M,) are among the known ones (N,), as np.isin does in ten times the time."""
    ordered = np.sort(known)
    return ordered[np.minimum(np.searchsorted(ordered, asked), len(ordered) - 1)] == asked


def checksum(example: np.ndarray) -> int:
    """Return a checksum of all bytes of an example."""
    return zlib.crc32(np.ascontiguousarray(example).data)


def hashes(examples: Iterable[bytes]) -> np.ndarray:
    """Return a hash of each example, uint64 (N,)."""
    return np.array([int.from_bytes(blake2b(example, digest_size=8).digest()) for example in examples], "uint64")


def content(path: bytes) -> bytes:
    """Return what tells a file from others wherever it lies: its size, bytes of its middle, and its last ones."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        parts = [b"%d " % size]
        for start in (size // 2, size - TAIL):
            file.seek(max(0, start))
            parts.append(file.read(TAIL))
    return b"".join(parts)


def contradicted(known: np.ndarray, train: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which examples are there again with another label: bool (N,); the arguments as in `copied`."""
    _, first, group = np.unique(known, return_index=True, return_inverse=True)
    found = np.zeros(len(train), bool)
    differ = labels != labels[first][group]
    found[np.isin(group, group[differ])] = True
    if found.any() and train[0].nbytes > WHOLE:
        at = np.flatnonzero(found)
        whole = np.array([checksum(train[i]) for i in at], "uint64")
        found[at] = contradicted(whole, np.zeros((len(at), 1)), labels[at])
    return found


def repeats_by_nature(x: np.ndarray, copies: np.ndarray, places: Sequence[slice]) -> bool:
    """Return whether rows are equal because their columns have few values, as a table of categories.

    Then half of the copies or more have neighbours that differ in one column only. Rows of measured numbers have none.

    Args:
        x: rows (N, F), float32.
        copies: some of them, (M, F).
        places: those of each column in x.
    """
    rows = np.unique(x, axis=0)
    natural = np.zeros(len(copies), bool)
    for place in places:
        rest, asked = (keys(np.delete(part, place, axis=1)) for part in (rows, copies))
        values, count = np.unique(rest, return_counts=True)
        natural |= np.isin(asked, values[count > 1])
    return bool(natural.mean() >= 0.5)


def files_copied(train: Sequence[bytes], other: Sequence[bytes]) -> np.ndarray:
    """Return which of these files have the size and the last bytes of a training file: bool (M,)."""
    sizes, asked = ([os.stat(name).st_size for name in names] for names in (train, other))
    shared = set(sizes) & set(asked)
    known = {(size, _tail(name, size)) for name, size in zip(train, sizes, strict=True) if size in shared}
    return np.array([size in shared and (size, _tail(name, size)) in known
                     for name, size in zip(other, asked, strict=True)])


def _tail(name: bytes, size: int) -> int:
    with open(name, "rb") as file:
        file.seek(max(0, size - TAIL))
        return zlib.crc32(file.read(TAIL))


def spread(x: np.ndarray, count: int) -> np.ndarray:
    """Return at most `count` examples at equal distances, a view: sorted by class, they come from every class."""
    return x[::-(-len(x) // count)]


def near(train: np.ndarray, known: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return which images show what one of train shows: recompressed, brighter, blurred a little, moved by a pixel.

    Each image's nearest thumbnail among those of train is found, and the detail of both is compared.

    Args:
        train: uint8 (N, H, W, C), at least SMALLEST pixels a side.
        known: the thumbnails of `train`.
        other: uint8 (M, H, W, C).
    """
    found = np.zeros(len(other), bool)
    likeness = thumbnails(other) @ known.T
    nearest = likeness.argmax(1)
    pairs = np.flatnonzero(likeness[np.arange(len(other)), nearest] >= LIKE)
    if len(pairs):
        same = SAME_LARGE if min(train.shape[1:3]) >= LARGE else SAME
        found[pairs] = agreement(detail(train[nearest[pairs]]), detail(other[pairs])) >= same
    return found


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Return what each image is like at 8 x 8, in grey, without its mean and contrast: float32 (N, 64)."""
    count, height, width, channels = images.shape
    rows = np.linspace(0, height, SIDE + 1).round().astype(int)
    across = np.repeat(pooling(width, SIDE), channels, axis=0)  # the mean of the channels, too
    small = np.empty((count, SIDE, SIDE), "float32")
    for first in range(0, count, 256):  # as much as stays in the processor's cache
        part = images[first:first + 256].reshape(-1, height, width * channels)
        bands = np.empty((len(part), SIDE, width * channels), "float32")
        for i, (top, bottom) in enumerate(zip(rows, rows[1:], strict=False)):
            taken = range(top, bottom, max(1, (bottom - top) // 4))
            bands[:, i] = part[:, top]
            for row in taken[1:]:
                bands[:, i] += part[:, row]
            bands[:, i] /= len(taken)
        small[first:first + 256] = bands @ across
    return standardized(small)


def pooling(length: int, parts: int) -> np.ndarray:
    """Return the matrix (length, parts) that takes means of neighbours."""
    edges = np.linspace(0, length, parts + 1).round().astype(int)
    at = np.arange(length)[:, None]
    inside = (edges[:-1] <= at) & (at < edges[1:])
    return (inside / inside.sum(0)).astype("float32")


def standardized(values: np.ndarray) -> np.ndarray:
    """Return each example with mean 0 and length 1, (N, values); those that are flat are 0."""
    flat = values.reshape(len(values), -1)
    flat = flat - flat.mean(1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, length, out=np.zeros_like(flat), where=length > 1e-3 * flat.shape[1])


def detail(images: np.ndarray) -> np.ndarray:
    """Return the Laplacian of images of at most 32 x 32, smoothed over 3 x 3: float32 (N, h, w, C).

    Images of one kind have much in common where they are smooth, and little in their edges.
    """
    small = np.concatenate([shrunk(shrunk(images[first:first + 32].astype("float32"), 1), 2)
                            for first in range(0, len(images), 32)])
    for axis in (1, 2):
        low, middle, high = _thirds(small, axis)
        small = (low + middle + high) / 3
    (above, rows, below), (left, columns, right) = _thirds(small[:, :, 1:-1], 1), _thirds(small[:, 1:-1], 2)
    return 2 * rows - above - below + 2 * columns - left - right


def _thirds(values: np.ndarray, axis: int) -> list[np.ndarray]:
    """Return the values before, at and after each inner place of an axis."""
    size = values.shape[axis]
    return [values[(slice(None),) * axis + (slice(i, size - 2 + i),)] for i in range(3)]


def shrunk(values: np.ndarray, axis: int) -> np.ndarray:
    """Return images with one side made GRID by means of neighbours, if it is longer."""
    if values.shape[axis] <= GRID:
        return values
    return np.moveaxis(np.moveaxis(values, axis, -1) @ pooling(values.shape[axis], GRID), -1, axis)


def agreement(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the correlation (N,) of each pair of details, the best of those moved by 0, 1/2 or 1 in any direction."""
    height, width = one.shape[1:3]
    centre, best = standardized(other[:, 1:-1, 1:-1]), np.zeros(len(one), "float32")
    for i, j in np.ndindex(5, 5):  # in halves
        moved = np.sum([one[:, row:row + height - 2, column:column + width - 2]
                        for row in {i // 2, -(-i // 2)} for column in {j // 2, -(-j // 2)}], axis=0)
        best = np.maximum(best, np.einsum("nv,nv->n", standardized(moved), centre))
    return best
