"""What an interrupted run needs to resume exactly: the state of one step in one file, written whole, the last two kept.

A file is a .npz. Its zip format holds a checksum of every array, so a damaged one is found when it is read.
"""

import errno
import json
import logging
import os
import re
import shutil
import zipfile
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.errors import UserError
from kerasdl.files import whole

logger = logging.getLogger(__name__)

State = tuple[dict[str, np.ndarray], dict[str, Any]]
KEEP = 2
DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError)
RESERVE = 2**18  # bytes that a checkpoint leaves free, so that it never takes the room of metrics.csv


def seconds(duration: str | float, name: str = "checkpoint_every") -> float:
    """Seconds in "5 min", "30 s", "1.5 h" or a plain number of seconds.

    Raises:
        UserError: if it cannot be read.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|sec|min|m|h)?\s*", str(duration))
    if not found:
        raise UserError(f"{name} is written '5 min', '30 s' or '1 h', or as seconds. Received: {duration!r}.")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[(found[2] or "s")[0]]


class Checkpoints:
    """The files `step-<number>.npz` of a folder, written by a thread during the training.

    Args:
        folder: where they are.
        rows: the table of the epochs, which is on the disk before a state is.
    """

    def __init__(self, folder: Path, rows: Path | None = None):
        self.folder, self.rows = folder, rows
        self.writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self.writing: Future | None = None

    def save(self, step: int, state: State) -> None:
        """Start to write; what is written before is waited for. A disk that is full is told, and nothing is lost."""
        self.wait()
        self.writing = self.writer.submit(self._write, step, state)

    @property
    def busy(self) -> bool:
        """Whether a file is being written."""
        return self.writing is not None and not self.writing.done()

    def wait(self) -> bool:
        """Wait until the file that is being written is on disk; whether it is."""
        if self.writing is None:
            return True
        error = self.writing.exception()
        self.writing = None
        if error:
            reason = getattr(error, "strerror", None) or error
            before = "The one before is still there" if self.steps() else "There is none yet"
            logger.warning("a checkpoint could not be written to %s: %s. %s; training continues.", self.folder, reason,
                           before)
        return not error

    def steps(self) -> list[int]:
        """The steps of which there is a file, newest first."""
        found = (re.fullmatch(r"step-(\d+)\.npz", path.name) for path in self.folder.glob("step-*.npz"))
        return sorted((int(match[1]) for match in found if match), reverse=True)

    def sound(self) -> list[int]:
        """The steps whose file is whole, newest first; the others are told of and put aside, as are torn beginnings.

        Raises:
            UserError: if a file cannot be read for another reason. Nothing is changed then.
        """
        good = []
        for partial in self.folder.glob(".partial-*"):  # of a process that was killed while it wrote
            partial.unlink()
        for step in self.steps():
            try:
                self.read(step)
                good.append(step)
            except Damaged as error:
                logger.warning("%s It is left out.", error)
                self._path(step).rename(self._path(step).with_suffix(".damaged"))
        return good

    def drop_after(self, step: int) -> None:
        """Remove those of later steps, which a run that goes on from this one makes anew."""
        for later in self.steps():
            if later > step:
                self._path(later).unlink()

    def read(self, step: int) -> State:
        """The state of a step. Raises Damaged when a byte of it is not what was written, UserError when it is not there
        to be read, as on a disk that does not answer."""
        try:
            with zipfile.ZipFile(self._path(step)) as file:
                if name := file.testzip():
                    raise zipfile.BadZipFile(f"the checksum of {name} differs")
            with np.load(self._path(step), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            facts, found = json.loads(bytes(arrays.pop("facts"))), shapes(arrays)
            if facts.pop("arrays", found) != found:  # the zip's list of its parts is not under a checksum
                raise ValueError("these are not the arrays that were written")
        except DAMAGE as error:
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # of a file that is cut short
                raise UserError(f"The checkpoint {self._path(step)} cannot be read: {error.strerror}. The run was left "
                                "as it is.") from None
            raise Damaged(f"The checkpoint {self._path(step)} is damaged ({error}).") from None
        return arrays, facts

    def _write(self, step: int, state: State) -> None:
        arrays, facts = state
        self.folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self.folder).free < sum(array.nbytes for array in arrays.values()) + RESERVE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.rows and self.rows.is_file():  # a state never outlives the rows of its epochs
            with open(self.rows, "rb") as table:
                os.fsync(table.fileno())
        facts = facts | {"arrays": shapes(arrays)}
        with whole(self._path(step)) as partial:
            np.savez(partial, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8), **arrays)  # type: ignore[arg-type]
        for old in self.steps()[KEEP:]:
            self._path(old).unlink()

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}.npz"


def shapes(arrays: dict[str, np.ndarray]) -> dict[str, list[int]]:
    """The names and shapes of a state."""
    return {name: list(array.shape) for name, array in arrays.items()}


class Damaged(UserError):
    """A checkpoint that is not what was written."""
