"""Begin the processes of trials by a fork of one that has imported Keras: kerasdl.tuning.forking.

A trial is a process of its own as before: its memory goes when it ends, and it is confined and killed without harm to
the others.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from kerasdl.tuning import pool
from kerasdl.tuning.forking import MESSAGE, WORD
from kerasdl.tuning.pool import Worker
from kerasdl.tuning.trials import Lease

PATIENCE = 120  # seconds in which Keras must have been imported
GONE = -signal.SIGKILL  # taken for the exit code of a trial when the process that knows it is gone


class Nursery:
    """The parent's side. Where nothing can be forked, processes begin as `pool.begin` lets them."""

    def __init__(self) -> None:
        self.link: socket.socket | None = None
        self.process: subprocess.Popen | None = None
        self.broken = sys.platform != "linux"  # elsewhere a fork may break what was imported
        self.pids: list[int] = []
        self.ends: dict[int, int] = {}

    def fork(self, lease: Lease, worker: Worker, log: BinaryIO) -> Any:
        """Begin the process of a trial, as `pool.begin` does; return it, with what the engine uses of a Popen."""
        if not self.broken:
            try:
                return self._forked(lease, worker, log)
            except OSError:  # a TimeoutError among them
                self._give_up()
        return pool.begin(lease, worker, log)

    def _forked(self, lease: Lease, worker: Worker, log: BinaryIO) -> "Forked":
        request = {"folder": os.fspath(lease.folder), "cores": worker.cores, "here": os.getcwd(),
                   "environment": pool.environment(worker)}
        link = self._linked()
        reading, writing = os.pipe()
        process = Forked(self, os.fdopen(writing, "wb"))
        try:
            socket.send_fds(link, [json.dumps(request).encode()], [reading, log.fileno(), lease.lock])
            while not self.pids:
                self._hear(link)
        except OSError:
            process.stdin.close()
            raise
        finally:
            os.close(reading)
        process.pid = self.pids.pop()
        return process

    def _linked(self) -> socket.socket:
        """Return the way to the process, which is started first if it was not."""
        if self.link is None:
            self.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.link.settimeout(PATIENCE)
            with theirs:
                self.process = subprocess.Popen(
                    [*pool.COMMAND, WORD, str(theirs.fileno())], pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                    start_new_session=True)
        return self.link

    def _hear(self, link: socket.socket) -> None:
        """Read the next message: the number of a new process, or how one has ended."""
        message = link.recv(MESSAGE)
        if not message:
            raise ConnectionError("the process that others are forked from has ended")
        read = json.loads(message)
        if "code" in read:
            self.ends[read["pid"]] = read["code"]
        else:
            self.ends.pop(read["pid"], None)  # of an earlier process that had the same number
            self.pids.append(read["pid"])

    def end_of(self, pid: int) -> int | None:
        """Return the exit code of a process, as subprocess has it; None while it runs."""
        try:
            while self.link and select.select([self.link], [], [], 0)[0]:
                self._hear(self.link)
        except OSError:
            self._give_up()
        if self.link or pid in self.ends:
            return self.ends.get(pid)
        return None if running(pid) else GONE

    def _give_up(self) -> None:
        """Do without: trials that run keep running, later ones begin from nothing, and no request is answered late."""
        self.broken = True
        if self.process:
            self.process.kill()
        if self.link:
            self.link.close()
            self.link = None


class Forked:
    """A forked process, with what the engine uses of subprocess.Popen."""

    def __init__(self, nursery: Nursery, stdin: BinaryIO) -> None:
        self.nursery, self.stdin, self.pid = nursery, stdin, 0
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        if self.returncode is None:
            self.returncode = self.nursery.end_of(self.pid)
        return self.returncode

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def wait(self) -> int:
        """Wait for the end, and return the exit code."""
        while (code := self.poll()) is None:
            select.select([self.nursery.link] if self.nursery.link else [], [], [], 0.1)
        self.stdin.close()
        return code

    def _send(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it ends just now
                os.kill(self.pid, number)


def running(pid: int) -> bool:
    """Return whether a process of this number runs, and is not one that has ended and that nobody has asked about."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False
