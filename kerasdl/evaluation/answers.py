"""A file of predictions: CSV, or lines of JSON. Imports nothing heavy."""

import csv
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path

from kerasdl.errors import UserError
from kerasdl.files import whole, writing

Answer = tuple[str, list[tuple[str, float]]]  # the example's name; (class, probability), or ("", number)
FIXED = ("example", "prediction")


def check_ending(file: Path) -> None:
    """Raise a UserError for a file that is neither .csv nor .jsonl."""
    if file.suffix not in (".csv", ".jsonl"):
        raise UserError(f"Predictions are written to a .csv or a .jsonl file. Received: {file}.")


def write(found: Iterable[Answer], file: Path,
          chosen: Callable[[list[tuple[str, float]]], list[str]] = lambda answers: [answers[0][0]],
          target: str | None = "class") -> None:
    """Write predictions as CSV, or as JSON lines if the file ends in .jsonl, whole or not at all, with all digits.

    Bytes of a file's or a class's name that are not UTF-8 are escaped.

    Args:
        found: what kerasdl.evaluation.predict gives, with all classes.
        file: example, prediction and the probability of each class; of numbers, value, or their names, or without
            names value 1, value 2 ... If a class is called "example" or "prediction", each class NAME has the column
            "class NAME", and if a number is, "value NAME". Several labels are a prediction joined by "|", which may be
            empty.
        chosen: answers -> the labels that are the prediction, as the objective's `chosen`.
        target: of the objective. Words with their "tags" have no columns of probabilities.

    Raises:
        UserError: another ending, or a file that cannot be written.
    """
    check_ending(file)
    with writing(file, "Name another file with --out."), whole(file) as partial, \
            open(partial, "w", encoding="utf-8", errors="backslashreplace", newline="") as out:
        table = None
        for name, answers in found:
            row = _row(name, answers, chosen, target)
            if file.suffix == ".jsonl":
                plain = {key: value if key in FIXED else float(value) for key, value in row.items()}
                out.write(json.dumps({key: None if isinstance(value, float) and not math.isfinite(value) else value
                                      for key, value in plain.items()}, allow_nan=False) + "\n")
                continue
            if table is None:
                table = csv.DictWriter(out, list(row))
                table.writeheader()
            table.writerow(row)


def _row(name: str, answers: list[tuple[str, float]], chosen: Callable[..., list[str]], target: str | None
         ) -> dict[str, str]:
    if target == "tags":
        return {"example": name, "prediction": " ".join(chosen(answers))}
    taken = any(label in FIXED for label, _ in answers)
    if answers[0][0] and target != "number":
        prefix = "class " * taken
        values = {prefix + label: f"{value:.9g}" for label, value in sorted(answers)}
        return {"example": name, "prediction": "|".join(chosen(answers)), **values}
    several = [f"value {number}" for number in range(1, len(answers) + 1)] if len(answers) > 1 else ["value"]
    names = ["value " * taken + label or plain for (label, _), plain in zip(answers, several, strict=True)]
    return {"example": name} | {key: f"{value:.9g}" for key, (_, value) in zip(names, answers, strict=True)}
