"""What the recipes of the package were measured to be: the committed result.json files, and their one table.

They lie in docs/results/<recipe>-<seed>.json of the repository, and in a wheel in kerasdl/measured. It imports nothing
heavy.
"""

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasdl.recipe import Recipe, validate
from kerasdl.runs.find import fact
from kerasdl.zoo import NAMES

HERE = Path(__file__).parents[1]
NOT_RUN = "not run"
DATA = {"digits": "Digits", "mnist": "MNIST", "cifar10": "JPEG-recompressed CIFAR-10", "imagenet2012": "ImageNet",
        "text:rt_polarity": "Sentences of film reviews", "tags:wnut17/wnut17train.conll": "WNUT-17",
        "chars:tinyshakespeare/input.txt": "Shakespeare by characters", "audio:spoken_digit": "Spoken digits",
        "series:mnist1d.npz": "MNIST-1D", "series:GunPoint_TRAIN.ts": "GunPoint",
        "series:ItalyPowerDemand_TRAIN.ts": "ItalyPowerDemand", "series:ArrowHead_TRAIN.ts": "ArrowHead",
        "series:OSULeaf_TRAIN.ts": "OSULeaf", "series:adding.npz": "Adding problem"}
HEAD = ("recipe", "data", "what is measured", "mean ± deviation", "runs (seeds)", "minutes", "parameters")


@dataclass(frozen=True)
class Metric:
    """The number on the test split that a kind of recipe is told by.

    Attributes:
        name: in result.json's "test"; of generators, what comes before the referee's name.
        title: as people write it.
        scale: from result.json to what is shown: 100 for percent.
        goal: whether "max" or "min" is better.
        counted: whether it is a share of the test examples, and so a multiple of one of them.
        digits: decimals that are shown.
    """

    name: str
    title: str
    scale: float = 1.0
    goal: str = "min"
    counted: bool = False
    digits: int = 2

    def of(self, result: Mapping[str, Any]) -> float:
        """The number of one run, as result.json has it."""
        return result["test"][self.key(result)]

    def titled(self, result: Mapping[str, Any]) -> str:
        """The title, with the referee's name where a run was measured through one."""
        through = self.key(result).removeprefix(self.name)
        return f"{self.title} ({through})" if through else self.title

    def key(self, result: Mapping[str, Any]) -> str:
        return next(key for key in result["test"] if key == self.name or self.name[-1] == "_" and self.name in key)


METRICS = {
    "classify": Metric("accuracy", "test accuracy, %", 100, "max", True),
    "distill": Metric("accuracy", "test accuracy, %", 100, "max", True),
    "regress": Metric("mae", "test MAE", digits=3),
    "adversarial": Metric("frechet_", "Fréchet distance", digits=3),
    "robust": Metric("robust_accuracy", "test accuracy under PGD, %", 100, "max", True),
    "tag": Metric("f1", "strict F1, %", 100, "max", True),
    "language": Metric("bits", "bits a token", digits=3),
    "reconstruct": Metric("psnr", "test PSNR, dB", goal="max", digits=2),
}
LOSS = Metric("loss", "test loss", digits=3)  # of every other objective


def folder() -> Path:
    """Where the committed results are: in the installed package, or in the clone that it runs from."""
    packed = HERE / "measured"
    return packed if packed.is_dir() else HERE.parent / "docs" / "results"


def read(recipes: Iterable[Recipe], where: Path | None = None, wrong: Callable[[str], None] | None = None
         ) -> dict[str, list[dict]]:
    """The results of each recipe that has any, by seed.

    Args:
        recipes: all of the package.
        where: the folder; by default `folder()`.
        wrong: is told of a file that is not what its recipe, run as it stands, leaves behind, and it is left out.

    Raises:
        ValueError: for such a file, where there is no `wrong`.
    """
    known = {recipe.name: recipe for recipe in recipes}
    found: dict[str, list[dict]] = {}
    for path in sorted((where or folder()).glob("*-*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if not (complaint := unfit(path.name, result, known)):
            found.setdefault(result["recipe"], []).append(result)
        elif wrong is None:
            raise ValueError(complaint)
        else:
            wrong(complaint)
    for name, results in found.items():
        results.sort(key=lambda result: result["seed"])
        if len({result["parameters"] for result in results}) > 1:
            raise ValueError(f"the runs of {name} differ in their number of parameters")
        if len({orders(result) for result in results}) > 1:
            raise ValueError(f"some runs of {name} have the orders of kerasdl 0.1, and some others")
    return found


def orders(result: Mapping[str, Any]) -> int:
    """Return the version of the orders of a run's epochs; see kerasdl.data.spec.ORDERS."""
    return result.get("orders", 1)


def unfit(file: str, result: Mapping[str, Any], known: Mapping[str, Recipe]) -> str:
    """Why a file does not hold what a known recipe, run as it stands, leaves behind; "" if it does."""
    name, seed = result["recipe"], result["seed"]
    if file != f"{name}-{seed}.json":
        return f"{file} holds seed {seed} of {name}: expected the name {name}-{seed}.json"
    if name not in known or template(known[name]):
        return f"{file}: {name} is not a recipe with data of its own"
    if result["status"] != "completed":
        return f"{file}: expected a completed run, received {result['status']!r}"
    if changed := differing(validate(result["settings"]).diff(), known[name].diff()):
        return f"{file}: {name} has changed since that run: {', '.join(changed)}"
    return ""


def differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The settings in which a run and its recipe differ, of those that can change a number."""
    keys = (then.keys() | now.keys()) - {"name", "seed", "claim"}
    return sorted(key for key in keys if then.get(key) != now.get(key))


def template(recipe: Recipe) -> bool:
    """Whether the recipe waits for data of yours."""
    return recipe.data.startswith(("csv:", "folder:", "text:texts.csv"))


def metric(recipe: Recipe) -> Metric:
    """Return the metric that the recipe is reported by."""
    return METRICS.get(recipe.objective, LOSS)


def ordered(recipes: Iterable[Recipe]) -> list[Recipe]:
    """Those with data of their own: data sets in the order of DATA, then the others; the simplest model first."""
    kinds, models = list(METRICS), NAMES
    return sorted((recipe for recipe in recipes if not template(recipe)),
                  key=lambda recipe: (place(recipe.data), recipe.data, position(kinds, recipe.objective),
                                      position(models, recipe.model), recipe.name))


def position(names: Sequence[str], name: str) -> int:
    """Return the place of a name, after all others if it is none of them."""
    return names.index(name) if name in names else len(names)


def place(data: str) -> int:
    """Of a data set among those of DATA."""
    return list(DATA).index(data) if data in DATA else len(DATA)


def table_row(recipe: Recipe, results: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The recipe's line under HEAD."""
    chosen, data = metric(recipe), DATA.get(recipe.data, recipe.data)
    if not results:
        return recipe.name, data, chosen.title, NOT_RUN, "", "", ""
    return (recipe.name, data, chosen.titled(results[0]), score(recipe, results) + augmented(results), runs(results),
            told(results, "seconds", minutes), f"{results[0]['parameters']:,}")


def score(recipe: Recipe, results: Sequence[Mapping[str, Any]]) -> str:
    """Of its metric, the mean and the deviation over the runs."""
    chosen = metric(recipe)
    return mean_sd([chosen.scale * chosen.of(result) for result in results], chosen.digits)


def augmented(results: Sequence[Mapping[str, Any]]) -> str:
    """What stands beside the accuracy: that with test-time augmentation, of recipes that ask for it."""
    if not all("tta" in result for result in results):
        return ""
    views = {"flip": "flips", "flip_shift": "flips and shifts"}[results[0]["settings"]["tta"]]
    return f"; {mean_sd([100 * result['tta']['accuracy'] for result in results])} with {views}"


def mean_sd(values: Sequence[float], digits: int = 2) -> str:
    """The mean and, of two values or more, the sample standard deviation."""
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread}"


def told(results: Sequence[Mapping[str, Any]], key: str, write: Callable[[float], str]) -> str:
    """One number of "train": its mean or, of runs on different machines, the least and the most."""
    values = [fact(result["train"], key) for result in results]
    if len({machine(result["environment"]) for result in results}) == 1:
        return write(statistics.mean(values))
    return f"{write(min(values))}-{write(max(values))}"


def minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}" if seconds >= 3 else "<0.1"


def runs(results: Sequence[Mapping[str, Any]]) -> str:
    """How many runs, and their seeds: "5 (0-4)". Those of kerasdl 0.1, whose seeds shared batches, are marked."""
    mark = " †" if orders(results[0]) == 1 else ""
    return f"{len(results)} ({seeds([result['seed'] for result in results])}){mark}"


def seeds(numbers: Sequence[int]) -> str:
    """Seeds in short: "0-4", or "0, 3"."""
    gapless = len(numbers) > 1 and list(numbers) == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]}-{numbers[-1]}" if gapless else ", ".join(map(str, numbers))


def machines(found: Mapping[str, Iterable[Mapping[str, Any]]]) -> dict[str, list[str]]:
    """On what, and with which versions, which recipes were run."""
    users: dict[str, set[str]] = {}
    for name, results in found.items():
        for result in results:
            users.setdefault(machine(result["environment"]), set()).add(name)
    return {line: sorted(names) for line, names in users.items()}


def machine(environment: Mapping[str, Any]) -> str:
    """Processor, cores and versions, by name, so that nothing else of a machine gets out."""
    versions = ", ".join(f"{name} {environment[name]}" for name in ("kerasdl", "keras", "tensorflow", "python")
                         if name in environment)
    device = environment.get("device", "CPU")
    computing = "" if device == "CPU" else f"{device}, with "
    cores = environment["cores"]
    return f"{computing}{cores} core{'s' * (cores > 1)} of {environment['cpu']}; {versions}"
