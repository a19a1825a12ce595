"""`kerasdl reproduce`: whether a published number holds."""

import shlex
from typing import Annotated

import typer

from kerasdl.cli.terminal import AsJson, Backend, console, named, print_json, quiet, verbose
from kerasdl.errors import UserError


def reproduce_recipe(recipe: Annotated[str, typer.Argument(metavar="NAME", help="a recipe of the package")],
                     overrides: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
                     seeds: Annotated[int, typer.Option(help="how many new seeds to train", min=1)] = 3,
                     workdir: Annotated[str | None, typer.Option(
                         callback=named, help="folder of the runs; by default runs/reproduce-NAME")] = None,
                     backend: Backend = None, as_json: AsJson = False) -> None:
    """Rerun a recipe with new seeds and test whether its published result is reproduced; exit code 1 if not."""
    from kerasdl.installation.backend import choose
    from kerasdl.published import reproduce

    if overrides:
        raise UserError(f"reproduce runs a recipe as published, without changes. Received: {overrides[0]}. "
                        f"To change it: kerasdl train {shlex.join([recipe, *overrides])}")
    reproduce.published(recipe)
    choose(backend)
    with quiet():
        import kerasdl.train.fit  # noqa: F401
    found = reproduce.reproduce(recipe, seeds, workdir, verbose=verbose())
    if as_json:
        print_json(reproduce.document(found))
    else:
        reproduce.show(console, found)
    if not found.succeeded:
        raise typer.Exit(1)
