"""The name of the file behind an error of the input pipeline."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from kerasdl.data.images import load_image
from kerasdl.data.split import Split


@contextmanager
def naming(splits: Mapping[str, Split]) -> Iterator[None]:
    """End the block in one line that names the file, if a file cannot be decoded when its turn comes.

    Files that are kept in memory were all read before; looking at each of the others first would take as long as an
    epoch's decoding.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError:
        for split in splits.values():
            if (decode := split.decode) is None:
                continue
            for file in split.x:
                try:
                    decode(tf.constant(file))
                except (ValueError, tf.errors.InvalidArgumentError):
                    load_image(Path(os.fsdecode(file)), split.shape, None)  # says what is wrong with it
        raise
