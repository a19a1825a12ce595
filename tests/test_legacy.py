"""Recipes and runs of version 0.1 load: the files in tests/data were written by it."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from kerasdl.evaluation.evaluate import evaluate
from kerasdl.evaluation.predict import predict
from kerasdl.recipe import Recipe, load
from kerasdl.reports.page import report
from kerasdl.run import Run

DATA = Path(__file__).parent / "data"


@pytest.fixture
def old(tmp_path):
    shutil.copytree(DATA / "run_0_1", tmp_path / "run")
    return Run.open(tmp_path / "run")


def test_a_recipe_file_with_the_old_fields():
    recipe = load(DATA / "recipe_0_1.py")
    assert recipe.optimizer_args == {"momentum": 0.6, "kernel_rms": 0.05, "ns_steps": 3}
    assert recipe.objective_args == {"label_smoothing": 0.2}
    assert recipe.override("momentum=0.9").optimizer_args["momentum"] == 0.9


def test_old_defaults_are_not_settings():
    written = json.loads((DATA / "run_0_1" / "recipe.json").read_text())
    assert {"momentum", "betas", "kernel_rms", "ns_steps", "label_smoothing"} <= set(written)
    recipe = load(DATA / "run_0_1" / "recipe.json")
    assert recipe.optimizer_args == {"momentum": 0.8} and recipe.objective_args == {"label_smoothing": 0.1}
    assert Recipe(model="mlp", data="digits", momentum=0.9, betas=None).optimizer_args == {}


def test_a_run_is_measured_as_it_was(old):
    for split in ("val", "test"):
        assert evaluate(old, split) == pytest.approx(old.result[split], rel=1e-5)


def test_a_run_predicts_and_reports(old, tmp_path):
    keras.utils.save_img(tmp_path / "digit.png", np.zeros((8, 8, 1)))
    ((_, answers),) = predict(old, [tmp_path / "digit.png"])
    assert len(answers) == 3
    page = report(old).read_text()
    assert f"{old.result['test']['accuracy']:.2%}" in page and 'id="confusion"' in page
