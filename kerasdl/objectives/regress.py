"""Regression: squared error of one or more numbers. The model answers in the units of the data."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasdl import figures
from kerasdl.data.split import Split, check_spread
from kerasdl.objectives.answers import of_numbers
from kerasdl.objectives.base import Objective
from kerasdl.objectives.sections import Findings, Section, template
from kerasdl.zoo.blocks import Standardize, moments

EQUAL = 1e-6  # of the sum of squares: less around the mean is rounding in float32
LIMIT = 1e16  # of a target's deviation: its square, summed over a batch, is a number of float32
WORST = 20  # how many errors a report shows
DRAWN = 12  # of how many numbers a report has drawings


class Regress(Objective):
    """Learn one or more numbers. The kept model answers (B, outputs) in the units of the targets."""

    target = "number"
    scores = {"loss": "min", "mae": "min", "r2": "max"}
    predicts = True

    def network(self, split: Split) -> keras.Model:
        """Build a model whose last layer "unscale" brings its outputs to the targets' own mean and spread.

        So the weights learn numbers near one whatever the unit, and the saved model answers in that unit.
        """
        inner = super().network(split)
        assert split.y is not None
        return in_units(inner, split.y)

    def bind(self, network: keras.Model) -> None:
        units = next(layer for layer in network.layers if layer.name.endswith("unscale"))  # of an ensemble the first's
        self.mean, self.spread = (np.reshape(of, -1).astype("float32")
                                  for of in (units.input_mean, np.sqrt(units.input_variance)))

    def compute_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        """Return the squared error: of one number in the units of the data squared; of several, which have units of
        their own, the mean of each in units of its spread in training.

        The gradient is always that of the error in units of the targets' own spread, so that a learning rate, a clip
        and Adam's epsilon mean the same in metres and in millimetres.
        """
        relative = ops.mean(ops.square((y_pred - y) / self.spread), axis=-1)
        if len(self.spread) > 1:
            return relative
        error = ops.mean(ops.square(y_pred - y), axis=-1)
        return ops.stop_gradient(error) + (relative - ops.stop_gradient(relative))

    def metrics(self) -> list[keras.metrics.Metric]:
        return [keras.metrics.MeanAbsoluteError(name="mae"), R2(self.mean, self.spread, name="r2")]

    def defined(self, score: str, y: np.ndarray) -> bool:
        return score != "r2" or bool((y.max(0) > y.min(0)).all())

    def answers(self, outputs: np.ndarray, classes: Sequence[str], top: int) -> list[list[tuple[str, float]]]:
        """Return the numbers of each example with their names, which stand in place of classes, or an empty one."""
        return of_numbers(outputs, classes)

    def sections(self, findings: Findings) -> list[Section]:
        if findings.predictions is None:
            return []
        _, truth, predicted = findings.predictions
        error, names = predicted - truth, names_of(findings.splits("test"), truth.shape[1])
        apart = np.sqrt(np.square(truth - truth.mean(0)).mean(0))  # in which errors of several numbers compare
        relative = np.abs(error) / np.where(apart > 0, apart, 1.0)
        worst = np.argsort(-(relative if len(names) > 1 else np.abs(error)).max(1), kind="stable")[:WORST]

        def shown(values: np.ndarray) -> str:
            return ", ".join(f"{value:.5g}" for value in values)

        return [Section("", template(
            "regress.html.j2", data=findings.data, size=len(truth), classes=False,
            numbers=[{"name": name, "scatter": figures.scatter(*of), "mae": f"{np.abs(of[1] - of[0]).mean():.5g}",
                      "residuals": figures.histogram(of[1] - of[0], "predicted - actual"), "r2": r2_of(*of)}
                     for name, *of in zip(names[:DRAWN], truth.T, predicted.T, strict=False)],
            more=max(0, len(names) - DRAWN), shown=figures.examples(findings.splits("test"), worst),
            worst=[(shown(truth[i]), shown(predicted[i]), shown(error[i])) for i in worst]))]


def names_of(split: Split, count: int) -> list[str]:
    """Return what a report calls each of some numbers; "" if there is one."""
    return list(split.numbers) or ([""] if count == 1 else [f"number {place}" for place in range(1, count + 1)])


def r2_of(truth: np.ndarray, predicted: np.ndarray) -> str:
    """Return R2 of one number (N,) in words."""
    apart = np.square(truth - truth.mean(dtype="float64")).sum()
    return f"{1 - np.square(predicted - truth, dtype='float64').sum() / apart:.4f}" if apart > 0 else "none"


def in_units(inner: keras.Model, y: np.ndarray) -> keras.Model:
    """Return a model of numbers near one with a last layer "unscale", which brings them to the units of targets.

    Args:
        inner: answers with (B, outputs).
        y: the targets (N, outputs), whose mean and spread these are.

    Raises:
        UserError: a unit that float32 cannot hold.
    """
    mean, variance = moments(y)
    check_spread(np.sqrt(variance), ["The target"] if variance.size == 1 else
                 [f"Target {number}" for number in range(variance.size)], LIMIT)
    unscale = Standardize(mean=mean, variance=np.where(variance > 0, variance, 1.0),
                          invert=True, dtype="float32", name="unscale")
    return keras.Model(inner.inputs[0], unscale(inner.output), name=inner.name)


class R2(keras.metrics.R2Score):
    """R2 of numbers brought to mean 0 and spread 1 first, on which it does not depend; NaN where all are the same.

    Keras subtracts the square of the sum from the sum of squares, of which nothing is left in float32 where a mean is
    far from 0.
    """

    def __init__(self, mean: np.ndarray, spread: np.ndarray, **arguments: Any):
        super().__init__(**arguments)
        self.mean, self.spread = mean, spread
        # Keras makes the variables in the first update; a state to be restored, and replicas, need them now.
        zeros = ops.zeros((1, len(mean)))
        super().update_state(zeros, zeros)
        self.reset_state()

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = ((numbers - self.mean) / self.spread for numbers in (y_true, y_pred))
        super().update_state(y_true, y_pred, sample_weight)

    def result(self):
        around = self.squared_sum - self.sum * self.sum / self.count
        return ops.where(ops.any(around <= EQUAL * self.squared_sum), np.nan, super().result())
