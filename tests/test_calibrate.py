"""Calibration where there is nothing to fit, and what an audit and a calibration take of a run."""

import json

import keras
import numpy as np
import pytest

from kerasdl.audit import audit as driver
from kerasdl.audit import shadows, temperature
from kerasdl.audit.calibrate import calibrate
from kerasdl.audit.subject import Subject
from kerasdl.data import from_arrays
from kerasdl.errors import UserError
from kerasdl.evaluation.evaluate import evaluate
from kerasdl.recipe import Recipe
from kerasdl.run import Run

CLASSES = 3


@pytest.fixture
def made(tmp_path):
    """Makes a run on arrays, whose model answers with five times its inputs, and returns it with its splits."""

    def make(noise):
        random = np.random.default_rng(0)
        x = random.normal(size=(900, CLASSES)).astype("float32")
        y = (x + noise * random.normal(size=x.shape)).argmax(1)
        data = from_arrays(x, y)
        run = Run.create(Recipe(model="linear", data="arrays"), tmp_path / "run")
        inputs = keras.Input((CLASSES,))
        keras.Model(inputs, keras.layers.Rescaling(5.0)(inputs)).save(run.path / "model.keras")
        facts = data["train"].describe() | {"examples": {name: split.fingerprint() for name, split in data.items()}}
        (run.path / "data.json").write_text(json.dumps(facts))
        (run.path / "result.json").write_text(json.dumps({"status": "completed", "seed": 0}))
        return run, data

    return make


def test_no_temperature_is_fitted_where_none_is_best():
    random = np.random.default_rng(0)
    truth = random.integers(0, CLASSES, 180)
    logits = 3 * np.eye(CLASSES)[truth] + random.uniform(0, 1, (180, CLASSES))
    assert (temperature.fit(logits, truth), temperature.gain(logits, truth)) == (1, 0)
    assert temperature.unfit(logits, truth) == "validation has no mistake"
    wrong = np.where(np.arange(180) == 0, (truth + 1) % CLASSES, truth)  # which one half alone has
    assert temperature.unfit(logits, wrong) == "" and temperature.gain(logits, wrong) == 0
    assert (temperature.fit(-logits, truth), temperature.gain(-logits, truth)) == (1, 0)
    assert "no temperature from 0.01 to 100 is best" in temperature.unfit(-logits, truth)


def test_a_run_without_mistakes_on_validation_stays_as_it_is(made):
    run, data = made(0)
    (part,) = driver.audit(run, data=data, quick=True, only="confidence")["parts"]
    said = " ".join(part["lines"])
    assert "No temperature can be fitted: validation has no mistake." in said and "kerasdl calibrate" not in said
    assert part["found"]["ways"]["temperature"] == part["found"]["ways"]["as it is"]
    with pytest.raises(UserError, match="Validation has no mistake, so that no temperature can be fitted"):
        calibrate(run, run.path.parent / "cal", data=data)
    assert not (run.path.parent / "cal").exists()


def test_arrays_in_another_order_are_not_those_of_the_run(made):
    run, data = made(1)
    whole = {"x": np.concatenate([split.x for split in data.values()]),
             "y": np.concatenate([split.y for split in data.values()])}
    other = from_arrays(whole["x"][::-1], whole["y"][::-1])
    assert len(Subject(run, data=data).split("test")) == len(other["test"])
    for call in (driver.audit, calibrate):
        with pytest.raises(UserError, match="of data differs from what .* began with: .* in another order"):
            call(run, data=other)
    assert evaluate(run, data=other)["accuracy"] > 0.4  # a score may be that of any arrays


def test_a_calibrated_run_says_whose_weights_it_has(made):
    run, data = made(1)
    kept = {"members": [{"run": "a", "private": True}, {"run": "b", "private": False}], "init": {"init": "c"},
            "fitted": {"C": 1.0}}
    (run.path / "result.json").write_text(json.dumps(run.result | kept))
    found = calibrate(run, run.path.parent / "cal", data=data)
    assert found.holds_private and {key: found.result[key] for key in kept} == kept


@pytest.mark.parametrize("verb", ["audit", "calibrate"])
def test_a_diverged_run_is_not_to_be_resumed(verb, made, refused):
    run, _ = made(1)
    (run.path / "result.json").write_text(json.dumps({"status": "diverged"}))
    (run.path / "model.keras").unlink()
    refused(verb, run.path, words=["diverged, so that there is nothing to audit"])


def test_a_shadow_run_that_was_stopped_goes_on_with_the_audit(made, monkeypatch):
    run, data = made(1)
    monkeypatch.setattr(shadows, "train", lambda recipe, workdir, **_: Run.create(recipe, workdir))
    shadow = shadows.trained(Subject(run, data=data), data["val"], 3)
    assert shadow.again == f"repeat the audit of {run.path}"
