"""What has been tried so far: candidates, what was not started and why, and how it is kept on disk.

    progress.json     what was asked, the seconds that are gone, and the seconds and notes of what is finished
    <name>/           a candidate, which is a run
    search/           the study of kerasdl.tuning, whose trials are candidates, too
    auto.json         what came of it, the last of its files but for the page
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kerasdl import objectives
from kerasdl.auto.asked import OBJECTIVES, PROGRESS, Asked, progress
from kerasdl.data import Split, load_splits
from kerasdl.errors import UserError
from kerasdl.evaluation.located import located, located_args
from kerasdl.evaluation.padded import check_defined
from kerasdl.files import write_json, writing
from kerasdl.objectives.base import Objective
from kerasdl.photos.budget import Budget
from kerasdl.recipe import Recipe
from kerasdl.run import Run
from kerasdl.text import duration, figure
from kerasdl.train.setup import SPLITS
from kerasdl.tuning.trial import out_of_memory

OUTCOME = "auto.json"
CUT = "ended by the budget"  # in the note of a training that has fewer epochs than its recipe
CLOSING, SHARE = 30.0, 0.25  # seconds, or share of a short budget, for the test split, the page and an export
ROUNDING = 1e-6  # by which two scores may differ that are equal, as a share of them: they were computed in float32
logger = logging.getLogger(__name__)


def from_here(recipe: Recipe, folder: str | None) -> Recipe:
    """Return a recipe whose paths of data are from a folder, where there is nothing of them here."""
    return recipe.model_copy(update={"data": located(recipe.data, folder),
                                     "data_args": located_args(recipe.data_args, folder)})


@dataclass(frozen=True)
class Candidate:
    """A model of the data.

    Attributes:
        name: how tables call it.
        kind: "baseline", "default", "search", "ensemble" or "retrained".
        run: its folder.
        val: its scores on the validation split.
        seconds: that it took.
        note: what the budget did to it, or how it was made.
    """

    name: str
    kind: str
    run: Run
    val: Mapping[str, float]
    seconds: float
    note: str = ""

    @property
    def trains(self) -> bool:
        """Whether it is a training, which another seed changes, and not fitted or put together."""
        return self.kind in ("default", "search", "retrained")


@dataclass
class Task:
    """What has been tried so far.

    Attributes:
        asked: what is wanted.
        home: the folder of it all.
        clock: what is left of the budget.
        base: the recipe that says the data and the score of every candidate.
        objective: what is learned.
        splits: "train", "val" and "test", the same for all.
        candidates: in the order in which they were made.
        skipped: {name: why it was not started, or failed}.
        remarks: sentences for the page.
        weighed: whether the sizes of files were measured, where there is a limit.
        forms: {data_args as JSON: the splits in that form}, where a candidate reads its examples in another one.
        examples: a fingerprint of each split.
        folder: where it was begun, which paths of data are from.
    """

    asked: Asked
    home: Path
    clock: Budget
    base: Recipe
    objective: Objective
    splits: Mapping[str, Split]
    candidates: list[Candidate] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    weighed: bool = False
    forms: dict[str, Mapping[str, Split]] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)
    folder: str = field(default_factory=lambda: str(Path.cwd()))

    @classmethod
    def of(cls, asked: Asked, base: Recipe, home: Path, clock: Budget) -> "Task":
        """Return a new task, or what an interrupted one has finished in its folder, whose time is counted.

        Raises:
            UserError: the data cannot be learned from or is not what the folder was begun with, or the folder cannot be
                written.
        """
        target = OBJECTIVES[asked.objective]
        splits = load_splits(base.data, SPLITS | base.splits, target=target, **base.data_args)  # type: ignore[arg-type]
        if splits["train"].streamed:
            raise UserError(f"{base.data} is too large for memory, where kerasdl auto keeps what it compares on. Take "
                            "a part of it, splits.train='train[:10%]', or train a recipe: kerasdl list")
        objective = objectives.of(base)
        objective.check(splits["train"])
        for name in ("val", "test"):
            check_defined(objective, splits[name])
        before, examples = progress(home), {name: split.fingerprint() for name, split in splits.items()}
        if (known := before.get("examples")) and known != examples:
            raise UserError(f"The data has changed since {home} was begun, so that scores could not be compared. "
                            "Restore it, or choose another --workdir.")
        clock.began -= before.get("spent", 0.0)
        found = cls(asked, home, clock, base, objective, splits, examples=examples,
                    folder=before.get("folder") or str(Path.cwd()))
        found.save()
        return found

    def splits_of(self, recipe: Recipe) -> Mapping[str, Split]:
        """Return the splits as a recipe reads them: the same examples, texts perhaps in tokens of its own."""
        recipe = self.here(recipe)
        if recipe.data_args == self.base.data_args:
            return self.splits
        form = json.dumps(recipe.data_args, sort_keys=True, default=str)
        if form not in self.forms:
            self.forms[form] = load_splits(recipe.data, SPLITS | recipe.splits, target=self.objective.target,
                                           **recipe.data_args)
        return self.forms[form]

    def here(self, recipe: Recipe) -> Recipe:
        """Return a recipe that finds its data from the present folder, too, where the task was begun in another."""
        return from_here(recipe, self.folder)

    @property
    def kind(self) -> str:
        """The kind of an example; see kerasdl.data.spec."""
        return self.splits["train"].kind

    @property
    def monitor(self) -> str:
        """The score that chooses."""
        return self.objective.monitor

    @property
    def better(self) -> str:
        """Whether "max" or "min" is better."""
        return self.objective.scores[self.monitor]

    @property
    def left(self) -> float:
        """Seconds that are left until the last measurements have to begin."""
        ends = 1 if self.asked.max_kb is None or self.weighed else 2  # with a limit, several candidates become files
        return self.clock.left - ends * min(CLOSING, SHARE * self.clock.seconds)

    def add(self, name: str, kind: str, make: Callable[[Path], Run], note: Callable[[], str] = lambda: "") -> None:
        """Make a candidate and keep it, unless an interrupted task has finished it. One that fails is skipped."""
        path, began = self.home / name, time.monotonic()
        known = progress(self.home).get("made", {}).get(name, {})
        try:
            run = Run(path) if (path / "result.json").exists() else make(path)
            if run.result["status"] != "completed":
                raise UserError(run.result["message"])
        except ValueError as error:  # a user's mistake, or what scikit-learn and Keras say of numbers and shapes
            self.skip(name, " ".join(str(error).split()))
            return
        except out_of_memory():
            self.skip(name, "out of memory")
            return
        seconds = known.get("seconds") or time.monotonic() - began
        self.keep(Candidate(name, kind, run, run.result["val"], seconds, known.get("note") or note()))

    def keep(self, candidate: Candidate) -> None:
        """Take a candidate into the comparison."""
        self.candidates.append(candidate)
        self.skipped.pop(candidate.name, None)
        self.save()
        logger.info("%s: val %s %s, %s", candidate.name, self.monitor.replace("_", " "),
                    figure(candidate.val[self.monitor]),
                    ", ".join(filter(None, [duration(candidate.seconds), candidate.note])))

    def skip(self, name: str, why: str) -> None:
        """Keep why something is not among the candidates."""
        if self.skipped.get(name) != why:
            logger.warning("%s: %s", name, why)
        self.skipped[name] = why

    def remark(self, text: str) -> None:
        """Keep a sentence for the page."""
        if text not in self.remarks:
            self.remarks.append(text)
            logger.warning(text)

    def save(self) -> None:
        """Write progress.json."""
        made = {each.name: {"seconds": round(each.seconds, 1), "note": each.note} for each in self.candidates}
        with writing(self.home, "Choose another --workdir."):
            write_json(self.home / PROGRESS, {"asked": self.asked.to_json(), "base": json.loads(
                self.base.model_dump_json()), "spent": round(self.clock.spent, 1),
                "folder": self.folder, "examples": self.examples, "made": progress(self.home).get("made", {}) | made})

    def rank(self, candidate: Candidate) -> tuple[float, bool, float]:
        """Return what validation says, the larger the better: the score, of equal ones the simpler, then the loss."""
        sign = 1 if self.better == "max" else -1
        return sign * candidate.val[self.monitor], candidate.kind == "baseline", -candidate.val.get("loss", 0.0)

    def ranked(self, *kinds: str) -> list[Candidate]:
        """Return the candidates of some kinds, by default of all, the best first."""
        some = [each for each in self.candidates if each.kind in kinds or not kinds]
        return sorted(some, key=self.rank, reverse=True)
