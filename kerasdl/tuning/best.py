"""The recipe that won a search, and what it is worth: retrained with several seeds, measured on the test split once."""

import json
import statistics
import sys
import time
from typing import Any

from kerasdl.errors import UserError
from kerasdl.files import try_lock, write_json
from kerasdl.installation import backend
from kerasdl.recipe import Recipe
from kerasdl.text import figure, typed
from kerasdl.tuning import processes
from kerasdl.tuning.search import POLL
from kerasdl.tuning.study import OUTCOME, TASK, Given, Row, Study, read
from kerasdl.tuning.table import ranked

FINAL = "final.json"


def best(study: Study) -> Row:
    """The trial with the best score among those that trained to their end.

    Raises:
        UserError: if there is none yet, or the search is of build(hp), which has no recipe.
    """
    if study.search.build:
        raise UserError(f"{study.folder} searched a function build(hp), and no recipe. Its best values are in the "
                        f"report: kerasdl tune report {typed(study.folder)}")
    study.refresh()
    rows = [row for row in ranked(study.rows(), study.search) if row.status == "completed"]
    if not rows:
        then = f"Why: kerasdl tune report {typed(study.folder)}" if study.over else f"To go on: {study.again}"
        raise UserError(f"No trial of {study.folder} has ended well. {then}")
    return rows[0]


def recipe_of(study: Study, row: Row) -> Recipe:
    """What the trial trained, or under Hyperband would train in full."""
    name = f"{study.search.base.name or study.search.base.model}_tuned"
    return study.search.base.override(**row.values).model_copy(update={"name": name, "claim": None})


def source(study: Study, row: Row) -> str:
    """The recipe as a file of Python, which `kerasdl train` takes."""
    recipe = recipe_of(study, row)
    fields = {key: getattr(recipe, key) for key in recipe.diff() if key != "name"}
    lines = [f"    {key}={value!r}," for key, value in fields.items()]
    base, search = study.search.base, study.search.name or "a search"
    headline = f"{base.name or base.model}, tuned: trial {row.id} of {search}."
    return "\n".join([f'"""{headline}"""', "",
                      "from kerasdl.recipe import Recipe", "", "recipe = Recipe(", *lines, ")", ""])


def measure(study: Study, row: Row, seeds: int, workers: int = 1, verbose: bool = True) -> dict[str, Any]:
    """Train the winner again with other seeds, and measure each on the test split. What was trained before stays.

    Returns:
        what final.json holds: the trial, the score that chose it, and validation and test scores of the retrained ones.

    Raises:
        UserError: if one of them fails, or the search trained with another backend.
    """
    final = read(study.folder / FINAL)
    if final and final["trial"] == row.id and len(final["seeds"]) >= seeds:
        return final
    searched = (read(row.folder / "result.json") or {"environment": {}})["environment"].get("backend")
    if searched not in (None, backend.current()):
        raise UserError(f"The search trained with {searched}, and Keras computes with {backend.current()}. "
                        f"Give --backend {searched}.")
    recipe = recipe_of(study, row)
    chosen = [recipe.override(seed=recipe.seed + 1 + index) for index in range(seeds)]
    outcomes = Retraining(study, row, chosen, workers, verbose).run()
    objective = study.search.objective
    metric = objective.rpartition("/")[2]
    final = {"trial": row.id, "objective": objective, "chosen_by": row.score, "seeds": [each.seed for each in chosen],
             "val": [outcome["scores"][objective] for outcome in outcomes],
             "test": [outcome["scores"][f"test/{metric}"] for outcome in outcomes]}
    with study.writing():
        write_json(study.folder / FINAL, final)
    return final


class Retraining:
    """The winner with each of some seeds, as many at a time as there are workers."""

    def __init__(self, study: Study, row: Row, recipes: list[Recipe], workers: int, verbose: bool):
        self.study, self.row, self.recipes, self.verbose = study, row, recipes, verbose
        self.free = processes.slots(min(workers, len(recipes)))

    def run(self) -> list[dict[str, Any]]:
        waiting, running, outcomes = list(self.recipes), [], {}
        try:
            while waiting or running:
                while waiting and self.free:
                    given = self._given(waiting.pop(0))
                    before = read(given.folder / OUTCOME)
                    if before and before["status"] == "completed":
                        self.study.give_back(given)
                        outcomes[given.id] = before
                        continue
                    (given.folder / OUTCOME).unlink(missing_ok=True)
                    running.append(processes.start(given, self.free.pop()))
                for process in [process for process in running if process.ended]:
                    running.remove(process)
                    self.free.append(process.slot)
                    outcomes[process.given.id] = self._outcome(process)
                time.sleep(POLL)
        finally:
            for process in running:
                process.kill()
        return [outcomes[str(recipe.seed)] for recipe in self.recipes]

    def _given(self, recipe: Recipe) -> Given:
        folder = self.study.folder / "final" / self.row.id / f"seed-{recipe.seed}"
        with self.study.writing():
            folder.mkdir(parents=True, exist_ok=True)
            lock = try_lock(folder / "lock")
            if lock is None:
                raise UserError(f"{folder} is being trained by another process. Wait for it.")
            task = {"id": str(recipe.seed), "attempt": 1, "recipe": json.loads(recipe.model_dump_json()), "bar": [],
                    "objective": self.study.search.objective, "direction": self.study.search.direction, "epochs": None,
                    "parent": None, "test": True, "options": self._options()}
            write_json(folder / TASK, task)
        return Given(str(recipe.seed), folder, 1, lock, task)

    def _options(self) -> dict[str, Any]:
        """As the trial itself was trained."""
        return (read(self.row.folder / TASK) or {}).get("options", {})

    def _outcome(self, process: processes.Process) -> dict[str, Any]:
        self.study.give_back(process.given)
        with self.study.writing():
            outcome = None if process.refusal else process.outcome(None)
        if outcome is None or outcome["status"] != "completed":
            why = outcome["why"] if outcome else process.refusal or "it was asked to stop"
            raise UserError(f"Training the winner with seed {process.given.id} failed: {why}. Its log is "
                            f"{process.given.folder / 'log.txt'}")
        if self.verbose:
            scores = "  ".join(f"{name} {figure(value)}" for name, value in outcome["scores"].items())
            print(f"seed {process.given.id}  {scores}", file=sys.stderr)
        return outcome


def told(final: dict[str, Any]) -> str:
    """The final score beside the one that chose it, in a line."""
    metric = final["objective"].rpartition("/")[2]
    seeds = "1 seed" if len(final["test"]) == 1 else f"{len(final['test'])} seeds"
    return (f"test {metric} {spread(final['test'])} over {seeds}; val {metric} "
            f"{spread(final['val'])}, and {figure(final['chosen_by'])} in the trial that was chosen by it")


def spread(values: list[float]) -> str:
    """Mean and sample deviation."""
    mean = statistics.fmean(values)
    return figure(mean) + (f" ± {figure(statistics.stdev(values), like=mean)}" if len(values) > 1 else "")
