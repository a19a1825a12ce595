"""The shapes of a recipe's examples, without the examples: a plan needs no data set on disk."""

import tempfile
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds

from kerasdl.data import Split, load_splits
from kerasdl.data.images import height_width
from kerasdl.data.sources import place, prefixes
from kerasdl.data.sources.digits import Digits
from kerasdl.data.sources.tfds import canonical, data_dirs
from kerasdl.data.spec import Target
from kerasdl.errors import UserError, nearest
from kerasdl.recipe import Recipe

SIZES = {  # sets whose sizes tfds does not know before they are prepared; from their authors' papers
    "cifar10": {"train": 50_000, "test": 10_000}, "digits": {"train": 1_797},
    "imagenet2012": {"train": 1_281_167, "validation": 50_000}, "mnist": {"train": 60_000, "test": 10_000}}


def stand_in(recipe: Recipe, target: Target) -> Split:
    """Return the training split of a recipe with no examples in it; for data of a path the split itself.

    Its size is 0 where it is unknown: a set of tfds that is not prepared here and not in SIZES. An unknown data set, or
    one without images and classes, is a UserError.
    """
    asked, args = recipe.splits.get("train", "train"), recipe.data_args
    if place(recipe.data)[0] != "tfds":
        return load_splits(recipe.data, {"train": asked}, target=target, **args)["train"]
    info = described(recipe.data)
    image, label, *_ = info.supervised_keys or (None, None)
    if not isinstance(label and info.features[label], tfds.features.ClassLabel):
        raise UserError(f"{recipe.data} is not an image-classification set: a plan cannot be made for it.")
    shape = tuple(info.features[image].shape)
    if "image_size" in args:
        shape = (*height_width(args["image_size"]), shape[2])
    if None in shape:
        raise UserError(f"The images of {recipe.data} differ in size. Choose one with data_args.image_size=(H, W).")
    classes = tuple(args.get("classes", info.features[label].names))
    some = "classes" in args or "per_class" in args
    size = args.get("per_class", 0) * len(classes) if some else count(info, recipe.data, asked)
    return Split("train", tf.data.Dataset.from_tensors(0).take(0), None, shape, size, classes, streamed=True)


def described(name: str) -> tfds.core.DatasetInfo:
    """Return what tfds says of a set, from its folder if it is prepared, else from its code; nothing is downloaded."""
    if name == "digits":
        return Digits(data_dir=tempfile.gettempdir()).info
    plain = name.partition(":")[0]
    known = tfds.list_builders(with_community_datasets=False)
    if plain.partition("/")[0] not in known:
        raise UserError(f"Unknown data set {name!r}. {nearest(name, ['digits', *known])} "
                        f"Your own data: a PATH with {', '.join(f'{prefix}:' for prefix in prefixes())} before it.")
    folder = next((folder for folder in data_dirs() if (Path(folder) / plain).is_dir()), tempfile.gettempdir())
    return tfds.builder(name, data_dir=folder, try_gcs=False).info


def count(info: tfds.core.DatasetInfo, name: str, asked: str) -> int:
    """Return the number of examples that a tfds expression names, 0 if the set's sizes are unknown."""
    counts = {key: split.num_examples for key, split in info.splits.items()} or SIZES.get(name)
    if not counts:
        return 0
    splits = {key: tfds.core.SplitInfo(name=key, shard_lengths=[size], num_bytes=0) for key, size in counts.items()}
    try:
        parts = tfds.core.ReadInstruction.from_spec(canonical(list(counts)).get(asked, asked)).to_absolute(splits)
    except (ValueError, KeyError, AssertionError):
        raise UserError(f"{name} has no split {asked!r}.") from None
    return sum((counts[part.splitname] if part.to is None else part.to) - (part.from_ or 0) for part in parts)
