"""The best model of some data that can be had within a budget, and what it has to beat: the order of it all.

Baselines first, then a default of each family of networks, a search around the best of them, an ensemble, and the
winner once more with another seed. Validation data chooses everywhere. The test split is read at the end, for the
winner and the best baseline, and chooses nothing.
"""

import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from kerasdl.auto import baselines, boosting, combined, fitted, language, outcome, photographs, sizes, trainings
from kerasdl.auto.asked import Asked, of_json, progress
from kerasdl.auto.defaults import WORDS, families
from kerasdl.auto.task import OUTCOME, Task, from_here
from kerasdl.data import Split
from kerasdl.deploy import exporting
from kerasdl.errors import UserError
from kerasdl.files import LOCK, alone, writing
from kerasdl.photos.budget import Budget
from kerasdl.recipe import Recipe
from kerasdl.run import folder_for
from kerasdl.text import duration, resuming
from kerasdl.train import record

FITTING = 0.2  # share of the time that is left, that a baseline with several settings may take
SMALL = 10**6  # numbers of all examples
PRETRAINED = {"image": photographs.pretrained, "tokens": language.pretrained}  # what tries networks that know something
logger = logging.getLogger(__name__)


def auto(asked: Asked, workdir: str | Path | None = None, *, workers: int = 1, ray: str | None = None,
         began: float | None = None) -> dict[str, Any]:
    """Find the best model of some data within a budget, and return what auto.json of its folder says.

    Args:
        asked: the data, the budget and the limits.
        workdir: the folder of the candidates; by default runs/auto/<time>-<id>. What an interrupted search has
            finished there is not made again, and the time that it took counts.
        workers: how many trials of the search run at a time.
        ray: run them on a cluster of Ray; see kerasdl.tune.
        began: when the budget began, on the clock time.monotonic; None: now.

    Raises:
        UserError: data that cannot be learned from, a folder that holds something else, no candidate that is small
            enough, or a limit where Keras does not compute with TensorFlow.
        KeyboardInterrupt, SystemExit: after Ctrl-C and SIGTERM; a training has saved its state.
    """
    if asked.max_kb is not None:
        exporting.check_backend()
    home, clock = home_of(workdir, asked), Budget(asked.minutes)
    clock.began = clock.began if began is None else began
    with alone(home, "Choose another --workdir."):
        known = progress(home).get("base")
        base = photographs.base_of(asked) if known is None else from_here(
            Recipe.model_validate_json(json.dumps(known)), progress(home).get("folder"))
        task = Task.of(asked, base, home, clock)
        try:
            with once(logging.getLogger(record.__name__)), limited(task.splits):
                return run(task, workers, ray)
        except (KeyboardInterrupt, SystemExit):
            task.save()
            logger.warning("Stopped. To resume all of it: %s", resuming("auto", home))
            raise


def run(task: Task, workers: int = 1, ray: str | None = None) -> dict[str, Any]:
    """Take every step that is left of a task, and return its outcome; the last two arguments are those of `auto`."""
    splits = task.splits
    logger.info("%s: %d %s to learn from, %d to choose with, %d to measure on; %s", task.base.data,
                len(splits["train"]), WORDS.get(task.kind, "examples"), len(splits["val"]), len(splits["test"]),
                f"{duration(max(task.clock.left, 0.0))} left")
    fit_baselines(task)
    some = families(splits["train"])
    if task.objective.target == "class" and task.kind in PRETRAINED:
        PRETRAINED[task.kind](task)
    trainings.defaults(task, some)
    if task.ranked("default"):
        trainings.search(task, some, workers, ray)
    else:
        task.remark("No network was trained, for the reasons below: the best baseline is what can be had in "
                    f"{duration(60 * task.asked.minutes)}.")
    combined.combine(task)
    first, task.weighed = sizes.winner(task), True
    again = trainings.again(task, first) if first.trains else None
    return outcome.write(task, first if again is None else sizes.decided(task, first, again), first)


def fit_baselines(task: Task) -> None:
    """Fit the constant, the linear model, boosted trees on rows, and TF-IDF on texts."""
    splits, seed = task.splits, task.asked.seed
    weight = fitted.class_weight(task.objective, splits["train"])
    if splits["train"].weights is not None and task.objective.target == "class":
        task.remark("The examples have weights, which logistic regression does not take; the others do.")
    wanted = {"constant": lambda: baselines.constant(splits)}
    if task.kind == "tokens":
        wanted["tf_idf"] = lambda: baselines.words(splits, weight, FITTING * max(task.left, 0.0))
    else:
        wanted["linear"] = lambda: baselines.linear(splits, seed, weight, FITTING * max(task.left, 0.0))
    if task.kind == "row":
        wanted["boosting"] = lambda: boosting.boosted(splits, FITTING * max(task.left, 0.0), seed, weight)
    for name, fit in wanted.items():
        def make(path: Path, fit=fit, name=name):
            began = time.monotonic()
            model, network, facts = fit()
            recipe = task.base.model_copy(update={"name": name, "model": model, "model_args": {}, "batch": 32})
            return fitted.write(recipe, network, splits, path, facts, began)

        task.add(name, "baseline", make)
    if not task.candidates:
        raise UserError(f"Nothing could be fitted to {task.base.data}: {'; '.join(task.skipped.values())}")


def home_of(workdir: str | Path | None, asked: Asked) -> Path:
    """Return the folder of the candidates, which is new, empty, or that of an interrupted search for the same."""
    home = folder_for("auto") if workdir is None else Path(workdir)
    if (home / OUTCOME).exists():
        raise UserError(f"{home} already holds a finished search. Choose another --workdir.")
    if before := progress(home).get("asked"):
        asked.check_continues(of_json(before), home)
    elif home.is_dir() and any(each.name != LOCK for each in home.iterdir()):
        raise UserError(f"{home} holds something else. Choose another --workdir.")
    with writing(home, "Choose another --workdir."):
        home.mkdir(parents=True, exist_ok=True)
    return home


@contextmanager
def limited(splits: Mapping[str, Split]) -> Iterator[None]:
    """Within it scikit-learn takes one thread where the data is small: several wait for one another longer."""
    split = splits["train"]
    small = len(split) * math.prod(split.example_shape) < SMALL
    with threadpool_limits(1 if small else None):
        yield


@contextmanager
def once(log: logging.Logger) -> Iterator[None]:
    """Within it a line is logged once: every candidate remarks the same of the data."""
    seen: set[str] = set()

    def is_new(line: logging.LogRecord) -> bool:
        text = line.getMessage()
        return not (text in seen or seen.add(text))  # type: ignore[func-returns-value]

    log.addFilter(is_new)
    try:
        yield
    finally:
        log.removeFilter(is_new)
