"""`kerasdl eval`: the scores of a run's model on a split."""

from typing import Annotated

import typer

from kerasdl.cli.terminal import AsJson, RunFolder, print_json, print_scores, quiet


def evaluate_run(run: RunFolder,
                 split: Annotated[str, typer.Option(
                     help="train, val or test; also all, if --data is a file or folder")] = "test",
                 data: Annotated[str | None, typer.Option(
                     help="evaluate on other data: the name of a dataset, csv:PATH or folder:PATH")] = None,
                 tta: Annotated[str | None, typer.Option(
                     help="test-time augmentation: average over the image and its mirror image (flip), "
                          "and also over shifted images (flip_shift)")] = None,
                 as_json: AsJson = False) -> None:
    """Evaluate a run's model on one split: its loss and metrics."""
    from kerasdl.run import Run

    opened = Run.open(run)
    with quiet():
        from kerasdl import objectives
        from kerasdl.evaluation.evaluate import evaluate
        from kerasdl.evaluation.splits import learned
        from kerasdl.train.fit import reference_classifier
    objective = objectives.of(opened.recipe, opened.path)
    reference = None if objective.reference() is None else reference_classifier(objective, learned(opened, data))
    scores = evaluate(opened, split, data=data, tta=tta, reference=reference)
    if as_json:
        print_json({"run": run, "split": split, "data": data or opened.recipe.data, "scores": scores})
    else:
        print_scores(split, scores)
