"""What people type who come from other tools: every row of the table that a newcomer wrote, and its kin."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kerasdl import recipe_text, words
from kerasdl.cli import command as cli
from kerasdl.cli import completion
from kerasdl.cli.tune import tuning
from kerasdl.cli.weights import weights
from kerasdl.recipe import Recipe, load, names


@pytest.mark.parametrize("arguments, expected", [
    (["train", "vit_mnist", "--epochs", "1"], ["--epochs is no option", "Write epochs=1"]),
    (["train", "vit_mnist", "--learning-rate=0.1"], ["Write lr=0.1"]),
    (["train", "vit_mnist", "--batch_size", "--json"], ["Write batch=VALUE"]),
    (["tune", "mlp_digits_grid", "--epochs", "2"], ["Write epochs=2"]),
    (["train", "vit_mnist", "epochs", "1"], ["key=value", "'epochs'"]),
    (["train", "vit_mnist", "learning_rate=1"], ["'learning_rate'", "Did you mean 'lr'?"]),
    (["train", "vit_mnist", "batch_size=8"], ["'batch_size'", "Did you mean 'batch'?"]),
    (["train", "vit_mnist", "dropout=0.1"], ["Did you mean 'model_args.drop'?"]),
    (["train", "vit_mnist", "augment=3"], ["augment: expected a list", "augment=flip", "('flip', ('cutout', 8))"]),
    (["train", "vit_mnist", "optimizer=adam"], ["'adamw'", "'sgd'", "Adam is adamw with weight_decay=0"]),
    (["show", "vit_mnist", "model=vitt"], ["Unknown model 'vitt'", "'vit'"]),
    (["show", "vit_mnist", "model_args.size=tiny"], ["Unknown size 'tiny'", "mu, XS, Ti, S, B, L"]),
    (["show", "vit_mnist", "model_args.ptach=2"], ["'ptach'", "'patch'"]),
    (["show", "vit_mnist", "objective_args.x=2"], ["objective=classify has no setting", "label_smoothing"]),
    (["train", "vit_mnist", "loss=focal"], ["'loss'", "follows from the objective"]),
    (["train", "vit_mnist", "class_weight=balanced"], ["Did you mean 'objective_args.class_weight'?"]),
    (["train", "vit_mnist", "qqqq=1"], ["model_args", "kerasdl fields"]),
    (["resume", "runs/int"], ["Write: kerasdl train --resume runs/int"]),
    (["evaluate", "runs/int"], ["Write: kerasdl eval runs/int"]),
    (["fit", "vit_mnist"], ["Write: kerasdl train vit_mnist"]),
    (["show", "linear_digits", "augment=flp"], ["no augmentation 'flp'", "'flip'"]),
    (["train", "mlp_csv", "data=a/t.csv"], ["Write data=csv:a/t.csv"]),
    (["train", "vit_mnist", "validation_data=a"], ["from_arrays(x, y, val=(x_val, y_val))", "data_args.split=COLUMN"]),
    (["train", "vit_mnist", "pretrained=true"], ["model_args.weights", "kerasdl weights list"]),
    (["train", "vit_mnist", "--gpus", "2"], ["--gpus is no option", "--strategy mirrored"]),
    (["train", "vit_mnist", "--class-weight", "balanced"], ["Write objective_args.class_weight=balanced"]),
    (["export", "runs/a"], ["There is no run folder runs/a"]),
    (["runs", "--limit", "2"], ["No such option: --limit", "kerasdl runs --help"]),
    (["eval"], ["Missing argument 'RUN'", "kerasdl eval --help"]),
    (["list", "models"], ["unexpected extra argument"]),
    (["sample", "runs/a", "--n", "many"], ["Invalid value for '--n'"]),
    (["trian", "vit_mnist"], ["No such command 'trian'"]),
    (["fields", "learning_rate"], ["Did you mean 'lr'?"]),
    (["fields", "vti"], ["'vit'"]),
])
def test_a_word_of_another_tool_leads_to_the_right_one(refused, arguments, expected):
    refused(*arguments, words=expected)


def test_a_finished_run_is_not_trained_again_in_its_folder(refused, hard_run):
    refused("train", "linear_digits", "--workdir", hard_run.path,
            words=["already holds a finished run", "--workdir", f"--init {hard_run.path}"])


@pytest.mark.parametrize("typed", ["flip", "flip,", "[flip]", "('flip',)"])
def test_one_name_stands_for_a_list_of_one(typed):
    assert load("vit_mnist").override(f"augment={typed}").augment == ("flip",)
    assert load("vit_mnist").override("augment=flip,alternating_flip").augment == ("flip", "alternating_flip")
    assert Recipe(model="linear", data="digits", augment="flip").augment == ("flip",)


def test_every_alias_leads_to_a_key_that_exists():
    heads = {key.partition(".")[0] for key in words.FIELDS.values()}
    assert heads <= set(Recipe.model_fields)
    assert not set(words.FIELDS) & set(Recipe.model_fields)
    assert set(cli.ELSEWHERE) & (set(cli.VERBS) | {"tune"}) == set()


def test_options_of_verbs_are_no_settings_that_were_misspelt(command):
    done = command("train", "linear_digits", "--init", "nowhere", "--json")
    assert done.code == 2 and "nowhere" in done.err and "no option" not in done.err


# What a recipe looks like


def test_show_all_has_every_field(command):
    shown = command("show", "vit_mnist", "--all").out
    assert all(f"\n{field} " in f"\n{shown}" for field in Recipe.model_fields)
    assert "\nbatch           128" in shown and "\nbatch " not in command("show", "vit_mnist").out


@pytest.mark.parametrize("name", [name for name in names() if not name.endswith("imagenet")])
def test_show_python_is_a_file_that_gives_the_recipe_again(here, command, name):
    (here / "again.py").write_text(command("show", name, "epochs=3", "--python").out)
    again = load("again.py")
    assert again.override(epochs=3) == again
    same = load(name).override(epochs=3)
    assert again.model_copy(update={"name": same.name, "claim": same.claim}) == same


@pytest.mark.parametrize("overrides", [
    [], ["epochs=3", "lr=1e-05"], ["model_args.size=mu", "augment=('flip', ('cutout', 2))"], ["jit=None", "seed=3"],
    ["optimizer=sgd", "optimizer_args.momentum=0.5"], ["data=csv:a b.csv", "data_args.label=x"]])
def test_the_command_of_a_run_trains_its_recipe_again(overrides):
    recipe = load("vit_mnist").override(*overrides)
    typed = shlex.split(recipe_text.command(recipe, "runs/a"))
    assert typed[:3] == ["kerasdl", "train", "vit_mnist"]
    assert load(typed[2]).override(*typed[3:]) == recipe


def test_the_command_of_a_run_whose_settings_exclude_the_package_s(here):
    recipe = load("mlp_digits_dp")
    changed = recipe.model_copy(update={"private": {"clip": 1.0, "delta": 1e-4, "noise": 1.0}})  # and no epsilon
    assert recipe_text.command(changed, "runs/a") == "kerasdl train runs/a"


def test_a_python_file_of_a_recipe_holds_any_text(here):
    Path("mine.py").write_text(recipe_text.python(load("mlp_digits"), 'group=patient\\d+\\x and """more"""'))
    assert load("mine.py").model == "mlp"


def test_a_recipe_of_ones_own_is_trained_again_from_its_run():
    assert recipe_text.command(Recipe(name="mine", model="cnn", data="digits"), "runs/a b") == \
        "kerasdl train 'runs/a b'"
    assert recipe_text.command(load("vit_mnist"), "runs/a", "jax") == "kerasdl train vit_mnist --backend jax"
    assert recipe_text.command(load("vit_mnist"), "runs/a", "tensorflow") == "kerasdl train vit_mnist"


def test_the_folder_of_a_run_is_a_recipe(hard_run):
    assert load(hard_run.path) == load(str(hard_run.path)) == hard_run.recipe


def test_fields_of_recipe_optimizer_objective_model_and_augmentation(command):
    def shown(*words):
        return {row["name"]: row for row in json.loads(command("fields", *words, "--json").out)}

    assert list(shown()) == list(Recipe.model_fields)
    assert shown("lr")["lr"]["default"] == "0.001"
    assert list(shown("sgd")) == ["momentum"] and "label_smoothing" in shown("classify")
    assert "mu, XS, Ti" in shown("vit")["size"]["takes"] and shown("mlp")["width"]["meaning"]
    assert shown("augment")["cutout"]["default"] == "8, 'mean'"
    assert "kerasdl fields sgd" in command("fields").out


# The Tab key


def test_completion_knows_verbs_options_recipes_fields_runs_and_searches(here, hard_run):
    offers = completion.offers
    assert completion.field_names() == list(Recipe.model_fields)
    assert offers([], "tra") == ["train"] and "compare" in offers([], "")
    assert set(names()) <= set(offers(["train"], "")) and offers(["show"], "vit_dig") == ["vit_digits"]
    (here / "mine.py").touch()
    assert offers(["train"], "mine") == ["mine.py"] and offers(["train", "mlp_digits"], "epo") == ["epochs="]
    shutil.copytree(hard_run.path, "runs/one")
    for before in (["eval"], ["train", "--resume"], ["train", "vit_digits", "--init"], ["compare", "runs/x"]):
        assert offers(before, "") == ["runs/one"]
    Path("runs/search/trial").mkdir(parents=True)
    Path("runs/search/search.json").touch()
    shutil.copy("runs/one/recipe.json", "runs/search/trial")
    for before in (["tune", "mlp_digits_grid", "--resume"], ["tune", "--resume"], ["tune", "best"]):
        assert offers(before, "") == ["runs/search"]
    assert "runs/search" not in offers(["train", "--resume"], "")
    assert offers(["predict"], "runs/t") == [] and offers(["train"], "--workd") == ["--workdir"]
    assert offers(["tune"], "mlp_digits_g") == ["mlp_digits_grid"] and offers(["tune"], "bes") == ["best"]
    assert offers(["tune", "mlp_digits_grid"], "--tri") == ["--trials"] and "label" not in str(offers(["tune"], "l"))


def test_the_table_of_options_is_that_of_the_verbs():
    verbs = {**cli.VERBS, **{f"{name} {verb.name}": verb.callback for name, below in (("tune", tuning),
                                                                                      ("weights", weights))
                             for verb in below.registered_commands}}
    assert set(completion.OPTIONS) == set(verbs)
    for name, function in verbs.items():
        given = cli.options(function) - {"--help", "--json"}
        assert set(completion.OPTIONS[name].split()) == given, name
        assert "--json" in cli.options(function) or name == "launch"


@pytest.mark.parametrize("shell, variables, printed", [
    ("bash", {"COMP_WORDS": "kerasdl train vit_d", "COMP_CWORD": "2"}, "vit_digits\n"),
    ("bash", {"COMP_WORDS": "kerasdl train vit_digits 'open", "COMP_CWORD": "3"}, ""),
    ("zsh", {"_TYPER_COMPLETE_ARGS": "kerasdl train vit_d"}, "_arguments '*: :((\"vit_digits\"))'\n"),
    ("zsh", {"_TYPER_COMPLETE_ARGS": "kerasdl nothing "}, "_files\n"),
    ("fish", {"_TYPER_COMPLETE_ARGS": "kerasdl train vit_d", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
     "vit_digits\n"),
])
def test_the_tab_key_answers_without_typer_rich_and_keras(here, shell, variables, printed):
    code = ("import sys\nfrom kerasdl.cli import main\nmain()\n"
            "assert not {'typer', 'rich', 'pydantic', 'keras', 'tensorflow', 'numpy'} & set(sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
                          env=os.environ | variables | {completion.ASKED: f"complete_{shell}"})
    assert (done.stdout, done.stderr, done.returncode) == (printed, "", 0)


def test_version_and_quiet(command, capsys):
    from kerasdl import __version__

    assert command("--version").out == f"kerasdl {__version__}\n"
    loud, still = (command("train", "linear_digits", "epochs=1", "model_args={}", "--workdir", name, *flags)
                   for name, flags in (("loud", []), ("still", ["-q"])))
    assert "epoch 1/1" in loud.err
    assert loud.code == still.code == 0 and "accuracy" in still.out
