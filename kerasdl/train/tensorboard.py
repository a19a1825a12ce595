"""TensorBoard files of a run, on disk when an epoch ends."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.checkpoints.trim import as_os_error


class EpochScalars(keras.callbacks.Callback):
    """Write an epoch's logs as scalars, those of validation next to those of training, as Keras' callback names them.

    Keras' own replaces the learning rate by that of the next step, and makes summaries of every step, too: 1.2 ms.
    """

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder
        self.writers: dict[str, Any] = {}

    @as_os_error()
    def on_epoch_end(self, epoch, logs=None):
        for name, value in (logs or {}).items():
            part = "validation" if name.startswith("val_") else "train"
            if part not in self.writers:
                self.writers[part] = tf.summary.create_file_writer(str(self.folder / part))
            if math.isfinite(value):  # there is no speed where an epoch compiled
                with self.writers[part].as_default():
                    tf.summary.scalar(f"epoch_{name.removeprefix('val_')}", value, step=epoch)
        for writer in self.writers.values():
            writer.flush()

    @as_os_error()
    def on_train_end(self, logs=None):
        for writer in self.writers.values():
            writer.close()
        self.writers = {}


class EpochImages(keras.callbacks.Callback):
    """Write an image for each epoch, drawn by a function of the objective's."""

    TAG = "samples"

    def __init__(self, folder: Path, draw: Callable[[], np.ndarray]):
        super().__init__()
        self.folder, self.draw, self.writer = folder, draw, None

    @as_os_error()
    def on_epoch_end(self, epoch, logs=None):
        self.writer = self.writer or tf.summary.create_file_writer(str(self.folder / self.TAG))
        with self.writer.as_default():
            tf.summary.image(self.TAG, self.draw()[None], step=epoch)

    @as_os_error()
    def on_train_end(self, logs=None):
        if self.writer:
            self.writer.close()
            self.writer = None
