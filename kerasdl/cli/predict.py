"""`kerasdl predict`: a run's answers for files."""

from pathlib import Path
from typing import Annotated

import typer

from kerasdl.cli.terminal import AsJson, RunFolder, print_field, print_json, print_line, quiet


def predict_files(run: RunFolder,
                  files: Annotated[list[str], typer.Argument(
                      metavar="FILE...", help="images, folders of images, or CSV files")],
                  top: Annotated[int, typer.Option(help="how many classes to print", min=1)] = 3,
                  resize: Annotated[bool, typer.Option(
                      "--resize", help="resize images to the size the model was trained on")] = False,
                  out: Annotated[Path | None, typer.Option(
                      metavar="FILE", help="write a .csv or .jsonl file with the probabilities of all classes")] = None,
                  as_json: AsJson = False) -> None:
    """Predict for images or for the rows of CSV files: the most probable classes, or the numbers.

    Where an example may have several labels, a * marks those that reach their threshold.
    """
    from kerasdl.run import Run

    opened = Run.open(run)
    with quiet():
        from kerasdl import objectives
        from kerasdl.evaluation.predict import predict, write
    objective = objectives.of(opened.recipe, opened.path)
    found = predict(opened, files, resize=resize, top=top if out is None else len(opened.data["classes"]) or top)
    if out is not None:
        write(found, out, objective.chosen)
        print_json({"run": run, "predictions": out, "examples": len(found)}) if as_json else \
            print_field("file", f"{out}, {len(found):,} examples")
        return
    several = objective.target == "labels"  # of which some are marked
    if as_json:
        print_json([{"example": name, "answers": [{"class": label or None, "value": float(value)}
                                                  for label, value in answers],
                     **({"chosen": objective.chosen(answers)} if several else {})} for name, answers in found])
        return
    for name, answers in found:
        chosen = objective.chosen(answers) if several else []
        shown = "  ".join(f"{label} {value:.4f}{'*' * (label in chosen)}" if label else f"{value:.6g}"
                          for label, value in answers)
        print_line(f"{name}  {shown}")
