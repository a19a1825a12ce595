"""What the verbs of the `kerasdl` command share: the console, JSON, common options and quiet imports."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from kerasdl.errors import UserError

DEBUG = "--debug" in sys.argv


def named(param: typer.CallbackParam, path: str | None) -> str | None:
    """Return a path with ~ expanded: bash leaves it as it is in `--workdir=~/runs`.

    An empty one, which `--workdir "$UNSET"` gives, is refused: it would mean the current folder.
    """
    if path == "":
        raise UserError(f"{param.opts[0]} is empty. Name a folder, or leave it out.")
    return path and os.path.expanduser(path)


RECIPE_HELP = "name of a recipe, a .py file, or the folder of a run"
RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help=RECIPE_HELP)]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE",
                                                       help="changes, such as epochs=3 model_args.size=mu; see "
                                                            "kerasdl fields")]
RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="folder of a run")]
Workdir = Annotated[str | None, typer.Option(
    callback=named, help="folder of the run; an interrupted run in it is resumed")]
Backend = Annotated[str | None, typer.Option(
    help="tensorflow or jax; by default the backend Keras is configured for, and jax on a TPU")]
CheckpointEvery = Annotated[str, typer.Option(metavar="TIME", help="how often to save a checkpoint")]
WriteReport = Annotated[bool, typer.Option("--report/--no-report", help="write report.html at the end")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of text")]


def is_override(word: str) -> bool:
    """Return whether the first word of a command is KEY=VALUE, and not a path with "=" in it, year=2024/part.csv."""
    key, equals, _ = word.partition("=")
    return bool(equals) and not {":", "/"}.intersection(key) and not Path(word).exists()


def verbose() -> bool:
    """Return whether to log progress: not with -q or --quiet, which may stand anywhere on the command line."""
    return not {"-q", "--quiet"} & set(sys.argv[1:])


class PipeConsole(Console):
    """A console that prints names as they are, and lets the command finish if its reader has closed the pipe."""

    def __init__(self, width: int | None = None):
        super().__init__(highlight=False, markup=False, emoji=False, width=width)

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes at its end


console = PipeConsole()


def wide() -> Console:
    """Return a console for tables: the terminal, or one of 200 columns where stdout is a file or a pipe."""
    return console if console.is_terminal else PipeConsole(width=200)


def print_table(table: Table) -> None:
    wide().print(table)


def print_line(text: str) -> None:
    """Print a line of any length."""
    console.print(text, soft_wrap=True)


def print_field(name: str, value: object) -> None:
    """Print a line of two columns: "run     runs/vit_digits/..."."""
    print_line(f"{name:8}{value}")


def print_scores(split: str, scores: dict[str, float]) -> None:
    from kerasdl.text import figure

    print_field(split, "  ".join(f"{name} {figure(value)}" for name, value in scores.items()))


def print_json(value: Any) -> None:
    """Print one JSON document. Paths become strings; NaN and infinity, which JSON lacks, become null."""
    print_text(json.dumps(finite(value), indent=2, default=str))


def print_found(facts: dict[str, Any], report: Any, as_json: bool, show: Callable[[dict[str, Any]], None]) -> None:
    """Print what a verb found and where its page is, None without one: as JSON, or as `show` prints it."""
    if as_json:
        print_json(facts | {"report": report})
        return
    show(facts)
    if report:
        print_field("report", report)


def print_text(text: str) -> None:
    """Print a text of any length as it is. A console of rich takes half a second for a thousand lines."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        console.on_broken_pipe()


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as text, each column as wide as its longest cell."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                     for row in (head, *rows))


def finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value


@contextmanager
def quiet() -> Iterator[None]:
    """Import TensorFlow without what its libraries write to stderr before Python can configure them."""
    from kerasdl.installation import backend, lean, programs, versions

    versions.check()
    backend.check()
    programs.keep()
    if DEBUG:
        yield
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        lean.import_keras()
        import absl.logging
        import tensorflow

        absl.logging.set_verbosity("error")
        tensorflow.get_logger().setLevel("ERROR")  # it warns of retracing from the fifth model that predicts
        tensorflow.config.list_physical_devices()
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)
