"""The processes of trials: what each may use of the machine, and what its end means."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from kerasdl.errors import UserError
from kerasdl.files import write_json
from kerasdl.installation.gpu import nvidia_smi
from kerasdl.tuning.trial import BLOCKED, INTERRUPTED, UNWRITABLE, failed
from kerasdl.tuning.trials import OUTCOME, Lease, read

COMMAND = (sys.executable, "-P", "-m", "kerasdl.tuning.trial")  # -P: a random.py of the user's is not Python's
GRACE = 60  # seconds in which a process that was asked to stop must have saved its state
ATTEMPT = "--- attempt"  # begins the log of each
TAIL = 4000  # characters of the log to show for a process that ended without a word


@dataclass(frozen=True)
class Worker:
    """The share of the machine for one trial at a time.

    Attributes:
        cores: numbers of processor cores; None: all.
        gpu: the name of a GPU, as CUDA_VISIBLE_DEVICES has it; None: all there are.
    """

    cores: tuple[int, ...] | None = None
    gpu: str | None = None


def workers(count: int) -> list[Worker]:
    """Return the machine divided: a GPU for each, and equally many cores. One worker has everything.

    Raises:
        UserError: for less than one worker.
    """
    if type(count) is not int or count < 1:
        raise UserError(f"workers is a whole number from 1 on. Received: {count!r}.")
    if count == 1:
        return [Worker()]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    cards = gpus()
    return [Worker(tuple(cores[index::count]) or (tuple(cores[index % len(cores):][:1]) if cores else None),
                   cards[index % len(cards)] if cards else None) for index in range(count)]


def gpus() -> list[str]:
    """Return the GPUs that this process may use, from CUDA_VISIBLE_DEVICES or else nvidia-smi."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name not in ("", "-1")]
    return nvidia_smi("index")


@dataclass
class TrialProcess:
    """The running process of a trial.

    Attributes:
        lease: what it runs.
        worker: where.
        began: when, on the clock time.monotonic.
        late: that its time was up, for which it was asked to stop; "": it was not.
        waits: whether it has not begun, because it has no place yet.
    """

    lease: Lease
    worker: Worker
    popen: Any  # a subprocess.Popen, or what has those of its methods that are used here
    began: float = field(default_factory=time.monotonic)
    late: str = ""
    asked: float | None = None
    waits: bool = False

    @property
    def interrupted(self) -> bool:
        """Whether it ended because this process asked it to; if somebody else did, that was an attempt."""
        return self.asked is not None and self.popen.returncode in INTERRUPTED

    @property
    def ended(self) -> bool:
        return self.popen.poll() is not None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def ask_to_stop(self) -> None:
        """Ask it to save its state and end. When it was asked long ago, kill it."""
        if self.asked is None:
            self.asked = time.monotonic()
            self.popen.terminate()
        elif time.monotonic() - self.asked > GRACE:
            self.popen.kill()

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()

    @property
    def blocked(self) -> str | None:
        """Why the trial cannot be trained, through no fault of its own; None if it can."""
        if self.popen.returncode != BLOCKED:
            return None
        return (self._written() or {"why": UNWRITABLE})["why"]

    def outcome(self) -> dict[str, Any] | None:
        """Return how the trial ended; None if it was interrupted, which is no end.

        Raises:
            OSError: if nothing could be written.
        """
        if written := self._written():
            return written
        if self.late:
            outcome = failed(self.late, again=False)
        elif self.interrupted:
            return None
        else:
            outcome = self.failure()
        spent = self.lease.task.get("spent", 0.0)
        outcome |= {"attempt": self.lease.attempt, "seconds": round(spent + self.seconds, 2)}
        write_json(self.lease.folder / OUTCOME, outcome)
        return outcome

    def failure(self) -> dict[str, Any]:
        """Return the outcome of a process that ended without a word."""
        folder, code = self.lease.folder, self.popen.returncode
        end = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return failed(f"its process ended with {end}. The log is {folder / 'log.txt'}", True, tail(folder))

    def _written(self) -> dict[str, Any] | None:
        """Return what the process itself wrote of this attempt."""
        outcome = read(self.lease.folder / OUTCOME)
        return outcome if outcome and outcome["attempt"] == self.lease.attempt else None


def begin(lease: Lease, worker: Worker, log: BinaryIO) -> subprocess.Popen:
    """Begin the process of a trial, from nothing.

    It inherits the trial's lock, which goes when it dies, and a pipe that ends when this process dies. It has a session
    of its own, so that Ctrl-C reaches this process alone, which passes it on.
    """
    return subprocess.Popen([*COMMAND, os.fspath(lease.folder)], stdin=subprocess.PIPE, stdout=log, stderr=log,
                            env=environment(worker), pass_fds=[lease.lock], start_new_session=True)


def start(lease: Lease, worker: Worker, memory: int | None = None, begin: Callable[..., Any] = begin) -> TrialProcess:
    """Start the process of a trial.

    Args:
        lease: what it runs.
        worker: where.
        memory: bytes of data that it may have at most.
        begin: how, as `begin` does.
    """
    with open(lease.folder / "log.txt", "ab") as log:
        log.write(f"{ATTEMPT} {lease.attempt}\n".encode())
        log.flush()
        popen = begin(lease, worker, log)
    confine(popen.pid, worker, memory)
    return TrialProcess(lease, worker, popen)


def environment(worker: Worker) -> dict[str, str]:
    """Return the variables of a process of this worker."""
    own = {} if worker.gpu is None else {"CUDA_VISIBLE_DEVICES": worker.gpu, "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    return {**os.environ, **own}


def confine(pid: int, worker: Worker, memory: int | None) -> None:
    """Limit the cores and the memory of a new process. When memory is short, Linux ends it rather than its parent."""
    try:
        if worker.cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(pid, worker.cores)
        if memory:
            import resource

            resource.prlimit(pid, resource.RLIMIT_DATA, (memory, memory))
        if sys.platform == "linux":
            Path(f"/proc/{pid}/oom_score_adj").write_text("500", encoding="utf-8")
    except (ProcessLookupError, FileNotFoundError, PermissionError):  # it has ended already, or may not be limited
        pass


def tail(folder: Path) -> str:
    """Return the end of the log of the last attempt, to show to the user."""
    try:
        with open(folder / "log.txt", "rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL))
            return log.read().decode(errors="replace").rpartition(ATTEMPT)[2].partition("\n")[2]
    except OSError:
        return ""
