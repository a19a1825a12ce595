"""What a training shows while it runs: a bar on a terminal, and a line for each epoch."""

import logging
from contextlib import suppress

import keras
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kerasdl.checkpoints.callback import steps_done
from kerasdl.logs import LogConsole

logger = logging.getLogger(__name__)


class ProgressBar(keras.callbacks.Callback):
    """Show the steps taken and the time left on a terminal, and log a line for each epoch.

    Args:
        epochs, steps: of the run, and of an epoch.
        start: the step at which this process began.
        console: where the bar stands; lines that are logged to it appear above the bar.
        bar: whether to show the bar.
        log: whether to log, which one worker of several does.
    """

    def __init__(self, epochs: int, steps: int, start: int, console: LogConsole, bar: bool, log: bool):
        super().__init__()
        self.epochs, self.start, self.total, self.log = epochs, start, epochs * steps, log
        self.bar = Progress(TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("steps,"),
                            TimeRemainingColumn(), TextColumn("left"), console=console, transient=True,
                            disable=not (bar and log and console.is_terminal))
        self.task = self.bar.add_task("training", completed=start, total=epochs * steps)

    def __enter__(self):
        self.bar.start()
        if self.start and self.log:
            logger.info("resuming after step %d of %d", self.start, self.total)
        return self

    def __exit__(self, *_):
        with suppress(OSError):
            self.bar.stop()

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update(self.task, completed=self.before + steps_done(self, batch))

    def on_epoch_begin(self, epoch, logs=None):
        self.before = self.bar.tasks[self.task].completed

    def on_epoch_end(self, epoch, logs=None):
        if self.log:
            shown = "  ".join(f"{name} {value:.4g}" for name, value in logs.items())
            logger.info("epoch %d/%d  %s", epoch + 1, self.epochs, shown)
