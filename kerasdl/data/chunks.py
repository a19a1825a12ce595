"""Examples of files that a model is asked about, a chunk at a time, so that thousands of files need little memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kerasdl.errors import DataError

BYTES = 2**24  # of the examples in a chunk
ROWS, FILES = 2**14, 512  # at most, in a chunk


class BadExample(DataError):
    """An example that cannot be read, which those after it do not suffer from."""


class Fault(NamedTuple):
    """An example that cannot be read.

    Attributes:
        place: the number of good examples in the chunk that come before it.
        why: a sentence that names it.
    """

    place: int
    why: str


class Chunk(NamedTuple):
    """Examples in the order of their files.

    Attributes:
        names: a name for each, the file's or FILE:LINE.
        x: the examples (N, ...).
        faults: those between them that cannot be read.
        unknown: {column: how many of its texts were unknown categories that were taken as missing}.
        words: of sentences whose words get a tag, for each the words and the place of each one's first token, -1 where
            it is cut off.
    """

    names: Sequence[str]
    x: np.ndarray
    faults: Sequence[Fault] = ()
    unknown: Mapping[str, int] = {}
    words: Sequence[Sequence[tuple[str, int]]] = ()


def size_of(shape: Sequence[int], itemsize: int, most: int = ROWS) -> int:
    """Return how many examples of this shape a chunk has."""
    return int(max(1, min(most, BYTES // max(1, int(np.prod(shape)) * itemsize))))


def of_files(files: Iterable[Path], read: Callable[[Path], np.ndarray], shape: Sequence[int]) -> Iterator[Chunk]:
    """Yield the examples of files that hold one each, which threads read ahead.

    Args:
        files: in order; they may be endless.
        read: returns an example, uint8 of this shape, or raises a DataError that names the file.
        shape: of an example.
    """
    size, remaining = size_of(shape, 1, FILES), iter(files)
    pool, waiting = ThreadPoolExecutor(), deque[tuple[Path, Future]]()

    def submit(count: int) -> None:
        waiting.extend((file, pool.submit(read, file)) for file in islice(remaining, count))

    try:
        submit(2 * size)
        while waiting:
            names: list[str] = []
            examples: list[np.ndarray] = []
            faults: list[Fault] = []
            for _ in range(min(size, len(waiting))):
                file, future = waiting.popleft()
                try:
                    examples.append(future.result())
                    names.append(str(file))
                except DataError as error:
                    faults.append(Fault(len(names), str(error)))
            submit(2 * size - len(waiting))
            yield Chunk(names, np.stack(examples) if examples else np.empty((0, *shape), "uint8"), faults)
    finally:
        pool.shutdown(cancel_futures=True)
