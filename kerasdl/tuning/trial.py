"""What the process of a trial does: it trains a recipe into the trial's folder, and says there how that ended.

    python -m kerasdl.tuning.trial FOLDER

FOLDER holds task.json. The process writes outcome.json, except when it is killed or asked to stop: then its run goes
on by its own resume when the process is started again. Its standard input is a pipe from its parent, whose end tells
it that the parent is gone.
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

from kerasdl.errors import UserError
from kerasdl.files import write_json
from kerasdl.recipe import Recipe
from kerasdl.run import Run
from kerasdl.tuning import early

NO_ROOM = 74  # EX_IOERR: nothing can be written, which is not the trial's fault
NOT_NOW = 75  # EX_TEMPFAIL: something else that is not; the last line of the log says what
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG}
ASKED = 128 + signal.SIGTERM
SOURCES = Path(__file__).parents[1] / "data" / "sources" / "sources.py"  # whatever it raises is about the data
COPIED = ("data.json", "choice.json", "metrics.csv", "tensorboard", "checkpoint", "recipe.json")  # the last makes a run


def main(folder: Path) -> int:
    """Run the trial of a folder; the exit code. 0: outcome.json says how it ended.

    A mistake of the user's in a trial that has trained already, or in the data of the whole search, is none of the
    trial's: the backend is another one, or a file was moved.
    """
    threading.Thread(target=stop_without_parent, daemon=True).start()
    task = json.loads((folder / "task.json").read_text())
    began, interrupted = time.monotonic(), any(folder.glob("checkpoint/**/step-*.npz"))
    try:
        outcome = checked(run(task, folder), task["objective"])
    except Exception as error:
        traceback.print_exc()
        if full(error):
            return NO_ROOM
        ended = (folder / "result.json").exists()  # as of a run that diverged
        if isinstance(error, UserError) and not ended and (interrupted or of_the_data(error, task)):
            print(error, flush=True)
            return NOT_NOW
        outcome = failure(error)
    facts = {"attempt": task["attempt"], "seconds": round(time.monotonic() - began, 2)}
    try:
        write_json(folder / "outcome.json", outcome | facts)
    except OSError as error:
        print(error, file=sys.stderr)
        return NO_ROOM
    return 0


def run(task: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train as the task says; the outcome of a trial that did not fail."""
    from kerasdl.tuning.ending import Ended, Ending

    recipe = as_written(Recipe.model_validate_json(json.dumps(task["recipe"])))
    ending = Ending(folder, task, recipe.epochs)
    try:
        if "build" in task:
            from kerasdl.tuning import built

            return built.train(task, recipe, folder, ending)
        return train(task, recipe, folder, ending)
    except Ended as ended:
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)
        return reached("stopped", folder, recipe, ended.epoch) | {"why": str(ended)}


def checked(outcome: dict[str, Any], objective: str) -> dict[str, Any]:
    """The outcome with the scores that are numbers; the failure that it is if the objective is none.

    Raises:
        UserError: if the objective was never logged.
    """
    if outcome["status"] == "failed":
        return outcome
    scores = outcome["scores"]
    if objective not in scores:
        raise early.never_logged(objective, scores)
    if not math.isfinite(scores[objective]):
        return failed(f"{objective} is {scores[objective]}", again=False)
    return outcome | {"scores": {name: value for name, value in scores.items() if math.isfinite(value)}}


def train(task: dict[str, Any], recipe: Recipe, folder: Path, ending: Any) -> dict[str, Any]:
    """Train the recipe into the folder: from the beginning, from the trial it goes on from, or from its checkpoint."""
    from kerasdl.train.fit import train as fit

    if task["parent"]:
        inherit(folder.parent / task["parent"], folder)
    run = Run(folder)
    if not (folder / "result.json").exists():
        try:
            fit(recipe, workdir=folder, callbacks=[ending], test=bool(task.get("test")), **task["options"])
        except SystemExit:
            if not ending.reached:
                raise
            return reached("completed", folder, recipe, task["epochs"])
    result = run.result
    if result["status"] != "completed":
        return failed(result["message"], again=False)
    scores = {f"{split}/{name}": value for split in ("val", "test") for name, value in result.get(split, {}).items()}
    return {"status": "completed", "scores": scores, "epochs": result["train"]["epochs"], "best": result["best_epoch"],
            "peak_rss_mb": result["peak_rss_mb"]}


def inherit(parent: Path, folder: Path) -> None:
    """Begin as a copy of another trial's run, unless that has happened. Without its folder the run begins anew, and
    arrives at the same numbers."""
    if (folder / "recipe.json").exists() or not (parent / "checkpoint").is_dir():
        return
    for name in COPIED:
        source, target = parent / name, folder / name
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target)
        elif source.exists():
            shutil.copyfile(source, target)


def reached(status: str, folder: Path, recipe: Recipe, epochs: int) -> dict[str, Any]:
    """The outcome of a run that is not finished: the scores of the epoch that it would keep so far."""
    from kerasdl import objectives

    rows = early.history(folder)[:epochs]
    objective = objectives.get(recipe.objective)
    sign = 1 if objective.GOAL == "max" else -1
    metric = next((key for key in rows[-1] if key.startswith(f"val/{objective.METRIC}")), None)
    best = len(rows) - 1
    if recipe.keep == "best" and metric:
        best = max(range(len(rows)), key=lambda at: (sign * rows[at][metric], -rows[at].get("val/loss", 0.0), -at))
    scores = {key: value for key, value in rows[best].items() if key.startswith("val/")}
    return {"status": status, "scores": scores, "epochs": epochs, "best": best + 1}


def failed(why: str, again: bool, trace: str = "") -> dict[str, Any]:
    """The outcome of a trial that failed. `again`: whether another attempt may end otherwise."""
    return {"status": "failed", "why": " ".join(why.split()), "traceback": trace, "again": again}


def failure(error: Exception) -> dict[str, Any]:
    """What raised, and whether it is worth another attempt: a mistake in a recipe stays one, and so does NaN."""
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, UserError):
        return failed(str(error), again=False, trace=trace)
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return failed("out of memory", again=True, trace=trace)
    return failed(f"{type(error).__name__}: {error}", again=True, trace=trace)


def full(error: BaseException | None) -> bool:
    """Whether a file could not be written: the disk is full, or the folder is read-only."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in UNWRITABLE:
            return True
        error = error.__cause__
    return False


def of_the_data(error: UserError, task: dict[str, Any]) -> bool:
    """Whether it is the search's data that cannot be read, of which all trials would fail."""
    passed = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    return not task.get("varies_data") and SOURCES in passed


def as_written(recipe: Recipe) -> Recipe:
    """Lists, which are all that JSON has, as the tuples that a recipe had."""
    def frozen(value):
        return tuple(map(frozen, value)) if isinstance(value, list) else value

    parts = {key: value for key, value in recipe if isinstance(value, dict)}
    return recipe.model_copy(update={
        key: {name: frozen(part) for name, part in value.items()} for key, value in parts.items()})


def stop_without_parent() -> None:
    """Wait for the end of the pipe from the parent; then save and stop, as after SIGTERM."""
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        os.read(0, 1)
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
