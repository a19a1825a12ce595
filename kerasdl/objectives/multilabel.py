"""Several labels an example: sigmoid cross-entropy on logits, each class by itself."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from keras import ops
from pydantic import Field
from scipy.special import expit

from kerasdl import figures
from kerasdl.data.multi_hot import check_learnable
from kerasdl.data.split import Split
from kerasdl.objectives import whole_split
from kerasdl.objectives.answers import chosen_labels, of_labels
from kerasdl.objectives.base import Objective
from kerasdl.objectives.classify import WORST, class_weights
from kerasdl.objectives.sections import Findings, Section, template
from kerasdl.settings import Settings


class MultilabelSettings(Settings):
    """Settings of several labels an example."""

    class_weight: Literal["balanced"] | dict[str, Annotated[float, Field(gt=0)]] | None = Field(
        None, description="weight of each class in the training loss where an example has it, {class: weight}; "
                          "balanced: examples without it / examples with it")


class Multilabel(Objective):
    """Learn which of the classes an example has: none, one or several. The kept model gives logits (B, classes)."""

    target = "labels"
    scores = {"loss": "min", "map": "max"}
    overall_scores = {"map": "max", "macro_f1": "max", "auc": "max"}
    monitor = "map"
    predicts = augments_views = separate = True
    Settings = MultilabelSettings

    def check(self, split: Split, replicas: int = 1) -> None:
        super().check(split, replicas)
        check_learnable(np.asarray(split.y), split.classes)
        positive_weights(self.settings.class_weight, split)

    def targets(self, split: Split) -> np.ndarray:
        """Return (N, 2 x classes): how much each class counts as there, and then how much each as absent."""
        return pairs(split, np.ones(split.outputs, "float32"))

    def training_targets(self, split: Split) -> np.ndarray:
        """Return the same, where a class counts by its weight as there. Validation and test losses are not weighted."""
        return pairs(split, positive_weights(self.settings.class_weight, split))

    def compute_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        """Return the mean over classes of the sigmoid cross-entropy, which is linear in the targets."""
        return ops.sum(y * ops.softplus(ops.concatenate([-y_pred, y_pred], axis=-1)), axis=-1) / y_pred.shape[-1]

    def overall(self, score: str, y: np.ndarray, y_pred: np.ndarray) -> float:
        return whole_split.of_labels(score, y[:, :y.shape[1] // 2], y_pred[:, :y.shape[1] // 2])

    def facts(self, splits: Mapping[str, Split], answers: Callable[[Split], tuple[Any, Any]]) -> dict[str, Any]:
        """Return the threshold of each class, chosen on val, and the scores of val and test at these."""
        found = {name: (np.asarray(splits[name].y), answers(splits[name])[1]) for name in ("val", "test")}
        thresholds = whole_split.best_thresholds(*found["val"])
        return {"thresholds": dict(zip(splits["val"].classes, thresholds.tolist(), strict=True)),
                "at_thresholds": {name: whole_split.at_thresholds(*of, thresholds) for name, of in found.items()}}

    @cached_property
    def thresholds(self) -> Mapping[str, float]:
        """The thresholds of a finished run by class; empty before there are some."""
        file = self.run / "result.json" if self.run else None
        return json.loads(file.read_text(encoding="utf-8")).get("thresholds", {}) if file and file.is_file() else {}

    def answers(self, outputs: np.ndarray, classes: Sequence[str], top: int) -> list[list[tuple[str, float]]]:
        """Return the `top` most probable classes of each example, and all that reach their threshold, best first."""
        return of_labels(outputs, classes, top, self.thresholds)

    def chosen(self, answers: Sequence[tuple[str, float]]) -> list[str]:
        """Return the labels whose probability reaches their threshold, best first; it may be none."""
        return chosen_labels(answers, self.thresholds)

    def sections(self, findings: Findings) -> list[Section]:
        if findings.predictions is None:
            return []
        _, truth, logits = findings.predictions
        split, known = findings.splits("test"), findings.result.get("thresholds", {})
        thresholds = np.array([known.get(name, 0.5) for name in split.classes])
        return [Section("", template("multilabel.html.j2", data=findings.data, size=len(truth), classes=True,
                                     **summary(split, logits, truth, thresholds)))]


def pairs(split: Split, weights: np.ndarray) -> np.ndarray:
    """Return rows (N, 2 x classes): the labels times the weights of their classes, and what is left of 1."""
    assert split.y is not None
    return np.concatenate([split.y * weights, 1 - split.y], axis=1)


def positive_weights(setting: str | Mapping[str, float] | None, split: Split) -> np.ndarray:
    """Return how much each class (classes,) counts where an example has it, float32.

    "balanced" gives examples with and without the label the same total weight, where an example counts as often as its
    own weight says.

    Raises:
        UserError: a class that the data does not have.
    """
    if isinstance(setting, str) and split.y is not None:
        weights = split.relative_weights
        there = (np.ones(len(split)) if weights is None else weights) @ split.y.astype("float64")
        return ((len(split) - there) / np.where(there > 0, there, 1)).astype("float32")
    return class_weights(setting, split)


def summary(split: Split, logits: np.ndarray, truth: np.ndarray, thresholds: np.ndarray) -> dict[str, Any]:
    """Return what the report shows of logits and labels (N, classes) of a split at thresholds (classes,).

    NaN is what has no value, and what means leave out: the average precision of a class that no example has or all
    have, as in "map", and the recall of one that none has.
    """
    from sklearn.metrics import precision_recall_fscore_support

    names, probabilities = split.classes, expit(logits.astype("float64"))
    given, has = probabilities >= thresholds, truth > 0
    precision, recall, f1, count = precision_recall_fscore_support(has, given, average=None, zero_division=0.0)
    average = [whole_split.of_labels("map", has[:, [i]], logits[:, [i]]) for i in range(len(names))]
    columns = np.array([average, precision, np.where(count > 0, recall, np.nan), f1])
    wrong = np.where(given != has, np.abs(probabilities - has), 0.0).max(1)
    worst = np.argsort(-wrong, kind="stable")[:min(WORST, int((wrong > 0).sum()))]

    def listed(row: np.ndarray) -> str:
        return ", ".join(name for name, there in zip(names, row, strict=True) if there) or "none"

    return {
        "right": int((given == has).all(1).sum()),
        "scores": list(zip(names, *columns.tolist(), thresholds.tolist(), count.tolist(), strict=True)),
        "means": [float(np.nanmean(column)) if (column >= 0).any() else np.nan for column in columns],
        "curves": figures.precision_recall(has, logits, names),
        "drawn": figures.drawn(names),
        "shown": figures.examples(split, worst),
        "worst": [(listed(has[i]), listed(given[i]), f"{wrong[i]:.1%}") for i in worst],
    }
