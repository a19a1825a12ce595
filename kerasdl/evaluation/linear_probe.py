"""Logistic regression on the features of a frozen network, its strength chosen on validation data."""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from kerasdl.data import Split
from kerasdl.data.naming import naming
from kerasdl.devices.cluster import undivided

STRENGTHS = tuple(10.0 ** power for power in range(-5, 2))  # scikit-learn's C; larger ones are less regularised
ITERATIONS = 300
ClassWeight = str | Mapping[int, float] | None  # "balanced", {class index: weight}, or None
WORSE = 2  # strengths in a row that are worse than the best so far: even weaker regularisation takes long and is worse


@dataclass(frozen=True)
class LinearProbe:
    """A linear layer on raw features.

    Attributes:
        kernel: (D, classes).
        bias: (classes,).
        strength: the C that validation chose.
        losses: {C: cross-entropy on val}.
    """

    kernel: np.ndarray
    bias: np.ndarray
    strength: float
    losses: Mapping[float, float]

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return (N, classes) float32 for features (N, D)."""
        return (features @ self.kernel + self.bias).astype("float32")


def features_of(body: keras.Model, splits: Mapping[str, Split], batch: int = 64) -> dict[str, np.ndarray]:
    """Return the features (N, D) of each split, float32.

    Args:
        body: gives the features, or has an output "features", as the networks of `zoo.body` do.
        splits: of any kind of examples.
        batch: examples at once.
    """
    frozen = body if not isinstance(body.output, dict) else keras.Model(body.input, body.output["features"])
    with naming(splits), undivided():
        return {name: frozen.predict(split.dataset(batch).map(lambda x, *_: x), verbose=0).astype("float32")
                for name, split in splits.items()}


def fit(train: np.ndarray, y: np.ndarray, val: np.ndarray, y_val: np.ndarray, classes: int, *,
        class_weight: ClassWeight = None, strengths: Sequence[float] = STRENGTHS, until: float | None = None
        ) -> LinearProbe:
    """Fit a probe on train for each strength, and return the one with the least cross-entropy on val.

    The strongest regularisation comes first; after WORSE that are worse the others are not tried.

    Features are standardised first; the scale is folded into the layer that is returned. A feature that is constant on
    train counts for nothing.

    Args:
        train, y: features (N, D) and class indices (N,), of at least two classes.
        val, y_val: those of the validation split.
        classes: how many there are. One that is not in train is never predicted.
        class_weight: as scikit-learn takes it.
        strengths: values of scikit-learn's C to try.
        until: when no other one is begun, on the clock time.monotonic; None: all of them have time. If it has passed
            already, the one in the middle is taken.
    """
    if until is not None and time.monotonic() > until:  # the one in the middle is seldom far off
        strengths = [sorted(strengths)[len(strengths) // 2]]
    scaler = StandardScaler().fit(train)
    inner, outer = scaler.transform(train), scaler.transform(val)
    model = LogisticRegression(max_iter=ITERATIONS, tol=1e-5, warm_start=True,
                               class_weight=class_weight)
    losses: dict[float, float] = {}
    best, worse = None, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of a weak one decide nothing
        for strength in sorted(strengths):
            if best is not None and until is not None and time.monotonic() > until:
                break
            model.set_params(C=strength).fit(inner, y)
            kernel, bias = of_all_classes(model, classes)
            losses[strength] = cross_entropy(outer @ kernel + bias, y_val)
            if best is None or losses[strength] < losses[best[0]]:
                best, worse = (strength, kernel, bias), 0
            elif (worse := worse + 1) == WORSE:
                break
    strength, kernel, bias = best  # type: ignore[misc]
    kernel = kernel / scaler.scale_[:, None]
    return LinearProbe(kernel.astype("float32"), (bias - scaler.mean_ @ kernel).astype("float32"), strength, losses)


def cross_entropy(logits: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean cross-entropy of logits (N, classes) for the classes (N,)."""
    return float(-log_softmax(logits.astype("float64"), axis=1)[np.arange(len(truth)), truth].mean())


def of_all_classes(model: LogisticRegression, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel (D, classes) and bias (classes,): scikit-learn has one column for two classes, none for a class
    that is not there."""
    coefficients, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        coefficients, intercept = (np.stack([-value[0] / 2, value[0] / 2]) for value in (coefficients, intercept))
    kernel, bias = np.zeros((coefficients.shape[1], classes)), np.full(classes, -1e3)
    kernel[:, model.classes_], bias[model.classes_] = coefficients.T, intercept
    return kernel, bias
