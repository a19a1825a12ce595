"""The examples that are explained: files, as `kerasdl predict` takes them, or some of the run's own test split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from kerasdl.data import Split, to_predict, tokens
from kerasdl.data.chunks import BadExample
from kerasdl.errors import UserError
from kerasdl.evaluation import predictions
from kerasdl.evaluation.predict import Files
from kerasdl.objectives.base import Objective
from kerasdl.objectives.classify import mistakes
from kerasdl.run import Run

MOST = 64  # examples of files: each one is drawn


@dataclass(frozen=True)
class Examples:
    """What is explained.

    Attributes:
        title: what they are, for a heading.
        names: (N,) of each one.
        x: (N, ...) as the model takes them.
        truth: (N,) what is known of each, for people to read; None where that is not known.
    """

    title: str
    names: Sequence[str]
    x: np.ndarray
    truth: Sequence[str] | None = None


def of_files(run: Run, files: Files, resize: bool = False) -> Examples:
    """Return the examples of files or of an array.

    Args:
        run: whose model will explain them.
        files, resize: as in kerasdl.evaluation.predict.

    Raises:
        UserError: files that are not there, cannot be read, are of another kind, or hold no example or more than MOST.
    """
    facts = run.data
    if isinstance(files, np.ndarray):
        chunks = to_predict.of_array(files, facts)
    else:
        to_predict.check(files, facts)
        chunks = to_predict.read(files, facts, resize)
    names, parts = [], []
    for chunk in chunks:
        if chunk.faults:
            raise BadExample(chunk.faults[0].why)
        names += list(chunk.names)
        parts.append(np.asarray(chunk.x))
        if len(names) > MOST:
            raise UserError(f"An explanation shows each example, and the files hold more than {MOST}. Give fewer.")
    if not names:
        raise UserError("The files hold no example. Give some that do, or --sample N for examples of the test split.")
    return Examples("Examples of files", names, np.concatenate(parts))


def of_test(run: Run, objective: Objective, split: Split, *, wrong: int | None = None, some: int | None = None,
            seed: int = 0) -> Examples:
    """Return examples of the run's test split.

    Args:
        run: the run, whose predictions.npz says which are mistakes.
        objective: of the run.
        split: its test split.
        wrong: how many of the most confident mistakes.
        some: or how many at random.
        seed: which.

    Raises:
        UserError: mistakes of a model that does not choose one class, or that makes none.
    """
    if wrong is None:
        count = min(some or 0, len(split))
        index = np.sort(np.random.default_rng(seed).choice(len(split), count, replace=False))
        title = "Examples of the test split"
    else:
        if objective.target != "class":
            raise UserError("--mistakes is for models that choose one class. Give --sample N for examples of the test "
                            "split.")
        found = predictions.read(run)
        if found is None or len(found.truth) != len(split):
            found = predictions.collect(objective, run.model(), split, run.recipe.micro_batch)
        index, title = mistakes(softmax(found.outputs, axis=1), found.truth, wrong), "The most confident mistakes"
        if not len(index):
            raise UserError("The model makes no mistake on its test split. Give --sample N for examples of it.")
    x, y = split.take(index)
    return Examples(title, [f"test {place}" for place in index], x, None if y is None else [
        truth(each, split.classes) for each in y])


def truth(y: Any, classes: Sequence[str]) -> str:
    """Return what is known of an example: its class, its classes, or its numbers."""
    if not classes:
        return ", ".join(f"{value:.6g}" for value in np.ravel(y))
    if np.ndim(y) == 0:
        return classes[int(y)]
    return ", ".join(name for name, there in zip(classes, y, strict=True) if there) or "none"


def words(run: Run, x: np.ndarray) -> list[list[str]]:
    """Return the tokens of each text, without padding."""
    file = run.path / tokens.FILE
    if not file.is_file():
        return [[str(token) for token in row if token] for row in x]
    tokenizer = tokens.opened(str(file)).tokenizer
    return [[tokenizer.id_to_token(int(token)) or "?" for token in row if token] for row in x]


def columns(run: Run, count: int) -> list[str]:
    """Return a name for each number of a row: "size", "colour = red"."""
    known = run.data.get("columns") or {f"x{place}": None for place in range(count)}
    return [name if categories is None else f"{name} = {category}" for name, categories in known.items()
            for category in (categories or [""])]


def checked(split: Split, count: int, seed: int) -> np.ndarray:
    """Return some examples of a test split for the checks, chosen by the seed."""
    index = np.sort(np.random.default_rng(seed).choice(len(split), min(count, len(split)), replace=False))
    return split.take(index)[0]

