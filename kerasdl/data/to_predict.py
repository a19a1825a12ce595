"""Files that a model is asked about: images, folders of them, tables and arrays, read in chunks."""

import os
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from kerasdl.data import layout, sources
from kerasdl.data.chunks import Chunk, Fault, size_of
from kerasdl.data.sources import arrays
from kerasdl.data.spec import recorded_kind
from kerasdl.errors import DataError

ARRAYS = (".npy", ".npz")
STDIN = "-"
File = str | Path


def check(files: File | Sequence[File], facts: Mapping[str, Any]) -> None:
    """Check that files are there and of the model's kind, without reading them.

    Args:
        files: one or several: image files, folders of them, CSV files, arrays; "-" is standard input.
        facts: of the run, its data.json.

    Raises:
        DataError: no files, one that is missing or of another kind than the model takes, or something else than files.
    """
    own, kind, files = _own(facts), recorded_kind(facts), _several(files)
    if not files:
        raise DataError(f"No files to predict. Give {own.NOUNS[2] if own else 'arrays as .npy files'}.")
    for file in files:
        if str(file) == STDIN:
            if own is None:
                raise DataError(f"The model takes {kind} data of arrays. Standard input gives names of images, or CSV "
                                "rows. Give .npy files.")
            continue
        if Path(file).is_dir():
            if kind != "image":
                raise DataError(f"{file} is a folder. Name the files in it, as with {file}/*.")
        elif not Path(file).is_file():
            raise DataError(f"There is no file {str(file)!r}.")
        else:
            _check_ending(Path(file), own, facts)


def read(files: File | Iterable[File], facts: Mapping[str, Any], resize: bool = False, unknown: str = "refuse"
         ) -> Iterator[Chunk]:
    """Yield the examples of files in chunks, in order.

    Args:
        files, facts: as in `check`.
        resize: resize images of another size to the model's.
        unknown: "refuse" or "missing", what an unknown category of a table is; see kerasdl.data.row_chunks.read.

    Raises:
        DataError: as `check` does, and for what is wrong with a file as a whole.
    """
    own = _own(facts)
    for is_array, some in groupby(_expanded(_several(files), recorded_kind(facts)), lambda file: _is_array(file, own)):
        if is_array:
            for file in some:
                _check_ending(file, own, facts)
                yield from _of_array(_opened(file), facts, f"{file}:")
        elif own is None:
            check(list(some), facts)
        else:
            yield from own.read_files(some, facts, resize=resize, unknown=unknown)


def of_array(x: np.ndarray, facts: Mapping[str, Any]) -> Iterator[Chunk]:
    """Yield the examples of an array as float32, named by their numbers.

    Raises:
        DataError: examples of another shape than the model takes, or that are no numbers; or it takes rows of a table,
            whose categories, gaps and numbers far from 0 are encoded as in training.
    """
    if facts.get("columns"):
        raise DataError("The model takes rows of a table, which an array does not encode as in training. Write them to "
                        "a file: frame.to_csv('rows.csv', index=False)")
    return _of_array(x, facts, "")


def _of_array(x: np.ndarray, facts: Mapping[str, Any], before: str) -> Iterator[Chunk]:
    shape = (facts["shape"],) if isinstance(facts["shape"], int) else tuple(facts["shape"])
    if x.shape[1:] != shape or not len(x) or x.dtype.kind not in "uifb":
        wanted = ", ".join(["N", *map(str, shape)])
        where = f" in {before[:-1]}" if before else ""
        raise DataError(f"The model takes an array of shape ({wanted}). Received: {x.shape} of {x.dtype}{where}.")
    kind, size = recorded_kind(facts), size_of(shape, 4)
    if kind == "image" and x.dtype.kind == "f":
        arrays.check_scale(x, before[:-1] or "The array")
    vocabulary = facts.get("build_args", {}).get("vocabulary", arrays.INT32)
    for start in range(0, len(x), size):
        given = x[start:start + size]
        with np.errstate(over="ignore"):  # what is too large is infinite, and so refused
            part = np.asarray(given, "float32")
        names = [f"{before}{start + number}" for number in range(len(part))]
        wrong, wanted = arrays.faults_of(np.asarray(given) if kind == "tokens" else part, kind, vocabulary)
        good = ~wrong
        if kind == "image":
            good &= ((part >= 0) & (part <= 255)).reshape(len(part), -1).all(1)
            wanted = "a number outside 0..255"
        yield Chunk([name for name, fine in zip(names, good, strict=True) if fine], part[good],
                    [Fault(int(good[:place].sum()), f"{names[place]} has {wanted}.")
                     for place in np.flatnonzero(~good)])


def _several(files: Any) -> list[File]:
    """Return one file or several as a list. Raises DataError for anything else."""
    found = list(files) if isinstance(files, (list, tuple)) else [files]
    if wrong := [one for one in found if not isinstance(one, (str, os.PathLike))]:
        raise DataError("Examples to predict are files, or one array of NumPy, as np.stack makes of several. Received: "
                        f"{type(wrong[0]).__name__}. Write a table to a file: frame.to_csv('rows.csv', index=False)")
    return found


def _own(facts: Mapping[str, Any]) -> ModuleType | None:
    """Return the source whose files hold examples as the model takes them."""
    kind, recorded = recorded_kind(facts), facts.get("reading", {}).get("source")
    if kind == "row" and not facts.get("columns"):
        return None  # of arrays, whose columns have no names
    if kind in ("tokens", "sequence"):  # several sources have such, which write down which of them it was
        return sources.modules()[recorded] if recorded else None
    return next((source for source in _reading() if source.KIND == kind), None)


def _reading() -> list[ModuleType]:
    return [source for source in sources.modules().values() if hasattr(source, "read_files")]


def _ending(file: Path) -> str:
    return file.suffix.lower()


def _is_array(file: Path, own: ModuleType | None) -> bool:
    """Return whether a file holds examples as the model takes them; a source of series reads arrays itself."""
    return _ending(file) in ARRAYS and not (own and _ending(file) in own.EXTENSIONS)


def _check_ending(file: Path, own: ModuleType | None, facts: Mapping[str, Any]) -> None:
    """Raise a DataError for a file whose ending says that it holds something else than the model takes."""
    ending = _ending(file)
    if own is None:
        if ending not in ARRAYS:
            raise DataError(f"The model takes {recorded_kind(facts)} data of arrays. Received: {file}. Give .npy "
                            "files, or arrays from Python: kerasdl.evaluation.predict.predict(run, x).")
        return
    other = None if ending in ARRAYS else \
        next((source for source in _reading() if source is not own and ending in source.EXTENSIONS), None)
    array = _is_array(file, own) and recorded_kind(facts) != "image"
    table = ending == ".txt" and recorded_kind(facts) == "row"  # as which programs write tables, too
    if array or other and ending not in own.EXTENSIONS and not table:
        what = "an array" if array else other.NOUNS[1]  # type: ignore[union-attr]
        raise DataError(f"The model takes {own.NOUNS[0]}, and {file} is {what}.")


def _expanded(files: Iterable[File], kind: str) -> Iterator[Path]:
    """Yield files, for a model of images with the images in a folder in its place, and the names in standard input."""
    for file in map(Path, files):
        if kind == "image" and str(file) == STDIN:
            names = (os.fsdecode(line.rstrip(b"\r\n")) for line in sys.stdin.buffer)
            yield from _expanded(filter(None, names), kind)
        elif kind == "image" and file.is_dir():
            yield from layout.files_of_any_format(file)  # each that is not read is a fault of its own
        else:
            yield file


def _opened(file: Path) -> np.ndarray:
    """Return the array of a file, which stays on disk if it can; of several in a .npz that called x."""
    try:
        found = np.load(file, mmap_mode="r", allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found as arrays:
            if "x" not in arrays and len(arrays) != 1:
                raise DataError(f"{file} has the arrays {', '.join(arrays)}, and none is called x.")
            return arrays["x" if "x" in arrays else next(iter(arrays))]
    except DataError:
        raise
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{file} does not load as an array: {' '.join(str(error).split())}") from None
