"""Any sampler of Optuna (Akiba et al. 2019, arXiv:1907.10902) that needs no more than a seed: "optuna:NSGAIISampler".

A sampler of Optuna keeps a state in its study. Here each proposal gives a new study all trials so far, in their order:
equal trials give equal proposals, and a search that was killed needs no file for the sampler. The sampler's seed
follows from the search's and the number of trials.
"""

import importlib.util
import inspect
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasdl.errors import UserError, nearest
from kerasdl.tuning.dimensions import Dimension, ascending, index_of
from kerasdl.tuning.records import Answer, Proposal, Space, TrialRecord
from kerasdl.tuning.samplers import evolution, random
from kerasdl.tuning.samplers.grid import key

ORDERED = ("BruteForceSampler", "GridSampler", "QMCSampler")  # their next point is no function of the trials
NEEDS = {"CmaEsSampler": "cmaes", "GPSampler": "torch"}  # what Optuna itself does not install
GENETIC = ("NSGAIISampler", "NSGAIIISampler")  # of which each population is bred from the one before
BY_GENERATION = (*GENETIC, "CmaEsSampler")  # what learns from trials that have been given a generation
REPEATS = 50  # proposals in a row that were tried before, after which a random point is proposed


def propose(space: Space, trials: Sequence[TrialRecord], seed: int, *, name: str, direction: str,
            limit: int | None = None, costs: Sequence[str] = ()) -> Proposal | Answer:
    """Propose what a sampler does.

    Args:
        name: of the class in optuna.samplers.
        direction: whether "max" or "min" is the best score.
        limit: how many trials there will be, if that is known: of few, a population is a third.
        costs: which costs of a trial are to be low as well.

    Raises:
        UserError: as `find`.
    """
    kind = find(name)
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            options = {"population_size": population(limit)} if name in GENETIC else {}
            sampler = kind(seed=int(np.random.SeedSequence([seed, len(trials)]).generate_state(1)[0]), **options)
            directions: list[Any] = ["maximize" if direction == "max" else "minimize", *["minimize"] * len(costs)]
            study = optuna.create_study(directions=directions, sampler=sampler)
            values = _untried(study, space, trials, costs, name in BY_GENERATION)
    finally:
        optuna.logging.set_verbosity(level)
    return random.propose(space, trials, seed) if values is None else Proposal(values)


def find(name: str) -> Any:
    """Return a class of samplers.

    Raises:
        UserError: Optuna is not installed, has no such sampler, or one that needs more than a seed.
    """
    try:
        from optuna import samplers
    except ImportError:
        raise UserError(f"oracle=optuna:{name} needs Optuna: pip install 'kerasdl[nas]'") from None
    usable = [each for each in samplers.__all__ if each not in ORDERED and _needs_only_a_seed(getattr(samplers, each))]
    if name not in usable:
        raise UserError(f"There is no oracle optuna:{name}. {nearest(name, usable)}")
    if (package := NEEDS.get(name)) and not importlib.util.find_spec(package):
        raise UserError(f"oracle=optuna:{name} needs the package {package}: pip install {package}")
    return getattr(samplers, name)


def population(limit: int | None) -> int:
    """Return how many trials a population has. Optuna's 50 would be random trials alone in most searches."""
    return evolution.POPULATION if limit is None else max(2, min(evolution.POPULATION, limit // 3))


def _needs_only_a_seed(kind: Any) -> bool:
    parameters = inspect.signature(kind).parameters if inspect.isclass(kind) else {}
    return "seed" in parameters and all(one.default is not one.empty for one in parameters.values())


def _untried(study: Any, space: Space, trials: Sequence[TrialRecord], costs: Sequence[str], by_generation: bool
             ) -> dict[str, Any] | None:
    """Tell a study of the trials, and return the first point that it proposes and no trial has.

    Of a trial whose values are known Optuna 5 does not ask the sampler. `by_generation`: ask it, as the sampler then
    notes the trial's generation. For the others that would cost a fit for each trial, and change nothing.
    """
    known = {}
    for trial in trials:
        study.enqueue_trial({_name(at, space): _coordinate(dimension, trial.values[field])
                             for at, (field, dimension) in enumerate(space) if dimension.active(trial.values)})
        asked, values = _ask(study, space)
        if by_generation:
            _ = asked.relative_params
        known[key(values)] = trial
        _tell(study, asked, trial, costs)
    for _ in range(REPEATS):
        asked, values = _ask(study, space)
        if key(values) not in known:
            return values
        _tell(study, asked, known[key(values)], costs)
    return None


def _ask(study: Any, space: Space) -> tuple[Any, dict[str, Any]]:
    """Return a trial of Optuna's and its values."""
    asked, values = study.ask(), dict[str, Any]()
    for at, (field, dimension) in enumerate(space):
        if not dimension.active(values):
            continue
        name, options = _name(at, space), _options(dimension)
        if options is None:
            values[field] = dimension.from_unit(asked.suggest_float(name, 0.0, 1.0))
        elif dimension.ordered:
            values[field] = options[asked.suggest_int(name, 0, len(options) - 1)]
        else:
            values[field] = options[asked.suggest_categorical(name, list(range(len(options))))]
    return asked, values


def _tell(study: Any, asked: Any, trial: TrialRecord, costs: Sequence[str]) -> None:
    """Say how a trial ended; one that has not ended stays open."""
    from optuna.trial import TrialState

    if trial.score is not None:
        study.tell(asked, [trial.score, *(trial.costs[cost] for cost in costs)])
    elif not trial.pending:
        study.tell(asked, state=TrialState.FAIL)


def _name(at: int, space: Space) -> str:
    """Return what Optuna calls a dimension: a field may have several under different conditions."""
    return f"{at} {space[at][0]}"


def _options(dimension: Dimension) -> Sequence[Any] | None:
    """Return the values of a dimension that Optuna counts; None for one that it sees as 0..1."""
    options = dimension.options() if dimension.even else None
    return ascending(options) if options is not None and dimension.ordered else options


def _coordinate(dimension: Dimension, value: Any) -> float:
    """Return what Optuna calls a value."""
    options = _options(dimension)
    return dimension.to_unit(value) if options is None else index_of(value, options)
