"""The largest batch that fits on a chip, by bisection among round numbers."""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

RECOMPUTED = 1.005  # operations an example, relative to the given batch, above which something is computed twice


def max_batch(ask: Callable[[int], Mapping[str, Any]], batch: int, flops: float, most: int) -> dict[str, Any]:
    """Return the largest batch among `batch` and the larger of 2, 3, 4, 6, 8, 12 ..., in about seven compilations.

    Args:
        ask: batch of a chip -> facts of the compiled program, or an answer with "error".
        batch, flops: a batch that fits, and the operations of one of its examples.
        most: the batch beyond which there is nothing to gain: all examples there are.

    Returns:
        "fits": the largest that compiles; "without_recomputation": the largest in which nothing is computed twice to
        save memory; "fails": the next larger one, or None where that is more than `most`, and "enough" says so.
    """
    sizes, ask = [batch], cache(ask)
    while (size := following(sizes[-1])) <= most:
        sizes.append(size)
    fits = bisect_left(sizes, True, 1, key=lambda size: "error" in ask(size)) - 1
    plain = bisect_left(sizes, True, 1, fits + 1, key=lambda size: ask(size)["flops"] > RECOMPUTED * flops * size) - 1
    enough = fits + 1 == len(sizes)
    return {"fits": sizes[fits], "without_recomputation": sizes[plain], "fails": None if enough else sizes[fits + 1],
            "enough": enough}


def following(batch: int) -> int:
    """Return the next larger of 1, 2, 3, 4, 6, 8, 12, 16 ..."""
    power = 2 ** (batch.bit_length() - 1)
    return 3 * power // 2 if 1 < power and batch < 3 * power // 2 else 2 * power
