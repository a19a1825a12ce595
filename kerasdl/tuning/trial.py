"""The process of a trial: train a recipe into the trial's folder, and write there how that ended.

    python -m kerasdl.tuning.trial FOLDER
    python -m kerasdl.tuning.trial --nursery N      what such processes are forked from; kerasdl.tuning.forking

FOLDER holds task.json. The process writes outcome.json, unless it is killed or asked to stop: then its run resumes when
the process is started again. Its standard input is a pipe from its parent, which ends when the parent is gone.
"""

import errno
import json
import math
import os
import shutil
import signal
import stat
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from kerasdl.errors import DataError, Unwritable, UserError
from kerasdl.files import DISK, reason, whole, write_json, writing
from kerasdl.recipe import Recipe
from kerasdl.run import FILES, Run
from kerasdl.tuning import median_stopping

BLOCKED = 75  # exit code (EX_TEMPFAIL): the trial cannot be trained, through no fault of its own
INTERRUPTED = (-signal.SIGTERM, 128 + signal.SIGTERM, 128 + signal.SIGINT)  # exit codes after it was asked to stop
UNWRITABLE = "its files cannot be written."
DISK_ERRORS = {*DISK, errno.EACCES, errno.EPERM}
COPIED = ("data.json", "choice.json", "init.json", "metrics.csv", "tensorboard", "checkpoint", "code", "tokenizer.json",
          "seen.npy", "recipe.json")  # the last makes a run


def main(folder: Path) -> int:
    """Run the trial of a folder and return the exit code. 0: outcome.json says how it ended."""
    threading.Thread(target=stop_without_parent, daemon=True).start()
    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    promoted = bool((task.get("rung") or {}).get("parent"))  # its checkpoint is copied in `train`
    began, resumed = time.monotonic(), promoted or any(folder.glob("checkpoint/**/step-*.npz"))
    try:
        outcome = checked(run(task, folder), task["objective"])
    except Exception as error:
        traceback.print_exc()
        why = blocked(error, task, resumed and not (folder / "result.json").exists())
        outcome = failure(error) if why is None else {"status": "blocked", "why": why}
    facts = {"attempt": task["attempt"], "seconds": round(task.get("spent", 0.0) + time.monotonic() - began, 2)}
    try:
        write_json(folder / "outcome.json", outcome | facts)
    except OSError as error:
        print(error, file=sys.stderr)
        return BLOCKED
    return BLOCKED if outcome["status"] == "blocked" else 0


def prepare() -> None:
    """Import what a trial needs, and compute nothing."""
    from kerasdl.installation import lean

    lean.import_keras()
    import kerasdl.train.fit
    import kerasdl.tuning.stopping  # noqa: F401


def run(task: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train as the task says; return the outcome of a trial that did not fail."""
    from kerasdl.installation import programs

    programs.keep()
    prepare()
    from kerasdl.tuning.stopping import StopTrial, TrialPruned

    recipe = Recipe.from_json(json.dumps(task["recipe"]))
    stopping = StopTrial(folder, task, recipe.epochs)
    if "build" in task:
        from kerasdl.tuning import hypermodel
    try:
        if "build" in task:
            return hypermodel.train(task, recipe, folder, stopping)
        return train(task, recipe, folder, stopping)
    except TrialPruned as pruned:
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)
        if "build" in task:
            rows = median_stopping.history(folder)[:pruned.epoch]
            outcome = hypermodel.reached("stopped", rows, task["objective"], task["direction"])
        else:
            outcome = reached("stopped", folder, recipe, pruned.epoch)
        return outcome | {"why": str(pruned)}


def checked(outcome: dict[str, Any], objective: str) -> dict[str, Any]:
    """Return the outcome without scores that are not finite; a failure if the objective is none.

    Raises:
        UserError: if the objective was never logged.
    """
    if outcome["status"] == "failed":
        return outcome
    scores = outcome["scores"]
    objective = median_stopping.logged_as(objective, scores)
    if objective not in scores:
        raise median_stopping.never_logged(objective, scores)
    if not math.isfinite(scores[objective]):
        return failed(f"{objective} is {scores[objective]}", again=False)
    return outcome | {"scores": {name: value for name, value in scores.items() if math.isfinite(value)}}


def train(task: dict[str, Any], recipe: Recipe, folder: Path, stopping: Any) -> dict[str, Any]:
    """Train the recipe into the folder: from the beginning, from the trial it continues, or from its checkpoint."""
    from kerasdl.train.fit import train as fit

    rung = task["rung"] or {"epochs": recipe.epochs, "parent": None}
    if rung["parent"]:
        with writing(folder, "Make room, and resume the search."):
            inherit(folder.parent / rung["parent"], folder)
    stop_after = rung["epochs"] if rung["epochs"] < recipe.epochs else None
    if not (folder / "result.json").exists():
        fit(recipe, workdir=folder, callbacks=[stopping], test=bool(task.get("test")), stop_after=stop_after,
            **task["options"])
    if not (folder / "result.json").exists():
        return reached("completed", folder, recipe, rung["epochs"])
    result = Run(folder).result
    if result["status"] != "completed":
        return failed(result["message"], again=False)
    scores = {f"{split}/{name}": value for split in ("val", "test") for name, value in result.get(split, {}).items()}
    return {"status": "completed", "scores": scores, "epochs": result["train"]["epochs"], "best": result["best_epoch"],
            "peak_rss_mb": result["peak_rss_mb"]}


def inherit(parent: Path, folder: Path) -> None:
    """Copy another trial's run, unless that was done already. Without it the run starts anew, with equal results.

    A run that `patience` ended before its rung did is finished: the whole recipe would end in the same epoch.
    """
    finished = (parent / "result.json").exists()
    if (folder / "recipe.json").exists() or not finished and not (parent / "checkpoint").is_dir():
        return
    for name in (*FILES, "recipe.json") if finished else COPIED:
        source, target = parent / name, folder / name
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target)
        elif source.exists():
            with whole(target) as partial:
                shutil.copyfile(source, partial)


def reached(status: str, folder: Path, recipe: Recipe, epochs: int) -> dict[str, Any]:
    """Return the outcome of an unfinished run: the scores of the epoch that it would keep so far."""
    from kerasdl import objectives

    rows, objective = median_stopping.history(folder)[:epochs], objectives.of(recipe)
    sign = 1 if objective.scores[objective.monitor] == "max" else -1
    metric = next((key for key in rows[-1] if key.startswith(f"val/{objective.monitor}")), None)
    best = len(rows) - 1

    def rank(at: int) -> tuple[float, float, int]:
        decides = sign * rows[at].get(metric or "", math.nan)
        return decides if math.isfinite(decides) else -math.inf, -rows[at].get("val/loss", 0.0), -at

    if recipe.keep == "best" and metric:
        best = max(range(len(rows)), key=rank)
    scores = {key: value for key, value in rows[best].items() if key.startswith("val/")}
    return {"status": status, "scores": scores, "epochs": epochs, "best": best + 1}


def failed(why: str, again: bool, trace: str = "") -> dict[str, Any]:
    """Return the outcome of a trial that failed. `again`: whether another attempt may end differently."""
    return {"status": "failed", "why": " ".join(why.split()), "traceback": trace, "again": again}


def failure(error: Exception) -> dict[str, Any]:
    """Return the outcome of a trial that raised. A mistake in a recipe fails every attempt, and so does NaN."""
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, UserError):
        return failed(str(error), again=False, trace=trace)
    if isinstance(error, out_of_memory()):
        return failed("out of memory", again=True, trace=trace)
    return failed(f"{type(error).__name__}: {error}", again=True, trace=trace)


def out_of_memory() -> tuple[type[Exception], ...]:
    """Return the errors that mean it. TensorFlow raises its own only where it was imported."""
    tensorflow = sys.modules.get("tensorflow")
    return (MemoryError, tensorflow.errors.ResourceExhaustedError) if tensorflow else (MemoryError,)


def blocked(error: Exception, task: dict[str, Any], resumed: bool) -> str | None:
    """Return why the trial cannot be trained through no fault of its own; None if it is the trial's.

    The disk may be full, or the data of the whole search unreadable. And a run that has trained already is no mistake:
    the backend or an option is another one now.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Unwritable) or isinstance(cause, OSError) and cause.errno in DISK_ERRORS:
            first = cause.__cause__ if isinstance(cause, Unwritable) else cause
            return f"{UNWRITABLE[:-1]}: {reason(first or cause).rstrip('.')}."
        cause = cause.__cause__
    if isinstance(error, DataError) and not task.get("varies_data") or isinstance(error, UserError) and resumed:
        return str(error)
    return None


def stop_without_parent() -> None:
    """Wait for the end of the pipe from the parent. Then do as if the parent had asked to stop: save, and exit."""
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        os.read(0, 1)
        os.kill(os.getpid(), signal.SIGTERM)


def command(words: list[str]) -> int:
    """Do what the words after the module's name say, and return the exit code."""
    from kerasdl.tuning import forking

    if words[0] != forking.WORD:
        return main(Path(words[0]))
    prepare()
    return forking.serve(int(words[1]), main)


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
