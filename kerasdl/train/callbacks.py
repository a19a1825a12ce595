"""What Keras does not have: honest timing, validation of the weights that are kept, and a stop that says where."""

import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kerasdl.errors import UserError


def done(callback: keras.callbacks.Callback, batch: int) -> int:
    """Steps of this fit's epoch that have been taken when Keras says that its batch number `batch` ends.

    Keras counts executions of `steps_per_execution` steps, of which an epoch's last one may be shorter.
    """
    return min(batch + 1, callback.params["steps"])


class Timing(keras.callbacks.Callback):
    """Adds learning_rate and images_per_second to each epoch's logs.

    Speed counts training steps only: neither validation nor an epoch's first call, in which compilation or the filling
    of the pipeline would be measured. Where an epoch is one call, it is the speed of that call, but for the first.
    """

    def __init__(self, batch: int):
        super().__init__()
        self.batch, self.compile_seconds, self.rates = batch, None, []
        self.before, self.began = 0.0, None
        self.called = self.compiled = False  # whether this process has made a call; whether this epoch made the first

    def resume(self, seconds: float, compile_seconds: float | None, rates: list[float]) -> None:
        """Go on counting from what an interrupted run had."""
        self.before, self.compile_seconds, self.rates = seconds, compile_seconds, list(rates)

    def so_far(self) -> float:
        """Seconds of training until now."""
        return self.before + (time.perf_counter() - self.began if self.began else 0.0)

    def on_train_begin(self, logs=None):
        self.began = time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        self.calls, self.epoch_began = [], time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append((time.perf_counter(), done(self, batch)))
        if not self.called:
            self.called = self.compiled = True
            if self.compile_seconds is None:
                self.compile_seconds = self.calls[0][0] - self.began

    def on_epoch_end(self, epoch, logs=None):
        now, steps = self.calls[-1]
        then, before = self.calls[0] if len(self.calls) > 1 else (self.epoch_began, 0)
        logs["images_per_second"] = self.batch * (steps - before) / (now - then)
        if len(self.calls) > 1 or not self.compiled:
            self.rates.append(logs["images_per_second"])
        self.compiled = False
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)

    def on_train_end(self, logs=None):
        self.before, self.began = self.so_far(), None

    def summary(self) -> dict[str, float | None]:
        """Seconds of the fit with validation in it, of its first step, and the median epoch's images a second."""
        rate = round(statistics.median(self.rates), 1) if self.rates else None
        return {"seconds": round(self.before, 2), "compile_seconds": round(self.compile_seconds, 2),
                "images_per_second": rate}


class Keep(keras.callbacks.Callback):
    """Validates the kept network (the average where there is one) after each epoch and remembers its best weights.

    Args:
        kept: the network to keep.
        validate: () -> its scores on the val split.
        metric, goal: what decides, and whether "max" or "min" is better; then the loss if there is one, then the
            earlier epoch.
        patience: epochs without a better one after which training stops.
    """

    def __init__(self, kept: keras.Model, validate: Callable[[], dict[str, float]], metric: str, goal: str,
                 patience: int | None):
        super().__init__()
        self.kept, self.validate, self.metric, self.sign = kept, validate, metric, 1 if goal == "max" else -1
        self.patience = patience
        self.best, self.best_epoch, self.weights, self.epochs = None, None, None, 0

    @property
    def enough(self) -> bool:
        """Whether patience has run out."""
        return bool(self.patience and self.epochs and self.epochs - self.best_epoch >= self.patience)

    def on_epoch_end(self, epoch, logs=None):
        self.epochs = epoch + 1
        scores = self.validate()
        logs.update({f"val_{name}": value for name, value in scores.items()})
        decides = scores[self.metric]
        loss = scores.get("loss", decides)
        rank = (self.sign * decides, -loss)
        if not math.isfinite(loss):
            rank = (-math.inf, -math.inf)  # NaN is no better than anything
        if self.best is None or rank > self.best:
            self.best, self.best_epoch, self.weights = rank, epoch + 1, self.kept.get_weights()
        if self.enough:
            self.model.stop_training = True

    def restore(self) -> None:
        """Put the best epoch's weights back into the kept network."""
        self.kept.set_weights(self.weights)


class Diverged(UserError):
    """The loss became NaN or infinite."""


class StopOnNaN(keras.callbacks.Callback):
    """Ends the run at the first step whose loss is not finite; Keras' TerminateOnNaN goes on to validate and save.

    Args:
        steps: of an epoch.
        losses: {name in the logs: what it is}, of which the first that is not finite is told.
    """

    def __init__(self, steps: int, losses: Mapping[str, str]):
        super().__init__()
        self.steps, self.losses = steps, losses

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):
            step = int(ops.convert_to_numpy(self.model.optimizer.iterations))
            name = next((name for name in self.losses if not math.isfinite(logs[name])), "loss")
            raise Diverged(f"The {self.losses.get(name, name)} became {logs[name]} at step {step} "
                           f"(epoch {(step - 1) // self.steps + 1}). Lower lr, or add warmup.")


@contextmanager
def as_os_error():
    """Within it TensorFlow only writes files: its error is the OSError that Python would have raised."""
    try:
        yield
    except tf.errors.OpError as error:  # "FILE; No space left on device\n\tFailed to ..."
        raise OSError(error.message.splitlines()[0].rpartition("; ")[2]) from error


class EpochScalars(keras.callbacks.TensorBoard):
    """TensorBoard scalars of epochs. Keras' callback makes summaries of every step too, and discards them: 1.2 ms."""

    @as_os_error()
    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)

    @as_os_error()
    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)

    def on_train_batch_begin(self, batch, logs=None):
        pass

    def on_train_batch_end(self, batch, logs=None):
        pass


class EpochPictures(keras.callbacks.Callback):
    """A TensorBoard image an epoch, of what the network makes then; on disk when the epoch ends."""

    TAG = "samples"

    def __init__(self, folder: Path, draw: Callable[[], np.ndarray]):
        super().__init__()
        self.folder, self.draw, self.writer = folder, draw, None

    @as_os_error()
    def on_epoch_end(self, epoch, logs=None):
        self.writer = self.writer or tf.summary.create_file_writer(str(self.folder / self.TAG))
        with self.writer.as_default():
            tf.summary.image(self.TAG, self.draw()[None], step=epoch)

    @as_os_error()
    def on_train_end(self, logs=None):
        if self.writer:
            self.writer.close()
            self.writer = None


class Teller(Console):
    """A console on stderr that falls silent when nobody reads it any more: the training goes on."""

    def on_broken_pipe(self):
        self.quiet = True

    def tell(self, line: str) -> None:
        """Print a line, as long as it is."""
        try:
            self.print(line, highlight=False, soft_wrap=True)
        except OSError:  # a full disk under the log, a terminal that was closed
            self.quiet = True


class Narrator(keras.callbacks.Callback):
    """A progress bar with the time left on a terminal; a plain line an epoch there and in logs."""

    def __init__(self, epochs: int, steps: int, start: int, verbose: bool):
        super().__init__()
        self.epochs, self.start, self.total = epochs, start, epochs * steps
        self.console = Teller(file=sys.stderr, quiet=not verbose)
        self.bar = Progress(TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("steps,"),
                            TimeRemainingColumn(), TextColumn("left"), console=self.console, transient=True,
                            disable=not (verbose and self.console.is_terminal))
        self.task = self.bar.add_task("training", completed=start, total=epochs * steps)

    def __enter__(self):
        self.bar.start()
        if self.start:
            self.console.tell(f"going on after step {self.start} of {self.total}")
        return self

    def __exit__(self, *_):
        with suppress(OSError):
            self.bar.stop()

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update(self.task, completed=self.before + done(self, batch))

    def on_epoch_begin(self, epoch, logs=None):
        self.before = self.bar.tasks[self.task].completed

    def on_epoch_end(self, epoch, logs=None):
        shown = "  ".join(f"{name} {value:.4g}" for name, value in logs.items())
        self.console.tell(f"epoch {epoch + 1}/{self.epochs}  {shown}")
