"""Each mend of keras-tuner is still needed: what its own oracles do, one test for each of our classes.

A test fails when keras-tuner has mended the fault itself. Then delete our class, and the test.
"""

import math

import pytest
from keras_tuner import HyperParameters, Objective
from keras_tuner.oracles import BayesianOptimizationOracle, GridSearchOracle, HyperbandOracle, RandomSearchOracle

from kerasdl.tuning.cells import countable

OBJECTIVE = Objective("score", "max")


class Killed(BaseException):
    """What takes the parent away."""


def plain(oracle, folder, hps, **arguments):
    made = oracle(objective=OBJECTIVE, hyperparameters=hps, **{"seed": 1, **arguments})
    made._set_project_dir(folder, "plain")
    made.verbose = 0
    return made


def hyperparameters(*sizes):
    hps = HyperParameters()
    for index, size in enumerate(sizes):
        hps.Choice(f"x{index}", list(range(size)))
    return hps


def end(oracle, trial, value=0.5, status="COMPLETED"):
    oracle.update_trial(trial.trial_id, {"score": value})
    trial.status = status
    oracle.end_trial(trial)


def every(oracle, value=lambda values: 0.5):
    found = []
    while (trial := oracle.create_trial("one")).status == "RUNNING":
        found.append(dict(trial.hyperparameters.values))
        end(oracle, trial, value(found[-1]))
    return found


def test_exact_values():
    hps = HyperParameters()
    hps.Float("x", 0, 1, step=0.2)
    hps.Int("n", 2, 32, step=2, sampling="log")
    steps, powers = hps.space
    assert 1.0 not in list(steps.values) and countable(steps) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert float in {type(value) for value in powers.values} and countable(powers) == [2, 4, 8, 16, 32]


def test_exact_values_of_other_samplings():
    hps = HyperParameters()
    hps.Float("x", 1, 100, step=10, sampling="reverse_log")
    hps.Float("tiny", 1e-14, 1e-10, step=10, sampling="log")
    assert sorted(hps.space[0].values) == countable(hps.space[0]) == [1, 91, 100]
    assert countable(hps.space[1]) == [1e-14, 1e-13, 1e-12, 1e-11, 1e-10]


def test_labels_for_booleans_and_a_cap_for_logarithms():
    hps = HyperParameters()
    hps.Choice("flag", [True, False])
    hps.Int("n", 1, 4, sampling="log")
    assert [type(value) for value in hps.space[0].values] == [int, int]
    assert hps.space[1].prob_to_value(1.0) == 5
    with pytest.raises(TypeError):
        hps.Choice("mixed", ["auto", 1])


def test_own_seed(tmp_path):
    assert plain(RandomSearchOracle, tmp_path, hyperparameters(2), seed=0).seed != 0
    hps = HyperParameters()
    hps.Float("x", 0, 1)
    one, two = (every(plain(RandomSearchOracle, tmp_path / str(seed), hps, seed=seed, max_trials=5)) for seed in (1, 2))
    assert one[1:] == two[:-1]


def test_every_cell(tmp_path):
    found = (len(every(plain(RandomSearchOracle, tmp_path / str(seed), hyperparameters(4, 8), seed=seed,
                             max_trials=99))) for seed in range(1, 20))
    assert any(count < 32 for count in found)


def test_one_file(tmp_path, monkeypatch):
    """A trial whose file is written before the oracle's is never given out; one that ended is given out again."""
    oracle = plain(RandomSearchOracle, tmp_path, hyperparameters(9), max_trials=3)
    trial = oracle.create_trial("one")
    end(oracle, trial)
    with monkeypatch.context() as patch:
        patch.setattr(RandomSearchOracle, "save", lambda self: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            oracle.create_trial("two")
    again = plain(RandomSearchOracle, tmp_path, hyperparameters(9), max_trials=3)
    again.reload()
    assert again.trials[trial.trial_id].status == "COMPLETED" and again._retry_queue == [trial.trial_id]
    again._retry_queue.clear()
    ran = {again.create_trial(f"worker{index}").trial_id for index in range(3)}
    assert "1" in again.trials and "1" not in ran


def test_last_score(tmp_path):
    oracle = plain(RandomSearchOracle, tmp_path, hyperparameters(9))
    trial = oracle.create_trial("one")
    oracle.update_trial(trial.trial_id, {"score": 0.9}, step=1)
    end(oracle, trial, 0.1)
    assert trial.score == 0.9
    trial = oracle.create_trial("one")
    end(oracle, trial, math.inf)
    assert oracle.get_best_trials()[0] is trial
    trial = oracle.create_trial("one")
    trial.status = "COMPLETED"
    with pytest.raises(ValueError, match="Unknown metric"):
        oracle.end_trial(trial)


def test_best_only(tmp_path):
    oracle = plain(RandomSearchOracle, tmp_path, hyperparameters(9))
    end(oracle, oracle.create_trial("one"), status="FAILED")
    assert [trial.status for trial in oracle.get_best_trials(3)] == ["FAILED"]


def test_limit(tmp_path):
    names = [plain(RandomSearchOracle, tmp_path / str(trials), hyperparameters(9), max_trials=trials)
             .create_trial("one").trial_id for trials in (9, 10)]
    assert names == ["0", "00"]


def test_whole_grid(tmp_path):
    oracle = plain(GridSearchOracle, tmp_path, hyperparameters(3, 3))
    trials = [oracle.create_trial(f"worker{index}") for index in range(4)]
    assert [trial.status for trial in trials] == ["RUNNING", "RUNNING", "IDLE", "IDLE"]
    end(oracle, trials[0])
    again = plain(GridSearchOracle, tmp_path, hyperparameters(3, 3))
    again.reload()
    with pytest.raises(KeyError):
        every(again)


def test_no_end_by_failures(tmp_path):
    oracle = plain(GridSearchOracle, tmp_path, hyperparameters(9))
    with pytest.raises(RuntimeError, match="consecutive failures"):
        for _ in range(3):
            end(oracle, oracle.create_trial("one"), status="FAILED")


def test_refusing_a_name_under_two_conditions():
    hps = HyperParameters()
    hps.Choice("kind", ["a", "b"])
    for name in ("a", "b"):
        with hps.conditional_scope("kind", [name]):
            hps.Float("lr", 0.1, 1.0)
    hps.values = {"kind": "a", "lr": 0.5}
    hps.ensure_active_values()
    assert "lr" not in hps.values


def test_bayesian(tmp_path):
    """keras-tuner's repeats itself, and does not save its random state."""
    oracle = plain(BayesianOptimizationOracle, tmp_path, hyperparameters(4, 4), max_trials=12, num_initial_points=5)
    oracle.gpr.n_restarts_optimizer = 0
    found = every(oracle, lambda values: -abs(values["x0"] - 2) - abs(values["x1"] - 1))
    assert len(found) == 12 > len({repr(values) for values in found})
    assert not any("random" in key for key in oracle.get_state())


def test_hyperband(tmp_path):
    """With three of eight trials failed, five are left, and none of them is promoted."""
    hps = HyperParameters()
    hps.Float("x", 0, 1)
    oracle = plain(HyperbandOracle, tmp_path, hps, max_epochs=9, max_consecutive_failed_trials=99)
    size = oracle._get_size(2, 0)
    trials = [oracle.create_trial(f"worker{index}") for index in range(size)]
    for index, trial in enumerate(trials):
        end(oracle, trial, status="FAILED" if index < oracle._get_size(2, 1) else "COMPLETED")
    after = oracle.create_trial("one").hyperparameters.values
    assert after["tuner/round"] == 0 and after["tuner/bracket"] == 1
