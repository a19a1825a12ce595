"""Exact resume, at the step: every variable and what the callbacks know are saved and restored."""

import logging
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kerasdl.checkpoints.files import Checkpoints, State
from kerasdl.checkpoints.signals import Stopped, StopSignal
from kerasdl.devices import cluster as strategies
from kerasdl.devices.strategy import describe
from kerasdl.errors import UserError
from kerasdl.installation import backend
from kerasdl.installation.tpu import installed

logger = logging.getLogger(__name__)
ASK_EVERY = 8  # steps between two questions to the other workers whether it is time to save


class CheckpointCallback(keras.callbacks.Callback):
    """Save the whole state at intervals, and at once when asked to stop. It must be the last callback.

    A step that ends an epoch is saved after the epoch's validation, so that a state is always within an epoch or
    between two.

    Args:
        run: the run's folder. Each worker keeps its own checkpoints in it.
        model, kept: what is fitted, and the network that is kept.
        best, timing: the callbacks that know more than variables do; see kerasdl.train.callbacks.
        steps: of an epoch.
        every: seconds between two checkpoints.
        devices: the strategy; several workers save at the same step.
        stop_after: the epoch after which to save and stop; None: the training ends by itself.

    Attributes:
        ended: whether the training has ended, so that only the scores are to be measured.
        versions: of the packages with which the run began, and of those with which it went on.
    """

    def __init__(self, run: Path, model: keras.Model, kept: keras.Model, best: Any, timing: Any, steps: int,
                 every: float, devices: tf.distribute.Strategy, stop_after: int | None = None):
        super().__init__()
        self.checkpoints = Checkpoints(run / "checkpoint" / strategies.worker_id(devices), run / "metrics.csv")
        self.fitted, self.kept, self.best, self.timing = model, kept, best, timing
        self.stop_after = stop_after
        self.steps, self.every, self.devices = steps, every, devices
        self.ask_every = ASK_EVERY if describe(devices) == "multiworker" else 1
        self.stop, self.step, self.saved_at = StopSignal(), 0, time.monotonic()
        self.restored: Mapping[str, np.ndarray] | None = None
        self.epoch_began, self.asked, self.ended = 0, 0, False
        self.versions = [versions()]

    def restore(self) -> int:
        """Restore the newest checkpoint that every worker has, and return its step; 0 if there is none.

        Raises:
            UserError: if the run began with another backend, or with versions of which the network has other weights;
                if some workers have checkpoints and no two of the same step, or another number of workers has.
        """
        mine = self.checkpoints.sound()
        held = strategies.all_gather_ints(self.devices, (mine + [-1, -1])[:2])
        step = common(held)
        if step is None:
            lists = "; ".join(f"worker {i}: {[step for step in steps if step >= 0]}" for i, steps in enumerate(held))
            raise UserError(f"The workers hold checkpoints of different steps ({lists}). Copy one to every worker, "
                            f"or remove {self.checkpoints.folder.parent} everywhere to start over.")
        root = self.checkpoints.folder.parent if strategies.worker_id(self.devices) else self.checkpoints.folder
        if not step and any(root.glob("**/step-*.npz")):
            raise UserError(f"{root} has the checkpoints of another number of workers. Resume with as many as before, "
                            "or remove it to start over.")
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
                            f"Resume with --backend {began}.")
        variables = self._variables()
        if facts["variables"] != forms(variables):
            wrote = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
            raise UserError(f"The checkpoint of step {step} was written by {wrote}, of which the network or the "
                            "optimizer has other weights than here. Resume with those versions, or start a new run.")
        for name, those in variables.items():
            for i, variable in enumerate(those):
                variable.assign(arrays[f"{name}/{i}"])
        self.ended = facts.get("ended", False)
        self._note_versions(facts)
        self.restored = arrays if step % self.steps and not self.ended else None
        self.best.weights = [arrays[f"best/{i}"] for i in range(facts["best_arrays"])] or None
        self.best.rank, self.best.best_epoch = facts["best"] and tuple(facts["best"]), facts["best_epoch"]
        self.best.scores = facts.get("best_scores")
        done = step // self.steps
        self.best.epochs = facts.get("epochs", done) if self.ended else done  # the last one may have been cut short
        self.timing.resume(facts["seconds"], facts["compile_seconds"], facts["rates"])
        self.step = step

    def _note_versions(self, facts: Mapping[str, Any]) -> None:
        """Keep the versions that the state was made with, and tell of those that are others now."""
        was, now = facts["versions"], versions()
        changed = [f"{name} {was[name]} -> {now.get(name)}" for name in was if was[name] != now.get(name)]
        self.versions = [*facts.get("earlier", []), *([was] if changed else []), now]
        if changed:
            logger.warning("The run began with other versions, so that its numbers may be others than those of a run "
                           "without an interruption: %s.", ", ".join(changed))

    def finish(self) -> None:
        """Save the state once the training has ended, so that a stop while the scores are measured loses nothing.

        Raises:
            Stopped: if that was asked for meanwhile.
        """
        if not self.ended:
            self.ended = True
            self.checkpoints.save(self.step, self._state())
        saved = self.checkpoints.wait()
        if strategies.any_of(self.devices, self.stop.number is not None):
            raise Stopped(self.stop.number or signal.SIGTERM, self.step, saved)
        self.stop.saved_step = self.step

    def discard(self) -> None:
        """Remove this worker's checkpoints once all come here, of whom the first has written the result before."""
        with strategies.collective_errors(self.devices):
            strategies.any_of(self.devices, False)
        shutil.rmtree(self.checkpoints.folder, ignore_errors=True)

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
        best = self.best.weights or []
        arrays |= {f"best/{i}": weight for i, weight in enumerate(best)}
        return arrays, {"best": self.best.rank, "best_epoch": self.best.best_epoch, "best_arrays": len(best),
                        "best_scores": self.best.scores, "epochs": self.best.epochs,
                        "seconds": self.timing.so_far(), "compile_seconds": self.timing.compile_seconds,
                        "rates": self.timing.speeds, "backend": backend.current(),
                        "versions": self.versions[-1], "earlier": self.versions[:-1], "ended": self.ended,
                        "variables": forms(self._variables())}

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch_began = self.step
        if self.restored is not None:  # fit has just reset the metrics
            for i, variable in enumerate(self.fitted.metrics_variables):
                variable.assign(self.restored[f"metrics/{i}"])
            self.restored = None

    def on_train_batch_end(self, batch, logs=None):
        self.step = self.epoch_began + steps_done(self, batch)
        if self.step % self.steps:
            self._save_if_due()

    def on_epoch_end(self, epoch, logs=None):
        self._save_if_due(epoch + 1 == self.stop_after)

    def _save_if_due(self, last: bool = False) -> None:
        if self.step - self.asked < self.ask_every and self.step % self.steps:
            return
        self.asked = self.step
        due = last or self.stop.number is not None or time.monotonic() - self.saved_at >= self.every
        if not strategies.any_of(self.devices, due):
            return
        ends = strategies.any_of(self.devices, last or self.stop.number is not None)
        if not ends and strategies.any_of(self.devices, self.checkpoints.busy):
            return  # a disk that hangs does not hold up the training
        self.checkpoints.save(self.step, self._state())
        self.saved_at = time.monotonic()
        if ends:
            saved = self.checkpoints.wait()
            asked = self.stop.number or (None if last else signal.SIGTERM)
            raise Stopped(asked, self.step, saved)


def versions() -> dict[str, str | None]:
    """Return the versions of the packages that make a run's numbers."""
    return {"kerasdl": installed("kerasdl"), "keras": installed("keras"), "tensorflow": tf.__version__,
            **({"jax": installed("jax")} if backend.jax() else {})}


def forms(variables: dict[str, list[keras.Variable]]) -> dict[str, list]:
    """Return the shape of each variable, and what those of the network are called in their layers."""
    return {name: [[*([variable.name] if name == "network" else []), *variable.shape] for variable in those]
            for name, those in variables.items()}


def common(held: list[list[int]]) -> int | None:
    """Return the newest step of which every worker holds a checkpoint; 0 if none holds any, None if they disagree."""
    sets = [set(steps) - {-1} for steps in held]
    if not any(sets):
        return 0
    return max(set.intersection(*sets), default=None)


def steps_done(callback: keras.callbacks.Callback, batch: int) -> int:
    """Return the steps of this fit's epoch that have been taken when Keras says that its batch number `batch` ends.

    Keras counts executions of `steps_per_execution` steps, of which an epoch's last one may be shorter.
    """
    return min(batch + 1, callback.params["steps"])
