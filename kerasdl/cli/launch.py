"""`kerasdl launch`: several workers on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from kerasdl.cli.terminal import DEBUG, CheckpointEvery, Overrides, RecipeName, Workdir, WriteReport, verbose


def launch_workers(recipe: RecipeName, overrides: Overrides = None,
                   workers: Annotated[int, typer.Option(help="number of processes", min=1)] = 2,
                   workdir: Workdir = None,
                   checkpoint_every: CheckpointEvery = "5 min",
                   report: WriteReport = True) -> None:
    """Train a recipe with several workers on this machine, to emulate a cluster."""
    from kerasdl.cli import preflight
    from kerasdl.devices.launch import launch
    from kerasdl.run import Run, recipe_of

    changed = recipe_of(recipe, overrides or [], workdir)
    if not Run.completed(workdir, changed):
        preflight.training(changed, workdir, checkpoint_every=checkpoint_every)
    words = [*(overrides or []), "--checkpoint-every", checkpoint_every, "--report" if report else "--no-report",
             *["--debug"] * DEBUG, *["-q"] * (not verbose())]
    raise typer.Exit(launch(recipe, changed, words, workers, None if workdir is None else Path(workdir)))
