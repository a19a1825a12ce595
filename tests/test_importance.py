"""What matters is said to matter."""

import numpy as np

from kerasdl.tuning import Search, choice, integer, log, uniform
from kerasdl.tuning.importance import importance
from kerasdl.tuning.records import TrialRecord
from kerasdl.tuning.samplers import random

SPACE = {"lr": log(1e-4, 1e-1), "optimizer": choice("adamw", "sgd"), "batch": integer(16, 512, log=True),
         "optimizer_args.momentum": uniform(0, 0.9).when(optimizer="sgd"), "weight_decay": uniform(0, 1)}


def scored(score, trials=40):
    search, records = Search("mlp_digits", SPACE, trials=trials), []
    for number in range(trials):
        values = random.propose(search.dimensions, records, seed=0).values
        failed = values.get("optimizer_args.momentum", 0) > 0.8
        records.append(TrialRecord(f"{number:04}", "failed" if failed else "completed", values,
                                   None if failed else score(values)))
    return importance(search.dimensions, records)


def test_the_field_that_decides_comes_first_and_shares_add_up():
    for field, score in [("lr", lambda values: -abs(np.log10(values["lr"]) + 2)),
                         ("optimizer", lambda values: values["optimizer"] == "sgd"),
                         ("optimizer_args.momentum", lambda values: values.get("optimizer_args.momentum", 0.0))]:
        shares = scored(score)
        assert next(iter(shares)) == field and list(shares.values()) == sorted(shares.values(), reverse=True)
        assert abs(sum(shares.values()) - 1) < 1e-9 and set(shares) == set(SPACE)


def test_nothing_is_said_of_few_or_equal_scores():
    assert scored(lambda values: values["lr"], trials=4) == {}
    assert scored(lambda values: 0.5) == {}
