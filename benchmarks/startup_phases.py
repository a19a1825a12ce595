"""One `kerasdl` command, and where its time goes: python -m benchmarks.startup_phases VERB WORD...

The last line is JSON: {phase: seconds}, each without what another phase within it takes. It replaces functions by ones
with a clock around them, so that the package itself has none.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from benchmarks import meter

PHASES = ("interpreter", "import TensorFlow and Keras", "other imports", "reading data", "building", "tracing",
          "compiling and first step", "steps", "validation", "test", "saving", "report", "the rest")


class Clock:
    """Seconds by phase; the innermost has them."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.stack, self.mark = ["other imports"], time.time()

    def switch(self) -> None:
        now = time.time()
        self.seconds[self.stack[-1]] += now - self.mark
        self.mark = now

    def around(self, phase: str, function: Callable, first_only: bool = False) -> Callable:
        calls = 0

        @wraps(function)
        def timed(*arguments: Any, **keywords: Any):
            nonlocal calls
            calls += 1
            if phase in self.stack or (first_only and calls > 1):
                return function(*arguments, **keywords)
            self.switch()
            self.stack.append(phase)
            try:
                return function(*arguments, **keywords)
            finally:
                self.switch()
                self.stack.pop()

        return timed

    def patch(self, owner: Any, name: str, phase: str) -> None:
        setattr(owner, name, self.around(phase, getattr(owner, name)))


def installed(clock: Clock) -> None:
    """Put clocks around the phases of a training; called once Keras is there."""
    from tensorflow.python.framework import func_graph

    from kerasdl.data import sources
    from kerasdl.evaluation import padded
    from kerasdl.train import fit, loop, record

    clock.patch(func_graph, "func_graph_from_py_func", "tracing")
    clock.patch(sources, "_whole", "reading data")
    clock.patch(fit, "build", "building")
    clock.patch(fit, "fit", "steps")
    clock.patch(padded.PaddedEvaluator, "__call__", "validation")
    clock.patch(fit, "conclude", "test")
    clock.patch(record, "save", "saving")
    for name in ("block_function", "batch_function"):
        make = getattr(loop, name)
        setattr(loop, name, lambda *given, make=make: clock.around("compiling and first step", make(*given), True))
    whole = fit.train

    def train(*given: Any, **named: Any):
        clock.switch()
        clock.stack[0] = "the rest"
        run = whole(*given, **named)
        clock.switch()
        clock.stack[0] = "report"
        return run

    fit.train = train


def main() -> None:
    clock = Clock()
    clock.seconds["interpreter"] = meter.since_start() - (time.time() - clock.mark)
    from kerasdl.installation import lean

    imported = lean.import_keras

    def import_keras() -> None:
        clock.around("import TensorFlow and Keras", imported)()
        installed(clock)

    lean.import_keras = import_keras
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    from kerasdl.cli import main as command

    sys.argv = ["kerasdl", *sys.argv[1:]]
    try:
        command()
    except SystemExit as end:
        if end.code:
            raise
    clock.switch()
    print(json.dumps({"phases": {name: round(seconds, 3) for name, seconds in clock.seconds.items()}}))


if __name__ == "__main__":
    main()
