"""The largest batch that fits on a chip, in few compilations: memory grows linearly until the compiler recomputes."""

from collections.abc import Callable, Mapping
from typing import Any

TRIES = 3
RECOMPUTED = 1.02  # operations for each example, beside the first batch's, from which on something is computed twice


def largest(ask: Callable[[int], Mapping[str, Any]], batch: int, facts: Mapping[str, Any], weights: int,
            available: float, most: int) -> dict[str, Any]:
    """What was tried, and between which batches the largest one lies.

    Args:
        ask: batch of a chip -> facts, or an answer with "error".
        batch, facts: what is already compiled, and fits.
        weights: numbers that are learned; with their gradients' slots they are in memory whatever the batch.
        available: bytes.
        most: the batch beyond which there is nothing to gain: all examples there are.

    Returns:
        "fits": the largest that compiled; "without_recomputation": the largest of which nothing was computed twice;
        "fails": the smallest that did not fit, or None; "most": whether `fits` is all examples there are.
    """
    each = facts["flops"] / batch
    fits, plain, fails = batch, batch, None
    guess = linear(batch, facts["memory"], 4.0 * weights, available)
    for _ in range(TRIES):
        guess = rounded(min(guess, most, fails - 1 if fails else most))
        if guess <= fits:
            break
        found = ask(guess)
        if found.get("error") == "TooLarge":
            fails = guess
            guess = max(int(guess * min(0.9, found["available"] / max(found["needed"], 1))), (fits + guess) // 2)
        elif "error" in found:
            break
        else:
            fits = guess
            if found["flops"] / guess <= RECOMPUTED * each:
                plain = guess
            guess = (fits + fails) // 2 if fails else fits * 3 // 2
    return {"fits": fits, "without_recomputation": plain, "fails": fails, "most": fits >= rounded(most)}


def linear(batch: int, memory: float, fixed: float, available: float) -> int:
    """The batch that would fill the memory if all but the weights grew with it."""
    fixed = min(fixed, 0.9 * memory)
    return int(batch * (available - fixed) / (memory - fixed))


def rounded(batch: int) -> int:
    """Down to a multiple of an eighth of the power of two below, but of 8 at least: 2570 -> 2560."""
    step = max(8, 2 ** (batch.bit_length() - 4))
    return max(batch // step * step, 1) if batch >= step else batch
