"""How much time there is, and what fits into it."""

import math
import time
from collections.abc import Sequence

import keras
import numpy as np

SIDES = (64, 96, 128, 160, 192, 224)  # pixels that are tried: multiples of what networks shrink by
LARGER = 4  # images are not enlarged more than this
BATCH = 32
STEP = 3.5  # what a training step costs, in forward passes of its images
STARTING = 25.0  # seconds in which a training builds, compiles and saves, whatever its length
FITTING = 12.0  # seconds for the head of a frozen network, and for the run's files


class Budget:
    """A clock that runs from when it is made.

    Args:
        minutes: how long everything may take.
    """

    def __init__(self, minutes: float):
        self.seconds, self.began = 60 * minutes, time.monotonic()

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.seconds - self.spent

    @property
    def spent(self) -> float:
        """Seconds that are gone."""
        return time.monotonic() - self.began


class Deadline(keras.callbacks.Callback):
    """End a training after the epoch in which its time is over.

    Args:
        seconds: how long it may take, from when this is made.

    Attributes:
        ended: the epoch after which it ended the training; None: it did not.
    """

    def __init__(self, seconds: float):
        super().__init__()
        self.end, self.ended = time.monotonic() + seconds, None

    def on_epoch_end(self, epoch, logs=None):
        last = epoch + 1 == self.params["epochs"]
        if time.monotonic() > self.end and not last and not self.model.stop_training:
            self.model.stop_training, self.ended = True, epoch + 1


def seconds_per_image(network: keras.Model) -> float:
    """Return how long a forward pass takes for an image, by the faster of two batches after the first."""
    images, times = np.zeros((BATCH, *network.input_shape[1:]), "uint8"), []
    for _ in range(3):
        began = time.monotonic()
        network.predict_on_batch(images)
        times.append(time.monotonic() - began)
    return min(times[1:]) / BATCH


def sides_for(native: int, shorter: int) -> list[int]:
    """Return the sizes that are worth trying for images of a size, the largest first.

    Args:
        native: pixels that the network was trained on.
        shorter: the shorter side of the usual image.
    """
    most = min(native, max(LARGER * shorter, SIDES[0]))
    return [side for side in reversed(SIDES) if side <= most] or [SIDES[0]]


def frozen_seconds(images: int, cost: float, reading: float) -> float:
    """Return how long a frozen network takes: the files, the features of all images, `cost` seconds each, and a head.
    """
    return reading + images * cost + FITTING


def affordable(sides: list[int], seconds: float, images: int, at: int, cost: float, reading: float = 0.0,
               done: Sequence[int] = ()) -> list[int]:
    """Return two sizes, or fewer, whose features can be computed in a time: the largest, and one of half its pixels.

    Args:
        sides: sizes, the largest first.
        seconds: for both.
        images: how many there are.
        at: a size, and
        cost: the seconds that an image of it takes. Others take as much a pixel.
        reading: seconds in which the files are read, anew for each size.
        done: sizes of the two that are computed already, the largest first.
    """
    chosen = list(done)
    for side in sides:
        if len(chosen) >= 2:
            break
        needed = frozen_seconds(images, cost * (side / at) ** 2, reading)
        if needed <= seconds and (not chosen or side <= chosen[-1] / math.sqrt(2)):
            chosen.append(side)
            seconds -= needed
    return chosen


def epochs_for(seconds: float, train: int, val: int, cost: float, most: int) -> int:
    """Return how many epochs of training fit into a time, 0 to `most`.

    Args:
        seconds: for all.
        train, val: images that are learned from, and measured on after each epoch.
        cost: seconds that a forward pass takes for an image.
    """
    return max(0, min(most, int((seconds - STARTING) / (cost * (STEP * train + val)))))
