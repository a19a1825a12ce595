"""Images of a folder: their size, and networks that know something already, with the pieces of kerasdl.photos."""

import time

from kerasdl.auto import fitted
from kerasdl.auto.asked import Asked
from kerasdl.auto.task import Candidate, Task
from kerasdl.auto.trainings import one
from kerasdl.data import sources
from kerasdl.photos import backbones, budget, recipes
from kerasdl.photos.backbones import Backbone
from kerasdl.photos.folder import Folder, look
from kerasdl.photos.frozen import with_head
from kerasdl.recipe import Recipe
from kerasdl.text import duration

SMALL, LARGE = 64, 128  # most pixels a side: without trained weights, and with them
SHARE = 0.3  # of the time that is left, that the features and the head of a frozen network may take
NONE = ("No trained weights are on this machine, and for photographs they make the largest difference. To fetch some, "
        "19 MB: kerasdl weights get efficientnet-lite0")


def base_of(asked: Asked) -> Recipe:
    """Return the recipe that says the data; of a folder of images without a size, with the size that they get.

    Raises:
        DataError: a folder that cannot be learned from.
    """
    base = asked.base
    source, path = sources.place(base.data)
    if source != "folder":
        return base
    folder = look(path, base.data_args.get("classes"))
    if "image_size" in base.data_args:
        return base
    side = side_of(folder, backbones.at_hand())
    fields = recipes.from_scratch(folder, side, None, asked.seed, per_class=1, epochs=1)
    weighted = {} if base.monitor else {"monitor": fields.monitor,
                                        "objective_args": {**fields.objective_args, **base.objective_args}}
    return base.override(data_args={**fields.data_args, **base.data_args}, **weighted)


def side_of(folder: Folder, networks: list[Backbone]) -> int:
    """Return the pixels a side that images get."""
    if not networks:
        return min(SMALL, max(budget.SIDES[0] // 2, folder.shorter))
    return next((side for side in budget.sides_for(networks[0].side, folder.shorter) if side <= LARGE), budget.SIDES[0])


def pretrained(task: Task) -> None:
    """Fit a head to each frozen network whose weights are at hand, and fine-tune the best of them if there is time."""
    source, path = sources.place(task.base.data)
    if source != "folder":
        return
    networks, shape = backbones.at_hand(), task.splits["train"].shape
    if not networks:
        task.remark(NONE)
        return
    side = shape[0]
    if shape != (side, side, 3):
        task.skip("frozen networks", f"not started: they take squares of three channels, and images here are {shape}")
        return
    folder = look(path, task.base.data_args.get("classes"))
    costs = {backbone.name: freeze(task, folder, backbone, side) for backbone in networks}
    tried = [each for each in task.ranked("baseline") if each.name.startswith("frozen_")]
    if tried:
        backbone = next(each for each in networks if f"frozen_{each.name}" == tried[0].name)
        tune(task, folder, backbone, tried[0], side, costs[backbone.name])


def freeze(task: Task, folder: Folder, backbone: Backbone, side: int) -> float:
    """Fit a linear head to a frozen network, and return the seconds that an image takes it."""
    recipe = same(task, recipes.frozen(backbone, folder, side, None, task.asked.seed))
    network = backbone.body(side)
    cost = budget.seconds_per_image(network)
    needed = budget.FITTING + cost * sum(len(split) for split in task.splits.values())
    if needed > SHARE * task.left and not (task.home / recipe.name / "result.json").exists():
        task.skip(recipe.name, f"not started: its features would take {duration(needed)}")
        return cost
    until = time.monotonic() + SHARE * task.left
    task.add(recipe.name, "baseline", lambda path: fitted.frozen(
        recipe, network, lambda probe: with_head(network, probe), task.splits, path, until))
    return cost


def tune(task: Task, folder: Folder, backbone: Backbone, start: Candidate, side: int, cost: float) -> None:
    """Train all layers of a network from its fitted head, in the epochs that fit into half of the time."""
    train, val = task.splits["train"], task.splits["val"]
    seconds = task.left / 2
    epochs = budget.epochs_for(seconds, len(train), len(val), cost, recipes.MOST["fine-tuned"])
    recipe = same(task, recipes.fine_tuned(
        backbone, folder, side, None, task.asked.seed, start=str(start.run.path),
        norms=backbones.batch_norms(backbone.body(side)), per_class=len(train) / train.outputs, epochs=max(epochs, 1)))
    if epochs < recipes.FEWEST and not (task.home / recipe.name / "recipe.json").exists():
        task.skip(recipe.name, f"not started: {recipes.FEWEST} epochs do not fit into {duration(max(seconds, 0.0))}")
        return
    one(task, [recipe], "default", seconds)


def same(task: Task, recipe: Recipe) -> Recipe:
    """Return a recipe of kerasdl.photos with the data, the score and the objective's settings of all candidates."""
    kept = {key: getattr(task.base, key) for key in ("data", "data_args", "splits", "monitor")}
    own = {key: value for key, value in recipe.objective_args.items() if key != "class_weight"}  # the task decides that
    return recipe.model_copy(update={**kept, "objective_args": own | task.base.objective_args,
                                     "batch": min(recipe.batch, len(task.splits["train"]))})
