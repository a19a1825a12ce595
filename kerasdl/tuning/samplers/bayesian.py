"""Bayesian optimization: a Gaussian process models the score, and the next trial has the highest expected improvement.

The first trials are spread evenly over the space (a scrambled Sobol sequence). The process has a length scale for each
feature and learns the noise of the scores (Rasmussen & Williams 2006, chapter 5). Scores are first transformed to a
normal shape (Yeo & Johnson 2000), so that a few very bad trials do not hide the differences between the good ones. A
failed trial counts as the worst one, and so do the last of the refused proposals. For a running trial the process
believes its own prediction, so that several workers do not try the same point.

With costs that are to be low as well, each proposal has its own random weights of score and costs, so that all together
follow the whole front (ParEGO: Knowles 2006).
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import ndtr
from scipy.stats import norm, qmc
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.preprocessing import PowerTransformer
from threadpoolctl import threadpool_limits

from kerasdl.tuning.records import Answer, Proposal, Space, TrialRecord
from kerasdl.tuning.samplers.grid import key
from kerasdl.tuning.samplers.random import unseen
from kerasdl.tuning.samplers.unit_cube import UnitCube

CANDIDATES, ROUNDS = 1000, 8  # random candidates, and rounds of local search around the best of them
REFUSED = 100  # the last refused proposals that the process sees: its time grows with the cube of all points


def propose(space: Space, trials: Sequence[TrialRecord], seed: int, *, direction: str, limit: int | None = None,
            costs: Sequence[str] = ()) -> Proposal | Answer:
    """Propose the untried point with the highest expected improvement.

    All randomness follows from the seed and the number of trials.

    Args:
        direction: whether "max" or "min" is the best score.
        limit: how many trials the search has, of which a quarter at most are spread evenly.
        costs: which costs of a trial are to be low as well.
    """
    cube, number = UnitCube(space), len(trials)
    if costs:
        trials, direction = weighted(trials, direction, costs, np.random.default_rng([seed, number, 1])), "min"
    tried = {key(trial.values) for trial in trials}
    if not cube.varying or sum(trial.score is not None for trial in trials) < first_trials(cube, limit):
        sobol = qmc.Sobol(max(len(cube.varying), 1), rng=seed)
        candidates = iter([cube.values(sobol.random(1 << max(number, 1).bit_length())[number])])
    else:
        candidates = improvements(cube, trials, direction, np.random.default_rng([seed, number]))
    values = next((values for values in candidates if key(values) not in tried), None) or unseen(space, trials, seed)
    return Answer.DONE if values is None else Proposal(values)


def weighted(trials: Sequence[TrialRecord], direction: str, costs: Sequence[str], rng: np.random.Generator
             ) -> list[TrialRecord]:
    """Return the trials with one score for all that counts, the less the better.

    Score and logarithms of the costs are scaled to 0..1, the best being 0, and have random weights w that add up to 1:
    max(w f) + 0.05 sum(w f), the augmented Tchebycheff function of Knowles 2006.
    """
    done = [trial for trial in trials if trial.score is not None]
    if not done:
        return list(trials)
    sign = -1.0 if direction == "max" else 1.0
    paid = np.array([[trial.costs[cost] for cost in costs] for trial in done]).reshape(len(done), len(costs))
    aims = np.column_stack([[sign * (trial.score or 0.0) for trial in done], np.sign(paid) * np.log1p(np.abs(paid))])
    spread = np.ptp(aims, axis=0)
    aims = (aims - aims.min(0)) / np.where(spread > 0, spread, 1.0) * rng.dirichlet(np.ones(aims.shape[1]))
    found = dict(zip((trial.id for trial in done), aims.max(1) + 0.05 * aims.sum(1), strict=True))
    return [replace(trial, score=float(found[trial.id])) if trial.id in found else trial for trial in trials]


def first_trials(cube: UnitCube, limit: int | None) -> int:
    """Return how many scores the process needs: two for each dimension and one, at most a quarter of all or four."""
    return min(2 * len(cube.varying) + 1, max(4, (limit or 100) // 4))


def improvements(cube: UnitCube, trials: Sequence[TrialRecord], direction: str, rng: np.random.Generator
                 ) -> Iterator[dict[str, Any]]:
    """Yield values by falling expected improvement."""
    done = [trial for trial in trials if trial.score is not None]
    forgotten = {trial.id for trial in [trial for trial in trials if trial.status == "refused"][:-REFUSED]}
    failed = [trial for trial in trials if trial.status in ("failed", "refused") and trial.id not in forgotten]
    pending = [trial for trial in trials if trial.pending]
    scores = (-1.0 if direction == "max" else 1.0) * np.array([trial.score for trial in done])
    points = np.stack([cube.point(trial.values) for trial in done + failed])
    targets = normal(np.concatenate([scores, np.full(len(failed), scores.max())]))
    with threadpool_limits(1):  # matrices are so small that threads would only wait for one another
        process = fitted(cube.features(points), targets, int(rng.integers(2**31)))
        if pending:
            waiting = np.stack([cube.point(trial.values) for trial in pending])
            believed = process.predict(cube.features(waiting))
            points, targets = np.concatenate([points, waiting]), np.concatenate([targets, believed])
            process = GaussianProcessRegressor(process.kernel_, optimizer=None).fit(cube.features(points), targets)
        found = search(cube, process, points, targets, rng)
    return (cube.values(point) for point in found)


def search(cube: UnitCube, process: GaussianProcessRegressor, points: np.ndarray, targets: np.ndarray,
           rng: np.random.Generator) -> np.ndarray:
    """Return points (N, D) by falling acquisition: random ones and neighbours of the best trials, then ever closer."""
    size = (CANDIDATES, len(cube.varying))
    best = points[np.argsort(targets)[:5]]
    found = np.concatenate([rng.random(size), neighbours(best, size[0], 0.1, rng)])
    value = acquisition(process, cube.features(found), targets.min())
    for turn in range(ROUNDS):
        top = np.argsort(-value)[:20]
        near = neighbours(found[top], 200, 0.1 * 0.5**turn, rng)
        found = np.concatenate([found[top], near])
        value = np.concatenate([value[top], acquisition(process, cube.features(near), targets.min())])
    return found[np.argsort(-value)]


def normal(scores: np.ndarray) -> np.ndarray:
    """Return scores transformed to a normal shape, with mean 0 and standard deviation 1."""
    if np.ptp(scores) == 0:
        return np.zeros_like(scores)
    scaled = (scores - scores.mean()) / scores.std()
    return PowerTransformer().fit_transform(scaled[:, None])[:, 0]


def fitted(features: np.ndarray, targets: np.ndarray, seed: int) -> GaussianProcessRegressor:
    """Return the process with the most probable length scales and noise."""
    kernel = ConstantKernel(1.0, (0.05, 20.0)) \
        * Matern(np.full(features.shape[1], 0.5), (0.05, 20.0), nu=2.5) + WhiteKernel(1e-3, (1e-6, 0.5))
    process = GaussianProcessRegressor(kernel, alpha=1e-8, n_restarts_optimizer=1, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length scale at its bound is an answer
        return process.fit(features, targets)


def acquisition(process: GaussianProcessRegressor, features: np.ndarray, best: float) -> np.ndarray:
    """Return the logarithm of the expected improvement (Jones et al. 1998) of a noisy score below `best`.

    The deviation includes the noise of the scores, which Jones' does not: docs/lab/tried.md has the measurement.

    With z = (best - mean) / deviation it is log(deviation) + log(pdf(z) + z cdf(z)). Below z = -5, where the sum
    cancels, its asymptotic form -z^2 / 2 - 2 log(-z) - log(2 pi) / 2 keeps a slope to follow.
    """
    mean, deviation = process.predict(features, return_std=True)
    z = (best - mean) / deviation
    ratio = np.where(z > -5, norm.pdf(z) + z * ndtr(z), 0.0)
    far = -0.5 * z**2 - 2 * np.log(np.maximum(-z, 1.0)) - 0.5 * np.log(2 * np.pi)
    return np.log(deviation) + np.where(z > -5, np.log(np.maximum(ratio, 1e-300)), far)


def neighbours(centres: np.ndarray, count: int, width: float, rng: np.random.Generator) -> np.ndarray:
    """Return points around centres: half of the coordinates moved a little, and one in twenty to anywhere."""
    points = centres[rng.integers(len(centres), size=count)]
    moved = points + width * rng.standard_normal(points.shape)
    kept = rng.random(points.shape) < 0.5
    moved = np.where(kept, points, moved)
    moved = np.where(rng.random(points.shape) < 0.05, rng.random(points.shape), moved)
    return np.clip(moved, 0, 1)
