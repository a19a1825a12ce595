"""Which of some versions of a model to take: arithmetic on what was measured."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kerasdl.errors import UserError

LOST = 0.005  # of a validation score, which a smaller version may lose
UNITS = {"b": 1, "kb": 1_000, "mb": 1_000_000, "kib": 1_024, "mib": 1_048_576}
Version = Mapping[str, Any]


class Target(NamedTuple):
    """What a file has to reach.

    Attributes:
        bytes: of the file, at most; None: any.
        milliseconds: of a call with one example, at most; None: any.
    """

    bytes: int | None = None
    milliseconds: float | None = None

    def reached(self, version: Version) -> bool:
        """Return whether a measured version is small and fast enough."""
        return (self.bytes is None or version["bytes"] <= self.bytes) and (
            self.milliseconds is None or version["milliseconds"] <= self.milliseconds)

    @property
    def open(self) -> bool:
        """Whether nothing is asked for."""
        return self.bytes is None and self.milliseconds is None

    def __str__(self) -> str:
        parts = [f"{self.bytes / 1000:g} KB" if self.bytes else "",
                 f"{self.milliseconds:g} ms" if self.milliseconds else ""]
        return " and ".join(filter(None, parts))


def size_of(text: str) -> int:
    """Return bytes: "96 KB" is 96,000, "96 KiB" 98,304, "1.5 MB" 1,500,000.

    Raises:
        UserError: it cannot be read.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKmM]i?[bB]|[bB])\s*", text)
    if not found or not (size := round(float(found[1]) * UNITS[found[2].lower()])):
        raise UserError(f"A size is written '96 KB', '96 KiB' or '1.5 MB'. Received: {text!r}.")
    return size


def lost(version: Version, before: float, better: str) -> float:
    """Return by how much a version's score is worse than `before`; where less is better as a share of that."""
    if better == "max":
        return before - version["val"]
    return (version["val"] - before) / max(abs(before), 1e-12)


def chosen(versions: Sequence[Version], target: Target, before: float, better: str) -> Version | None:
    """Return the best of the versions that reach a target; without one the smallest of those that lose no more than
    LOST, or the best if all do. None: none reaches the target."""
    def loss(version):
        return lost(version, before, better)

    if not target.open:
        return min(filter(target.reached, versions), key=loss, default=None)
    good = [version for version in versions if loss(version) <= LOST]
    return min(good, key=lambda version: version["bytes"]) if good else min(versions, key=loss)


def frontier(versions: Sequence[Version], better: str) -> set[str]:
    """Return the names of the versions of which no other is as small and as good, and in one of the two ahead."""
    sign = 1 if better == "max" else -1
    ranks = {version["name"]: (-version["bytes"], sign * version["val"]) for version in versions}
    return {name for name, (small, good) in ranks.items()
            if not any(other[0] >= small and other[1] >= good and other != (small, good) for other in ranks.values())}
