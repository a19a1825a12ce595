"""How many labels a probe learns from, and which: subsets that hold each class in its share. Imports nothing heavy."""

import logging
from collections.abc import Sequence

import numpy as np

from kerasdl.errors import UserError

DEFAULT = ("1%", "10%", "100%")
logger = logging.getLogger(__name__)


def parse(labels: str | Sequence[str | int]) -> list[str]:
    """Return shares and counts as texts, "1%" and "500".

    Args:
        labels: "1%,10%,100%", or a sequence of such texts and of numbers.

    Raises:
        UserError: a part is neither a percentage in 0 to 100 nor a number from 1 on, or there is none.
    """
    parts = [str(part) for text in ([labels] if isinstance(labels, str) else labels)
             for part in str(text).replace(",", " ").split()]
    for part in parts:
        number = part.removesuffix("%")
        share = number != part
        try:
            right = 0 < float(number) <= 100 if share else int(number) >= 1
        except ValueError:
            right = False
        if not right:
            raise UserError("--labels is percentages of the training labels or numbers of them, such as 1%,10%,100% "
                            f"or 50,500. Received: {part!r}.")
    if not parts:
        raise UserError("--labels is empty. Write --labels 1%,10%,100%, or leave it out.")
    return list(dict.fromkeys(parts))


def count(text: str, examples: int) -> int:
    """Return how many labels a share or a number is.

    Raises:
        UserError: it is more than there are, or less than one.
    """
    found = round(float(text[:-1]) / 100 * examples) if text.endswith("%") else int(text)
    if not 1 <= found <= examples:
        raise UserError(f"--labels {text} is {found} of the {examples} training examples. Choose 1 to {examples}.")
    return found


def places(texts: Sequence[str], y: np.ndarray, classes: Sequence[str], seed: int) -> dict[int, np.ndarray]:
    """Return {number of labels: places of these examples}, in ascending order.

    Of DEFAULT, which nobody asked for, a share that leaves a class without an example is left out.

    Args:
        texts: as `parse` returns them.
        y, classes, seed: as in `stratified`.

    Raises:
        UserError: as `count` and `stratified`.
    """
    found = {}
    for text in texts:
        try:
            number = count(text, len(y))
            found[number] = stratified(y, number, classes, seed)
        except UserError as error:
            if list(texts) != list(DEFAULT) or text == DEFAULT[-1]:
                raise
            logger.warning("%s is left out: %s", text, error)
    return dict(sorted(found.items()))


def stratified(y: np.ndarray, labels: int, classes: Sequence[str], seed: int) -> np.ndarray:
    """Return the places of some examples in ascending order, of each class as large a share as it has of all.

    Of what the shares leave over, one example each goes to the classes with the largest remainders.

    Args:
        y: (N,) class indices.
        labels: how many examples.
        classes: their names, for messages.
        seed: which examples of a class.

    Raises:
        UserError: a class that has examples would have none.
    """
    there = np.bincount(y, minlength=len(classes))
    exact = there * (labels / len(y))
    taken = np.floor(exact + 1e-9).astype(int)
    largest = np.argsort(taken - exact, kind="stable")
    taken[largest[:labels - taken.sum()]] += 1
    if (lost := np.flatnonzero((there > 0) & (taken == 0))).size:
        name, has = classes[lost[0]], there[lost[0]]
        raise UserError(f"--labels {labels} leaves the class {name!r}, which has {has} of {len(y)} training examples, "
                        f"without one. Choose {int(np.ceil(len(y) / there[there > 0].min()))} or more.")
    generator = np.random.default_rng(seed)
    places = [generator.permutation(np.flatnonzero(y == label))[:number] for label, number in enumerate(taken)]
    return np.sort(np.concatenate(places))
