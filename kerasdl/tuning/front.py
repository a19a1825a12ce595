"""The trials of which none other has a better score at no more cost (the Pareto front), and where a trial came from."""

from collections.abc import Sequence

from kerasdl.tuning.records import TrialRecord


def front(records: Sequence[TrialRecord], direction: str, costs: Sequence[str]) -> list[TrialRecord]:
    """Return the trials that trained to their end and that no other dominates, by rising first cost.

    A trial dominates another that is nowhere better than it, and somewhere worse.

    Args:
        direction: whether "max" or "min" is the best score.
        costs: which have to be low.
    """
    sign = -1 if direction == "max" else 1
    measured = [record for record in records if record.status == "completed" and record.score is not None
                and all(cost in record.costs for cost in costs)]
    aims = [((sign * (record.score or 0.0), *(record.costs[cost] for cost in costs)), record) for record in measured]
    best = [(aim, record) for aim, record in aims if not any(
        all(theirs <= mine for theirs, mine in zip(other, aim, strict=True)) and other != aim for other, _ in aims)]
    return [record for aim, record in sorted(best, key=lambda entry: (entry[0][1:], entry[1].id))]


def ancestry(records: Sequence[TrialRecord], trial: TrialRecord) -> list[TrialRecord]:
    """Return a trial of evolution, its parent, the parent of that and so on, the oldest first."""
    by_id, line = {record.id: record for record in records}, [trial]
    while line[0].parent in by_id:
        line.insert(0, by_id[line[0].parent])
    return line


def changes(line: Sequence[TrialRecord]) -> list[str]:
    """Return what each trial of a line has that the one before it has not; "" of the first."""
    found = [""]
    for before, after in zip(line, line[1:], strict=False):
        keys = [key for key in {**before.values, **after.values} if before.values.get(key) != after.values.get(key)]
        found.append(", ".join(f"{key} {before.values.get(key, 'none')} -> {after.values.get(key, 'none')}"
                               for key in keys))
    return found
