"""Which fields the score of a search depends on: permutation importance of a random forest, both scikit-learn's."""

from collections.abc import Sequence

import numpy as np

from kerasdl.tuning.records import Space, TrialRecord
from kerasdl.tuning.samplers.unit_cube import UnitCube

FEWEST = 5  # trials with a score


def importance(space: Space, trials: Sequence[TrialRecord]) -> dict[str, float]:
    """Return field -> its share of what the fields explain, the greatest first; the shares add up to 1.

    A forest learns the scores from the values (Breiman 2001). A field's importance is how much worse the forest
    predicts when that field's values are permuted among the trials. This says what mattered where the search looked,
    not in the whole space, and little with few trials. It is empty for fewer than five scores, or equal ones.

    Args:
        trials: those without a score are ignored.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    done, cube = [trial for trial in trials if trial.score is not None], UnitCube(space)
    scores = np.array([trial.score for trial in done], float)
    if len(done) < FEWEST or not cube.varying or np.ptp(scores) == 0:
        return {}
    rows = np.stack([cube.point(trial.values) for trial in done])
    inactive = [[not cube.is_active(at, trial.values) for at in range(len(cube.varying))] for trial in done]
    rows[np.array(inactive)] = -1.0  # a value of its own
    rows = np.column_stack([rows, [trial.budget for trial in done]])  # which explains much, and is no field
    forest = RandomForestRegressor(200, min_samples_leaf=2, random_state=0).fit(rows, scores)
    lost = permutation_importance(forest, rows, scores, n_repeats=20, random_state=0).importances_mean[:-1].clip(0)
    if not lost.sum():
        return {}
    shares: dict[str, float] = {}
    for (field, _), share in zip(cube.varying, lost / lost.sum(), strict=True):
        shares[field] = shares.get(field, 0.0) + float(share)
    return dict(sorted(shares.items(), key=lambda item: -item[1]))
