"""From a compiled step to ranges of time, and how time and cost grow with the chips. Arithmetic only.

Nothing here was measured on a TPU, so every time is a range (low, high) in seconds. Low is the longest of operations /
peak, bytes that must move / bandwidth, and bytes sent / all links. High is twice the compiler's own estimate (cycles /
clock), then bytes sent / one link: twice, because on a CPU steps took 1.4 to 2.8 times what such bounds say
(kerasdl plan RECIPE --on cpu). Latency is in neither bound: many small collectives are reported by count.
"""

from collections.abc import Mapping
from typing import Any

from kerasdl.plan.chips import COUNTS, Chip

SLACK = 2.0


def compute(facts: Mapping[str, Any], chip: Chip) -> tuple[float, float]:
    """Return the seconds of a step without its collectives."""
    low = max(facts["flops"] / chip.peak, facts["moved"] / chip.bandwidth)
    return low, max(low, SLACK * facts["cycles"] / chip.clock)


def network(collectives: Mapping[str, Mapping[str, int]], chip: Chip, chips: int) -> tuple[float, float]:
    """Return the seconds of collectives: to reduce b bytes among N, each chip sends 2 b (N - 1) / N, else half that."""
    sent: float = sum((2 if kind == "all-reduce" else 1) * found["bytes"] for kind, found in collectives.items())
    sent *= (chips - 1) / chips
    return sent / chip.links, sent / (chip.links / chip.ports)


def growth(facts: Mapping[str, Any], chip: Chip, batch: int, examples: int, price: float | None
           ) -> list[dict[str, Any]]:
    """Return what a step takes with the same batch a chip on 1, 4, 8 ... 256 chips.

    Args:
        facts: of one chip among several; from 4 to 256 chips they were the same in compilations of three networks.
        batch: of one chip; examples: of an epoch, 0 if unknown; price: of a chip for an hour.
    """
    rows, computed = [], compute(facts, chip)
    for chips in COUNTS:
        sent = network(facts["collectives"], chip, chips)
        low, high = max(computed[0], sent[0]), computed[1] + sent[1]  # all is sent while it computes, or nothing is
        row = {"chips": chips, "batch": batch * chips, "step_seconds": (low, high), "network_seconds": sent,
               "images_per_second": (batch * chips / high, batch * chips / low)}
        if examples >= batch * chips and price is not None:
            hours = examples // (batch * chips) / 3600
            row["cost_per_epoch"] = [low * hours * chips * price, high * hours * chips * price]
        rows.append(row)
    return rows
