"""What one example holds: features with a kind, a shape and a dtype. Imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kerasdl.errors import UserError, nearest

Target = Literal["class", "labels", "number", "tags"]

KINDS = {  # kind -> what one feature of it is
    "image": "pixels (H, W, C), uint8, 0..255",
    "row": "the columns of a table (F,), float32",
    "sequence": "T steps of F numbers (T, F), float32; a shorter one ends with steps of NaN",
    "tokens": "T whole numbers >= 0, the indices of a vocabulary (T,), int32; a shorter text ends with zeros",
    "text": "a string ()",
    "mask": "a class for each pixel (H, W), int32",
    "boxes": "rectangles with their classes (N, 5), float32",
    "label": "the index of a class (), int32",
    "labels": "which of the classes there are (classes,), 0 or 1, float32",
    "number": "numbers to predict (outputs,), float32",
    "tags": "a class for each token (T + L,), int32; -1: not scored; L: of words without a token, with classes * W "
            "added for the W-th word of a sentence if one with a token follows",
}
STEPS = 2  # version of the steps of texts and of large streamed examples; 0.2 had the first
ORDERS = 2  # version of the orders of examples, which every result names; docs/lab/orders.md describes the first
PLURALS = {"image": "images", "row": "rows", "sequence": "sequences", "tokens": "texts", "text": "texts"}
AXES = {"image": 3, "row": 1, "sequence": 2, "tokens": 1, "text": 0}  # of one example of what a model takes


@dataclass(frozen=True)
class Feature:
    """One named part of an example.

    Attributes:
        kind: a key of KINDS.
        shape: of one example, without the batch.
        dtype: as NumPy names it.
        names: the classes of a label, of labels or of tags, by index, the columns of a row, or those of several
            numbers; empty where they have none.

    Raises:
        UserError: an unknown kind.
    """

    kind: str
    shape: tuple[int, ...]
    dtype: str
    names: tuple[str, ...] = ()

    def __post_init__(self):
        check_kind(self.kind, KINDS)


def check_kind(kind: str, known: Mapping[str, Any] = AXES) -> None:
    """Raise a UserError for a kind that is not among those known."""
    if kind not in known:
        raise UserError(f"There is no kind of data {kind!r}. {nearest(kind, known)}")


def recorded_names(facts: Mapping[str, Any]) -> list[str]:
    """Return the names of a model's outputs by a run's data.json: its classes, or several numbers; [] without."""
    return list(facts.get("classes") or facts.get("numbers") or ())


def recorded_kind(facts: Mapping[str, Any]) -> str:
    """Return the kind of example in a run's data.json. Runs of version 0.1 did not write it: those had images and,
    with a whole number as shape, rows."""
    return facts.get("kind") or ("row" if isinstance(facts["shape"], int) else "image")
