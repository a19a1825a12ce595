"""Numbers and commands as people read and type them."""

import os
import shlex
from pathlib import Path


def figure(value: float, like: float | None = None) -> str:
    """A score for a line of text: four decimals; four digits of an error in small units, such as metres squared.

    Args:
        value: the score.
        like: another one, whose form it takes.
    """
    small = 0 < abs(value if like is None else like) < 1e-3
    return f"{value:.4g}" if small else f"{value:.4f}"


def typed(path: str | Path) -> str:
    """A path as one types it in a shell."""
    return shlex.quote(os.fspath(path))


def resuming(verb: str, path: Path) -> str:
    """The command that goes on with what is in a folder, with the backend of this process."""
    with_jax = " --backend jax" * (os.environ.get("KERAS_BACKEND") == "jax")
    return f"kerasdl {verb} --resume {typed(path)}{with_jax}"
