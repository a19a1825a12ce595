"""A keras-tuner user passes our oracles to a Tuner; and what keras-tuner describes is counted exactly."""

import math

import keras
import keras_tuner
import numpy as np
import pytest
from keras_tuner import HyperParameters
from keras_tuner.engine.trial import Trial

from kerasdl.tuning.dimensions import Choice, Integer, Log, Uniform
from kerasdl.tuning.keras_tuner_space import ReverseLog, dimensions
from kerasdl.tuning.oracles import BayesianOracle, GridOracle, HyperbandOracle, RandomOracle, record


def build(hp):
    kind = hp.Choice("kind", ["wide", "deep"])
    model = keras.Sequential([keras.Input((4,))])
    with hp.conditional_scope("kind", ["wide"]):
        if kind == "wide":
            model.add(keras.layers.Dense(hp.Int("units", 4, 8, step=4), "relu"))
    model.add(keras.layers.Dense(2, "softmax"))
    model.compile(keras.optimizers.SGD(hp.Float("lr", 1e-3, 1.0, sampling="log")), "sparse_categorical_crossentropy",
                  metrics=["accuracy"])
    return model


class Instant(keras_tuner.Tuner):
    """Scores without training. Under Hyperband it reads how long it should train, as keras-tuner asks of a Tuner."""

    def run_trial(self, trial, *args, **options):
        hp = trial.hyperparameters
        epochs = hp["tuner/epochs"] - hp["tuner/initial_epoch"] if "tuner/epochs" in hp else 1
        return {"score": abs(hp["lr"] - 0.1) + 0.1 * (hp["kind"] == "deep") - 0.01 * epochs}


def oracle_of(kind, **options):
    return kind(objective=keras_tuner.Objective("score", "min"), seed=0, **options)


def searched(oracle, folder):
    """The values of a search's trials in the order in which they began."""
    tuner = Instant(oracle=oracle, hypermodel=build, directory=folder, project_name="mine")
    tuner.search(verbose=0)
    trials = [tuner.oracle.get_trial(name) for name in tuner.oracle.start_order]
    assert {trial.status for trial in trials} == {"COMPLETED"}
    return [dict(trial.hyperparameters.values) for trial in trials]


@pytest.mark.parametrize("kind", [RandomOracle, BayesianOracle])
def test_a_tuner_takes_our_oracle_and_resumes_it(kind, tmp_path):
    """In two parts, the second of which reloads the first, it finds what it finds in one."""
    once, part, both = (searched(oracle_of(kind, max_trials=trials), tmp_path / folder)
                        for folder, trials in (("once", 9), ("parts", 5), ("parts", 9)))
    assert len(once) == len({str(values) for values in once}) == 9
    assert part == once[:5] and both == once
    assert all(("units" in values) == (values["kind"] == "wide") for values in once)


def test_a_tuner_trains_what_our_oracle_proposes(tmp_path):
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    y = (x.sum(1) > 0).astype("int32")
    tuner = keras_tuner.Tuner(oracle=RandomOracle(objective="val_accuracy", max_trials=2, seed=0), hypermodel=build,
                              directory=tmp_path, project_name="mine")
    tuner.search(x, y, validation_data=(x, y), verbose=0)
    assert [0 <= trial.score <= 1 for trial in tuner.oracle.get_best_trials(2)] == [True, True]


def test_a_tuner_takes_our_grid(tmp_path):
    found = searched(oracle_of(GridOracle), tmp_path)
    assert len(found) == len({str(values) for values in found}) == (2 + 1) * 10


def test_a_tuner_takes_our_hyperband(tmp_path):
    found = searched(oracle_of(HyperbandOracle, max_epochs=3), tmp_path)
    places = [(values["tuner/bracket"], values["tuner/round"], values["tuner/epochs"], values["tuner/initial_epoch"])
              for values in found]
    assert sorted(places) == [(0, 0, 3, 0)] * 2 + [(1, 0, 1, 0)] * 3 + [(1, 1, 3, 1)]
    promoted = next(values for values in found if values["tuner/round"])
    parent = found[int(promoted["tuner/trial_id"])]
    assert parent["lr"] == promoted["lr"] and parent["kind"] == promoted["kind"]


def test_a_seed_of_0_is_a_seed():
    assert RandomOracle(objective="val_loss", seed=0).seed == 0


@pytest.mark.parametrize("score", [math.inf, -math.inf, None])
def test_a_trial_whose_score_is_no_number_has_failed(score):
    trial = Trial(HyperParameters(), "0", "COMPLETED")
    trial.score = score
    assert record(trial).status == "failed" and record(trial).score is None


def test_ranges_with_a_step_are_exact():
    """keras-tuner counts 0, 0.2, ..., 0.8, and has floats among the powers of two."""
    hps = HyperParameters()
    hps.Float("x", 0, 1, step=0.2)
    hps.Int("n", 2, 32, step=2, sampling="log")
    hps.Int("m", 1, 8, step=3)
    hps.Float("back", 1, 100, step=10, sampling="reverse_log")
    hps.Float("tiny", 1e-14, 1e-10, step=10, sampling="log")
    assert 1.0 not in list(hps.space[0].values) and float in {type(value) for value in hps.space[1].values}
    found = {name: list(dimension.options()) for name, dimension in dimensions(hps)}
    assert found == {"x": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], "n": [2, 4, 8, 16, 32], "m": [1, 4, 7],
                     "back": [1.0, 91.0, 100.0], "tiny": [1e-14, 1e-13, 1e-12, 1e-11, 1e-10]}
    assert {type(value) for value in found["n"]} == {int}


def test_every_kind_of_hyperparameter_has_its_dimension():
    hps = HyperParameters()
    hps.Boolean("flag")
    hps.Fixed("fixed", 3)
    hps.Choice("size", [1, 2, 3], ordered=False)
    hps.Float("drop", 0, 0.5)
    hps.Float("lr", 1e-3, 1, sampling="log")
    hps.Int("units", 1, 64, sampling="log")
    hps.Float("decay", 0.9, 0.999, sampling="reverse_log")
    with hps.conditional_scope("flag", [True]):
        hps.Int("layers", 1, 3)
    found = dict(dimensions(hps))
    assert found.pop("decay").from_unit(0.0) == pytest.approx(0.9)
    assert found == {
        "flag": Choice(values=(False, True)), "fixed": Choice(values=(3,)),
        "size": Choice(values=(1, 2, 3), categorical=True), "drop": Uniform(low=0.0, high=0.5),
        "lr": Log(low=1e-3, high=1.0), "units": Integer(low=1, high=64, log=True),
        "layers": Integer(low=1, high=3, conditions=(("flag", (True,)),))}
    assert isinstance(dict(dimensions(hps))["decay"], ReverseLog)


def test_keras_tuner_loses_a_name_under_two_conditions():
    """So kerasdl refuses it. When this fails, keras-tuner has mended it, and the refusal can go."""
    hps = HyperParameters()
    hps.Choice("kind", ["a", "b"])
    for name in ("a", "b"):
        with hps.conditional_scope("kind", [name]):
            hps.Float("lr", 0.1, 1.0)
    hps.values = {"kind": "a", "lr": 0.5}
    hps.ensure_active_values()
    assert "lr" not in hps.values
