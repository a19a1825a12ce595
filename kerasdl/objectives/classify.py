"""Classification: softmax cross-entropy on logits, one class of several."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import keras
import numpy as np
from keras import ops
from pydantic import Field
from scipy.special import softmax

from kerasdl import figures
from kerasdl.data.split import Split
from kerasdl.errors import UserError, nearest
from kerasdl.objectives import answers, whole_split
from kerasdl.objectives.base import Objective
from kerasdl.objectives.calibration import BINS, calibration, calibration_error
from kerasdl.objectives.sections import Findings, Section, note, table, template
from kerasdl.settings import Settings

WORST = 20  # how many mistakes a report shows
CELLS = 20  # a confusion matrix of more classes than this is drawn as a heat map, without its numbers


class ClassifySettings(Settings):
    """Settings of classification."""

    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread evenly over all classes")
    class_weight: Literal["balanced"] | dict[str, Annotated[float, Field(gt=0)]] | None = Field(
        None, description="weight of each class in the training loss, {class: weight}; balanced: rare ones weigh more")


class Classify(Objective):
    """Learn one class of several. The kept model gives float32 logits (B, classes)."""

    target = "class"
    scores = {"accuracy": "max", "loss": "min"}
    overall_scores = {"balanced_accuracy": "max", "macro_f1": "max", "auc": "max"}
    monitor = "accuracy"
    predicts = augments_views = separate = True
    with_teacher = "distill"
    Settings: ClassVar[type[ClassifySettings]] = ClassifySettings

    def check(self, split: Split, replicas: int = 1) -> None:
        super().check(split, replicas)
        class_weights(self.settings.class_weight, split)

    def targets(self, split: Split) -> np.ndarray:
        """Return one-hot rows (N, classes); of a streamed split (classes, classes), by label."""
        hot = np.eye(len(split.classes), dtype="float32")
        return hot if split.streamed else hot[split.y]

    def training_targets(self, split: Split) -> np.ndarray:
        """Return smoothed rows (Szegedy et al. 2016, arXiv:1512.00567), times the weight of their class.

        Cross-entropy is linear in its target, so a row times 3 is an example that counts three times. Validation and
        test losses are neither smoothed nor weighted.
        """
        share, classes = self.settings.label_smoothing, len(split.classes)
        rows = np.eye(classes, dtype="float32") * (1 - share) + share / classes
        rows *= class_weights(self.settings.class_weight, split)[:, None]
        return rows if split.streamed else rows[split.y]

    def compute_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        """Return the cross-entropy, whose fused gradient in TensorFlow is that of rows that sum to 1, and no others."""
        if self.settings.class_weight is None:
            return keras.losses.categorical_crossentropy(y, y_pred, from_logits=True)
        return -ops.sum(y * ops.log_softmax(y_pred), axis=-1)

    def metrics(self) -> list[keras.metrics.Metric]:
        return [keras.metrics.CategoricalAccuracy(name="accuracy")]

    def overall(self, score: str, y: np.ndarray, y_pred: np.ndarray) -> float:
        return whole_split.of_classes(score, y.argmax(1), y_pred)

    def answers(self, outputs: np.ndarray, classes: Sequence[str], top: int) -> list[list[tuple[str, float]]]:
        """Return the `top` most probable classes of each example, best first, with their probabilities."""
        return answers.of_classes(outputs, classes, top)

    def sections(self, findings: Findings) -> list[Section]:
        if findings.predictions is None:
            return []
        _, truth, outputs = findings.predictions
        page = Section("", template("classify.html.j2", data=findings.data, size=len(truth), classes=True,
                                    **summary(findings.splits("test"), softmax(outputs, axis=1), truth)))
        return [*beaten(findings), page]


def beaten(findings: Findings) -> list[Section]:
    """Return the table of the controls of result.json, if there are some, with the model's own row on top."""
    if not (others := findings.result.get("controls")):
        return []
    rows = {findings.result["recipe"]: findings.result, **others}
    shown = [(name, *(f"{scores[split]['accuracy']:.2%}" for split in ("val", "test")))
             for name, scores in rows.items()]
    return [Section("Controls", table(("", "val", "test"), shown) + note(
        "Accuracy of this model, and of what it has to beat. The strength of each control is chosen on val."),
        id="controls", above=True)]


def class_weights(setting: str | Mapping[str, float] | None, split: Split) -> np.ndarray:
    """Return the weight of each class (classes,), float32: 1 for those that a mapping leaves out.

    "balanced" gives every class that has examples the same total weight, examples / (classes x examples of the class),
    as scikit-learn does, where an example counts as often as its own weight says; the mean over the examples is 1.

    Raises:
        UserError: a class that the data does not have, or a streamed split, whose labels are not counted.
    """
    if setting is None:
        return np.ones(len(split.classes), "float32")
    if isinstance(setting, str):
        if split.streamed:
            raise UserError("class_weight=balanced counts the labels, and this data is streamed. Give the weights: "
                            "objective_args.class_weight=\"{'NAME': 2.0}\".")
        counts = np.bincount(split.y, split.relative_weights, len(split.classes))  # type: ignore[arg-type]
        there = counts > 0
        return np.where(there, len(split) / (there.sum() * np.where(there, counts, 1)), 1).astype("float32")
    for name in setting:
        if name not in split.classes:
            raise UserError(f"class_weight names a class {name!r} that the data does not have. "
                            f"{nearest(name, split.classes)}")
    return np.array([setting.get(name, 1.0) for name in split.classes], "float32")


def summary(split: Split, probabilities: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Return what the report shows of probabilities (N, classes) and the true classes (N,) of a split."""
    names, guess, confidence = split.classes, probabilities.argmax(1), probabilities.max(1)
    right, count = guess == truth, len(names)
    matrix = np.bincount(truth * count + guess, minlength=count**2).reshape(count, count)
    columns = of_each_class(matrix)
    bins, edges = calibration(confidence, right), np.linspace(0, 1, BINS + 1)
    off = matrix - np.diag(np.diag(matrix))
    pairs = np.dstack(np.unravel_index(np.argsort(-off, axis=None, kind="stable")[:WORST], off.shape))[0]
    worst = mistakes(probabilities, truth)
    return {
        "right": int(right.sum()), "accuracy": float(right.mean()), "confidence": float(confidence.mean()),
        "names": names, "scores": list(zip(names, *(column.tolist() for column in columns), strict=True)),
        "means": [float(np.nanmean(column)) for column in columns[:3]],
        "matrix": matrix.tolist() if len(names) <= CELLS else None,
        "heat_map": figures.heat_map(matrix) if len(names) > CELLS else None,
        "confusions": [(names[true], names[said], int(off[true, said])) for true, said in pairs if off[true, said]],
        "reliability": figures.reliability(bins["confidence"], bins["accuracy"], bins["count"] / len(truth), edges),
        "calibration_error": calibration_error(confidence, right),
        "shown": figures.examples(split, worst),
        "worst": [(names[truth[i]], names[guess[i]], f"{confidence[i]:.1%}") for i in worst],
    }


def of_each_class(matrix: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return precision, recall and F1 of each class, and its examples.

    They are scikit-learn's, whose import would take longer than the rest of a small report: precision is 0 of a class
    that was never the answer. NaN is what its means leave out: recall of a class without examples, and all three of
    one that was no answer either.

    Args:
        matrix: (classes, classes) examples of each true class, in the rows, that each class was the answer for.
    """
    hits, said, there = np.diag(matrix), matrix.sum(0), matrix.sum(1)
    seen = np.where(said + there > 0, 1.0, np.nan)
    return (seen * hits / np.maximum(said, 1), hits / np.where(there > 0, there, np.nan),
            seen * 2 * hits / np.maximum(said + there, 1), there)


def mistakes(probabilities: np.ndarray, truth: np.ndarray, count: int = WORST) -> np.ndarray:
    """Return the indices of the wrong predictions, the most confident first."""
    wrong = np.flatnonzero(probabilities.argmax(1) != truth)  # equal confidences stay in the order of the split
    return wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")][:count]
