"""`kerasdl show`: one recipe."""

import shlex
from typing import Annotated

import typer

from kerasdl.cli.terminal import AsJson, Overrides, RecipeName, print_json, print_line, print_text, quiet
from kerasdl.errors import UserError


def show_recipe(recipe: RecipeName, overrides: Overrides = None,
                everything: Annotated[bool, typer.Option("--all", help="show the defaults, too")] = False,
                python: Annotated[bool, typer.Option(
                    "--python", help="print a Python file that sets the recipe")] = False,
                as_json: AsJson = False) -> None:
    """Show a recipe: the settings that differ from the defaults. Its names are checked as `train` checks them."""
    from kerasdl import recipe_text
    from kerasdl.recipe import headline, load, names
    from kerasdl.run import recipe_of

    found = recipe_of(recipe, overrides or [])
    if overrides or recipe not in names():
        check(found, load(recipe) if recipe in names() else None)
    if as_json:
        print_json({"name": found.name, "changed": found.diff(), "recipe": found.model_dump(mode="json")})
    elif python:
        about = headline(recipe).rstrip(".") if recipe in names() else found.name or found.model
        changed = f", with {shlex.join(overrides)}" if overrides else ""
        print_text(recipe_text.python(found, f"{about}{changed}.").removesuffix("\n"))
    else:
        fields = found.model_dump(mode="json") if everything else found.diff()
        print_line("\n".join(f"{key:16}{'null' if value is None else value}" for key, value in fields.items()))
        own = " data=csv:FILE data_args.label=COLUMN" * (found.data == "csv:data.csv")  # which waits for yours
        print_line(f"\nTrain it: kerasdl train {shlex.join([recipe, *(overrides or [])])}{own}")


def check(found, base) -> None:
    """Raise a UserError for a model or an objective that does not exist, or has no such argument.

    Args:
        found: the recipe.
        base: one that is known to be right; what is as there is not checked, because that would import Keras.
    """
    from kerasdl import user_code, zoo

    own = user_code.is_reference(found.model)
    if not own and found.model not in zoo.NAMES:
        raise UserError(zoo.unknown("model", found.model, zoo.NAMES))
    parts = ("model", "model_args", "objective", "objective_args", "augment")
    if base and all(getattr(found, key) == getattr(base, key) for key in parts):
        return
    with quiet():
        from kerasdl import objectives
        from kerasdl.data.augment import check_names
        objectives.of(found)
        check_names(found.augment)
        try:
            if own:
                zoo.check_args(user_code.load(found.model), found.model_args, found.model)
            else:
                zoo.check(found.model, found.model_args)
        except ValueError as error:
            raise UserError(str(error)) from None
