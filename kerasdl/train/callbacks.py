"""What Keras does not have: honest timing, validation of the weights that are kept, and a stop that says where."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import keras
import numpy as np
from keras import ops

from kerasdl.checkpoints.callback import steps_done
from kerasdl.errors import UserError
from kerasdl.installation import backend

RATE = "The recipe has the learning rate: schedule=cosine, constant, onecycle or step, and warmup."
UNFIT = {  # callbacks of Keras that cannot work here: what does the same
    "ModelCheckpoint": "The run keeps the best epoch's model in model.keras (keep=best, monitor=SCORE). With "
                       "save_weights_only=True it works.",
    "LearningRateScheduler": RATE, "ReduceLROnPlateau": RATE,
    "BackupAndRestore": "The run saves its state (checkpoint_every) and resumes in its workdir.",
}


def checked(given: keras.callbacks.Callback | Sequence[keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
    """Return a user's callbacks, one or several, as a list.

    Raises:
        UserError: one that is none, or that would end or spoil the training.
    """
    found = list(given) if isinstance(given, (list, tuple)) else [given]
    for one in found:
        if not isinstance(one, keras.callbacks.Callback):
            raise UserError(f"callbacks are keras.callbacks.Callback objects. Received: {one!r}.")
        for name, instead in UNFIT.items():
            if isinstance(one, getattr(keras.callbacks, name)) and not getattr(one, "save_weights_only", False):
                raise UserError(f"keras.callbacks.{name} does not work in a run. {instead}")
    return found


class Timing(keras.callbacks.Callback):
    """Add learning_rate and examples_per_second to each epoch's logs.

    The rate is the mean of the epoch's steps. Speed counts training steps only: neither validation nor an epoch's first
    call, in which compilation or the filling of the pipeline would be measured. Where an epoch is one call, it is the
    speed of that call; NaN if this process made its first call then, and so compiled.

    Args:
        batch: examples of a step.
        rates: () -> the learning rate of each step of the run.
        steps: of an epoch.
    """

    def __init__(self, batch: int, rates: Callable[[], np.ndarray], steps: int):
        super().__init__()
        self.batch, self.rates_of_steps, self.steps, self.before = batch, cache(rates), steps, 0.0
        self.compile_seconds: float | None = None
        self.began: float | None = None
        self.speeds: list[float] = []
        self.called = self.compiled = False  # whether this process has made a call; whether this epoch made the first

    def resume(self, seconds: float, compile_seconds: float | None, speeds: list[float]) -> None:
        """Continue counting from what an interrupted run had."""
        self.before, self.compile_seconds, self.speeds = seconds, compile_seconds, list(speeds)

    def so_far(self) -> float:
        """Seconds of training until now."""
        return self.before + (time.perf_counter() - self.began if self.began else 0.0)

    def on_train_begin(self, logs=None):
        self.began = time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        self.calls, self.epoch_began = [], time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append((time.perf_counter(), steps_done(self, batch)))
        if not self.called:
            self.called = self.compiled = True
            if self.compile_seconds is None:
                self.compile_seconds = self.calls[0][0] - self.began

    def on_epoch_end(self, epoch, logs=None):
        now, steps = self.calls[-1]
        then, before = self.calls[0] if len(self.calls) > 1 else (self.epoch_began, 0)
        measured = len(self.calls) > 1 or not self.compiled
        speed = self.batch * (steps - before) / (now - then) if measured else math.nan
        if measured:
            self.speeds.append(speed)
        self.compiled = False
        rates = self.rates_of_steps()[epoch * self.steps:(epoch + 1) * self.steps]
        logs.update(examples_per_second=speed, learning_rate=float(np.mean(rates)))

    def on_train_end(self, logs=None):
        self.before, self.began = self.so_far(), None

    def summary(self) -> dict[str, float | None]:
        """Seconds of the fit with validation in it, of its first step, and the median epoch's examples a second."""
        first = None if self.compile_seconds is None else round(self.compile_seconds, 2)
        rate = round(statistics.median(self.speeds), 1) if self.speeds else None
        return {"seconds": round(self.before, 2), "compile_seconds": first, "examples_per_second": rate}


class BestWeights(keras.callbacks.Callback):
    """Validate the kept network (the average if there is one) after each epoch, and remember its best weights.

    Args:
        kept: the network to keep.
        validate: () -> its scores on the val split.
        monitor, goal: the score that decides, and whether "max" or "min" is better; then the loss if there is one, then
            the earlier epoch.
        patience: epochs without improvement after which training stops; None: never.
        keep: "best", or "last" for the last epoch's weights whatever their score.
        first: the first epoch, counted from 1, that may be the best.

    Attributes:
        scores: of the epoch whose weights are kept.
    """

    def __init__(self, kept: keras.Model, validate: Callable[[], dict[str, float]], monitor: str, goal: str,
                 patience: int | None = None, keep: str = "best", first: int = 1):
        super().__init__()
        self.kept, self.validate, self.monitor, self.sign = kept, validate, monitor, 1 if goal == "max" else -1
        self.patience, self.keep, self.first = patience, keep, first
        self.rank: tuple[float, float] | None = None
        self.best_epoch: int | None = None
        self.weights: list[np.ndarray] | None = None
        self.epochs = 0
        self.scores: dict[str, float] | None = None

    @property
    def enough(self) -> bool:
        """Whether patience has run out."""
        if not self.patience or self.best_epoch is None:
            return False
        return self.epochs - max(self.best_epoch, self.first) >= self.patience  # none before `first` can be the best

    def on_epoch_end(self, epoch, logs=None):
        self.epochs = epoch + 1
        scores = self.validate()
        logs.update({f"val_{name}": value for name, value in scores.items()})
        decides = scores[self.monitor]
        loss = scores.get("loss", decides)
        rank, finite = (self.sign * decides, -loss), math.isfinite(loss) and math.isfinite(decides)
        if not finite or self.epochs < self.first:
            rank = (-math.inf, -math.inf)  # NaN is no better than anything
        later = finite and self.epochs < self.first  # of those before `first` the last one is pruned most
        if self.rank is None or rank > self.rank or rank == self.rank and later:
            self.rank, self.best_epoch, self.weights, self.scores = rank, epoch + 1, self.kept.get_weights(), scores
        if self.keep == "last":
            self.scores = scores
        if self.enough:
            self.model.stop_training = True

    def restore(self) -> None:
        """Put the best epoch's weights back into the kept network."""
        self.kept.set_weights(self.weights)


class Diverged(UserError):
    """The loss became NaN or infinite."""


class StopOnNaN(keras.callbacks.Callback):
    """End the run at the first step whose loss is not finite; Keras' TerminateOnNaN still validates and saves.

    Args:
        steps: of an epoch.
        losses: {name in the logs: what it is}, of which the first that is not finite is reported.
    """

    def __init__(self, steps: int, losses: Mapping[str, str]):
        super().__init__()
        self.steps, self.losses = steps, losses

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):
            if backend.jax():
                self.model.jax_state_sync()  # within an epoch Keras carries the values, and the variables are empty
            step = int(ops.convert_to_numpy(self.model.optimizer.iterations))
            name = next((name for name in self.losses if not math.isfinite(logs[name])), "loss")
            raise Diverged(f"The {self.losses.get(name, name)} became {logs[name]} at step {step} "
                           f"(epoch {(step - 1) // self.steps + 1}). Lower lr, or add warmup.")
