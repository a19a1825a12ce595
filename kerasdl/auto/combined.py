"""An ensemble of the best candidates, kept if it is better on validation data than each of them.

Members are added as long as one improves the cross-entropy, or the squared error of numbers: greedy selection of
Caruana et al. 2004, without repeats.
"""

import shutil
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.special import log_softmax, logsumexp

from kerasdl.auto.task import ROUNDING, Candidate, Task
from kerasdl.devices import strategy as strategies
from kerasdl.ensemble import ensemble
from kerasdl.errors import UserError
from kerasdl.evaluation import predictions
from kerasdl.evaluation.linear_probe import cross_entropy
from kerasdl.evaluation.padded import evaluator
from kerasdl.run import Run
from kerasdl.text import figure
from kerasdl.train.record import finite

NAME = "ensemble"
BEST, MOST = 6, 4  # candidates that are looked at, and members that there may be
COUNTED = ("accuracy", "balanced_accuracy", "macro_f1")  # scores of which an example more is a share
MARGIN = 2  # examples of val that an ensemble has to be ahead: it runs as many networks as it has members
Answers = list[np.ndarray]  # of each candidate: logarithms of probabilities (N, classes), or numbers (N, outputs)


def combine(task: Task) -> None:
    """Put the best candidates together, if that is better on val by MARGIN examples."""
    some = distinct(task)
    path = task.home / NAME
    if len(some) < 2 or task.left < 0 and not (path / "result.json").exists():
        task.skip(NAME, "not started: " + ("no time was left" if len(some) > 1 else "there is one model alone"))
        return
    began, truth = time.monotonic(), np.asarray(task.splits["val"].y)
    found = [answers(task, each).astype("float64") for each in some]
    members = chosen(found, partial(squared_error, truth=truth)) if task.objective.target == "number" else chosen(
        [log_softmax(logits, axis=1) for logits in found], partial(mixed_entropy, truth=truth))
    if len(members) < 2:
        task.skip(NAME, f"not made: no other of the best {len(some)} improves what {some[0].name} answers on val")
        return
    wanted = [str(some[place].run.path) for place in members]
    if not (path / "result.json").exists() or list(Run(path).recipe.model_args["members"]) != wanted:
        shutil.rmtree(path, ignore_errors=True)  # a part of one, or of members that were the best before a resumption
    try:
        run = Run(path) if path.exists() else ensemble([some[place].run for place in members], "val", path)
    except (UserError, ValueError) as error:
        task.skip(NAME, f"not made: {' '.join(str(error).split())}")
        return
    made = Candidate(NAME, NAME, run, scores(task, run), time.monotonic() - began,
                     " + ".join(some[place].name for place in members))
    best = some[0].val[task.monitor]
    if not enough(task, made.val[task.monitor], best, len(truth)):
        task.skip(NAME, f"not taken: of {made.note}, it has val {task.monitor.replace('_', ' ')} "
                        f"{figure(made.val[task.monitor])}, and {some[0].name} alone {figure(best)}")
        return
    task.keep(made)


def enough(task: Task, score: float, best: float, count: int) -> bool:
    """Return whether the score of an ensemble is as much better than the best one as it has to be.

    Of a share of the examples that is MARGIN of them. Of other scores, such as a loss, an error in units or the area
    under a curve, it is that share of the error that the best leaves: what MARGIN mean errors are.
    """
    left = 1 if task.monitor in COUNTED else 1 - best if task.better == "max" else best
    gain = score - best if task.better == "max" else best - score
    return gain >= MARGIN / count * left - ROUNDING * max(abs(score), abs(best))


def distinct(task: Task) -> list[Candidate]:
    """Return the best candidates that are not one model twice and read the same as the best, which comes first."""
    ranked = [each for each in task.ranked("baseline", "default", "search") if each.name != "constant"]
    return [each for each in ranked if each.run.recipe.data_args == ranked[0].run.recipe.data_args][:BEST]


def answers(task: Task, candidate: Candidate) -> np.ndarray:
    """Return the outputs of a candidate on val: logits (N, classes), or numbers (N, outputs)."""
    return predictions.collect(task.objective, candidate.run.model(), task.splits_of(candidate.run.recipe)["val"],
                               candidate.run.recipe.micro_batch).outputs


def mixed_entropy(logs: Answers, truth: np.ndarray) -> float:
    """Return the cross-entropy of mean probabilities, whose logarithms (N, classes) these are."""
    return cross_entropy(logsumexp(logs, axis=0), truth)


def squared_error(numbers: Answers, truth: np.ndarray) -> float:
    """Return the mean squared error of mean numbers (N, outputs), in the spread of each output."""
    return float(np.square((np.mean(numbers, axis=0) - truth) / np.maximum(truth.std(0), 1e-30)).mean())


def chosen(found: Answers, loss: Callable[[Answers], float]) -> list[int]:
    """Return the places of the members, beginning with the first.

    Args:
        found: what the candidates answer, the best candidate first.
        loss: of the answers of some together.
    """
    members, least = [0], loss(found[:1])
    while len(members) < min(MOST, len(found)):
        losses = {place: loss([found[each] for each in (*members, place)])
                  for place in range(len(found)) if place not in members}
        place = min(losses, key=losses.__getitem__)
        if losses[place] >= least:
            break
        members, least = [*members, place], losses[place]
    return members


def scores(task: Task, run) -> dict[str, float]:
    """Return the scores of an ensemble on val, by the same code as those of the others."""
    measure = evaluator(task.objective, run.model(), run.recipe.micro_batch, strategies.choose("one"))
    return finite(measure(task.splits_of(run.recipe)["val"]))
