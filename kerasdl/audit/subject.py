"""What is audited: a finished run with its data, its model and its answers, each loaded when it is first asked for."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasdl import objectives, user_code
from kerasdl.audit import finished, grouping
from kerasdl.data import Split
from kerasdl.data.naming import naming
from kerasdl.errors import UserError
from kerasdl.evaluation import predictions
from kerasdl.evaluation.splits import load_split
from kerasdl.objectives.base import HAS, Objective
from kerasdl.recipe import Recipe
from kerasdl.run import Run

AUDITED = ("class", "number")  # targets of the runs that can be audited


class Subject:
    """A run that is audited.

    Args:
        run: a finished run, or its folder.
        seed: of everything that is drawn at random.
        quick: whether parts look at fewer examples.
        groups: the words of --group, or functions; see kerasdl.audit.grouping.
        shadows: how many shadow runs to train; None: as many as the part finds worth their time.
        data: the splits of a run that was trained on arrays.

    Attributes:
        settings: what else decides a part's result, by the names that a part may list in SETTINGS.

    Raises:
        UserError: a run that did not finish, or whose model does not say a class or numbers; one shadow run, or two
            groupings of one name.
    """

    def __init__(self, run: Run | str | Path, *, seed: int = 0, quick: bool = False,
                 groups: grouping.Grouping | Sequence[grouping.Grouping] = (),
                 shadows: int | None = None, data: Mapping[str, Split] | None = None):
        self.run, self.seed, self.quick = Run.open(run), seed, quick
        self._asked = dict.fromkeys([groups] if isinstance(groups, str) or callable(groups) else groups)
        self.grouped_by, self.shadows, self.data = tuple(map(grouping.name_of, self._asked)), shadows, data
        self._splits: dict[str, Split] = {}
        self._answers: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._check()

    @property
    def functions(self) -> tuple[str, ...]:
        """The groupings that are functions given in Python, which no command can name."""
        return tuple(grouping.name_of(each) for each in self._asked if callable(each))

    def _check(self) -> None:
        run = self.run
        if self.shadows == 1:
            raise UserError("Shadow runs share the examples, each with another one: train 0, or 2 or more.")
        if len(set(self.grouped_by)) < len(self.grouped_by):
            raise UserError(f"Two groupings have one name: {', '.join(self.grouped_by)}. Rename a function.")
        finished.check(run)
        kind = objectives.get(self.recipe.objective, run.path)
        if not kind.predicts or kind.target not in AUDITED:
            learned = "no answers about an example" if not kind.predicts else HAS[kind.target]
            raise UserError("An audit is of a run whose model says a class or numbers, and the objective of "
                            f"{run.path} is {self.recipe.objective}, which gives {learned}. Audit a classifier or a "
                            "regression.")

    @cached_property
    def recipe(self) -> Recipe:
        """The run's recipe."""
        return self.run.recipe

    @cached_property
    def model(self) -> keras.Model:
        """The kept model: raw examples in, float32 logits or numbers out."""
        return self.run.model()

    @cached_property
    def objective(self) -> Objective:
        """The run's objective."""
        return objectives.of(self.recipe, self.run.path)

    @property
    def target(self) -> str:
        """What the model says of an example: "class" or "number"."""
        return str(self.objective.target)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; empty for a regression."""
        return tuple(self.run.data["classes"])

    @property
    def kind(self) -> str:
        """The kind of the examples: "image", "row", "sequence" or "tokens"."""
        return str(self.run.data["kind"])

    @cached_property
    def weights(self) -> str:
        """The SHA-256 of the file of the kept model."""
        return user_code.digest(self.run.model_file)

    @cached_property
    def settings(self) -> dict[str, Any]:
        return {"groups": {name: hashed(values) for name, values in self.groups.items()}, "shadows": self.shadows}

    @cached_property
    def examples_hash(self) -> dict[str, str]:
        """A fingerprint of each split, {"train": ..., "val": ..., "test": ...}."""
        noted = self.run.data.get("examples")
        if self.data is not None or not noted:
            return {name: self.split(name).fingerprint() for name in ("train", "val", "test")}
        return dict(noted)

    def split(self, name: str = "test") -> Split:
        """Return "train", "val" or "test" as the run had it.

        Raises:
            UserError: the data is gone, or is not what the run began with.
        """
        if name not in self._splits:
            found = load_split(self.run, name, self.data)
            noted = self.run.data.get("examples", {})
            if self.data is not None and noted.get(name, now := found.fingerprint()) != now:
                raise UserError(f"The {name} split of data differs from what {self.run.path} began with: something "
                                "was added, removed, changed or put in another order, so that it may hold examples "
                                "that the model learned from. Give the arrays of the training, divided as there.")
            self._splits[name] = found
        return self._splits[name]

    def answers(self, name: str = "test") -> tuple[np.ndarray, np.ndarray]:
        """Return what the model says of a split, and the truth, in its order.

        Returns:
            answers: (N, classes) float32 logits; (N, outputs) numbers of a regression.
            truth: (N,) class indices; (N, outputs) numbers.
        """
        if name not in self._answers:
            split = self.split(name)
            kept = predictions.read(self.run) if name == "test" and self.data is None else None
            if kept is None or len(kept.truth) != len(split):
                kept = self._collected(split)
            self._answers[name] = (kept.outputs, kept.truth)
        return self._answers[name]

    def answers_at(self, name: str, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what `answers` gives, for the examples at some places only: the others are not computed."""
        if name == "test" or name in self._answers:
            answers, truth = self.answers(name)
            return answers[index], truth[index]
        found = self._collected(self.split(name).part(index))
        return found.outputs, found.truth

    def _collected(self, split: Split) -> predictions.Predictions:
        with naming({split.name: split}):
            return predictions.collect(self.objective, self.model, split, self.recipe.micro_batch)

    @cached_property
    def groups(self) -> dict[str, np.ndarray]:
        """What --group asks for, {name: (N,) the group of each test example, as text}.

        Raises:
            UserError: a column, level or function that is not there, or gives no groups that can be compared.
        """
        return {grouping.name_of(word): grouping.groups_of(self.run, self.split("test"), word, self.data)
                for word in self._asked}

    def examples(self, count: int, name: str = "test", among: np.ndarray | None = None) -> np.ndarray:
        """Return the places of `count` examples of a split in ascending order, or of all if there are fewer.

        Each class has the share that it has in the split, as far as whole examples allow. The seed decides which.

        Args:
            count: how many.
            name: "train", "val" or "test".
            among: (M,) places in ascending order, of which some are taken; None: all places.
        """
        split = self.split(name)
        among = np.arange(len(split)) if among is None else among
        if count >= len(among):
            return among
        y = (self.answers(name)[1] if split.streamed else np.asarray(split.y))[among]
        random = np.random.default_rng([self.seed, len(among)])
        place = random.random(len(among))
        if self.target == "class":  # the k-th of n examples of a class comes at (k + u) / n
            for label in np.unique(y):
                mine = random.permutation(np.flatnonzero(y == label))
                place[mine] = (np.arange(len(mine)) + random.random()) / len(mine)
        return among[np.sort(np.argsort(place, kind="stable")[:count])]

    def size(self, full: int, quick: int) -> int:
        """Return how many examples, resamples or steps to take: fewer with --quick."""
        return quick if self.quick else full


def hashed(values: np.ndarray) -> str:
    """Return a short hash of texts or numbers."""
    return hashlib.sha256("\n".join(map(str, values.tolist())).encode()).hexdigest()[:16]
