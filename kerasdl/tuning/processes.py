"""The process of a trial: where it runs, what it may use, and what its end means."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerasdl.errors import UserError
from kerasdl.files import write_json
from kerasdl.tuning.study import OUTCOME, Given, read
from kerasdl.tuning.trial import ASKED, NO_ROOM, NOT_NOW, failed

COMMAND = (sys.executable, "-P", "-m", "kerasdl.tuning.trial")  # -P: a random.py of the user's is not Python's
GRACE = 60  # seconds in which a process that was asked to stop must have saved
ATTEMPT = "--- attempt"  # begins the log of each
TAIL = 4000  # characters of the log that are kept of a process that could not say why it ended
MEMORY = ("std::bad_alloc", "MemoryError", "ResourceExhausted", "out of memory", "Cannot allocate memory",
          "failed to allocate", "can't start new thread", "Resource temporarily unavailable")


@dataclass(frozen=True)
class Slot:
    """The share of the machine that one trial at a time has.

    Attributes:
        cores: numbers of processor cores; None: all.
        gpu: the name of a GPU, as CUDA_VISIBLE_DEVICES has it; None: all there are.
    """

    cores: tuple[int, ...] | None = None
    gpu: str | None = None


def slots(workers: int) -> list[Slot]:
    """The machine divided: a GPU each, and as many cores as each other. One worker has everything.

    Raises:
        UserError: for less than one worker.
    """
    if type(workers) is not int or workers < 1:
        raise UserError(f"workers is a whole number from 1 on. Received: {workers!r}.")
    if workers == 1:
        return [Slot()]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    cards = gpus()
    return [Slot(tuple(cores[index::workers]) or (tuple(cores[index % len(cores):][:1]) if cores else None),
                 cards[index % len(cards)] if cards else None) for index in range(workers)]


def gpus() -> list[str]:
    """The GPUs that this process may use, by what CUDA_VISIBLE_DEVICES or else nvidia-smi says."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True,
                                text=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return []
    return listed.stdout.split() if listed.returncode == 0 else []


@dataclass
class Process:
    """The running process of a trial.

    Attributes:
        given: what it runs.
        slot: where.
        began: when, on the clock time.monotonic.
        late: whether it was asked to stop because its time was over.
    """

    given: Given
    slot: Slot
    popen: subprocess.Popen
    began: float = field(default_factory=time.monotonic)
    late: bool = False
    asked: float | None = None

    @property
    def ended(self) -> bool:
        return self.popen.poll() is not None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def ask_to_stop(self) -> None:
        """So that it saves and ends; when it was asked and has not ended for long, it is killed."""
        if self.asked is None:
            self.asked = time.monotonic()
            self.popen.terminate()
        elif time.monotonic() - self.asked > GRACE:
            self.popen.kill()

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()

    @property
    def refusal(self) -> str | None:
        """Why it cannot be trained as things are, through no fault of its own; None if that is not so."""
        return last_line(self.given.folder) if self.popen.returncode == NOT_NOW else None

    def outcome(self, timeout: float | None) -> dict[str, Any] | None:
        """How the trial ended; None where it was interrupted, which is no end.

        Raises:
            OSError: if nothing could be written.
        """
        file, code = self.given.folder / OUTCOME, self.popen.returncode
        said = read(file)
        if said and said["attempt"] == self.given.attempt:
            return said
        if code == NO_ROOM:
            raise OSError(last_line(self.given.folder) or "No space left on device")
        if self.late:
            told = failed(f"not done within its time limit of {timeout:g} s", again=False)
        elif code in (ASKED, -signal.SIGTERM, 128 + signal.SIGINT):
            return None
        else:
            told = died(code, tail(self.given.folder))
        told |= {"attempt": self.given.attempt, "seconds": round(self.seconds, 2)}
        write_json(file, told)
        return told


def start(given: Given, slot: Slot, memory: int | None = None) -> Process:
    """Start the process of a trial.

    It has the trial's lock, which goes when it dies, and a pipe of which it sees the end when this process dies. It is
    in a session of its own, so that Ctrl-C reaches this process alone, which passes it on.

    Args:
        memory: the most bytes of data that it may have.
    """
    environment = dict(os.environ)
    if slot.gpu is not None:
        environment |= {"CUDA_VISIBLE_DEVICES": slot.gpu, "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    with open(given.folder / "log.txt", "ab") as log:
        log.write(f"{ATTEMPT} {given.attempt}\n".encode())
        log.flush()
        popen = subprocess.Popen([*COMMAND, os.fspath(given.folder)], stdin=subprocess.PIPE, stdout=log, stderr=log,
                                 env=environment, pass_fds=[given.lock], start_new_session=True)
    confine(popen.pid, slot, memory)
    return Process(given, slot, popen)


def confine(pid: int, slot: Slot, memory: int | None) -> None:
    """Cores and memory of a process that has just begun. Where memory is short Linux is to end it, not its parent."""
    try:
        if slot.cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(pid, slot.cores)
        if memory:
            import resource

            resource.prlimit(pid, resource.RLIMIT_DATA, (memory, memory))
        if sys.platform == "linux":
            Path(f"/proc/{pid}/oom_score_adj").write_text("500")
    except (ProcessLookupError, FileNotFoundError, PermissionError):  # it has ended already, or it is not ours to say
        pass


def died(code: int, log: str) -> dict[str, Any]:
    """The outcome of a process that could not write its own."""
    if any(words in log for words in MEMORY):
        why = "out of memory"
    elif code == -signal.SIGKILL:
        why = "killed (SIGKILL), by hand or by the system for want of memory"
    elif code < 0:
        why = f"killed by signal {signal.Signals(-code).name}"
    else:
        why = f"ended with exit code {code}"
    return failed(why, again=True, trace=log)


def tail(folder: Path) -> str:
    try:
        with open(folder / "log.txt", "rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL))
            return log.read().decode(errors="replace").rpartition(ATTEMPT)[2].partition("\n")[2]
    except OSError:
        return ""


def last_line(folder: Path) -> str:
    """Of the log of the last attempt; "" if it could not be written."""
    return (tail(folder).strip().splitlines() or [""])[-1]
