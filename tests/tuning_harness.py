"""Runs a search whose parent is killed at random calls and whose children at random moments, until it is over.

Run as a program: a folder, the oracle, workers, how many kills of each, a seed. It leaves the search in
`<folder>/search` and prints what happened as JSON. A life of the parent is a fork of this process, which has imported
TensorFlow but not used it.
"""

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

from kerasdl.tuning import Search, choice, pool, uniform
from kerasdl.tuning.engine import tune
from kerasdl.tuning.study import Study

CHILD = Path(__file__).with_name("tuning_child.py")
CALLS = ((os, "replace"), (os, "close"), (os, "truncate"), (os, "write"), (fcntl, "flock"), (subprocess, "Popen"))
TRIALS = {"evolution": 26}  # by oracle, else 12: evolution begins with 20 at random


def search(oracle: str) -> Search:
    """12 trials, or as TRIALS has it; the grid has a condition."""
    space = {"optimizer": choice("adamw", "sgd"), "lr": choice(1e-3, 1e-2, 1e-1),
             "optimizer_args.momentum": choice(0.0, 0.5, 0.9).when(optimizer="sgd")}
    if oracle != "grid":
        space |= {"weight_decay": uniform(0, 0.1)}
    trials = None if oracle == "grid" else TRIALS.get(oracle, 12)
    return Search(recipe="mlp_digits", space=space, oracle=oracle, trials=trials, seed=0, stop_early=False)


def die_at(call: int) -> None:
    """This process is killed at that call of those that change the world, just before or just after it."""
    made = 0

    def counted(original):
        def counting(*arguments, **keywords):
            nonlocal made
            made += 1
            if made == call and call % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = original(*arguments, **keywords)
            if made == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer
        return counting

    for owner, name in CALLS:
        setattr(owner, name, counted(getattr(owner, name)))


def life(folder: Path, oracle: str, workers: int, call: int | None, shots: random.Random, left: int) -> tuple[int, int]:
    """A parent from its beginning to its end or `call`; (how it ended, children that it killed)."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        original, shot = pool.start, [0]

        def start(*arguments):
            process = original(*arguments)
            if process.lease.attempt == 1 and shot[0] < left and shots.random() < 0.5:
                shot[0] += 1
                os.write(writing, b"x")
                threading.Timer(shots.uniform(0, 0.5), process.popen.kill).start()
            return process

        pool.start = start
        if call:
            die_at(call)
        try:
            tune(search(oracle), folder / "search", workers, verbose=False)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as shot:
        return os.waitstatus_to_exitcode(status), len(shot.read())


def main(folder: Path, oracle: str, workers: int, kills: int, seed: int) -> dict:
    pool.COMMAND = (sys.executable, os.fspath(CHILD))
    dice, parents, children = random.Random(seed), 0, 0
    while True:
        call = dice.randint(1, 90) if parents < kills else None
        code, shot = life(folder, oracle, workers, call, dice, kills - children)
        children += shot
        dice.random()
        if code == 0:
            break
        assert code == -signal.SIGKILL, code
        parents += 1
    study = Study.open(folder / "search")
    trials = [(record.id, record.status, record.values, record.score) for record in study.records()]
    return {"parents": parents, "children": children, "trials": trials,
            "ledger": (folder / "search" / "ledger").read_text().split()}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))))
