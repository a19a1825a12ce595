"""Adversarial training: learn classes from images that an attack has moved as far as a budget allows.

PGD: Madry et al. 2018, arXiv:1706.06083. Fast: Wong et al. 2020, "Fast is better than free", arXiv:2001.03994, one step
of 1.25 budgets from a random point. While the attack looks for its images, batch normalisation answers with its moving
statistics, and dropout is off; the step that learns from them is an ordinary one (Pang et al. 2021, arXiv:2010.00467,
found the more accurate networks so). Departs from Wong et al. in that.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from pydantic import Field

from kerasdl.attacks import ball, pgd
from kerasdl.data.augment.draws import integers
from kerasdl.objectives.classify import Classify, ClassifySettings
from kerasdl.objectives.learner import Learner
from kerasdl.objectives.sections import Findings, Section, note, table
from kerasdl.recipe import Recipe

MEASURED = 10  # steps of the attack that validation measures with
FAST = 1.25  # the step of Fast, in budgets
FINE = 2**24  # values that a random start takes


class RobustSettings(ClassifySettings):
    """Settings of adversarial training."""

    eps: float = Field(gt=0, le=255, description="how far each number of an image may move, in grey levels of 0..255: "
                                                 "8 for CIFAR-10, 76.5 for MNIST")
    method: Literal["pgd", "fast"] = Field(
        "pgd", description="pgd: several steps from a random point; fast: a single one")
    steps: int = Field(7, ge=1, description="steps of pgd, each of 2.5 / steps of eps")


class RobustLearner(Learner):
    """A learner that sees attacked images in training, and each image with and without an attack in evaluation."""

    def call(self, x, training=False):
        """{"image", "start", "rows"} -> logits (B, classes) in training; (B, 2, classes), clean and attacked, else."""
        images = ops.cast(x["image"], "float32")
        moved = self.objective.moved(self.network, images, x["rows"], x["start"], training)
        if training:
            return self.network(moved, training=True)
        return ops.stack([self.network(images, training=False), self.network(moved, training=False)], axis=1)


class Robust(Classify):
    """Learn one class of several from attacked images. The kept model gives float32 logits (B, classes).

    On validation "accuracy" and "loss" are those of the images as they are, and "robust_accuracy" is that of images
    that PGD of ten steps has moved; it chooses the epoch. In training all three are of attacked images.
    """

    inputs = ("image",)
    target = "class"
    scores = {"robust_accuracy": "max", "accuracy": "max", "loss": "min"}
    learner_scores = ("robust_accuracy",)
    monitor = "robust_accuracy"
    augments_views = False
    prepares_for_learner = True
    separate = False
    learner = RobustLearner
    Settings: ClassVar[type[RobustSettings]] = RobustSettings

    def __init__(self, recipe: Recipe, run: Path | None = None):
        super().__init__(recipe, run)
        self.attack_budget = ball.check(self.settings.eps, "objective_args.eps")

    def prepare(self, x: tf.Tensor, y: tf.Tensor, seed: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Add the random start of the attack, and the targets, which the attack makes unlikely."""
        drawn = integers(seed, tuple(tf.unstack(tf.shape(x))), 0, FINE + 1)
        start = self.settings.eps * (tf.cast(drawn, tf.float32) * (2 / FINE) - 1)
        return {"image": x, "start": tf.ensure_shape(start, x.shape), "rows": y}, y

    def moved(self, network: keras.Model, images: Any, rows: Any, start: Any, training: bool) -> Any:
        """Return attacked images (B, H, W, C); in evaluation by an attack of ten steps, whatever training has.

        Args:
            network: raw images -> logits.
            images: (B, H, W, C) float32, 0..255.
            rows: targets (B, classes).
            start: what is added first, (B, H, W, C), within eps.
            training: whether to attack as the settings say.
        """
        eps, steps = self.settings.eps, self.settings.steps if training else MEASURED
        if training and self.settings.method == "fast":
            return pgd.climbed(network, images, rows, start, eps, FAST * eps, 1)
        return pgd.climbed(network, images, rows, start, eps, pgd.CROSSES * eps / steps, steps)

    def validation_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        return self.compute_loss(x, y, clean(y_pred))

    def metrics(self) -> list[keras.metrics.Metric]:
        return [AccuracyOf(clean, name="accuracy"), AccuracyOf(attacked, name="robust_accuracy")]

    def overall(self, score: str, y: np.ndarray, y_pred: np.ndarray) -> float:
        return super().overall(score, y, clean(y_pred))

    def sections(self, findings: Findings) -> list[Section]:
        rows = [(title, *(f"{findings.result[split][name]:.2%}" for split in ("val", "test")
                          if name in findings.result.get(split, {})))
                for name, title in (("accuracy", "as they are"), ("robust_accuracy", "attacked"))]
        return [Section("Under attack", table(("images", "val", "test"), rows) + note(
            f"Attacked: PGD of {MEASURED} steps from one random point, up to {self.settings.eps:g} grey levels. "
            "Stronger attacks leave less: kerasdl audit measures with several."), id="attack", above=True),
            *super().sections(findings)]


class AccuracyOf(keras.metrics.CategoricalAccuracy):
    """Accuracy of one of the answers to each image."""

    def __init__(self, part: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.part = part

    def update_state(self, y_true, y_pred, sample_weight=None):
        return super().update_state(y_true, self.part(y_pred), sample_weight)


def clean(y_pred: Any) -> Any:
    """Return the answers to images as they are, (B, classes); in training there are none, and it is the attacked."""
    return y_pred[:, 0] if len(y_pred.shape) == 3 else y_pred


def attacked(y_pred: Any) -> Any:
    """Return the answers to attacked images, (B, classes)."""
    return y_pred[:, 1] if len(y_pred.shape) == 3 else y_pred
