"""A search in its folder: search.json says exactly what runs, kerasdl.tuning.trials keeps its trials, and
kerasdl.tuning.costing the proposals that cost too much."""

import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from kerasdl.errors import UserError
from kerasdl.files import in_turn, write_text
from kerasdl.recipe import MOVED
from kerasdl.text import resuming
from kerasdl.tuning import median_stopping
from kerasdl.tuning.costing import Meter, Refused, Unmeasured
from kerasdl.tuning.dimensions import frozen
from kerasdl.tuning.records import Answer, Proposal, Space, TrialRecord
from kerasdl.tuning.samplers import grid
from kerasdl.tuning.search import Search
from kerasdl.tuning.search import load as load_search
from kerasdl.tuning.trials import LOCK, Trials

SEARCH = "search.json"
PATIENCE = 30  # seconds of refused proposals after which the trials that run are looked after
WEIGHTS = "model.keras"  # of a trial that trained to its end
OLD_STATE = "oracle.json"  # of searches before 0.2, whose trials do not say all that a sampler must know
DATA_FIELDS = {"data", "data_args", "splits"}
LOADED_BY = DATA_FIELDS | {"objective"}  # which says what targets are read


class Study(Trials):
    """The trials of a search, which its oracle proposes.

    Attributes:
        options: how trials are trained: keyword arguments of kerasdl.train.
        end: on the clock time.monotonic, after which no trial begins; None: never.
        cut_short: whether `end` is why there was no other trial.
        given_up: why no new trial is proposed, but promotions only, although the oracle has proposals; "": it is.
    """

    def __init__(self, search: Search, folder: Path, options: dict[str, Any] | None = None):
        super().__init__(search, folder, folder / "trials", resuming("tune", folder))
        self.options = options or {}
        self.end: float | None = None
        self.cut_short, self.given_up = False, ""
        self.refused = Refused(folder)

    @classmethod
    def create(cls, search: Search, folder: str | Path, options: dict[str, Any] | None = None) -> "Study":
        """Return the study in a folder, and begin it if there is none.

        Raises:
            UserError: if the folder cannot be written, or holds another search.
        """
        study = cls(search, Path(folder), options)
        if (study.folder / OLD_STATE).exists():
            raise UserError(f"{folder} holds a search of kerasdl 0.1, which can be read but not continued: "
                            f"kerasdl tune report {folder}. Start a new one in another folder.")
        with study.writing("Choose another --workdir."):
            study.folder.mkdir(parents=True, exist_ok=True)
            with in_turn(study.folder / LOCK):
                if (study.folder / SEARCH).exists():
                    search.check_continues(load_search(study.folder / SEARCH), folder)
                    study.check_backend()
                write_text(study.folder / SEARCH, search.to_json())
        return study

    @classmethod
    def open(cls, folder: str | Path) -> "Study":
        """Return the study in a folder.

        Raises:
            UserError: if the folder is not a search's.
        """
        folder = Path(folder)
        if not (folder / SEARCH).is_file():
            raise UserError(f"{folder} is not a search: it has no {SEARCH}. Start one with: kerasdl tune SEARCH")
        return cls(load_search(folder / SEARCH), folder)

    @cached_property
    def space(self) -> Space:
        """The dimensions that the search varies; a function build(hp) is asked for them once."""
        if not self.search.build:
            return self.search.dimensions
        from kerasdl.tuning import keras_tuner_space

        return keras_tuner_space.dimensions(self._hyperparameters)

    @cached_property
    def oracle(self):
        """The keras_tuner.Oracle that proposes the trials."""
        from kerasdl.tuning import oracles

        return oracles.of_search(self.search, self.space)

    @cached_property
    def meter(self) -> Meter:
        """What measures the costs of networks."""
        return Meter(self.search.measured, self.search.limits, self.folder)

    @cached_property
    def _hyperparameters(self):
        from kerasdl.tuning import hypermodel

        return hypermodel.space(self.search.build, self.folder)

    @property
    def total(self) -> int | None:
        search = self.search
        if search.limit is not None or search.oracle != "grid":
            return search.limit
        return sum(1 for _ in itertools.islice(grid.combinations(self.space), grid.FEW))

    @property
    def out_of_time(self) -> bool:
        return self.end is not None and time.monotonic() >= self.end

    def extend(self, trials: int) -> None:
        """Give the search this many trials."""
        self.search = replace(self.search, trials=trials)
        self.__dict__.pop("oracle", None)  # it knows how many there are
        with self.writing():
            write_text(self.folder / SEARCH, self.search.to_json())

    def plan(self, records: Sequence[TrialRecord]) -> TrialRecord | Answer:
        most = self.search.limit
        if most is not None and len(records) >= most:
            return Answer.DONE
        began = None
        while not self.out_of_time and (began is None or time.monotonic() < began + PATIENCE):
            seen = self.refused.among(records)
            answer = self.oracle.promote(seen) if self._gives_up(records) else self.oracle.propose(seen)
            if isinstance(answer, Answer):
                if answer is Answer.DONE and not records:
                    self.refused.check_some(self.search.limits)
                return answer
            found, why = self._costs(answer, records)
            if not why:
                numbers = [int(record.id) for record in records if record.id.isdecimal()]  # one may have been removed
                name = f"{max(numbers, default=-1) + 1:04}"
                return TrialRecord(name, "running", answer.values, rung=answer.rung, costs=found, parent=answer.parent,
                                   folder=self.home / name)
            self.refused.add(len(records), answer.values, found, why)
            began = began or time.monotonic()
        self.cut_short = self.out_of_time
        return Answer.DONE if self.cut_short else Answer.WAIT

    def _gives_up(self, records: Sequence[TrialRecord]) -> bool:
        """Return whether MANY proposals in a row were refused, so that no other one is likely to be within the limits.
        """
        if not self.oracle.exhaustible:
            self.given_up = self.refused.exhausted(records)
        return bool(self.given_up)

    def _costs(self, proposal: Proposal, records: Sequence[TrialRecord]) -> tuple[dict[str, float], str]:
        """Return what the network of a proposal costs, and why it is not trained, if it is not.

        Raises:
            UserError: as Meter.measure; Unmeasured only if the cost was measured of no other network of the search.
        """
        if not self.search.measured:
            return {}, ""
        if proposal.rung and proposal.rung.parent:  # a promotion: it was measured before
            return next(record.costs for record in records if record.id == proposal.rung.parent), ""
        try:
            return self.meter.measure(self.search.trial(proposal.values))
        except Unmeasured as error:
            others = *(record.costs for record in records), *(entry["costs"] for entry in self.refused.entries())
            if not any(error.cost in each for each in others):
                raise
            return error.found, str(error)

    def task(self, record: TrialRecord, records: Sequence[TrialRecord]) -> dict[str, Any]:
        """Return what a trial is to do.

        Raises:
            UserError: a file of the user's was edited since the search began: the process would import another network.
        """
        search = self.search
        if edited := search.edited():
            raise UserError(f"{edited[0]} since {self.folder} began, so that later trials would be of another network. "
                            f"Undo the change, and resume: {self.resume}. Or begin a search in another folder.")
        recipe = search.base if search.build else search.trial(record.values)
        if search.inherit and record.parent and (self.home / record.parent / WEIGHTS).exists():
            own = self.home / record.id / "recipe.json"  # of a trial that has begun: the search may have moved since
            init = json.loads(own.read_text(encoding="utf-8"))["init"] if own.exists() else \
                str(self.home / record.parent)
            recipe = recipe.override(init=init)
        task = {"recipe": json.loads(recipe.model_dump_json()), "options": self.options,
                "varies_data": self._varies(DATA_FIELDS)}
        if search.stops_early:
            task["thresholds"] = median_stopping.thresholds(records)
        if search.build:
            task |= {"build": search.build, "hp": self._hyperparameters.get_config() | {"values": record.values}}
        return task

    def examples(self, records: Sequence[TrialRecord]) -> dict[str, str] | None:
        return None if self._varies(LOADED_BY) else super().examples(records)

    def _varies(self, fields: set[str]) -> bool:
        return not fields.isdisjoint(key.partition(".")[0] for key in self.search.space)

    def values(self, task: dict[str, Any]) -> dict[str, Any]:
        """Return a task's values. Before 0.2 they were in its recipe, or in the hyperparameters of build(hp)."""
        if "values" in task:
            return super().values(task)
        if self.search.build:
            return {key: value for key, value in task["hp"]["values"].items() if not key.startswith("tuner/")}
        values: dict[str, Any] = {}
        for key, dimension in self.space:
            if dimension.active(values):
                home, _, part = key.partition(".")
                fields = task["recipe"] if not part or part in MOVED else task["recipe"][home]
                values[key] = frozen(fields[part or home])
        return values
