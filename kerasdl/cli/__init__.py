"""The `kerasdl` command: a short function a verb, heavy imports inside; a mistake is one line and exit code 2."""

import io
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from kerasdl.cli.terminal import DEBUG, Backend, Often, Overrides, console, named, print_table, quiet, roomy
from kerasdl.cli.tune import tuning
from kerasdl.errors import UserError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Train, look at and reproduce the models of kerasdl. Add --debug to see a traceback.")
app.add_typer(tuning, name="tune")

RECIPE_HELP = "a recipe's name, a .py file or a run's recipe.json"
RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help=RECIPE_HELP)]
Workdir = Annotated[str | None, typer.Option(
    callback=named, help="the run's folder; an interrupted run's: go on with it")]
RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="a run's folder")]


@app.command("list")
def list_recipes() -> None:
    """The recipes that come with kerasdl."""
    from kerasdl import recipe

    table = Table("recipe", "model", "data", "what it is", box=None, header_style="bold")
    for found, headline in recipe.shipped():
        table.add_row(found.name, found.model, found.data, headline)
    print_table(table)
    console.print("\nSee one: kerasdl show NAME    Train one: kerasdl train NAME")


@app.command()
def show(recipe: RecipeName, overrides: Overrides = None) -> None:
    """A recipe as its difference from the defaults."""
    from kerasdl.recipe import load

    found = load(recipe).override(*overrides or [])
    console.print(str(found), soft_wrap=True)
    console.print(f"\nTrain it: kerasdl train {shlex.join([recipe, *(overrides or [])])}", soft_wrap=True)


@app.command()
def train(recipe: Annotated[str | None, typer.Argument(metavar="RECIPE", help=RECIPE_HELP)] = None,
          overrides: Overrides = None,
          workdir: Workdir = None,
          init: Annotated[str | None, typer.Option(metavar="RUN", callback=named,
                                                   help="begin with its weights that fit")] = None,
          resume: Annotated[str | None, typer.Option(metavar="RUN", callback=named,
                                                     help="go on with an interrupted run")] = None,
          backend: Backend = None,
          strategy: Annotated[str, typer.Option(help="auto, one, mirrored, multiworker or tpu")] = "auto",
          logical_cpus: Annotated[int | None, typer.Option(metavar="N", min=1, help="split the CPU into N devices")
                                  ] = None,
          checkpoint_every: Often = "5 min",
          feed: Annotated[str, typer.Option(help="auto, resident (examples on the device) or streamed")] = "auto",
          profile: Annotated[bool, typer.Option(help="tell first what bounds the speed")] = False,
          report: Annotated[bool, typer.Option(help="write report.html at the end")] = True) -> None:
    """Train a recipe: the run's folder gets the model, its numbers, curves and a report."""
    from kerasdl.installation.backend import choose

    changed, workdir = what_to_train(recipe, [*(overrides or []), *([f"init={init}"] if init else [])], workdir, resume)
    choose(backend)
    with quiet():
        from kerasdl import objectives
        from kerasdl.devices.strategy import is_chief
        from kerasdl.train.fit import train as fit
        if report:
            from kerasdl.reports.page import report as write_report
    run = fit(changed, workdir=workdir, strategy=strategy, logical_cpus=logical_cpus, checkpoint_every=checkpoint_every,
              feed=feed, profile=profile)
    if not is_chief(strategy):
        return
    for split in ("val", "test"):
        print_scores(split, run.result[split])
    if report:
        console.print(f"report  {write_report(run)}", soft_wrap=True)
    then = objectives.of(changed, run.path).next_command(run.path)
    console.print(f"run     {run.path}\nnext    {then}", soft_wrap=True)


def what_to_train(recipe: str | None, overrides: list[str], workdir: str | None, resume: str | None):
    """The recipe and the folder; a typing mistake is told before TensorFlow is imported.

    With `resume` the recipe is the run's own; what is given besides must agree with it.
    """
    from kerasdl.recipe import load
    from kerasdl.run import Run

    if resume is None:
        if recipe is None:
            raise UserError("Which recipe? See them with: kerasdl list")
        return load(recipe).override(*overrides), workdir
    if workdir is not None and Path(workdir) != Path(resume):
        raise UserError("--resume names the run's folder, and --workdir another one. Give one of the two.")
    if recipe is not None and "=" in recipe:
        recipe, overrides = None, [recipe, *overrides]
    base = Run.open(resume).recipe if recipe is None else load(recipe)
    changed = base.override(*overrides)
    Run.unfinished(resume, changed)
    return changed, resume


@app.command()
def reproduce(recipe: Annotated[str, typer.Argument(metavar="NAME", help="a recipe of the package")],
              overrides: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
              seeds: Annotated[int, typer.Option(help="how many that were not published", min=1)] = 3,
              workdir: Annotated[str | None, typer.Option(callback=named,
                                                          help="where the runs are; by default runs/reproduce-NAME")
                                 ] = None,
              backend: Backend = None) -> None:
    """Run a recipe as published with other seeds, and compare; exit code 1 if its number does not come out again."""
    from kerasdl.installation.backend import choose
    from kerasdl.published import reproduce

    if overrides:
        raise UserError(f"reproduce runs a recipe as it was published, without changes. Received: {overrides[0]}. "
                        f"To change it: kerasdl train {shlex.join([recipe, *overrides])}")
    reproduce.published(recipe)
    choose(backend)
    with quiet():
        import kerasdl.train.fit  # noqa: F401
    found = reproduce.reproduce(recipe, seeds, workdir)
    reproduce.show(console, found)
    if not found.succeeded:
        raise typer.Exit(1)


@app.command("results")
def show_results() -> None:
    """What every recipe of the package was measured to be, from the committed results."""
    from kerasdl import recipe
    from kerasdl.published import results

    recipes = [found for found, _ in recipe.shipped()]
    wrong: list[str] = []
    measured = results.read(recipes, wrong=wrong.append)
    table = Table(*results.HEAD, box=None, header_style="bold")
    for found in results.ordered(recipes):
        table.add_row(*results.table_row(found, measured.get(found.name, [])))
    print_table(table)
    waiting = ", ".join(found.name for found in recipes if results.template(found))
    console.print(f"\n{waiting}: for data of your own.", soft_wrap=True)
    for line, names in results.machines(measured).items():
        console.print(f"On {line}: {', '.join(names)}.", soft_wrap=True)
    for complaint in wrong:
        console.print(f"Left out: {complaint}.", soft_wrap=True)
    console.print("Run one again: kerasdl reproduce NAME")


@app.command()
def launch(recipe: RecipeName, overrides: Overrides = None,
           workers: Annotated[int, typer.Option(help="how many processes", min=1)] = 2,
           workdir: Workdir = None,
           checkpoint_every: Often = "5 min",
           report: Annotated[bool, typer.Option(help="write report.html at the end")] = True) -> None:
    """Train a recipe by several workers on this machine, to try what a cluster will do."""
    from kerasdl.devices.launch import launch as start
    from kerasdl.recipe import load

    changed = load(recipe).override(*overrides or [])
    words = [*(overrides or []), "--checkpoint-every", checkpoint_every, "--report" if report else "--no-report",
             *["--debug"] * DEBUG]
    raise typer.Exit(start(recipe, changed, words, workers, workdir))


@app.command("eval")
def evaluate_run(run: RunFolder,
                 split: Annotated[str, typer.Option(help="train, val or test; of a file or folder of --data also all"
                                                    )] = "test",
                 data: Annotated[str | None, typer.Option(help="other data: a name, csv:PATH or folder:PATH")] = None,
                 tta: Annotated[str | None, typer.Option(
                     help="flip: mean answer of image and mirror image; flip_shift: of shifted ones, too")] = None,
                 ) -> None:
    """Loss and metrics of a run's model on one split."""
    opened = open_run(run)
    with quiet():
        from kerasdl import objectives
        from kerasdl.evaluation.evaluate import evaluate
        from kerasdl.evaluation.splits import learned
        from kerasdl.train.fit import reference_classifier
    objective = objectives.of(opened.recipe, opened.path)
    reference = None if objective.reference() is None else reference_classifier(objective, learned(opened, data))
    print_scores(split, evaluate(opened, split, data=data, tta=tta, reference=reference))


@app.command()
def ensemble(runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="folders of two runs or more")],
             split: Annotated[str, typer.Option(help="to measure on: choose on val, then test once")] = "test",
             workdir: Annotated[str | None, typer.Option(callback=named, help="the ensemble's folder")] = None,
             out: Annotated[Path | None, typer.Option(metavar="FILE.keras", help="the model alone, too")] = None
             ) -> None:
    """Average the probabilities of several runs: one model, and what it is worth beside its members."""
    if out is not None and out.suffix != ".keras":
        raise UserError(f"--out is a .keras file. Received: {out}.")
    opened = [open_run(run) for run in runs]
    with quiet():
        from kerasdl import ensemble
        from kerasdl.text import typed
    made = ensemble.ensemble(opened, split, workdir)
    table = Table(split, *(name.replace("_", " ") for name in ensemble.SCORES), box=None, header_style="bold")
    for name, row in ensemble.table(made.result, split).iterrows():
        table.add_row(name, *(f"{value:.4f}" for value in row))
    print_table(table)
    if out is not None:
        ensemble.export(made, out)
        console.print(f"model   {out}", soft_wrap=True)
    console.print(f"run     {made.path}\nnext    kerasdl predict {typed(made.path)} FILE...", soft_wrap=True)


@app.command()
def predict(run: RunFolder, files: Annotated[list[str], typer.Argument(metavar="FILE...", help="images, or CSV files")],
            top: Annotated[int, typer.Option(help="how many classes to print", min=1)] = 3,
            resize: Annotated[bool, typer.Option(help="bring images to the model's size")] = False) -> None:
    """The most probable classes, with their probabilities, of images or of the rows of CSV files."""
    opened = open_run(run)
    with quiet():
        from kerasdl.evaluation.predict import predict as ask
    for name, answers in ask(opened, files, resize=resize, top=top):
        shown = "  ".join(f"{label} {value:.4f}" if label else f"{value:.6g}" for label, value in answers)
        console.print(f"{name}  {shown}", soft_wrap=True)


@app.command()
def sample(run: RunFolder,
           n: Annotated[int, typer.Option(help="how many images", min=1)] = 64,
           label: Annotated[str | None, typer.Option("--class", help="which class a conditional model makes")] = None,
           seed: Annotated[int, typer.Option(help="of the noise: the same seed, the same images", min=0)] = 0,
           out: Annotated[Path, typer.Option(help="the PNG to write")] = Path("samples.png")) -> None:
    """Images that a run's model makes, as one PNG."""
    opened = open_run(run)
    with quiet():
        from kerasdl.evaluation import samples
    samples.write(samples.sample(opened, n, label, seed), out)
    console.print(f"samples {out}", soft_wrap=True)


@app.command()
def report(run: RunFolder) -> None:
    """Write a run's report.html again."""
    opened = open_run(run)
    with quiet():
        from kerasdl.reports.page import report as write_report
    console.print(f"report  {write_report(opened)}", soft_wrap=True)


@app.command()
def plan(recipe: RecipeName, overrides: Overrides = None,
         on: Annotated[str, typer.Option(metavar="SLICE", help="v5e-1, v5e-8, v6e-4 and so on, or cpu")] = "v5e-1",
         batch: Annotated[int | None, typer.Option(help="examples a step, over all chips", min=1)] = None,
         backend: Annotated[str | None, typer.Option(help="tensorflow or jax; by default the first that compiles")
                            ] = None,
         price: Annotated[float | None, typer.Option(metavar="MONEY", help="of a chip for an hour")] = None,
         largest: Annotated[bool, typer.Option(help="search the largest batch: some compilations more")] = True,
         as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False) -> None:
    """What a recipe needs on a TPU, from its own training step compiled for chips that need not be there."""
    import json

    from kerasdl.plan import report
    from kerasdl.plan.planner import plan as make
    from kerasdl.recipe import load

    made = make(load(recipe).override(*overrides or []), on, batch=batch, backend=backend, price=price, search=largest)
    if as_json:
        print(json.dumps(made, indent=2))
    else:
        report.show(roomy(), made)


@app.command("doctor")
def examine() -> None:
    """Versions, devices, data folders, and what is wrong with any of them; exit code 1 if something is."""
    from kerasdl.installation import backend, doctor

    facts, problems, fails = doctor.preflight()
    if not fails:
        backend.choose()
        with quiet():
            more, found = doctor.examine()
        facts, problems = facts | more, problems + found
    for name, value in facts.items():
        console.print(f"{name:22}{value}", soft_wrap=True)
    for problem in problems:
        console.print(f"wrong: {problem}", soft_wrap=True, style="red")
    console.print("" if problems else "Nothing is wrong.")
    if problems:
        raise typer.Exit(1)


def open_run(path: str):
    from kerasdl.run import Run

    return Run.open(path)


def print_scores(split: str, scores: dict[str, float]) -> None:
    from kerasdl.text import figure

    shown = "  ".join(f"{name} {figure(value)}" for name, value in scores.items())
    console.print(f"{split:8}{shown}", soft_wrap=True)


def main() -> None:
    """The entry point. A UserError becomes one line and exit code 2; Ctrl-C exits with 130, which Typer sees to."""
    # TensorFlow convolves with oneDNN by itself only on processors with AVX512-VNNI or newer, and is slow on others
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # the name of a file or folder need not be text
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(arguments)
    except UserError as error:
        if DEBUG:
            raise
        print(f"kerasdl: {error}", file=sys.stderr)
        sys.exit(error.code)
    except OSError as error:  # a folder without permission, a name that is too long
        if DEBUG or not error.filename:
            raise
        print(f"kerasdl: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(UserError.code)
