"""Try what is worth trying on a folder of photographs, within a budget, and keep what validation chooses."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from kerasdl import zoo
from kerasdl.data import Split, load_splits
from kerasdl.errors import UserError
from kerasdl.files import LOCK, alone
from kerasdl.photos import backbones, budget, frozen, recipes
from kerasdl.photos.backbones import PIXELS, Backbone
from kerasdl.photos.budget import Budget, Deadline
from kerasdl.photos.folder import Folder, look
from kerasdl.recipe import Recipe
from kerasdl.run import Run, folder_for
from kerasdl.text import duration
from kerasdl.train.callbacks import Diverged
from kerasdl.train.fit import train

logger = logging.getLogger(__name__)
SPLITS = {name: name for name in ("train", "val", "test")}
LINEAR, FROZEN, SCRATCH = 0.1, 0.3, 0.2  # shares of the budget; what they leave is for fine-tuning
CLOSING = 20.0  # seconds for the last measurements and the page
ENOUGH = 15  # epochs of fine-tuning, for which smaller images are taken
NONE = ("No trained weights are on this machine, and they make the largest difference. To fetch some, 19 MB: kerasdl "
        "weights get efficientnet-lite0")


@dataclass(frozen=True)
class Candidate:
    """A classifier of the folder.

    Attributes:
        name: of the network.
        kind: "linear" of pixels, "frozen", "from scratch" or "fine-tuned".
        side: pixels of its images.
        run: its folder.
        seconds: that it took.
        note: what the budget did to it.
    """

    name: str
    kind: str
    side: int
    run: Run
    seconds: float
    note: str = ""

    @property
    def rank(self) -> tuple[float, float]:
        """What validation says: the score that chooses, then the loss; the larger the better."""
        result = self.run.result
        return result["val"][result["monitor"]], -result["val"]["loss"]


@dataclass
class Trials:
    """What has been tried on a folder so far.

    Attributes:
        folder: the photographs.
        home: the folder of the runs.
        clock: what is left of the budget.
        group: what keeps images in one split.
        seed: of every training.
        weights: that were asked for; empty: those of this machine.
        candidates: in the order in which they were made.
        verbose: whether the epochs of trainings are logged.
        remarks: what was left out, and why.
        sizes: images of each split, once they were read.
        reading: seconds that reading all files took, which each size and each training do anew.
    """

    folder: Folder
    home: Path
    clock: Budget
    group: int | str | None = None
    seed: int = 0
    weights: Sequence[str] = ()
    verbose: bool = True
    candidates: list[Candidate] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    reading: float = 0.0

    def __post_init__(self):
        self.splits = lru_cache(maxsize=1)(self._splits)  # of one size: several would not fit into memory

    def freeze(self, backbone: Backbone, side: int, seconds: float = math.inf) -> None:
        """Fit a linear head to a frozen network; after some seconds no other strength of it is tried."""
        until = time.monotonic() + seconds
        recipe = recipes.frozen(backbone, self.folder, side, self.group, self.seed)
        path = self.home / f"{recipe.name}_{side}"
        if (path / "data.json").exists() and self._others(Run(path), recipe, side):
            raise UserError(f"{self.home} holds a comparison of other images, or with another --seed, --group or "
                            "--weights. Choose another --workdir.")
        kind = "frozen" if backbone.source else "linear"
        self._add(backbone.name, kind, side, path, lambda: frozen.run(
            recipe, backbone.body(side), self.splits(side), path, until))

    def train(self, name: str, kind: str, side: int, recipe: Recipe, seconds: float) -> None:
        """Train a recipe, and end it after the epoch in which its time is over."""
        path, deadline = self.home / recipe.name, Deadline(seconds)
        if self.begun(recipe):
            recipe = Run(path).recipe  # its length and the size of its images are what was planned then
            side = recipe.data_args["image_size"][0]
        self._add(name, kind, side, path, lambda: train(
            recipe, workdir=path, strategy="one", callbacks=[deadline], verbose=self.verbose))

    def frozen_before(self, backbone: Backbone) -> list[int]:
        """Return the sizes of a network that an interrupted comparison has finished, the largest first."""
        beginning = f"frozen_{backbone.name}_"
        rests = [file.parent.name.removeprefix(beginning) for file in self.home.glob(f"{beginning}*/result.json")]
        return sorted((int(rest) for rest in rests if rest.isdecimal()), reverse=True)  # "quick_64" is another network

    def begun(self, recipe: Recipe) -> bool:
        """Return whether an interrupted comparison has begun to train this."""
        return (self.home / recipe.name / "recipe.json").exists()

    def best(self) -> Candidate:
        """Return the candidate that validation chooses; of equal ones the first."""
        return max(self.candidates, key=lambda each: each.rank)

    @property
    def per_class(self) -> float:
        """Images of a class that there are to learn from."""
        return self.sizes["train"] / len(self.folder.counts)

    def _others(self, run: Run, recipe: Recipe, side: int) -> bool:
        """Return whether a run is of other images or of another recipe, however their folders are written."""
        given, found = (each.model_dump(mode="json", exclude={"data", "init"}) for each in (recipe, run.recipe))
        images = {name: split.fingerprint() for name, split in self.splits(side).items()}
        return given != found or run.data.get("examples") != images or not all(
            same_place(one, other, run.data.get("folder", ""))
            for one, other in ((recipe.data, run.recipe.data), (recipe.init, run.recipe.init)))

    def _splits(self, side: int) -> Mapping[str, Split]:
        recipe = recipes.from_scratch(self.folder, side, self.group, self.seed, per_class=1, epochs=1)
        began = time.monotonic()
        found = load_splits(recipe.data, SPLITS, **recipe.data_args)
        self.sizes = {name: len(split) for name, split in found.items()}
        self.reading = time.monotonic() - began
        return found

    def _add(self, name: str, kind: str, side: int, path: Path, make: Callable[[], Run]) -> None:
        began = time.monotonic()
        there = (path / "result.json").exists()
        try:
            run = Run(path) if there else make()
        except Diverged:
            run = Run(path)  # whose result says so
        if run.result["status"] != "completed":
            remark(self, f"{name}, {kind}, was left out: its training diverged.")
            return
        spent = run.result["train"]["seconds"] if there and "train" in run.result else time.monotonic() - began
        found = Candidate(name, kind, side, run, spent, cut_short(run))
        self.candidates.append(found)
        monitor = run.result["monitor"]
        logger.info("%s, %s, %d pixels: %s %.4f on val, %s", name, kind, side, monitor.replace("_", " "),
                    found.rank[0], ", ".join(filter(None, [duration(found.seconds), found.note])))


def compare(path: str | Path, *, minutes: float = 10.0, weights: Sequence[str] = (), workdir: str | Path | None = None,
            group: int | str | None = None, seed: int = 0, verbose: bool = True) -> Trials:
    """Return everything that was tried on a folder of photographs.

    Frozen networks with logistic regression come first, each at one or two image sizes; then a small network from
    scratch, as the control; then the best frozen network is fine-tuned, from its fitted head. Every candidate is a run.

    Args:
        path: PATH/<class>/*.jpg, or PATH/{train,val,test}/<class>/*.jpg.
        minutes: the budget, 1 or more.
        weights: names of public weights, or folders of runs; empty: the public weights of this machine.
        workdir: the folder of the runs; by default runs/photos/<time>-<id>. What an interrupted comparison has
            finished there is not made again.
        group: what keeps images in one split; see kerasdl.data.sources.folder.
        seed: of every training.
        verbose: whether to log the epochs of trainings.

    Raises:
        UserError: a folder that cannot be learned from, weights that are not there, or a workdir that holds other
            things or in which another process works.
    """
    if minutes < 1:
        raise UserError(f"--minutes is 1 or more. Received: {minutes:g}.")
    networks = backbones.named(weights) if weights else backbones.at_hand()
    trials = Trials(look(path), home_of(workdir), Budget(minutes), group, seed, weights, verbose)
    logger.info(trials.folder.sentence())
    with alone(trials.home, "Choose another --workdir."):
        trials.splits(backbones.pixels().side)  # every file is read here, so that a broken one is found at once
        trials.freeze(backbones.pixels(), backbones.pixels().side, LINEAR * trials.clock.seconds)
        costs = freeze_all(trials, networks)
        train_from_scratch(trials)
        if networks:
            fine_tune(trials, networks, costs)
        else:
            remark(trials, NONE)
    return trials


def home_of(workdir: str | Path | None) -> Path:
    """Return the folder of the runs, which is new, empty, or that of an interrupted comparison."""
    home = folder_for("photos") if workdir is None else Path(workdir)
    if (home / "photos.json").exists():
        raise UserError(f"{home} already holds a finished comparison. Choose another --workdir.")
    begun = any(home.glob(f"frozen_{PIXELS}_*/recipe.json"))
    if home.is_dir() and not begun and any(each.name != LOCK for each in home.iterdir()):
        raise UserError(f"{home} holds something else. Choose another --workdir.")
    return home


def freeze_all(trials: Trials, networks: Sequence[Backbone]) -> dict[str, float]:
    """Freeze each network at the sizes for which there is time, and return seconds per image and pixel of each."""
    ends, costs = trials.clock.left - FROZEN * trials.clock.seconds, {}
    for number, backbone in enumerate(networks):
        sides = budget.sides_for(backbone.side, trials.folder.shorter)
        seconds = budget.seconds_per_image(backbone.body(sides[-1]))
        costs[backbone.name] = seconds / sides[-1] ** 2
        share = (trials.clock.left - ends) / (len(networks) - number)
        chosen = budget.affordable(sides, share, trials.folder.images, sides[-1], seconds, trials.reading,
                                   trials.frozen_before(backbone))
        ended = time.monotonic() + share
        for side in chosen:
            trials.freeze(backbone, side, ended - time.monotonic())
        if not chosen:
            needed = budget.frozen_seconds(trials.folder.images, seconds, trials.reading)
            remark(trials, f"{backbone.name} was left out: it would take {duration(needed)}, and there is "
                           f"{duration(max(share, 0.0))} for it.")
    return costs


def train_from_scratch(trials: Trials) -> None:
    """Train the control."""
    side, sizes = min(recipes.SMALL, max(budget.SIDES[0] // 2, trials.folder.shorter)), trials.sizes
    seconds = min(SCRATCH * trials.clock.seconds, trials.clock.left - CLOSING)
    recipe = recipes.from_scratch(trials.folder, side, trials.group, trials.seed, per_class=trials.per_class, epochs=1)
    cost = budget.seconds_per_image(zoo.body(recipe.model, (side, side, 3), **recipe.model_args))
    epochs = budget.epochs_for(seconds - trials.reading, sizes["train"], sizes["val"], cost,
                               recipes.MOST["from scratch"])
    if epochs < recipes.FEWEST and not trials.begun(recipe):
        remark(trials, "There was no time to train a network from scratch.")
        return
    trials.train("small network", "from scratch", side, recipe.override(epochs=max(epochs, 1)), seconds)


def fine_tune(trials: Trials, networks: Sequence[Backbone], costs: Mapping[str, float]) -> None:
    """Train all layers of the best frozen network, at the best of its sizes that leaves time for enough epochs."""
    seconds, sizes = trials.clock.left - CLOSING, trials.sizes
    tried = [each for each in trials.candidates if each.kind == "frozen"]
    if not tried:
        return
    best = max(tried, key=lambda each: each.rank)
    backbone = next(each for each in networks if each.name == best.name)
    planned = []
    for candidate in sorted((each for each in tried if each.name == best.name), key=lambda each: each.rank)[::-1]:
        cost = costs[best.name] * candidate.side ** 2
        planned.append((budget.epochs_for(seconds - trials.reading, sizes["train"], sizes["val"], cost,
                                          recipes.MOST["fine-tuned"]), candidate))
    epochs, start = next((plan for plan in planned if plan[0] >= ENOUGH), max(planned, key=lambda plan: plan[0]))
    recipe = recipes.fine_tuned(backbone, trials.folder, start.side, trials.group, trials.seed,
                                start=str(start.run.path), norms=backbones.batch_norms(backbone.body(start.side)),
                                per_class=trials.per_class, epochs=max(epochs, 1))
    if epochs < recipes.FEWEST and not trials.begun(recipe):
        remark(trials, f"There was no time to fine-tune {best.name}: an epoch of {start.side} pixels takes too long.")
        return
    trials.train(best.name, "fine-tuned", start.side, recipe, seconds)


def cut_short(run: Run) -> str:
    """Return what the budget did to a run, which an earlier session may have finished; "" for nothing."""
    recipe, epochs = run.recipe, run.result.get("train", {}).get("epochs")
    early = epochs is not None and epochs < recipe.epochs and recipe.patience is None
    return f"ended by the budget after epoch {epochs} of {recipe.epochs}" if early else ""


def same_place(given: str, found: str, folder: str = "") -> bool:
    """Return whether two paths, or names of data, are of one place; the second is from here or from another folder."""
    one, other = (name.removeprefix("folder:") for name in (given, found))
    return bool(one) == bool(other) and Path(one).resolve() in (Path(other).resolve(), Path(folder, other).resolve())


def remark(trials: Trials, text: str) -> None:
    """Keep a sentence for the page, and log it."""
    trials.remarks.append(text)
    logger.warning(text)
