"""`kerasdl auto`: the best model of some data within some minutes."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from kerasdl.cli.terminal import (
    AsJson,
    WriteReport,
    is_override,
    named,
    print_field,
    print_json,
    print_line,
    print_table,
    quiet,
    verbose,
)
from kerasdl.cli.tune import Ray, Workers
from kerasdl.errors import UserError

if TYPE_CHECKING:
    from kerasdl.auto.asked import Asked


def best_model(data: Annotated[str | None, typer.Argument(
                   metavar="DATA", help="a .csv file, a folder of images for each class, or data as a recipe has it, "
                                        "such as text:PATH")] = None,
               overrides: Annotated[list[str] | None, typer.Argument(
                   metavar="KEY=VALUE", help="what the data is, such as data_args.label=COLUMN")] = None,
               minutes: Annotated[str | None, typer.Option(
                   metavar="N", help="how long everything may take; by default 10")] = None,
               objective: Annotated[str | None, typer.Option(
                   help="classify or regress; by default what the labels say")] = None,
               max_kb: Annotated[str | None, typer.Option(
                   metavar="N", help="how many kilobytes the model's 8-bit file may have")] = None,
               seed: Annotated[int | None, typer.Option(min=0, help="seed of every training; by default 0")] = None,
               workdir: Annotated[str | None, typer.Option(
                   callback=named, help="folder of the search; an interrupted one in it is resumed")] = None,
               resume: Annotated[str | None, typer.Option(
                   metavar="DIR", callback=named, help="resume this interrupted search")] = None,
               workers: Workers = 1, ray: Ray = None, report: WriteReport = True, as_json: AsJson = False) -> None:
    """Find the best model of some data: baselines, recipes and a search over them, with one page of it all."""
    began = time.monotonic()
    given = {key: value for key, value in (("objective", objective), ("minutes", minutes), ("max_kb", max_kb),
                                           ("seed", seed)) if value is not None}
    wanted, folder = what_to_find(data, overrides or [], given, workdir, resume)
    with quiet():
        from kerasdl import logs
        from kerasdl.auto import outcome, page
        from kerasdl.auto.search import auto
    with logs.on_stderr(verbose()):
        as_it_was = minutes is None and max_kb is None
        found = outcome.finished(Path(resume)) if resume and as_it_was else None  # perhaps without its page
        found = found or auto(wanted, folder, workers=workers, ray=ray, began=began)
        file = (page.there(Path(found["home"])) or page.write(Path(found["home"]), found)) if report else None
    if as_json:
        print_json({"run": found["run"], "report": file, "result": found})
        return
    show(found)
    if file:
        print_field("report", file)
    print_field("run", found["run"])
    if found["recipe"]:
        print_field("recipe", found["recipe"])
    if found["export"]:
        print_field("file", Path(found["export"]["folder"]) / found["export"]["file"])
    from kerasdl.text import typed

    print_field("next", f"kerasdl predict {typed(found['run'])} FILE...")


def what_to_find(data: str | None, overrides: list[str], given: dict[str, Any], workdir: str | None,
                 resume: str | None) -> "tuple[Asked, str | None]":
    """Return what is asked for, and its folder. Mistakes are reported before TensorFlow is imported."""
    from dataclasses import replace

    from kerasdl.auto.asked import asked, number, resumed
    from kerasdl.deploy import formats

    if data is not None and is_override(data):
        overrides, data = [data, *overrides], None
    if "max_kb" in given:
        given["max_kb"] = number("--max-kb", given["max_kb"], "kilobytes", "96")
        formats.find("litert", "int8")  # with which sizes are measured
    if resume is None:
        if data is None:
            raise UserError("Which data? Give a .csv file, a folder of images for each class, or csv:, folder:, text: "
                            "or series: and a PATH.")
        return asked(data, overrides, **given), workdir
    if workdir is not None and Path(workdir) != Path(resume):
        raise UserError("--resume names the search's folder, and --workdir another one. Give one of the two.")
    before = resumed(resume)
    if data is not None or overrides or set(given) - {"minutes", "max_kb"}:
        raise UserError(f"{resume} is resumed as it was begun. Give --resume alone, or with another --minutes or "
                        "--max-kb.")
    minutes = number("--minutes", given.get("minutes", before.minutes), "minutes", "10")
    return replace(before, minutes=minutes, max_kb=given.get("max_kb", before.max_kb)), resume


def show(found: dict[str, Any]) -> None:
    """Print the candidates, and what wins."""
    score = found["score"]
    table = Table("candidate", "what", f"val {score.replace('_', ' ')}", "test", "95 %", "seconds", box=None,
                  header_style="bold")
    for row in found["candidates"]:
        test = found["test"].get(row["name"])
        low, high = test["interval"] if test else (0.0, 0.0)
        mark = " *" * (row["name"] == found["chosen"])
        table.add_row(row["name"], row["kind"], f"{row['val'][score]:.4f}{mark}",
                      f"{test['scores'][score]:.4f}" if test else "", f"{low:.3f} to {high:.3f}" if test else "",
                      f"{row['seconds']:.1f}")
    print_table(table)
    print_line(f"\n* {found['verdict']}")
    for remark in found["remarks"]:
        print_line(remark)
