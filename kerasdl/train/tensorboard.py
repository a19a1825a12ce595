"""TensorBoard files of a run, on disk when an epoch ends."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl.checkpoints.trim import as_os_error


class EpochScalars(keras.callbacks.TensorBoard):
    """Write scalars of epochs. Keras' callback makes summaries of every step too, and discards them: 1.2 ms."""

    @as_os_error()
    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)

    @as_os_error()
    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)

    def on_train_batch_begin(self, batch, logs=None):
        pass

    def on_train_batch_end(self, batch, logs=None):
        pass


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
