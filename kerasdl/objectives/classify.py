"""One class of several: softmax cross-entropy on logits."""

import keras
import numpy as np

from kerasdl.objectives.supervised import BACKENDS, LOSSES, assemble, judge, pictures, rates, single, watchers

__all__ = ["BACKENDS", "GOAL", "LOSSES", "METRIC", "TARGET", "assemble", "compile", "judge", "networks", "pictures",
           "rates", "targets", "watchers"]

TARGET, METRIC, GOAL = "class", "accuracy", "max"


def networks(model: str, split, args: dict) -> tuple[keras.Model]:
    """A classifier (examples -> logits (B, classes)) from the zoo."""
    return (single(model, split.shape, len(split.classes), **args),)


def targets(split, smoothing: float = 0.0) -> np.ndarray:
    """One-hot rows (N, classes); of a streamed split (classes, classes), by label.

    `smoothing` spreads that share of each row over all classes (Szegedy et al., 2016). Smoothing the targets and not
    the loss keeps the losses of validation and test what they say they are.
    """
    hot = np.eye(len(split.classes), dtype="float32")
    rows = hot * (1 - smoothing) + smoothing / len(hot)
    return rows if split.y is None else rows[split.y]


def compile(network: keras.Model, optimizer: keras.optimizers.Optimizer | str, jit: bool | None = None) -> None:
    """Cross-entropy from logits, and accuracy."""
    network.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True),
                    weighted_metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
                    jit_compile="auto" if jit is None else jit)
