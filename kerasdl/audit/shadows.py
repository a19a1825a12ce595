"""Shadow runs: the run's recipe trained on random halves of its train and test examples (Carlini et al. 2022).

What a network says of an example that it has not learned shows how easy the example is. Without that, an easy example
looks like one that was learned.
"""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from kerasdl import user_code
from kerasdl.audit.subject import Subject
from kerasdl.data import Split
from kerasdl.data.subset import joined
from kerasdl.data.tokens import FILE as TOKENIZER
from kerasdl.errors import UserError
from kerasdl.evaluation import predictions
from kerasdl.recipe import Recipe, validate
from kerasdl.run import Run
from kerasdl.train.fit import train

FOLDER = "shadows"
MOST, SECONDS = 4, 60.0  # shadow runs that are trained unless it is said how many, and how long that may take
HALF, FIXED = 0.5, 4.0  # time of a training on half of the examples, by that of the run, and what each takes besides
logger = logging.getLogger(__name__)


def count_for(subject: Subject) -> int:
    """Return how many shadow runs to train: as was said; none with --quick, or where they say nothing; else an even
    number that takes a minute.

    Raises:
        UserError: some are asked for, and they say nothing about this run.
    """
    why = unlike(subject)
    if subject.shadows and why:
        raise UserError(f"Shadow runs say nothing about {subject.run.path}: {why}. Leave out --shadows.")
    if subject.shadows is not None or why:
        return subject.shadows or 0
    seconds = subject.run.result.get("train", {}).get("seconds")
    if subject.quick or not isinstance(seconds, (int, float)):
        return 0
    return int(min(MOST, SECONDS / (FIXED + HALF * seconds))) // 2 * 2


def unlike(subject: Subject) -> str:
    """Return why trainings of the run's recipe on halves of the examples are not what the run would be without some of
    them; "" where they are."""
    recipe, result = subject.recipe, subject.run.result
    if recipe.init or "teacher" in recipe.objective_args:
        return "it began with weights, or learned from a teacher, that may know the examples"
    if {"fitted", "members", "calibrated"} & result.keys():
        return "it is not what a training of its recipe gives"
    return ""


def outside(subject: Subject, members: np.ndarray, others: np.ndarray, count: int) -> np.ndarray:
    """Return how sure shadow runs are of the labels of examples that they did not learn (M + N,); NaN without such.

    Args:
        subject: whose recipe is trained.
        members: (M,) places in train.
        others: (N,) places in test.
        count: how many runs. Two at a time share the examples, so that each example is in one half of them. Examples
            of train count as in the run, and those of test as the mean of these.
    """
    learned, test = subject.split("train"), subject.split("test")
    weights = learned.relative_weights
    pool = joined([replace(learned, weights=weights),
                   replace(test, weights=None if weights is None else np.ones(len(test)))])
    asked = np.concatenate([members, len(learned) + others])
    random, part = np.random.default_rng([subject.seed, 1]), pool.part(asked)
    sure = np.full((count, len(asked)), np.nan)
    for number in range(count):
        if number % 2 == 0:
            order = random.permutation(len(pool))
        half = np.sort(order[:len(pool) // 2] if number % 2 == 0 else order[len(pool) // 2:])
        run = trained(subject, pool.part(half, name="train"), number)
        found = predictions.collect(subject.objective, run.model(), part, subject.recipe.micro_batch)
        known = np.isin(asked, half)
        sure[number, ~known] = sureness(found.outputs, found.truth)[~known]
    there = ~np.isnan(sure)
    return np.where(there.any(0), np.where(there, sure, 0).sum(0) / np.maximum(there.sum(0), 1), np.nan)


def trained(subject: Subject, half: Split, number: int) -> Run:
    """Return a shadow run: the one in its folder, resumed if it is not finished, or a new one.

    Raises:
        UserError: the training diverged, or the recipe cannot be trained any more.
    """
    path = subject.run.path / "audit" / FOLDER / str(number)
    own, tokens = subject.recipe, (subject.run.path / TOKENIZER).is_file()
    recipe = validate(own.model_dump() | {
        **user_code.kept(own, subject.run.path), "data": "arrays",
        "data_args": {"tokens": str(subject.run.path.resolve())} if tokens else {}, "splits": {},
        "seed": own.seed + 1000 * (subject.seed + 1) + number,
        "batch": min(own.batch, len(half)), "tta": None, "claim": None})
    if (path / "recipe.json").is_file() and not fits(path, recipe, half):
        shutil.rmtree(path)
    if not (path / "result.json").is_file():
        logger.info("shadow run %d", number + 1)
        splits = {"train": half, "val": subject.split("val"), "test": subject.split("val")}
        return train(recipe, workdir=path, data=splits, verbose=False, test=False)
    run = Run.open(path)
    if run.result["status"] != "completed":
        raise UserError(f"The shadow run {path} diverged. Train others with another --seed, or none with --shadows 0.")
    return run


def fits(path: Path, recipe: Recipe, half: Split) -> bool:
    """Return whether the run in a folder is of this recipe and of these examples."""
    run = Run(path)
    noted = run.data.get("examples", {}) if (path / "data.json").is_file() else {}
    return run.recipe == recipe and noted.get("train", half.fingerprint()) == half.fingerprint()


def sureness(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return log(p / (1 - p)) of the right class's probability (N,), which no rounding makes infinite."""
    logits = logits.astype("float64")
    own = logits[np.arange(len(truth)), truth]
    rest = np.where(np.arange(logits.shape[1]) == truth[:, None], -np.inf, logits)
    top = rest.max(1)
    return own - top - np.log(np.exp(rest - top[:, None]).sum(1))
