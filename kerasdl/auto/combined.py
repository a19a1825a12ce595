"""An ensemble of the best candidates, kept if it is better on validation data than each of them.

Members are added as long as one improves the cross-entropy: greedy selection of Caruana et al. 2004, without repeats.
"""

import shutil
import time

import numpy as np
from scipy.special import log_softmax, logsumexp

from kerasdl.auto.task import Candidate, Task
from kerasdl.devices import strategy as strategies
from kerasdl.ensemble import ensemble
from kerasdl.errors import UserError
from kerasdl.evaluation import predictions
from kerasdl.evaluation.linear_probe import cross_entropy
from kerasdl.evaluation.padded import evaluator
from kerasdl.run import Run
from kerasdl.train.record import finite

NAME = "ensemble"
BEST, MOST = 6, 4  # candidates that are looked at, and members that there may be
MARGIN = 2  # examples of val that an ensemble has to be ahead: it runs as many networks as it has members


def combine(task: Task) -> None:
    """Put the best candidates together, if that is better on val by MARGIN examples."""
    if task.objective.target != "class":
        task.skip(NAME, "not started: an ensemble averages probabilities, and these are numbers")
        return
    some = distinct(task)
    if len(some) < 2 or task.left < 0:
        task.skip(NAME, "not started: " + ("no time was left" if len(some) > 1 else "there is one model alone"))
        return
    began, truth = time.monotonic(), np.asarray(task.splits["val"].y)
    logs = [log_softmax(answers(task, each).astype("float64"), axis=1) for each in some]
    members = chosen(logs, truth)
    if len(members) < 2:
        task.skip(NAME, f"not made: no other of the best {len(some)} improves what {some[0].name} answers on val")
        return
    path = task.home / NAME
    if not (path / "result.json").exists():
        shutil.rmtree(path, ignore_errors=True)
    try:
        run = Run(path) if path.exists() else ensemble([some[place].run for place in members], "val", path)
    except (UserError, ValueError) as error:
        task.skip(NAME, f"not made: {' '.join(str(error).split())}")
        return
    found = Candidate(NAME, NAME, run, scores(task, run), time.monotonic() - began,
                      " + ".join(some[place].name for place in members))
    sign, best = 1 if task.better == "max" else -1, some[0].val[task.monitor]
    if sign * (found.val[task.monitor] - best) < MARGIN / len(truth):
        task.skip(NAME, f"not taken: of {found.note}, it has val {task.monitor.replace('_', ' ')} "
                        f"{found.val[task.monitor]:.4f}, and {some[0].name} alone {best:.4f}")
        return
    task.keep(found)


def distinct(task: Task) -> list[Candidate]:
    """Return the best candidates that are not one model twice, the best first."""
    return [each for each in task.ranked("baseline", "default", "search") if each.name != "constant"][:BEST]


def answers(task: Task, candidate: Candidate) -> np.ndarray:
    """Return the logits of a candidate on val (N, classes)."""
    return predictions.collect(task.objective, candidate.run.model(), task.splits["val"],
                               candidate.run.recipe.micro_batch).outputs


def chosen(logs: list[np.ndarray], truth: np.ndarray) -> list[int]:
    """Return the places of the members, beginning with the first.

    Args:
        logs: logarithms of the probabilities of each candidate (N, classes), the best candidate first.
        truth: (N,) class indices.
    """
    members, least = [0], cross_entropy(logs[0], truth)
    while len(members) < min(MOST, len(logs)):
        losses = {place: cross_entropy(logsumexp([logs[each] for each in (*members, place)], axis=0), truth)
                  for place in range(len(logs)) if place not in members}
        place = min(losses, key=losses.__getitem__)
        if losses[place] >= least:
            break
        members, least = [*members, place], losses[place]
    return members


def scores(task: Task, run) -> dict[str, float]:
    """Return the scores of an ensemble on val, by the same code as those of the others."""
    measure = evaluator(task.objective, run.model(), run.recipe.micro_batch, strategies.choose("one"))
    return finite(measure(task.splits["val"]))
