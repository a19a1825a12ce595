"""An exported file that is opened to answer, and what its run says of inputs and answers."""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl import registry, user_code
from kerasdl.deploy import formats
from kerasdl.errors import UserError
from kerasdl.objectives import answers
from kerasdl.run import Run

FACTS = "export.json"  # as kerasdl.deploy.exporting writes it
NEEDED = ("format", "quantize", "file", "sha256", "recipe", "objective", "kind", "input", "output", "classes")  # of it


@dataclass(frozen=True)
class Served:
    """A run and an export of it.

    Attributes:
        run: the run.
        folder: that holds the file and export.json.
        about: the content of export.json.
    """

    run: Run
    folder: Path
    about: Mapping[str, Any]

    @classmethod
    def find(cls, run: Run, folder: Path) -> "Served":
        """Return the export in a folder, checked against the run.

        Raises:
            UserError: there is none, it is damaged or of another run, or the model makes no predictions.
        """
        check_predicts(run)
        if not (folder / FACTS).is_file():
            raise UserError(f"{folder} has no {FACTS}. Make an export of the run: kerasdl export RUN --format onnx")
        found = cls(run, folder, facts_in(folder / FACTS))
        runtime(found.about["format"])
        if not found.file.is_file():
            raise UserError(f"There is no file {found.file}. Export the run again.")
        if user_code.digest(found.file) != found.about["sha256"]:
            raise UserError(f"{found.file} is not the file that {FACTS} describes: its SHA-256 differs. Export the run "
                            "again.")
        if found.about.get("run_data_sha256") not in (None, run.data_digest):
            raise UserError(f"{folder} is an export of another run, whose data is not that of {run.path}. Export this "
                            "run.")
        model = run.path / "model.keras"  # which a server need not have; older exports have no hash of it
        if model.is_file() and found.about.get("run_model_sha256") not in (None, user_code.digest(model)):
            raise UserError(f"{folder} is an export of another training, whose model.keras is not that of {run.path}. "
                            "Export this run.")
        name, shape = found.about["recipe"], tuple(found.about["input"]["shape"])
        if name != run.recipe.name or found.about["classes"] != list(run.data["classes"]) or \
                not fits(found.shape, shape):
            raise UserError(f"{folder} is an export of another run: {name} with the input {shape}, and {run.path} is "
                            f"{run.recipe.name} with {found.shape}.")
        return found

    @property
    def file(self) -> Path:
        return self.folder / self.about["file"]

    @property
    def kind(self) -> str:
        return self.about["kind"]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an example."""
        return tuple(np.ravel(self.run.data["shape"]).tolist())

    @property
    def dtype(self) -> str:
        return self.about["input"]["dtype"]

    @cached_property
    def thresholds(self) -> Mapping[str, float]:
        """The thresholds of labels that the run chose."""
        file = self.run.path / "result.json"
        return json.loads(file.read_text(encoding="utf-8")).get("thresholds", {}) if file.is_file() else {}

    def opened(self, threads: int):
        """Return what runs the file, (B, ...) -> outputs, after it has answered once.

        Raises:
            UserError: the runtime is not installed, or does not run the file.
        """
        call = runtime(self.about["format"]).load(str(self.file), threads)
        try:
            outputs = call(self.example())
        except Exception as error:  # runtimes raise anything
            raise UserError(f"{self.file} does not run: {' '.join(str(error).split())[:200]}") from None
        if not fits(outputs.shape[1:], self.about["output"]["shape"]):
            raise UserError(f"{self.file} answers with {outputs.shape[1:]}, and {FACTS} says "
                            f"{tuple(self.about['output']['shape'])}. Export the run again.")
        return call

    def example(self) -> np.ndarray:
        """Return an example (1, ...) that any model takes."""
        return np.ones((1, *self.shape), self.dtype)

    def answers(self, outputs: np.ndarray, top: int, words: Sequence[Sequence[tuple[str, int]]] = ()
                ) -> list[dict[str, Any]]:
        """Return what `kerasdl predict --json` prints of some outputs (N, ...), without the examples' names.

        Args:
            outputs: of the model.
            top: how many classes to name.
            words: of sentences whose words get a tag, as in kerasdl.data.chunks.Chunk.
        """
        classes, what = self.about["classes"], self.about["output"]["is"]
        if what == "logits of labels":
            return [{"answers": answers.worded(some), "chosen": answers.chosen_labels(some, self.thresholds)}
                    for some in answers.of_labels(outputs, classes, top, self.thresholds)]
        if what == "logits of tags":
            found = answers.of_tokens(outputs, classes)
            found = [answers.of_words(*pair) for pair in zip(words, found, strict=True)] if words else found
        elif what == "logits of classes":
            found = answers.of_classes(outputs, classes, top)
        else:
            found = answers.of_numbers(outputs, self.about.get("numbers", ()))
            return [{"answers": answers.worded(some, numbers=True)} for some in found]
        return [{"answers": answers.worded(some)} for some in found]


def facts_in(file: Path) -> Mapping[str, Any]:
    """Return what an export.json says.

    Raises:
        UserError: it is not whole.
    """
    try:
        found = json.loads(file.read_bytes())
    except ValueError:
        found = None
    if not isinstance(found, dict) or set(NEEDED) - found.keys():
        raise UserError(f"{file} is damaged. Export the run again.")
    return found


def fits(shape: Sequence[int], declared: Sequence[int | None]) -> bool:
    """Return whether a shape is one that a file declares; None is any number."""
    return len(shape) == len(declared) and all(side in (None, own) for own, side in zip(shape, declared, strict=True))


def runtime(form: str) -> formats.Format:
    """Return a format that is served.

    Raises:
        UserError: it is one that is not, or its runtime is not installed.
    """
    known = {name: import_module(f"{formats.__name__}.{name}") for name in ("litert", "onnx")}
    if form not in known:
        raise UserError(f"kerasdl serve runs {' and '.join(known)}. Received an export as {form}.")
    found: Any = known[form]
    if missing := [name for name in found.RUNTIME if find_spec(name) is None]:
        raise UserError(f"A file of {form} is run by {' and '.join(missing)}, which is not installed: "
                        "pip install 'kerasdl[serve]'")
    return found


def check_predicts(run: Run) -> None:
    """Raise a UserError for a run that answers no questions about an example; warn where its answers are its own."""
    name = run.recipe.objective
    if user_code.is_reference(name):
        logging.getLogger(__name__).warning(
            "objective=%s is your own. What it does in `answers` is not served: classes get softmax, labels a sigmoid, "
            "numbers are given as they are.", name)
    elif not registry.declared(name).get("predicts"):
        raise UserError(f"A model with objective={name} makes no predictions, which is what is served.")


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
