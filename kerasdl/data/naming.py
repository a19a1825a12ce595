"""Find the file behind an error of the input pipeline."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from kerasdl.data.images import Fit, load_image
from kerasdl.data.split import Split
from kerasdl.errors import DataError


@contextmanager
def naming(splits: Mapping[str, Split]) -> Iterator[None]:
    """Raise a DataError that names the file, if one cannot be decoded inside the block.

    Files that are kept in memory were all read before; looking at each of the others first would take as long as an
    epoch's decoding.
    """
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError):
        for split in splits.values():
            if (decode := split.decode) is None:
                continue
            for file in split.x:
                try:
                    decode(tf.constant(file))
                except (ValueError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError):
                    path = Path(os.fsdecode(file))
                    if split.kind == "image":
                        # raises an error that says what is wrong with it
                        load_image(path, split.shape, Fit.of(split.reading), split.reading.get("value_range"))
                    raise DataError(f"{path} cannot be decoded. Mend or remove it.") from None
        raise
