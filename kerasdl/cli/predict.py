"""`kerasdl predict`: a run's answers for files, printed or written as they come."""

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kerasdl.cli.terminal import AsJson, RunFolder, console, finite, print_field, print_json, print_text, quiet

if TYPE_CHECKING:
    from kerasdl.evaluation.answers import Answer
    from kerasdl.evaluation.predict import Predictions

logger = logging.getLogger(__name__)


def predict_files(run: RunFolder,
                  files: Annotated[list[str], typer.Argument(
                      metavar="FILE...", help="images, folders of images, CSV files, or .npy arrays; - reads names of "
                                              "images, or CSV rows, from standard input")],
                  top: Annotated[int, typer.Option(help="how many classes to print", min=1)] = 3,
                  resize: Annotated[bool, typer.Option(
                      "--resize", help="resize images to the size the model was trained on")] = False,
                  skip_bad: Annotated[bool, typer.Option(
                      "--skip-bad", help="skip images and rows that cannot be read, and say which")] = False,
                  unknown_category: Annotated[Literal["refuse", "missing"], typer.Option(
                      help="what a category is that training has not seen: refuse it, or take it as missing")
                  ] = "refuse",
                  out: Annotated[Path | None, typer.Option(
                      metavar="FILE", help="write a .csv or .jsonl file with the probabilities of all classes")] = None,
                  as_json: AsJson = False) -> None:
    """Predict for images or for the rows of CSV files: the most probable classes, or the numbers.

    Where an example may have several labels, a * marks those that reach their threshold.
    """
    from kerasdl.cli import preflight
    from kerasdl.evaluation.answers import check_ending, write
    from kerasdl.run import Run

    opened = Run.open(run)
    if out is not None:
        check_ending(out)
    preflight.prediction(opened, files)
    if out is not None:
        preflight.apart(out, files)
    with quiet():
        from kerasdl.evaluation.predict import Predictions
    top = top if out is None else len(opened.data["classes"]) or top
    found = Predictions(opened, files, resize, top, skip_bad, unknown_category)
    lines = hinted(found, out)
    if out is not None:
        write(lines, out, found.objective.chosen, found.objective.target)
    elif as_json:
        counted = skip_bad or unknown_category != "refuse"
        print_list((as_entry(found, *answer) for answer in lines), found if counted else None)
    else:
        for answer in lines:
            print_text(as_line(found, *answer))
            if console.quiet:  # the reader has closed the pipe
                return
    conclude(found)
    if out is not None:
        skipped = f", {found.skipped:,} skipped" if found.skipped else ""
        print_json({"run": run, "predictions": out, "examples": found.predicted, **counts(found)}) if as_json else \
            print_field("file", f"{out}, {found.predicted:,} examples{skipped}")


def hinted(found: "Predictions", out: Path | None) -> "Iterator[Answer]":
    """Yield the answers; an error at a bad example says how to leave it out, and what became of the others."""
    from kerasdl.data.chunks import BadExample

    try:
        yield from found
    except BadExample as error:
        lost = f"{out} is not written. " if out else ""
        raise BadExample(f"{error} {lost}To leave out what cannot be read: --skip-bad") from None


def as_line(found: "Predictions", name: str, answers: list[tuple[str, float]]) -> str:
    chosen = found.objective.chosen(answers) if found.objective.target == "labels" else []
    if found.objective.target == "number":
        return "  ".join([name, *(f"{label} {value:.6g}".strip() for label, value in answers)])
    return "  ".join([name, *(f"{label} {value:.4f}{'*' * (label in chosen)}" if label else f"{value:.6g}"
                              for label, value in answers)])


def as_entry(found: "Predictions", name: str, answers: list[tuple[str, float]]) -> dict[str, Any]:
    from kerasdl.objectives.answers import worded

    shown = worded(answers, numbers=found.objective.target == "number")
    chosen = {"chosen": found.objective.chosen(answers)} if found.objective.target == "labels" else {}
    return {"example": name, "answers": shown, **chosen}


def print_list(entries: Iterable[dict[str, Any]], counted: "Predictions | None") -> None:
    """Print a JSON list an entry at a time, which an error closes, too; with the counts an object that holds it."""
    last = ""
    try:
        for entry in entries:
            print_text(f"{last}," if last else '{"predictions": [' if counted else "[")
            last = json.dumps(finite(entry))
            if console.quiet:
                return
    finally:
        if last:
            print_text(last)
            print_text(f"], {json.dumps(counts(counted))[1:]}" if counted else "]")


def counts(found: "Predictions") -> dict[str, Any]:
    return {"skipped": found.skipped, "unknown_categories": dict(found.unknown_categories)}


def conclude(found: "Predictions") -> None:
    """Log how many examples were skipped, and how many values were unknown categories."""
    for column, count in found.unknown_categories.items():
        logger.warning("the column %r has %s values of unknown categories, which were taken as missing", column,
                       f"{count:,}")
    if found.skipped:
        logger.warning("%s of %s examples were skipped", f"{found.skipped:,}", f"{found.predicted + found.skipped:,}")
