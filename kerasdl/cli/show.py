"""`kerasdl show`: one recipe."""

import shlex

from kerasdl.cli.terminal import AsJson, Overrides, RecipeName, print_json, print_line


def show_recipe(recipe: RecipeName, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show a recipe: the settings that differ from the defaults."""
    from kerasdl.recipe import load

    found = load(recipe).override(*overrides or [])
    if as_json:
        print_json({"name": found.name, "changed": found.diff(), "recipe": found.model_dump(mode="json")})
        return
    print_line(str(found))
    print_line(f"\nTrain it: kerasdl train {shlex.join([recipe, *(overrides or [])])}")
