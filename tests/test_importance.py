"""What matters is said to matter."""

import numpy as np

from kerasdl.tuning import Search, choice, integer, log, uniform
from kerasdl.tuning.importance import importance
from kerasdl.tuning.oracle import make

SPACE = {"lr": log(1e-4, 1e-1), "optimizer": choice("adamw", "sgd"), "batch": integer(16, 512, log=True),
         "momentum": uniform(0, 0.9).when(optimizer="sgd"), "weight_decay": uniform(0, 1)}


def scored(folder, score, trials=40):
    oracle = make(Search("mlp_digits", SPACE, trials=trials), folder)
    while (trial := oracle.create_trial("one")).status == "RUNNING":
        values = trial.hyperparameters.values
        oracle.update_trial(trial.trial_id, {"val/accuracy": score(values)})
        trial.status = "FAILED" if values.get("momentum", 0) > 0.8 else "COMPLETED"
        oracle.end_trial(trial)
    return importance(oracle.hyperparameters, oracle.trials.values())


def test_the_field_that_decides_comes_first_and_shares_add_up(tmp_path):
    for field, score in [("lr", lambda values: -abs(np.log10(values["lr"]) + 2)),
                         ("optimizer", lambda values: values["optimizer"] == "sgd"),
                         ("momentum", lambda values: values.get("momentum", 0.0))]:
        shares = scored(tmp_path / field, score)
        assert next(iter(shares)) == field and list(shares.values()) == sorted(shares.values(), reverse=True)
        assert abs(sum(shares.values()) - 1) < 1e-9 and set(shares) == set(SPACE)


def test_nothing_is_said_of_few_or_equal_scores(tmp_path):
    assert scored(tmp_path / "few", lambda values: values["lr"], trials=4) == {}
    assert scored(tmp_path / "equal", lambda values: 0.5) == {}
