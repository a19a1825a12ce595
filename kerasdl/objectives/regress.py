"""One or more numbers: squared error, in the units of the data."""

import keras
import numpy as np

from kerasdl import zoo
from kerasdl.errors import UserError
from kerasdl.objectives.supervised import BACKENDS, LOSSES, assemble, judge, pictures, rates, watchers

__all__ = ["BACKENDS", "GOAL", "LOSSES", "METRIC", "TARGET", "assemble", "compile", "judge", "networks", "pictures",
           "rates", "targets", "watchers"]

TARGET, METRIC, GOAL = "number", "loss", "min"


def networks(model: str, split, args: dict) -> tuple[keras.Model]:
    """A model of the zoo whose outputs are brought to the targets' own mean and spread by a last layer "unscale".

    So the weights learn numbers near one whatever the unit, and the saved model answers in that unit.
    """
    inner = zoo.build(model, split.shape, split.outputs, **args)
    unscale = keras.layers.Normalization(mean=split.y.mean(0), variance=split.y.var(0) + 1e-12, invert=True,
                                         dtype="float32", name="unscale")
    return (keras.Model(inner.inputs, unscale(inner.output), name=inner.name),)


def targets(split, smoothing: float = 0.0) -> np.ndarray:
    """The numbers themselves, (N, outputs)."""
    if smoothing:
        raise UserError("label_smoothing is for classes. Set it to 0 to predict a number.")
    return split.y


def compile(network: keras.Model, optimizer: keras.optimizers.Optimizer | str, jit: bool | None = None) -> None:
    """Mean squared error, with the mean absolute error and R2 beside it."""
    network.compile(optimizer, "mse", jit_compile="auto" if jit is None else jit,
                    weighted_metrics=[keras.metrics.MeanAbsoluteError(name="mae"), keras.metrics.R2Score(name="r2")])
