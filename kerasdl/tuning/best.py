"""The recipe that won a search, and what it is worth: retrained with several seeds, measured on the test split once."""

import statistics
from collections.abc import Sequence
from typing import Any

from kerasdl.errors import UserError
from kerasdl.files import write_json
from kerasdl.recipe import SEEDS, Recipe
from kerasdl.recipe_text import python
from kerasdl.text import figure, typed
from kerasdl.tuning import engine, median_stopping, ray_cluster
from kerasdl.tuning.records import TrialRecord
from kerasdl.tuning.same_data import check_same_data
from kerasdl.tuning.seeds import Seeds
from kerasdl.tuning.study import Study
from kerasdl.tuning.table import ranked
from kerasdl.tuning.trials import TASK, read

FINAL = "final.json"


def best(study: Study) -> TrialRecord:
    """Return the trial with the best score among those that trained to their end.

    Raises:
        UserError: if there is none yet, or the search is of build(hp), which has no recipe.
    """
    if study.search.build:
        raise UserError(f"{study.folder} searched a function build(hp), and no recipe. Its best values are in the "
                        f"report: kerasdl tune report {typed(study.folder)}")
    completed = [record for record in ranked(study.records(), study.search) if record.status == "completed"]
    if not completed:
        then = f"Why: kerasdl tune report {typed(study.folder)}" if study.over else f"To resume: {study.resume}"
        raise UserError(f"No trial of {study.folder} has ended well. {then}")
    return completed[0]


def recipe_of(study: Study, record: TrialRecord) -> Recipe:
    """Return what the trial trained, or under Hyperband would train in full."""
    name = f"{study.search.base.name or study.search.base.model}_tuned"
    return study.search.trial(record.values).model_copy(update={"name": name, "claim": None})


def source(study: Study, record: TrialRecord) -> str:
    """Return the recipe as a Python file, which `kerasdl train` takes."""
    base, search = study.search.base, study.search.name or "a search"
    return python(recipe_of(study, record), f"{base.name or base.model}, tuned: trial {record.id} of {search}.")


def measure(study: Study, record: TrialRecord, seeds: int, workers: int = 1, verbose: bool = True,
            ray: str | None = None) -> dict[str, Any]:
    """Train the winner again with other seeds, and measure each on the test split. What was trained before stays.

    With `ray` they train on a cluster, as in `kerasdl.tune`.

    Returns:
        what final.json holds: the trial, the score that chose it, and validation and test scores of the retrained ones.

    Raises:
        UserError: if one of them fails, or the search trained with another backend, on other data or with other code.
    """
    final = read(study.folder / FINAL)
    if final and final["trial"] == record.id and len(final["seeds"]) >= seeds:
        return final
    study.check_backend()
    if edited := study.search.edited():
        raise UserError(f"{edited[0]} since {study.folder} began, so that another network would be trained than the "
                        "one that won. Undo the change, or search again.")
    recipe, options = recipe_of(study, record), (read(record.folder / TASK) or {}).get("options", {})
    others = [(recipe.seed + 1 + index) % SEEDS for index in range(seeds)]
    again = Seeds(study.search, recipe, others, study.folder / "final" / record.id, options,
                  f"kerasdl tune best {typed(study.folder)} --seeds {seeds}", record.folder)
    check_same_data([record.folder, *(done.folder for done in again.records())])
    shares, start = ray_cluster.connect(ray, min(workers, seeds))
    engine.run(again, shares, verbose, start=start)
    outcomes = again.outcomes()
    objective = median_stopping.logged_as(study.search.objective, outcomes[0]["scores"])
    metric = objective.rpartition("/")[2]
    final = {"trial": record.id, "objective": objective, "chosen_by": record.score, "seeds": again.seeds,
             "val": [outcome["scores"][objective] for outcome in outcomes],
             "test": [outcome["scores"].get(f"test/{metric}") for outcome in outcomes]}  # None: it is undefined there
    with study.writing():
        write_json(study.folder / FINAL, final)
    return final


def summary(final: dict[str, Any]) -> str:
    """Return the final scores and the one that chose the winner, in a line."""
    metric = final["objective"].rpartition("/")[2]
    seeds = "1 seed" if len(final["test"]) == 1 else f"{len(final['test'])} seeds"
    return (f"test {metric} {spread(final['test'])} over {seeds}; val {metric} "
            f"{spread(final['val'])}, and {figure(final['chosen_by'])} in the trial that was chosen by it")


def spread(values: Sequence[float | None]) -> str:
    """Return mean and sample standard deviation as text; "undefined" for a score that a split does not have."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "undefined"
    mean = statistics.fmean(known)
    return figure(mean) + (f" ± {figure(statistics.stdev(known), like=mean)}" if len(known) > 1 else "")
