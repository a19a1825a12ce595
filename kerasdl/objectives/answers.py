"""What the outputs of a model mean, as (label, value) pairs. NumPy only: a server answers without Keras."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit, softmax

Answers = list[tuple[str, float]]
THRESHOLD = 0.5  # of a label without one of its own


def of_classes(outputs: np.ndarray, classes: Sequence[str], top: int) -> list[Answers]:
    """Return the `top` most probable classes of each example, best first, with their probabilities.

    Args:
        outputs: logits (N, classes).
        classes: their names.
        top: how many to name.
    """
    probabilities = softmax(outputs, axis=1)
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [[(classes[index], float(row[index])) for index in chosen]
            for row, chosen in zip(probabilities, best, strict=True)]


def of_labels(outputs: np.ndarray, classes: Sequence[str], top: int, thresholds: Mapping[str, float]) -> list[Answers]:
    """Return the `top` most probable classes of each example, and all that reach their threshold, best first.

    Args:
        outputs: logits (N, classes), each by itself.
        classes: their names.
        top: how many to name.
        thresholds: {class: the probability from which an example has it}.
    """
    least = np.array([thresholds.get(name, THRESHOLD) for name in classes])
    found = []
    for row in expit(outputs.astype("float64")):
        best = np.argsort(-row, kind="stable")
        found.append([(classes[index], float(row[index])) for place, index in enumerate(best)
                      if place < top or row[index] >= least[index]])
    return found


def chosen_labels(answers: Sequence[tuple[str, float]], thresholds: Mapping[str, float]) -> list[str]:
    """Return the labels whose probability reaches their threshold, best first; it may be none."""
    return [name for name, value in answers if value >= thresholds.get(name, THRESHOLD)]


def of_tokens(outputs: np.ndarray, classes: Sequence[str]) -> list[Answers]:
    """Return for each token (T,) of each sentence its most probable tag and the probability."""
    shares = softmax(outputs.astype("float64"), axis=-1)
    return [[(classes[index], float(row[place, index])) for place, index in enumerate(row.argmax(-1))]
            for row in shares]


def of_words(words: Sequence[tuple[str, int]], answers: Sequence[tuple[str, float]]) -> Answers:
    """Return ("word/TAG", probability) for each word, by the answers for tokens; without a tag for one cut off."""
    return [(f"{word}/{answers[place][0]}", answers[place][1]) if place >= 0 else (f"{word}/?", 0.0)
            for word, place in words]


def of_numbers(outputs: np.ndarray, names: Sequence[str] = ()) -> list[Answers]:
    """Return the numbers of each example with their names, which are empty where none are given."""
    names = names or [""] * outputs.shape[1]
    return [list(zip(names, row, strict=True)) for row in outputs.tolist()]


def worded(some: Sequence[tuple[str, float]], numbers: bool = False) -> list[dict[str, Any]]:
    """Return answers as plain JSON: the class of each, or null of a number with its name if it has one.

    Args:
        some: of one example.
        numbers: whether the labels are names of numbers.
    """
    return [{"class": None if numbers else label or None, **({"name": label} if numbers and label else {}),
             "value": float(value) if abs(value) < float("inf") else None} for label, value in some]
