"""`kerasdl list`: the recipes of the package."""

from rich.table import Table

from kerasdl.cli.terminal import AsJson, print_json, print_line, print_table


def list_recipes(as_json: AsJson = False) -> None:
    """List the recipes of the package."""
    from kerasdl import recipe

    if as_json:
        print_json([{"name": found.name, "model": found.model, "data": found.data, "objective": found.objective,
                     "summary": headline} for found, headline in recipe.shipped()])
        return
    table = Table("recipe", "model", "data", "summary", box=None, header_style="bold")
    for found, headline in recipe.shipped():
        table.add_row(found.name, found.model, found.data, headline)
    print_table(table)
    print_line("\nSee one: kerasdl show NAME    Train one: kerasdl train NAME")
