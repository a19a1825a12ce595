"""keras-tuner's oracles made right: a short class for each fault of keras-tuner 1.4.8, and `make`.

An oracle is asked for trials and told their scores: `create_trial(worker)`, `update_trial(id, metrics, step)`,
`end_trial(trial)`, `get_best_trials(n)`, `reload()`. What a call has done is on disk when it returns, and a process
killed at any time goes on from there: the trials that ran are given out again, no other.

Each class says what keras-tuner does; a test fails when it does so no longer, so that the class can go.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from keras_tuner import HyperParameters, Objective, Oracle
from keras_tuner.engine import hyperparameters as kinds
from keras_tuner.oracles import GridSearchOracle, RandomSearchOracle
from keras_tuner.src.engine.oracle import synchronized
from keras_tuner.src.engine.trial import Trial

from kerasdl.errors import UserError, nearest
from kerasdl.files import write_json
from kerasdl.tuning import build
from kerasdl.tuning.cells import cells, countable, is_few
from kerasdl.tuning.space import Search

DRAWS = 10_000  # in a row that were tried before, of a space whose combinations cannot be listed


class ExactValues:
    """A hyperparameter that build(hp) brings and keras-tuner counts wrongly becomes a choice of its exact values.

    hp.Float(0, 1, step=.2) never gives 1, hp.Float(0, 1, step=.1) forgets which value it was, and
    hp.Int(2, 32, step=2, sampling="log") gives floats.
    """

    def update_space(self, hyperparameters: HyperParameters) -> None:
        mended = HyperParameters()
        for hp in hyperparameters.space:
            if isinstance(hp, kinds.Float | kinds.Int) and hp.step is not None and not (
                    isinstance(hp, kinds.Int) and hp.sampling == "linear"):
                values = countable(hp)
                default = hp.default if hp.default in values else None
                hp = kinds.Choice(hp.name, values, ordered=True, default=default, conditions=hp.conditions)
            mended.merge([hp])
        super().update_space(mended)


class OwnSeed:
    """The seed of the search decides its trials. keras-tuner replaces 0 by a random number, and draws the k-th value
    from seed + k, so that two searches with near seeds try the same points shifted."""

    def __init__(self, *args: Any, seed: int, **kwargs: Any):
        super().__init__(*args, seed=seed or 1, **kwargs)
        self.seed = seed
        self._seed_state = int(np.random.SeedSequence(seed).generate_state(1)[0])


class EveryCell:
    """Each combination can come. keras-tuner gives up after 21 draws that were tried before, as soon happens where a
    condition lets one value of a few have all the others below it."""

    def _random_values(self) -> dict[str, Any] | None:
        few = bool(self.hyperparameters.space) and is_few(self.hyperparameters)
        self._max_collisions = 20 if few else DRAWS
        values = super()._random_values()
        if values is not None or not few:
            return values
        left = [cell for cell in cells(self.hyperparameters) if not self._duplicate(cell)]
        self._seed_state += 1
        return left[np.random.default_rng(self._seed_state).integers(len(left))] if left else None


class OneFile:
    """All state is one file that is replaced whole, after each call. keras-tuner writes each trial and the oracle into
    files of their own, in place and before the call is over: a search that is killed between them loses a trial, or
    repeats one that had ended. trials/<id>/trial.json is for readers only."""

    def __init__(self, folder: Path, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.folder = Path(folder)
        self._depth = 0

    @synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        return self._saved(super().create_trial, tuner_id)

    @synchronized
    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> Trial:
        return self._saved(super().update_trial, trial_id, metrics, step)

    @synchronized
    def end_trial(self, trial: Trial) -> None:
        self._saved(super().end_trial, trial)

    def reload(self) -> None:
        """Go on from the file, if there is one; the trials that ran wait to be given out again."""
        file = self.folder / "oracle.json"
        if file.exists():
            self.set_state(json.loads(file.read_text()))
            waiting = sorted((trial.trial_id for trial in self.ongoing_trials.values()
                              if trial.status == "RUNNING"), reverse=True)  # the queue gives its last first
            self._retry_queue += [name for name in waiting if name not in self._retry_queue]
            self.ongoing_trials = {}

    def save(self) -> None:
        if not self._depth:
            write_json(self.folder / "oracle.json", self.get_state())

    def get_state(self) -> dict[str, Any]:
        return super().get_state() | {"trials": {name: self._plain(trial) for name, trial in self.trials.items()}}

    def set_state(self, state: dict[str, Any]) -> None:
        space = json.dumps(state["hyperparameters"]["space"])  # from_config changes what it is given
        self.trials = {name: Trial.from_state({**plain, "hyperparameters": {
            "space": json.loads(space), "values": plain["values"]}}) for name, plain in state["trials"].items()}
        super().set_state(state)

    def _saved(self, call, *args):
        self._depth += 1
        try:
            answer = call(*args)
        finally:
            self._depth -= 1
        self.save()
        return answer

    def _save_trial(self, trial: Trial) -> None:
        folder = self.folder / "trials" / trial.trial_id
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "trial.json", self._plain(trial))

    @staticmethod
    def _plain(trial: Trial) -> dict[str, Any]:
        state = trial.get_state()
        return {**state, "values": state.pop("hyperparameters")["values"]}


class LastScore:
    """The score is the objective that was reported last, and a number. keras-tuner takes the best epoch's, which is not
    that of the weights that were kept, lets an infinite one win, and fails with a TypeError where there is none."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._broken: dict[str, str] = {}  # trial -> what its last objective was in place of a number

    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> Trial:
        name = self.objective.name
        self._check_objective_found(metrics)
        finite = {key: value for key, value in metrics.items() if math.isfinite(value)}
        self._broken.pop(trial_id, None)
        if name not in finite:
            self._broken[trial_id] = f"{name} was {metrics[name]} at epoch {step}."
            return self.trials[trial_id]
        return super().update_trial(trial_id, finite, step)

    def end_trial(self, trial: Trial) -> None:
        if trial.status == "COMPLETED" and trial.trial_id in self._broken:
            trial.status, trial.message = "FAILED", self._broken[trial.trial_id]
        elif trial.status == "COMPLETED" and not self.trials[trial.trial_id].metrics.exists(self.objective.name):
            raise UserError(f"Trial {trial.trial_id} ended without {self.objective.name}, which the search judges by.")
        super().end_trial(trial)

    def score_trial(self, trial: Trial) -> None:
        last = trial.metrics.get_history(self.objective.name)[-1]
        trial.score, trial.best_step = float(last.value[-1]), last.step

    def _check_objective_found(self, metrics: Mapping[str, float]) -> None:
        if self.objective.name not in metrics:
            raise UserError(f"The search judges by {self.objective.name}, which was never logged. "
                            f"{nearest(self.objective.name, metrics)}")


class BestOnly:
    """The best trials have a score. keras-tuner fills their number up with failed ones."""

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        return [trial for trial in super().get_best_trials(num_trials) if trial.status == "COMPLETED"]


class Limit:
    """How many trials there are may change when a search goes on. keras-tuner derives the trials' names from it."""

    def __init__(self, *args: Any, limit: int | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.limit, self.max_trials = limit, None  # of None the names have four digits

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if self.limit is not None and len(self.trials) >= self.limit:
            return {"status": "STOPPED", "values": None}
        return super().populate_space(trial_id)

    def remaining_trials(self) -> int | None:
        return None if self.limit is None else self.limit - len(self.trials)


class WholeGrid:
    """The n-th trial is the n-th combination. keras-tuner forgets on saving where in the grid it was, and derives each
    combination from the end of the one before, so that workers wait for one another.

    Where build(hp) may still bring hyperparameters, keras-tuner's way is kept, and what it forgets is saved.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._cells: Iterator[dict[str, Any]] | None = None

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if self.allow_new_entries:
            return super().populate_space(trial_id)
        if self._cells is None:
            self._cells = cells(self.hyperparameters)
            for _ in self.start_order:
                next(self._cells)
        values = next(self._cells, None)
        return {"status": "STOPPED" if values is None else "RUNNING", "values": values}

    def get_state(self) -> dict[str, Any]:
        order, index = [], self._ordered_ids._next_index[None]
        while index is not None:
            order.append(self._ordered_ids._memory[index])
            index = self._ordered_ids._next_index[index]
        return super().get_state() | {"ordered_ids": order, "populate_next": self._populate_next}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self._cells = None
        self._ordered_ids = type(self._ordered_ids)()
        for name in state["ordered_ids"]:
            self._ordered_ids.insert(name)
        self._populate_next = state["populate_next"]


MENDED = (Limit, OneFile, LastScore, BestOnly, ExactValues, EveryCell, OwnSeed)


def mended(oracle: type[Oracle], *more: type) -> type[Oracle]:
    """An oracle of keras-tuner with the classes above."""
    return type(oracle.__name__, (*MENDED, *more, oracle), {})


def make(search: Search, folder: str | Path) -> Oracle:
    """The oracle of a search, whose state is in `folder`/oracle.json; call its `reload()` to go on from there.

    A failed trial never ends the search (keras-tuner's ends after three in a row), and an INVALID one is given out
    once more.
    """
    common = {"objective": Objective(search.objective, search.direction), "limit": search.limit, "seed": search.seed,
              "hyperparameters": HyperParameters() if search.build else search.hyperparameters(),
              "max_retries_per_trial": 1,
              "max_consecutive_failed_trials": math.inf, "folder": folder,
              "allow_new_entries": bool(search.build)}
    if search.oracle == "grid":
        oracle = mended(GridSearchOracle, WholeGrid)(**common)
    elif search.oracle == "random":
        oracle = mended(RandomSearchOracle)(**common)
    elif search.oracle == "bayesian":
        from kerasdl.tuning.bayesian import Bayesian

        oracle = mended(Bayesian)(**common)
    else:
        from kerasdl.tuning.hyperband import Hyperband

        oracle = mended(Hyperband)(**common, max_epochs=search.base.epochs)
    if search.build:
        oracle.update_space(build.space(search.build, folder))
    oracle.verbose = 0
    return oracle
