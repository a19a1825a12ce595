"""Run a file in its runtime, next to Keras: python -m kerasdl.deploy.measure FORMAT FILE NETWORK GIVEN FOUND RUN

A process of its own: a runtime that dies takes nobody along. NETWORK is a .keras file, and the folder RUN has the code
of layers in it that are the user's. GIVEN (.npz) has `x`. FOUND gets the file's answers to all of it in batches of 32
and to the first 1, 7 and 32, and the seconds of calls of both in turn, at batches of 1 and of 32, in which examples
repeat if there are fewer.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from kerasdl import user_code
from kerasdl.deploy import formats

BATCHES = (1, 7, 32)
TIMED = (1, 32)
CALLS, WARM = 30, 5


def as_input(x: np.ndarray) -> np.ndarray:
    """Return examples in the type that files take; pixels are held as bytes, a quarter of it, until then."""
    return x if x.dtype == "int32" else x.astype("float32")


def in_batches(call, x: np.ndarray, size: int = 32) -> np.ndarray:
    return np.concatenate([np.array(call(as_input(x[start:start + size]))) for start in range(0, len(x), size)])


def seconds(calls, x: np.ndarray) -> list[list[float]]:
    """Return the seconds of each call on x, CALLS times, one after the other in turn."""
    taken: list[list[float]] = [[] for _ in calls]
    for turn in range(WARM + CALLS):
        for call, mine in zip(calls, taken, strict=True):
            began = time.perf_counter()
            call(x)
            if turn >= WARM:
                mine.append(time.perf_counter() - began)
    return taken


def main(form: str, file: str, network: str, given: str, found: str, run: str) -> None:
    user_code.register(Path(run))
    x, threads = np.load(given)["x"], len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    call = formats.find(form).load(file, threads)
    arrays: dict[str, Any] = {f"first{size}": np.array(call(as_input(x[:size]))) for size in BATCHES}
    arrays["all"] = in_batches(call, x)
    keras_call = formats.find("keras").load(network, threads)
    arrays |= {f"seconds{size}": np.array(seconds((call, keras_call), as_input(x[np.arange(size) % len(x)])))
               for size in TIMED}
    np.savez(found, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
