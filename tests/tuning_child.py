"""A trial in no time: what kerasdl.tuning.trial does, without TensorFlow, for tests of the search's loop.

Each start of a trial adds a line to `ledger`, next to the folder of trials. Its score follows from its recipe.
`faults.json` there says which trials misbehave and how, {id: fault}; see `spoil`.
"""

import errno
import json
import os
import signal
import sys
import time
import zlib

from kerasdl.errors import UserError
from kerasdl.tuning import trial

FIELDS = ("model_args", "lr", "optimizer", "optimizer_args", "weight_decay")


def run(task, folder):
    study = folder.parent.parent
    with open(study / "ledger", "a") as ledger:
        ledger.write(f"{task['id']}\n")
    faults = study / "faults.json"
    score = zlib.crc32(json.dumps([task["recipe"][key] for key in FIELDS], sort_keys=True).encode()) / 2**32
    if faults.exists():
        score = spoil(json.loads(faults.read_text()).get(task["id"]), task, score, study)
    scores = {"val/accuracy": score, "val/loss": 1.0} | ({"test/accuracy": score} if task.get("test") else {})
    return {"status": "completed", "scores": scores, "epochs": 1}


def spoil(fault, task, score, study):
    if fault == "raise" or fault == "raise once" and task["attempt"] == 1:
        raise RuntimeError("it broke")
    if fault == "mistake":
        raise UserError("batch=7 does not divide by 2 replicas.")
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "wait":
        while not (study / "go").exists():
            time.sleep(0.02)
    if fault == "hang":
        time.sleep(600)
    if fault == "eat":
        return bytearray(2**40)
    if fault == "disk":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return float("nan") if fault == "nan" else score


if __name__ == "__main__":
    trial.run, trial.prepare = run, lambda: None
    sys.exit(trial.command(sys.argv[1:]))
