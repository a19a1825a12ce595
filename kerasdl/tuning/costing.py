"""What the networks of a search cost, and the proposals that are not trained because they cost too much.

    refused.json      each proposal that was refused: after how many trials, its values, its costs and why
    costs.txt         what the process that measures printed

Samplers see a refused proposal as a trial that was refused, so they do not propose it again. It is no trial of the
search.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from kerasdl import costs
from kerasdl.errors import DataError, UserError
from kerasdl.files import write_json
from kerasdl.recipe import Recipe
from kerasdl.tuning.dimensions import frozen
from kerasdl.tuning.records import TrialRecord

FILE, LOG = "refused.json", "costs.txt"
COMMAND = (sys.executable, "-P", "-m", "kerasdl.costs._worker")
QUIET = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
MANY = 1000  # refused proposals in a row that end a search


class Unmeasured(UserError):
    """A cost of one network that cannot be measured; those of others may be.

    Attributes:
        cost: its name.
        found: {cost: number} of what was measured before.
    """

    def __init__(self, why: str, cost: str, found: dict[str, float]):
        super().__init__(why)
        self.cost, self.found = cost, found


class Meter:
    """Measures what networks cost, in a process of its own that lives as long as the meter.

    Args:
        names: of the costs, the cheapest to measure first.
        limits: cost -> how much a network may have of it.
        folder: of the search.
    """

    def __init__(self, names: Sequence[str], limits: Mapping[str, float], folder: Path):
        self.names, self.limits, self.folder = list(names), dict(limits), folder

    @cached_property
    def _process(self) -> subprocess.Popen:
        """The process; a session of its own, so that Ctrl-C reaches this process alone, which then closes its input."""
        with open(self.folder / LOG, "a", encoding="utf-8") as log:
            return subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                                    env=os.environ | QUIET | {"KERAS_BACKEND": "tensorflow"}, start_new_session=True)

    def measure(self, recipe: Recipe) -> tuple[dict[str, float], str]:
        """Return {cost: number} of a recipe's network, and why it is not to be trained; "" if it is.

        Raises:
            DataError: the data cannot be read.
            Unmeasured: a cost of this network cannot be measured.
            UserError: a cost cannot be measured here.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin and stdout
        request = {"recipe": json.loads(recipe.model_dump_json()), "costs": self.names, "limits": self.limits}
        try:
            print(json.dumps(request), file=stdin, flush=True)
            line = stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise UserError(f"The process that measures {', '.join(self.names)} ended with exit code "
                            f"{self._process.wait()}. Its log is {self.folder / LOG}")
        found = json.loads(line)
        if "error" in found:
            raise (DataError if found["of_data"] else UserError)(found["error"])
        if "unmeasured" in found:
            raise Unmeasured(found["why"], found["unmeasured"], found["costs"])
        return found["costs"], found["why"]


class Refused:
    """The refused proposals of a search, in the order in which they were made.

    Args:
        folder: of the search.
    """

    def __init__(self, folder: Path):
        self.file = folder / FILE

    def entries(self) -> list[dict[str, Any]]:
        """Return each: "after" (trials), "values", "costs", "why"."""
        return json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else []

    def add(self, after: int, values: dict[str, Any], found: dict[str, float], why: str) -> None:
        write_json(self.file, [*self.entries(), {"after": after, "values": values, "costs": found, "why": why}])

    def among(self, records: Sequence[TrialRecord]) -> list[TrialRecord]:
        """Return the trials with the refused proposals between them, as a sampler sees them."""
        merged: list[TrialRecord] = []
        entries = self.entries()
        for number in range(len(records) + 1):
            merged += [TrialRecord(f"refused-{at}", "refused", {key: frozen(value) for key, value in
                                                               entry["values"].items()}, why=entry["why"])
                       for at, entry in enumerate(entries) if entry["after"] == number]
            merged += records[number:number + 1]
        return merged

    def exhausted(self, records: Sequence[TrialRecord]) -> str:
        """Return why no new point is proposed after some trials: MANY in a row were refused. "": they were not.

        Promotions between them are no new points.
        """
        last = max((at for at, record in enumerate(records, 1) if not (record.rung and record.rung.parent)), default=0)
        entries = [entry for entry in self.entries() if last <= entry["after"] <= len(records)]
        return f"{len(entries):,} networks in a row were refused, the last because: {entries[-1]['why'].rstrip('.')}." \
            if len(entries) >= MANY else ""

    def check_some(self, limits: Mapping[str, float]) -> None:
        """Raise a UserError if proposals were refused before there was a trial."""
        if entries := [entry for entry in self.entries() if entry["after"] == 0]:
            raise UserError(nothing(entries, limits))


def nothing(entries: Sequence[dict[str, Any]], limits: Mapping[str, float]) -> str:
    """Return in words that no network of a space was within the limits, and how near the nearest was."""
    least = [f"{name} {costs.text(name, min(entry['costs'][name] for entry in entries if name in entry['costs']))}"
             for name in limits if any(name in entry["costs"] for entry in entries)]
    lowest = f" The least there was: {', '.join(least)}." if least else f" The last because: {entries[-1]['why']}."
    most = ", ".join(f"{name} {costs.text(name, value)}" for name, value in limits.items())
    within = f" within the limits ({most})" if limits else " that can be built"
    return f"None of {len(entries)} networks that were proposed is{within}.{lowest}"
