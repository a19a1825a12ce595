"""report.html of a run: the numbers of result.json, the curves of its training, and what its objective shows."""

import logging
import os
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

import kerasdl
from kerasdl import figures, objectives
from kerasdl.data.naming import naming
from kerasdl.errors import UserError
from kerasdl.evaluation import predictions
from kerasdl.evaluation.splits import Data, check_outputs, load_split
from kerasdl.objectives.sections import Findings, Section
from kerasdl.recipe_text import command
from kerasdl.reports import additions, html
from kerasdl.run import Run
from kerasdl.runs.find import fact, siblings
from kerasdl.text import duration, typed

logger = logging.getLogger(__name__)


def report(run: Run | str | Path, data: Data = None, *, keep: bool = False) -> Path:
    """Write report.html, one file that needs no other, and return its path.

    The headline numbers are those of result.json. Tables and images come from the run's predictions.npz, or from the
    model's answers on the test split of `data`. A run that did not finish, or whose data is gone, shows what there is,
    and why there is no more. Sections that tools have added come last.

    Args:
        run: the run, or its folder.
        data: as in `evaluate`.
        keep: whether a page that shows the test split stays, with a line in the log, where that cannot be read now.

    Raises:
        UserError: as evaluate does with this `data`, and for a run that has neither a result nor an epoch to show.
    """
    run = Run.open(run)
    recipe = run.recipe
    result = run.result if (run.path / "result.json").is_file() else {}
    history = _history(run)
    if not result and history.empty:
        raise UserError(f"{run.path} has nothing to report: no epoch was finished. Train it again.")
    sections, missing = _sections(run, data, result)
    file, once = run.path / "report.html", f"Once it can be: kerasdl report {typed(run.path)}"
    if keep and missing and _shows_test(file):
        logger.warning("%s stays as it was, as its test split cannot be read. %s %s", file, missing, once)
        return file
    page = html.render(
        html.HERE / "report.html.j2",
        name=recipe.name or recipe.model, recipe=recipe, result=result, history=history, missing=missing,
        sections=[*sections, *additions.added(run.path)], tiles=_tiles(result),
        curves=figures.curves(history, result.get("best_epoch")),
        settings={key: _plain(value) for key, value in recipe.diff().items()},
        environment={key: _plain(value) for key, value in result.get("environment", {}).items()},
        folder=run.path.name, version=kerasdl.__version__, finished=result.get("finished"),
        command=command(recipe, os.fspath(run.path), result.get("environment", {}).get("backend")),
        neighbours=neighbours(run.path), remarks=_remarks(run))
    return html.write(file, page, once)


def _shows_test(file: Path) -> bool:
    """Return whether a report is there and does not say why it shows nothing of the test split."""
    return file.is_file() and "<h2>Test split</h2>" not in file.read_text(encoding="utf-8", errors="replace")


def _sections(run: Run, data: Data, result: dict[str, Any]) -> tuple[list[Section], str]:
    """Return the objective's sections, and why there are none."""
    recipe = run.recipe
    if data is None and "test" not in result:
        return [], "The test split was not read" + (
            "." if recipe.model == "ensemble" else ": the run did not finish, or it is a trial of a search.")
    if data is None and recipe.data == "arrays":
        return [], ("The run was trained on arrays, which it does not keep. Give them: kerasdl.report(run, "
                    "data=splits).")
    name = data if isinstance(data, str) else recipe.data if data is None else "arrays"
    try:
        objective, found = objectives.of(recipe, run.path), findings(run, data, name, result)
    except UserError as error:
        if data is not None:
            raise
        return [], str(error)  # what else there is needs no data
    try:
        return objective.sections(found), ""
    except Exception as error:  # whatever the user's own lines raise
        if type(objective).__module__.startswith("kerasdl."):
            raise
        text = f"The sections of {recipe.objective} failed: {type(error).__name__}: {' '.join(str(error).split())}"
        logger.warning(text)
        return [], text


def findings(run: Run, data: Data, name: str, result: dict[str, Any]) -> Findings:
    """Return what an objective may show of the run: its model, its splits and its predictions on the test split."""
    objective, model = objectives.of(run.recipe, run.path), cache(run.model)
    splits = cache(lambda split: load_split(run, split, data))
    found = predictions.read(run) if data is None else None
    test = splits("test")
    if found is not None and len(found.truth) != len(test):
        found = None
    if found is None and objective.predicts:
        check_outputs(test, model())
        with naming({"test": test}):
            found = predictions.collect(objective, model(), test, run.recipe.micro_batch)
    return Findings(model, splits, result, name, run.path, found)


def neighbours(folder: Path) -> dict[str, str]:
    """Return the addresses of the reports next to this one in time: {"previous": "../<name>/report.html", "next": ...}.

    They are of the folders next to the run's.
    """
    rows, here = siblings(folder), folder.resolve()
    place = next((number for number, row in enumerate(rows) if row.path == here), None)
    if place is None:
        return {}
    found = {"previous": rows[place - 1] if place else None, "next": rows[place + 1] if rows[place + 1:] else None}
    return {word: f"../{quote(os.fsencode(row.path.name))}/report.html" for word, row in found.items() if row}


def _remarks(run: Run) -> list[str]:
    """What was remarked of the data before training."""
    try:
        return run.data.get("remarks", [])
    except UserError:  # an ensemble, or a run that did not get that far
        return []


def _history(run: Run) -> pd.DataFrame:
    try:
        return run.metrics
    except (UserError, pd.errors.EmptyDataError):  # a run that stopped within its first epoch
        return pd.DataFrame()


def _tiles(result: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """Return (label, value, text) of the headline numbers, from result.json and nothing else."""
    train = result.get("train", {})
    found = []
    for part in ("test", "val", *["train"] * ("seconds" not in train)):  # an ensemble has scores there
        for name, value in sorted(result.get(part, {}).items(), key=lambda score: score[0] == "loss"):
            text = f"{value:.2%}" if name == "accuracy" else f"{value:.4g}"
            found.append((f"{part} {figures.label(name)}", value, text))
    facts = (("parameters", result.get("parameters"), "{:,}".format),
             ("training time", train.get("seconds"), duration),
             ("examples/s", fact(train, "examples_per_second"), "{:,.0f}".format),
             ("best epoch", result.get("best_epoch"), str))
    return found + [(label, value, write(value)) for label, value, write in facts if value is not None]


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={_plain(inner)}" for key, inner in value.items() if inner is not None)
    if isinstance(value, list):
        return ", ".join(_plain(inner) if not isinstance(inner, list) else f"({_plain(inner)})" for inner in value)
    return "none" if value is None else str(value)
