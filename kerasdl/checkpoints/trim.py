"""Files of an interrupted run, cut back to the step of its checkpoint."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from kerasdl.files import whole, write_text


def trim(folder: Path, epochs: int) -> None:
    """Cut metrics.csv and the TensorBoard files back to the first `epochs` epochs: the rest is trained again."""
    table = folder / "metrics.csv"
    if table.exists():
        text = table.read_text(encoding="utf-8")
        lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]  # whole ones
        if epochs:
            write_text(table, "".join(lines[:1 + epochs]))
        else:
            table.unlink()
    for file in folder.glob("tensorboard/**/events.out.tfevents.*"):
        if epochs:
            _trim_events(file, epochs)
        else:
            file.unlink()


def _trim_events(file: Path, epochs: int) -> None:
    """Keep the events of the epochs before; a last one that is cut short is left out."""
    kept = []
    try:
        for record in tf.data.TFRecordDataset(os.fspath(file)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            if not event.HasField("summary") or event.step < epochs:
                kept.append(record)
    except tf.errors.DataLossError:
        pass
    with as_os_error(), whole(file) as partial, tf.io.TFRecordWriter(os.fspath(partial)) as writer:
        for record in kept:
            writer.write(record)


@contextmanager
def as_os_error() -> Iterator[None]:
    """Turn an error of TensorFlow's, which only writes files in the block, into the OSError that Python would raise."""
    try:
        yield
    except tf.errors.OpError as error:  # "FILE; No space left on device\n\tFailed to ..."
        raise OSError(errno.EIO, error.message.splitlines()[0].rpartition("; ")[2]) from error
