"""`kerasdl plan`: what a recipe needs on a TPU."""

from typing import Annotated

import typer

from kerasdl.cli.terminal import AsJson, Overrides, RecipeName, print_json, wide


def plan_recipe(recipe: RecipeName, overrides: Overrides = None,
                on: Annotated[str, typer.Option(metavar="SLICE", help="such as v5e-1, v5e-8, v6e-4; or cpu")
                              ] = "v5e-1",
                batch: Annotated[int | None, typer.Option(help="examples per step, over all chips", min=1)] = None,
                backend: Annotated[str | None, typer.Option(
                    help="backend of the step: tensorflow (default) or jax")] = None,
                price: Annotated[float | None, typer.Option(metavar="MONEY", help="price of one chip-hour")] = None,
                largest: Annotated[bool, typer.Option(
                    help="also search for the largest batch, which takes several compilations")] = True,
                as_json: AsJson = False) -> None:
    """Estimate memory and time of a recipe's training step on a TPU by compiling it; no TPU is needed."""
    from kerasdl.plan import report
    from kerasdl.plan.planner import plan
    from kerasdl.run import recipe_of

    made = plan(recipe_of(recipe, overrides or []), on, batch=batch, backend=backend, price=price, search=largest)
    if as_json:
        print_json(made)
    else:
        report.show(wide(), made)
