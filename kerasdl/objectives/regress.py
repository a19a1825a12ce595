"""One or more numbers: squared error, in the units of the data."""

import keras
import numpy as np
from keras import ops

from kerasdl.errors import UserError
from kerasdl.objectives.supervised import BACKENDS, LOSSES, assemble, judge, pictures, rates, single, watchers

__all__ = ["BACKENDS", "GOAL", "LOSSES", "METRIC", "TARGET", "assemble", "compile", "judge", "networks", "pictures",
           "rates", "targets", "watchers"]

TARGET, METRIC, GOAL = "number", "loss", "min"


def networks(model: str, split, args: dict) -> tuple[keras.Model]:
    """A model of the zoo whose outputs are brought to the targets' own mean and spread by a last layer "unscale".

    So the weights learn numbers near one whatever the unit, and the saved model answers in that unit.
    """
    inner = single(model, split.shape, split.outputs, **args)
    mean, variance = (of(0, dtype="float64") for of in (split.y.mean, split.y.var))  # float32 adds up row by row
    unscale = keras.layers.Normalization(mean=mean, variance=np.where(variance > 0, variance, 1.0),
                                         invert=True, dtype="float32", name="unscale")
    return (keras.Model(inner.inputs[0], unscale(inner.output), name=inner.name),)


def targets(split, smoothing: float = 0.0) -> np.ndarray:
    """The numbers themselves, (N, outputs)."""
    if smoothing:
        raise UserError("label_smoothing is for classes. Set it to 0 to predict a number.")
    return split.y


def compile(network: keras.Model, optimizer: keras.optimizers.Optimizer | str, jit: bool | None = None) -> None:
    """Mean squared error, with the mean absolute error and R2 beside it.

    The error is told in the units of the data, squared. Its gradient is that of the error in units of the targets' own
    spread, so that a learning rate, a clip and Adam's epsilon mean the same in metres and in millimetres.
    """
    units = network.get_layer("unscale")
    mean, spread = (np.reshape(of, -1).astype("float32") for of in (units.input_mean, np.sqrt(units.input_variance)))

    def squared_error(y, answer):
        error = ops.mean(ops.square(answer - y), axis=-1)
        relative = ops.mean(ops.square((answer - y) / spread), axis=-1)
        return ops.stop_gradient(error) + (relative - ops.stop_gradient(relative))

    network.compile(optimizer, squared_error, jit_compile="auto" if jit is None else jit,
                    weighted_metrics=[keras.metrics.MeanAbsoluteError(name="mae"), R2(mean, spread, name="r2")])


class R2(keras.metrics.R2Score):
    """R2 of numbers that are brought to mean 0 and spread 1 first, which it does not depend on.

    Keras takes the sum of squares less the square of the sum, of which nothing is left in float32 where a mean is far
    from 0.
    """

    def __init__(self, mean: np.ndarray, spread: np.ndarray, **arguments):
        super().__init__(**arguments)
        self.mean, self.spread = mean, spread

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = ((numbers - self.mean) / self.spread for numbers in (y_true, y_pred))
        super().update_state(y_true, y_pred, sample_weight)
