"""Which fields the score of a search depends on: permutation importance of a random forest, both scikit-learn's."""

from collections.abc import Iterable

import numpy as np

from kerasdl.tuning.bayesian import Cube

FEWEST = 5  # trials with a score


def importance(hps, trials: Iterable) -> dict[str, float]:
    """Name -> share of what the fields explain, the greatest first; the shares add up to 1.

    A forest learns the scores from the values (Breiman 2001); a field's importance is how much worse it predicts the
    scores when that field's values change places among the trials. It tells what mattered where the search looked, not
    in the whole space, and of few trials it tells little: with fewer than five scores, or equal ones, it is empty.

    Args:
        hps: the space, an oracle's `hyperparameters`.
        trials: an oracle's `trials.values()`; those without a score count for nothing.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    done = [trial for trial in trials if trial.status == "COMPLETED"]
    cube = Cube(hps)
    scores = np.array([trial.score for trial in done])
    if len(done) < FEWEST or not cube.hps or np.ptp(scores) == 0:
        return {}
    values = [trial.hyperparameters.values for trial in done]
    rows = np.stack([cube.point(each) for each in values])
    rows[np.array([[hp.name not in each for hp in cube.hps] for each in values])] = -1.0  # as a value of its own
    epochs = [each.get("tuner/epochs", 0) for each in values]  # hyperband's, which explain much and are no field
    rows = np.column_stack([rows, epochs])
    forest = RandomForestRegressor(200, min_samples_leaf=2, random_state=0).fit(rows, scores)
    lost = permutation_importance(forest, rows, scores, n_repeats=20, random_state=0).importances_mean[:-1].clip(0)
    if not lost.sum():
        return {}
    shares = {hp.name: float(share) for hp, share in zip(cube.hps, lost / lost.sum(), strict=True)}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))
