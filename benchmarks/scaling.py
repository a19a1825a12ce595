"""How the time of an epoch grows with the examples, and memory: python -m benchmarks.scaling.

An epoch is all of it, validation on one batch and logging included. The fit a + b N weighs relative errors alike.
"""

import json
import statistics
import sys
from functools import partial

from benchmarks import harness
from benchmarks.rows import ROWS

COUNTS = (1000, 2000, 4000, 8000, 16000, 32000, 60000)
EPOCHS = 6
NETWORK = "mlp"
PROGRAMS = ("ours", "torch_eager")


def ours(count: int) -> list[float]:
    """Seconds between the ends of epochs."""
    import tempfile

    from benchmarks import ours as program

    row, ends = ROWS[NETWORK], []
    with tempfile.TemporaryDirectory() as folder:
        program.follow(f"{folder}/run", lambda _, now: ends.append(now))
        program.kerasdl.train(program.recipe(row, NETWORK, "float32", EPOCHS), workdir=f"{folder}/run",
                              data=program.splits(row, count), verbose=False)
    return [after - before for before, after in zip(ends, ends[1:], strict=False)]


def torch_eager(count: int) -> list[float]:
    import time

    from benchmarks import torch_eager as program

    x, y = program.tensors(ROWS[NETWORK], "train", count)
    training, ends = program.Training(ROWS[NETWORK], NETWORK, "float32", compiled=False), []
    for _ in range(EPOCHS):
        training.epoch(x, y)
        ends.append(time.perf_counter())
    return [after - before for before, after in zip(ends, ends[1:], strict=False)]


def child(who: str, count: int) -> None:
    from benchmarks import meter

    seconds = {"ours": ours, "torch_eager": torch_eager}[who](count)
    print("\n" + json.dumps({"epoch_seconds": statistics.median(seconds), "peak_mb": meter.peak_mb()}), flush=True)


def line(counts: list[int], seconds: list[float]) -> dict[str, float]:
    """The fit, with the largest relative error of a point."""
    import numpy as np

    slope, start = np.polyfit(counts, seconds, 1, w=1 / np.array(seconds))
    error = np.abs(start + slope * np.array(counts) - seconds) / seconds
    return {"a_ms": round(1e3 * start, 2), "b_us": round(1e6 * slope, 3), "residual": round(float(error.max()), 4)}


def main() -> None:
    options = harness.parser(__doc__.partition("\n")[0], "bench_scaling.json", repeats=3).parse_args()
    harness.pin()
    counts = COUNTS[:3] if options.quick else COUNTS
    around, entries = harness.surroundings(), {who: [] for who in PROGRAMS}
    for count in counts:
        said = harness.interleaved({who: partial(harness.call, "benchmarks.scaling", who, count) for who in PROGRAMS},
                                   1 if options.quick else options.repeats)
        for who in PROGRAMS:
            entries[who].append({"examples": count, "epoch_seconds": harness.median(said[who], "epoch_seconds"),
                                 "spread": harness.spread(said[who], "epoch_seconds"),
                                 "peak_mb": harness.rounded(harness.median(said[who], "peak_mb"), 1)})
    made = [{"program": who, "row": NETWORK, "points": points, "environment": around,
             **line(list(counts), [point["epoch_seconds"] for point in points])} for who, points in entries.items()]
    harness.save(options.out, made)
    for one in made:
        print(f"{one['program']}: {one['a_ms']} ms + {one['b_us']} us an example, off by {one['residual']:.1%} at most")


if __name__ == "__main__":
    child(sys.argv[1], int(sys.argv[2])) if sys.argv[1:2] and sys.argv[1] in PROGRAMS else main()
