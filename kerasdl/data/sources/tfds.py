"""Data sets by their tensorflow-datasets name, read from disk; `digits` is ours and always there."""

import io
import os
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import requests
import tensorflow as tf
import tensorflow_datasets as tfds

from kerasdl.data import decoded, pipeline
from kerasdl.data.image_args import ImageArgs
from kerasdl.data.images import Fit, Interpolation, resized
from kerasdl.data.spec import Target
from kerasdl.data.split import Split
from kerasdl.errors import DataError, nearest
from kerasdl.settings import parse

KIND = "image"
TOGETHER = 256  # examples that are read at once
MEMORY = 2 * 2**30  # bytes of decoded pixels that are kept in memory; larger sets are streamed


def read(name: str, *, splits: Mapping[str, str], target: Target | None = "class",
         image_size: Sequence[int] | None = None, crop: float | None = None,
         interpolation: Interpolation = "bilinear") -> dict[str, Split]:
    """Return the wanted splits of a tfds set of images, in the order of its files.

    Args:
        name: a tfds name, such as "mnist" or "imagenet2012".
        splits: wanted name -> "train", "val", "test" or a tfds expression; see kerasdl.data.load.
        target: "class", or None where labels are not needed; those that are there are kept.
        image_size: (height, width) to resize to; needed where the set's images differ in size.
        crop: what share of an image's shorter side its centre keeps; None: the whole image, whatever its proportions.
        interpolation: "bilinear" or "bicubic".

    Raises:
        DataError: for an unknown name or split, a set that is not on disk and cannot be fetched, splits that overlap.
    """
    if target in ("number", "labels"):
        what = "A number" if target == "number" else "Several labels"
        raise DataError(f"The target of {name} is a class. {what} can only be learned from csv:PATH.")
    builder = _prepared(name)
    args = parse(ImageArgs, {"image_size": image_size, "crop": crop, "interpolation": interpolation}, "data_args", name)
    args.check()
    source = _source(builder, name, target, args)
    known = list(builder.info.splits)
    if "test" in known and set(splits.values()) & set(canonical(known)) and not source.labelled("test"):
        known.remove("test")
    plan = canonical(known)
    asked = {want: plan.get(expression, expression.replace("[:]", "")) for want, expression in splits.items()}
    _check(builder, name, asked, plan)
    if target is None and source.label and not all(map(source.labelled, asked.values())):
        source = replace(source, label=None, classes=())
    return {want: _split(source, want, expression) for want, expression in asked.items()}


@dataclass(frozen=True)
class Source:
    """A set of images on disk, and how its examples are read.

    Attributes:
        builder: of tfds.
        image: the name of the images in it.
        label: the name of the labels; None without.
        shape: of an image as the model sees it.
        classes: the classes' names; empty without labels.
        fit: how images are brought to the shape; None: they have it.
        reading: that, for Split.reading.
    """

    builder: tfds.core.DatasetBuilder
    image: str
    label: str | None
    shape: tuple[Any, ...]
    classes: tuple[str, ...]
    fit: Fit | None
    reading: Mapping[str, Any]

    def fitted(self, pixels: tf.Tensor) -> tf.Tensor:
        """Return an image with the shape of all."""
        return tf.ensure_shape(resized(pixels, self.shape, self.fit) if self.fit else pixels, self.shape)

    def labelled(self, expression: str) -> bool:
        """Return whether the first example has a label, or none has. In test parts that a contest keeps to itself, tfds
        says -1."""
        if self.label is None:
            return True
        as_stored = replace(self, fit=None, shape=(None, None, None))
        return all(label >= 0 for _, label in as_stored.one_by_one(expression).take(1))

    @pipeline.as_written
    def one_by_one(self, expression: str) -> tf.data.Dataset:
        """Return images and labels (or images alone), one file after another: the order must not depend on threads."""
        reading = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False, add_tfds_id=False)
        examples = self.builder.as_dataset(split=expression, shuffle_files=False, read_config=reading)
        return examples.map(lambda example: self._example(self.fitted(example[self.image]), example),
                            num_parallel_calls=tf.data.AUTOTUNE)

    @pipeline.as_written
    def together(self, expression: str) -> tf.data.Dataset:
        """Return the same in batches, which tfds does not read: an element of a dataset costs more time than a small
        image in it."""
        stored = {self.image: tf.io.FixedLenFeature((), "string")}
        if self.label:
            stored[self.label] = tf.io.FixedLenFeature((), "int64")
        decode = self.builder.info.features[self.image].decode_example

        def decoded(records):
            examples = tf.io.parse_example(records, stored)
            images = tf.map_fn(lambda file: self.fitted(decode(file)), examples[self.image],
                               fn_output_signature=tf.TensorSpec(self.shape, "uint8"))
            return self._example(images, examples)

        parts = [tf.data.TFRecordDataset(str(part.filename)).skip(part.skip).take(part.take)
                 for part in self.parts(expression)]
        return reduce(tf.data.Dataset.concatenate, parts).batch(TOGETHER).map(
            decoded, num_parallel_calls=tf.data.AUTOTUNE)

    def parts(self, expression: str) -> list[Any]:
        """Return the files of a part of the set, and which of the examples in each."""
        return self.builder.info.splits[expression].file_instructions

    def known(self, expression: str) -> list[Any]:
        """Return all that the images of a part depend on, unless they are resized."""
        stored = [(str(part.filename), os.stat(part.filename).st_size, os.stat(part.filename).st_mtime_ns, part.skip,
                   part.take) for part in self.parts(expression)]
        features = {key: repr(self.builder.info.features[key]) for key in (self.image, self.label) if key}
        return [stored, features, self.shape, tf.__version__]

    def _example(self, images: tf.Tensor, example: Mapping[str, tf.Tensor]):
        return (images, tf.cast(example[self.label], "int32")) if self.label else images


def _source(builder, name: str, target: Target | None, args: ImageArgs) -> Source:
    """Return what holds images and labels in the set, if it has them."""
    features, keys = builder.info.features, builder.info.supervised_keys
    supervised = keys and isinstance(features[keys[0]], tfds.features.Image) \
        and isinstance(features[keys[1]], tfds.features.ClassLabel)
    images = [key for key, feature in features.items() if isinstance(feature, tfds.features.Image)]
    if supervised:
        image, label = keys[:2]
    elif target is None and len(images) == 1:
        image, label = images[0], None
    elif target is None:
        raise DataError(f"{name} has {len(images)} images in an example. Expected one.")
    else:
        raise DataError(f"{name} is not an image-classification set: expected an image and a class label, "
                        f"received {keys or 'no supervised keys'}.")
    shape = tuple(features[image].shape)
    if args.size:
        shape = (*args.size, shape[2])
    if None in shape[:2]:
        raise DataError(f"The images of {name} differ in size. Choose one with data_args.image_size=(H, W).")
    classes = tuple(features[label].names) if label else ()
    return Source(builder, image, label, shape, classes, args.fit, args.reading())


def canonical(available: Sequence[str]) -> dict[str, str]:
    """Return the tfds expressions of "train", "val" and "test", given the set's own splits; they never overlap."""
    val = "validation" if "validation" in available else None
    if "test" in available:
        test = "test"
    elif val:  # as ImageNet: the validation part is what everybody reports, so it is our test split
        test, val = val, None
    else:
        return {"train": "train[:70%]", "val": "train[70%:80%]", "test": "train[80%:]"}
    train = {"train": "train", "val": val} if val else {"train": "train[:90%]", "val": "train[90%:]"}
    return {**train, "test": test}


def data_dirs() -> list[Path]:
    """Return the folders where tfds data is looked for, in order.

    Raises:
        DataError: if TFDS_DATA_DIR is not a folder of this machine, or there is neither that nor a home folder.
    """
    asked, home = (os.path.expanduser(path) for path in (os.environ.get("TFDS_DATA_DIR", ""), "~/tensorflow_datasets"))
    if "://" in asked:
        raise DataError(f"TFDS_DATA_DIR is {asked}, and data is read from a folder of this machine. Copy or mount it.")
    folders = [Path(folder) for folder in (asked, home) if folder and not folder.startswith("~")]
    if not folders:
        raise DataError("There is no home folder to look for data in. Set TFDS_DATA_DIR to a folder.")
    return folders


def _prepared(name: str) -> tfds.core.DatasetBuilder:
    if name == "digits":
        return _digits()
    if "/" not in name and ":" not in name and name not in (known := tfds.list_builders(with_community_datasets=False)):
        raise DataError(f"Unknown data set {name!r}. {nearest(name, ['digits', *known])} "
                        "Your own data: csv:PATH or folder:PATH.")
    dirs = data_dirs()
    for folder in dirs:  # looked at by name first: tfds asks the network about every set that it does not find
        if (folder / name.partition(":")[0]).is_dir() and (builder := _builder(name, folder)).is_prepared():
            return builder
    missing = f"{name} is not on disk in {' or '.join(map(str, dirs))}"
    advice = f"Put its prepared files into {dirs[0] / name}/VERSION, or set TFDS_DATA_DIR to the folder that has them."
    if not _online():
        raise DataError(f"{missing}, and there is no network to fetch it. {advice}")
    builder = _builder(name, next(filter(_writable, dirs), dirs[0]))
    try:
        builder.download_and_prepare()
    except Exception as error:  # tfds raises whatever its many downloaders do
        raise DataError(f"{missing} and could not be fetched ({type(error).__name__}). {advice}") from None
    return builder


def _online() -> bool:
    """Return whether there is a network: without one, tfds tries each file ten times, which takes minutes."""
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
        raise DataError(f"{name} cannot be opened: {str(error).strip().splitlines()[0]}") from None


def _digits() -> tfds.core.DatasetBuilder:
    from kerasdl.data.sources.digits import Digits

    for folder in data_dirs():
        if (folder / "digits").is_dir() and (builder := Digits(data_dir=folder)).is_prepared():
            return builder
    writable = next((folder for folder in data_dirs() if _writable(folder)), None)
    if writable is None:
        raise DataError(f"No folder to prepare digits in: {data_dirs()[-1]} is not writable. Set TFDS_DATA_DIR.")
    builder = Digits(data_dir=writable)
    try:
        with _quietly():
            builder.download_and_prepare()
    except Exception as error:  # tfds has its own for a full disk
        if not Digits(data_dir=writable).is_prepared():  # by another process, meanwhile
            raise DataError(f"digits could not be prepared in {writable} ({' '.join(str(error).split())[:200]}). "
                            "Set TFDS_DATA_DIR to another folder.") from None
    return builder


@contextmanager
def _quietly():
    """Silence tfds, which announces a download: ours takes a second and downloads nothing."""
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
    """Check that every expression exists and holds something, and that no two share an example."""
    taken: dict[str, list] = {}
    for want, expression in asked.items():
        try:
            parts = tfds.core.ReadInstruction.from_spec(expression).to_absolute(builder.info.splits)
            taken[want] = [(part.splitname, _range(part, builder.info.splits)) for part in parts]
        except (ValueError, KeyError, AssertionError):
            raise DataError(f"{name} has no split {expression!r}. It has {', '.join(plan)} (and tfds's own "
                            f"{', '.join(builder.info.splits)}, with slices such as train[:50%]).") from None
    for want, other in combinations(taken, 2):
        if shared := sum(_shared(one, two) for one in taken[want] for two in taken[other]):
            raise DataError(f"The splits {want} ({asked[want]}) and {other} ({asked[other]}) share {shared} examples. "
                            f"Set splits.{want} and splits.{other} to parts that do not overlap.")


def _shared(one: tuple[str, range], two: tuple[str, range]) -> int:
    if one[0] != two[0]:
        return 0
    return len(range(max(one[1].start, two[1].start), min(one[1].stop, two[1].stop)))


def _range(part, infos) -> range:
    end = infos[part.splitname].num_examples if part.to is None else part.to
    return range(part.from_ or 0, end)


def _split(source: Source, want: str, expression: str) -> Split:
    builder, shape = source.builder, source.shape
    size = builder.info.splits[expression].num_examples
    if not size:
        raise DataError(f"The split {expression!r} of {builder.name} is empty.")
    no_labels = DataError(f"The split {expression!r} of {builder.name} has no labels. Set splits.{want} to one that "
                          "has.")
    if size * int(np.prod(shape)) > MEMORY:
        if not source.labelled(expression):
            raise no_labels
        return Split(want, source.one_by_one(expression), None, shape, size, source.classes, streamed=True,
                     reading=source.reading)
    if source.fit:  # what resizing gives depends on the code here, too
        x, y = _arrays(source, expression)
    else:
        x, y = decoded.kept(source.known(expression), size * int(np.prod(shape)), lambda: _arrays(source, expression))
    if y.min() < 0:
        raise no_labels
    return Split(want, x, y if source.label else None, shape, size, source.classes, reading=source.reading)


def _arrays(source: Source, expression: str) -> tuple[np.ndarray, np.ndarray]:
    """Return all images (N, H, W, C) of a part, and their labels (N,), which are zeros where there are none."""
    if source.builder.info.file_format is tfds.core.FileFormat.TFRECORD:
        batches = source.together(expression)
    else:
        batches = source.one_by_one(expression).batch(TOGETHER)
    size = source.builder.info.splits[expression].num_examples
    x, y = np.empty((size, *source.shape), "uint8"), np.zeros(size, "int32")
    start = 0
    for batch in batches.prefetch(1):
        images, labels = batch if source.label else (batch, 0)
        x[start:start + len(images)], y[start:start + len(images)] = images, labels
        start += len(images)
    return x, y
