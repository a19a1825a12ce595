"""A search is data: its values are what the user wrote, its conditions hold, and a mistake is one line."""

import json
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import pytest

from kerasdl.cli.tune import changed
from kerasdl.errors import UserError
from kerasdl.recipe import Recipe
from kerasdl.tuning import Search, best, choice, integer, load, log, names, preflight, tune, uniform

MLP = Recipe(name="mlp", model="mlp", model_args={"size": "mu", "drop": 0.0}, data="digits")
ODD = (None, True, 1, 1.0, "1", (("translate", 1), "flip"), ())


def search(space=None, **changes):
    return Search(**{"recipe": MLP, "space": space or {"lr": log(1e-4, 1e-1)}, **changes})


UNIT = (0.0, 1e-9, 0.1, 0.25, 0.5, 0.77, 0.9, 1 - 1e-12, 1.0)


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
    back = [dimension.from_unit(dimension.to_unit(value)) for value in options]
    assert [repr(value) for value in back] == [repr(value) for value in options]
    assert {repr(dimension.from_unit(u)) for u in UNIT} <= {repr(value) for value in options}


@pytest.mark.parametrize("dimension, low, high", [(uniform(0, 0.5), 0, 0.5), (log(1e-4, 1e-1), 1e-4, 1e-1),
                                                  (log(3e-4, 0.7), 3e-4, 0.7), (integer(1, 1000, log=True), 1, 1000)])
def test_ends_are_included_and_nothing_is_outside(dimension, low, high):
    at = [dimension.from_unit(u) for u in (0.0, 0.3, 1.0)]
    assert at[0] == low and low < at[1] < high and at[2] == high
    assert dimension.from_unit(dimension.to_unit(at[1])) == pytest.approx(at[1])


def test_a_condition_tells_true_from_one():
    dimension = choice(1, 2).when(jit=True)
    assert dimension.active({"jit": True}) and not dimension.active({"jit": 1}) and not dimension.active({})


CONDITIONS = {
    "optimizer_args.momentum": choice(0.0, 0.9).when(optimizer="sgd"),  # before what it depends on
    "optimizer": choice("adamw", "sgd", "lion"),
    "lr": (log(1e-4, 1e-2).when(optimizer=["adamw", "lion"]), choice(0.1, 0.3).when(optimizer="sgd")),
    "weight_decay": choice(0.0, 0.1).when({"optimizer_args.momentum": 0.9}),
    "model_args.drop": uniform(0, 0.4, step=0.2),
}


def test_alternatives_may_exclude_each_other_by_what_their_parents_depend_on():
    nested = {"optimizer": choice("adamw", "sgd"), "schedule": choice("cosine", "constant").when(optimizer="sgd"),
              "lr": (log(1e-4, 1e-2).when(optimizer="adamw"), log(1e-2, 1.0).when(schedule="cosine"),
                     log(1e-3, 1e-1).when(schedule="constant"))}
    assert [part.active({"optimizer": "adamw"}) for part in search(nested).space["lr"]] == [True, False, False]
    both = nested | {"lr": (log(1e-4, 1e-2).when(optimizer="sgd"), log(1e-2, 1.0).when(schedule="cosine"))}
    with pytest.raises(UserError, match="lr has two dimensions that can be active at once"):
        search(both)


def test_conditions_by_hand():
    """Each combination has the fields whose conditions hold, and no other."""
    made = search({**CONDITIONS, "lr": (choice(1e-3, 1e-2).when(optimizer=["adamw", "lion"]), CONDITIONS["lr"][1])})
    cells = list(made.combinations())
    by_hand = [{"optimizer": optimizer, **({"optimizer_args.momentum": momentum} if optimizer == "sgd" else {}),
                "lr": lr, **({"weight_decay": decay} if decay is not None else {}), "model_args.drop": drop}
               for optimizer in ("adamw", "sgd", "lion") for momentum in ((0.0, 0.9) if optimizer == "sgd" else (None,))
               for lr in ((0.1, 0.3) if optimizer == "sgd" else (1e-3, 1e-2))
               for decay in ((0.0, 0.1) if momentum == 0.9 else (None,)) for drop in (0.0, 0.2, 0.4)]
    assert len(cells) == 3 * (2 + 2 + 2 + 4)
    assert sorted(map(repr, map(sorted, (cell.items() for cell in cells)))) == \
        sorted(map(repr, map(sorted, (cell.items() for cell in by_hand))))


def test_a_trial_is_the_recipe_with_the_values_and_the_fixed_changes():
    made = search({"lr": log(1e-4, 1e-1), "model_args.drop": uniform(0, 0.5), "augment": choice((), ("flip",))},
                  overrides={"epochs": 3, "model_args.size": "512"})
    trial = made.trial({"lr": 1e-4, "augment": ("flip",), "model_args.drop": 0.25})
    assert trial == MLP.override(epochs=3, lr=1e-4, augment=("flip",), model_args={"size": "512", "drop": 0.25})


@pytest.mark.parametrize("space, overrides, kept", [
    ({"model": choice("mlp", "residual_mlp"), "model_args.width": choice(16)}, {"model_args.depth": 4},
     [{"size": "mu", "drop": 0.0, "depth": 4, "width": 16}, {"depth": 4, "width": 16}]),
    ({"optimizer": choice("sgd", "muon")}, {"optimizer_args": {"momentum": 0.5}}, [{"momentum": 0.5}] * 2),
    ({"data": choice("digits", "mnist")}, {"splits": {"val": "test"}}, [{"val": "test"}] * 2),
    ({"objective": choice("classify", "robust")}, {"objective_args.label_smoothing": 0.1},
     [{"label_smoothing": 0.1}] * 2),
])
def test_a_new_model_or_optimizer_keeps_the_fixed_changes(space, overrides, kept):
    made = search(space, recipe=MLP.override(optimizer="sgd"), overrides=overrides)
    field = next(iter(overrides)).partition(".")[0]
    assert [getattr(made.trial(values), field) for values in made.combinations()] == kept
    winners = (SimpleNamespace(values=values) for values in made.combinations())
    assert [getattr(best.recipe_of(SimpleNamespace(search=made), won), field) for won in winners] == kept


def test_a_file_of_the_user_has_an_absolute_path_that_every_trial_finds(here):
    made = search({"model": choice("mine.py:build", "mlp"), "model_args.drop": uniform(0, 0.5).when(model="mlp")},
                  recipe=MLP.override(model="other.py:build"))
    assert made.recipe.model == f"{here}/other.py:build"
    assert made.space["model"][0].values == (f"{here}/mine.py:build", "mlp")
    assert search(overrides={"model": "mine.py:build"}).base.model == f"{here}/mine.py:build"
    made = search({"model": choice("mine.py:build", "mlp"), "lr": log(0.1, 1).when(model="mine.py:build")})
    assert made.dimensions[1][1].active({"model": f"{here}/mine.py:build"})


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
    (lambda: search({"lr.more": log(1e-4, 1)}), ["lr has no parts"]),
    (lambda: search({"lr": choice("fast")}), ["lr", "'fast'"]),
    (lambda: search({"epochs": integer(0, 3)}), ["epochs", "greater than 0"]),
    (lambda: search({"batch": uniform(32, 64)}), ["batch", "32.0 (float)"]),
    (lambda: search({"optimizer": choice("adam", "sgd")}), ["optimizer", "'adam'"]),
    (lambda: search({"lr": 0.1}), ["lr is choice(...)", "0.1"]),
    (lambda: search({"optimizer_args.momentum": choice(0.9).when(optimiser="sgd"), "optimizer": choice("sgd")}),
     ["optimizer_args.momentum depends on 'optimiser'", "'optimizer'"]),
    (lambda: search({"optimizer_args.momentum": choice(0.9).when(optimizer="sdg"), "optimizer": choice("sgd", "lion")}),
     ["optimizer='sdg'", "never", "'sgd'"]),
    (lambda: search({"optimizer_args.momentum": choice(0.9).when(lr=0.1), "lr": log(0.1, 1)}),
     ["needs a choice or an integer"]),
    (lambda: search({"optimizer_args.momentum": uniform(0, 0.9)}), ["optimizer=adamw has no setting", "momentum"]),
    (lambda: search({"optimizer_args.momentum": uniform(0, 0.9), "optimizer": choice("sgd", "lion")}),
     ["optimizer=lion has no setting", ".when(optimizer=...)"]),
    (lambda: search({"optimizer_args.momentum": uniform(0, 1.5).when(optimizer="sgd"), "optimizer": choice("sgd")}),
     ["momentum", "less than 1"]),
    (lambda: search({"lr": choice(0.5, 0.9).when(epochs=1), "epochs": integer(1, 2).when(lr=0.5)}),
     ["wait for one another"]),
    (lambda: search({"optimizer": choice("sgd", "lion"), "lr": (choice(1.0).when(optimizer="sgd"), choice(2.0))}),
     ["lr has two dimensions", "only one can hold"]),
    (lambda: search({"optimizer_args.momentum": choice(0.9).when(optimizer=[]), "optimizer": choice("sgd")}),
     ["optimizer=[]"]),
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
    (lambda: search({"optimizer": choice("sgd", "lion")}, recipe=MLP.override(optimizer="sgd"),
                    overrides={"optimizer_args.momentum": 0.5}), ["optimizer=lion has no setting", "momentum"]),
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


def test_a_search_of_kerasdl_0_1_is_read_with_its_old_fields(tmp_path):
    plain = json.loads(search(CONDITIONS).to_json().replace("optimizer_args.momentum", "momentum"))
    (tmp_path / "search.json").write_text(json.dumps(plain))
    assert load(tmp_path / "search.json").space == search(CONDITIONS).space
    old = search({"optimizer": choice("sgd", "lion"), "momentum": uniform(0, 0.9).when(optimizer="sgd")})
    assert [key for key, _ in old.dimensions] == ["optimizer", "optimizer_args.momentum"]


def test_another_search_is_refused_with_the_difference(tmp_path):
    before = search(CONDITIONS, oracle="random")
    search(CONDITIONS, trials=99, timeout=3, stop_early=False).check_continues(before, tmp_path)
    for changes, words in [({"space": CONDITIONS | {"batch": choice(32, 64)}}, ["batch: not in it -> choice(32, 64)"]),
                           ({"space": CONDITIONS | {"optimizer": choice("sgd", "adamw", "lion")}}, ["optimizer: ch"]),
                           ({"recipe": MLP.override(epochs=3)}, ["recipe.epochs: 10 -> 3"]),
                           ({"seed": 1}, ["seed: 0 -> 1"]),
                           ({"overrides": {"epochs": 3}}, ["epochs: not in it -> 3"])]:
        with pytest.raises(UserError) as caught:
            search(**{"space": CONDITIONS, **changes}).check_continues(before, tmp_path)
        for word in (*words, str(tmp_path)):
            assert word in str(caught.value)


def test_a_search_whose_own_code_was_edited_is_refused(here):
    """But not one of before, which did not keep what the code was."""
    for name in ("mine", "other", "third"):
        here.joinpath(f"{name}.py").write_text("def build(shape, outputs): ...")

    def made():
        return search({"model": choice("other.py:build", "mlp")}, recipe=MLP.model_copy(
            update={"model_args": {}, "model": "third.py:build", "objective": "mine.py:build"}))

    before = made()
    (here / "search.json").write_text(before.to_json())
    plain = json.loads(before.to_json())
    plain.pop("code")
    (here / "old.json").write_text(json.dumps(plain))
    assert set(before.code) == {f"{here}/{name}.py" for name in ("mine", "other", "third")}
    load(here / "search.json").check_continues(load(here / "search.json"), here)
    for name in ("mine", "other"):
        text = here.joinpath(f"{name}.py").read_text()
        here.joinpath(f"{name}.py").write_text(text + "  # edited")
        for again in (made(), load(here / "search.json")):
            with pytest.raises(UserError, match=f"{name}.py was edited. Choose another folder"):
                again.check_continues(load(here / "search.json"), here)
        made().check_continues(load(here / "old.json"), here)
        here.joinpath(f"{name}.py").write_text(text)


def test_a_search_does_not_continue_with_another_ranking(tmp_path):
    """Its winner may be trained again, which needs no ranking."""
    file = tmp_path / "ranking.json"
    file.write_text('{"points": []}')
    made = search(oracle=f"ranked:{file}")
    (tmp_path / "search.json").write_text(made.to_json())
    made.check_continues(load(tmp_path / "search.json"), tmp_path)
    file.write_text('{"points": [{"values": {"lr": 0.01}}]}')
    before = load(tmp_path / "search.json")
    with pytest.raises(UserError, match="ranking.json was edited. Choose another folder"):
        search(oracle=f"ranked:{file}").check_continues(before, tmp_path)
    assert not before.edited()


@pytest.mark.parametrize("made, words", [
    (search({"model_args.dorp": uniform(0, 1)}), ["argument of mlp 'dorp'", "'drop'"]),
    (search({"model": choice("mlp", "vit"), "model_args.patch": choice(2, 4)}, recipe=MLP.model_copy(
        update={"model_args": {}})), ["argument of mlp 'patch'", ".when(model"]),
    (search({"model": choice("mlp", "vit")}, overrides={"model_args.norm": True}),
     ["argument of vit 'norm'", "overrides"]),
    (search({"objective": choice("classify", "tag")}, overrides={"objective_args.label_smoothing": 0.1}),
     ["objective=tag has no setting objective_args.label_smoothing"]),
    (search(objective="val/acuracy"), ["val/acuracy is never logged", "'val/accuracy'"]),
    (search(objective="val/loss_total"), ["val/loss_total is never logged"]),
    (search(recipe="linear_csv", objective="val/r2", space={"lr": log(0.1, 1)}), ["val/r2 is never logged"]),
    (search({"objective_args.smoothing": uniform(0, 1)}), ["no setting objective_args.smoothing", "label_smoothing"]),
])
def test_mistakes_that_only_the_code_knows_are_one_line_before_the_first_trial(made, words, tmp_path):
    with pytest.raises(UserError) as caught:
        tune(made, tmp_path / "study")
    assert "\n" not in str(caught.value) and not (tmp_path / "study").exists()
    for word in words:
        assert word in str(caught.value)


def test_a_condition_on_the_model_leaves_the_others_alone():
    plain = MLP.model_copy(update={"model_args": {}})
    space = {"model": choice("mlp", "vit"), "model_args.patch": choice(2, 4).when(model="vit")}
    preflight.check(search(space, recipe=plain))
    with pytest.raises(UserError, match="argument of vit 'dorp'"):
        preflight.check(search({**space, "model_args.dorp": uniform(0, 1).when(model="vit")}, recipe=plain))


def test_a_model_of_the_user_s_is_checked_like_the_zoo_s(here):
    here.joinpath("mine.py").write_text("def build(shape, outputs, *, width): ...")
    plain = MLP.override(model="mine.py:build").model_copy(update={"model_args": {}})
    preflight.check(search({"model_args.width": integer(8, 64)}, recipe=plain))
    with pytest.raises(UserError, match="argument of .*mine.py:build 'wdith'. Did you mean 'width'"):
        preflight.check(search({"model_args.wdith": integer(8, 64)}, recipe=plain))


def test_the_best_direction_is_the_metric_s(here):
    here.joinpath("mine.py").write_text("def build(hp): ...")
    built = {"build": "mine.py:build", "data": "digits"}
    assert [made.direction for made in (
        search(), search(objective="val/loss"), Search(**built, objective="val/mae"),
        Search(**built, objective="val/bleu", goal="max"), search(recipe="gan_digits", objective="val/kid_digits"))
    ] == ["max", "min", "min", "max", "min"]
    for unknown in ("bleu", "accuracy_drop"):
        with pytest.raises(UserError, match=f"Is a high val/{unknown} best"):
            preflight.check(Search(**built, objective=f"val/{unknown}"))


@pytest.mark.parametrize("name", names())
def test_shipped_searches(name):
    from kerasdl.tuning.search import SEARCHES

    source = (SEARCHES / f"{name}.py").read_text()
    assert source.startswith('"""') and len(source.splitlines()) <= 40
    made = load(name)
    assert made.name == name and made.recipe.name in name
    preflight.check(made)


def test_searches_are_light():
    code = "import sys\nfrom kerasdl.tuning import load, names\n[str(load(name)) for name in names()]\n" \
           "assert not {'keras', 'keras_tuner', 'tensorflow', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_command_overrides_the_entries_that_it_names_and_no_others():
    base = Recipe(model="mlp", model_args={"size": "mu"}, data="digits")
    found = changed(base, ["model_args.drop=0.5", "epochs=3", "optimizer_args.momentum=0.5", "optimizer=sgd"])
    assert found == {"model_args.drop": 0.5, "epochs": 3, "optimizer_args.momentum": 0.5, "optimizer": "sgd"}
    assert changed(base, ["model=cnn"]) == {"model": "cnn"} and changed(base, ["model_args={}"]) == {"model_args": {}}
    assert changed(base, ["model_args.size=mu"]) == {}
