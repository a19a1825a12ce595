"""A search is data: its values are what the user wrote, its conditions hold, and a mistake is one line."""

import json
import subprocess
import sys
from functools import partial

import pytest

from kerasdl.errors import UserError
from kerasdl.recipe import Recipe
from kerasdl.tuning import Search, choice, integer, load, log, names, uniform

MLP = Recipe(name="mlp", model="mlp", model_args={"size": "mu", "drop": 0.0}, data="digits")
ODD = (None, True, 1, 1.0, "1", (("translate", 1), "flip"), ())


def search(space=None, **changes):
    return Search(**{"recipe": MLP, "space": space or {"lr": log(1e-4, 1e-1)}, **changes})


def labels(dimension):
    """What keras-tuner may give for a dimension: at both ends of its probability, and between."""
    hp = dimension.hyperparameter("x", [])
    return [hp.prob_to_value(prob) for prob in (0.0, 1e-9, 0.1, 0.25, 0.5, 0.77, 0.9, 1 - 1e-12)]


@pytest.mark.parametrize("dimension, options", [
    (uniform(0, 1, step=0.1), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
    (uniform(0, 0.5, step=0.1), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
    (uniform(-1, 1, step=1), [-1.0, 0.0, 1.0]),
    (uniform(3, 3), [3.0]),
    (integer(2, 5), [2, 3, 4, 5]),
    (integer(2, 8, step=3), [2, 5, 8]),
    (integer(1, 4, log=True), [1, 2, 3, 4]),
    (choice(*ODD), ODD),
    (choice(True, False), [True, False]),
    (choice(64, 32), [64, 32]),
    (choice("b", "a"), ["b", "a"]),
])
def test_counted_values_are_those_written_with_their_types(dimension, options):
    assert [(type(value), value) for value in dimension.options()] == [(type(value), value) for value in options]
    hp = dimension.hyperparameter("x", [])
    back = [dimension.value(hp.prob_to_value(hp.value_to_prob(dimension.label(value)))) for value in options]
    assert [repr(value) for value in back] == [repr(value) for value in options]
    assert {repr(dimension.value(label)) for label in labels(dimension)} <= {repr(value) for value in options}


@pytest.mark.parametrize("dimension, low, high", [(uniform(0, 0.5), 0, 0.5), (log(1e-4, 1e-1), 1e-4, 1e-1),
                                                  (log(3e-4, 0.7), 3e-4, 0.7), (integer(1, 1000, log=True), 1, 1000)])
def test_ends_are_included_and_nothing_is_outside(dimension, low, high):
    hp = dimension.hyperparameter("x", [])
    at = [dimension.value(hp.prob_to_value(prob)) for prob in (0.0, 0.3, 1.0)]
    assert at[0] == low and low < at[1] < high and at[2] == high


CONDITIONS = {
    "momentum": choice(0.0, 0.9).when(optimizer="sgd"),  # before what it depends on
    "optimizer": choice("adamw", "sgd", "lion"),
    "lr": (log(1e-4, 1e-2).when(optimizer=["adamw", "lion"]), choice(0.1, 0.3).when(optimizer="sgd")),
    "weight_decay": choice(0.0, 0.1).when(momentum=0.9),
    "model_args.drop": uniform(0, 0.4, step=0.2),
}


def test_conditions_by_hand():
    """Each combination that keras-tuner can make has the fields that hold, and no other."""
    made = search({**CONDITIONS, "lr": (choice(1e-3, 1e-2).when(optimizer=["adamw", "lion"]), CONDITIONS["lr"][1])})
    cells = list(made.cells())
    by_hand = [{"optimizer": optimizer, **({"momentum": momentum} if optimizer == "sgd" else {}), "lr": lr,
                **({"weight_decay": decay} if decay is not None else {}), "model_args.drop": drop}
               for optimizer in ("adamw", "sgd", "lion") for momentum in ((0.0, 0.9) if optimizer == "sgd" else (None,))
               for lr in ((0.1, 0.3) if optimizer == "sgd" else (1e-3, 1e-2))
               for decay in ((0.0, 0.1) if momentum == 0.9 else (None,)) for drop in (0.0, 0.2, 0.4)]
    assert len(cells) == 3 * (2 + 2 + 2 + 4)
    assert sorted(map(repr, map(sorted, (cell.items() for cell in cells)))) == \
        sorted(map(repr, map(sorted, (cell.items() for cell in by_hand))))


def test_a_trial_is_the_recipe_with_the_values_and_the_fixed_changes():
    made = search({"lr": log(1e-4, 1e-1), "model_args.drop": uniform(0, 0.5), "augment": choice((), ("flip",))},
                  overrides={"epochs": 3, "model_args.size": "512"})
    hp = made.hyperparameters()
    assert made.trial(hp) == MLP.override(epochs=3, lr=1e-4, augment=(), **{"model_args.size": "512"})
    hp.values |= {"augment": repr(("flip",)), "model_args.drop": 0.25}
    assert made.trial(hp).augment == ("flip",)
    assert made.trial(hp.values).model_args == {"size": "512", "drop": 0.25}


@pytest.mark.parametrize("made", [
    search(), search(CONDITIONS), search({"augment": choice(*ODD[-2:]), "jit": choice(None, True, "auto")}),
    search(objective="val/loss", goal="min", trials=7, seed=3, oracle="bayesian", timeout="10 min", stop_early=True,
           overrides={"augment": (("translate", 1),), "model_args.size": "512"}),
    search(overrides={"data_args": {"image_size": (8, 8)}}),
    *map(load, names())], ids=lambda made: made.name or "made")
def test_json_there_and_back(made, tmp_path):
    file = tmp_path / "search.json"
    file.write_text(made.to_json())
    back = load(file)
    assert not made.differences(back) and back.to_json().replace('"name": "search"', f'"name": "{made.name}"') == \
        made.to_json()
    assert [str(part) for part in back.space.values()] == [str(part) for part in made.space.values()]
    assert str(back) == str(made)
    json.loads(file.read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize("call, words", [
    (lambda: choice(), ["needs values"]),
    (lambda: choice(1, 2, 1), ["1 twice"]),
    (lambda: uniform(0.5, 0), ["low is above high", "uniform(0.5, 0)"]),
    (lambda: uniform(0, "much"), ["two numbers", "'much'"]),
    (lambda: uniform(0, float("nan")), ["two numbers", "nan"]),
    (lambda: uniform(0, 1, step=0.3), ["does not arrive at 1"]),
    (lambda: uniform(0, 1, step=0), ["above 0"]),
    (lambda: log(0, 1), ["above 0", "log(0, 1)"]),
    (lambda: log(-1, 1), ["above 0"]),
    (lambda: log(1, 0.1), ["low is above high"]),
    (lambda: integer(1, 8, step=3), ["does not arrive at 8"]),
    (lambda: integer(1.0, 8), ["whole numbers", "1.0 (float)"]),
    (lambda: integer(0, 8, log=True), ["above 0"]),
    (lambda: integer(8, 1), ["low is above high"]),
    (lambda: search({"lrr": log(1e-4, 1)}), ["'lrr'", "'lr'"]),
    (lambda: search({"modelargs.drop": uniform(0, 1)}), ["'modelargs'", "'model_args'"]),
    (lambda: search({"model_args.dorp": uniform(0, 1)}), ["mlp has no argument 'dorp'", "'drop'"]),
    (lambda: search({"model": choice("mlp", "vit"), "model_args.patch": choice(2, 4)}), ["mlp has no", ".when(model"]),
    (lambda: search({"lr.more": log(1e-4, 1)}), ["lr has no parts"]),
    (lambda: search({"lr": choice("fast")}), ["lr", "'fast'"]),
    (lambda: search({"epochs": integer(0, 3)}), ["epochs", "greater than 0"]),
    (lambda: search({"batch": uniform(32, 64)}), ["batch", "32.0 (float)"]),
    (lambda: search({"optimizer": choice("adam", "sgd")}), ["optimizer", "'adam'"]),
    (lambda: search({"lr": 0.1}), ["lr is choice(...)", "0.1"]),
    (lambda: search({"momentum": choice(0.9).when(optimiser="sgd"), "optimizer": choice("sgd")}),
     ["momentum depends on 'optimiser'", "'optimizer'"]),
    (lambda: search({"momentum": choice(0.9).when(optimizer="sdg"), "optimizer": choice("sgd", "lion")}),
     ["optimizer='sdg'", "never", "'sgd'"]),
    (lambda: search({"momentum": choice(0.9).when(lr=0.1), "lr": log(0.1, 1)}), ["needs a choice or an integer"]),
    (lambda: search({"momentum": uniform(0, 0.9)}), ["momentum is for sgd and muon", "optimizer=adamw"]),
    (lambda: search({"momentum": uniform(0, 0.9), "optimizer": choice("sgd", "lion")}),
     ["optimizer=lion", ".when(optimizer='sgd')"]),
    (lambda: search({"optimizer": choice("muon", "lion")}, overrides={"optimizer": "muon", "ns_steps": 3}),
     ["ns_steps=3 is for muon", "lion is searched", "overrides={'ns_steps': 5}"]),
    (lambda: search({"momentum": choice(0.5, 0.9).when(epochs=1), "epochs": integer(1, 2).when(momentum=0.5)}),
     ["wait for one another"]),
    (lambda: search({"optimizer": choice("sgd", "lion"), "lr": (choice(1.0).when(optimizer="sgd"), choice(2.0))}),
     ["lr has two dimensions", "only one can hold"]),
    (lambda: search({"momentum": choice(0.9).when(optimizer=[]), "optimizer": choice("sgd")}), ["optimizer=[]"]),
    (lambda: choice(1).when(lr=1).when(lr=[1, 2]), ["condition on lr already"]),
    (lambda: choice({"drop": 0.1}, {"drop": 0.2}), ["words, numbers", "{'drop': 0.1}"]),
    (lambda: search({"lr": ()}), ["lr has no dimension"]),
    (lambda: search(overrides=["epochs=3"]), ["overrides is a dictionary", "['epochs=3']"]),
    (lambda: Search(recipe=MLP, space=["lr"]), ["space is a dictionary"]),
    (lambda: search(objective=None), ["val/accuracy", "None"]),
    (lambda: Search(build=partial(print), data="digits"), ["imports build(hp) from a file"]),
    (lambda: Search(recipe=MLP), ["needs a space"]),
    (lambda: Search(space={"lr": log(1e-4, 1)}), ["needs a recipe"]),
    (lambda: search(recipe="mlp_digit"), ["'mlp_digit'", "'mlp_digits'"]),
    (lambda: search(objective="val/acuracy"), ["val/acuracy is never logged", "'val/accuracy'"]),
    (lambda: search(objective="test/accuracy"), ["validation data", "'test/accuracy'"]),
    (lambda: search(objective="accuracy"), ["val/accuracy", "'accuracy'"]),
    (lambda: search(goal="high"), ["max", "'high'"]),
    (lambda: search(trials=0), ["trials", "from 1 on"]),
    (lambda: search(seed=-1), ["seed", "from 0 on"]),
    (lambda: search(oracle="bayes"), ["'bayes'", "'bayesian'"]),
    (lambda: search(oracle="grid"), ["A grid needs values", "lr is log(0.0001, 0.1)"]),
    (lambda: search({"epochs": integer(1, 2)}, oracle="hyperband"), ["Take epochs out"]),
    (lambda: search(overrides={"epoch": 3}), ["'epoch'", "'epochs'"]),
    (lambda: search({"lr": choice(0.1, 0.2)}, overrides={"lr": 0.5}), ["lr is fixed by the overrides, and searched"]),
    (lambda: search({"model_args.drop": choice(0.1, 0.2)}, overrides={"model_args": {"drop": 0.4}}),
     ["model_args.drop is fixed"]),
    (lambda: load("mlp_digit_grid"), ["Unknown search 'mlp_digit_grid'", "'mlp_digits_grid'"]),
    (lambda: load("no.py"), ["no search file"]),
    (lambda: Search(build=lambda hp: None, data="digits"), ["imports build(hp) from a file"]),
    (lambda: Search(build="no.py:build", data="digits"), ["no file no.py"]),
    (lambda: Search(build="build", data="digits"), ["FILE.py:NAME"]),
    (lambda: Search(build="no.py:build", recipe=MLP), ["neither"]),
])
def test_mistakes_are_one_line(call, words):
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("text, words", [
    ("search = 3", ["must set `search", "int"]),
    ("import no_such_module", ["no_such_module"]),
    ("from kerasdl.tuning import Search, log\nsearch = Search('mlp_digits', {'lrr': log(1e-4, 1)})", ["'lrr'"]),
])
def test_files_that_hold_no_search(text, words, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        load(file)
    for word in words:
        assert word in str(caught.value)


def test_another_search_is_refused_with_the_difference(tmp_path):
    before = search(CONDITIONS, oracle="random")
    search(CONDITIONS, trials=99, timeout=3, stop_early=False).go_on_from(before, tmp_path)
    for changes, words in [({"space": CONDITIONS | {"batch": choice(32, 64)}}, ["batch: not in it -> choice(32, 64)"]),
                           ({"space": CONDITIONS | {"optimizer": choice("sgd", "adamw", "lion")}}, ["optimizer: ch"]),
                           ({"recipe": MLP.override(epochs=3)}, ["recipe.epochs: 10 -> 3"]),
                           ({"seed": 1}, ["seed: 0 -> 1"]),
                           ({"overrides": {"epochs": 3}}, ["epochs: not in it -> 3"])]:
        with pytest.raises(UserError) as caught:
            search(**{"space": CONDITIONS, **changes}).go_on_from(before, tmp_path)
        for word in (*words, str(tmp_path)):
            assert word in str(caught.value)


def test_what_an_objective_logs_is_what_it_compiles():
    import keras
    import numpy as np

    from kerasdl import objectives
    from kerasdl.tuning.checks import GOALS, METRICS, goal

    for name in objectives.OBJECTIVES:
        made = objectives.get(name)
        assert goal(made.METRIC) == goal(f"{made.METRIC}_referee") == made.GOAL
    for name, expected in METRICS.items():
        units = keras.layers.Normalization(mean=0.0, variance=1.0, invert=True, name="unscale")  # of a regression
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), units])
        objectives.get(name).compile(model, "sgd")
        logged = model.evaluate(np.ones((4, 3)), np.ones((4, 2)), verbose=0, return_dict=True)
        assert set(logged) == set(expected) <= set(GOALS)


def test_a_model_takes_the_arguments_that_are_read_from_its_source():
    import inspect

    from kerasdl import zoo
    from kerasdl.tuning.checks import arguments

    for name in zoo.MODELS:
        parameters = inspect.signature(zoo.module(name).build).parameters.values()
        assert arguments(name) == [part.name for part in parameters if part.kind is part.KEYWORD_ONLY]


@pytest.mark.parametrize("name", names())
def test_shipped_searches(name):
    from kerasdl.tuning.space import SEARCHES

    source = (SEARCHES / f"{name}.py").read_text()
    assert source.startswith('"""') and len(source.splitlines()) <= 40
    made = load(name)
    assert made.name == name and made.recipe.name in name and made.trial(made.hyperparameters())


def test_searches_are_light():
    code = "import sys\nfrom kerasdl.tuning import load, names\n[str(load(name)) for name in names()]\n" \
           "assert not {'keras', 'keras_tuner', 'tensorflow', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
