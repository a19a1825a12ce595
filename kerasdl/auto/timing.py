"""How long a training will take, measured by its first steps, and how many epochs fit into a time."""

import time
from collections.abc import Mapping
from typing import NamedTuple

from kerasdl.data import Split
from kerasdl.data.naming import naming
from kerasdl.devices import strategy as strategies
from kerasdl.recipe import Recipe
from kerasdl.train.setup import Setup

CALLS = 2  # that are timed after the first, which compiles
VALIDATION = 0.35  # of the time of a training example, that one of validation takes
AGAIN = 1.5  # times what building and compiling took: the training does it once more, and compiles its validation, too


class Pace(NamedTuple):
    """How fast a recipe trains here.

    Attributes:
        starting: seconds before the first step.
        epoch: seconds of an epoch with its validation.
    """

    starting: float
    epoch: float

    def epochs(self, seconds: float, most: int) -> int:
        """Return how many epochs fit into a time, 0 to `most`."""
        return max(0, min(most, int((seconds - AGAIN * self.starting) / self.epoch)))

    def seconds(self, epochs: int) -> float:
        """Return how long a training of this many epochs takes."""
        return AGAIN * self.starting + epochs * self.epoch


def pace(recipe: Recipe, splits: Mapping[str, Split]) -> Pace:
    """Train a few steps of a recipe, throw them away, and return its pace."""
    began = time.monotonic()
    setup = Setup.of(recipe, splits, strategies.choose("one"))
    with naming(splits):
        call = setup.first_calls()
        call()
        starting, each = time.monotonic() - began, []
        for _ in range(CALLS):
            began = time.monotonic()
            examples = call()
            each.append((time.monotonic() - began) / examples)
    return Pace(starting, min(each) * (len(splits["train"]) + VALIDATION * len(splits["val"])))
