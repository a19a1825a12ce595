"""How near 50 trials come to the best, by our oracles and Optuna's samplers: python -m benchmarks.tuning

Three surfaces whose best point is known: Branin (2 ranges) and Hartmann-6 (6 ranges), as in Dixon & Szegö 1978, and a
table of real trainings with words, numbers and a condition (benchmarks/tuning_table.py). Twenty seeds each. A regret is
the best of the trials less the best there is. Optuna is measured with its
TPE as it was before version 5 (each dimension by itself), with the default of version 5 (TPE of all dimensions
together), and with GPSampler, which needs PyTorch from the extra `bench`.
"""

import argparse
import math
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import page, tuning_table
from benchmarks.harness import RESULTS, save, surroundings
from kerasdl.recipe import Recipe
from kerasdl.tuning import Search, uniform
from kerasdl.tuning.dimensions import Choice

TRIALS, SEEDS = 50, 20
NOTHING = Recipe(name="surface", model="linear", data="digits")  # data_args takes any key


class Surface(NamedTuple):
    """A space, what a point of it scores (low is good), and the lowest score there is."""

    search: Search
    score: Callable[[dict[str, Any]], float]
    lowest: float


def branin(values: dict[str, float]) -> float:
    x, y = values["data_args.x"], values["data_args.y"]
    valley = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


HEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
SCALES = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14],
                   [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]])
CENTRES = 1e-4 * np.array([[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
                           [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]])


def hartmann(values: dict[str, float]) -> float:
    point = np.array(list(values.values()))
    return float(-HEIGHTS @ np.exp(-(SCALES * (point - CENTRES) ** 2).sum(1)))


def surfaces() -> dict[str, Surface]:
    plane = {"data_args.x": uniform(-5, 10), "data_args.y": uniform(0, 15)}
    cube = {f"data_args.x{index}": uniform(0, 1) for index in range(6)}
    table = {name: math.inf if loss is None else loss for name, loss in tuning_table.load().items()}
    return {
        "Branin": Surface(Search(NOTHING, plane, "val/loss"), branin, 0.39788735772973816),
        "Hartmann-6": Surface(Search(NOTHING, cube, "val/loss"), hartmann, -3.322368011391339),
        "MLP on digits": Surface(tuning_table.SEARCH, lambda values: table[tuning_table.key(values)],
                                 min(table.values())),
    }


def ours(oracle: str, surface: Surface, seed: int, trials: int = TRIALS) -> list[float]:
    """Return the scores of an oracle's trials in order."""
    from kerasdl.tuning.oracles import of_search
    from kerasdl.tuning.records import Proposal, TrialRecord

    search = replace(surface.search, oracle=oracle, seed=seed, trials=trials, goal="min")
    asked, records = of_search(search, search.dimensions), []
    while len(records) < trials and isinstance(proposal := asked.propose(records), Proposal):
        score = surface.score(proposal.values)
        status = "completed" if math.isfinite(score) else "failed"
        records.append(TrialRecord(f"{len(records):04}", status, proposal.values,
                                   score if status == "completed" else None))
    return [math.inf if record.score is None else record.score for record in records]


def optuna(sampler: str, surface: Surface, seed: int, trials: int = TRIALS, **options: Any) -> list[float]:
    """Return the same for a sampler of Optuna, in the same space: numbers of a choice in their order, words as words.

    Args:
        **options: of the sampler, which otherwise is as it comes.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")  # on every trial: that it is experimental, or that a score is infinite
    study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=seed, **options))
    scores: list[float] = []
    for _ in range(trials):
        trial, values = study.ask(), {}
        for number, (field, dimension) in enumerate(surface.search.dimensions):
            if dimension.active(values):
                values[field] = suggested(trial, f"{field} {number}", dimension)
        scores.append(surface.score(values))
        study.tell(trial, scores[-1])
    return scores


def suggested(trial, name: str, dimension) -> Any:
    if not isinstance(dimension, Choice):
        return trial.suggest_float(name, dimension.low, dimension.high)
    if dimension.ordered:
        return dimension.values[trial.suggest_int(name, 0, len(dimension.values) - 1)]
    return trial.suggest_categorical(name, dimension.values)


ORACLES = {
    "random": lambda surface, seed, trials: ours("random", surface, seed, trials),
    "bayesian": lambda surface, seed, trials: ours("bayesian", surface, seed, trials),
    "evolution": lambda surface, seed, trials: ours("evolution", surface, seed, trials),
    "optuna:NSGAIISampler": lambda surface, seed, trials: ours("optuna:NSGAIISampler", surface, seed, trials),
    "optuna:TPESampler": lambda surface, seed, trials: ours("optuna:TPESampler", surface, seed, trials),
    "Optuna TPE": lambda *given: optuna("TPESampler", *given, multivariate=False),
    "Optuna 5 default": lambda *given: optuna("TPESampler", *given),
    "Optuna GP": lambda *given: optuna("GPSampler", *given),
}


def measured(surface: Surface, name: str, seeds: int, trials: int) -> dict[str, Any]:
    """Return the regrets of an oracle on a surface, a number for each seed, and their quartiles."""
    began = time.perf_counter()
    regrets = [min(ORACLES[name](surface, seed, trials)) - surface.lowest for seed in range(seeds)]
    low, middle, high = statistics.quantiles(regrets, n=4) if seeds > 1 else regrets * 3
    return {"oracle": name, "trials": trials, "seeds": seeds, "median": middle, "quartiles": [low, high],
            "regrets": regrets, "seconds_a_trial": round((time.perf_counter() - began) / seeds / trials, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--surface", choices=surfaces(), help="only this one; the others' rows stay")
    parser.add_argument("--oracle", choices=ORACLES, help="only this one; the others' rows stay")
    parser.add_argument("--out", type=Path, default=RESULTS / "bench_tuning.json")
    options = parser.parse_args()
    rows = {(row["surface"], row["oracle"]): row for row in page.load(options.out.parent, options.out.stem)}
    for name, surface in surfaces().items():
        for oracle in ORACLES:
            if options.surface in (None, name) and options.oracle in (None, oracle):
                row = measured(surface, oracle, options.seeds, options.trials)
                rows[name, oracle] = {"surface": name, **row, "environment": surroundings()}
                print(f"{name:14}{oracle:18}median regret {row['median']:.3g}, quartiles {row['quartiles'][0]:.3g} "
                      f"{row['quartiles'][1]:.3g}, {row['seconds_a_trial']} s a trial", flush=True)
                save(options.out, [rows[key] for key in product(surfaces(), ORACLES) if key in rows])


if __name__ == "__main__":
    main()
