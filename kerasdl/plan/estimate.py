"""From what a compiler says of one chip's step to ranges of time, growth with the chips and cost. Arithmetic only.

Nothing here was measured on a TPU, so every time is a range (low, high) in seconds:

- A step takes at least its operations over the chip's peak, or what it has to read and write (weights, slots, batch)
  over the memory's bandwidth, or its collectives over all links of a chip at once: the longest of the three.
- It may take twice the compiler's own estimate (its cycles over the clock), and after that its collectives over one
  link. Twice, because on a processor, where steps can be measured, they took 1.4 to 2.8 times what the same kind of
  bounds said (kerasdl plan RECIPE --on cpu).

A chip sends 2 (N - 1) / N of what an all-reduce among N chips reduces, and half of that for another collective. Latency
is in neither bound, so many small collectives are told by their number.
"""

from collections.abc import Mapping
from typing import Any

from kerasdl.plan.chips import COUNTS, Chip

SLACK = 2.0
Range = tuple[float, float]


def computing(facts: Mapping[str, Any], chip: Chip) -> Range:
    """Seconds of a step without its collectives."""
    low = max(facts["flops"] / chip.peak, facts["moved"] / chip.bandwidth)
    return low, max(low, SLACK * facts["cycles"] / chip.clock)


def network(collectives: Mapping[str, Mapping[str, int]], chip: Chip, chips: int) -> Range:
    """Seconds that collectives of this many bytes take among so many chips."""
    sent = sum((2 if kind == "all-reduce" else 1) * found["bytes"] for kind, found in collectives.items())
    sent *= (chips - 1) / chips
    return sent / chip.links, sent / (chip.links / chip.ports)


def together(computed: Range, sent: Range) -> Range:
    """Seconds of a step: as if all were sent while it computes, and as if nothing were."""
    return max(computed[0], sent[0]), computed[1] + sent[1]


def growth(facts: Mapping[str, Any], chip: Chip, batch: int, examples: int, price: float | None
           ) -> list[dict[str, Any]]:
    """What becomes of a step with the same batch a chip on 1, 4, 8 ... 256 chips.

    Args:
        facts: of one chip of several; its operations, memory and the bytes of its collectives are the same from 4 to
            256 chips, which was compiled and seen for three networks.
        batch: of one chip.
        examples: of an epoch; 0: not known.
        price: of a chip for an hour.
    """
    rows = []
    for chips in COUNTS:
        sent = network(facts["collectives"], chip, chips)
        step = together(computing(facts, chip), sent)
        row = {"chips": chips, "batch": batch * chips, "step_seconds": step, "network_seconds": sent,
               "images_per_second": speed(step, batch * chips)}
        if examples >= batch * chips and price is not None:
            hours = [seconds * (examples // (batch * chips)) / 3600 for seconds in step]
            row["cost_per_epoch"] = [hours[0] * chips * price, hours[1] * chips * price]
        rows.append(row)
    return rows


def speed(step: Range, batch: int) -> Range:
    """Examples a second, (low, high)."""
    return batch / step[1], batch / step[0]


def per_replica(weights: int, statistics: int, width: int) -> dict[str, int]:
    """Collectives of a step in which each chip normalises its own part of the batch: one for all.

    Counted and not compiled: the gradients, numbers of `width` bytes, and the moving statistics that the chips average,
    which are float32.
    """
    return {"operations": 1, "bytes": width * weights + 4 * statistics}
