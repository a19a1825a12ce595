"""Trials in a folder, on which any number of processes on any number of hosts may work at once.

    lock                      held while somebody takes a trial
    trials/<id>/lock          held as long as somebody runs the trial
    trials/<id>/task.json     what its process is to do
    trials/<id>/outcome.json  how it ended, written by the process or, where it could not, by its parent
    trials/<id>/log.txt       what the process printed
    trials/<id>/...           the files of the run: see kerasdl.run

A trial's record follows from its task and its outcome, so there is no other state to keep in step with them. Locks are
the operating system's (flock): they go when their holder dies, however it dies. So there is no heartbeat and no owner
that could be stale: a trial without an outcome whose lock is free is taken by whoever asks next.
"""

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kerasdl.errors import UserError
from kerasdl.files import in_turn, try_lock, write_json, writing
from kerasdl.installation import backend
from kerasdl.tuning import median_stopping
from kerasdl.tuning.dimensions import frozen
from kerasdl.tuning.records import Answer, Rung, TrialRecord
from kerasdl.tuning.same_data import examples_of
from kerasdl.tuning.search import Search

LOCK, TASK, OUTCOME = "lock", "task.json", "outcome.json"
ATTEMPTS = 2


@dataclass(frozen=True)
class Lease:
    """A trial that this process may run: it holds the trial's lock.

    Attributes:
        lock: the lock's file descriptor.
    """

    id: str
    folder: Path
    attempt: int
    lock: int
    task: dict[str, Any]

    def release(self) -> None:
        """Give the trial back. Without an outcome it was interrupted, and whoever asks next resumes it."""
        os.close(self.lock)


class Trials:
    """The trials of a folder. A subclass says which comes next.

    Attributes:
        search: what the trials belong to.
        folder: holds the lock and, in `home`, a folder for each trial.
        resume: the command that continues them.
    """

    def __init__(self, search: Search, folder: Path, home: Path, resume: str):
        self.search, self.folder, self.home, self.resume = search, folder, home, resume
        self._ended: dict[str, TrialRecord] = {}

    @property
    def total(self) -> int | None:
        """How many trials there will be, if that is known."""
        return None

    @property
    def out_of_time(self) -> bool:
        """Whether no trial is to begin any more, or to begin again."""
        return False

    def plan(self, records: Sequence[TrialRecord]) -> TrialRecord | Answer:
        """Return the record of the trial that comes after these: id, values and rung."""
        raise NotImplementedError

    def task(self, record: TrialRecord, records: Sequence[TrialRecord]) -> dict[str, Any]:
        """Return the part of a trial's task that differs between searches and retrainings."""
        raise NotImplementedError

    def examples(self, records: Sequence[TrialRecord]) -> dict[str, str] | None:
        """Return what all trials must be trained and measured on, by the first one that says so; None: it may vary.

        These are fingerprints: {"train": ..., "val": ..., "test": ...}.
        """
        return next(filter(None, (examples_of(record.folder) for record in records)), None)

    def records(self) -> list[TrialRecord]:
        """Return the records of all trials in the order in which they began."""
        names = sorted((file.parent.name for file in self.home.glob(f"*/{TASK}")), key=lambda name: (len(name), name))
        return [self._ended.get(name) or self._read(name) for name in names]

    def ended(self) -> list[TrialRecord]:
        """Return the records of the trials that have ended."""
        return [record for record in self.records() if not record.pending]

    @property
    def over(self) -> bool:
        """Whether no trial runs, here or elsewhere, or has an attempt left for which there is time."""
        return not any(record.pending and (not self.out_of_time or is_locked(record.folder / LOCK))
                       for record in self.records())

    def lease(self) -> Lease | Answer:
        """Take a trial: one that was interrupted or has an attempt left, else the next of the plan.

        Raises:
            UserError: if nothing can be written.
        """
        with self.writing(), in_turn(self.folder / LOCK):
            records = self.records()
            for record in () if self.out_of_time else records:
                if record.pending and (lock := try_lock(record.folder / LOCK)) is not None:
                    record = self._read(record.id)  # it may have ended since
                    if record.pending:
                        return self._lease(record, records, lock)
                    os.close(lock)
            records = self.records()
            planned = self.plan(records)
            if isinstance(planned, Answer):
                return planned
            planned.folder.mkdir(parents=True, exist_ok=True)
            lock = try_lock(planned.folder / LOCK)
            return Answer.WAIT if lock is None else self._lease(planned, records, lock)

    def _lease(self, record: TrialRecord, records: Sequence[TrialRecord], lock: int) -> Lease:
        folder, before = record.folder, read(record.folder / OUTCOME)
        attempt = record.attempts + (record.status == "waiting")
        try:
            task = {"id": record.id, "attempt": attempt, "values": record.values, "costs": record.costs,
                    "backend": backend.wanted(), "parent": record.parent, "rung": record.rung and asdict(record.rung),
                    "spent": spent(folder), "objective": self.search.objective,
                    "direction": self.search.direction, "thresholds": [], "examples": self.examples(records),
                    **self.task(record, records)}
            write_json(folder / TASK, task)
            if before and before["status"] == "blocked":
                (folder / OUTCOME).unlink()
            elif before and before["attempt"] < attempt:  # keep why the attempt before failed
                os.replace(folder / OUTCOME, folder / f"outcome-{before['attempt']}.json")
            os.truncate(lock, 0)
            os.write(lock, json.dumps({"host": socket.gethostname(), "parent": os.getpid()}).encode())
        except BaseException:
            os.close(lock)
            raise
        return Lease(record.id, folder, attempt, lock, task)

    def _read(self, name: str) -> TrialRecord:
        folder = self.home / name
        task: Any = read(folder / TASK)
        outcome = read(folder / OUTCOME)
        if not outcome or outcome["status"] == "blocked" or outcome["attempt"] != task["attempt"]:
            outcome = {"status": "running"}
        status = outcome["status"]
        if status == "failed" and outcome["again"] and task["attempt"] < ATTEMPTS:
            status = "waiting"
        scores = outcome.get("scores", {})
        record = TrialRecord(
            name, status, self.values(task), scores.get(median_stopping.logged_as(self.search.objective, scores)),
            rung(task),
            task.get("costs", {}), task.get("parent"), folder, outcome.get("why", ""), outcome.get("traceback", ""),
            task["attempt"], outcome.get("epochs", 0), outcome.get("seconds"),
            median_stopping.curve(folder, self.search.objective))
        if not record.pending:
            self._ended[name] = record
        return record

    def values(self, task: dict[str, Any]) -> dict[str, Any]:
        """Return a task's values, field -> value, with tuples where JSON has lists."""
        return {key: frozen(value) for key, value in task["values"].items()}

    def check_backend(self) -> None:
        """Raise a UserError if the trials so far were trained with another backend than Keras computes with."""
        for record in self.records():
            if (before := backend_of(record.folder)) not in (None, backend.wanted()):
                raise UserError(f"The trials in {self.folder} were trained with {before}, and Keras computes with "
                                f"{backend.wanted()}. Give --backend {before}.")

    def orphaned(self, name: str) -> bool:
        """Return whether a trial's process was started on this host by a parent that is gone."""
        try:
            owner = (self.home / name / LOCK).read_text(encoding="utf-8")
        except FileNotFoundError:
            return False
        facts = json.loads(owner) if owner else {}
        return facts.get("host") == socket.gethostname() and not is_alive(facts["parent"])

    def writing(self, then: str | None = None):
        """Return a context in which a file that cannot be written ends the search in one line."""
        return writing(self.folder, then or f"What was there is kept. Once it can be: {self.resume}")


def backend_of(folder: Path) -> str | None:
    """Return the backend that a trial was trained with; None if nothing says so."""
    result, task = read(folder / "result.json") or {}, read(folder / TASK) or {}
    return result.get("environment", {}).get("backend") or task.get("backend")


def spent(folder: Path) -> float:
    """Return how many seconds the processes of a trial took so far; one that was killed could not write it."""
    before, signs = read(folder / TASK), [folder / "metrics.csv", folder / OUTCOME, *folder.glob("checkpoint/**/*")]
    if not before:
        return 0.0
    last = max((file.stat().st_mtime for file in signs if file.exists()), default=0.0)
    return round(before.get("spent", 0.0) + max(0.0, last - (folder / TASK).stat().st_mtime), 2)


def rung(task: dict[str, Any]) -> Rung | None:
    """Return the rung of a task. Before 0.2 a task had `epochs` and `parent` in its place."""
    if "rung" in task:
        return task["rung"] and Rung(**task["rung"])
    return Rung(task["epochs"], task["parent"]) if task["epochs"] else None


def is_alive(pid: int) -> bool:
    """Return whether there is a process of this number on this host."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def read(file: Path) -> dict[str, Any] | None:
    """Return a JSON file's content, None if there is no file. Files are written whole, so there is no half of one."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def is_locked(file: Path) -> bool:
    """Return whether somebody holds the lock of a file."""
    if not file.exists():
        return False
    lock = try_lock(file)
    if lock is not None:
        os.close(lock)
    return lock is None
