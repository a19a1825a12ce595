"""Several workers on one machine, each a process with its TF_CONFIG: what a cluster does, to be tried at a desk."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from kerasdl.recipe import Recipe
from kerasdl.run import Run

NOTICED = 60  # seconds within which TensorFlow's heartbeats, which take about ten, have told that a worker is gone
LAST = 5  # seconds for what a worker said last to be printed
GRACE = NOTICED + 30  # seconds that the others get to notice a worker's end, say so and stop


def launch(name: str, recipe: Recipe, words: list[str], workers: int, workdir: Path | None) -> int:
    """Train `name` by `workers` processes and return the exit code of the first that failed, or 0.

    Args:
        name: of the recipe, or its path.
        recipe: the same, with the overrides in `words`.
        words: overrides and options of `kerasdl train`.
        workdir: the run's folder; that of an interrupted run resumes it, that of a completed one shows its scores.
    """
    run = (Run.completed(workdir, recipe) or Run.unfinished(workdir, recipe)
           or Run.create(recipe, workdir, new=True))
    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    command = [sys.executable, "-P", "-c", "from kerasdl.cli import main; main()", "train", name, *words,
               "--strategy", "multiworker", "--workdir", os.fspath(run.path)]
    processes: list[subprocess.Popen] = []
    relays: list[threading.Thread] = []

    def forward(number, frame):
        for process in processes:
            process.send_signal(signal.SIGTERM if number == signal.SIGHUP else number)

    told = [signal.SIGTERM, signal.SIGINT, *[signal.SIGHUP] * (signal.getsignal(signal.SIGHUP) != signal.SIG_IGN)]
    before = {number: signal.signal(number, forward) for number in told}  # nohup stays what it is
    try:
        for index in range(workers):
            processes.append(start(command, addresses, index))
            relays.append(threading.Thread(target=relay, args=(processes[-1], index), daemon=True))
            relays[-1].start()
        return wait(processes)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for process in processes:
            process.kill()
        for thread in relays:
            thread.join(LAST)


def start(command: list[str], addresses: list[str], index: int) -> subprocess.Popen:
    """One worker, in a group of its own, which keeps Ctrl-C to `forward`."""
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    process = subprocess.Popen(command, env=os.environ | {"TF_CONFIG": json.dumps(config)}, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    print(f"[{index}] is process {process.pid}", flush=True)
    return process


def relay(process: subprocess.Popen, index: int) -> None:
    """Print a worker's lines as they come, with its number in front."""
    for line in process.stdout or ():  # read on when nobody reads us any more: a full pipe would stop the worker
        with suppress(OSError):
            print(f"[{index}] {line}", end="", flush=True)


def wait(processes: list[subprocess.Popen]) -> int:
    """Wait for all; after the first that fails the others have GRACE seconds."""
    code, deadline = 0, None
    while any(process.poll() is None for process in processes):
        failed = [process.returncode for process in processes if process.poll()]
        if failed and deadline is None:
            code, deadline = failed[0], time.monotonic() + GRACE
        if deadline and time.monotonic() > deadline:
            break
        time.sleep(0.2)
    code = code or next((process.returncode for process in processes if process.returncode), 0)
    return 128 - code if code < 0 else code


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
