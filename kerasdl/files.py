"""Files that are whole or not there: atomic writes, locks, and the cache folder."""

import errno
import fcntl
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kerasdl.errors import Unwritable, UserError

LOCK = "lock"  # the file in a folder that only one process at a time works in
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.ESTALE)  # whatever file they name
LOCKLESS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # what file systems without flock say
LINKLESS = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP)  # what file systems without hard links say


@contextmanager
def writing(path: Path, then: str | Callable[[], str]) -> Iterator[None]:
    """A full disk, or a folder that cannot be written, ends the block in one line that closes with `then`.

    Errors of other files and of a network, as of somebody's callback, are raised as they are.

    Raises:
        Unwritable: the line.
    """
    try:
        yield
    except OSError as error:
        if not _of_disk(error, path):
            raise
        closing = then if isinstance(then, str) else then()
        raise Unwritable(f"{path} cannot be written: {reason(error)}. {closing}") from error


def reason(error: BaseException) -> str:
    """Return why a file cannot be written; of several reasons, which shutil.copytree collects, the first."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        return str(error.args[0][0][2])
    return getattr(error, "strerror", None) or str(error)


def _of_disk(error: OSError, path: Path) -> bool:
    """Whether an error says that `path`, or what is in or above it, cannot be written."""
    if type(error).__module__ not in ("builtins", "shutil"):
        return False  # of a network, as urllib's, whose file is an address
    if error.errno in DISK or isinstance(error, shutil.Error):
        return True
    if not isinstance(error.filename, (str, bytes)):
        return False  # of a network, too, or whatever a callback says
    home = Path(os.path.realpath(path if path.is_dir() else path.parent))
    file = Path(os.path.realpath(os.fsdecode(error.filename)))
    return file.is_relative_to(home) or home.is_relative_to(file)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file name to write to; it becomes `path` only once the block has ended well.

    The suffix stays in place because Keras chooses the format by it. An OSError that says no number, as NumPy's and
    HDF5's may, is of the disk here, and gets EIO.
    """
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        if type(error) is OSError and error.errno is None:
            raise OSError(errno.EIO, str(error), os.fspath(path)) from error
        raise
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


def take_lock(file: Path) -> tuple[int | None, bool]:
    """Return the lock of a file, and whether nobody else has it; None and True where the file system has no locks."""
    try:
        lock = try_lock(file)
    except OSError as error:
        if error.errno not in LOCKLESS:
            raise
        return None, True
    return lock, lock is not None


@contextmanager
def in_turn(file: Path) -> Iterator[None]:
    """Within it the other processes that take the lock of a file wait, on any host that sees it; where the file system
    has no locks, nobody does."""
    with open(file, "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in LOCKLESS:
                raise
        yield


@contextmanager
def alone(folder: Path, then: str) -> Iterator[None]:
    """Within it no other process works in the folder, which is made; where the file system has no locks, nobody is
    asked. `then` closes the line if the folder cannot be written.

    Raises:
        UserError: another process works there.
    """
    with writing(folder, then):
        folder.mkdir(parents=True, exist_ok=True)
        lock, free = take_lock(folder / LOCK)
    if not free:
        raise UserError(f"Another process works in {folder}. Wait for it, or stop it.")
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def set_aside(path: Path) -> Path:
    """Give a file or folder the first free name of NAME-1, NAME-2, ..., and return its new path."""
    free = next(new for number in itertools.count(1) if not (new := path.with_name(f"{path.name}-{number}")).exists())
    return path.rename(free)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_new(path: Path, text: str) -> bool:
    """Write a text file whole unless there is one, and return whether it was written.

    Where the file system has no links, of two processes that do so at once both write.
    """
    if path.exists():
        return False
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        with open(partial, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in LINKLESS or not partial.exists():
            raise
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return True


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


def held(folder: Path) -> int:
    """Return how many bytes the files in a folder take, also those in folders of it."""
    size = 0
    for file in folder.rglob("*"):
        with suppress(OSError):  # another process removes it
            size += file.stat().st_size if file.is_file() else 0
    return size
