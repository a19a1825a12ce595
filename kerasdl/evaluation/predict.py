"""A run's answers for files: images, the rows of tables, or arrays, as many as there are."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasdl import objectives
from kerasdl.data import to_predict
from kerasdl.data.chunks import FILES, ROWS, BadExample, Chunk, size_of
from kerasdl.data.spec import recorded_names
from kerasdl.errors import DataError
from kerasdl.evaluation.answers import Answer
from kerasdl.objectives.answers import of_words
from kerasdl.run import Run

SHOWN = 20  # examples that are left out by name
SILENCE = 30  # seconds after which a log gets a line
Files = str | Path | Sequence[str | Path] | np.ndarray
Named = tuple[str, Sequence[tuple[str, int]] | None]  # an example's name, and its words
logger = logging.getLogger(__name__)


def predict(run: Run | str | Path, files: Files, resize: bool = False, top: int = 3) -> list[Answer]:
    """Return the model's answer for each image file, for each row of each CSV file, or for each example of an array.

    Args:
        run: the run, or its folder.
        files: one or several: images, and folders of images, for a model of images; CSV files for a model of CSV rows;
            .npy and .npz files for a model of images or of arrays; or an array of examples as the model takes them,
            (N, H, W, C) in 0..255 or (N, F), not for a model of CSV rows.
        resize: resize images of another size to the model's.
        top: how many classes to name.

    Returns:
        (file, or file:line for a row, or the number in an array; answers) of each example. Answers are the `top` most
        probable classes with their probabilities, best first; of a model that predicts numbers, the numbers, with the
        names of their columns if there are several, and otherwise an empty name.

    Raises:
        UserError: no files, a missing or broken one, one of the wrong kind, or a model that makes no predictions.
    """
    return list(Predictions(run, files, resize=resize, top=top))


class Predictions:
    """The model's answers, one after another, for more examples than fit in memory. See `predict`.

    The batches of the model are the same however the files are read, so that the answers are, too.

    Args:
        run, files, resize, top: as in `predict`; the file "-" is standard input, which has names of images, one on a
            line, or the rows of a CSV file.
        skip_bad: leave out examples that cannot be read, and log which. Otherwise the first one raises a BadExample,
            after the answers for all before it.
        unknown: what a category is that the model does not know: "refuse" takes it for a bad example, "missing" for a
            missing value, or for none of the known ones where none was missing in training.

    Attributes:
        predicted, skipped: how many examples, so far.
        unknown_categories: {column: how many values were unknown and taken as missing}, so far.
    """

    def __init__(self, run: Run | str | Path, files: Files, resize: bool = False, top: int = 3, skip_bad: bool = False,
                 unknown: str = "refuse"):
        self.run, self.top, self.skip_bad = Run.open(run), top, skip_bad
        self.facts, self.objective = self.run.data, objectives.of(self.run.recipe, self.run.path)
        if not self.objective.predicts:
            self.objective.answers(np.zeros((0, 1)), self.facts["classes"], top)  # says why not
        if isinstance(files, np.ndarray):
            self.chunks = to_predict.of_array(files, self.facts)
        else:
            to_predict.check(files, self.facts)
            self.chunks = to_predict.read(files, self.facts, resize, unknown)
        self.predicted = self.skipped = 0
        self.unknown_categories: Counter[str] = Counter()
        self.began = self.spoke = time.monotonic()

    def __iter__(self) -> Iterator[Answer]:
        batch, model = self.run.recipe.micro_batch, None
        shape = np.ravel(self.facts["shape"]).tolist()
        size = max(1, size_of(shape, 4, FILES if len(shape) == 3 else ROWS) // batch) * batch
        for names, x in blocks(self._good(), size):
            model = model or self.run.model()
            outputs = model.predict(x, batch_size=batch, verbose=0, callbacks=[OnBatch(self._speak)])
            found = self.objective.answers(outputs, recorded_names(self.facts), self.top)
            for (name, words), answers in zip(names, found, strict=True):
                yield name, answers if words is None else of_words(words, answers)
            self.predicted += len(names)
        if not self.predicted:
            raise DataError(f"No example is left to predict: {self.skipped} of {self.skipped} cannot be read.")

    def _good(self) -> Iterator[tuple[list[Named], np.ndarray]]:
        """Yield names and examples; what is wrong in between is skipped, or raised after what comes before it."""
        for chunk in self.chunks:
            self._speak()
            if chunk.faults and not self.skip_bad:
                first = chunk.faults[0]
                yield named(chunk)[:first.place], chunk.x[:first.place]
                raise BadExample(first.why)
            self._skip(chunk)
            self.unknown_categories.update(chunk.unknown)
            yield named(chunk), chunk.x

    def _skip(self, chunk: Chunk) -> None:
        for fault in chunk.faults:
            self.skipped += 1
            if self.skipped <= SHOWN:
                logger.warning("skipped: %s", fault.why)
            elif self.skipped == SHOWN + 1:
                logger.warning("more are skipped, which are counted at the end")

    def _speak(self) -> None:
        """Log a line if there was none for a while."""
        if (now := time.monotonic()) - self.spoke >= SILENCE:
            self.spoke = now
            logger.info("%s examples predicted, %.0f s", f"{self.predicted:,}", now - self.began)


def named(chunk: Chunk) -> list[Named]:
    """Return the name of each example, with its words where they get a tag each."""
    return list(zip(chunk.names, chunk.words or repeat(None), strict=False))


def blocks(parts: Iterable[tuple[Sequence[Any], np.ndarray]], size: int) -> Iterator[tuple[list[Any], np.ndarray]]:
    """Yield the same names and examples, `size` at a time; the last ones also if the parts end in a DataError."""
    names: list[Any] = []
    arrays: list[np.ndarray] = []
    iterator, failed = iter(parts), None
    while True:
        try:
            more, x = next(iterator)
        except (StopIteration, DataError) as stop:
            failed = stop if isinstance(stop, DataError) else None
            break
        names, arrays = [*names, *more], [*arrays, x]
        if len(names) >= size:
            x, full = np.concatenate(arrays), len(names) // size * size
            for start in range(0, full, size):
                yield names[start:start + size], x[start:start + size]
            names, arrays = names[full:], [x[full:].copy()]
    if names:
        yield names, np.concatenate(arrays)
    if failed is not None:
        raise failed


class OnBatch(keras.callbacks.Callback):
    """Call a function after each batch that is predicted."""

    def __init__(self, call: Any):
        super().__init__()
        self.call = call

    def on_predict_batch_end(self, batch, logs=None):
        self.call()
