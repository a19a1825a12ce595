"""What a search shows while it runs: a live table on a terminal, a line for each trial in a log."""

import itertools
import sys
import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table as Grid
from rich.text import Text

from kerasdl.text import figure
from kerasdl.tuning import early
from kerasdl.tuning.processes import Process
from kerasdl.tuning.space import Search
from kerasdl.tuning.study import Given, Row, Study

EVERY = 0.5  # seconds between two drawings
MANY = 100_000  # cells of a grid are counted so far
BEST = 5  # trials that are shown of those that ended


class Table:
    """Best so far, running, failed and the time that is left; a context manager."""

    def __init__(self, study: Study, workers: int, verbose: bool = True):
        self.study, self.workers, self.verbose = study, workers, verbose
        self.console = Console(file=sys.stderr, quiet=not verbose, markup=False, emoji=False)
        self.live = Live(console=self.console, auto_refresh=False, transient=True) if self.console.is_terminal else None
        self.total, self.drawn, self.rows = None, 0.0, []

    def __enter__(self) -> "Table":
        if self.live and self.verbose:
            self.live.start()
        return self

    def __exit__(self, *_) -> None:
        if self.live and self.verbose:
            self.live.stop()

    def began(self, given: Given) -> None:
        attempt = f", attempt {given.attempt}" if given.attempt > 1 else ""
        self._say(given.id, f"began{attempt}")

    def ended(self, given: Given, outcome: dict[str, Any] | None) -> None:
        if outcome is None:
            self._say(given.id, "was interrupted, and goes on")
        elif outcome["status"] == "failed":
            again = " (one more attempt)" if outcome["again"] and given.attempt == 1 else ""
            self._say(given.id, f"failed{again}: {outcome['why']}")
        else:
            score = outcome["scores"][self.study.search.objective]
            values = describe(self.study.values(self.study.oracle.trials[given.id]))
            why = f"  {outcome['why']}" if outcome.get("why") else ""
            self._say(given.id, f"{figure(score)}  {values}  {outcome['seconds']:.1f} s{why}")
        self.rows = []

    def show(self, running: list[Process]) -> None:
        """Draw, if it is time to."""
        if not self.live or not self.verbose or time.monotonic() - self.drawn < EVERY:
            return
        self.rows = self.rows or self.study.rows()
        self.total = self.total or total(self.study)
        self.live.update(self.draw(running), refresh=True)
        self.drawn = time.monotonic()

    def draw(self, running: list[Process]) -> Group:
        """The picture of this moment."""
        search = self.study.search
        objective = search.objective
        ended = ranked(self.rows, search)
        failed = [row for row in self.rows if row.status == "failed"]
        grid = Grid("trial", "", "epochs", objective, "values", box=None, header_style="bold")
        for process in running:
            curve = early.curve(process.given.folder, objective)
            of = process.given.task["epochs"] or process.given.task["recipe"]["epochs"]
            row = next((row for row in self.rows if row.id == process.given.id), None)
            grid.add_row(process.given.id, "running", f"{len(curve)}/{of}", figure(curve[-1]) if curve else "",
                         describe(row.values) if row else "")
        for row in ended[:BEST]:
            grid.add_row(row.id, row.status, str(row.epochs), figure(row.score), describe(row.values))
        for row in failed[-BEST:]:
            grid.add_row(row.id, "failed", "", "", row.why)
        return Group(Text(self.summary(len(running))), grid)

    def summary(self, running: int) -> str:
        """One line: how far the search is."""
        done = [row for row in self.rows if row.status in ("completed", "stopped", "failed")]
        failed = sum(row.status == "failed" for row in done)
        parts = [f"{len(done)} of {self.total or '?'} trials done", f"{running} running here", f"{failed} failed"]
        spent = [row.seconds for row in done if row.seconds]
        if spent and self.total:
            left = (self.total - len(done)) * sum(spent) / len(spent) / self.workers
            parts.append(f"about {duration(left)} left")
        return f"{self.study.search.name or 'search'}: {', '.join(parts)}"

    def _say(self, name: str, text: str) -> None:
        self.console.print(f"trial {name}  {text}", highlight=False, soft_wrap=True)


def ranked(rows: list[Row], search: Search) -> list[Row]:
    """The trials with a score, best first: those that were stopped early, or by Hyperband at a lower rung, after those
    that were not; of equal ones the earlier first."""
    sign = -1 if search.direction == "max" else 1
    return sorted((row for row in rows if row.score is not None),
                  key=lambda row: (row.status == "stopped", -row.budget, sign * row.score, row.id))


def total(study: Study) -> int | None:
    """How many trials there will be, where that is known."""
    search = study.search
    if search.limit is not None or search.oracle != "grid" or search.build:
        return search.limit
    return sum(1 for _ in itertools.islice(search.cells(), MANY))


def describe(values: dict[str, Any]) -> str:
    """Values as one writes overrides, in as few digits as tell them apart."""
    return " ".join(f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
                    for key, value in values.items())


def duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.1f} h"
