"""A split: examples and targets that carry their names and shapes. And how splits are carved where a set has none."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Literal

import numpy as np

from kerasdl.errors import UserError

Target = Literal["class", "number"]
VAL, TEST = 0.1, 0.2  # shares that are carved where a set has no such part


@dataclass(frozen=True)
class Split:
    """One part of a data set, with what a model needs to know of it.

    Attributes:
        name: "train", "val", "test", or the tfds expression that was asked for.
        x: uint8 images (N, H, W, C), float32 rows (N, F), file names (N,) that `decode` reads or, for a set larger than
            memory, a tf.data.Dataset of (image, label) in a fixed order.
        y: class indices (N,) int32, or targets (N, outputs) float32; None where `x` is a Dataset.
        shape: of one example as the model sees it: (H, W, C), or the number of columns of a row.
        size: the number of examples.
        classes: the classes' names by index; empty where the target is a number.
        columns: of a CSV: {column: None for a number, or the list of its categories}.
        medians: of a CSV whose missing numbers are filled: {column: what with}.
        decode: a TensorFlow function from a file name to an image (H, W, C) uint8.
        checksum: of images from files one of the files' names and sizes, of arrays one of the numbers.
    """

    name: str
    x: Any
    y: np.ndarray | None
    shape: Any
    size: int
    classes: tuple[str, ...] = ()
    columns: Mapping[str, list[str] | None] = field(default_factory=dict)
    medians: Mapping[str, float] = field(default_factory=dict)
    decode: Callable | None = None
    checksum: int = 0
    kind: str = "image"
    streamed: bool = False

    def __len__(self) -> int:
        return self.size

    @property
    def target(self) -> str | None:
        """What is known of each example: its "class", a "number" or several, or nothing."""
        return "class" if self.classes else "number" if self.y is not None else None

    @property
    def outputs(self) -> int:
        """How many numbers a model gives per example: one for each class or target column; 0 without labels."""
        return len(self.classes) or (0 if self.y is None else self.y.shape[1])

    def describe(self) -> dict[str, Any]:
        """What predict needs to know later, as plain JSON."""
        filled = {"medians": dict(self.medians)} if self.medians else {}
        return {"shape": self.shape, "classes": list(self.classes), "columns": dict(self.columns), **filled}

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """The images or rows at these indices and, of classes or numbers, their targets; decoded, in that order."""
        import tensorflow as tf

        if isinstance(self.x, tf.data.Dataset):
            listed = tf.constant(indices, "int64")
            some = self.x.enumerate().filter(lambda at, _: tf.reduce_any(at == listed))
            found = {int(at): (image.numpy(), int(label)) for at, (image, label) in some}
            images, labels = zip(*(found[int(index)] for index in indices), strict=True)
            return np.stack(images), np.array(labels, "int32")
        examples = np.stack([self.decode(file).numpy() for file in self.x[indices]]) if self.decode else self.x[indices]
        return examples, None if self.y is None else self.y[indices]

    def sample(self, count: int) -> np.ndarray:
        """Images or rows, at most so many, without a pass over all; none of a split that stands for one.

        They are the first ones or, of a split that lies sorted by class as a folder does, some of every class.
        """
        import tensorflow as tf

        if isinstance(self.x, tf.data.Dataset):
            return np.array([image for image, _ in self.x.take(count).as_numpy_iterator()])
        count = min(count, len(self))
        by_class = self.classes and self.y is not None and bool((np.diff(self.y) >= 0).all())
        return self.take(np.arange(count) * len(self) // count if by_class else np.arange(count))[0]

    def fingerprint(self) -> str:
        """Another one for another number of examples, other targets, another order of these, other rows and arrays.

        Of images from files their names and sizes count, and of those of tensorflow-datasets the targets alone, for
        another version of a decoder may round a pixel otherwise. Of what is streamed only the number counts.
        """
        if self.streamed or self.y is None:
            return str(len(self))
        checksum = zlib.crc32(np.ascontiguousarray(self.y).data, self.checksum)
        if isinstance(self.shape, int):
            checksum = zlib.crc32(np.ascontiguousarray(self.x).data, checksum)
        return f"{len(self)}-{checksum:08x}"

    def dataset(self, batch: int = 128):
        """(examples, targets) in order, every example once, as a tf.data.Dataset for plain Keras."""
        from kerasdl.data.pipeline import in_order

        return in_order(self, self.y, batch)


def check_same(found: Split, expected: Mapping[str, Any], name: str) -> None:
    """Refuse a split that differs from another in what a model learns: shape, columns or classes, told as of `name`.

    Args:
        found: the split.
        expected: what the other one says of itself, `Split.describe`.
        name: what to call the split.

    Raises:
        UserError: naming the first difference.
    """
    theirs = found.describe()
    if np.ravel(theirs["shape"]).tolist() != np.ravel(expected["shape"]).tolist():
        raise UserError(f"The model takes examples of shape {expected['shape']}, and {name} has {theirs['shape']}.")
    check_columns(theirs["columns"], expected["columns"], name)
    for index, (came, known) in enumerate(zip_longest(theirs["classes"], expected["classes"], fillvalue="nothing")):
        if came != known:
            raise UserError(f"The classes of {name} differ: class {index} is {came!r}, where the model learns "
                            f"{known!r}.")


def check_columns(found: Mapping[str, Any], expected: Mapping[str, Any], name: str) -> None:
    """Refuse columns, as a split has them, of other names or categories or in another order."""
    for came, known in zip_longest(found.items(), expected.items(), fillvalue=("nothing", None)):
        if came != known:
            raise UserError(f"The columns of {name} differ: {_column(*came)}, where the model learns "
                            f"{_column(*known)}.")


def _column(name: str, categories: list[str] | None) -> str:
    return f"{name} ({'number' if categories is None else ', '.join(categories)})"


def height_width(image_size: Sequence[int] | int) -> tuple[int, int]:
    """The image_size of a recipe, (height, width) or one number for both, checked."""
    size = tuple(image_size) if isinstance(image_size, (list, tuple)) else (image_size,) * 2
    if len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise UserError(f"image_size must be (height, width). Received: {image_size!r}.")
    return size


def carve(y: np.ndarray, share: float, stratify: bool) -> tuple[np.ndarray, np.ndarray]:
    """Indices of (the rest, a share) of examples, by class where classes are large enough; the same every time."""
    from sklearn.model_selection import train_test_split

    order = np.arange(len(y))
    enough = stratify and np.bincount(y)[np.unique(y)].min() * share >= 1
    rest, part = train_test_split(order, test_size=share, random_state=0, stratify=y if enough else None)
    return np.sort(rest), np.sort(part)


def divide(y: np.ndarray, classes: Sequence[str] | None, test: bool = True) -> dict[str, np.ndarray]:
    """Indices of train, val and (if `test`) test in one set that has no parts of its own.

    Args:
        y: (N,) indices of classes, or numbers.
        classes: the classes' names; None for numbers.
        test: whether to carve a test part.

    Raises:
        UserError: for less than 10 examples, or a class of which none would come into the training part.
    """
    stratify = classes is not None
    if len(y) < 10:
        raise UserError(f"{len(y)} examples are too few to split. Expected at least 10.")
    rest, parts = np.arange(len(y)), {}
    if test:
        rest, parts["test"] = carve(y, TEST, stratify)
    inner, val = carve(y[rest], VAL / (1 - TEST) if test else VAL, stratify)
    if classes is not None and (lost := np.setdiff1d(y, y[rest[inner]])).size:
        count = int((y == lost[0]).sum())
        raise UserError(f"The class {classes[lost[0]]!r} has {count} of {len(y)} examples, and none came into the "
                        "training part. Take it out, or give it more.")
    return {"train": rest[inner], "val": rest[val], **parts}
