"""The Bayesian oracle: keras-tuner's, with a Gaussian process that is fitted to the space and asked for improvement.

keras-tuner's own repeats points (15 of 25 on 32 cells), counts fixed and inactive dimensions, has one length for all
dimensions, takes categories for numbers, an infinite score for 0, and does not save its random state.
"""

import warnings
from typing import Any

import numpy as np
from keras_tuner.engine import hyperparameters as kinds
from keras_tuner.oracles import BayesianOptimizationOracle
from scipy.special import ndtr
from scipy.stats import norm, qmc
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.preprocessing import PowerTransformer

from kerasdl.tuning.cells import countable


class Cube:
    """A space as the unit cube, a coordinate for each hyperparameter that varies; and what a process sees of it.

    A number is its coordinate, a category one coordinate for each of its values; what is not active is constant.
    """

    def __init__(self, hps):
        self.hps = [hp for hp in hps.space if len(countable(hp) or "ab") > 1]
        self.fixed = {hp.name: hp for hp in hps.space if len(countable(hp) or "ab") == 1}
        self.space = hps.space
        self.options = [countable(hp) for hp in self.hps]
        self.column = {hp.name: index for index, hp in enumerate(self.hps)}

    def categories(self, index: int) -> int:
        """How many values without order a hyperparameter has; 0 of a number."""
        hp = self.hps[index]
        unordered = isinstance(hp, kinds.Boolean) or (isinstance(hp, kinds.Choice) and not hp.ordered)
        return len(self.options[index]) if unordered else 0

    def values(self, point: np.ndarray) -> dict[str, Any]:
        """The active values at a point (D,)."""
        values: dict[str, Any] = {}
        for hp in self.space:
            if all(condition.is_active(values) for condition in hp.conditions):
                values[hp.name] = self._value(hp, point)
        return values

    def _value(self, hp, point):
        if hp.name in self.fixed:
            return hp.default
        index = self.column[hp.name]
        options = self.options[index]
        u = float(point[index])
        if options is None or (isinstance(hp, kinds.Int) and hp.sampling != "linear"):
            return hp.prob_to_value(min(u, 1 - 1e-12) if isinstance(hp, kinds.Int) else u)
        return options[min(int(u * len(options)), len(options) - 1)]

    def point(self, values: dict[str, Any]) -> np.ndarray:
        """The point (D,) of a trial's values; what is not active is in the middle."""
        point = np.full(len(self.hps), 0.5)
        for index, (hp, options) in enumerate(zip(self.hps, self.options, strict=True)):
            if hp.name in values:
                log_int = isinstance(hp, kinds.Int) and hp.sampling != "linear"
                point[index] = hp.value_to_prob(values[hp.name]) if options is None or log_int \
                    else (options.index(values[hp.name]) + 0.5) / len(options)
        return point

    def features(self, points: np.ndarray) -> np.ndarray:
        """What the process sees, (N, F), of points (N, D)."""
        rows = [self.values(point) for point in points]
        snapped = np.stack([self.point(values) for values in rows])
        columns = []
        for index, hp in enumerate(self.hps):
            active = np.array([hp.name in values for values in rows])
            if self.categories(index):
                chosen = np.minimum(snapped[:, index] * self.categories(index), self.categories(index) - 1).astype(int)
                columns.append(np.eye(self.categories(index))[chosen] * active[:, None] / np.sqrt(2))
            else:
                columns.append(np.where(active, snapped[:, index], 0.5)[:, None])
        return np.concatenate(columns, axis=1)


class Bayesian(BayesianOptimizationOracle):
    """Random points spread evenly, then each time the point of which the most improvement is expected.

    The process has a length for each feature and learns its noise (Rasmussen & Williams 2006, chapter 5). Scores are
    brought to a normal shape first (Yeo & Johnson 2000), so that a few very bad trials do not hide the differences of
    the good ones; a failed trial counts as the worst one. Of a trial that still runs the expected score is believed, so
    that workers do not try the same. All randomness comes from the seed and the number of the trial: none is saved.
    """

    candidates, rounds = 1000, 8

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        cube = Cube(self.hyperparameters)
        number = len(self.start_order)
        done = [trial for trial in self.trials.values() if trial.status == "COMPLETED"]
        if not cube.hps or len(done) < self._first(cube):
            point = qmc.Sobol(max(len(cube.hps), 1), rng=self.seed).random(1 << max(number, 1).bit_length())[number]
            values = cube.values(point)
        else:
            values = self._improved(cube, done, np.random.default_rng([self.seed, number]))
        if values is None or self._duplicate(values):
            return self._random_populate_space()
        return {"status": "RUNNING", "values": values}

    def _first(self, cube: Cube) -> int:
        """How many trials come before the process: two for each dimension, at most a quarter of all."""
        most = max(4, (self.limit or 100) // 4)
        return self.num_initial_points or min(2 * len(cube.hps) + 1, most)

    def _improved(self, cube: Cube, done: list, rng: np.random.Generator) -> dict[str, Any] | None:
        sign = -1.0 if self.objective.direction == "max" else 1.0
        scores = sign * np.array([trial.score for trial in done])
        failed = [trial for trial in self.trials.values() if trial.status == "FAILED"]
        running = [trial for trial in self.trials.values() if trial.status in ("RUNNING", "INVALID")]
        points = np.stack([cube.point(trial.hyperparameters.values) for trial in done + failed])
        targets = normal(np.concatenate([scores, np.full(len(failed), scores.max())]))
        process = fitted(cube.features(points), targets, int(rng.integers(2**31)))
        if running:
            waiting = np.stack([cube.point(trial.hyperparameters.values) for trial in running])
            believed = process.predict(cube.features(waiting))
            points, targets = np.concatenate([points, waiting]), np.concatenate([targets, believed])
            process = GaussianProcessRegressor(process.kernel_, optimizer=None).fit(cube.features(points), targets)
        for point in self._search(cube, process, points, targets, rng):
            values = cube.values(point)
            if not self._duplicate(values):
                return values
        return None

    def _search(self, cube: Cube, process, points, targets, rng) -> np.ndarray:
        """Points (N, D) by falling acquisition: many anywhere and near the best trials, then ever nearer."""
        size = (self.candidates, len(cube.hps))
        best = points[np.argsort(targets)[:5]]
        found = np.concatenate([rng.random(size), _near(best, size[0], 0.1, rng)])
        value = _acquisition(process, cube.features(found), targets.min())
        for turn in range(self.rounds):
            top = np.argsort(-value)[:20]
            near = _near(found[top], 200, 0.1 * 0.5**turn, rng)
            found = np.concatenate([found[top], near])
            value = np.concatenate([value[top], _acquisition(process, cube.features(near), targets.min())])
        return found[np.argsort(-value)]


def normal(scores: np.ndarray) -> np.ndarray:
    """Scores brought to a normal shape, mean 0 and deviation 1."""
    if np.ptp(scores) == 0:
        return np.zeros_like(scores)
    scaled = (scores - scores.mean()) / scores.std()
    return PowerTransformer().fit_transform(scaled[:, None])[:, 0]


def fitted(features: np.ndarray, targets: np.ndarray, seed: int) -> GaussianProcessRegressor:
    """The process with the most probable lengths and noise."""
    kernel = ConstantKernel(1.0, (0.05, 20.0)) \
        * Matern(np.full(features.shape[1], 0.5), (0.05, 20.0), nu=2.5) + WhiteKernel(1e-3, (1e-6, 0.5))
    process = GaussianProcessRegressor(kernel, alpha=1e-8, n_restarts_optimizer=2, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound is an answer
        return process.fit(features, targets)


def _acquisition(process: GaussianProcessRegressor, features: np.ndarray, best: float) -> np.ndarray:
    """The logarithm of the expected improvement (Jones et al. 1998), which far from it still has a slope."""
    mean, deviation = process.predict(features, return_std=True)
    z = (best - mean) / deviation
    ratio = np.where(z > -5, norm.pdf(z) + z * ndtr(z), 0.0)
    far = -0.5 * z**2 - 2 * np.log(np.maximum(-z, 1.0)) - 0.5 * np.log(2 * np.pi)
    return np.log(deviation) + np.where(z > -5, np.log(np.maximum(ratio, 1e-300)), far)


def _near(centres: np.ndarray, count: int, width: float, rng: np.random.Generator) -> np.ndarray:
    """Points around centres, of which some coordinates moved, and some to anywhere."""
    points = centres[rng.integers(len(centres), size=count)]
    moved = points + width * rng.standard_normal(points.shape)
    kept = rng.random(points.shape) < 0.5
    moved = np.where(kept, points, moved)
    moved = np.where(rng.random(points.shape) < 0.05, rng.random(points.shape), moved)
    return np.clip(moved, 0, 1)
