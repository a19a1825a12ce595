"""Run a recipe as published, with seeds that were not, and judge whether the committed number comes out again."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from kerasdl.data import spec
from kerasdl.environment import environment
from kerasdl.errors import UserError
from kerasdl.installation import backend
from kerasdl.published import results
from kerasdl.recipe import Recipe, load, names, shipped
from kerasdl.run import Run

MAKERS = ("backend", "device", "kerasdl", "git", "keras", "tensorflow", "jax")  # what a run is by
CONFIDENCE = 0.99  # of the interval: of a hundred recipes that do reproduce, one is expected to fail


@dataclass(frozen=True)
class Reproduction:
    """A recipe's committed results and those of today, in the units of results.Metric.

    Attributes:
        published, here: result.json of each run, by seed.
        interval: (low, high), in which the mean of those of today is expected.
    """

    recipe: Recipe
    published: Sequence[dict[str, Any]]
    here: Sequence[dict[str, Any]]
    interval: tuple[float, float]

    @property
    def diverged(self) -> list[int]:
        """The seeds of today whose loss became NaN."""
        return [result["seed"] for result in self.here if result["status"] != "completed"]

    @property
    def mean(self) -> float:
        """Of today's runs."""
        return statistics.fmean(values(self.recipe, self.here))

    @property
    def verdict(self) -> str:
        """"within the interval", or what is wrong."""
        if self.diverged:
            return f"diverged with seed {results.seeds(self.diverged)}"
        low, high = self.interval
        if low <= self.mean <= high:
            return "within the interval"
        return f"below the interval by {low - self.mean:.3g}" if self.mean < low \
            else f"above the interval by {self.mean - high:.3g}"

    @property
    def noise(self) -> tuple[float, float] | None:
        """Of generators: how far noise is from real images, then and now. Another distance is another referee's."""
        first = [next((result for result in side if "references" in result), None)
                 for side in (self.published, self.here)]
        known = [result for result in first if result is not None]
        if len(known) < 2:
            return None
        then, now = (next(value for key, value in result["references"]["noise"].items()
                          if key.startswith("frechet_")) for result in known)
        return then, now

    @property
    def succeeded(self) -> bool:
        """Whether the published number came out again."""
        return self.verdict == "within the interval"


def published(name: str) -> tuple[Recipe, list[dict[str, Any]]]:
    """A recipe of the package, with its committed results.

    Raises:
        UserError: for a name that is no recipe of the package's, and one whose results give nothing to judge by.
    """
    recipe = load(name)
    if name not in names():
        raise UserError(f"reproduce takes the name of a recipe of the package, whose results are committed. "
                        f"Received: {name}. Train it with: kerasdl train {name}")
    complaints: list[str] = []
    found = results.read((recipe for recipe, _ in shipped()), wrong=complaints.append).get(name, [])
    if not found:
        for complaint in complaints:
            if complaint.startswith(f"{name}-"):
                raise UserError(f"{complaint}. There is nothing to compare with.")
        raise UserError(f"{name} has no committed result to compare with: it was not run. "
                        f"Train it with: kerasdl train {name}")
    if results.orders(found[0]) != spec.ORDERS:
        raise UserError(f"The committed runs of {name} have the orders of kerasdl 0.1, whose seeds shared their "
                        f"batches (docs/lab/orders.md). There is nothing to compare with. Train it with: kerasdl train "
                        f"{name}")
    if len(found) == 1:
        raise UserError(f"{name} has one committed run, and one number has no spread to judge by. "
                        f"Train it with: kerasdl train {name}")
    return recipe, found


def reproduce(name: str, seeds: int = 3, workdir: str | Path | None = None, verbose: bool = True) -> Reproduction:
    """Train a recipe of the package with seeds that are not among the published ones, and compare.

    Each seed is a run in a folder of its own: a finished one is not run again, and an interrupted one goes on.

    Args:
        name: of the recipe, which runs as it stands.
        seeds: how many.
        workdir: where the runs are; by default runs/reproduce-NAME.
        verbose: whether to tell of each epoch on stderr.

    Raises:
        UserError: as `published` and kerasdl.train do, and if the folder has runs of another recipe or version.
    """
    if seeds < 1:
        raise UserError(f"seeds is 1 or more. Received: {seeds}.")
    recipe, then = published(name)
    folder = Path(workdir) if workdir is not None else Path("runs") / f"reproduce-{name}"
    taken = {result["seed"] for result in then}
    fresh = islice((seed for seed in count() if seed not in taken), seeds)
    here = [once(recipe.override(seed=seed), folder / f"seed-{seed}", verbose, MAKERS) for seed in fresh]
    low, high = interval(values(recipe, then), len(here), grain(recipe, here[0]))
    told = results.metric(recipe)
    if told.counted:  # nothing lies beyond none and all
        low, high = max(low, 0.0), min(high, told.scale)
    return Reproduction(recipe, then, [run.result for run in here], (low, high))


def once(recipe: Recipe, folder: Path, verbose: bool, makers: Sequence[str] = ()) -> Run:
    """The finished run of the recipe in the folder; what is missing of it is trained.

    Args:
        recipe: what is trained.
        folder: of the run.
        verbose: whether to tell of each epoch on stderr.
        makers: facts of its environment that a run that is there must share with this process, of those in MAKERS.
    """
    from kerasdl.train.callbacks import Diverged
    from kerasdl.train.fit import device, train

    if (folder / "result.json").exists():
        run = Run.open(folder)
        then = run.result["environment"]
        now = environment(backend=backend.current(), device=device())
        if other := [key for key in makers if then.get(key) != now.get(key)]:
            raise UserError(f"{folder} holds a run by {other[0]} {then.get(other[0])}, and this is "
                            f"{now.get(other[0])}. Choose another --workdir.")
        if results.orders(run.result) != spec.ORDERS:
            raise UserError(f"{folder} holds a run with the orders of kerasdl 0.1. Choose another --workdir.")
        changed = results.differing(run.result["settings"], recipe.diff())
        if changed := changed or ["seed"] * (run.recipe.seed != recipe.seed):
            raise UserError(f"{folder} holds a run of another recipe: {', '.join(changed)} differ. "
                            "Choose another --workdir.")
        return run
    try:
        return train(recipe, workdir=folder, verbose=verbose)
    except Diverged:  # which is a result, too
        return Run.open(folder)


def values(recipe: Recipe, found: Sequence[dict[str, Any]]) -> list[float]:
    """Of each completed run the number that the recipe is told by, as it is shown."""
    told = results.metric(recipe)
    return [told.scale * told.of(result) for result in found if result["status"] == "completed"]


def grain(recipe: Recipe, run: Run) -> float:
    """The smallest difference that two runs can have, as it is shown: one test example more or less; 0 of distances."""
    from kerasdl.evaluation.evaluate import load_split

    told = results.metric(recipe)
    return told.scale / len(load_split(run, "test")) if told.counted else 0.0


def interval(published: Sequence[float], new: int, grain: float = 0.0) -> tuple[float, float]:
    """The two-sided prediction interval for the mean of `new` seeds, from n published ones.

    mean ± t(n - 1) s sqrt(1/n + 1/new), with s the sample deviation of the published ones (Hahn & Meeker 1991,
    "Statistical Intervals"): if seeds are drawn from one normal distribution, then and now, the new mean
    falls in it in CONFIDENCE of all cases. Student's t pays for a deviation that few seeds have: of three, t is 9.9.

    The standard error of an accuracy on N test examples, sqrt(p(1 - p)/N), is not added. It says how far another
    test set would be off, and both means are of the same one, so that the difference does not have it. What differs
    from seed to seed is which of the hard examples come out right (Jordan 2023, arXiv:2304.01910), and just that is s.
    But an accuracy is a whole number of examples, and three seeds may agree in it by luck, with s = 0. So s is at least
    what rounding to whole examples hides, the deviation `grain`/sqrt(12) of a number within one (Sheppard 1898).
    """
    from scipy import stats

    n = len(published)
    deviation = max(statistics.stdev(published), grain / math.sqrt(12))
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * deviation * math.sqrt(1 / n + 1 / new)
    centre = statistics.fmean(published)
    return float(centre - reach), float(centre + reach)


def document(found: Reproduction) -> dict[str, Any]:
    """Return both sides, the interval and the verdict as JSON has them."""
    metric = results.metric(found.recipe)
    sides = {"published": found.published,
             "here": [result for result in found.here if result["status"] == "completed"]}
    return {"recipe": found.recipe.name, "metric": metric.key(found.published[0]), "reproduced": found.succeeded,
            "verdict": found.verdict, "interval": [end / metric.scale for end in found.interval],
            **{name: {"seeds": [result["seed"] for result in side], "scores": [metric.of(result) for result in side]}
               for name, side in sides.items()}}


def show(console: Console, found: Reproduction) -> None:
    """Print both sides, the interval and the verdict."""
    told = results.metric(found.recipe)
    sides = {"published": found.published,
             "here": [result for result in found.here if result["status"] == "completed"]}
    table = Table("", told.titled(found.published[0]), "runs (seeds)", "minutes a run", box=None, header_style="bold")
    for name, side in sides.items():
        cells = (results.mean_sd(values(found.recipe, side), told.digits), results.runs(side),
                 results.told(side, "seconds", results.minutes)) if side else ("none",)
        table.add_row(name, *cells)
    console.print(table)
    for name, side in sides.items():
        for line in results.machines({"": side}):
            console.print(f"{name} on {line}", soft_wrap=True)
    if found.noise and not math.isclose(*found.noise, rel_tol=1e-3):
        console.print("\nThe classifier through which images are seen was trained on this machine and is another: "
                      "noise is {1:.4g} from real images here, and was {0:.4g}, so that distances differ for that, too."
                      .format(*found.noise), soft_wrap=True)
    low, high = (f"{end:.{told.digits}f}" for end in found.interval)
    console.print(f"\nThe mean of {len(found.here)} other seeds is expected in {low} .. {high} "
                  f"({CONFIDENCE:.0%}, Student's t with {len(found.published) - 1} degrees of freedom).",
                  soft_wrap=True)
    word = "reproduced" if found.succeeded else "NOT reproduced"
    console.print(f"{found.recipe.name}: {word}, {found.verdict}.", soft_wrap=True)
