"""A recipe is data: overridable with checks, printable as a difference, JSON in and out."""

import inspect
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from kerasdl import zoo
from kerasdl.data.augment import compose
from kerasdl.errors import UserError
from kerasdl.recipe import RECIPES, Claim, Recipe, load, names, shipped
from kerasdl.tuning import search as searches

PLAIN = Recipe(model="vit", data="digits")
FULL = Recipe(name="full", model="vit", model_args={"size": "mu", "patch": 4, "drop": 0.1, "deep": True}, data="digits",
              data_args={"image_size": [8, 8]}, splits={"train": "train[:50%]"}, augment=("flip", ("pad_crop", 4)),
              epochs=3, lr=2e-3, warmup="5%", patience=2, claim=Claim(published=0.98, source="a paper"))

SHAPES = {"digits": (8, 8, 1), "mnist": (28, 28, 1), "cifar10": (32, 32, 3), "imagenet2012": (224, 224, 3)}


@pytest.mark.parametrize("pair, key, value", [
    ("epochs=3", "epochs", 3),
    ("lr=3e-4", "lr", 3e-4),
    ("lr=1", "lr", 1.0),
    ("warmup=100", "warmup", 100),
    ("warmup=3 epochs", "warmup", "3 epochs"),
    ("patience=null", "patience", None),
    ("patience=None", "patience", None),
    ("precision=mixed_bfloat16", "precision", "mixed_bfloat16"),
    ("augment=('flip', ('pad_crop', 2))", "augment", ("flip", ("pad_crop", 2))),
    ("augment=[]", "augment", ()),
    ("init=1", "init", "1"),
    ("splits.val=train[90%:]", "splits", {"train": "train[:50%]", "val": "train[90%:]"}),
    ("model_args.patch=2", "model_args", {"size": "mu", "patch": 2, "drop": 0.1, "deep": True}),
    ("model_args.drop=0", "model_args", {"size": "mu", "patch": 4, "drop": 0, "deep": True}),
    ("model_args.deep=false", "model_args", {"size": "mu", "patch": 4, "drop": 0.1, "deep": False}),
    ("model_args.heads=2", "model_args", {"size": "mu", "patch": 4, "drop": 0.1, "deep": True, "heads": 2}),
    ("model_args.size=20", "model_args", {"size": "20", "patch": 4, "drop": 0.1, "deep": True}),
    ("data_args.image_size=(4, 4)", "data_args", {"image_size": (4, 4)}),
    ("data_args.image_size=16", "data_args", {"image_size": 16}),
    ("model_args.patch=4.5", "model_args", {"size": "mu", "patch": 4.5, "drop": 0.1, "deep": True}),
])
def test_override_as_text(pair, key, value):
    changed = FULL.override(pair)
    assert getattr(changed, key) == value and type(getattr(changed, key)) is type(value)
    untouched = {name: field for name, field in changed if name != key}
    assert untouched == {name: field for name, field in FULL if name != key}


@pytest.mark.parametrize("before, pair, key, value", [
    ("model_args.drop=0", "model_args.drop=0.1", "drop", 0.1),
    ("data_args.image_size=16", "data_args.image_size=(16, 24)", "image_size", (16, 24)),
    ("private={'clip': 1, 'delta': 1e-5, 'epsilon': 8}", "private.epsilon=2.5", "epsilon", 2.5),
    ("objective_args.class_weight=balanced", "objective_args.class_weight={'3': 2.0}", "class_weight", {"3": 2.0}),
])
def test_a_value_may_be_of_another_kind_than_the_one_before(before, pair, key, value):
    changed = PLAIN.override(before).override(pair)
    assert value in [field.get(key) for _, field in changed if isinstance(field, dict)]


def test_settings_are_checked_by_their_class():
    with pytest.raises(UserError, match="private.epsilon: .*number.* Received: 'much'"):
        PLAIN.override("private={'clip': 1, 'delta': 1e-5, 'epsilon': 8}").override("private.epsilon=much")


def test_a_recipe_s_file_may_import_its_neighbours(tmp_path):
    (tmp_path / "beside_it.py").write_text("BATCH = 7\n")
    (tmp_path / "mine.py").write_text("from beside_it import BATCH\nfrom kerasdl import Recipe\n"
                                      "recipe = Recipe(model='mlp', data='digits', batch=BATCH)\n")
    assert load(tmp_path / "mine.py").batch == 7 and str(tmp_path) not in sys.path


def test_a_size_is_a_name_also_where_none_was_before():
    assert load("linear_digits").override("model=resnet", "model_args.size=8").model_args == {"size": "8"}


def test_new_data_gets_its_own_splits():
    for changed in (FULL.override("data=csv:my file=2.csv"), FULL.override(data="csv:my file=2.csv")):
        assert changed == FULL.model_copy(update={"data": "csv:my file=2.csv", "splits": {}})
    assert FULL.override("splits.val=test", "data=mnist").splits == {"val": "test"}
    assert FULL.override(f"data={FULL.data}").splits == FULL.splits


def test_override_as_values_merges_dictionaries_and_leaves_the_first_as_it_was():
    before = FULL.model_dump()
    changed = FULL.override("epochs=5", lr=1e-2, model_args={"size": "Ti"})
    assert (changed.epochs, changed.lr, changed.model_args["size"], changed.model_args["patch"]) == (5, 1e-2, "Ti", 4)
    assert FULL.override(model_args={}).model_args == FULL.override("model_args={}").model_args == {}
    assert FULL.model_dump() == before
    assert Recipe.model_fields["model_args"].get_default() == {}


@pytest.mark.parametrize("pair, words", [
    ("model_args.drop=true", ["model_args.drop", "float", "True"]),
    ("model_args.new=1e999", ["finite numbers"]),
    ("augment=(('mixup', -1e999),)", ["finite numbers"]),
    ("epoch=3", ["'epoch'", "'epochs'"]),
    ("modle_args.size=S", ["'modle_args'", "'model_args'"]),
    ("zzz=3", ["'zzz'", "weight_decay"]),
    ("epochs", ["key=value", "'epochs'"]),
    ("epochs=2.5", ["epochs", "integer", "2.5", "float"]),
    ("epochs=true", ["epochs", "integer", "True", "bool"]),
    ("epochs=0", ["epochs", "greater than 0"]),
    ("seed=-1", ["seed", "greater than or equal to 0"]),
    ("lr=fast", ["lr", "number", "'fast'", "str"]),
    ("lr=true", ["lr", "number", "True"]),
    ("lr=-1", ["lr", "greater than 0"]),
    ("lr=1e999", ["lr", "finite"]),
    ("optimizer_args.momentum=1.0", ["optimizer_args.momentum", "adamw", "betas"]),
    ("betas=(1.0, 0.999)", ["betas", "less than 1"]),
    ("model=3", ["model", "string", "3"]),
    ("optimizer=adam", ["optimizer", "'adamw'", "'adam'"]),
    ("augment=3", ["augment", "list", "3", "augment=flip"]),
    ("splits.vla=train", ["splits", "'val'", "'vla'"]),
    ("model_args=3", ["model_args", "dictionary", "3"]),
    ("model_args.patch=much", ["model_args.patch", "int (4)", "'much'", "str"]),
    ("model_args.patch=true", ["model_args.patch", "int (4)", "True", "bool"]),
    ("model_args.deep=1", ["model_args.deep", "bool (True)", "1", "int"]),
    ("model_args.drop=much", ["model_args.drop", "float (0.1)", "'much'"]),
    ("epochs.more=3", ["epochs has no parts", "epochs=VALUE"]),
])
def test_mistakes_say_what_was_expected_and_what_came(pair, words):
    with pytest.raises(UserError) as caught:
        FULL.override(pair)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_values_of_numpy_are_refused_before_anything_is_written():
    for value in (np.array(["3", "8"]), np.int64(5)):
        with pytest.raises(UserError, match="plain values of Python.*tolist"):
            FULL.override(data_args={"classes": value})


def test_a_claim_is_one_value():
    assert FULL.override(claim={"published": 0.5}).claim == Claim(published=0.5)
    assert FULL.override(claim=None).claim is None


def test_a_recipe_cannot_be_changed_in_place_and_takes_no_unknown_key():
    with pytest.raises(ValidationError, match="frozen"):
        PLAIN.epochs = 3
    with pytest.raises(ValidationError, match="epoch"):
        Recipe(model="vit", data="digits", epoch=3)
    with pytest.raises(ValidationError, match="publishd"):
        Claim(publishd=0.9)


@pytest.mark.parametrize("recipe", [PLAIN, FULL, *(recipe for recipe, _ in shipped())], ids=lambda recipe: recipe.name)
def test_json_there_and_back(recipe, tmp_path):
    file = tmp_path / "recipe.json"
    file.write_text(recipe.model_dump_json(indent=2))
    assert load(file) == recipe
    assert load(str(file)).model_dump_json() == recipe.model_dump_json()


def test_diff_is_what_differs():
    assert PLAIN.diff() == {"model": "vit", "data": "digits"}
    changed = PLAIN.override("epochs=3", "augment=('flip',)", "batch=128")
    assert changed.diff() == {"model": "vit", "data": "digits", "augment": ["flip"], "epochs": 3}
    lines = str(changed).splitlines()
    assert [line.split()[0] for line in lines] == ["model", "data", "augment", "epochs"]
    assert Recipe(**changed.diff()) == changed


@pytest.mark.parametrize("name", names())
def test_shipped_recipes(name):
    """Each is short, has a headline, and names a model and arguments that exist."""
    found, headline = next((recipe, line) for recipe, line in shipped() if recipe.name == name)
    source = (RECIPES / f"{name}.py").read_text()
    assert found == load(name) and headline and source.startswith(f'"""{headline}')
    assert len(source.splitlines()) <= 40
    assert found.model in zoo.NAMES
    parameters = inspect.signature(zoo.module(found.model).build).parameters
    assert set(found.model_args) <= {key for key, part in parameters.items() if part.kind is part.KEYWORD_ONLY}
    if "size" in found.model_args:
        module = zoo.module(found.model)
        assert found.model_args["size"] in (module.NETS[found.model_args["net"]] if hasattr(module, "NETS")
                                            else module).SIZES
    if found.augment:
        compose(found.augment, SHAPES[found.data])


def test_a_recipe_of_ones_own(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text('from kerasdl.recipe import load\nrecipe = load("vit_digits").override("epochs=3")')
    assert load(file) == load(str(file)) == load("vit_digits").override("epochs=3", name="mine")
    (tmp_path / "next.py").write_text(f"from kerasdl.recipe import load\nrecipe = load({str(file)!r})")
    (tmp_path / "named.py").write_text(file.read_text() + '.override(name="other")')
    assert [load(tmp_path / name).name for name in ("next.py", "named.py")] == ["next", "other"]
    assert load(PLAIN) is PLAIN


@pytest.mark.parametrize("name, text, words", [
    ("mine.py", "epochs = 3", ["must set `recipe", "NoneType"]),
    ("mine.py", "recipe = {'epochs': 3}", ["must set `recipe", "dict"]),
    ("mine.py", "recipe = (", ["SyntaxError", "line 1"]),
    ("mine.py", "import no_such_module", ["no_such_module"]),
    ("mine.py", "raise SystemExit('stop here')", ["SystemExit: stop here"]),
    ("mine.py", "recipe = Recipe(model='vit')", ["'Recipe' is not defined"]),
    ("mine.py", "from kerasdl.recipe import Recipe\nrecipe = Recipe(model='vit')", ["needs the key 'data'"]),
    ("mine.py", "from kerasdl.recipe import Recipe\nrecipe = Recipe(3)", ["TypeError"]),
    ("mine.py", "from kerasdl.recipe import Recipe\nrecipe = Recipe(model='vit', data='digits', batch_size=3)",
     ["no field 'batch_size'", "Did you mean 'batch'"]),
    ("mine.py", "from kerasdl.recipe import load\nrecipe = load('vit_digit')", ["'vit_digit'", "'vit_digits'"]),
    ("recipe.json", "{", ["does not hold a recipe"]),
    ("recipe.json", '{"model": "vit", "data": "digits", "epoch": 3}', ["Did you mean 'epochs'"]),
    ("recipe.json", '{"model": "vit"}', ["needs the key 'data'"]),
])
def test_files_that_hold_no_recipe(name, text, words, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as caught:
        load(tmp_path / name)
    message = str(caught.value)
    assert "\n" not in message and (name in message or "vit_digit" in message)
    for word in words:
        assert word.lower() in message.lower()


@pytest.mark.parametrize("load, words", [(load, "model=FILE.py:FUNCTION"), (searches.load, "build=build")])
def test_what_is_no_recipe_and_no_search_is_named(load, words):
    with pytest.raises(UserError, match=f"Received: function. .*{words}"):
        load(lambda shape, classes: None)


@pytest.mark.parametrize("text", ['[["translate", 1], "flip"]', '(("translate", 1), "flip")'])
def test_augmentation_on_a_command_line_is_a_list_or_a_tuple(text):
    assert load("cnn_digits").override(f"augment={text}").augment == (("translate", 1), "flip")
