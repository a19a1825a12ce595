"""Numbers and commands as people read and type them."""

import os
import shlex
import time
from pathlib import Path


def figure(value: float, like: float | None = None) -> str:
    """A score for a line of text: four decimals; four digits of an error in small units, such as metres squared.

    Args:
        value: the score.
        like: another one, whose form it takes.
    """
    small = 0 < abs(value if like is None else like) < 1e-3
    return f"{value:.4g}" if small else f"{value:.4f}"


def thousands(number: float) -> str:
    """Return a positive number with three digits and a unit prefix: "406 k", "2.79 M", "41.2"."""
    factor, prefix = next((each for each in ((1e9, " G"), (1e6, " M"), (1e3, " k")) if number >= 0.9995 * each[0]),
                          (1.0, ""))
    number /= factor
    decimals = 0 if number >= 99.95 else 1 if number >= 9.995 else 2
    return f"{number:.{decimals}f}{prefix}"


def duration(seconds: float) -> str:
    """Return a length of time as people say it: "41.2 s", "12 min", "3.4 h"."""
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.1f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.1f} h"


def moment(seconds: float | None = None) -> str:
    """Return a point of time, by default now, in UTC: "2026-11-28T13:59:03Z"."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def typed(path: str | Path) -> str:
    """A path as one types it in a shell."""
    return shlex.quote(os.fspath(path))


def resuming(verb: str, path: Path) -> str:
    """The command that goes on with what is in a folder, with the backend of this process."""
    with_jax = " --backend jax" * (os.environ.get("KERAS_BACKEND") == "jax")
    return f"kerasdl {verb} --resume {typed(path)}{with_jax}"
