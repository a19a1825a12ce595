"""What a recipe's training is bound by on this machine: input, overhead or compute."""

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from kerasdl.recipe import Recipe
from kerasdl.train.probe import CALLS, speed

SMALL = 16  # a step of a 16th of the batch is mostly what does not depend on the batch


def profile(recipe: Recipe, least: int, folder: Path, start: Callable[[Recipe], Callable[[], int]], input) -> str:
    """Time a step, its input alone and a step of few examples, and write a TensorBoard profile of a few calls.

    Args:
        recipe: what is trained.
        least: the smallest batch there can be, of which all are multiples.
        folder: for TensorBoard.
        start: recipe -> a function that trains one call and returns the number of its examples.
        input: the iterator of what the calls are given; None where the examples are on the device.

    Returns:
        One line.
    """
    few = max(recipe.batch // SMALL // least, 1) * least
    call = start(recipe)
    step = recipe.batch / speed(call)
    small = few / speed(start(recipe.override(batch=few)))
    fed = recipe.batch / speed(lambda: (next(input), recipe.batch)[1]) if input else 0.0
    tf.profiler.experimental.start(str(folder))
    for _ in range(CALLS):
        call()
    tf.profiler.experimental.stop()
    told = f"its input alone {fed * 1e3:.3g} ms" if input else "its examples are on the device"
    return (f"profile: bound by {verdict(step, fed, small)}: a step takes {step * 1e3:.3g} ms, {told}, and a step of "
            f"{few} examples {small * 1e3:.3g} ms. See it with: tensorboard --logdir {folder}")


def verdict(step: float, fed: float, small: float) -> str:
    """The word for a step of so many seconds, its input, and a step of few examples."""
    if fed > 0.7 * step:
        return "input"
    return "overhead" if small > 0.5 * step else "compute"
