"""Going on where a run was interrupted, at the step: every variable, what the callbacks know, and the files' rows."""

import os
import signal
import threading
import time
from pathlib import Path

import keras
import tensorflow as tf
from keras import ops

from kerasdl.checkpoints.checkpoint import Checkpoints, State
from kerasdl.devices import strategy as strategies
from kerasdl.errors import UserError
from kerasdl.files import whole, write_text
from kerasdl.installation import backend
from kerasdl.installation.tpu import installed
from kerasdl.train.callbacks import Keep, Timing, as_os_error, done

ASK_EVERY = 8  # steps between two questions to the other workers whether it is time to save


class Stopped(Exception):
    """The training was asked to stop, by SIGTERM or Ctrl-C, and has saved where it stood, if it could.

    Attributes:
        signal: the signal's number. The exit code that schedulers know is 128 + signal.
    """

    def __init__(self, signal: int, step: int, saved: bool):
        super().__init__(f"Stopped after step {step}{'' if saved else ', which could not be saved'}.")
        self.signal = signal


class StopSignal:
    """Within it SIGTERM and Ctrl-C only note themselves; a second Ctrl-C interrupts as ever."""

    number: int | None = None

    def __enter__(self) -> "StopSignal":
        self.before = {}
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number, frame) -> None:
        if self.number == number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number


class Saver(keras.callbacks.Callback):
    """Saves the whole state every so often, and at once when asked to stop; it stands last among the callbacks.

    A step that ends an epoch is saved after the epoch's validation, so that a state is always within an epoch or
    between two.

    Args:
        run: the run's folder. Each worker keeps its own checkpoints in it.
        model, kept: what is fitted, and the network that is kept.
        keep, timing: the callbacks that know more than variables do.
        steps: of an epoch.
        every: seconds between two checkpoints.
        devices: the strategy; several workers save at the same step.
    """

    def __init__(self, run: Path, model: keras.Model, kept: keras.Model, keep: Keep, timing: Timing, steps: int,
                 every: float, devices: tf.distribute.Strategy):
        super().__init__()
        self.checkpoints = Checkpoints(run / "checkpoint" / strategies.own_name(devices))
        self.fitted, self.kept, self.keep, self.timing = model, kept, keep, timing
        self.steps, self.every, self.devices = steps, every, devices
        self.ask_every = ASK_EVERY if strategies.describe(devices) == "multiworker" else 1
        self.stop, self.step, self.last, self.restored = StopSignal(), 0, time.monotonic(), None
        self.epoch_began, self.asked = 0, 0

    def go_on(self) -> int:
        """Restore the newest checkpoint that every worker has, and return its step; 0 where there is none.

        Raises:
            UserError: if the run began with another backend, or with versions of which the network has other weights;
                if some workers have checkpoints and no two of the same step, or another number of workers has.
        """
        mine = self.checkpoints.sound()
        held = strategies.of_all_workers(self.devices, (mine + [-1, -1])[:2])
        step = common(held)
        if step is None:
            lists = "; ".join(f"worker {i}: {[step for step in steps if step >= 0]}" for i, steps in enumerate(held))
            raise UserError(f"The workers hold checkpoints of different steps ({lists}). Copy one to every worker, "
                            f"or remove {self.checkpoints.folder.parent} everywhere to begin again.")
        root = self.checkpoints.folder.parent if strategies.own_name(self.devices) else self.checkpoints.folder
        if not step and any(root.glob("**/step-*.npz")):
            raise UserError(f"{root} has the checkpoints of another number of workers. Go on with as many as before, "
                            "or remove it to begin again.")
        if step:
            self._restore(step)
            self.checkpoints.drop_after(step)  # which other workers do not have; it would count among those kept
        return step

    def _restore(self, step: int) -> None:
        """Put the state of that step back into the variables and callbacks; metrics follow when the epoch begins."""
        arrays, facts = self.checkpoints.read(step)
        began = facts.get("backend", "tensorflow")
        if began != backend.current():
            raise UserError(f"The run began with {began}, and Keras computes with {backend.current()}. "
                            f"Go on with --backend {began}.")
        variables = self._variables()
        if facts["variables"] != forms(variables):
            wrote = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
            raise UserError(f"The checkpoint of step {step} was written by {wrote}, of which the network or the "
                            "optimizer has other weights than here. Go on with those versions, or start a new run.")
        for name, those in variables.items():
            for i, variable in enumerate(those):
                variable.assign(arrays[f"{name}/{i}"])
        self.restored = arrays if step % self.steps else None
        self.keep.weights = [arrays[f"best/{i}"] for i in range(facts["best_arrays"])] or None
        self.keep.best, self.keep.best_epoch = facts["best"] and tuple(facts["best"]), facts["best_epoch"]
        self.keep.epochs = step // self.steps
        self.timing.resume(facts["seconds"], facts["compile_seconds"], facts["rates"])
        self.step = step

    def _variables(self) -> dict[str, list[keras.Variable]]:
        """Everything that training changes: the networks, the average, the optimizers and the metrics."""
        network = self.fitted.variables
        shared = {id(variable) for variable in network}
        optimizers = getattr(self.fitted, "optimizers", [self.fitted.optimizer])  # of a model that has several
        return {"network": network, "optimizer": [each for one in optimizers for each in one.variables],
                "metrics": self.fitted.metrics_variables,
                "average": [variable for variable in self.kept.variables if id(variable) not in shared]}

    def _state(self) -> State:
        """A copy of everything, in memory."""
        if backend.jax():
            self.fitted.jax_state_sync()  # within an epoch Keras carries the values, and the variables are empty
        arrays = {f"{name}/{i}": ops.convert_to_numpy(variable).copy()
                  for name, variables in self._variables().items() for i, variable in enumerate(variables)}
        best = self.keep.weights or []
        arrays |= {f"best/{i}": weight for i, weight in enumerate(best)}
        return arrays, {"best": self.keep.best, "best_epoch": self.keep.best_epoch, "best_arrays": len(best),
                        "seconds": self.timing.so_far(), "compile_seconds": self.timing.compile_seconds,
                        "rates": self.timing.rates, "backend": backend.current(),
                        "versions": {name: installed(name) for name in ("kerasdl", "keras")},
                        "variables": forms(self._variables())}

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch_began = self.step
        if self.restored is not None:  # fit has just reset the metrics
            for i, variable in enumerate(self.fitted.metrics_variables):
                variable.assign(self.restored[f"metrics/{i}"])
            self.restored = None

    def on_train_batch_end(self, batch, logs=None):
        self.step = self.epoch_began + done(self, batch)
        if self.step % self.steps:
            self._save_if_due()

    def on_epoch_end(self, epoch, logs=None):
        self._save_if_due()

    def _save_if_due(self) -> None:
        if self.step - self.asked < self.ask_every and self.step % self.steps:
            return
        self.asked = self.step
        due = self.stop.number is not None or time.monotonic() - self.last >= self.every
        if not strategies.any_worker(self.devices, due):
            return
        self.checkpoints.save(self.step, self._state())
        self.last = time.monotonic()
        if strategies.any_worker(self.devices, self.stop.number is not None):
            saved = self.checkpoints.wait()
            raise Stopped(self.stop.number or signal.SIGTERM, self.step, saved)


def trim(folder: Path, epochs: int) -> None:
    """Cut metrics.csv and the TensorBoard files back to the first `epochs` epochs: the rest is coming again."""
    table = folder / "metrics.csv"
    if table.exists():
        lines = table.read_text().splitlines(keepends=True)
        if epochs:
            write_text(table, "".join(lines[:1 + epochs]))
        else:
            table.unlink()
    for file in folder.glob("tensorboard/**/events.out.tfevents.*"):
        if epochs:
            _trim_events(file, epochs)
        else:
            file.unlink()


def _trim_events(file: Path, epochs: int) -> None:
    """Keep the events of the epochs before; a last one that is cut short is left out."""
    kept = []
    try:
        for record in tf.data.TFRecordDataset(os.fspath(file)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            if not event.HasField("summary") or event.step < epochs:
                kept.append(record)
    except tf.errors.DataLossError:
        pass
    with as_os_error(), whole(file) as partial, tf.io.TFRecordWriter(os.fspath(partial)) as writer:
        for record in kept:
            writer.write(record)


def forms(variables: dict[str, list[keras.Variable]]) -> dict[str, list]:
    """How many variables of which shape there are, and what those of the network are called in their layers."""
    return {name: [[*([variable.name] if name == "network" else []), *variable.shape] for variable in those]
            for name, those in variables.items()}


def common(held: list[list[int]]) -> int | None:
    """The newest step of which every worker holds a checkpoint; 0 where none holds any, None where they disagree."""
    sets = [set(steps) - {-1} for steps in held]
    if not any(sets):
        return 0
    return max(set.intersection(*sets), default=None)
