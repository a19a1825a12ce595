"""What a recipe's examples look like, without the examples: a plan needs no data set on disk."""

import tempfile
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds

from kerasdl.data import Split, load_splits
from kerasdl.data.sources.digits import Digits
from kerasdl.data.sources.named import canonical, data_dirs
from kerasdl.data.split import height_width
from kerasdl.errors import UserError, nearest
from kerasdl.recipe import Recipe

SIZES = {  # examples of sets of which tfds does not say so before they are prepared; from their authors' papers
    "cifar10": {"train": 50_000, "test": 10_000},
    "digits": {"train": 1_797},
    "imagenet2012": {"train": 1_281_167, "validation": 50_000},
    "mnist": {"train": 60_000, "test": 10_000},
}


def stand_in(recipe: Recipe, target: str) -> Split:
    """The training split of a recipe, as if it were streamed; of a table or a folder of one's own, the split itself.

    Its size is 0 where nobody knows it: a set of tfds that is not prepared here, and not in SIZES.

    Raises:
        UserError: an unknown data set, or one without images and classes.
    """
    if recipe.data.startswith(("csv:", "folder:")):
        return load_splits(recipe.data, {"train": recipe.splits.get("train", "train")}, target=target,
                           **recipe.data_args)["train"]
    info = described(recipe.data)
    keys = info.supervised_keys
    if not keys or not isinstance(info.features[keys[1]], tfds.features.ClassLabel):
        raise UserError(f"{recipe.data} is not an image-classification set: a plan cannot be made for it.")
    shape = tuple(info.features[keys[0]].shape)
    if "image_size" in recipe.data_args:
        shape = (*height_width(recipe.data_args["image_size"]), shape[2])
    if None in shape:
        raise UserError(f"The images of {recipe.data} differ in size. Choose one with data_args.image_size=(H, W).")
    nothing = tf.data.Dataset.from_tensors(0).take(0)
    classes = tuple(recipe.data_args.get("classes", info.features[keys[1]].names))
    return Split("train", nothing, None, shape, size(recipe, info, len(classes)), classes)


def described(name: str) -> tfds.core.DatasetInfo:
    """What tfds says of a set, from the folder it is prepared in or else from its code; nothing is fetched."""
    if name == "digits":
        return Digits(data_dir=tempfile.gettempdir()).info
    plain = name.partition(":")[0]
    known = tfds.list_builders(with_community_datasets=False)
    if plain.partition("/")[0] not in known:
        raise UserError(f"Unknown data set {name!r}. {nearest(name, ['digits', *known])} "
                        "Your own data: csv:PATH or folder:PATH.")
    folder = next((folder for folder in data_dirs() if (Path(folder) / plain).is_dir()), tempfile.gettempdir())
    return tfds.builder(name, data_dir=folder, try_gcs=False).info


def size(recipe: Recipe, info: tfds.core.DatasetInfo, classes: int) -> int:
    """Examples of the training split, 0 if it is not known, as of some of the classes."""
    if "classes" in recipe.data_args or "per_class" in recipe.data_args:
        return recipe.data_args.get("per_class", 0) * classes
    counts = {name: split.num_examples for name, split in info.splits.items()} or SIZES.get(recipe.data)
    if not counts:
        return 0
    splits = {name: tfds.core.SplitInfo(name=name, shard_lengths=[count], num_bytes=0)
              for name, count in counts.items()}
    asked = recipe.splits.get("train", "train")
    asked = canonical(counts).get(asked, asked)
    try:
        parts = tfds.core.ReadInstruction.from_spec(asked).to_absolute(splits)
    except (ValueError, KeyError, AssertionError):
        raise UserError(f"{recipe.data} has no split {asked!r}.") from None
    return sum((counts[part.splitname] if part.to is None else part.to) - (part.from_ or 0) for part in parts)
