"""The process that those of trials are forked from. It has imported Keras, so that each begins in no time.

It computes nothing itself: no thread of TensorFlow's is lost in a fork.
"""

import json
import os
import random
import select
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

WORD = "--nursery"  # of a trial's command, with the number of a socket in place of a folder
MESSAGE = 2**18  # bytes, more than any has


def serve(number: int, main: Callable[[Path], int]) -> int:
    """Fork a process for each request that comes, and tell how each ends, until the parent is gone.

    Args:
        number: of the socket.
        main: of a trial, which takes its folder.

    Returns:
        The exit code; in a forked process, that of its trial.
    """
    link, (wake, waking) = socket.socket(fileno=number), os.pipe()  # a byte comes through the pipe for each end
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([link.fileno(), wake], [], [])
        if wake in ready:
            os.read(wake, MESSAGE)
            tell_ends(link)
        if link.fileno() in ready:
            message, files, *_ = socket.recv_fds(link, MESSAGE, 3)
            if not message:
                return 0
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for mine in (link.detach(), wake, waking):
                    os.close(mine)
                return main(settled(json.loads(message), files))
            for file in files:
                os.close(file)
            link.send(json.dumps({"pid": pid}).encode())


def tell_ends(link: socket.socket) -> None:
    """Tell of each process that has ended."""
    with suppress(ChildProcessError):  # there is none left
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            link.send(json.dumps({"pid": ended[0], "code": os.waitstatus_to_exitcode(ended[1])}).encode())


def settled(request: dict[str, Any], files: Sequence[int]) -> Path:
    """Make this process, just forked, like one that was started for a trial; return the trial's folder."""
    os.setsid()
    reading, log, _ = files  # the last is the trial's lock, which is held as long as this process lives
    for source, target in ((reading, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(reading)
    os.close(log)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["here"])
    if request["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, request["cores"])
    random.seed()
    np.random.seed()
    return Path(request["folder"])
