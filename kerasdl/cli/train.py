"""`kerasdl train`: from a recipe to a run."""

import logging
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from kerasdl.cli.terminal import (
    RECIPE_HELP,
    AsJson,
    Backend,
    CheckpointEvery,
    Overrides,
    Workdir,
    WriteReport,
    is_override,
    named,
    print_field,
    print_json,
    print_scores,
    print_table,
    quiet,
    verbose,
)
from kerasdl.errors import UserError

if TYPE_CHECKING:
    from kerasdl.recipe import Recipe

logger = logging.getLogger(__name__)


def train_recipe(recipe: Annotated[str | None, typer.Argument(metavar="RECIPE", help=RECIPE_HELP)] = None,
                 overrides: Overrides = None,
                 workdir: Workdir = None,
                 init: Annotated[str | None, typer.Option(
                     metavar="RUN", callback=named,
                     help="start from the weights of this run where layers match")
                 ] = None,
                 resume: Annotated[str | None, typer.Option(
                     metavar="RUN", callback=named,
                     help="resume this interrupted run")] = None,
                 backend: Backend = None,
                 strategy: Annotated[str, typer.Option(help="auto, one, mirrored, multiworker or tpu")] = "auto",
                 logical_cpus: Annotated[int | None, typer.Option(
                     metavar="N", min=1, help="split the CPU into N devices, to try --strategy mirrored")] = None,
                 checkpoint_every: CheckpointEvery = "5 min",
                 feed: Annotated[str, typer.Option(
                     help="auto, resident (keep the examples on the device) or streamed")] = "auto",
                 profile: Annotated[bool, typer.Option(
                     "--profile", help="profile a few steps first and report the bottleneck")] = False,
                 seeds: Annotated[int | None, typer.Option(
                     min=1, help="train with this many seeds, from the recipe's own on")] = None,
                 workers: Annotated[int, typer.Option(min=1, help="of --seeds, how many train at a time")] = 1,
                 ray: Annotated[str | None, typer.Option(
                     metavar="ADDRESS", help="train --seeds on a cluster of Ray: its address, auto, or local")] = None,
                 report: WriteReport = True,
                 as_json: AsJson = False) -> None:
    """Train a recipe. The run's folder gets the model, its scores, the training curves and a report."""
    from kerasdl.cli import preflight
    from kerasdl.installation.backend import choose
    from kerasdl.run import Run

    changed, workdir = what_to_train(recipe, [*(overrides or []), *([f"init={init}"] if init else [])], workdir, resume)
    done = Run.completed(workdir, changed) if seeds is None else None
    if not done:
        preflight.training(changed, workdir, strategy, checkpoint_every, seeds)
    choose(backend)
    if seeds is not None:
        if resume or profile:
            raise UserError("--seeds goes without --resume, as the same command resumes, and without --profile.")
        with_seeds(changed, seeds, workdir, workers, ray, report, as_json, strategy=strategy,
                   logical_cpus=logical_cpus, checkpoint_every=checkpoint_every, feed=feed)
        return
    if ray is not None or workers > 1:
        raise UserError("--ray and --workers are of several seeds: give --seeds N.")
    with quiet():
        from kerasdl import objectives
        from kerasdl.devices.strategy import is_chief
        from kerasdl.train.fit import train as fit
    run = done or fit(changed, workdir=workdir, strategy=strategy, logical_cpus=logical_cpus,
                      checkpoint_every=checkpoint_every, feed=feed, profile=profile, verbose=verbose())
    if not is_chief(strategy):
        return
    if done:
        logger.info("%s already holds this run, finished. To train it anew, choose another --workdir.", run.path)
    if not as_json:
        print_result(run.result, changed)
    page = run.path / "report.html" if report else None
    if page and not (done and page.is_file()):
        from kerasdl.reports.page import report as write_report  # now: training needs nothing of what draws it

        page = write_report(run)
    if as_json:
        print_json({"run": run.path, "report": page, "result": run.result})
        return
    if page:
        print_field("report", page)
    print_field("run", run.path)
    print_field("next", objectives.of(changed, run.path).next_command(run.path))


def print_result(result: dict[str, Any], recipe: "Recipe") -> None:
    """Print which epoch is kept, and the scores. An ensemble has no epochs, and a run of a search no test scores."""
    if result.get("best_epoch") and "train" in result:
        epochs = result["train"]["epochs"]
        print_field("kept", f"epoch {epochs if recipe.keep == 'last' else result['best_epoch']} of {epochs}")
    for split in ("val", "test"):
        if split in result:
            print_scores(split, result[split])


def with_seeds(recipe: "Recipe", count: int, workdir: str | None, workers: int, ray: str | None, report: bool,
               as_json: bool, **options: object) -> None:
    """Train a recipe with several seeds, and print the scores of each and of all together."""
    with quiet():
        from kerasdl.text import figure, typed
        from kerasdl.tuning.best import spread
        from kerasdl.tuning.seeds import train_seeds
    found = train_seeds(recipe, count, workdir, workers, ray=ray, verbose=verbose(),
                        again=shlex.join(["kerasdl", *sys.argv[1:]]), **options)
    if report:
        from kerasdl.reports.page import report as write_report
        from kerasdl.run import Run

        for run in found["runs"]:
            write_report(Run(Path(run)))
    if as_json:
        print_json(found)
        return
    scores = found["scores"]
    table = Table("seed", *scores, box=None, header_style="bold")
    for at, seed in enumerate(found["seeds"]):
        table.add_row(str(seed), *(figure(values[at]) for values in scores.values()))
    table.add_row("all", *map(spread, scores.values()))
    print_table(table)
    print_field("runs", Path(found["runs"][0]).parent)
    print_field("next", " ".join(["kerasdl compare", *map(typed, found["runs"])]))


def what_to_train(recipe: str | None, overrides: list[str], workdir: str | None, resume: str | None
                  ) -> "tuple[Recipe, str | None]":
    """Return the recipe and the run's folder. Typing mistakes are reported before TensorFlow is imported.

    With `resume` the recipe is that of the run; a recipe and overrides given as well must agree with it.
    """
    from kerasdl.recipe import load
    from kerasdl.run import Run, recipe_of

    if resume is None:
        if recipe is None:
            raise UserError("Which recipe? See them with: kerasdl list")
        return recipe_of(recipe, overrides, workdir), workdir
    if workdir is not None and Path(workdir) != Path(resume):
        raise UserError("--resume names the run's folder, and --workdir another one. Give one of the two.")
    if recipe is not None and is_override(recipe):
        overrides, recipe = [recipe, *overrides], None
    base = Run.open(resume).recipe if recipe is None else load(recipe)
    changed = base.override(*overrides)
    if not Run.completed(resume, changed):
        Run.unfinished(resume, changed)
    return changed, resume
