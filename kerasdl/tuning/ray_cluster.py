"""Trials on a cluster of Ray: an actor on some node runs the process of a trial there.

A node that sees the search's folder, over a shared file system, works in it. Another gets the trial's files through
Ray's object store, works in a folder of its own and gives them back when the process has ended, also when it was asked
to stop. The search itself, its locks and its oracle stay with the driver. A node that dies takes the process with it;
the trial was interrupted then, and the next free worker resumes it from the files that the driver has. Any other error
of Ray is a failed attempt, as an error of the process is.
"""

import fcntl
import io
import json
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerasdl.errors import UserError
from kerasdl.tuning import pool
from kerasdl.tuning.nursery import Nursery
from kerasdl.tuning.pool import TrialProcess, Worker
from kerasdl.tuning.trial import failed
from kerasdl.tuning.trials import LOCK, OUTCOME, Lease

PASSED = ("KERAS_BACKEND", "KERASDL_CACHE", "TFDS_DATA_DIR")  # variables that a trial is to see as the driver does
SHARED = True  # whether a node that sees the driver's folder works in it
TOKEN = "shared-{}"  # a file that tells a node that it sees the driver's folder
RUNNING = "running"  # the lock that a trial's process holds
LEFT_BEHIND = (LOCK, RUNNING)  # files of a trial that stay on the driver
PATIENCE = 60  # seconds without a place in the cluster after which it is said
logger = logging.getLogger(__name__)


class Cluster:
    """A connection to Ray, which starts trials.

    Args:
        address: "local" to start Ray on this machine, "auto" for the cluster of this machine, or an address.
        workers: how many trials run at a time; CPUs and GPUs of the cluster are divided among them.
        memory: bytes that a trial may have, if that is limited.

    Raises:
        UserError: Ray is not installed, there is no cluster, or no node has the memory.
    """

    def __init__(self, address: str, workers: int = 1, memory: int | None = None):
        try:
            import ray
        except ImportError:
            raise UserError("--ray needs Ray: pip install 'kerasdl[ray]'") from None
        if not ray.is_initialized():
            try:
                check(address)
                ray.init(address, log_to_driver=False, configure_logging=False)
            except Exception as error:  # of many kinds
                raise UserError(f"There is no Ray cluster at {address!r}: {' '.join(str(error).split())[:200]}. Start "
                                "one with: ray start --head") from None
        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if memory and memory > (most := max((each.get("memory", 0) for each in alive), default=0)):
            raise UserError(f"No node of the cluster has {memory / 2**20:g} MB of memory for a trial; the most is "
                            f"{most // 2**20:.0f} MB. Give less with --memory.")
        self.cpus, self.gpus = shares([(int(each.get("CPU", 0)), int(each.get("GPU", 0))) for each in alive], workers)
        self.runner: Any = ray.remote(Runner)

    def start(self, lease: Lease, worker: Worker, memory: int | None = None) -> TrialProcess:
        """Start the process of a trial somewhere, as `pool.start` does here."""
        return RemoteTrial(lease, worker, RemoteProcess(self, lease, memory))


def shares(nodes: Sequence[tuple[int, int]], workers: int) -> tuple[int, float]:
    """Return how many CPUs and GPUs each of some workers gets: the most of which the nodes have enough for all.

    Several workers share a GPU where there are more of them, and wait for one another where there are no CPUs for all.

    Args:
        nodes: (CPUs, GPUs) of each.
        workers: how many trials run at a time.
    """
    cores, cards = [cpus for cpus, _ in nodes], [gpus for _, gpus in nodes]
    total = sum(cards)
    each = next((gpus for gpus in range(max(cards, default=0), 0, -1)
                 if sum(card // gpus for card in cards) >= workers), 0) or (total and 1 / math.ceil(workers / total))
    places = [round(card / each) if 0 < each < 1 else card // each if each else workers for card in cards]
    cpus = next((cpus for cpus in range(max(cores, default=0), 0, -1)
                 if sum(min(core // cpus, place) for core, place in zip(cores, places, strict=True)) >= workers), 1)
    return cpus, each


def check(address: str) -> None:
    """Raise an OSError if nobody listens at HOST:PORT: Ray would end this process after a minute."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=5).close()


@dataclass
class RemoteTrial(TrialProcess):
    """The process of a trial that may have to wait for a place in the cluster, which is no part of its time.

    Attributes:
        asked_at: when a place was asked for, on the clock time.monotonic; infinity once it was said that none came.
    """

    asked_at: float = field(default_factory=time.monotonic)

    @property
    def interrupted(self) -> bool:
        error = self.popen.error
        return super().interrupted or error is not None and is_loss(error)

    @property
    def ended(self) -> bool:
        ended, now = super().ended, time.monotonic()
        self.waits = not self.popen.placed
        if self.waits:
            self.began = now
            if now > self.asked_at + PATIENCE:
                self.asked_at = math.inf
                logger.warning("Trial %s waits for a place in the cluster of Ray, which `ray status` describes.",
                               self.lease.id)
        return ended

    def failure(self) -> dict[str, Any]:
        error = self.popen.error
        if error is None:
            return super().failure()
        last = [line for line in str(error).splitlines() if line.strip()][-1:]
        return failed(f"Ray: {type(error).__name__}: {' '.join(last)}", again=True, trace=str(error))


class RemoteProcess:
    """The process of a trial on some node, with the methods of subprocess.Popen that the engine uses.

    Attributes:
        placed: whether it has a place in the cluster.
        error: of Ray, after which it is no more.
    """

    def __init__(self, cluster: Cluster, lease: Lease, memory: int | None):
        self.folder, self.placed = lease.folder.resolve(), False
        self.returncode: int | None = None
        self.error: Exception | None = None
        self.token = self.folder / TOKEN.format(uuid.uuid4().hex)
        if SHARED:
            self.token.touch()
        environment = {name: os.environ[name] for name in PASSED if name in os.environ}
        environment |= {"TF_FORCE_GPU_ALLOW_GROWTH": "true"} if cluster.gpus else {}
        wanted = {"num_cpus": cluster.cpus, "num_gpus": cluster.gpus, "max_concurrency": 2,
                  **({"memory": memory} if memory else {})}
        self.actor: Any = cluster.runner.options(**wanted).remote()
        self.ready = self.actor.__ray_ready__.remote()
        init = lease.task["recipe"]["init"]
        limits = {"memory": memory, "cpus": cluster.cpus, "cwd": os.getcwd(),
                  "init": init if init and is_sibling(init, self.folder) else None}
        self.result = self.actor.run.remote(
            str(self.folder), self.token.name, packed([self.folder, *read_by(self.folder, lease.task)]),
            list(pool.COMMAND[1:]), environment, limits)

    def poll(self) -> int | None:
        """Return its exit code once it has ended; -SIGTERM if its node is lost."""
        import ray

        self.placed = self.placed or bool(ray.wait([self.ready], timeout=0)[0])
        if self.returncode is None and ray.wait([self.result], timeout=0)[0]:
            try:
                code, files = ray.get(self.result)
            except ray.exceptions.RayError as error:
                code, files = -signal.SIGTERM if is_loss(error) else 1, None
                self.error = error
            if files is not None:
                unpack(files, self.folder.parent)
            self.token.unlink(missing_ok=True)
            ray.kill(self.actor)
            self.returncode = code
        return self.returncode

    def terminate(self) -> None:
        """Ask it to save its state and end; without a place it has none, and is gone."""
        if self.placed:
            self.actor.stop.remote()
        else:
            self.kill()
            self.returncode = -signal.SIGTERM

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
            files: of the trial and of those that it reads, as `packed` returns them.
            command: the arguments of Python before the folder.
            environment: more variables of the process.
            limits: "memory" in bytes or None; "cpus", how many it has; "cwd", where the driver works, with the files
                that recipes name, if the node has such a folder; "init", that of the recipe if it is another trial of
                the same search, else None.
        """
        home = Path(folder)
        if (home / token).exists():
            return self.process_of(home, command, environment, limits), None
        with tempfile.TemporaryDirectory() as elsewhere:
            home = Path(elsewhere) / Path(folder).name
            unpack(files, Path(elsewhere))
            init = limits["init"] or ""
            here = str(Path(elsewhere) / Path(init).name) if init else ""
            rename(home, init, here)
            code = self.process_of(home, command, environment, limits)
            rename(home, here, init)  # the driver's name stays, with which another node resumes
            return code, packed([home])

    def process_of(self, folder: Path, command: list[str], environment: dict[str, str], limits: dict[str, Any]) -> int:
        """Run the process of a trial's folder and wait for it.

        The process holds a lock: if a driver or a node died, its last process may still be saving its state here.
        """
        cpus, cwd = limits["cpus"], limits["cwd"]
        threads = {"TF_NUM_INTRAOP_THREADS": str(cpus)} if cpus < (os.cpu_count() or 1) else {}
        with open(folder / "log.txt", "ab") as log, open(folder / RUNNING, "wb") as lock:
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


def is_loss(error: Exception) -> bool:
    """Return whether an error of Ray says that a node, or what ran there, is gone, and not that it cannot run."""
    from ray import exceptions

    gone = isinstance(error, (exceptions.RayActorError, exceptions.NodeDiedError, exceptions.ObjectLostError))
    return gone and not getattr(error, "actor_init_failed", False)


def is_sibling(init: str, folder: str | Path) -> bool:
    """Return whether the `init` of a recipe is another trial of the same search."""
    return Path(init).resolve().parent == Path(folder).parent


def read_by(folder: Path, task: dict[str, Any]) -> list[Path]:
    """Return the folders of the trials whose weights or checkpoint a trial begins with."""
    init, rung = task["recipe"]["init"], task["rung"]
    names = {Path(init).name} if init and is_sibling(init, folder) else set()
    names |= {rung["parent"]} if rung and rung["parent"] and not (folder / "recipe.json").exists() else set()
    return [folder.with_name(name) for name in sorted(names)]


def rename(folder: Path, old: str, new: str) -> None:
    """Put a path in place of another one in the JSON files of a trial, some of which escape letters beyond ASCII."""
    for file in folder.glob("*.json") if old != new else ():
        text = file.read_text(encoding="utf-8")
        for escaped in (False, True):
            text = text.replace(json.dumps(old, ensure_ascii=escaped), json.dumps(new, ensure_ascii=escaped))
        file.write_text(text, encoding="utf-8")


def packed(folders: Sequence[Path]) -> bytes:
    """Return the files of some trials as a tar archive."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in sorted(path for folder in folders for path in folder.iterdir()):
            if path.name not in LEFT_BEHIND and not path.name.startswith(TOKEN.format("")):
                tar.add(path, f"{path.parent.name}/{path.name}")
    return archive.getvalue()


def unpack(archive: bytes, home: Path) -> None:
    """Write the files of an archive into the folder of all trials, the outcome last: with it the trial has ended.

    Checkpoints that are there and not in the archive were removed where the trial ran, and are removed here, too.
    """
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = sorted(tar.getmembers(), key=lambda member: Path(member.name).name == OUTCOME)
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # Python has it from 3.11.4 on
        tar.extractall(home, members)
    given = {home / member.name for member in members}
    for trial in {Path(member.name).parts[0] for member in members}:
        for path in sorted([home / trial / "checkpoint", *(home / trial).glob("checkpoint/**/*")], reverse=True):
            if path.exists() and path not in given:
                (Path.rmdir if path.is_dir() else Path.unlink)(path)


def connect(address: str | None, workers: int, memory: int | None = None
            ) -> tuple[list[Worker], Callable[..., TrialProcess]]:
    """Return the workers, and what starts a trial for one of them: a cluster, or with None this machine.

    The other arguments are those of Cluster.
    """
    here = pool.workers(workers)
    if address is not None:
        return [Worker()] * len(here), Cluster(address, workers, memory).start
    nursery = Nursery()
    return here, lambda lease, worker, memory=None: pool.start(lease, worker, memory, nursery.fork)
