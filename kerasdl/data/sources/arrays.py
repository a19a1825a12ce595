"""Arrays of a program as splits."""

import zlib
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd

from kerasdl.data import multi_hot
from kerasdl.data.columns import check_precise
from kerasdl.data.divide import completed
from kerasdl.data.labels import several
from kerasdl.data.pairs import gathered, is_pairs
from kerasdl.data.spec import Target
from kerasdl.data.split import Split, checked_weights
from kerasdl.errors import DataError, nearest

AXES = {"image": ("(N, H, W, C) or (N, H, W)", (4, 3)), "row": ("(N, F)", (2,)), "sequence": ("(N, T, F)", (3,)),
        "tokens": ("(N, T)", (2,))}  # kind -> the shape of x, in words and as numbers of axes
LOOKS, LEVELS = 200, 8  # images that are looked at, and levels of grey that are too few for one of floats
FLOAT32, INT32 = np.finfo("float32").max, np.iinfo("int32").max


def from_arrays(x: Any, y: Any = None, *, kind: str | None = None, classes: Sequence[str] | None = None,
                test: Any = None, target: Target = "class", weights: Any = None, val: Any = None) -> dict[str, Split]:
    """Return the splits "train", "val" and "test" of arrays in memory, for `kerasdl.train(recipe, data=...)`.

    Without `kind`, axes and dtype of `x` say what an example is; its values never do:

    - 4 axes (N, H, W, C): images;
    - 3 axes (N, H, W) of uint8: grey images;
    - 3 axes (N, T, F) of any other dtype: sequences, kept as float32; shorter ones end with steps of NaN;
    - 2 axes (N, F): rows, kept as float32.

    Args:
        x: numbers. Images lie in 0..255, and floats among them are rounded to uint8. Or, with no `y`, a finite
            tf.data.Dataset or iterable of pairs (x, y), one by one or in batches, which are gathered in memory.
        y: class indices or names (N,); numbers (N,) or (N, outputs) where target="number", of which the columns of a
            table are the names; None without labels. Where target="labels", a row of 0 and 1 for each example
            (N, classes), or a list of names, which may be empty.
        kind: "image", "row", "sequence" or "tokens", where the rule above does not say it: "image" for grey images of
            floats, "tokens" for whole numbers (N, T) >= 0, the indices of a vocabulary, kept as int32; 0 is padding, at
            the end.
        classes: the classes' names by index; by default the values of `y`, or the names of its columns.
        test: (x, y) of a test set, x alone without labels, or pairs as for x; by default a fifth of the examples.
        target: "class", several "labels" an example, or "number": what `y` is.
        weights: how much each example counts in the loss of the training (N,), 0 or more; their mean counts as 1.
            Scores on val and test, and sets of their own, are not weighted.
        val: the same as `test` of a validation set; by default a tenth of the examples.

    Raises:
        DataError: for lengths that differ, missing values, images in 0..1, one class only, a label that no training
            example has or that all have, an `x` that is not of its kind.
    """
    if target not in get_args(Target):
        raise DataError(f"target is 'class', 'labels' or 'number'. Received: {target!r}.")
    if y is None and is_pairs(x):
        x, y = gathered(x)
    others = {name: gathered(given, name) if is_pairs(given) else given
              for name, given in (("test", test), ("val", val)) if given is not None}
    if y is None and classes is not None:
        raise DataError("classes are the names of the labels in y, and there is no y. Give y, or leave out classes.")
    for name, given in others.items():
        others[name] = _as_named(name, given, x, y)
    numbers = several([str(name) for name in getattr(y, "columns", ())], target)
    if target == "labels" and y is not None:
        y, others, classes = _rows(y, others, classes)
    x, y = _pair(x, y)
    weights = None if weights is None else checked_weights(weights, len(x))
    all_x, all_y, places = x, y, {}
    for name, given in others.items():
        its_x, its_y = _other(name, given, x, y)
        if y is not None and target == "class" and classes is None:
            if {y.dtype.kind, its_y.dtype.kind} <= set("uifb") and (its_y.astype(y.dtype) == its_y).all():
                its_y = its_y.astype(y.dtype)  # 1 is 1.0
            new = np.setdiff1d(its_y.astype(str), y.astype(str))
            if len(new):
                raise DataError(f"{name} has a class {str(new[0])!r} that y has not.")
        places[name] = np.arange(len(all_x), len(all_x) + len(its_x))
        all_x = np.concatenate([all_x, its_x])
        all_y = None if y is None else np.concatenate([all_y, its_y])
    kind = _kind(all_x, x.dtype, kind)
    _check_values(all_x, kind)
    examples = _examples(all_x, kind)
    if kind == "image":
        check_scale(x, "x")
        for name, index in places.items():
            check_scale(all_x[index], f"The x of {name}")
    targets, names = (None, ()) if all_y is None else _targets(all_y, classes, target)
    known = targets if targets is not None and target == "class" else np.arange(len(all_x))
    parts = completed(places, np.arange(len(x)), known, names if target == "class" and names else None)
    if targets is not None and target == "labels":
        multi_hot.check_learnable(targets[parts["train"]], names)
    shape = examples.shape[1] if kind == "row" else examples.shape[1:]
    build_args = {"vocabulary": int(examples.max()) + 1} if kind == "tokens" else {}
    return {name: Split(name, examples[index], None if targets is None else targets[index], shape, len(index), names,
                        checksum=zlib.crc32(examples[index]), kind=kind, build_args=build_args, numbers=numbers,
                        weights=None if weights is None or index[-1] >= len(x) else weights[index])
            for name, index in parts.items()}


def _as_named(name: str, given: Any, x: Any, y: Any) -> Any:
    """Return the set "test" or "val" with the columns of tables in the order of the training set's."""
    def ordered(table: Any, like: Any, what: str) -> Any:
        if not (hasattr(table, "columns") and hasattr(like, "columns")) or list(table.columns) == list(like.columns):
            return table
        if sorted(map(str, table.columns)) != sorted(map(str, like.columns)):
            raise DataError(f"The {what} of {name} has the columns {', '.join(map(str, table.columns))}, and that of "
                            f"the training set {', '.join(map(str, like.columns))}.")
        return table[list(like.columns)]

    if isinstance(given, (tuple, list)) and len(given) == 2:
        return ordered(given[0], x, "x"), ordered(given[1], y, "y")
    return ordered(given, x, "x")


def _rows(y: Any, others: dict[str, Any], classes: Sequence[str] | None
          ) -> tuple[Any, dict[str, Any], Sequence[str] | None]:
    """Return lists of labels' names as rows of 0 and 1, those of test and val as well, and the classes' names."""
    if not multi_hot.is_lists(y):
        return y, others, list(y.columns) if classes is None and hasattr(y, "columns") else classes
    if classes is None:
        classes = multi_hot.names_in(y)
    for name, given in others.items():
        if isinstance(given, (tuple, list)) and len(given) == 2 and multi_hot.is_lists(given[1]):
            others[name] = given[0], multi_hot.from_lists(given[1], classes)
    return multi_hot.from_lists(y, classes), others, classes


def _pair(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray | None]:
    for name, value in (("x", x), ("y", y)):
        if np.ma.is_masked(value):
            raise DataError(f"{name} is masked in some places, which an array forgets. Fill them: {name}.filled(0).")
    try:
        x, y = np.asarray(x), None if y is None else np.asarray(y)
    except ValueError:
        raise DataError("x and y must be arrays. Received lists whose parts differ in shape.") from None
    if y is None:
        if not x.ndim or not len(x):
            raise DataError(f"x is an array of examples, and not empty. Received shape {x.shape}.")
        return x, None
    if not (x.ndim and y.ndim):
        raise DataError(f"x and y are arrays of examples. Received shapes {x.shape} and {y.shape}.")
    if len(x) != len(y) or not len(x):
        raise DataError(f"x and y must have the same length, and not be empty. Received {len(x)} and {len(y)}.")
    return x, y


def _other(name: str, given: Any, x: np.ndarray, y: np.ndarray | None) -> tuple[np.ndarray, Any]:
    """Return x and y of the set "test" or "val", shaped as those of the training set."""
    if y is None:
        if isinstance(given, tuple):
            raise DataError(f"{name} is an array x alone, because there is no y. Received: tuple.")
        its_x, _ = _pair(given, None)
        if its_x.shape[1:] != x.shape[1:]:
            raise DataError(f"{name} must be shaped as x, {x.shape}. Received {its_x.shape}.")
        return its_x, None
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise DataError(f"{name} is (x, y). Received: {type(given).__name__}.")
    if given[1] is None:
        raise DataError(f"{name} is (x, y), because there is a y. Received: (x, None).")
    its_x, its_y = _pair(given[0], given[1])
    came = "nothing" if its_y is None else its_y.shape
    if its_x.shape[1:] != x.shape[1:] or its_y is None or its_y.shape[1:] != y.shape[1:]:
        raise DataError(f"{name} must be shaped as x and y, {x.shape} and {y.shape}. Received {its_x.shape} and "
                        f"{came}.")
    return its_x, its_y


def _kind(x: np.ndarray, dtype: np.dtype, asked: str | None) -> str:
    """Return the kind that was asked for, if axes and dtype of `x` allow it, or else the one that they say.

    `dtype` is that of the training examples; in `x` the test set, of another one, may be among them.
    """
    if x.dtype.kind not in "uifb":
        raise DataError(f"x must hold numbers. Received: {x.dtype}.")
    if asked is None:
        if not 2 <= x.ndim <= 4:
            raise DataError("x must be images (N, H, W, C), sequences (N, T, F) or rows (N, F). Received shape "
                            f"{x.shape}.")
        return {4: "image", 3: "image" if dtype == np.uint8 else "sequence", 2: "row"}[x.ndim]
    if asked not in AXES:
        raise DataError(f"Arrays are of no kind {asked!r}. {nearest(asked, AXES)}")
    words, axes = AXES[asked]
    if x.ndim not in axes:
        raise DataError(f"kind={asked!r} is for x of shape {words}. Received shape {x.shape}.")
    return asked


def faults_of(x: np.ndarray, kind: str, vocabulary: int = INT32) -> tuple[np.ndarray, str]:
    """Return which examples (N,) hold what those of their kind must not, and what that is, in words.

    Args:
        x: (N, ...) examples.
        kind: as in `from_arrays`.
        vocabulary: of tokens, how many there are.
    """
    if kind == "tokens":
        other = ~((x >= 0) & (x < vocabulary) & (x == np.floor(x))).all(axis=1) | (x.dtype.kind == "b")
        there = x != 0
        later = np.logical_or.accumulate(there[:, :0:-1], axis=1)[:, ::-1]  # (N, T - 1): whether a token follows
        return other | (~there[:, :-1] & later).any(axis=1), \
            f"tokens other than whole numbers >= 0 and < {vocabulary}, where 0 is padding at the end (padding='post')"
    bad = ~np.isfinite(x)
    if kind == "sequence" and bad.any():
        there = ~np.isnan(x).all(axis=2)
        length = x.shape[1] - there[:, ::-1].argmax(axis=1)
        bad &= (np.arange(x.shape[1]) < length[:, None])[..., None]
    where = ", other than the steps of NaN that end a shorter one" if kind == "sequence" else ""
    return bad.reshape(len(x), -1).any(axis=1), f"missing values (NaN) or infinite ones{where}"


def _check_values(x: np.ndarray, kind: str) -> None:
    """Raise a DataError for examples that hold what those of their kind must not."""
    wrong, words = faults_of(x, kind)
    if count := int(wrong.sum()):
        came = f" Received {x.min()}..{x.max()} ({x.dtype})." if kind == "tokens" else ""
        raise DataError(f"x has {words}, in {count} of {len(x)} examples.{came}")


def _examples(x: np.ndarray, kind: str) -> np.ndarray:
    if 0 in x.shape:
        raise DataError(f"x has an axis of length 0. Received shape {x.shape}.")
    if kind == "tokens":
        return x.astype("int32")
    if kind != "image":
        if x.dtype.kind == "f" and np.nanmax(np.abs(x)) > FLOAT32:
            raise DataError("x has a value that is too large for a float32.")
        check_precise(x, "x", "column" if kind == "row" else "channel")
        return x.astype("float32")
    if x.ndim == 3:
        x = x[..., None]
    if x.shape[1] in (1, 3) and x.shape[3] > 4:
        raise DataError(f"x must be images (N, H, W, C). Received shape {x.shape}, whose channels seem to come first: "
                        "np.moveaxis(x, 1, -1) moves them.")
    if x.min() < 0 or x.max() > 255:
        raise DataError(f"Images are expected in 0..255. Received {x.min()}..{x.max()}.")
    return x if x.dtype == np.uint8 else np.rint(x).astype("uint8")


def check_scale(x: np.ndarray, what: str) -> None:
    """Raise a DataError for images in 0..1, and for others of which rounding to whole numbers leaves little.

    Each part is looked at by itself: a test set in 0..1 next to others in 0..255 would be black.
    """
    if 0 < (most := x.max()) <= 1 or (x.dtype.kind == "f" and 1 < most < 2):  # 1.0000001 is a 1 that was resized
        raise DataError(f"Images are expected in 0..255. {what} lies in 0..1: multiply it by 255.")
    if x.dtype.kind == "f":
        some = x[:: max(1, len(x) // LOOKS)]
        if (levels := len(np.unique(np.rint(some)))) <= LEVELS < len(np.unique(some)) / LEVELS:
            raise DataError(f"{what} has images of floats, of which rounding to whole numbers leaves {levels} levels. "
                            "Scale them to 0..255.")


def _targets(y: np.ndarray, classes: Sequence[str] | None, target: Target) -> tuple[np.ndarray, tuple[str, ...]]:
    missing = ~np.isfinite(y) if y.dtype.kind == "f" else pd.isna(y)
    if wrong := int(missing.reshape(len(y), -1).any(1).sum()):
        raise DataError(f"y has missing values (NaN) or infinite ones in {wrong} of {len(y)} examples.")
    if target == "number":
        if y.dtype.kind not in "uifb":
            raise DataError(f"y must hold numbers. Received: {y.dtype}.")
        check_precise(y.reshape(len(y), -1), "y", "output")
        numbers = y.astype("float32").reshape(len(y), -1)
        if (constant := numbers.max(0) == numbers.min(0)).any():
            raise DataError(f"y is {numbers[0, constant.argmax()]:g} in every example: there is nothing to learn.")
        return numbers, ()
    if target == "labels":
        return multi_hot.checked_rows(y, classes)
    if y.shape[1:] == (1,):
        y = y[:, 0]
    if y.ndim != 1:
        rows = y.ndim == 2 and y.dtype.kind in "uifb" and np.isin(y, (0, 1)).all()
        if rows and (y.sum(1) != 1).any():
            raise DataError(f"y has {int((y.sum(1) > 1).sum())} rows with several ones: more than one class an "
                            "example. Give target='labels', and train with objective=multilabel.")
        how = "Of one-hot rows y.argmax(1) gives it." if rows else "Give the classes as numbers or names."
        raise DataError(f"y must be one class an example, (N,). Received shape {y.shape}. {how}")
    if classes is not None:
        if len(classes) < 2:
            raise DataError(f"classes has {len(classes)} names. Expected at least two.")
        if y.dtype.kind not in "ui" or y.min() < 0 or y.max() >= len(classes):
            came = f"{y.min()}..{y.max()}" if y.dtype.kind in "uif" else repr(y[0])
            raise DataError(f"y must be indices 0..{len(classes) - 1} of the {len(classes)} classes. "
                            f"Received {came} ({y.dtype}).")
        if len(set(map(str, classes))) < len(classes):
            raise DataError(f"classes are different names. Received: {', '.join(map(str, classes))}.")
        return y.astype("int32"), tuple(str(name) for name in classes)
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8", "replace")
    if y.dtype.kind == "f":
        if (y % 1).any():
            raise DataError("y has numbers that are not whole, and not classes. To predict a number, give "
                            "target='number' and set objective=regress.")
        y = y.astype("int64")
    try:
        values, indices = np.unique(y, return_inverse=True)
    except TypeError:
        raise DataError("y holds values of several types, such as texts and numbers. Make them one.") from None
    if len(values) < 2:
        raise DataError(f"y has one class only, {str(values[0])!r}. Expected at least two.")
    return indices.astype("int32"), tuple(str(value) for value in values)
