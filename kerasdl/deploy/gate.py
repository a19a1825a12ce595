"""Whether a file's answers are those of the model. Arithmetic only: no framework, no files.

A float32 file has to give the model's numbers. One with fewer bits has to give its scores: numbers differ, and what
counts is what the file gets wrong that the model got right.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

APART = 1e-4  # of a float32 file from the model, as a share of the range of the outputs
BATCHED = 0.05  # the same of a file with fewer bits from itself, in batches of other sizes
LOST = 0.005  # of the score of validation, by a file with fewer bits
ALIKE = 0.95  # correlation of answers, by a file with fewer bits: what a few examples of validation cannot tell
STILL = 1e-6  # outputs that vary less than this share of their size do not vary
RESOLVED = 5e-3  # of numbers of that size: what is APART of a smaller range is rounding in float32


class Score(NamedTuple):
    """One score of the model and of the file on the same examples; `better` is "max" or "min"."""

    name: str
    model: float
    file: float
    better: str

    @property
    def lost(self) -> float:
        """How much worse the file is; where less is better as a share of the model's."""
        if self.better == "max":
            return self.model - self.file
        return (self.file - self.model) / max(abs(self.model), 1e-12)


def refusal(reference: np.ndarray, answers: Mapping[str, np.ndarray], kind: str | None,
            score: Score | None = None, tolerance: float | None = None, units: bool = False) -> str | None:
    """Return in one line why a file is not kept; None: it is right.

    Args:
        reference: what the model answers, (N, ...).
        answers: what the file does: "all" (N, ...), and "first1" and so on, in batches of these sizes.
        kind: how it is quantized; None: not at all.
        score: by which the run's epochs were chosen, if its objective has one.
        tolerance: instead of APART; for a file with fewer bits instead of LOST, or the score of one example if that is
            more, and then a correlation is not looked at; without a score instead of 1 - ALIKE.
        units: whether each output (N, outputs) is a number with a unit of its own, of which the worst counts.
    """
    found = answers["all"]
    if not np.isfinite(reference).all():
        return "the model itself answers with NaN or infinity"
    if not varies(reference, units).any():
        return "the model answers every example alike, so that a comparison would say nothing"
    if found.shape != reference.shape:
        return f"its answers have the shape {found.shape}, and the model's {reference.shape}"
    if not np.isfinite(found).all():
        return "it answers with NaN or infinity"
    for part in answers.values():
        apart = difference(found[:len(part)], part, reference, units)
        if not apart <= (APART if kind is None else BATCHED):  # NaN is not
            return f"a batch of {len(part)} is answered otherwise than the same examples among more: by {apart:.2g}"
    if units and (dead := np.flatnonzero(varies(reference, units) & ~varies(found, units))).size:
        return f"the number {dead[0] + 1} of {found.shape[1]} in its answers is the same for every example"
    if kind is None:
        apart, allowed = difference(reference, found, reference, units), APART if tolerance is None else tolerance
        return f"its answers are {apart:.2g} of their range from the model's; allowed are {allowed:g}" \
            if apart > allowed else None
    if score is not None:
        allowed = max(LOST, 1.01 / len(reference)) if tolerance is None else tolerance
        most = f"a loss of {allowed:.2g}" if score.better == "max" else f"a rise by a share of {allowed:.2g}"
        if not score.lost <= allowed:
            return f"validation {score.name} goes from {score.model:.4f} to {score.file:.4f}; allowed is {most}"
    if score is None or tolerance is None:
        alike, least = correlation(reference, found, units), ALIKE if tolerance is None else 1 - tolerance
        if not alike >= least:
            return f"its answers and the model's have a correlation of {alike:.3f}; {least:g} is asked for"
    return None


def varies(outputs: np.ndarray, units: bool = False) -> np.ndarray:
    """Return whether an answer depends on the example: of all outputs together, or of each (outputs,)."""
    if len(outputs) < 2:
        return np.zeros(outputs.shape[1:] if units else (), bool)
    moved, size = np.ptp(outputs, axis=0), np.abs(outputs).max(axis=0)
    return moved > STILL * size if units else moved.max() > STILL * size.max()


def difference(one: np.ndarray, other: np.ndarray, reference: np.ndarray, units: bool = False) -> float:
    """Return the largest difference, as a share of the range of the reference; with `units` of that of its output."""
    one, other, reference = (columns(each, units).astype("float64") for each in (one, other, reference))
    ranges = np.maximum(np.ptp(reference, axis=0), RESOLVED * np.abs(reference).max(axis=0))
    return float((np.abs(one - other).max(axis=0) / np.maximum(ranges, 1e-30)).max())


def correlation(one: np.ndarray, other: np.ndarray, units: bool = False) -> float:
    """Return the correlation of answers; with `units` the lowest of an output that varies in `one`."""
    if not varies(other, units).any():
        return 0.0
    moving = np.atleast_1d(varies(one, units)) if units else [True]
    pairs = zip(columns(one, units).T[moving], columns(other, units).T[moving], strict=True)
    return float(np.min([np.corrcoef(*pair)[0, 1] for pair in pairs]))  # NaN, too


def columns(outputs: np.ndarray, units: bool) -> np.ndarray:
    """Return outputs in one column, or with `units` in one for each."""
    return outputs if units else outputs.reshape(-1, 1)
