"""The package's log on stderr: plain lines, and warnings that say so."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

LOGGER = logging.getLogger("kerasdl")
LOGGER.addHandler(logging.NullHandler())


class LogConsole(Console):
    """A console on stderr that falls silent when nobody reads it any more, so that the training continues."""

    def __init__(self):
        super().__init__(file=sys.stderr, markup=False, emoji=False, highlight=False)

    def on_broken_pipe(self):
        self.quiet = True

    def print_line(self, text: str) -> None:
        """Print a line of any length."""
        try:
            self.print(text, soft_wrap=True)
        except OSError:  # a full disk under the log, a terminal that was closed
            self.quiet = True


class LineHandler(logging.Handler):
    """Write log records as lines for people: the message alone, after "warning: " where it is one."""

    def __init__(self, console: LogConsole):
        super().__init__(logging.INFO)
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.console.print_line(f"warning: {text}" if record.levelno >= logging.WARNING else text)


@contextmanager
def on_stderr(verbose: bool = True) -> Iterator[LogConsole]:
    """Show the package's log on stderr inside the block, and yield its console.

    Warnings are always shown, other lines if `verbose`. A program that logs to the terminal itself keeps its own form:
    then nothing is added.
    """
    before, console = LOGGER.level, next((handler.console for handler in LOGGER.handlers
                                          if isinstance(handler, LineHandler)), None)
    shown = console is not None or any(getattr(handler, "stream", None) in (sys.stderr, sys.stdout)
                                       for handler in logging.getLogger().handlers)
    handler = None if shown else LineHandler(LogConsole())
    console = console or (handler.console if handler else LogConsole())
    if handler:
        LOGGER.addHandler(handler)
        LOGGER.propagate = False  # absl, which TensorFlow brings, would print every line once more
    LOGGER.setLevel(logging.INFO if verbose else logging.WARNING)
    try:
        yield console
    finally:
        LOGGER.setLevel(before)
        if handler:
            LOGGER.removeHandler(handler)
            LOGGER.propagate = True
