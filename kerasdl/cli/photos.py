"""`kerasdl photos`: the best classifier of a folder of photographs."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from kerasdl.cli.terminal import (
    AsJson,
    WriteReport,
    named,
    print_field,
    print_json,
    print_line,
    print_table,
    quiet,
    verbose,
)


def classify_photos(path: Annotated[Path, typer.Argument(metavar="PATH", help="a folder of images for each class")],
                    minutes: Annotated[float, typer.Option(min=1, help="how long everything may take")] = 10.0,
                    weights: Annotated[list[str] | None, typer.Option(
                        metavar="NAME", help="public weights, or the folder of a run, to begin with; may be given "
                                             "several times; by default all public weights of this machine")] = None,
                    group: Annotated[str | None, typer.Option(
                        help="what keeps images in one split: 1 for the folder above them, or a regular expression "
                             "that is searched in their paths")] = None,
                    seed: Annotated[int, typer.Option(min=0, help="seed of every training")] = 0,
                    workdir: Annotated[str | None, typer.Option(
                        callback=named, help="folder of the comparison; an interrupted one in it is resumed")] = None,
                    report: WriteReport = True, as_json: AsJson = False) -> None:
    """Find the best classifier of a folder of photographs: frozen and fine-tuned networks, and controls."""
    from kerasdl.photos.backbones import named as networks
    from kerasdl.photos.folder import look

    look(path)  # mistakes are reported before TensorFlow is imported
    networks(weights or ())
    with quiet():
        from kerasdl.photos import compare, outcome, page
        from kerasdl.text import typed
    names, by = weights or (), int(group) if group and group.isdigit() else group
    found, home = None, Path(workdir or "")
    if workdir and report and not page.there(home):
        found = outcome.finished(home, path, by, names, seed)  # whose page was not written
    if found is None:
        trials = compare.compare(path, minutes=minutes, weights=names, workdir=workdir, group=by, seed=seed,
                                 verbose=verbose())
        found, home = outcome.write(trials), trials.home
    file = page.write(home, found) if report else None
    if as_json:
        print_json({"run": home / found["chosen"], "report": file, "result": found})
        return
    show(found)
    if file:
        print_field("report", file)
    print_field("run", home / found["chosen"])
    print_field("next", f"kerasdl predict {typed(home / found['chosen'])} FILE...")


def show(found: dict[str, Any]) -> None:
    """Print the table of what was tried."""
    score = found["score"]
    table = Table("network", "weights", "pixels", f"val {score.replace('_', ' ')}", "test", "95 %", "minutes", box=None,
                  header_style="bold")
    for row in found["candidates"]:
        mark = " *" * (row["run"] == found["chosen"])
        low, high = row["interval"]
        table.add_row(row["name"], row["kind"], str(row["pixels"]), f"{row['val'][score]:.4f}{mark}",
                      f"{row['test'][score]:.4f}", f"{low:.3f} to {high:.3f}", f"{row['seconds'] / 60:.1f}")
    print_table(table)
    print_line("\n* chosen on val")
