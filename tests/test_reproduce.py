"""Committed results are read from one place, and a recipe's number is judged by what its own seeds say."""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from rich.console import Console

import kerasdl
from kerasdl import recipe
from kerasdl.checkpoints import callback
from kerasdl.devices import on_device
from kerasdl.errors import UserError
from kerasdl.published import reproduce, results
from kerasdl.run import Run
from kerasdl.train.fit import train

ROOT = Path(__file__).parents[1]
TINY = """\
\"\"\"A linear model of one epoch.\"\"\"
from kerasdl.recipe import Recipe
recipe = Recipe(model="linear", data="digits", epochs=2, lr=2e-2)
"""


@pytest.fixture
def package(here, monkeypatch):
    """A package of one recipe, and a function that commits what it measures with some seeds, changed if asked."""
    (here / "recipes").mkdir()
    (here / "measured").mkdir()
    (here / "recipes" / "tiny_digits.py").write_text(TINY)
    monkeypatch.setattr(recipe, "RECIPES", here / "recipes")
    monkeypatch.setattr(results, "folder", lambda: here / "measured")

    def commit(*seeds, **test):
        for seed in seeds:
            run = train("tiny_digits", seed=seed, verbose=False)
            result = run.result
            result["test"] |= test
            (here / "measured" / f"tiny_digits-{seed}.json").write_text(json.dumps(result))
        return here

    return commit


# The interval


@pytest.mark.parametrize("published, new", [(3, 3), (5, 3), (2, 1)])
def test_the_interval_holds_as_often_as_it_says(published, new):
    random, inside, draws = np.random.default_rng(0), 0, 4000
    for _ in range(draws):
        then, now = random.normal(98, 0.3, published), random.normal(98, 0.3, new)
        low, high = reproduce.interval(then, new)
        inside += low <= now.mean() <= high
    assert inside / draws == pytest.approx(0.99, abs=0.005)


def test_the_interval_by_hand():
    """t of two degrees of freedom is 9.925 at 99.5 %."""
    low, high = reproduce.interval([97.0, 98.0, 99.0], 3)
    assert (low, high) == pytest.approx((98 - 9.925 * (2 / 3) ** 0.5, 98 + 9.925 * (2 / 3) ** 0.5), abs=1e-3)


def test_seeds_that_agree_by_luck_leave_room_for_a_test_example():
    """Of 360, two of three new seeds may be one example off; a mean that is four off is another result."""
    grain = 100 / 360
    low, high = reproduce.interval([98.0] * 3, 3, grain)
    assert low < 98 - 2 / 3 * grain and high > 98 + 2 / 3 * grain and 98 + 4 * grain > high
    assert reproduce.interval([98.0] * 3, 3) == (98.0, 98.0)


# The command


def test_it_reproduces_what_it_can(package, command):
    package(0, 1, 2)
    done = command("reproduce", "tiny_digits", "--seeds", "2")
    assert done.code == 0, done.out + done.err
    runs = [Run.open(f"runs/reproduce-tiny_digits/seed-{seed}") for seed in (3, 4)]
    here = 100 * statistics.fmean(run.result["test"]["accuracy"] for run in runs)
    assert f"{here:.2f} ±" in done.out and "3 (0-2)" in done.out and "2 (3-4)" in done.out
    assert "tiny_digits: reproduced, within the interval." in done.out and "2 degrees of freedom" in done.out
    assert len(list((Path("runs") / "reproduce-tiny_digits").iterdir())) == 2


@pytest.mark.parametrize("accuracy, word", [
    (0.999, "below"), pytest.param(0.1, "above", marks=pytest.mark.soak)])
def test_a_number_that_does_not_come_out_again_is_exit_code_1(package, command, accuracy, word):
    package(0, 1, 2, accuracy=accuracy)
    done = command("reproduce", "tiny_digits", "--seeds", "1")
    assert done.code == 1 and f"NOT reproduced, {word} the interval by" in done.out


def test_what_is_finished_is_not_run_again_and_what_was_killed_goes_on(package, command, monkeypatch):
    package(0, 2)
    monkeypatch.setattr(on_device, "STEPS", 3)
    original = callback.CheckpointCallback.on_train_batch_end

    def stop(self, batch, logs=None):
        if "seed-3" in str(self.checkpoints.folder):
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, batch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(callback.CheckpointCallback, "on_train_batch_end", stop)
        assert command("reproduce", "tiny_digits", "--seeds", "2").code == 143
    folder = Path("runs") / "reproduce-tiny_digits"
    first = (folder / "seed-1" / "result.json").read_bytes()
    assert (folder / "seed-3" / "checkpoint").exists()
    done = command("reproduce", "tiny_digits", "--seeds", "2")
    assert done.code == 0 and "resuming after step 3" in done.err and "2 (1, 3)" in done.out
    assert (folder / "seed-1" / "result.json").read_bytes() == first
    assert command("reproduce", "tiny_digits", "--seeds", "2").err == "", "nothing was trained"


def test_what_cannot_be_reproduced_is_one_line(package, refused, command, here):
    package(0)
    refused("reproduce", "tiny_digit", words=["Unknown recipe 'tiny_digit'", "tiny_digits"])
    refused("reproduce", "tiny_digits", "lr=1", words=["without changes", "kerasdl train tiny_digits lr=1"])
    refused("reproduce", "tiny_digits", words=["one committed run"])
    refused("reproduce", "recipes/tiny_digits.py", words=["name of a recipe of the package"])
    (here / "measured" / "tiny_digits-0.json").unlink()
    refused("reproduce", "tiny_digits", words=["no committed result"])
    package(0)
    (here / "recipes" / "tiny_digits.py").write_text(TINY.replace("epochs=2", "epochs=3"))
    refused("reproduce", "tiny_digits", words=["tiny_digits-0.json", "changed since", "epochs"])
    told = command("results")
    assert told.code == 0 and "Left out: tiny_digits-0.json: tiny_digits has changed" in told.out
    assert not (here / "runs" / "reproduce-tiny_digits").exists()


@pytest.mark.soak
def test_runs_of_another_recipe_are_not_taken_for_its_own(package, refused):
    package(0, 1)
    train("tiny_digits", seed=2, lr=1e-3, workdir="runs/reproduce-tiny_digits/seed-2", verbose=False)
    refused("reproduce", "tiny_digits", words=["another recipe", "lr", "--workdir"])
    file = Path("runs/reproduce-tiny_digits/seed-2/result.json")
    result = json.loads(file.read_text())
    result["environment"]["keras"] = "3.0.0"
    file.write_text(json.dumps(result))
    refused("reproduce", "tiny_digits", words=["a run by keras 3.0.0", keras.__version__, "--workdir"])
    result["environment"]["backend"] = "jax"
    file.write_text(json.dumps(result))
    refused("reproduce", "tiny_digits", words=["a run by backend jax", "this is tensorflow", "--workdir"])
    with pytest.raises(UserError, match="seeds is 1 or more"):
        reproduce.reproduce("tiny_digits", seeds=0)


def test_runs_of_the_old_orders_are_marked_and_not_compared(package, refused, command, here):
    """Those of kerasdl 0.1 do not name their orders, and are not mixed with others."""
    package(0, 1, 2)
    for seed in (0, 1, 2):
        file = here / "measured" / f"tiny_digits-{seed}.json"
        result = json.loads(file.read_text())
        assert result.pop("orders") == 2
        file.write_text(json.dumps(result))
    assert "3 (0-2) †" in command("results").out and "seeds shared their batches" in command("results").out
    assert json.loads(command("results", "--json").out)["recipes"][0]["orders"] == 1
    refused("reproduce", "tiny_digits", words=["orders of kerasdl 0.1", "kerasdl train tiny_digits"])
    package(3)
    with pytest.raises(ValueError, match="some runs of tiny_digits have the orders of kerasdl 0.1, and some others"):
        results.read([recipe.load("tiny_digits")])


def test_a_run_of_another_commit_counts_unless_its_maker_has_to_be_the_same(hard_recipe, hard_run, monkeypatch):
    now = hard_run.result["environment"] | {"git": "another"}
    monkeypatch.setattr(reproduce, "environment", lambda **_: now)
    assert reproduce.once(hard_recipe, hard_run.path, False).path == hard_run.path
    with pytest.raises(UserError, match="holds a run by git"):
        reproduce.once(hard_recipe, hard_run.path, False, reproduce.MAKERS)


@pytest.mark.soak
def test_a_seed_that_diverges_is_not_a_reproduction(package, command, monkeypatch):
    package(0, 1)
    once = reproduce.once

    def diverging(recipe, folder, verbose, makers):
        run = once(recipe, folder, verbose, makers)
        result = run.result | {"status": "diverged"}
        del result["test"]
        if recipe.seed == 3:
            (run.path / "result.json").write_text(json.dumps(result))
        return run

    monkeypatch.setattr(reproduce, "once", diverging)
    done = command("reproduce", "tiny_digits", "--seeds", "2")
    assert done.code == 1 and "NOT reproduced, diverged with seed 3" in done.out


@pytest.mark.parametrize("noise, told", [(39.04, False), (49.63, True)])
def test_another_referee_is_told(capsys, noise, told):
    """Of generators, whose distances are through a classifier that each machine trains for itself."""
    recipes = [found for found, _ in recipe.shipped()]
    then = results.read(recipes)["gan_digits"]
    now = json.loads(json.dumps(then[:1]))
    now[0]["references"]["noise"]["frechet_cnn_digits"] *= noise / 39.04
    gan = next(found for found in recipes if found.name == "gan_digits")
    reproduce.show(Console(width=500), reproduce.Reproduction(gan, then, now, (0.0, 1.0)))
    assert ("noise is 49.63 from real images here, and was 39.04" in capsys.readouterr().out) == told


# The table


def test_the_table_has_every_recipe(command):
    done = command("results")
    assert done.code == 0, done.err
    lines = {line.split()[0]: line for line in done.out.splitlines() if line.strip()}
    found = results.read(found for found, _ in recipe.shipped())
    for shipped, _ in recipe.shipped():
        if results.template(shipped):
            assert shipped.name in done.out
        elif shipped.name in found:
            assert results.score(shipped, found[shipped.name]) in lines[shipped.name]
        else:
            assert "not run" in lines[shipped.name]
    assert "Fréchet distance (cnn_digits)" in lines["gan_digits"]


def test_readme_and_the_command_tell_the_same(command):
    told = command("results").out
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `")]
    for line in rows:
        name, data, score, runs, minutes, parameters = (cell.strip(" `") for cell in line.strip("|").split("|"))
        row = next(row for row in told.splitlines() if row.startswith(f" {name} ") or row.startswith(f"{name} "))
        assert all(part in row for part in (data, score, runs, minutes, parameters))


def test_regression_and_generation_are_told_by_what_is_theirs():
    errors = [{"test": {"loss": 9.0, "mae": value, "r2": 0.5}} for value in (2.0, 4.0)]
    assert results.score(recipe.load("linear_csv").override(objective="regress"), errors) == "3.000 ± 1.414"
    distance = {"test": {"kid_cnn_mnist": 0.1, "frechet_cnn_mnist": 1.5}}
    assert results.score(recipe.load("gan_mnist"), [distance]) == "1.500"
    assert results.metric(recipe.load("gan_mnist")).goal == "min"


def test_an_installed_package_has_them(tmp_path):
    """As the wheel lays them out, without the repository around; the command imports no TensorFlow."""
    shutil.copytree(Path(kerasdl.__file__).parent, tmp_path / "kerasdl", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "docs" / "results", tmp_path / "kerasdl" / "measured")
    code = ("import sys; sys.argv = ['kerasdl', 'results']; from kerasdl.cli import main; import kerasdl\n"
            "try: main()\nexcept SystemExit as stop: assert not stop.code\n"
            "assert kerasdl.__file__.startswith(sys.path[0])\n"
            "assert not {'tensorflow', 'scipy', 'keras'} & set(sys.modules)")
    done = subprocess.run([sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{code}"],
                          capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "cnn_mnist" in done.stdout and "±" in done.stdout
    assert '"docs/results" = "kerasdl/measured"' in (ROOT / "pyproject.toml").read_text()


def test_published_needs_a_spread(package):
    package(0)
    with pytest.raises(UserError, match="no spread"):
        reproduce.published("tiny_digits")
