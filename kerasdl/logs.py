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

    @property
    def redraws(self) -> bool:
        """Whether it can show a bar: on a terminal that moves its cursor, and in no file, whatever FORCE_COLOR says."""
        return self.file.isatty() and self.is_terminal and not self.is_dumb_terminal

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
    then nothing is added. Handlers of the program that write elsewhere get every line, too.
    """
    before, console = LOGGER.level, next((handler.console for handler in LOGGER.handlers
                                          if isinstance(handler, LineHandler)), None)
    theirs = logging.getLogger().handlers
    added: list[logging.Handler] = []
    if console is None:
        console = LogConsole()
        if not any(map(is_on_terminal, theirs)):
            added = [LineHandler(console), *(one for one in theirs if type(one).__module__ != "absl.logging")]
    for handler in added:
        LOGGER.addHandler(handler)
    if added:
        LOGGER.propagate = False  # absl, which TensorFlow brings, may log to stderr at any time: every line once more
    LOGGER.setLevel(logging.INFO if verbose else logging.WARNING)
    try:
        yield console
    finally:
        LOGGER.setLevel(before)
        for handler in added:
            LOGGER.removeHandler(handler)
        if added:
            LOGGER.propagate = True


def is_on_terminal(handler: logging.Handler) -> bool:
    """Return whether a handler, Python's or rich's, writes to stderr or stdout."""
    stream = getattr(handler, "stream", None) or getattr(getattr(handler, "console", None), "file", None)
    return stream in (sys.stderr, sys.stdout)
