"""The largest batch that fits on a chip, in few compilations: memory grows linearly until the compiler recomputes."""

from collections.abc import Callable, Mapping
from typing import Any

TRIES = 6
RECOMPUTED = 1.005  # operations for each example, beside the first batch's, from which on something is computed twice


def largest(ask: Callable[[int], Mapping[str, Any]], batch: int, facts: Mapping[str, Any], weights: int,
            available: float, most: int) -> dict[str, Any]:
    """What was tried, and between which batches the largest one lies.

    Args:
        ask: batch of a chip -> facts, or an answer with "error".
        batch, facts: what is already compiled, and fits.
        weights: numbers that are learned, which are in memory whatever the batch.
        available: bytes.
        most: the batch beyond which there is nothing to gain: all examples there are.

    Only powers of two and the numbers halfway between them are tried, which for different slices are the same ones.

    Returns:
        "fits": the largest that compiled; "without_recomputation": the largest of which nothing was computed twice;
        "fails": the smallest that did not fit, or None; "enough": whether `most` is no round number above `fits`.
    """
    each, most = facts["flops"] / batch, max(most, batch)
    points = [(0, min(4.0 * weights, 0.9 * facts["memory"])), (batch, facts["memory"])]  # the last two make the line
    fits = plain = batch
    fails = twice = None  # the smallest that did not fit, and of which something is computed twice
    share = 0.5  # of what the smallest needed that did not fit, there is
    for _ in range(TRIES):
        if following(fits) > most or (fails and following(fits) >= fails):
            if not twice or following(plain) >= twice:
                break
            guess = rounded(twice - 1)
        elif fails:
            guess = min(max(rounded(int(share * fails)), following(fits)), rounded(fails - 1))
        elif twice:
            guess = min(2 * fits, rounded(most))
        else:  # not much further than what fits: two points of nearly the same memory make a line that never ends
            guess = min(filled(points, available), 16 * fits if len(points) > 2 else most, most)
            guess = max(rounded(guess), following(fits))
        found = ask(guess)
        if found.get("error") == "TooLarge":
            fails, share = guess, found["available"] / found["needed"] if found["needed"] else 0.5
        elif "error" in found:
            break
        else:
            fits = max(fits, guess)
            if found["flops"] / guess <= RECOMPUTED * each:
                plain = max(plain, guess)
                points.append((guess, found["memory"]))
            else:
                twice = min(twice or guess, guess)
    return {"fits": fits, "without_recomputation": plain, "fails": fails, "enough": following(fits) > most}


def filled(points: list[tuple[int, float]], available: float) -> int:
    """The batch at which the line through the last two (batch, memory) reaches what is available."""
    (one, little), (other, much) = points[-2:]
    return int(other + (available - much) * (other - one) / max(much - little, 1.0))


def rounded(batch: int) -> int:
    """Down to a power of two, or to one and a half of one: 2570 -> 2048, 3100 -> 3072."""
    power = 2 ** (max(batch, 1).bit_length() - 1)
    return 3 * power // 2 if power > 1 and batch >= 3 * power // 2 else power


def following(batch: int) -> int:
    """The next such number."""
    power = 2 ** (batch.bit_length() - 1)
    return 3 * power // 2 if 1 < power and batch < 3 * power // 2 else 2 * power
