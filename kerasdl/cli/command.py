"""The verbs of the command in the order of `kerasdl --help`, and its entry point."""

import io
import os
import sys
from collections.abc import Callable

import typer

from kerasdl.cli.doctor import check_installation
from kerasdl.cli.ensemble import average_runs
from kerasdl.cli.evaluate import evaluate_run
from kerasdl.cli.launch import launch_workers
from kerasdl.cli.list import list_recipes
from kerasdl.cli.plan import plan_recipe
from kerasdl.cli.predict import predict_files
from kerasdl.cli.report import report_run
from kerasdl.cli.reproduce import reproduce_recipe
from kerasdl.cli.results import show_results
from kerasdl.cli.sample import sample_images
from kerasdl.cli.show import show_recipe
from kerasdl.cli.terminal import DEBUG
from kerasdl.cli.train import train_recipe
from kerasdl.cli.tune import tuning
from kerasdl.errors import UserError
from kerasdl.logs import on_stderr

VERBS: dict[str, Callable[..., None]] = {
    "list": list_recipes, "show": show_recipe, "train": train_recipe, "eval": evaluate_run, "predict": predict_files,
    "sample": sample_images, "report": report_run, "ensemble": average_runs, "results": show_results,
    "reproduce": reproduce_recipe, "launch": launch_workers, "plan": plan_recipe, "doctor": check_installation}

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Train, evaluate and reproduce the models of kerasdl. Add --debug to see tracebacks.")
for verb, function in VERBS.items():
    app.command(verb)(function)
app.add_typer(tuning, name="tune")


def main() -> None:
    """Run the command. A UserError becomes one line and exit code 2; Typer turns Ctrl-C into exit code 130."""
    # TensorFlow turns oneDNN on by itself only for CPUs with AVX512-VNNI or newer; convolutions are slow without it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # the name of a file or folder need not be valid text
    try:
        with on_stderr():
            app([argument for argument in sys.argv[1:] if argument != "--debug"])
    except UserError as error:
        if DEBUG:
            raise
        fail(str(error))
    except OSError as error:  # a folder without permission, a name that is too long
        if DEBUG or not error.filename:
            raise
        fail(f"{error.filename}: {error.strerror}")


def fail(message: str) -> None:
    print(f"kerasdl: {message}", file=sys.stderr)
    sys.exit(UserError.code)
