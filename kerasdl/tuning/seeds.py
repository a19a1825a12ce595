"""A recipe with several seeds, each a trial with its own process: here, or on a cluster of Ray."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasdl import objectives
from kerasdl.errors import UserError
from kerasdl.files import write_json
from kerasdl.recipe import Recipe, validate
from kerasdl.run import folder_for
from kerasdl.text import typed
from kerasdl.tuning import engine, ray_cluster
from kerasdl.tuning.dimensions import choice
from kerasdl.tuning.records import Answer, TrialRecord
from kerasdl.tuning.same_data import check_same_data, examples_of
from kerasdl.tuning.search import Search
from kerasdl.tuning.trials import OUTCOME, Trials, read

FILE = "seeds.json"


class Seeds(Trials):
    """A recipe with each of some seeds, in `seed-<n>` of a folder. What failed before is tried again.

    Args:
        search: whose objective and direction count.
        recipe: to train.
        seeds: of the recipe.
        folder: for all of them.
        options: keyword arguments of kerasdl.train.
        resume: the command that continues them.
        first: the folder of a run of the recipe whose data theirs must be.
    """

    def __init__(self, search: Search, recipe: Recipe, seeds: Sequence[int], folder: Path, options: Mapping[str, Any],
                 resume: str, first: Path | None = None):
        super().__init__(search, folder, folder, resume)
        self.recipe, self.seeds, self.options, self.first = recipe, list(seeds), dict(options), first
        with self.writing():
            folder.mkdir(parents=True, exist_ok=True)
            for failed in (each for each in self.records() if each.status == "failed"):
                (failed.folder / OUTCOME).unlink()
        self._ended.clear()

    @property
    def total(self) -> int:
        return len(self.seeds)

    def records(self) -> list[TrialRecord]:
        """Return the records of the seeds asked for: the folder may hold more, of an earlier call."""
        return [record for record in super().records() if record.id in {f"seed-{seed}" for seed in self.seeds}]

    def plan(self, records: Sequence[TrialRecord]) -> TrialRecord | Answer:
        taken = {record.id for record in records}
        seed = next((seed for seed in self.seeds if f"seed-{seed}" not in taken), None)
        if seed is None:
            return Answer.DONE
        return TrialRecord(f"seed-{seed}", "running", {"seed": seed}, folder=self.home / f"seed-{seed}")

    def task(self, record: TrialRecord, records: Sequence[TrialRecord]) -> dict[str, Any]:
        recipe = self.recipe.override(**record.values)
        return {"recipe": json.loads(recipe.model_dump_json()), "options": self.options, "test": True}

    def examples(self, records: Sequence[TrialRecord]) -> dict[str, str] | None:
        return self.first and examples_of(self.first) or super().examples(records)

    def outcomes(self) -> list[dict[str, Any]]:
        """Return the outcome of each seed.

        Raises:
            UserError: if one failed.
        """
        for record in self.records():
            if record.status != "completed":
                raise UserError(f"Training {self.recipe.name or self.recipe.model} with {record.id.replace('-', ' ')} "
                                f"failed: {record.why.rstrip('.')}. Its log is {record.folder / 'log.txt'}")
        return [read(self.home / f"seed-{seed}" / OUTCOME) or {} for seed in self.seeds]


def train_seeds(recipe: Recipe, count: int, workdir: str | Path | None = None, workers: int = 1, *,
                ray: str | None = None, verbose: bool = True, again: str | None = None, **options: Any
                ) -> dict[str, Any]:
    """Train a recipe with `count` seeds from its own on, and return what seeds.json holds.

    A folder that holds some of them already is continued.

    Args:
        workdir: for all of them; by default `runs/<recipe>/<time>-<id>/`.
        workers: how many train at a time.
        ray: as in `kerasdl.tune`.
        again: the command that was typed, which continues with the workdir.
        **options: of kerasdl.train, for each.

    Returns:
        {"recipe", "seeds", "runs", "scores": {"val/accuracy": [one of each seed], ...}}.

    Raises:
        UserError: the folder holds the seeds of another recipe, or a training failed.
    """
    name = recipe.name or recipe.model
    folder, seeds = Path(workdir or folder_for(name)), [recipe.seed + index for index in range(count)]
    plain = json.loads(recipe.model_dump_json())
    if (before := read(folder / FILE)) and (changed := recipe.changes(validate(before["recipe"]))):
        raise UserError(f"{folder} holds the seeds of another recipe: {', '.join(changed)}. Choose another --workdir.")
    search = Search(recipe=recipe, space={"seed": choice(*seeds)}, oracle="grid", name=name,
                    objective=f"val/{objectives.of(recipe).monitor}")
    resume = again or f"kerasdl train {typed(name)} --seeds {count}"
    trials = Seeds(search, recipe, seeds, folder, options, resume + ("" if again and workdir else
                                                                     f" --workdir {typed(folder)}"))
    trials.check_backend()
    with trials.writing():
        write_json(folder / FILE, {"recipe": plain, "seeds": seeds})
    shares, start = ray_cluster.connect(ray, min(workers, count))
    engine.run(trials, shares, verbose, start=start)
    scores = [outcome["scores"] for outcome in trials.outcomes()]
    check_same_data([folder / f"seed-{seed}" for seed in seeds])
    found = {"recipe": plain, "seeds": seeds, "runs": [str(folder / f"seed-{seed}") for seed in seeds],
             "scores": {key: [each[key] for each in scores] for key in scores[0]
                        if all(isinstance(each.get(key), float) for each in scores)}}
    with trials.writing():
        write_json(folder / FILE, found)
    return found
