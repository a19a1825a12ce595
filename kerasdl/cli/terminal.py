"""What all verbs of the `kerasdl` command share: the console, options, and quiet imports."""

import os
import sys
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from kerasdl.errors import UserError

DEBUG = "--debug" in sys.argv
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="epochs=3 model_args.size=mu")]
Backend = Annotated[str | None, typer.Option(help="tensorflow or jax; by default Keras' own, and jax on a TPU")]
Often = Annotated[str, typer.Option(metavar="TIME", help="how often to save the state")]

PLAIN = {"highlight": False, "markup": False, "emoji": False}  # a folder's name is printed as it is


class Steady(Console):
    """A console whose command goes on when nobody reads it any more, as with `kerasdl train | grep -q`."""

    def on_broken_pipe(self):
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes when it ends


console = Steady(**PLAIN)


def named(param: typer.CallbackParam, path: str | None) -> str | None:
    """The callback of an option that names a folder: as "$UNSET" it would be the current one."""
    if path == "":
        raise UserError(f"{param.opts[0]} is empty. Name a folder, or leave it out.")
    return path


def roomy() -> Console:
    """The terminal, and in a pipe a console as wide as few tables are."""
    return console if console.is_terminal else Steady(**PLAIN, width=200)


def print_table(table: Table) -> None:
    roomy().print(table)


@contextmanager
def quiet():
    """Import TensorFlow without what its libraries write to stderr before Python can configure them."""
    from kerasdl.installation import backend, versions

    versions.check()
    backend.check()
    if DEBUG:
        yield
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        import absl.logging
        import tensorflow

        absl.logging.set_verbosity("error")
        tensorflow.get_logger().setLevel("ERROR")  # it warns of each network that predicts after the fourth
        tensorflow.config.list_physical_devices()
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)
