"""`kerasdl eval`: the scores of a run's model on a split."""

from typing import Annotated

import typer

from kerasdl.cli.terminal import AsJson, RunFolder, print_field, print_json, print_scores, quiet


def evaluate_run(run: RunFolder,
                 split: Annotated[str | None, typer.Option(
                     help="train, val or test; of a file or folder that --data names, all is the default")] = None,
                 data: Annotated[str | None, typer.Option(
                     help="evaluate on other data: the name of a dataset, csv:PATH or folder:PATH")] = None,
                 tta: Annotated[str | None, typer.Option(
                     help="test-time augmentation: average over the image and its mirror image (flip), "
                          "and also over shifted images (flip_shift)")] = None,
                 as_json: AsJson = False) -> None:
    """Evaluate a run's model on one split: its loss and metrics."""
    from kerasdl.cli import preflight
    from kerasdl.data import sources
    from kerasdl.run import Run

    opened = Run.open(run)
    preflight.evaluation(opened, data)
    split = split or ("all" if data and sources.place(data)[0] != "tfds" else "test")
    with quiet():
        from kerasdl import objectives
        from kerasdl.evaluation.evaluate import evaluate
        from kerasdl.evaluation.splits import learned, load_split
        from kerasdl.train.fit import reference_classifier
    objective = objectives.of(opened.recipe, opened.path)
    reference = None if objective.reference() is None else reference_classifier(objective, learned(opened, data))
    found = load_split(opened, split, data)
    scores = evaluate(opened, split, data={split: found}, tta=tta, reference=reference)
    if as_json:
        print_json({"run": run, "split": split, "data": data or opened.recipe.data, "examples": len(found),
                    "scores": scores})
    else:
        print_scores(split, scores)
        print_field("", f"of {len(found):,} examples")
