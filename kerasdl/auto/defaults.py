"""What is tried on each kind of data: a literal table of models, their settings, and what is searched around them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kerasdl.data import Split
from kerasdl.recipe import Recipe
from kerasdl.tuning import choice, integer, log, uniform

FEWEST = 3  # epochs below which a training is not worth its time
PER_EPOCH = 8  # steps that an epoch has at least: batches of small sets are smaller


@dataclass(frozen=True)
class Family:
    """A model with the settings that it is tried with, and the space around them.

    Attributes:
        name: of the run.
        fields: of the recipe, besides its data.
        space: of kerasdl.tuning.Search.
        smaller: arguments of the model that make it smaller, the largest first: for where it has a limit.
    """

    name: str
    fields: Mapping[str, Any]
    space: Mapping[str, Any] = field(default_factory=dict)
    smaller: tuple[Mapping[str, Any], ...] = ()


RATE = {"lr": log(3e-4, 1e-2), "weight_decay": log(1e-3, 0.3)}
DROP = {"model_args.drop": choice(0.0, 0.1, 0.2, 0.3, 0.5)}
SHIFTED = (("translate", 1),)  # the least augmentation: a mirrored 2 is none, so flips are searched and not assumed
FLIPPED = ("flip", ("translate", 2))
SMOOTHED = {"objective_args.label_smoothing": uniform(0.0, 0.1)}
TINY = ({"size": "XS"}, {"size": "mu"})
NARROW = ({"width": 128}, {"width": 32})
RECURRENT = {"optimizer": "adamw", "schedule": "cosine", "warmup": "5%", "global_clipnorm": 1.0}

TABLE: dict[str, tuple[Family, ...]] = {  # kind of example -> what is tried, the cheapest first
    "row": (
        Family("mlp", {"model": "mlp", "model_args": {"size": "512", "drop": 0.3}, "epochs": 100, "batch": 32,
                       "lr": 2e-3, "weight_decay": 0.05, "patience": 20},
               RATE | DROP | {"model_args.width": choice(64, 128, 256, 512), "model_args.depth": integer(1, 3),
                              "model_args.norm": choice(False, True)}, NARROW),
        Family("mlp_deep", {"model": "mlp", "model_args": {"size": "512-512", "drop": 0.3, "norm": True},
                            "epochs": 100, "batch": 64, "lr": 3e-3, "weight_decay": 0.05, "patience": 20, "ema": 0.99},
               RATE | DROP | {"model_args.width": choice(128, 256, 512, 1024), "model_args.depth": integer(1, 4)},
               NARROW)),
    "image": (
        Family("cnn", {"model": "cnn", "model_args": {"size": "S", "drop": 0.3}, "epochs": 40, "batch": 64, "lr": 4e-3,
                       "weight_decay": 0.05, "schedule": "onecycle", "augment": SHIFTED, "ema": 0.99},
               RATE | DROP | {"model_args.width": choice(16, 32, 48), "augment": choice((), SHIFTED, FLIPPED)},
               ({"width": 16}, {"width": 8})),
        Family("resnet", {"model": "resnet", "model_args": {"size": "8"}, "epochs": 40, "batch": 64, "lr": 5e-3,
                          "weight_decay": 0.05, "warmup": "10%", "augment": SHIFTED, "ema": 0.99},
               RATE | {"augment": choice((), SHIFTED, FLIPPED)}, ({"size": "mu"},))),
    "tokens": (
        Family("text_cnn", {"model": "conv1d", "model_args": {"size": "kim", "drop": 0.5}, "epochs": 12, "batch": 32,
                            "lr": 1e-3, "warmup": "5%", "patience": 3},
               RATE | DROP, ({"size": "mu"},)),
        Family("gru", {"model": "rnn", "model_args": {"cell": "gru", "size": "S", "directions": 2, "pool": "max",
                                                      "drop": 0.5},
                       "epochs": 10, "batch": 32, "lr": 2e-3, "patience": 3, **RECURRENT},
               RATE | DROP | {"model_args.size": choice("XS", "S", "M"), "model_args.pool": choice(
                   "max", "mean", "attention")}, TINY)),
    "sequence": (
        Family("fcn", {"model": "conv1d", "model_args": {"size": "fcn"}, "epochs": 100, "batch": 16, "lr": 1e-3,
                       "patience": 40, "ema": 0.9},
               RATE | {"model_args.size": choice("fcn", "resnet"), "model_args.drop": choice(0.0, 0.2, 0.4)},
               ({"size": "mu"},)),
        Family("lstm", {"model": "rnn", "model_args": {"cell": "lstm", "size": "S", "directions": 2}, "epochs": 100,
                        "batch": 16, "lr": 3e-3, "patience": 40, "ema": 0.9, **RECURRENT},
               RATE | {"model_args.size": choice("XS", "S", "M"), "model_args.pool": choice(
                   "last", "mean", "attention"), "model_args.drop": choice(0.0, 0.2, 0.4)}, TINY)),
}
WORDS = {"row": "rows", "image": "images", "tokens": "texts", "sequence": "series"}


def families(split: Split) -> tuple[Family, ...]:
    """Return what is tried on data of this kind, the cheapest first; nothing on another kind."""
    return TABLE.get(split.kind, ())


def recipes_of(family: Family, base: Recipe, split: Split) -> list[Recipe]:
    """Return the recipes of a family on some data, the largest first; batches leave an epoch PER_EPOCH steps or more.

    Args:
        family: what is trained.
        base: says the data, the splits and the score that chooses.
        split: the training split.
    """
    batch = max(4, min(family.fields["batch"], len(split) // PER_EPOCH))
    whole = base.override(**{**family.fields, "batch": batch}).model_copy(update={
        "name": family.name, "objective_args": {**base.objective_args, **family.fields.get("objective_args", {})}})
    return [whole, *(whole.override(model_args={**whole.model_args, **args}) for args in family.smaller)]


def space_of(family: Family, recipe: Recipe) -> dict[str, Any]:
    """Return what is searched around a recipe of a family."""
    return {**family.space, **(SMOOTHED if recipe.objective == "classify" else {})}
