"""The samplers as keras_tuner.Oracle classes, for a keras_tuner.Tuner and for kerasdl's own loop.

    tuner = keras_tuner.Tuner(BayesianOracle(objective="val_accuracy", max_trials=20, seed=0), hypermodel=build)

They use only what keras-tuner makes public. kerasdl's loop keeps its trials itself and asks `propose`.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from kerasdl.tuning import keras_tuner_space
from kerasdl.tuning.records import Answer, Proposal, Rung, Space, TrialRecord
from kerasdl.tuning.samplers import bayesian, evolution, grid, hyperband, optuna, random, ranked
from kerasdl.tuning.search import Search

ANSWERS = {Answer.WAIT: TrialStatus.IDLE, Answer.DONE: TrialStatus.STOPPED}
STATUSES = {TrialStatus.COMPLETED: "completed", TrialStatus.FAILED: "failed"}


class Oracle(keras_tuner.Oracle):
    """What all share: trials in, a proposal out. The trials are all there is to remember.

    Args:
        objective: as for keras_tuner.Oracle, such as "val_accuracy".
        max_trials: how many trials at most.
        seed: of the sampler; the same seed gives the same trials with one worker.
        space: dimensions to search; by default those of the Tuner's hypermodel.
        **options: of keras_tuner.Oracle.

    Attributes:
        exhaustible: whether it runs out of proposals, however many of them are refused.
    """

    exhaustible: ClassVar[bool] = False

    def __init__(self, objective: Any = None, max_trials: int | None = None, seed: int | None = None,
                 space: Space | None = None, **options: Any):
        super().__init__(objective=objective, max_trials=max_trials, seed=seed, **options)
        if seed is not None:
            self.seed = seed  # keras-tuner replaces the seed 0
        self.dimensions = space

    def propose(self, trials: Sequence[TrialRecord]) -> Proposal | Answer:
        """Propose the next trial after these, in the order in which they began."""
        raise NotImplementedError

    def promote(self, trials: Sequence[TrialRecord]) -> Proposal | Answer:
        """Propose as `propose`, but no new point: only to train one of the trials further."""
        return Answer.DONE

    @property
    def space(self) -> Space:
        """The dimensions to search."""
        return keras_tuner_space.dimensions(self.get_space()) if self.dimensions is None else self.dimensions

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        answer = self.propose([record(self.trials[name]) for name in self.start_order])
        if isinstance(answer, Answer):
            return {"status": ANSWERS[answer], "values": None}
        return {"status": TrialStatus.RUNNING, "values": {**answer.values, **self._budget(answer.rung)}}

    def _budget(self, rung: Rung | None) -> dict[str, Any]:
        """Return the values by which keras-tuner's Hyperband says how long a trial trains."""
        if rung is None:
            return {}
        began = record(self.trials[rung.parent]).budget if rung.parent else 0
        return {"tuner/epochs": rung.epochs, "tuner/initial_epoch": began, "tuner/bracket": rung.bracket,
                "tuner/round": rung.round, **({"tuner/trial_id": rung.parent} if rung.parent else {})}


class GridOracle(Oracle):
    """Every combination once; of a continuous range ten values."""

    exhaustible = True

    def propose(self, trials):
        return grid.propose(self.space, trials)


class RandomOracle(Oracle):
    """Values drawn independently, no combination twice."""

    def propose(self, trials):
        return random.propose(self.space, trials, self.seed)


class BayesianOracle(Oracle):
    """The highest expected improvement of a Gaussian process.

    Args:
        costs: of kerasdl's own trials, that are to be low as well.
    """

    def __init__(self, objective: Any = None, costs: Sequence[str] = (), **options: Any):
        super().__init__(objective=objective, **options)
        self.costs = costs

    def propose(self, trials):
        return bayesian.propose(self.space, trials, self.seed, direction=self.objective.direction,
                                limit=self.max_trials, costs=self.costs)


class HyperbandOracle(Oracle):
    """Brackets of trials, of which the best are promoted to more epochs.

    As with keras-tuner's own, the Tuner trains a trial for hp["tuner/epochs"] epochs.

    Args:
        max_epochs: of a trial that is promoted to the end.
        factor: how many times more epochs, and fewer trials, the next round has.
    """

    def __init__(self, objective: Any = None, max_epochs: int = 100, factor: int = 3, **options: Any):
        super().__init__(objective=objective, **options)
        self.max_epochs, self.factor = max_epochs, factor

    def propose(self, trials, begins=True):
        return hyperband.propose(self.space, trials, self.seed, direction=self.objective.direction,
                                 max_epochs=self.max_epochs, factor=self.factor, begins=begins)

    def promote(self, trials):
        return self.propose(trials, begins=False)


class EvolutionOracle(Oracle):
    """Children of the best of a few of the last trials.

    Args:
        population: how many of the last trials may be parents.
        sample: how many of these compete to be one.
    """

    def __init__(self, objective: Any = None, population: int = evolution.POPULATION, sample: int = evolution.SAMPLE,
                 **options: Any):
        super().__init__(objective=objective, **options)
        self.population, self.sample = population, sample

    def propose(self, trials):
        return evolution.propose(self.space, trials, self.seed, direction=self.objective.direction,
                                 population=self.population, sample=self.sample)


class OptunaOracle(Oracle):
    """A sampler of Optuna.

    Args:
        sampler: the name of its class: "TPESampler".
        costs: of kerasdl's own trials, that are to be low as well.
    """

    def __init__(self, objective: Any = None, sampler: str = "TPESampler", costs: Sequence[str] = (), **options: Any):
        super().__init__(objective=objective, **options)
        self.sampler, self.costs = sampler, costs

    def propose(self, trials):
        return optuna.propose(self.space, trials, self.seed, name=self.sampler, direction=self.objective.direction,
                              limit=self.max_trials, costs=self.costs)


class RankedOracle(Oracle):
    """The points of a file, in its order.

    Args:
        file: as `kerasdl tune rank` writes it.
    """

    exhaustible = True

    def __init__(self, objective: Any = None, file: str = "", **options: Any):
        super().__init__(objective=objective, **options)
        self.file = file

    def propose(self, trials):
        return ranked.propose(self.space, trials, file=self.file)


ORACLES = {"grid": GridOracle, "random": RandomOracle, "bayesian": BayesianOracle, "hyperband": HyperbandOracle,
           "evolution": EvolutionOracle, "optuna": OptunaOracle, "ranked": RankedOracle}


def record(trial: Trial) -> TrialRecord:
    """Return what a sampler sees of a keras-tuner trial. A score that is not finite is a failure."""
    values = dict(trial.hyperparameters.values)
    status, score = STATUSES.get(trial.status, "running"), trial.score
    if status == "completed" and not (score is not None and math.isfinite(score)):
        status = "failed"
    place = {key.removeprefix("tuner/"): values.pop(key) for key in list(values) if key.startswith("tuner/")}
    rung = Rung(place["epochs"], place.get("trial_id"), place["bracket"], place["round"]) if place else None
    return TrialRecord(trial.trial_id, status, values, score if status == "completed" else None, rung)


def of_search(search: Search, space: Space) -> Oracle:
    """Return the oracle of a search over a space."""
    options: dict[str, Any] = {}
    name, _, rest = search.oracle.partition(":")
    kind = ORACLES[name]
    if kind is HyperbandOracle:
        options = {"max_epochs": search.base.epochs}
    elif kind is BayesianOracle:
        options = {"costs": search.costs}
    elif kind is OptunaOracle:
        options = {"sampler": rest, "costs": search.costs}
    elif kind is RankedOracle:
        options = {"file": rest}
    return kind(objective=keras_tuner.Objective(search.objective, search.direction), max_trials=search.limit,
                seed=search.seed, space=space, **options)
