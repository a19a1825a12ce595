"""Files that are whole or not there: atomic writes, locks, and the cache folder."""

import errno
import fcntl
import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kerasdl.errors import UserError


@contextmanager
def writing(path: Path, then: str | Callable[[], str]) -> Iterator[None]:
    """A full disk, or a folder that cannot be written, ends the block in one line that closes with `then`."""
    try:
        yield
    except (ConnectionError, TimeoutError):  # of somebody's callback: no file
        raise
    except OSError as error:
        closing = then if isinstance(then, str) else then()
        raise UserError(f"{path} cannot be written: {error.strerror or error}. {closing}") from error


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file name to write to; it becomes `path` only once the block has ended well.

    The suffix stays in place because Keras chooses the format by it.
    """
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def try_lock(file: Path) -> int | None:
    """Take the lock of a file and return its descriptor, None if somebody has it. It goes when the descriptor and all
    copies of it, in children too, are closed."""
    lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return lock
    except BlockingIOError:
        os.close(lock)
        return None
    except OSError:
        os.close(lock)
        raise


def set_aside(path: Path) -> Path:
    """Give a file or folder the first free name of NAME-1, NAME-2, ..., and return its new path."""
    free = next(new for number in itertools.count(1) if not (new := path.with_name(f"{path.name}-{number}")).exists())
    return path.rename(free)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole(path) as partial:
        partial.write_text(text)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all. NaN, which JSON does not have, is refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def cache() -> Path:
    """The folder for what is made once and used again: KERASDL_CACHE, or `kerasdl` where the system keeps such.

    Raises:
        UserError: if neither says which, and the user has no home folder.
    """
    asked = os.environ.get("KERASDL_CACHE")
    try:
        return Path(asked or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "kerasdl").expanduser()
    except RuntimeError:
        raise UserError("There is no home folder to keep things in. Set KERASDL_CACHE to a folder.") from None
