"""What a training shows while it runs: a bar on a terminal, a line for each epoch and, in a log, one every 30 s."""

import logging
import math
import time
from collections.abc import Mapping
from contextlib import suppress

import keras
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kerasdl.checkpoints.callback import steps_done
from kerasdl.logs import LogConsole
from kerasdl.text import duration, thousands

SILENCE = 30  # seconds after which a log that is not a terminal gets a line
logger = logging.getLogger(__name__)


class ProgressBar(keras.callbacks.Callback):
    """Show the steps taken and the time left on a terminal, and log a line for each epoch.

    Args:
        epochs, steps: of the run, and of an epoch.
        start: the step at which this process began.
        console: where the bar stands; lines that are logged to it appear above the bar.
        bar: whether to show the bar.
        log: whether to log, which one worker of several does.
        unit: what an example is called: "images", "rows".
    """

    def __init__(self, epochs: int, steps: int, start: int, console: LogConsole, bar: bool, log: bool, unit: str):
        super().__init__()
        self.epochs, self.steps, self.start, self.total, self.log = epochs, steps, start, epochs * steps, log
        self.unit, self.began = unit, time.monotonic()
        self.spoke = self.began
        self.bar = Progress(TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("steps,"),
                            TimeRemainingColumn(), TextColumn("left"), console=console, transient=True,
                            disable=not (bar and log and console.redraws))
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
        done = int(self.before) + steps_done(self, batch)
        self.bar.update(self.task, completed=done)
        if self.log and self.bar.disable and time.monotonic() - self.spoke >= SILENCE:
            epoch, step = divmod(done, self.steps)
            left = (time.monotonic() - self.began) / (done - self.start) * (self.total - done)
            if step:  # after the last one the epoch has a line of its own
                self._say(f"epoch {epoch + 1}/{self.epochs}  step {step}/{self.steps}  {scores(logs)}  "
                          f"{duration(left)} left")

    def on_epoch_begin(self, epoch, logs=None):
        self.before = self.bar.tasks[self.task].completed

    def on_epoch_end(self, epoch, logs=None):
        if self.log:
            speed = logs.get("examples_per_second", math.nan)
            measured = f"  {thousands(speed)} {self.unit}/s" * math.isfinite(speed)  # not in a call that compiled
            self._say(f"epoch {epoch + 1}/{self.epochs}  {scores(logs)}{measured}")

    def _say(self, line: str) -> None:
        logger.info(line)
        self.spoke = time.monotonic()


def scores(logs: Mapping[str, float]) -> str:
    """Return an epoch's numbers but its speed, those of the training first: "loss 0.1234  val_loss 0.2345"."""
    shown = {name: value for name, value in logs.items() if name != "examples_per_second"}
    names = sorted(shown, key=lambda name: (name == "learning_rate", name.startswith("val_")))
    return "  ".join(f"{name} {shown[name]:.4g}" for name in names)
