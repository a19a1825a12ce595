"""What is known of a trial, and what a sampler proposes: plain data that samplers, studies and reports share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from kerasdl.tuning.dimensions import Dimension

Space = Sequence[tuple[str, Dimension]]  # (field, dimension), each after the fields that its conditions name


@dataclass(frozen=True)
class Rung:
    """How far Hyperband trains a trial.

    Attributes:
        epochs: train until this epoch of the recipe, whose schedule is not shortened.
        parent: id of the trial whose run is continued; None: start a new run.
        bracket, round: the place in Hyperband's schedule.
    """

    epochs: int
    parent: str | None = None
    bracket: int = 0
    round: int = 0


@dataclass(frozen=True)
class Proposal:
    """The next trial: field -> value of the active dimensions, under Hyperband its rung, and whose child it is."""

    values: dict[str, Any]
    rung: Rung | None = None
    parent: str | None = None


class Answer(Enum):
    """What a sampler answers when it proposes nothing."""

    WAIT = "a running trial must end first"
    DONE = "there are no more trials"


@dataclass(frozen=True)
class TrialRecord:
    """What is known of a trial. Samplers read the first six attributes only.

    Attributes:
        status: "completed", "stopped" (early, by the median rule), "failed", "running", or "waiting" for its second
            attempt; for samplers also "refused", of a proposal that is never trained.
        values: field -> value as the user wrote it; only what is active.
        score: the objective on validation data; None while there is none.
        rung: under Hyperband, else None.
        costs: cost -> number, of a search that measures costs.
        parent: id of the trial of which evolution made it.
        why: the reason in one line, for a trial that failed or stopped early.
        curve: the objective after each epoch.
    """

    id: str
    status: str
    values: dict[str, Any]
    score: float | None = None
    rung: Rung | None = None
    costs: dict[str, float] = field(default_factory=dict)
    parent: str | None = None
    folder: Path = Path()
    why: str = ""
    traceback: str = ""
    attempts: int = 1
    epochs: int = 0
    seconds: float | None = None
    curve: list[float] = field(default_factory=list)

    @property
    def pending(self) -> bool:
        """Whether it has not ended: it runs, was interrupted, or gets another attempt."""
        return self.status in ("running", "waiting")

    @property
    def budget(self) -> int:
        """Epochs of its rung, which a recipe with patience may not use up; 0 without Hyperband."""
        return self.rung.epochs if self.rung else 0
