"""What a search shows while it runs: a live table on a terminal, a line for each trial in a log."""

import sys
import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table as Grid
from rich.text import Text

from kerasdl.text import figure
from kerasdl.tuning import median_stopping
from kerasdl.tuning.pool import TrialProcess
from kerasdl.tuning.records import TrialRecord
from kerasdl.tuning.search import Search
from kerasdl.tuning.trials import ATTEMPTS, Lease, Trials

EVERY = 0.5  # seconds between two drawings
BEST = 5  # ended trials that are shown


class Table:
    """Best so far, running, failed and the time that is left; a context manager."""

    def __init__(self, trials: Trials, workers: int, verbose: bool = True):
        self.trials, self.workers, self.verbose = trials, workers, verbose
        self.console = Console(file=sys.stderr, quiet=not verbose, markup=False, emoji=False)
        self.live = Live(console=self.console, auto_refresh=False, transient=True) if self.console.is_terminal else None
        self.total: int | None = None
        self.records: list[TrialRecord] = []
        self.drawn = 0.0

    def __enter__(self) -> "Table":
        if self.live and self.verbose:
            self.live.start()
        return self

    def __exit__(self, *_) -> None:
        if self.live and self.verbose:
            self.live.stop()

    def began(self, lease: Lease) -> None:
        attempt = f", attempt {lease.attempt}" if lease.attempt > 1 else ""
        self._print(lease.id, f"began{attempt}")

    def ended(self, lease: Lease, outcome: dict[str, Any] | None) -> None:
        if outcome is None:
            self._print(lease.id, "was interrupted, and will be resumed")
        elif outcome["status"] == "failed":
            again = " (one more attempt)" if outcome["again"] and lease.attempt < ATTEMPTS else ""
            self._print(lease.id, f"failed{again}: {outcome['why']}")
        else:
            scores = outcome["scores"]
            score = scores[median_stopping.logged_as(self.trials.search.objective, scores)]
            why = f"  {outcome['why']}" if outcome.get("why") else ""
            self._print(lease.id, f"{figure(score)}  {describe(self.trials.values(lease.task))}  "
                                  f"{outcome['seconds']:.1f} s{why}")
        self.records = []

    def show(self, running: list[TrialProcess]) -> None:
        """Draw the table, if it is time to."""
        if not self.live or not self.verbose or time.monotonic() - self.drawn < EVERY:
            return
        self.records = self.records or self.trials.records()
        self.total = self.total or self.trials.total
        self.live.update(self.draw(running), refresh=True)
        self.drawn = time.monotonic()

    def draw(self, running: list[TrialProcess]) -> Group:
        """Return the table of this moment."""
        objective = self.trials.search.objective
        failed = [record for record in self.records if record.status == "failed"]
        grid = Grid("trial", "", "epochs", objective, "values", box=None, header_style="bold")
        for process in running:
            lease = process.lease
            curve, rung = median_stopping.curve(lease.folder, objective), lease.task["rung"]
            epochs = rung["epochs"] if rung else lease.task["recipe"]["epochs"]
            grid.add_row(lease.id, "running", f"{len(curve)}/{epochs}", figure(curve[-1]) if curve else "",
                         describe(self.trials.values(lease.task)))
        for record in ranked(self.records, self.trials.search)[:BEST]:
            grid.add_row(record.id, record.status, str(record.epochs), figure(record.score or 0.0),
                         describe(record.values))
        for record in failed[-BEST:]:
            grid.add_row(record.id, "failed", "", "", record.why)
        return Group(Text(self.summary(len(running))), grid)

    def summary(self, running: int) -> str:
        """Return in one line how far the search is."""
        done = [record for record in self.records if not record.pending]
        failed = sum(record.status == "failed" for record in done)
        parts = [f"{len(done)} of {self.total or '?'} trials done", f"{running} running here", f"{failed} failed"]
        spent = [record.seconds for record in done if record.seconds]
        if spent and self.total:
            left = (self.total - len(done)) * sum(spent) / len(spent) / self.workers
            parts.append(f"about {duration(left)} left")
        return f"{self.trials.search.name or 'search'}: {', '.join(parts)}"

    def _print(self, name: str, text: str) -> None:
        self.console.print(f"trial {name}  {text}", highlight=False, soft_wrap=True)


def ranked(records: list[TrialRecord], search: Search) -> list[TrialRecord]:
    """Return the trials with a score, best first, and of equal ones the earlier first.

    Trials that stopped early come after the others, and under Hyperband lower rungs after higher ones.
    """
    sign = -1 if search.direction == "max" else 1

    def place(record: TrialRecord) -> tuple[bool, int, float, str]:
        return record.status == "stopped", -record.budget, sign * (record.score or 0.0), record.id

    return sorted((record for record in records if record.score is not None), key=place)


def describe(values: dict[str, Any]) -> str:
    """Return values as one writes overrides, numbers with four digits."""
    return " ".join(f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
                    for key, value in values.items())


def duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.1f} h"
