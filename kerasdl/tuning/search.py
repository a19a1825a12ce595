"""The loop of a search: ask the oracle, start a process for each trial, tell how it ended.

Everything that matters is on disk when a step is over (see kerasdl.tuning.study), so this process may be killed at any
moment, and so may its children. Several of these processes, on one host or on many, may work in one folder.
"""

import signal
import sys
import time
from pathlib import Path
from typing import Any

from kerasdl.checkpoints.callback import StopSignal
from kerasdl.checkpoints.files import seconds
from kerasdl.devices import strategy as strategies
from kerasdl.errors import UserError
from kerasdl.run import folder_for
from kerasdl.text import typed
from kerasdl.tuning import processes
from kerasdl.tuning.processes import Process
from kerasdl.tuning.space import Search
from kerasdl.tuning.space import load as load_search
from kerasdl.tuning.study import LOCK, Study, is_locked
from kerasdl.tuning.table import Table

POLL = 0.1  # seconds between two looks at the children
ASK_AGAIN = 2.0  # seconds until the oracle that had nothing is asked again: another host's trial may have failed
HOPELESS = 10  # so many failures without a success end a search that is not a grid
LEAVE = 90  # seconds in which the children of a parent that was killed must have saved and gone


def tune(search: Search | str | Path, workdir: str | Path | None = None, workers: int = 1, *, verbose: bool = True,
         memory: float | None = None, strategy: str = "auto", logical_cpus: int | None = None,
         checkpoint_every: str | float = "1 min") -> Study:
    """Run a search, or go on with one that was interrupted, and return its study.

    Args:
        search: a Search, the name of one, or a path to a .py file or to a folder's search.json.
        workdir: the search's folder; by default `runs/<search>/<time>-<id>/`. Where it holds the same search, that goes
            on; where another process works on it, this one helps.
        workers: how many trials at a time; the cores and GPUs of this machine are divided among them.
        memory: the most megabytes of data that a trial may have; one that wants more fails, alone.
        strategy: of each trial, as for kerasdl.train.
        logical_cpus: of each trial.
        checkpoint_every: of each trial.

    Raises:
        UserError: for what cannot be in the search or its folder; when nothing can be written; when all trials fail.
        KeyboardInterrupt, SystemExit: after Ctrl-C and SIGTERM, when the trials that ran have saved their states.
    """
    seconds(checkpoint_every)  # what would let every trial fail is refused before there is one
    strategies.check_name(strategy)
    search = load_search(search)
    limit = None if search.timeout is None else seconds(search.timeout, "timeout")
    options = {"strategy": strategy, "logical_cpus": logical_cpus, "checkpoint_every": checkpoint_every}
    if memory is not None and not 0 < memory < 2**40:
        raise UserError(f"memory is megabytes, above 0. Received: {memory}.")
    slots = processes.slots(workers)
    study = Study.create(search, workdir or folder_for(search.name or "search"), options)
    study.again += flags(workers=(workers, 1), memory=(memory, None), strategy=(strategy, "auto"),
                         logical_cpus=(logical_cpus, None), checkpoint_every=(checkpoint_every, "1 min"))
    loop = Loop(study, slots, limit, memory and int(memory * 2**20))
    with StopSignal() as stop, Table(study, workers, verbose) as table:
        loop.run(stop, table)
    if stop.number:
        if verbose:
            print(f"Stopped. To go on: {study.again}", file=sys.stderr)
        raise KeyboardInterrupt if stop.number == signal.SIGINT else SystemExit(128 + stop.number)
    return study


def flags(**options: tuple[Any, Any]) -> str:
    """Options (value, default) that are not the default, as one types them behind a command."""
    return "".join(f" --{name.replace('_', '-')} {typed(str(value))}" for name, (value, default) in options.items()
                   if value != default)


class Loop:
    """The trials that this process runs.

    Args:
        slots: the shares of this machine.
        limit: seconds that a trial may take.
        memory: bytes of data that a trial may have.
    """

    def __init__(self, study: Study, slots: list[processes.Slot], limit: float | None, memory: int | None):
        self.study, self.free, self.limit, self.memory = study, list(slots), limit, memory
        self.running: list[Process] = []

    def run(self, stop: StopSignal, table: Table) -> None:
        """Until all trials have ended, here and elsewhere, or somebody asks to stop."""
        wait_for_orphans(self.study)
        ask_at = 0.0
        try:
            while not stop.number:
                if self._reap(table):
                    ask_at = 0.0
                if self.free and time.monotonic() >= ask_at and not self._start(table):
                    ask_at = time.monotonic() + ASK_AGAIN
                    if self.study.over and not self.running:
                        return
                self._watch_time()
                table.show(self.running)
                time.sleep(POLL)
        except BaseException:
            self._stop()
            raise
        self._stop()

    def _start(self, table: Table) -> bool:
        """Fill one place; whether there was a trial for it."""
        given = self.study.ask()
        if isinstance(given, str):
            return False
        try:
            self.running.append(processes.start(given, self.free[-1], self.memory))
        except OSError as error:
            self.study.give_back(given)
            raise UserError(f"The process of trial {given.id} cannot be started: {error}. To go on: "
                            f"{self.study.again}") from error
        self.free.pop()
        table.began(given)
        return True

    def _reap(self, table: Table) -> bool:
        """Tell of the processes that have ended; whether there was one."""
        ended = [process for process in self.running if process.ended]
        for process in ended:
            if process.refusal is not None:
                raise UserError(f"Trial {process.given.id} cannot be trained: {process.refusal} It is left as it was. "
                                f"To go on: {self.study.again}")
            with self.study.writing():
                outcome = process.outcome(self.limit)
            if outcome is None:
                self.study.give_back(process.given)
            else:
                self.study.tell(process.given, outcome)
            self.running.remove(process)
            self.free.append(process.slot)
            table.ended(process.given, outcome)
            self._count(outcome)
        return bool(ended)

    def _count(self, outcome: dict[str, Any] | None) -> None:
        if outcome is None:
            return
        statuses = [trial.status for trial in self.study.oracle.trials.values()]
        failed = statuses.count("FAILED")
        hopeless = outcome["status"] == "failed" and failed >= HOPELESS and "COMPLETED" not in statuses
        if hopeless and self.study.search.oracle != "grid":
            raise UserError(f"{failed} trials failed and none succeeded, the last because: {outcome['why']}. Their "
                            f"logs are in {self.study.folder}/trials. To try on: {self.study.again}")

    def _watch_time(self) -> None:
        for process in self.running:
            if self.limit is not None and process.seconds > self.limit:
                process.late = True
                process.ask_to_stop()

    def _stop(self) -> None:
        """Let the trials save and end. They go on when the search does."""
        try:
            while any(not process.ended for process in self.running):
                for process in self.running:
                    if not process.ended:
                        process.ask_to_stop()
                time.sleep(POLL)
        finally:  # a second Ctrl-C
            for process in self.running:
                process.kill()
                self.study.give_back(process.given)


def wait_for_orphans(study: Study) -> None:
    """Let the children of a parent on this host that was killed save and go, so that the search goes on as it was."""
    study.refresh()
    deadline = time.monotonic() + LEAVE
    for name, trial in study.oracle.trials.items():
        folder = study.folder / "trials" / name
        while trial.status == "RUNNING" and time.monotonic() < deadline and study.orphaned(name) \
                and is_locked(folder / LOCK):
            time.sleep(POLL)
