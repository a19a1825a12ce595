"""Distillation: learn classes from labels and from a trained network's answers to the same images.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531, and for hard answers Touvron et
al. 2021 (DeiT, arXiv:2012.12877, equation 3). The teacher sees what the student sees, augmentation included (Beyer et
al. 2022, arXiv:2106.05237). Scores and the loss of validation are those of classification.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import keras
import numpy as np
from keras import ops
from pydantic import Field

from kerasdl import objectives, user_code
from kerasdl.data.split import Split, check_columns, check_offsets
from kerasdl.data.tokens import FILE
from kerasdl.errors import UserError
from kerasdl.objectives.classify import Classify, ClassifySettings
from kerasdl.objectives.sections import Findings, Section, note, table
from kerasdl.run import Run, located_path
from kerasdl.zoo import generation


class DistillSettings(ClassifySettings):
    """Settings of distillation."""

    teacher: str = Field(description="the folder of a finished run with the same classes and the same form of data")
    answers: Literal["soft", "hard"] = Field(
        "soft", description="what is learned of the teacher: its probabilities, or its most probable class")
    temperature: float = Field(4.0, gt=0, description="what the logits of both are divided by, for soft answers")
    share: float = Field(
        0.9, ge=0, le=1, description="share of the teacher's answers in the loss; the labels have the rest. DeiT's, "
                                     "for hard answers, is 0.5")


class Distill(Classify):
    """Learn one class of several from labels and a teacher. The kept model gives float32 logits (B, classes)."""

    target = "class"
    separate = False  # the teacher may have seen the examples
    Settings = DistillSettings

    def taught_by(self) -> Run:
        """Open the teacher's run. Its path is from the folder in which the training began, as that of data is, where
        there is nothing of that path here.

        Raises:
            UserError: there is no run.
        """
        return Run.open(located_path(self.settings.teacher, Run(self.run).folder if self.run else None))

    def check(self, split: Split, replicas: int = 1) -> None:
        super().check(split, replicas)
        run, name = self.taught_by(), f"objective_args.teacher={self.settings.teacher}"
        run.model_file, run.result  # noqa: B018  are there
        kind = objectives.get(run.recipe.objective, run.path)
        if not (kind.predicts and kind.target == "class"):
            raise UserError(f"{name} was trained with objective={run.recipe.objective}, and a teacher classifies.")
        facts = run.data
        classes, shape = list(facts.get("classes") or ()), tuple(np.ravel(facts["shape"]).tolist())
        if classes != list(split.classes):
            raise UserError(f"{name} knows {len(classes)} classes, {', '.join(classes[:5])}..., and the data has "
                            f"{len(split.classes)}, {', '.join(split.classes[:5])}.... They have to be the same.")
        if facts["kind"] == split.kind:  # names say more than numbers of columns
            check_columns(facts.get("columns") or {}, split.columns or {}, name)
        lengths = 1 if split.kind in ("sequence", "tokens") else 0  # which networks may take as they come
        if facts["kind"] != split.kind or shape[lengths:] != split.example_shape[lengths:]:
            raise UserError(f"{name} takes {facts['kind']} examples {shape}, and the data has {split.kind} examples "
                            f"{split.example_shape}.")
        check_offsets(facts.get("reading"), split.reading, name)
        tokens = run.path / FILE
        if tokens.is_file() and tokens.read_text(encoding="utf-8") != split.files.get(FILE):
            raise UserError(f"{name} was trained with another tokenizer. Give data_args.tokens={run.path}.")

    def noted(self) -> dict[str, Any]:
        return {"teacher": user_code.digest(self.taught_by().model_file)}

    def network(self, split: Split) -> keras.Model:
        """Build the student, and load the teacher, after it: the student's first weights are those without one.

        Raises:
            UserError: the teacher has positions for fewer steps than the data may have.
        """
        student = super().network(split)
        self.teacher = self.taught_by().model()
        positions = generation.positions_of(self.teacher)
        if split.kind in ("sequence", "tokens") and positions and positions < split.example_shape[0]:
            raise UserError(f"objective_args.teacher={self.settings.teacher} has positions for {positions} steps, and "
                            f"the data has up to {split.example_shape[0]}. Set data_args.length={positions}")
        self.teacher.trainable = False
        return student

    def compute_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        """Return (1 - share) x cross-entropy with the labels + share x the teacher's part, weighted by class as y is.

        Soft: T^2 x the Kullback-Leibler divergence of the student's probabilities at temperature T from the teacher's,
        so that its gradient is as large as the labels' whatever T. Hard: cross-entropy with the teacher's class.
        """
        labels = super().compute_loss(x, y, y_pred)
        logits, share, heat = ops.stop_gradient(self.teacher(x, training=False)), self.settings.share, 1.0
        if self.settings.answers == "soft":
            heat = self.settings.temperature
            wanted, known = ops.softmax(logits / heat), ops.log_softmax(logits / heat)
        else:
            wanted, known = ops.one_hot(ops.argmax(logits, axis=-1), logits.shape[-1]), 0.0
        apart = ops.sum(wanted * (known - ops.log_softmax(y_pred / heat)), axis=-1)
        return (1 - share) * labels + share * heat**2 * ops.sum(y, axis=-1) * apart

    def validation_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        """Return the cross-entropy with the labels, which compares with that of a run without a teacher."""
        return super().compute_loss(x, y, y_pred)

    def facts(self, splits: Mapping[str, Split], answers: Callable[[Split], tuple[Any, Any]]) -> dict[str, Any]:
        run = self.taught_by()
        teacher: dict[str, Any] = {
            "run": self.settings.teacher, "recipe": run.recipe.name or run.recipe.model, "seed": run.recipe.seed,
            "parameters": run.result["parameters"]}
        # A trial of a search has no scores on test, and an ensemble those of one split.
        teacher |= {split: run.result[split] for split in ("val", "test") if split in run.result}
        return super().facts(splits, answers) | {"teacher": teacher}

    def sections(self, findings: Findings) -> list[Section]:
        mine, teacher = findings.result, findings.result.get("teacher")
        if not teacher:
            return super().sections(findings)
        rows = [(name, f"{one['parameters']:,}", *(accuracy(one.get(split, {})) for split in ("val", "test")))
                for name, one in ((mine["recipe"], mine), (f"teacher: {teacher['recipe']}", teacher))]
        return [Section("Teacher", table(("", "parameters", "val", "test"), rows) + note(
            "Accuracy of this model and of the trained network whose answers it learned from."), id="teacher",
            above=True), *super().sections(findings)]


def accuracy(scores: Mapping[str, float]) -> str:
    """Return the accuracy on a split, or that it was not measured there."""
    return f"{scores['accuracy']:.2%}" if "accuracy" in scores else "not measured"
