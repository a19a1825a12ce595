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
from threadpoolctl import threadpool_limits

from kerasdl.tuning.cells import countable


class Cube:
    """A space as the unit cube, a coordinate for each hyperparameter that varies; and what a process sees of it.

    A number is its coordinate, a category one feature for each of its values; what is not active is constant.
    """

    def __init__(self, hps):
        self.space = hps.space
        self.hps = [hp for hp in hps.space if len(countable(hp) or "ab") > 1]
        self.options = [sorted(countable(hp)) if self._ordered(hp) else countable(hp) for hp in self.hps]
        self.column = {hp.name: index for index, hp in enumerate(self.hps)}

    def values(self, point: np.ndarray) -> dict[str, Any]:
        """The active values at a point (D,)."""
        values: dict[str, Any] = {}
        for hp in self.space:
            if all(condition.is_active(values) for condition in hp.conditions):
                column = self.column.get(hp.name)
                values[hp.name] = hp.default if column is None else self._value(column, float(point[column]))
        return values

    def point(self, values: dict[str, Any]) -> np.ndarray:
        """The point (D,) of a trial's values; what is not active is in the middle."""
        return np.array([self._coordinate(index, values[hp.name]) if hp.name in values else 0.5
                         for index, hp in enumerate(self.hps)])

    def features(self, points: np.ndarray) -> np.ndarray:
        """What the process sees, (N, F), of points (N, D)."""
        active, columns = self._active(points), []
        for index, hp in enumerate(self.hps):
            options, column = self.options[index], points[:, index]
            if options is not None and not self._ordered(hp):
                columns.append(np.eye(len(options))[self._index(index, column)] * active[:, index, None] / np.sqrt(2))
                continue
            if options is not None and self._spaced(hp):  # evenly in the order of its values
                column = (self._index(index, column) + 0.5) / len(options)
            elif options is not None:
                column = np.array([self._coordinate(index, self._value(index, float(u))) for u in column])
            columns.append(np.where(active[:, index], column, 0.5)[:, None])
        return np.concatenate(columns, axis=1)

    def _active(self, points: np.ndarray) -> np.ndarray:
        """Which coordinates count, (N, D)."""
        active: dict[str, np.ndarray] = {}
        for hp in self.space:
            mask = np.ones(len(points), bool)
            for condition in hp.conditions:
                if condition.name in self.column:
                    index = self.column[condition.name]
                    met = np.array([option in condition.values for option in self.options[index]])
                    mask &= met[self._index(index, points[:, index])]
                mask &= active.get(condition.name, True)
            active[hp.name] = mask
        return np.stack([active[hp.name] for hp in self.hps], axis=1)

    def _ordered(self, hp) -> bool:
        return countable(hp) is not None and (isinstance(hp, kinds.Int) or getattr(hp, "ordered", False))

    def _spaced(self, hp) -> bool:
        """Whether its values are evenly spaced in the cube: all that can be counted but integers by their logarithm."""
        return not (isinstance(hp, kinds.Int) and hp.sampling != "linear")

    def _index(self, index: int, column: np.ndarray) -> np.ndarray:
        count = len(self.options[index])
        return np.minimum((column * count).astype(int), count - 1)

    def _value(self, index: int, u: float) -> Any:
        hp, options = self.hps[index], self.options[index]
        if options is None:
            return hp.prob_to_value(u)
        if self._spaced(hp):
            return options[min(int(u * len(options)), len(options) - 1)]
        return min(hp.prob_to_value(u), hp.max_value)  # at 1 keras-tuner gives one more than the highest

    def _coordinate(self, index: int, value: Any) -> float:
        hp, options = self.hps[index], self.options[index]
        if options is None or not self._spaced(hp):
            return hp.value_to_prob(value)
        return (options.index(value) + 0.5) / len(options)


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
            with threadpool_limits(1):  # for so small matrices threads only wait for one another
                values = self._improved(cube, done, np.random.default_rng([self.seed, number]))
        if values is None or self._duplicate(values):
            return self._random_populate_space()
        return {"status": "RUNNING", "values": values}

    def _first(self, cube: Cube) -> int:
        """How many trials come before the process: two for each dimension and one, at most a quarter of all or four."""
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
    process = GaussianProcessRegressor(kernel, alpha=1e-8, n_restarts_optimizer=1, random_state=seed)
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
