"""`kerasdl probe`: what the features of a run are worth."""

from typing import Annotated, Any

import typer
from rich.table import Table

from kerasdl.cli.terminal import (
    AsJson,
    RunFolder,
    WriteReport,
    named,
    print_found,
    print_line,
    print_table,
    quiet,
    verbose,
)


def probe_run(run: RunFolder,
              overrides: Annotated[list[str] | None, typer.Argument(
                  metavar="KEY=VALUE", help="changes of the trainings' recipe and of the data, such as epochs=20 or "
                                            "data_args.label=COLUMN")] = None,
              labels: Annotated[str, typer.Option(
                  metavar="LABELS", help="shares of the training labels, or numbers of them")] = "1%,10%,100%",
              recipe: Annotated[str | None, typer.Option(
                  callback=named, help="a recipe of classification with the run's model, to fine-tune by and to train "
                                       "from scratch; by default the run's own with objective=classify")] = None,
              data: Annotated[str | None, typer.Option(
                  callback=named, help="data with classes, where the run's own has none")] = None,
              seed: Annotated[int, typer.Option(
                  min=0, help="of the labels that are taken, of random weights and of the trainings")] = 0,
              steps: Annotated[int, typer.Option(
                  min=1, help="fewest steps of a training, unless the recipe has fewer with all labels")] = 1000,
              finetune: Annotated[bool, typer.Option(
                  "--finetune/--no-finetune", help="also train networks: fine-tuned, and from scratch")] = True,
              report: WriteReport = True, as_json: AsJson = False) -> None:
    """Measure what a run's features are worth: frozen and fine-tuned, with few labels and all, next to controls."""
    from kerasdl.probing import labels as subsets
    from kerasdl.recipe import load
    from kerasdl.run import Run

    found = Run.open(run)
    found.result, subsets.parse(labels), load(recipe or found.recipe)  # before TensorFlow is imported
    with quiet():
        from kerasdl import logs
        from kerasdl.probing import outcome, page
        from kerasdl.probing.probe import probe
    with logs.on_stderr(verbose()):
        facts = outcome.write(probe(found, labels, *([f"data={data}"] if data else []), *(overrides or []),
                                    recipe=recipe, seed=seed, finetune=finetune, steps=steps))
    file = page.write(found.path, facts) if report else None
    print_found(facts, file, as_json, show)


def show(facts: dict[str, Any]) -> None:
    """Print test accuracy by the number of labels, a row for each way."""
    from kerasdl.probing.page import title

    cells: dict[tuple[str, str], list[str]] = {}
    for row in facts["rows"]:
        low, high = row["interval"]
        cells.setdefault((row["features"], row["way"]), []).append(
            f"{row['test']['accuracy']:.4f}  {low:.3f} to {high:.3f}")
    table = Table("test accuracy, 95 %", *(f"{count:,} labels" for count in facts["labels"]), box=None,
                  header_style="bold")
    for way, row in cells.items():
        table.add_row(title(*way), *row)
    print_table(table)
    for remark in facts["remarks"]:
        print_line(remark)
    print_line("\nThe frozen networks did not change: the hashes of all weights and statistics are in probe.json.")
