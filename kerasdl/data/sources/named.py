"""Data sets by their tensorflow-datasets name, read from disk; `digits` is ours and always there."""

import io
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import reduce
from itertools import combinations
from pathlib import Path

import numpy as np
import requests
import tensorflow as tf
import tensorflow_datasets as tfds

from kerasdl.data.split import Split, height_width
from kerasdl.errors import UserError, nearest

TOGETHER = 256  # examples that are read at once
MEMORY = 2 * 2**30  # bytes of decoded pixels that are kept in memory; larger sets are streamed


def read(name: str, splits: Mapping[str, str], *, image_size: Sequence[int] | None = None) -> dict[str, Split]:
    """The wanted splits of a tfds image-classification set, in the order of its files.

    Args:
        name: a tfds name, such as "mnist" or "imagenet2012".
        splits: wanted name -> "train", "val", "test" or a tfds expression; see kerasdl.data.load.
        image_size: (height, width) to resize to; needed where the set's images differ in size.

    Raises:
        UserError: for an unknown name or split, a set that is not on disk and cannot be fetched, splits that overlap.
    """
    builder = _prepared(name)
    features = builder.info.features
    keys = builder.info.supervised_keys
    if (not keys or not isinstance(features[keys[0]], tfds.features.Image)
            or not isinstance(features[keys[1]], tfds.features.ClassLabel)):
        raise UserError(f"{name} is not an image-classification set: expected an image and a class label, "
                        f"received {keys or 'no supervised keys'}.")
    shape = tuple(features[keys[0]].shape)
    if image_size is not None:
        shape = (*height_width(image_size), shape[2])
    if None in shape[:2]:
        raise UserError(f"The images of {name} differ in size. Choose one with data_args.image_size=(H, W).")
    known = list(builder.info.splits)
    if "test" in known and set(splits.values()) & set(canonical(known)) and not _labelled(builder, "test"):
        known.remove("test")
    plan = canonical(known)
    asked = {want: plan.get(expression, expression.replace("[:]", "")) for want, expression in splits.items()}
    _check(builder, name, asked, plan)
    classes = tuple(features[keys[1]].names)
    return {want: _split(builder, want, expression, shape, classes, image_size is not None)
            for want, expression in asked.items()}


def canonical(available: Sequence[str]) -> dict[str, str]:
    """Which tfds expression "train", "val" and "test" stand for, given the set's own splits; they never overlap."""
    val = "validation" if "validation" in available else None
    if "test" in available:
        test = "test"
    elif val:  # as ImageNet: the validation part is what everybody reports, so it is our test split
        test, val = val, None
    else:
        return {"train": "train[:70%]", "val": "train[70%:80%]", "test": "train[80%:]"}
    train = {"train": "train", "val": val} if val else {"train": "train[:90%]", "val": "train[90%:]"}
    return {**train, "test": test}


def _labelled(builder, expression: str) -> bool:
    """Whether the first example has a label. Of test parts that a contest keeps to itself tfds says -1."""
    return all(label >= 0 for _, label in _one_by_one(builder, expression, lambda pixels: pixels).take(1))


def data_dirs() -> list[Path]:
    """Where tfds data is looked for, in order.

    Raises:
        UserError: if TFDS_DATA_DIR is not a folder of this machine, or there is neither that nor a home folder.
    """
    asked, home = (os.path.expanduser(path) for path in (os.environ.get("TFDS_DATA_DIR", ""), "~/tensorflow_datasets"))
    if "://" in asked:
        raise UserError(f"TFDS_DATA_DIR is {asked}, and data is read from a folder of this machine. Copy or mount it.")
    folders = [Path(folder) for folder in (asked, home) if folder and not folder.startswith("~")]
    if not folders:
        raise UserError("There is no home folder to look for data in. Set TFDS_DATA_DIR to a folder.")
    return folders


def _prepared(name: str) -> tfds.core.DatasetBuilder:
    if name == "digits":
        return _digits()
    if "/" not in name and ":" not in name and name not in (known := tfds.list_builders(with_community_datasets=False)):
        raise UserError(f"Unknown data set {name!r}. {nearest(name, ['digits', *known])} "
                        "Your own data: csv:PATH or folder:PATH.")
    dirs = data_dirs()
    for folder in dirs:  # looked at by name first: tfds asks the network about every set that it does not find
        if (folder / name.partition(":")[0]).is_dir() and (builder := _builder(name, folder)).is_prepared():
            return builder
    missing = f"{name} is not on disk in {' or '.join(map(str, dirs))}"
    advice = f"Put its prepared files into {dirs[0] / name}/VERSION, or set TFDS_DATA_DIR to the folder that has them."
    if not _online():
        raise UserError(f"{missing}, and there is no network to fetch it. {advice}")
    builder = _builder(name, next(filter(_writable, dirs), dirs[0]))
    try:
        builder.download_and_prepare()
    except Exception as error:  # tfds raises whatever its many downloaders do
        raise UserError(f"{missing} and could not be fetched ({type(error).__name__}). {advice}") from None
    return builder


def _online() -> bool:
    """Asked first because tfds tries each file ten times, which takes minutes, before it gives up."""
    for site in ("https://storage.googleapis.com", "https://www.tensorflow.org"):
        try:
            requests.head(site, timeout=5)
            return True
        except requests.RequestException:
            continue
    return False


def _builder(name: str, folder: Path) -> tfds.core.DatasetBuilder:
    try:
        return tfds.builder(name, data_dir=folder, try_gcs=False)
    except (tfds.core.DatasetNotFoundError, AssertionError, ValueError) as error:
        raise UserError(f"{name} cannot be opened: {str(error).strip().splitlines()[0]}") from None


def _digits() -> tfds.core.DatasetBuilder:
    from kerasdl.data.sources.digits import Digits

    for folder in data_dirs():
        if (folder / "digits").is_dir() and (builder := Digits(data_dir=folder)).is_prepared():
            return builder
    writable = next((folder for folder in data_dirs() if _writable(folder)), None)
    if writable is None:
        raise UserError(f"No folder to prepare digits in: {data_dirs()[-1]} is not writable. Set TFDS_DATA_DIR.")
    builder = Digits(data_dir=writable)
    try:
        with _quietly():
            builder.download_and_prepare()
    except Exception as error:  # tfds has its own for a full disk
        if not Digits(data_dir=writable).is_prepared():  # by another process, meanwhile
            raise UserError(f"digits could not be prepared in {writable} ({' '.join(str(error).split())[:200]}). "
                            "Set TFDS_DATA_DIR to another folder.") from None
    return builder


@contextmanager
def _quietly():
    """tfds announces a download; ours takes a second and downloads nothing."""
    tfds.disable_progress_bar()
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        tfds.enable_progress_bar()


def _writable(folder: Path) -> bool:
    while not folder.exists():
        folder = folder.parent
    return os.access(folder, os.W_OK)


def _check(builder, name: str, asked: Mapping[str, str], plan: Mapping[str, str]) -> None:
    """Every expression exists, holds something, and none shares an example with another."""
    taken: dict[str, list] = {}
    for want, expression in asked.items():
        try:
            parts = tfds.core.ReadInstruction.from_spec(expression).to_absolute(builder.info.splits)
            taken[want] = [(part.splitname, _range(part, builder.info.splits)) for part in parts]
        except (ValueError, KeyError, AssertionError):
            raise UserError(f"{name} has no split {expression!r}. It has {', '.join(plan)} (and tfds's own "
                            f"{', '.join(builder.info.splits)}, with slices such as train[:50%]).") from None
    for want, other in combinations(taken, 2):
        if shared := sum(_shared(one, two) for one in taken[want] for two in taken[other]):
            raise UserError(f"The splits {want} ({asked[want]}) and {other} ({asked[other]}) share {shared} examples. "
                            f"Set splits.{want} and splits.{other} to parts that do not overlap.")


def _shared(one: tuple[str, range], two: tuple[str, range]) -> int:
    if one[0] != two[0]:
        return 0
    return len(range(max(one[1].start, two[1].start), min(one[1].stop, two[1].stop)))


def _range(part, infos) -> range:
    end = infos[part.splitname].num_examples if part.to is None else part.to
    return range(part.from_ or 0, end)


def _split(builder, want: str, expression: str, shape: tuple, classes: tuple, resize: bool) -> Split:
    size = builder.info.splits[expression].num_examples
    if not size:
        raise UserError(f"The split {expression!r} of {builder.name} is empty.")

    def fitted(pixels):
        if resize:
            pixels = tf.image.resize(pixels, shape[:2], antialias=True)
            pixels = tf.cast(tf.round(tf.clip_by_value(pixels, 0, 255)), "uint8")
        return tf.ensure_shape(pixels, shape)

    no_labels = UserError(f"The split {expression!r} of {builder.name} has no labels. Set splits.{want} to one that "
                          "has.")
    if size * int(np.prod(shape)) > MEMORY:
        if not _labelled(builder, expression):
            raise no_labels
        return Split(want, _one_by_one(builder, expression, fitted), None, shape, size, classes, streamed=True)
    if builder.info.file_format is tfds.core.FileFormat.TFRECORD:
        batches = _together(builder, expression, fitted, shape)
    else:
        batches = _one_by_one(builder, expression, fitted).batch(TOGETHER)
    x, y = np.empty((size, *shape), "uint8"), np.empty(size, "int32")
    start = 0
    for images, labels in batches.prefetch(1):
        x[start:start + len(labels)], y[start:start + len(labels)] = images, labels
        start += len(labels)
    if y.min() < 0:
        raise no_labels
    return Split(want, x, y, shape, size, classes)


def _one_by_one(builder, expression: str, fitted: Callable) -> tf.data.Dataset:
    """Images and labels, one file after another: the order of examples must not depend on the machine's threads."""
    image, label = builder.info.supervised_keys
    reading = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False, add_tfds_id=False)
    examples = builder.as_dataset(split=expression, shuffle_files=False, read_config=reading)
    return examples.map(lambda example: (fitted(example[image]), tf.cast(example[label], "int32")),
                        num_parallel_calls=tf.data.AUTOTUNE)


def _together(builder, expression: str, fitted: Callable, shape: tuple) -> tf.data.Dataset:
    """The same in batches, which tfds does not read: a dataset's element costs more time than a small image in it."""
    image, label = builder.info.supervised_keys
    stored = {image: tf.io.FixedLenFeature((), "string"), label: tf.io.FixedLenFeature((), "int64")}
    decode = builder.info.features[image].decode_example

    def decoded(records):
        examples = tf.io.parse_example(records, stored)
        images = tf.map_fn(lambda file: fitted(decode(file)), examples[image],
                           fn_output_signature=tf.TensorSpec(shape, "uint8"))
        return images, tf.cast(examples[label], "int32")

    parts = [tf.data.TFRecordDataset(str(part.filename)).skip(part.skip).take(part.take)
             for part in builder.info.splits[expression].file_instructions]
    return reduce(tf.data.Dataset.concatenate, parts).batch(TOGETHER).map(decoded, num_parallel_calls=tf.data.AUTOTUNE)
