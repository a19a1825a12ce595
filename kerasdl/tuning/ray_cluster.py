"""Trials on a cluster of Ray: an actor on some node runs the process of a trial there.

A node that sees the search's folder, over a shared file system, works in it. Another gets the trial's files through
Ray's object store, works in a folder of its own and gives them back when the process has ended, also when it was asked
to stop. The search itself, its locks and its oracle stay with the driver. A node that dies takes the process with it;
the trial was interrupted then, and the next free worker resumes it from the files that the driver has.
"""

import fcntl
import io
import os
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerasdl.errors import UserError
from kerasdl.tuning import pool
from kerasdl.tuning.nursery import Nursery
from kerasdl.tuning.pool import TrialProcess, Worker
from kerasdl.tuning.trials import LOCK, Lease

PASSED = ("KERAS_BACKEND", "KERASDL_CACHE", "TFDS_DATA_DIR")  # variables that a trial is to see as the driver does
SHARED = True  # whether a node that sees the driver's folder works in it
TOKEN = "shared-{}"  # a file that tells a node that it sees the driver's folder
RUNNING = "running"  # the lock that a trial's process holds
LEFT_BEHIND = (LOCK, RUNNING)  # files of a trial that stay on the driver


class Cluster:
    """A connection to Ray, which starts trials.

    Args:
        address: "local" to start Ray on this machine, "auto" for the cluster of this machine, or an address.
        workers: how many trials run at a time; CPUs and GPUs of the cluster are divided among them.

    Raises:
        UserError: Ray is not installed, or there is no cluster.
    """

    def __init__(self, address: str, workers: int = 1):
        try:
            import ray
        except ImportError:
            raise UserError("--ray needs Ray: pip install 'kerasdl[ray]'") from None
        if not ray.is_initialized():
            try:
                check(address)
                ray.init(None if address == "local" else address, log_to_driver=False,
                         configure_logging=False)
            except Exception as error:  # of many kinds
                raise UserError(f"There is no Ray cluster at {address!r}: {' '.join(str(error).split())[:200]}. Start "
                                "one with: ray start --head") from None
        self.cpus, self.gpus = max(1, share("CPU", workers)), share("GPU", workers)
        self.runner: Any = ray.remote(Runner)

    def start(self, lease: Lease, worker: Worker, memory: int | None = None) -> TrialProcess:
        """Start the process of a trial somewhere, as `pool.start` does here."""
        return TrialProcess(lease, worker, RemoteProcess(self, lease, memory))  # type: ignore[arg-type]


def share(kind: str, workers: int) -> int:
    """Return how many CPUs or GPUs each of some workers gets: no more than one node has."""
    import ray

    counts = [int(node["Resources"].get(kind, 0)) for node in ray.nodes() if node["Alive"]]
    return min(sum(counts) // workers, max(counts, default=0))


def check(address: str) -> None:
    """Raise an OSError if nobody listens at HOST:PORT: Ray would end this process after a minute."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=5).close()


class RemoteProcess:
    """The process of a trial on some node, with the methods of subprocess.Popen that the engine uses."""

    def __init__(self, cluster: Cluster, lease: Lease, memory: int | None):
        self.folder = lease.folder.resolve()
        self.returncode: int | None = None
        self.token = self.folder / TOKEN.format(uuid.uuid4().hex)
        if SHARED:
            self.token.touch()
        environment = {name: os.environ[name] for name in PASSED if name in os.environ}
        wanted = {"num_cpus": cluster.cpus, "num_gpus": cluster.gpus, "max_concurrency": 2}
        self.actor: Any = cluster.runner.options(**wanted).remote()
        limits = {"memory": memory, "cpus": cluster.cpus, "cwd": os.getcwd()}
        self.result = self.actor.run.remote(str(self.folder), self.token.name, packed(self.folder),
                                            list(pool.COMMAND[1:]), environment, limits)

    def poll(self) -> int | None:
        """Return its exit code once it has ended; -SIGTERM, which is an interruption, if its node is lost."""
        import ray

        if self.returncode is None and ray.wait([self.result], timeout=0)[0]:
            try:
                code, files = ray.get(self.result)
            except ray.exceptions.RayError:
                code, files = -signal.SIGTERM, None
            if files is not None:
                unpack(files, self.folder)
            self.token.unlink(missing_ok=True)
            ray.kill(self.actor)
            self.returncode = code
        return self.returncode

    def terminate(self) -> None:
        """Ask it to save its state and end."""
        self.actor.stop.remote()

    def kill(self) -> None:
        import ray

        if self.returncode is None:
            ray.kill(self.actor)
            self.token.unlink(missing_ok=True)
            self.returncode = -signal.SIGKILL

    def wait(self) -> int | None:
        return self.returncode


class Runner:
    """What runs on a node. Two calls at a time, so that `stop` is heard while `run` waits."""

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None
        self.stopped = False

    def run(self, folder: str, token: str, files: bytes, command: list[str], environment: dict[str, str],
            limits: dict[str, Any]) -> tuple[int, bytes | None]:
        """Run a trial's process to its end; return its exit code and its files, None if the driver sees them.

        Args:
            folder: of the trial, on the driver.
            token: the name of a file that is in it.
            files: of the trial, as `packed` returns them.
            command: the arguments of Python before the folder.
            environment: more variables of the process.
            limits: "memory" in bytes or None; "cpus", how many it has; "cwd", where the driver works, with the files
                that recipes name, if the node has such a folder.
        """
        home = Path(folder)
        if (home / token).exists():
            return self.process_of(home, command, environment, limits), None
        with tempfile.TemporaryDirectory() as elsewhere:
            home = Path(elsewhere) / Path(folder).name
            home.mkdir()
            unpack(files, home)
            code = self.process_of(home, command, environment, limits)
            return code, packed(home)

    def process_of(self, folder: Path, command: list[str], environment: dict[str, str], limits: dict[str, Any]) -> int:
        """Run the process of a trial's folder and wait for it.

        The process holds a lock: if a driver or a node died, its last process may still be saving its state here.
        """
        cpus, cwd = limits["cpus"], limits["cwd"]
        threads = {"TF_NUM_INTRAOP_THREADS": str(cpus)} if cpus < (os.cpu_count() or 1) else {}
        with open(folder / "log.txt", "ab") as log, open(folder / RUNNING, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.process = subprocess.Popen([sys.executable, *command, os.fspath(folder)], stdin=subprocess.PIPE,
                                            stdout=log, stderr=log, env=os.environ | threads | environment,
                                            cwd=cwd if os.path.isdir(cwd) else None, pass_fds=[lock.fileno()])
        pool.confine(self.process.pid, Worker(), limits["memory"])
        if self.stopped:
            self.process.terminate()
        return self.process.wait()

    def stop(self) -> None:
        """Ask the process to save its state and end; a second time, end it."""
        if self.process is not None:
            (self.process.kill if self.stopped else self.process.terminate)()
        self.stopped = True


def packed(folder: Path) -> bytes:
    """Return the files of a trial as a tar archive."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in sorted(folder.iterdir()):
            if path.name not in LEFT_BEHIND and not path.name.startswith(TOKEN.format("")):
                tar.add(path, path.name)
    return archive.getvalue()


def unpack(archive: bytes, folder: Path) -> None:
    """Write the files of an archive into a folder, the outcome last: with it the trial has ended."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = sorted(tar.getmembers(), key=lambda member: member.name == "outcome.json")
        tar.extractall(folder, members, filter="data")


def connect(address: str | None, workers: int) -> tuple[list[Worker], Callable[..., TrialProcess]]:
    """Return the workers, and what starts a trial for one of them: a cluster, or with None this machine."""
    here = pool.workers(workers)
    if address is not None:
        return [Worker()] * len(here), Cluster(address, workers).start
    nursery = Nursery()
    return here, lambda lease, worker, memory=None: pool.start(lease, worker, memory, nursery.fork)
