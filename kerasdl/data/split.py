"""A split: examples, with or without labels, that carry their names and shapes."""

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

import numpy as np

from kerasdl.data.spec import AXES, Feature, Target, check_kind, recorded_kind
from kerasdl.errors import DataError, UserError

SEVERAL = {None: "one class an example", "labels": "several labels an example", "tags": "a tag for each token"}
DTYPES = {"image": "uint8", "row": "float32", "sequence": "float32", "tokens": "int32", "text": "string"}


@dataclass(frozen=True)
class Split:
    """One part of a data set, with what a model needs to know of it.

    Attributes:
        name: "train", "val", "test", or the tfds expression that was asked for.
        x: an array of examples (N, ...); file names (N,) that `decode` reads; or, where `streamed`, a tf.data.Dataset
            of (example, class index), or of examples alone without labels, in a fixed order.
        y: class indices (N,) int32; of several labels an example, 1 for those that it has and 0 for the others,
            (N, classes) float32; numbers (N, outputs) float32; or a class for each token, "tags" of
            kerasdl.data.spec, (N, T + L) int32. None without labels, and where `streamed`.
        shape: of one example as the model sees it: (H, W, C) of an image, the number of columns of a row, (T, F) of a
            sequence, (T,) of tokens.
        size: the number of examples.
        classes: the classes' names by index; empty where the target is a number, and without labels.
        columns: of a CSV: {column: None for a number, or the list of its categories}.
        medians: of a CSV whose missing numbers are filled: {column: the value that fills them}.
        decode: a TensorFlow function from a file name to an example.
        checksum: of the names and sizes of files, or of the numbers in an array.
        kind: what an example is: a key of kerasdl.data.spec.AXES.
        streamed: whether the set is too large for memory, so that `x` is a Dataset.
        reading: how files become examples, where that is a choice: {"value_range": (low, high)}.
        weights: how much each example counts in the loss of the training (N,), float32, 0 or more; None: all alike.
        build_args: what else a model is built with, of the arguments that its `build` takes: {"vocabulary": 8000} of
            tokens, {"sample_rate": 8000} of sound.
        texts: of tokens, the text of each example (N,), for people to read.
        paths: of images in memory, the name of the file of each, bytes (N,), if they were read from files.
        files: texts that a run keeps, by file name: {"tokenizer.json": ...}.
        remarks: sentences on what was cut off or left out, for the log and the report.
        attributes: what else is known of each example, {name: (N,) texts}, and is not learned from: for audits.
        numbers: the names of the numbers to predict, where there are several and a table names them.

    Raises:
        UserError: an unknown kind, a shape that does not fit it, `streamed` without a Dataset, or weights that are not
            one number from 0 on for each example.
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
    reading: Mapping[str, Any] = field(default_factory=dict)
    weights: np.ndarray | None = None
    build_args: Mapping[str, Any] = field(default_factory=dict)
    texts: np.ndarray | None = None
    paths: np.ndarray | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    attributes: Mapping[str, np.ndarray] = field(default_factory=dict)
    numbers: tuple[str, ...] = ()

    def __post_init__(self):
        check_kind(self.kind)
        if len(self.example_shape) != AXES[self.kind] or isinstance(self.shape, int) != (self.kind == "row"):
            wanted = "the number of its columns" if self.kind == "row" else f"{AXES[self.kind]} numbers"
            raise UserError(f"The shape of an example with kind={self.kind!r} is {wanted}. Received: {self.shape!r}.")
        if self.streamed != hasattr(self.x, "element_spec"):
            raise UserError("streamed=True is for a split whose x is a tf.data.Dataset, and for no other. "
                            f"Received: streamed={self.streamed}, x of type {type(self.x).__name__}.")
        if self.weights is not None:
            if self.streamed:
                raise DataError("weights are for examples in memory or in files, and these are streamed.")
            object.__setattr__(self, "weights", checked_weights(self.weights, self.size))

    def __len__(self) -> int:
        return self.size

    @property
    def example_shape(self) -> tuple[int, ...]:
        """The shape of one example as a tuple: (F,) of a row."""
        return (self.shape,) if isinstance(self.shape, int) else tuple(self.shape)

    @property
    def target(self) -> Target | None:
        """What is known of each example: its "class", several "labels", the "tags" of its tokens, one "number" or
        several, or nothing."""
        if self.classes:
            one = self.y is None or self.y.ndim == 1
            return "class" if one else "tags" if self.y.dtype.kind == "i" else "labels"  # type: ignore[union-attr]
        return None if self.y is None else "number"

    @property
    def outputs(self) -> int:
        """How many numbers a model gives for an example: one for each class or target column; 0 without labels."""
        return len(self.classes) or (0 if self.y is None else self.y.shape[1])

    @property
    def relative_weights(self) -> np.ndarray | None:
        """The weights divided by their mean, so that they change no learning rate; None without weights.

        Raises:
            DataError: all weights are 0.
        """
        if self.weights is None:
            return None
        mean = self.weights.mean(dtype="float64")
        if not mean:
            raise DataError(f"All weights of {self.name} are 0: no example would count.")
        return (self.weights / mean).astype("float32")

    @property
    def spec(self) -> dict[str, Feature]:
        """What one example holds, by name: {"image": ..., "label": ...}, {"row": ..., "number": ...}, {"image": ...}.

        The names of a row's feature are the columns of the table; a column of text fills as many places of `x` as it
        has categories.
        """
        found = {self.kind: Feature(self.kind, self.example_shape, DTYPES[self.kind], tuple(self.columns))}
        if self.target == "class":
            found["label"] = Feature("label", (), "int32", self.classes)
        elif self.target == "labels":
            found["labels"] = Feature("labels", (self.outputs,), "float32", self.classes)
        elif self.target == "tags":
            found["tags"] = Feature("tags", self.y.shape[1:], "int32", self.classes)  # type: ignore[union-attr]
        elif self.target == "number":
            found["number"] = Feature("number", (self.outputs,), "float32", self.numbers)
        return found

    def describe(self) -> dict[str, Any]:
        """Return what evaluation and prediction need to know later, as plain JSON."""
        filled = {"medians": dict(self.medians)} if self.medians else {}
        read = {"reading": dict(self.reading)} if self.reading else {}
        several = {"target": self.target} if self.target in ("labels", "tags") else {}
        build = {"build_args": dict(self.build_args)} if self.build_args else {}
        numbers = {"numbers": list(self.numbers)} if self.numbers else {}
        return {"kind": self.kind, "shape": self.shape, "classes": list(self.classes), "columns": dict(self.columns),
                **filled, **read, **several, **build, **numbers}

    def part(self, index: np.ndarray, **changes: Any) -> "Split":
        """Return the examples at these indices as a split, which is not for one that is streamed.

        Args:
            index: their places.
            **changes: other attributes, such as `name`.
        """
        y, weights, texts, paths = (None if values is None else values[index]
                                    for values in (self.y, self.weights, self.texts, self.paths))
        attributes = {name: values[index] for name, values in self.attributes.items()}
        return replace(self, **{"x": self.x[index], "y": y, "weights": weights, "texts": texts, "paths": paths,
                                "size": len(index), "attributes": attributes, **changes})

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the examples at these indices, decoded, and their targets, None without labels; in that order."""
        import tensorflow as tf

        if self.streamed:
            wanted = tf.constant(indices, "int64")
            some = self.x.enumerate().filter(lambda at, _: tf.reduce_any(at == wanted))
            found = {int(at): data if isinstance(data, tuple) else (data, None) for at, data in some}
            chosen, labels = zip(*(found[int(index)] for index in indices), strict=True)
            return np.stack(chosen), np.array(labels, "int32") if self.classes else None
        examples = np.stack([self.decode(file).numpy() for file in self.x[indices]]) if self.decode else self.x[indices]
        return examples, None if self.y is None else self.y[indices]

    def sample(self, count: int, spread: bool = False) -> np.ndarray:
        """Return at most `count` examples without a pass over all; none of a split that stands for one.

        They are the first ones. With `spread`, or if the split is sorted by class, as a folder is, they come from all
        over it.
        """
        if self.streamed:
            examples = self.x.map(lambda example, *_: example)
            return np.array(list(examples.take(count).as_numpy_iterator()))
        count = min(count, len(self))
        by_class = self.target == "class" and self.y is not None and (np.diff(self.y) >= 0).all()
        return self.take(np.arange(count) * len(self) // count if spread or by_class else np.arange(count))[0]

    def fingerprint(self, labels: bool = True) -> str:
        """Return a text that changes with the number, the targets, the weights and the order of the examples, and with
        rows, arrays, and the names and sizes of files; without `labels` as if targets and weights had not been read.

        Pixels from tensorflow-datasets do not count: another version of a decoder may round one otherwise. A streamed
        split has its number of examples only.
        """
        if self.streamed:
            return str(len(self))
        checksum = self.checksum
        for values in (self.y, self.weights):
            if values is not None and labels:
                checksum = zlib.crc32(np.ascontiguousarray(values).data, checksum)
        if self.kind == "row":
            checksum = zlib.crc32(np.ascontiguousarray(self.x).data, checksum)
        return f"{len(self)}-{checksum:08x}"

    def dataset(self, batch: int = 128):
        """Return a tf.data.Dataset of (examples, targets), (examples,) without labels, for plain Keras: in order, every
        example once."""
        from kerasdl.data.pipeline import in_order

        targets = np.arange(len(self.classes), dtype="int32") if self.streamed and self.classes else self.y
        return in_order(self, targets, batch)


def check_same(found: Split, expected: Mapping[str, Any], name: str) -> None:
    """Raise a UserError that names the first difference between a split and another: kind, shape, columns, what their
    numbers were made with, or classes.

    Args:
        found: the split.
        expected: `Split.describe` of the other one, or a run's data.json.
        name: what to call the split.
    """
    theirs = found.describe()
    if np.ravel(theirs["shape"]).tolist() != np.ravel(expected["shape"]).tolist():
        raise UserError(f"The model takes examples of shape {expected['shape']}, and {name} has {theirs['shape']}.")
    if found.kind != (kind := recorded_kind(expected)):
        raise UserError(f"The model takes {kind} examples, and {name} has {found.kind} examples.")
    check_columns(theirs["columns"], expected["columns"], name)
    _check_numbers(theirs, expected, name)
    for index, (came, known) in enumerate(zip_longest(theirs["classes"], expected["classes"], fillvalue="nothing")):
        if came != known:
            raise UserError(f"The classes of {name} differ: class {index} is {came!r}, where the model learns "
                            f"{known!r}.")
    check_names(found.numbers, expected.get("numbers", ()), name)
    if theirs.get("target") != expected.get("target"):
        model, other = (SEVERAL[facts.get("target")] for facts in (expected, theirs))
        raise UserError(f"The model learns {model}, and {name} has {other}.")


def check_names(found: Sequence[str], expected: Sequence[str], name: str) -> None:
    """Raise a UserError for several numbers with other names, or in another order, than those that a model learns;
    not where one of the two has no names."""
    for place, (came, known) in enumerate(zip(found, expected, strict=False), 1):
        if came != known:
            raise UserError(f"The numbers to predict of {name} differ: number {place} is {came!r}, where the model "
                            f"learns {known!r}. Name them in its order: data_args.label={','.join(expected)}")


def checked_weights(weights: Any, count: int) -> np.ndarray:
    """Return the weights of `count` examples as float32, checked.

    Raises:
        DataError: other than one finite number from 0 on for each example.
    """
    try:
        found = np.asarray(weights, "float64")
    except (ValueError, TypeError):
        raise DataError("weights must hold numbers, one for each example.") from None
    if found.shape != (count,):
        raise DataError(f"weights must be one number for each of the {count} examples. Received shape {found.shape}.")
    wrong = np.flatnonzero(~np.isfinite(found) | (found < 0))
    if len(wrong):
        raise DataError(f"weights are numbers from 0 on. Received {found[wrong[0]]:g} for example {wrong[0]}"
                        f"{f' and others, {len(wrong)} in all' if len(wrong) > 1 else ''}.")
    return found.astype("float32")


def check_spread(spread: np.ndarray, names: Sequence[str], limit: float) -> None:
    """Raise a DataError for numbers in units so small or large that float32 loses what is computed from them.

    Args:
        spread: (F,), the deviation of each column or target; 0 where all are equal.
        names: (F,), what each is called.
        limit: deviations of 1 / limit to limit are accepted.
    """
    for name, value in zip(names, np.ravel(spread).tolist(), strict=True):
        if value and not 1 / limit <= value <= limit:
            power = -int(np.floor(np.log10(value))) if np.isfinite(value) else -30
            raise DataError(f"{name} has a standard deviation of {value:.3g}, which is out of the range of float32 in "
                            f"what is computed from it. Change its unit: multiply it by 1e{power}.")


def check_columns(found: Mapping[str, Any], expected: Mapping[str, Any], name: str) -> None:
    """Raise a UserError for columns of other names or categories, or in another order."""
    for came, known in zip_longest(found.items(), expected.items(), fillvalue=("nothing", None)):
        if came[0] != known[0] or _whole(came[1]) != _whole(known[1]):
            raise UserError(f"The columns of {name} differ: {_column(*came)}, where the model learns "
                            f"{_column(*known)}.")


def _whole(categories: Sequence[str] | None) -> list[str] | None:
    """Return categories with 1.0 as 1: earlier versions kept what pandas writes in a column with gaps."""
    return None if categories is None else [re.sub("[.,]0$", "", text) for text in categories]


def check_offsets(found: Mapping[str, Any] | None, expected: Mapping[str, Any] | None, name: str,
                  remedy: str = "Subtract the same from it in both.") -> None:
    """Raise a UserError for columns that are stored minus something else than those of a model.

    Args:
        found, expected: the `reading` of both; see kerasdl.data.columns.offsets_of.
        name: what to call the first.
        remedy: what to do.
    """
    now, before = ((reading or {}).get("offsets") or {} for reading in (found, expected))
    for column in dict.fromkeys((*before, *now)):
        if now.get(column, 0.0) != before.get(column, 0.0):
            raise UserError(f"The column {column!r} of {name} is stored minus {now.get(column, 0.0):.10g}, and the "
                            f"model learns it minus {before.get(column, 0.0):.10g}. {remedy}")


def _check_numbers(found: Mapping[str, Any], expected: Mapping[str, Any], name: str) -> None:
    """Raise a UserError for columns that are stored minus something else than those of a model, or whose gaps are
    filled with something else. Without medians no gap was filled."""
    remedy = "Make all splits of one table at once, or name the file of another: data='csv:PATH' is read as the " \
             "training rows were."
    check_offsets(found.get("reading"), expected.get("reading"), name, remedy)
    fills, filled = found.get("medians", {}), expected.get("medians", {})
    for column in filled if fills else ():
        if fills.get(column) != filled[column]:
            raise UserError(f"Gaps in the column {column!r} of {name} are filled with {fills.get(column, 0.0):.10g}, "
                            f"and the model learns them filled with {filled[column]:.10g}. {remedy}")


def _column(name: str, categories: list[str] | None) -> str:
    return f"{name} ({'number' if categories is None else ', '.join(categories)})"
