"""What every program measures, in the same way: steady speed, the first step, the whole process, its memory."""

import json
import os
import resource
import statistics
import sys
import time

import psutil

from benchmarks.rows import BATCH, RACES, ROWS, Row


def arguments() -> tuple[Row, str, str, int]:
    """The row, its name, the precision and the number of steps, from the command line."""
    name, precision, steps = sys.argv[1:4]
    return (ROWS | RACES)[name], name, precision, int(steps)


def since_start() -> float:
    """Seconds since this process began, imports included."""
    try:
        with open("/proc/self/stat") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):  # not Linux
        return time.time() - psutil.Process().create_time()  # to a second: it adds whole seconds since 1970


def peak_mb() -> float:
    """The most memory this process has held. Not ru_maxrss on Linux: a child starts with its parent's."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


class Meter:
    """Times epochs. An epoch's first step is not counted, in which compilation or a pipeline's filling would be."""

    def __init__(self):
        self.rates, self.first_step_seconds = [], None
        self.began = time.perf_counter()

    def epoch(self):
        self.mark, self.steps = None, 0

    def step(self):
        """After each step."""
        self.steps += 1
        if self.mark is None:
            self.mark = time.perf_counter()
            if self.first_step_seconds is None:
                self.first_step_seconds = self.mark - self.began

    def epoch_end(self):
        if self.steps > 1:
            self.rates.append(BATCH * (self.steps - 1) / (time.perf_counter() - self.mark))

    def images_per_second(self) -> float:
        return statistics.median(self.rates)


def report(parameters: int, images_per_second: float, first_step_seconds: float, total_seconds: float,
           memory_mb: float, **scores: float) -> None:
    """The last line of a program's output."""
    say(images_per_second=images_per_second, first_step_seconds=first_step_seconds, total_seconds=total_seconds,
        peak_mb=memory_mb, parameters=parameters, **scores)


def say(**facts: float) -> None:
    """Print facts as JSON, on a line of their own."""
    print("\n" + json.dumps(facts), flush=True)
