"""The recipes that are compared on a folder of photographs."""

from kerasdl.photos.backbones import Backbone
from kerasdl.photos.folder import Folder
from kerasdl.recipe import Recipe, validate

BATCH = 32
FEW, SOME = 100, 1000  # images of a class up to which augmentation is strong, and of some strength
SMALL = 64  # pixels a side of the network from scratch
MOST = {"fine-tuned": 30, "from scratch": 60}  # epochs
FEWEST = 3  # epochs below which a training is not worth its time


def frozen(backbone: Backbone, folder: Folder, side: int, group: int | str | None, seed: int) -> Recipe:
    """Return the recipe of a network whose head alone is fitted."""
    return validate({"name": f"frozen_{backbone.name}", **_data(folder, side, group, seed), **backbone.fields,
                     "freeze": "features", "batch": BATCH})


def fine_tuned(backbone: Backbone, folder: Folder, side: int, group: int | str | None, seed: int, *, start: str,
               norms: tuple[str, ...], per_class: float, epochs: int) -> Recipe:
    """Return the recipe that trains all layers from a run's weights, whose head is fitted already.

    A head that is random pulls the features out of shape (Kumar et al. 2022, arXiv:2202.10054); lower layers learn
    more slowly (Clark et al. 2020, arXiv:2003.10555, for the decay). Batch normalisation keeps its statistics: those of
    a few augmented images are others than the head was fitted to.

    Args:
        start: the folder of the run with the frozen network.
        norms: the layers of batch normalisation.
        per_class: images of a class to learn from.
        epochs: passes over them.
    """
    fields = _data(folder, side, group, seed)
    smoothed = {**fields.pop("objective_args", {}), "label_smoothing": 0.1}
    return validate({"name": f"finetuned_{backbone.name}", **fields, **backbone.fields, "init": start, "freeze": norms,
                     "objective_args": smoothed, "batch": BATCH, "epochs": epochs, "optimizer": "adamw", "lr": 1e-3,
                     "weight_decay": 0.05, "layer_decay": 0.85, "warmup": "10%", "schedule": "cosine",
                     "augment": augmentation(per_class)})


def from_scratch(folder: Folder, side: int, group: int | str | None, seed: int, *, per_class: float, epochs: int
                 ) -> Recipe:
    """Return the recipe of a small network that begins with random weights, the control."""
    return validate({"name": "scratch", **_data(folder, side, group, seed), "model": "cnn", "model_args": {"size": "S"},
                     "batch": BATCH, "epochs": epochs, "optimizer": "muon", "lr": 0.02, "weight_decay": 0.1,
                     "warmup": "10%", "schedule": "cosine", "augment": augmentation(per_class)})


def augmentation(per_class: float) -> tuple:
    """Return transforms: stronger ones where a class has few images to learn from."""
    if per_class < FEW:
        return (("random_resized_crop", 0.2), "flip", ("color_jitter", 0.4, 0.4, 0.4))
    if per_class < SOME:
        return (("random_resized_crop", 0.4), "flip", ("color_jitter", 0.2, 0.2, 0.2))
    return (("random_resized_crop", 0.6), "flip")


def _data(folder: Folder, side: int, group: int | str | None, seed: int) -> dict:
    """Return what all of them share: the images, and what a mistake costs."""
    args = {"image_size": (side, side), "channels": 3, **({"crop": folder.crop} if folder.crop else {}),
            **({"group": group} if group is not None else {})}
    weighted = {"objective_args": {"class_weight": "balanced"}, "monitor": "balanced_accuracy"}
    return {"data": f"folder:{folder.path}", "data_args": args, "seed": seed, **(weighted if folder.imbalanced else {})}
