"""`kerasdl ensemble`: one model from several runs."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from kerasdl.cli.terminal import AsJson, named, print_field, print_json, print_table, quiet
from kerasdl.errors import UserError


def average_runs(runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="folders of two or more runs")],
                 split: Annotated[str, typer.Option(help="split to score; choose members on val, then test once"
                                                    )] = "test",
                 workdir: Annotated[str | None, typer.Option(callback=named, help="folder of the ensemble")] = None,
                 out: Annotated[Path | None, typer.Option(
                     metavar="FILE.keras", help="also export the model to this file")] = None,
                 as_json: AsJson = False) -> None:
    """Average what several runs answer into one model, and compare it with its members."""
    if out is not None and out.suffix != ".keras":
        raise UserError(f"--out is a .keras file. Received: {out}.")
    from kerasdl.run import Run

    opened = [Run.open(run) for run in runs]
    with quiet():
        from kerasdl import ensemble
        from kerasdl.text import figure, typed
    made = ensemble.ensemble(opened, split, workdir)
    if as_json:
        if out is not None:
            ensemble.export(made, out)
        print_json({"run": made.path, "model": out, "split": split, "result": made.result})
        return
    rows = ensemble.table(made.result, split)
    table = Table(split, *(name.replace("_", " ") for name in rows), box=None, header_style="bold")
    for name, row in rows.iterrows():
        table.add_row(str(name), *map(figure, row))
    print_table(table)
    if out is not None:
        ensemble.export(made, out)
        print_field("model", out)
    print_field("run", made.path)
    print_field("next", f"kerasdl predict {typed(made.path)} FILE...")
