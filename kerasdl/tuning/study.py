"""A search is a folder, which any number of processes on any number of hosts may work on at once.

    search.json               exactly what runs
    oracle.json               every trial and what the oracle remembers, replaced whole at each step
    lock                      held while somebody asks or tells the oracle
    trials/<id>/lock          held as long as somebody runs the trial
    trials/<id>/task.json     what its process is to do
    trials/<id>/outcome.json  how it ended, written by the process or, where it could not, by its parent
    trials/<id>/log.txt       what the process said
    trials/<id>/...           the files of the run: see kerasdl.run

Locks are the operating system's (flock): they go when their holder dies, however it dies. So nothing here has a
heartbeat or an owner's name that could be stale: a trial that is marked as running and whose lock is free waits to be
given out again.
"""

import fcntl
import io
import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerasdl.errors import UserError
from kerasdl.files import try_lock, write_json, write_text, writing
from kerasdl.text import resuming
from kerasdl.tuning import early
from kerasdl.tuning.hyperband import rung
from kerasdl.tuning.oracle import make
from kerasdl.tuning.space import Search
from kerasdl.tuning.space import load as load_search

STATUSES = {"COMPLETED": "completed", "FAILED": "failed", "RUNNING": "running", "INVALID": "waiting"}  # keras-tuner's
SEARCH, STATE, LOCK, TASK, OUTCOME = "search.json", "oracle.json", "lock", "task.json", "outcome.json"


@dataclass(frozen=True)
class Given:
    """A trial that this process has been given, and whose lock it holds."""

    id: str
    folder: Path
    attempt: int
    lock: int
    task: dict[str, Any]


@dataclass(frozen=True)
class Row:
    """What is known of a trial.

    Attributes:
        status: "completed", "stopped" (early, by the median rule), "failed", "running" or "waiting" to be tried again.
        values: what it changed in the recipe, field -> value as the user wrote it.
        score: on validation data; None while there is none.
        why: the reason in a line, for one that failed or stopped.
        curve: the objective after each epoch.
        budget: under Hyperband the epochs of the trial's rung; it may have stopped before, by the recipe's patience.
    """

    id: str
    status: str
    values: dict[str, Any]
    score: float | None
    folder: Path
    why: str = ""
    traceback: str = ""
    attempts: int = 1
    epochs: int = 0
    seconds: float | None = None
    curve: list[float] = field(default_factory=list)
    budget: int = 0


class Study:
    """A search in its folder: who asks for a trial, runs it and tells its outcome does so through here."""

    def __init__(self, search: Search, folder: Path, options: dict[str, Any] | None = None):
        self.search, self.folder, self.options = search, folder, options or {}
        self.again = resuming("tune", folder)
        self.oracle, self._seen = None, None

    @classmethod
    def create(cls, search: Search, folder: str | Path, options: dict[str, Any] | None = None) -> "Study":
        """The study in a folder, begun if there is none; `options` are how its trials are trained.

        Raises:
            UserError: if the folder cannot be written, or holds another search: the difference is told.
        """
        study = cls(search, Path(folder), options)
        with study.writing("Choose another --workdir."):
            study.folder.mkdir(parents=True, exist_ok=True)
            with flock(study.folder / LOCK):
                if (study.folder / SEARCH).exists():
                    search.go_on_from(load_search(study.folder / SEARCH), folder)
                write_text(study.folder / SEARCH, search.to_json())
        return study

    @classmethod
    def open(cls, folder: str | Path) -> "Study":
        """The study in a folder, to go on with or to look at.

        Raises:
            UserError: if the folder is not a search's.
        """
        folder = Path(folder)
        if not (folder / SEARCH).is_file():
            raise UserError(f"{folder} is not a search: it has no {SEARCH}. Start one with: kerasdl tune SEARCH")
        return cls(load_search(folder / SEARCH), folder)

    def writing(self, then: str | None = None):
        """Within it a file that cannot be written ends the search in one line."""
        return writing(self.folder, then or f"What was there is kept. Once it can be: {self.again}")

    def ask(self) -> Given | str:
        """A trial to run, with its lock; or "IDLE" (ask again when one has ended) or "STOPPED" (there are no new ones).

        Raises:
            UserError: if nothing can be written.
        """
        with self.locked() as oracle:
            trial = oracle.create_trial(uuid.uuid4().hex)
            if trial.status != "RUNNING":
                return trial.status
            folder = self.folder / "trials" / trial.trial_id
            folder.mkdir(parents=True, exist_ok=True)
            lock = try_lock(folder / LOCK)
            if lock is None:  # somebody looks whether it is held
                return "IDLE"
            attempt = oracle._run_times[trial.trial_id] + 1
            try:
                self._set_aside(folder, attempt)
                task = self._task(trial, attempt)
                write_json(folder / TASK, task)
                os.truncate(lock, 0)
                os.write(lock, json.dumps({"host": socket.gethostname(), "parent": os.getpid()}).encode())
            except BaseException:
                os.close(lock)
                raise
        return Given(trial.trial_id, folder, attempt, lock, task)

    def tell(self, given: Given, outcome: dict[str, Any]) -> None:
        """Record how a trial ended, and give its lock back.

        Raises:
            UserError: if nothing can be written.
        """
        with self.locked() as oracle:
            if outcome["attempt"] == oracle._run_times[given.id] + 1:
                self._end(oracle, given.id, outcome)
            self.give_back(given)

    def give_back(self, given: Given) -> None:
        """Leave a trial as it is, for whoever asks next: it was interrupted, and has not failed."""
        os.close(given.lock)

    @contextmanager
    def locked(self) -> Iterator[Any]:
        """Within it nobody else asks or tells, and the oracle knows what the others did."""
        with self.writing(), flock(self.folder / LOCK):
            self.refresh()
            self._settle()
            yield self.oracle
            self._seen = self._version()

    def refresh(self) -> None:
        """Read the state if somebody else has changed it."""
        version = self._version()  # before it is read: what changes meanwhile is read the next time
        if self.oracle is None or version != self._seen:
            if self.oracle is None:
                self.oracle = make(self.search, self.folder)
            self.oracle.reload()
            self._seen = version

    def orphaned(self, name: str) -> bool:
        """Whether the trial's process was started on this host by one that is no longer there."""
        try:
            owner = (self.folder / "trials" / name / LOCK).read_text()
        except FileNotFoundError:  # its parent was killed when it had the trial and had not yet taken the lock
            return False
        facts = json.loads(owner) if owner else {}
        return facts.get("host") == socket.gethostname() and not is_alive(facts["parent"])

    def rows(self) -> list[Row]:
        """All trials in the order of their beginning, as last read."""
        return [self._row(self.oracle.trials[name]) for name in self.oracle.start_order]

    def values(self, trial: Any) -> dict[str, Any]:
        """What a trial of the oracle changes, as the user wrote it."""
        values = trial.hyperparameters.values
        if not self.search.build:
            return self.search.values(values)
        return {key: value for key, value in values.items() if not key.startswith("tuner/")}

    @property
    def over(self) -> bool:
        """Whether no trial runs, here or elsewhere, or waits for another attempt."""
        return not any(trial.status in ("RUNNING", "INVALID") for trial in self.oracle.trials.values())

    def _version(self) -> tuple[int, ...] | None:
        try:
            facts = (self.folder / STATE).stat()
        except FileNotFoundError:
            return None
        return facts.st_ino, facts.st_mtime_ns, facts.st_size

    def _settle(self) -> None:
        """Trials that nobody runs wait to be given out again, or are told where they ended before their parent could
        tell; those that somebody runs do not wait."""
        oracle, orphans = self.oracle, []
        for name in sorted(name for name, trial in oracle.trials.items() if trial.status == "RUNNING"):
            folder = self.folder / "trials" / name
            if is_locked(folder / LOCK):
                if name in oracle._retry_queue:
                    oracle._retry_queue.remove(name)
                if all(trial.trial_id != name for trial in oracle.ongoing_trials.values()):
                    oracle.ongoing_trials[name] = oracle.trials[name]
                continue
            outcome = read(folder / OUTCOME)
            if outcome and outcome["attempt"] == oracle._run_times[name] + 1:
                if name in oracle._retry_queue:
                    oracle._retry_queue.remove(name)
                self._end(oracle, name, outcome)
            else:
                orphans.append(name)
        for worker, trial in list(oracle.ongoing_trials.items()):
            if trial.trial_id in orphans:
                del oracle.ongoing_trials[worker]
        missing = [name for name in orphans if name not in oracle._retry_queue]
        oracle._retry_queue += reversed(missing)  # it gives its last first

    def _end(self, oracle: Any, name: str, outcome: dict[str, Any]) -> None:
        trial = oracle.trials[name]
        if outcome["status"] in ("completed", "stopped"):
            oracle.update_trial(name, outcome["scores"], step=outcome["epochs"])
            trial.status, trial.message = "COMPLETED", None
        else:
            trial.status = "INVALID" if outcome["again"] else "FAILED"
            trial.message = "\n".join(filter(None, (outcome["why"], outcome["traceback"])))
        with redirect_stdout(io.StringIO()):  # keras-tuner prints that a trial is tried again
            oracle.end_trial(trial)

    def _set_aside(self, folder: Path, attempt: int) -> None:
        """Keep the outcome of the attempt before, with its traceback, under a name of its own."""
        outcome = read(folder / OUTCOME)
        if outcome:
            os.replace(folder / OUTCOME, folder / f"outcome-{outcome['attempt']}.json")

    def _task(self, trial: Any, attempt: int) -> dict[str, Any]:
        search, part = self.search, rung(trial)
        bar = early.bar(search, self.rows()) if search.stops_early else []
        what = {"build": search.build, "hp": trial.hyperparameters.get_config()} if search.build else {}
        recipe = search.base if search.build else search.trial(trial.hyperparameters)
        return {"id": trial.trial_id, "attempt": attempt, "recipe": json.loads(recipe.model_dump_json()), **what,
                "varies_data": bool({key.partition(".")[0] for key in search.space} & {"data", "data_args", "splits"}),
                "objective": search.objective, "direction": search.direction, "bar": bar,
                "epochs": part and part.epochs, "parent": part and part.parent, "options": self.options}

    def _row(self, trial: Any) -> Row:
        folder = self.folder / "trials" / trial.trial_id
        outcome = read(folder / OUTCOME) or {}
        attempt = (read(folder / TASK) or {}).get("attempt", 1)
        status = STATUSES[trial.status]
        if status == "completed" and outcome.get("status") == "stopped":
            status = "stopped"
        if status in ("running", "waiting"):
            outcome = {}
        why, _, traceback = (trial.message or "").partition("\n")
        score, part = trial.score if status in ("completed", "stopped") else None, rung(trial)
        return Row(trial.trial_id, status, self.values(trial), score, folder,
                   why=outcome.get("why", "") or why, traceback=outcome.get("traceback", "") or traceback,
                   attempts=attempt, epochs=outcome.get("epochs", 0), seconds=outcome.get("seconds"),
                   curve=early.curve(folder, self.search.objective), budget=part.epochs if part else 0)


def is_alive(pid: int) -> bool:
    """Whether there is a process of this number on this host."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def read(file: Path) -> dict[str, Any] | None:
    """A JSON file, None where there is none. Files are written whole, so there is no half of one."""
    try:
        return json.loads(file.read_text())
    except FileNotFoundError:
        return None


def is_locked(file: Path) -> bool:
    """Whether somebody has the lock of a file."""
    if not file.exists():
        return False
    lock = try_lock(file)
    if lock is not None:
        os.close(lock)
    return lock is None


@contextmanager
def flock(file: Path) -> Iterator[None]:
    """Within it nobody else, on any host that sees the file, is within it."""
    lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
