"""The images that a run drew after its epochs, for the report."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasdl import figures
from kerasdl.objectives.sections import Section, template

TAG = "samples"  # of the images in the run's TensorBoard files
FRAMES = 8  # at most


def section(run: Path) -> Section:
    """Return the section of a report that shows training images, epoch by epoch.

    Args:
        run: its folder.
    """
    return Section("Training images, epoch by epoch", template("film.html.j2", film=film(run / "tensorboard")),
                   id="film")


def film(folder: Path) -> list[tuple[int, str]]:
    """Return (epoch, image as a data: address) of at most FRAMES epochs, evenly spaced with the first and the last.

    Args:
        folder: of the run's TensorBoard files.
    """
    frames = {}
    for file in sorted((folder / TAG).glob("events.out.tfevents.*")):
        try:
            for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
                event = tf.compat.v1.Event.FromString(record)
                for value in event.summary.value:
                    frames[event.step] = tf.make_ndarray(value.tensor)[2]  # after width and height
        except tf.errors.DataLossError:
            pass  # a last one that is cut short
    epochs = sorted(frames)
    shown = sorted({epochs[round(i)] for i in np.linspace(0, len(epochs) - 1, FRAMES)}) if epochs else []
    return [(epoch + 1, figures.address(frames[epoch])) for epoch in shown]
