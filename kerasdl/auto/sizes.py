"""The winner: the best on validation data, of those whose 8-bit file is small enough where there is a limit."""

import json
import math
from collections.abc import Sequence
from statistics import mean
from typing import Any

from kerasdl.auto.task import ROUNDING, Candidate, Task
from kerasdl.deploy import exporting
from kerasdl.errors import UserError
from kerasdl.text import resuming

FORMAT, BITS = "litert", "int8"
SHOWN = 200  # letters of why there is no file


def winner(task: Task, some: Sequence[Candidate] = ()) -> Candidate:
    """Return the best candidate, or the best one that is small enough.

    Args:
        task: what was tried.
        some: candidates, the best first; by default all.

    Raises:
        UserError: none is.
    """
    limit, some = task.asked.max_kb, some or task.ranked()
    if limit is None:
        return some[0]
    sizes: list[tuple[float, str]] = []
    for candidate in some:
        count = candidate.run.result["parameters"]
        if count > 1000 * limit:  # each takes a byte
            task.skip(f"{candidate.name}, as a file", f"too large: {count:,} parameters in 8 bits, and {limit:g} KB "
                                                      "are asked for")
            continue
        try:
            facts = as_file(candidate)
        except UserError as error:
            task.skip(f"{candidate.name}, as a file", str(error))
            continue
        if facts["bytes"] <= 1000 * limit:
            return candidate
        sizes.append((facts["bytes"] / 1000, candidate.name))
        task.skip(f"{candidate.name}, as a file", f"too large: {facts['bytes'] / 1000:.1f} KB, and {limit:g} are asked "
                                                  "for")
    if not sizes:
        fewest = min(some, key=lambda each: each.run.result["parameters"])
        sizes.append((fewest.run.result["parameters"] / 1000, f"{fewest.name}, by its parameters alone,"))
    size, name = min(sizes)
    raise UserError(f"No model fits into {limit:g} KB in 8 bits. The nearest: {name} with {size:.1f} KB. Give more, "
                    f"and what is finished is kept: {resuming('auto', task.home)} --max-kb {math.ceil(size)}. Or make "
                    f"one smaller: kerasdl compress {some[0].run.path} --to '{limit:g} KB'")


def decided(task: Task, first: Candidate, again: Candidate) -> Candidate:
    """Return the better of two trainings of one recipe, or a baseline that is as good as the two are in the mean.

    The first of them was the best of many on val, which chance has helped: a baseline is not to lose to that.
    """
    sign, score = 1 if task.better == "max" else -1, task.monitor
    both = sign * mean(each.val[score] for each in (first, again))
    simpler = [each for each in task.ranked("baseline") if sign * each.val[score] >= both - ROUNDING * abs(both)]
    return winner(task, [*simpler, *sorted((first, again), key=task.rank, reverse=True)])


def as_file(candidate: Candidate) -> dict[str, Any]:
    """Return the facts of a candidate's 8-bit file, which is written if it is not there."""
    out = candidate.run.path / "export" / f"{FORMAT}-{BITS}"
    if (out / exporting.FACTS).is_file():
        return json.loads((out / exporting.FACTS).read_text(encoding="utf-8")) | {"folder": str(out)}
    return exporting.export(candidate.run, FORMAT, quantize=BITS, out=out)


def exported(task: Task, chosen: Candidate) -> tuple[dict[str, Any] | None, str]:
    """Return the facts of the winner's file for another runtime, and why there is none.

    With a limit it is the 8-bit file that was measured; without one a float32 file, if it can be written.
    """
    try:
        if task.asked.max_kb is not None:
            return as_file(chosen), ""
        out = chosen.run.path / "export" / FORMAT
        if (out / exporting.FACTS).is_file():
            return json.loads((out / exporting.FACTS).read_text(encoding="utf-8")) | {"folder": str(out)}, ""
        if task.clock.left < 0:
            return None, f"There was no time left for an export: kerasdl export {chosen.run.path} --format {FORMAT}"
        return exporting.export(chosen.run, FORMAT, out=out), ""
    except UserError as error:
        return None, str(error)[:SHOWN]
