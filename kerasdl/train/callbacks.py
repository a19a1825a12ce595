"""What Keras does not have: honest timing, validation of the weights that are kept, and a stop that says where."""

import math
import statistics
import sys
import time

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kerasdl.errors import UserError


class Timing(keras.callbacks.Callback):
    """Adds learning_rate and images_per_second to each epoch's logs.

    Speed counts training steps only: neither validation nor an epoch's first step, in which compilation or the filling
    of the pipeline would be measured.
    """

    def __init__(self, batch: int):
        super().__init__()
        self.batch, self.compile_seconds, self.rates = batch, None, []

    def on_train_begin(self, logs=None):
        self.began = time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        self.first = None

    def on_train_batch_end(self, batch, logs=None):
        self.now, self.step = time.perf_counter(), batch
        if self.first is None:
            self.first, self.first_step = self.now, batch
            if self.compile_seconds is None:
                self.compile_seconds = self.now - self.began

    def on_epoch_end(self, epoch, logs=None):
        if self.step > self.first_step:
            self.rates.append(self.batch * (self.step - self.first_step) / (self.now - self.first))
            logs["images_per_second"] = self.rates[-1]
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)

    def on_train_end(self, logs=None):
        self.seconds = time.perf_counter() - self.began

    def summary(self) -> dict[str, float | None]:
        """Seconds of the fit with validation in it, of its first step, and the median epoch's images a second."""
        rate = round(statistics.median(self.rates), 1) if self.rates else None
        return {"seconds": round(self.seconds, 2), "compile_seconds": round(self.compile_seconds, 2),
                "images_per_second": rate}


class Keep(keras.callbacks.Callback):
    """Validates the kept network (the average where there is one) after each epoch and remembers its best weights.

    Args:
        kept: the network to validate and to keep; compiled.
        data: validation batches.
        metric, goal: what decides, and whether "max" or "min" is better; then the loss, then the earlier epoch.
        patience: epochs without a better one after which training stops.
    """

    def __init__(self, kept: keras.Model, data, metric: str, goal: str, patience: int | None):
        super().__init__()
        self.kept, self.data, self.metric, self.sign = kept, data, metric, 1 if goal == "max" else -1
        self.patience = patience
        self.best, self.best_epoch, self.weights = None, None, None

    def on_epoch_end(self, epoch, logs=None):
        scores = self.kept.evaluate(self.data, return_dict=True, verbose=0)
        logs.update({f"val_{name}": value for name, value in scores.items()})
        rank = (self.sign * scores[self.metric], -scores["loss"])
        if not math.isfinite(scores["loss"]):
            rank = (-math.inf, -math.inf)  # NaN is no better than anything
        if self.best is None or rank > self.best:
            self.best, self.best_epoch, self.weights = rank, epoch + 1, self.kept.get_weights()
        elif self.patience and epoch + 1 - self.best_epoch >= self.patience:
            self.model.stop_training = True

    def restore(self) -> None:
        """Put the best epoch's weights back into the kept network."""
        self.kept.set_weights(self.weights)


class Diverged(UserError):
    """The loss became NaN or infinite."""


class StopOnNaN(keras.callbacks.Callback):
    """Ends the run at the first step whose loss is not finite; Keras' TerminateOnNaN goes on to validate and save."""

    def __init__(self, steps: int):
        super().__init__()
        self.steps = steps

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):
            step = self.epoch * self.steps + batch + 1
            raise Diverged(f"The loss became {logs['loss']} at step {step} (epoch {self.epoch + 1}). "
                           "Lower lr, or add warmup.")


class EpochScalars(keras.callbacks.TensorBoard):
    """TensorBoard scalars of epochs. Keras' callback makes summaries of every step too, and discards them: 1.2 ms."""

    def on_train_batch_begin(self, batch, logs=None):
        pass

    def on_train_batch_end(self, batch, logs=None):
        pass


class Narrator(keras.callbacks.Callback):
    """A progress bar with the time left on a terminal; a plain line an epoch there and in logs."""

    def __init__(self, epochs: int, steps: int, verbose: bool):
        super().__init__()
        self.epochs = epochs
        self.console = Console(file=sys.stderr, quiet=not verbose)
        self.bar = Progress(TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("steps,"),
                            TimeRemainingColumn(), TextColumn("left"), console=self.console, transient=True,
                            disable=not (verbose and self.console.is_terminal))
        self.task = self.bar.add_task("training", total=epochs * steps)

    def __enter__(self):
        self.bar.start()
        return self

    def __exit__(self, *_):
        self.bar.stop()

    def on_train_batch_end(self, batch, logs=None):
        self.bar.advance(self.task)

    def on_epoch_end(self, epoch, logs=None):
        shown = "  ".join(f"{name} {value:.4g}" for name, value in logs.items())
        self.console.print(f"epoch {epoch + 1}/{self.epochs}  {shown}", highlight=False, soft_wrap=True)
