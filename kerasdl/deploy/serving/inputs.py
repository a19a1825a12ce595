"""What a request holds, as the model takes it: the readers of `kerasdl predict`, within limits.

A file is read under a name that is made here. Of the name that came with it only the ending is used.
"""

import csv
import io
import json
import math
import re
import tempfile
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from kerasdl.data import images, resize, sounds, texts, to_predict
from kerasdl.data.chunks import Chunk
from kerasdl.data.columns import PARTS, check_present
from kerasdl.data.sources.arrays import INT32, check_scale, faults_of
from kerasdl.data.table_file import Dialect
from kerasdl.deploy.serving.limits import VALUES, Limits, Refused, check_count
from kerasdl.errors import DataError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "AVIF", "JPEG2000", "PPM")  # Pillow's others start programs
ENDINGS = (".csv", ".tsv", ".txt", ".ts", ".wav", ".npy")  # of files that unpack nothing
NUMPY = b"\x93NUMPY"
SMALL = 2**16  # pixels
SURROGATE = re.compile("[\ud800-\udfff]")
MOST = 10_000_000  # values of all series of a request, padded to the longest


class Examples(NamedTuple):
    """Examples (N, ...) with their names, and the words of sentences as in kerasdl.data.chunks.Chunk."""

    names: Sequence[str]
    x: np.ndarray
    words: Sequence[Sequence[tuple[str, int]]] = ()


class Inputs:
    """Read what a request holds as `kerasdl predict` would. Its methods may run in several threads.

    Args:
        facts: of the run, its data.json.
        limits: what a request may cost.
        resize: resize images of another size to the model's.
        unknown: what a category is that the training has not seen: "refuse" or "missing".
    """

    def __init__(self, facts: Mapping[str, Any], limits: Limits, resize: bool = False, unknown: str = "refuse"):
        self.facts, self.limits, self.resize, self.unknown = facts, limits, resize, unknown
        self.kind, self.shape = facts["kind"], tuple(np.ravel(facts["shape"]).tolist())
        self.reading = facts.get("reading", {})
        self.dialect = Dialect(**(self.reading.get("dialect") or {}))
        self.tokens = texts.tokens_of(facts) if self.kind == "tokens" and self.reading.get("source") else None

    # What a request may hold

    def check_count(self, count: int) -> None:
        """Raise a Refused for no examples, or for more than a request may hold."""
        check_count(count, self.limits, self.shape)

    def small(self, data: bytes) -> Image.Image | None:
        """Return an image, opened, that is decoded and made to fit the model within a millisecond or so; None for any
        other, and for what `of_image` refuses."""
        try:
            with images.decoding("the image"):
                opened = self._opened(data, "the image")
        except (DataError, Refused):
            return None
        return opened if max(opened.width * opened.height, math.prod(self.shape[:2])) <= SMALL else None

    def of_image(self, data: bytes | Image.Image, name: str) -> Examples:
        """Return an image file, which may be opened, as an example (1, H, W, C) float32."""
        if self.kind != "image":
            raise Refused(415, f"The model takes {self.noun}, and {name} is an image.")
        height, width, channels = self.shape
        ends, fit = images.checked_range(self.reading.get("value_range")), images.Fit.of(self.reading)
        fit = images.Fit() if fit is None and self.resize else fit
        if channels not in (1, 3):
            raise Refused(415, f"The model takes images of {channels} channels, and a file gives 1 or 3. Send arrays.")
        with images.decoding(name), self._opened(data, name) if isinstance(data, bytes) else data as opened:
            if images.has_deep_colours(opened):
                raise DataError(f"{name} has colours of 16 bits, which a server does not read. Convert it.")
            pixels = images.shown(opened, Path(name), ends)
        if pixels.shape[:2] != (height, width) and fit is None:
            raise DataError(f"{name} is {pixels.shape[0]}x{pixels.shape[1]}; the model takes {height}x{width}. Resize "
                            "it, or start the server with --resize.")
        if fit is not None and (most := resize.most(pixels.shape, self.shape, fit)) > self.limits.pixels:
            raise Refused(413, f"{name} is {pixels.shape[1]}x{pixels.shape[0]}, and has {most:,} pixels while it is "
                               f"resized. At most {self.limits.megapixels:g} million are computed.")
        return Examples([name], resize.fitted(pixels, self.shape, fit)[None].astype("float32"))

    def of_file(self, data: bytes, name: str, ending: str) -> Examples:
        """Return the examples of a file: rows, texts, series or a sound, by its ending."""
        if data.startswith(NUMPY):
            return self.of_npy(data, name)
        if self.kind == "image":
            return self.of_image(data, name)
        if ending == ".npy":  # NumPy goes by the content, and unpacks whatever an .npz holds
            raise Refused(400, f"{name} does not load as an array.")
        if ending not in ENDINGS:
            raise Refused(415, f"{name} is no file that is read here. Send one of {', '.join(ENDINGS)}.")
        if self._has_lines(ending) and data.count(b"\n") > 100 + 100 * self.limits.examples:  # before it is parsed
            raise Refused(413, f"{name} has too many lines. A request may hold {self.limits.examples:,} examples.")
        return self._read(data, name, ending)

    def of_rows(self, rows: Any) -> Examples:
        """Return rows of a table, each {column: value} or a list of values; null is a missing one."""
        if self.kind != "row" or not self.columns:
            raise Refused(422, f"The model takes {self.noun}. Received rows.")
        if not isinstance(rows, list):
            raise Refused(422, "rows is a list of objects or of lists.")
        self.check_count(len(rows))
        for row in rows:
            if not isinstance(row, (dict, list)) or isinstance(row, list) and len(row) != len(self.columns):
                raise Refused(422, f"A row is an object, or a list of {len(self.columns)} values: "
                                   f"{', '.join(self.columns)}.")
        if len({type(row) for row in rows}) > 1:
            raise Refused(422, "rows are all objects, or all lists.")
        names = self.columns if isinstance(rows[0], list) else \
            [name for name in self.columns if any(name in row for row in rows)]
        check_present(dict.fromkeys(names), dict.fromkeys(self.columns))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")  # between spaces an empty field would not be seen
        writer.writerow([*names, ""])  # an empty last column: a line of one field seems to have another separator
        for row in rows:
            values = row if isinstance(row, list) else [row.get(name) for name in names]
            writer.writerow([*map(self._field, names, values), ""])
        dialect = {**(self.reading.get("dialect") or {}), "sep": None, "header": True, "skiprows": 0}  # of files
        found = self._read(text.getvalue().encode(self.dialect.encoding, "replace"), "rows", ".csv",
                           {**self.facts, "reading": {**self.reading, "dialect": dialect}})
        if len(found.x) != len(rows):
            raise Refused(422, f"The {len(rows)} rows read as {len(found.x)}: a value has a line break.")
        return found

    def of_texts(self, some: Any) -> Examples:
        """Return texts as tokens."""
        if self.tokens is None:
            raise Refused(422, f"The model takes {self.noun}. Received texts.")
        if not isinstance(some, list) or not all(isinstance(text, str) for text in some):
            raise Refused(422, "texts is a list of strings.")
        if halves := [place for place, text in enumerate(some) if SURROGATE.search(text)]:
            raise Refused(422, f"The text {halves[0]} has half of a surrogate pair, which is no letter.")
        self.check_count(len(some))
        if empty := [place for place, text in enumerate(some) if not text.strip()]:
            raise Refused(422, f"The text {empty[0]} is empty.")
        names = [str(place) for place in range(len(some))]
        if self.reading["source"] != "tags":
            return Examples(names, self.tokens.encode([text.strip() for text in some], self.shape[0])[0])
        split = [text.split() for text in some]
        x, first, _ = self.tokens.encode_words(split, self.shape[0])
        return Examples(names, x, [list(zip(*pair, strict=True)) for pair in zip(split, first, strict=True)])

    def of_instances(self, instances: Any) -> Examples:
        """Return nested lists as the model takes them; in series null is a missing value."""
        if not isinstance(instances, list):
            raise Refused(422, "instances is a list of examples.")
        self.check_count(len(instances))
        try:
            several = self.kind == "sequence"  # which may differ in length
            arrays = [np.array(one, "float64") for one in instances] if several else np.array(instances)
        except (ValueError, TypeError, OverflowError):
            raise Refused(422, f"instances is no array of numbers of the shape (N, {self._sides}).") from None
        return self._of_series(arrays) if isinstance(arrays, list) else self.of_array(arrays)

    def of_npy(self, data: bytes, name: str) -> Examples:
        """Return the array in an .npy file. It is as large as the file: nothing is allocated by what a header says."""
        file = io.BytesIO(data)
        try:
            version = np.lib.format.read_magic(file)
            header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, fortran, dtype = header(file)
            if dtype.kind not in "uifb":
                raise Refused(422, f"{name} is an array of {dtype}. Expected numbers.")
            x = np.frombuffer(data, dtype, offset=file.tell()).reshape(shape, order="F" if fortran else "C")
        except (ValueError, KeyError, TypeError, SyntaxError, EOFError, tokenize.TokenError):
            raise Refused(400, f"{name} does not load as an array.") from None
        return self.of_array(x)

    def of_array(self, x: np.ndarray) -> Examples:
        """Return examples (N, ...) in the type that the file takes, if they are numbers that it can take."""
        if self.columns:
            raise Refused(422, "The model takes rows, which are sent as a table or as rows, and not as an array: they "
                               "are encoded as in training.")
        if x.shape[1:] != self.shape or x.ndim == 0 or x.dtype.kind not in "uifb":
            raise Refused(422, f"The model takes an array of shape (N, {self._sides}). Received: {x.shape} of "
                               f"{x.dtype}.")
        self.check_count(len(x))
        if self.kind == "sequence" and self.reading.get("source") == "series":
            return self._of_own_series(x)
        with np.errstate(over="ignore"):
            found = x.astype("float32")
        if self.kind == "tokens":
            wrong, wanted = faults_of(x, self.kind, self.facts.get("build_args", {}).get("vocabulary", INT32))
            if wrong.any():
                raise Refused(422, f"The example {wrong.argmax()} has {wanted}.")
            return Examples(numbered(len(x)), x.astype("int32"))
        wrong = ~np.isfinite(found)
        if self.kind == "sequence" and wrong.any():  # a shorter one ends with steps of NaN
            there = ~np.isnan(found).all(axis=2)
            ends = there.shape[1] - there[:, ::-1].argmax(axis=1)
            wrong &= (np.arange(there.shape[1]) < ends[:, None])[..., None] | ~there.any(axis=1)[:, None, None]
        if wrong.any():
            raise Refused(422, f"The example {np.argwhere(wrong)[0][0]} has a value that is infinite, missing, or too "
                               "large for float32.")
        if self.kind == "image":
            if x.dtype.kind == "f":  # whole numbers 0 and 1 may be a dark image, as for `predict`
                check_scale(x, "The array")
            if (outside := (found < 0) | (found > 255)).any():
                raise Refused(422, f"The example {np.argwhere(outside)[0][0]} has a number outside 0..255.")
        return Examples(numbered(len(x)), found)

    # How it is read

    @property
    def noun(self) -> str:
        if self.kind != "image" and not self.columns and "source" not in self.reading:
            return "arrays, which are sent as instances"
        return {"image": "images", "row": "rows", "tokens": "texts", "sequence": "series"}[self.kind]

    @property
    def columns(self) -> list[str]:
        """The columns that a table has: a date is one, and several columns of the model."""
        dates = self.reading.get("dates", ())
        made = {f"{name} {part}" for name in dates for part in PARTS}
        return [*(name for name in self.facts.get("columns") or () if name not in made), *dates]

    @property
    def _sides(self) -> str:
        return ", ".join(map(str, self.shape))

    def _opened(self, data: bytes, name: str) -> Image.Image:
        """Return an image of which only the head is read, and which is not too large to decode."""
        most = f"At most {self.limits.megapixels:g} million are decoded."
        try:
            opened = Image.open(io.BytesIO(data), formats=FORMATS)
        except Image.DecompressionBombError:
            raise Refused(413, f"{name} has more pixels than Pillow opens. {most}") from None
        if opened.width * opened.height > self.limits.pixels:
            raise Refused(413, f"{name} has {opened.width}x{opened.height} pixels. {most}")
        return opened

    def _has_lines(self, ending: str) -> bool:
        """Return whether the lines of a file are examples; those of a document, and the steps of series, are not."""
        source = self.reading.get("source")
        if source == "text" and self.reading.get("form") == "documents":
            return ending in (".csv", ".tsv")
        return ending != sounds.ENDING and (source, ending) != ("series", ".csv")

    def _field(self, name: str, value: Any) -> str:
        """Return a value of JSON as it is written in that column of the tables that the model knows."""
        if value is None:
            return ""
        if isinstance(value, bool):
            return str(value)
        if isinstance(value, (int, float)):
            is_number = self.facts["columns"].get(name, ()) is None  # and no category or date
            return repr(value).replace(".", self.dialect.decimal) if is_number else repr(value)
        if isinstance(value, str):
            return value
        raise Refused(422, f"A value of a row is a number, a text, true, false or null. Received: "
                           f"{json.dumps(value)[:40]}.")

    def _of_series(self, series: list[np.ndarray]) -> Examples:
        """Return series of any length, the shorter ones with NaN at their end."""
        series = [one[:, None] if one.ndim == 1 and self.shape[1] == 1 else one for one in series]
        if wrong := [one.shape for one in series if one.ndim != 2 or one.shape[1] != self.shape[1] or not len(one)]:
            raise Refused(422, f"A series has some steps of {self.shape[1]} values each. Received: {wrong[0]}.")
        own, longest = self.reading.get("source") == "series", max(map(len, series))
        if longest > self.shape[0] and not own:
            raise Refused(422, f"A series has {longest:,} steps. The model takes {self.shape[0]:,}.")
        shape = len(series), longest if own else self.shape[0], self.shape[1]
        if math.prod(shape) > MOST:
            raise Refused(413, f"{shape[0]:,} series, padded to {shape[1]:,} steps of {shape[2]:,} values, have more "
                               f"than {MOST:,} values. Send fewer at a time.")
        x = np.full(shape, np.nan)
        for row, one in zip(x, series, strict=True):
            row[:len(one)] = one
        return self._of_own_series(x) if own else self.of_array(x)

    def _of_own_series(self, x: np.ndarray) -> Examples:
        """Return series (N, T, F) cut and filled as those of the training were."""
        held = io.BytesIO()
        np.savez(held, x=x)
        return self._read(held.getvalue(), "instances", ".npz")

    def _read(self, data: bytes, name: str, ending: str, facts: Mapping[str, Any] | None = None) -> Examples:
        """Return the examples of a file by the readers of `kerasdl predict`; the first bad one refuses it all."""
        with tempfile.NamedTemporaryFile(suffix=ending) as file, called(file.name, name):
            file.write(data)
            file.flush()
            if ending == sounds.ENDING and (rate := self.reading.get("rate")):
                self._check_resampled(Path(file.name), rate, name)
            chunks: list[Chunk] = []
            for chunk in to_predict.read([file.name], facts or self.facts, self.resize, self.unknown):
                if chunk.faults:
                    raise DataError(chunk.faults[0].why)
                chunks.append(chunk)
                self.check_count(sum(len(each.x) for each in chunks))
            if not chunks:
                raise DataError(f"{name} is empty.")
            names = [str(each).replace(file.name, name) for chunk in chunks for each in chunk.names]
            x = np.concatenate([chunk.x for chunk in chunks])
            x = x if x.dtype == "int32" else x.astype("float32")
            return Examples(names, x, [words for chunk in chunks for words in chunk.words])

    def _check_resampled(self, file: Path, rate: int, name: str) -> None:
        """Raise a Refused for a sound that is too large once it is resampled, whatever it is cut to then."""
        if (count := sounds.length(file, rate)) > VALUES:
            raise Refused(413, f"{name} has {count:,} samples once it is resampled to {rate:,} a second. At most "
                               f"{VALUES:,} are computed.")


@contextmanager
def called(path: str, name: str) -> Iterator[None]:
    """Within it errors call a temporary file as its sender does."""
    try:
        yield
    except DataError as error:
        raise DataError(str(error).replace(path, name)) from None


def numbered(count: int) -> list[str]:
    return [str(place) for place in range(count)]
