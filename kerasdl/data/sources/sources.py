"""Where examples come from: a tfds name, a CSV, a folder of images or arrays; always as splits with their names."""

import inspect
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kerasdl.data.sources import folders, named, subset, tables
from kerasdl.data.split import Split, Target, divide
from kerasdl.errors import DataError, UserError, nearest


def load(name: str, split: str = "train", *, target: Target = "class", **args: Any) -> Split:
    """One split of a data set.

    Args:
        name: "digits" (embedded), a tensorflow-datasets name such as "mnist", "csv:PATH" or "folder:PATH".
        split: "train", "val" or "test", which never overlap: where a set has no validation part, "val" is the last
            tenth of train and "train" the rest; never a part of test. Any tfds expression, such as "train[:50%]" or
            "train+test", is taken literally, so that "train[:]" is the whole of it.
        target: "class", or "number" for regression (CSV only).
        **args: For tfds and folders: `image_size=(H, W)`. For CSV: `label=COLUMN`, `fill="median"`,
            `drop=[COLUMN, ...]`, `test=PATH`. For all with classes: `classes=[NAME, ...]` leaves the others out of
            every split, and `per_class=N` takes the first N of each; in a recipe, of its training split.

    Raises:
        UserError: for an unknown name or split, files that are not there, and whatever is wrong inside them.
    """
    count = args.pop("per_class", None)
    found = load_splits(name, {split: split}, target=target, **args)[split]
    return found if count is None else subset.per_class(found, count)


def load_splits(name: str, splits: Mapping[str, str], *, target: Target = "class",
                classes: Sequence[str] | str | None = None, per_class: int | None = None, **args: Any
                ) -> dict[str, Split]:
    """Several splits at once: `splits` maps the names you want to split expressions. See load."""
    try:
        found = _whole(name, splits, target, args)
    except UserError as error:
        raise DataError(str(error)) from error
    if classes is not None:
        found = {want: subset.of_classes(split, classes) for want, split in found.items()}
    if per_class is not None and "train" in found:
        found["train"] = subset.per_class(found["train"], per_class)
    return found


def _whole(name: str, splits: Mapping[str, str], target: Target, args: dict[str, Any]) -> dict[str, Split]:
    """All examples of the splits."""
    prefix, colon, path = name.partition(":")
    readers: dict[str, Callable[..., dict[str, Split]]] = {"csv": tables.read, "folder": folders.read}
    local = readers.get(prefix) if colon else None
    reader = local or named.read
    accepted = [key for key, parameter in inspect.signature(reader).parameters.items()
                if parameter.kind is parameter.KEYWORD_ONLY and key != "target"]
    for key in args:
        if key not in accepted:
            known = [*accepted, "classes", "per_class"]
            raise UserError(f"{name} takes no data argument {key!r}. {nearest(key, known)}")
    if reader is tables.read:
        args["target"] = target
    elif target == "number":
        raise UserError(f"The target of {name} is a class. A number can only be learned from csv:PATH.")
    if local is None:
        return named.read(name, splits, **args)
    parts = local(path, **args)
    for expression in splits.values():
        if expression not in parts:
            raise UserError(f"{name} has the splits {', '.join(parts)}. Received: {expression!r}.")
    return {want: parts[expression] for want, expression in splits.items()}


def from_arrays(x: np.ndarray, y: np.ndarray, *, classes: Sequence[str] | None = None,
                test: tuple[np.ndarray, np.ndarray] | None = None, target: Target = "class") -> dict[str, Split]:
    """Splits "train", "val" and "test" from arrays in memory, for `kerasdl.train(recipe, data=...)`.

    Args:
        x: images (N, H, W, C) or (N, H, W), uint8 or floats in 0..255; or rows (N, F) of numbers.
        y: class indices or names (N,); or numbers (N,) or (N, outputs) where target="number".
        classes: the classes' names by index; by default the values of `y`.
        test: (x, y) of a test set; by default a fifth of the examples. Val is always carved from the rest.
        target: "class" or "number".

    Raises:
        UserError: for lengths that differ, missing values, images in 0..1, one class only.
    """
    if target not in ("class", "number"):
        raise UserError(f"target is 'class' or 'number'. Received: {target!r}.")
    x, y = _pair(x, y)
    both_x, both_y = x, y
    if test is not None:
        if not isinstance(test, (tuple, list)) or len(test) != 2:
            raise UserError(f"test is (x, y). Received: {type(test).__name__}.")
        test_x, test_y = _pair(test[0], test[1])
        if test_x.shape[1:] != x.shape[1:] or test_y.shape[1:] != y.shape[1:]:
            raise UserError(f"test must be shaped as x and y, {x.shape} and {y.shape}. "
                            f"Received {test_x.shape} and {test_y.shape}.")
        new = np.setdiff1d(test_y.astype(str), y.astype(str)) if target == "class" and classes is None \
            else np.array([])
        if len(new):
            raise UserError(f"test has a class {str(new[0])!r} that y has not.")
        both_x, both_y = np.concatenate([x, test_x]), np.concatenate([y, test_y])
    examples, shape = _examples(both_x)
    targets, names = _targets(both_y, classes, target)
    parts = divide(targets[: len(x)] if names else targets[: len(x), 0], names or None, test is None)
    if test is not None:
        parts["test"] = np.arange(len(x), len(both_x))
    return {name: Split(name, examples[index], targets[index], shape, len(index), names,
                        checksum=zlib.crc32(examples[index]), kind="row" if isinstance(shape, int) else "image")
            for name, index in parts.items()}


def _pair(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    try:
        x, y = np.asarray(x), np.asarray(y)
    except ValueError:
        raise UserError("x and y must be arrays. Received lists whose parts differ in shape.") from None
    if not (x.ndim and y.ndim):
        raise UserError(f"x and y are arrays of examples. Received shapes {x.shape} and {y.shape}.")
    if len(x) != len(y) or not len(x):
        raise UserError(f"x and y must have the same length, and not be empty. Received {len(x)} and {len(y)}.")
    return x, y


def _examples(x: np.ndarray) -> tuple[np.ndarray, tuple[int, ...] | int]:
    if x.dtype.kind not in "uifb":
        raise UserError(f"x must hold numbers. Received: {x.dtype}.")
    if wrong := int((~np.isfinite(x)).reshape(len(x), -1).any(1).sum()):
        raise UserError(f"x has missing values (NaN) or infinite ones in {wrong} of {len(x)} examples.")
    if x.ndim == 2:
        return x.astype("float32"), x.shape[1]
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4:
        raise UserError(f"x must be images (N, H, W, C) or rows (N, F). Received shape {x.shape}.")
    if x.shape[1] in (1, 3) and x.shape[2] == x.shape[3] > 4:
        raise UserError(f"x must be images (N, H, W, C). Received shape {x.shape}, whose channels seem to come first: "
                        "np.moveaxis(x, 1, -1) moves them.")
    if x.min() < 0 or x.max() > 255:
        raise UserError(f"Images are expected in 0..255. Received {x.min()}..{x.max()}.")
    if 0 < (most := x.max()) <= 1 or (x.dtype.kind == "f" and 1 < most < 2):  # 1.0000001 is a 1 that was resized
        raise UserError("Images are expected in 0..255, and these lie in 0..1: multiply them by 255.")
    return np.rint(x).astype("uint8"), x.shape[1:]


def _targets(y: np.ndarray, classes: Sequence[str] | None, target: Target) -> tuple[np.ndarray, tuple[str, ...]]:
    missing = ~np.isfinite(y) if y.dtype.kind == "f" else pd.isna(y)
    if wrong := int(missing.reshape(len(y), -1).any(1).sum()):
        raise UserError(f"y has missing values (NaN) or infinite ones in {wrong} of {len(y)} examples.")
    if target == "number":
        if y.dtype.kind not in "uifb":
            raise UserError(f"y must hold numbers. Received: {y.dtype}.")
        numbers = y.astype("float32").reshape(len(y), -1)
        if (constant := numbers.max(0) == numbers.min(0)).any():
            raise UserError(f"y is {numbers[0, constant.argmax()]:g} in every example: there is nothing to learn.")
        return numbers, ()
    if y.shape[1:] == (1,):
        y = y[:, 0]
    if y.ndim != 1:
        raise UserError(f"y must be one class an example, (N,). Received shape {y.shape}. Of one-hot rows y.argmax(1) "
                        "gives it.")
    if classes is not None:
        if len(classes) < 2:
            raise UserError(f"classes has {len(classes)} names. Expected at least two.")
        if y.dtype.kind not in "ui" or y.min() < 0 or y.max() >= len(classes):
            came = f"{y.min()}..{y.max()}" if y.dtype.kind in "uif" else repr(y[0])
            raise UserError(f"y must be indices 0..{len(classes) - 1} of the {len(classes)} classes. "
                            f"Received {came} ({y.dtype}).")
        if len(set(map(str, classes))) < len(classes):
            raise UserError(f"classes are different names. Received: {', '.join(map(str, classes))}.")
        return y.astype("int32"), tuple(str(name) for name in classes)
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8", "replace")
    if y.dtype.kind == "f":
        if (y % 1).any():
            raise UserError("y has numbers that are not whole, and not classes. To predict a number, give "
                            "target='number' and set objective=regress.")
        y = y.astype("int64")
    try:
        values, indices = np.unique(y, return_inverse=True)
    except TypeError:
        raise UserError("y holds values of several types, such as texts and numbers. Make them one.") from None
    if len(values) < 2:
        raise UserError(f"y has one class only, {str(values[0])!r}. Expected at least two.")
    return indices.astype("int32"), tuple(str(value) for value in values)
