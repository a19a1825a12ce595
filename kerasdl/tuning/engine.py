"""The loop of a search: take a trial, start a process for it, see how it ends.

Whatever matters is on disk after each step (see kerasdl.tuning.trials), so this process may be killed at any moment,
and so may its children. Several of these processes, on one host or on many, may work in one folder.
"""

import logging
import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerasdl import logs
from kerasdl.checkpoints.files import seconds
from kerasdl.checkpoints.signals import StopSignal
from kerasdl.devices.names import check_name
from kerasdl.errors import UserError
from kerasdl.run import folder_for
from kerasdl.text import typed
from kerasdl.tuning import pool, preflight, ray_cluster
from kerasdl.tuning.pool import TrialProcess, Worker
from kerasdl.tuning.records import Answer
from kerasdl.tuning.search import Search
from kerasdl.tuning.search import load as load_search
from kerasdl.tuning.study import SEARCH, Study
from kerasdl.tuning.table import Table
from kerasdl.tuning.trials import LOCK, Trials, is_locked

logger = logging.getLogger(__name__)

POLL = 0.1  # seconds between two looks at the children
ASK_AGAIN = 2.0  # seconds until the next question after there was no trial: another host's trial may have failed
HOPELESS = 10  # failures without a success that end a search, except a grid
LEAVE = 90  # seconds in which the children of a parent that was killed must have saved and ended


def tune(search: Search | str | Path, workdir: str | Path | None = None, workers: int = 1, *, verbose: bool = True,
         minutes: float | None = None, memory: float | None = None, strategy: str = "auto",
         logical_cpus: int | None = None, checkpoint_every: str | float = "1 min", ray: str | None = None) -> Study:
    """Run a search, or resume one that was interrupted, and return its study.

    Args:
        search: a Search, the name of one, or a path to a .py file or to a folder's search.json.
        workdir: the search's folder; by default `runs/<search>/<time>-<id>/`. If it holds the same search, that is
            continued; if another process works on it, this one helps.
        workers: how many trials at a time; the cores and GPUs of this machine are divided among them.
        minutes: after which no trial begins; running trials finish.
        memory: megabytes of data that a trial may have at most; one that wants more fails, alone.
        strategy: of each trial, as for kerasdl.train.
        logical_cpus: of each trial.
        checkpoint_every: of each trial.
        ray: run the trials on a cluster of Ray: its address, "auto" for the one of this machine, "local" to start one.

    Raises:
        UserError: for a mistake in the search or its folder; when nothing can be written; when all trials fail.
        KeyboardInterrupt, SystemExit: after Ctrl-C and SIGTERM, when the running trials have saved their states.
    """
    seconds(checkpoint_every)  # an option with which every trial would fail is refused before there is one
    check_name(strategy)
    search = load_search(search)
    limit = None if search.timeout is None else seconds(search.timeout, "timeout")
    if minutes is not None and not 0 < minutes < math.inf:
        raise UserError(f"minutes is a number above 0. Received: {minutes}.")
    end = None if minutes is None else time.monotonic() + 60 * minutes
    options = {"strategy": strategy, "logical_cpus": logical_cpus, "checkpoint_every": checkpoint_every}
    if memory is not None and not 0 < memory < 2**40:
        raise UserError(f"memory is megabytes, above 0. Received: {memory}.")
    preflight.check(search)
    folder = Path(workdir or folder_for(search.name or "search"))
    if not (folder / SEARCH).exists():
        preflight.check_new(search)
    if search.build and (strategy != "auto" or logical_cpus):
        raise UserError("A model of build(hp) is fitted on one device. Leave out strategy and logical_cpus.")
    most = None if memory is None else int(memory * 2**20)
    shares, start = ray_cluster.connect(ray, workers, most)
    study = Study.create(search, folder, options)
    study.end = end
    study.resume += flags(workers=(workers, 1), minutes=(minutes, None), memory=(memory, None),
                          strategy=(strategy, "auto"), logical_cpus=(logical_cpus, None),
                          checkpoint_every=(checkpoint_every, "1 min"), ray=(ray, None))
    run(study, shares, verbose, limit, most, start)
    with logs.on_stderr(verbose):
        if study.given_up:
            logger.warning("No other trial begins: %s For others, begin a search with other limits or another space.",
                           study.given_up)
        elif minutes is not None and (study.cut_short or any(record.pending for record in study.records())):
            logger.info("The %g minutes are over. For other trials: %s", minutes, study.resume)
    return study


def flags(**options: tuple[Any, Any]) -> str:
    """Return the options (value, default) that are not the default, as one types them behind a command."""
    return "".join(f" --{name.replace('_', '-')} {typed(str(value))}" for name, (value, default) in options.items()
                   if value != default)


def run(trials: Trials, workers: list[Worker], verbose: bool = True, limit: float | None = None,
        memory: int | None = None, start: Callable[..., TrialProcess] = pool.start,
        deadline: float | None = None) -> None:
    """Run all trials that are left, of a search or of the winner's seeds.

    Args:
        limit: seconds that a trial may take.
        memory: bytes of data that a trial may have.
        start: what starts a trial's process, as `pool.start` does.
        deadline: on the clock time.monotonic, at which trials that run are stopped, and have failed.

    Raises:
        UserError: as for `tune`.
        KeyboardInterrupt, SystemExit: after Ctrl-C and SIGTERM, when the running trials have saved their states.
    """
    with logs.on_stderr(verbose):
        with StopSignal() as stop, Table(trials, len(workers), verbose) as table:
            Loop(trials, workers, limit, memory, start, deadline).run(stop, table)
        if stop.number:
            logger.info("Stopped. To resume: %s", trials.resume)
            raise KeyboardInterrupt if stop.number == signal.SIGINT else SystemExit(128 + stop.number)


class Loop:
    """Runs trials until none is left. See `run` for the arguments."""

    def __init__(self, trials: Trials, workers: list[Worker], limit: float | None, memory: int | None,
                 start: Callable[..., TrialProcess], deadline: float | None):
        self.trials, self.free, self.limit, self.memory, self.start = trials, list(workers), limit, memory, start
        self.deadline = math.inf if deadline is None else deadline
        self.running: list[TrialProcess] = []

    def run(self, stop: StopSignal, table: Table) -> None:
        """Run until all trials have ended, here and elsewhere, or somebody asks to stop."""
        wait_for_orphans(self.trials, stop)
        ask_at = 0.0
        try:
            while not stop.number:
                if self._reap(table):
                    ask_at = 0.0
                if self.free and time.monotonic() >= ask_at:
                    answer = self._start(table)
                    if answer is Answer.DONE and not self.running and self.trials.over:
                        return
                    ask_at = time.monotonic() + ASK_AGAIN if answer else 0.0
                self._watch_time()
                table.show(self.running)
                time.sleep(POLL)
        finally:
            self._stop()

    def _start(self, table: Table) -> Answer | None:
        """Give a trial to a free worker; return the answer if there is none."""
        lease = self.trials.lease()
        if isinstance(lease, Answer):
            return lease
        try:
            self.running.append(self.start(lease, self.free[-1], self.memory))
        except OSError as error:
            lease.release()
            raise UserError(f"The process of trial {lease.id} cannot be started: {error}. To resume: "
                            f"{self.trials.resume}") from error
        self.free.pop()
        table.began(lease)
        return None

    def _reap(self, table: Table) -> bool:
        """Take note of the processes that have ended; return whether there was one."""
        ended = [process for process in self.running if process.ended]
        for process in ended:
            if process.blocked is not None:
                raise UserError(f"Trial {process.lease.id} cannot be trained: {process.blocked} It is left as it was. "
                                f"To resume: {self.trials.resume}")
            with self.trials.writing():
                outcome = process.outcome()
            process.lease.release()
            self.running.remove(process)
            self.free.append(process.worker)
            table.ended(process.lease, outcome)
            if outcome and outcome["status"] == "failed":
                self._check_hope(outcome["why"])
        return bool(ended)

    def _check_hope(self, why: str) -> None:
        """Raise a UserError if many trials failed and none has a score."""
        records = self.trials.records()
        failed = sum(record.status == "failed" for record in records)
        scored = any(record.score is not None for record in records)
        if failed >= HOPELESS and not scored and self.trials.search.oracle != "grid":
            raise UserError(f"{failed} trials failed and none succeeded, the last because: {why.rstrip('.')}. "
                            f"Their logs are in {self.trials.home}. To try again: {self.trials.resume}")

    def _watch_time(self) -> None:
        for process in self.running:
            if process.waits and self.trials.out_of_time:
                process.ask_to_stop()
            elif self.limit is not None and process.seconds > self.limit:
                process.late = f"not done within its time limit of {self.limit:g} s"
                process.ask_to_stop()
            elif time.monotonic() > self.deadline:
                process.late = "not done when the time of the search was over"
                process.ask_to_stop()

    def _stop(self) -> None:
        """Let the trials save and end. They resume when the search does."""
        try:
            while any(not process.ended for process in self.running):
                for process in self.running:
                    if not process.ended:
                        process.ask_to_stop()
                time.sleep(POLL)
        finally:  # also after a second Ctrl-C
            for process in self.running:
                process.kill()
                process.lease.release()


def wait_for_orphans(trials: Trials, stop: StopSignal) -> None:
    """Let the children of a parent on this host that was killed save and end, so that their trials can be resumed."""
    deadline = time.monotonic() + LEAVE
    for record in trials.records():
        while record.pending and not stop.number and time.monotonic() < deadline and trials.orphaned(record.id) \
                and is_locked(record.folder / LOCK):
            time.sleep(POLL)
