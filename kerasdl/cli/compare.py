"""`kerasdl compare`: runs next to one another."""

import statistics
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from kerasdl.cli.terminal import AsJson, console, print_field, print_json, print_line, print_table, quiet
from kerasdl.errors import UserError
from kerasdl.logs import LOGGER


def compare_runs(runs: Annotated[list[str], typer.Argument(
                     metavar="RUN...", help="folders of runs, or folders that hold runs")],
                 out: Annotated[Path | None, typer.Option(
                     metavar="FILE.html", help="the page; by default comparison.html in the current folder")] = None,
                 report: Annotated[bool, typer.Option(
                     "--report/--no-report", help="write a page with the curves of all runs")] = True,
                 as_json: AsJson = False) -> None:
    """Compare runs: the settings that differ, the scores, and a page of curves. Seeds become mean and deviation."""
    from kerasdl.runs.compare import compare

    if out and not report:
        raise UserError("--out names the page that --no-report leaves out. Give one of the two.")
    comparison = compare(runs)
    page = None
    for remark in comparison.remarks:
        LOGGER.warning(remark)
    if not as_json:
        show(comparison)
    if report:
        with quiet():
            from kerasdl.reports.comparison import write
        page = write(comparison, out or Path("comparison.html"))
    if as_json:
        print_json({"report": page, **document(comparison)})
    elif page:
        print_field("report", page)


def show(comparison: Any) -> None:
    """Print the comparison as tables, one column for each recipe."""
    for group in comparison.groups:
        folders = ", ".join(str(row.path) for row in group.rows)
        print_line(f"{group.title}  {group.name}, seed{'s' * (len(group.rows) > 1)} {group.seeds}: {folders}")
    for title, lines in (("setting", comparison.settings), ("score", comparison.scores), ("fact", comparison.facts)):
        if not lines:
            continue
        console.print()
        table = Table(title, *(group.title for group in comparison.groups), box=None, header_style="bold")
        for line in lines:
            changes = line.changes or [""] * len(line.texts)
            cells = [f"{text}  {change}".rstrip() + " *" * (index == line.best)
                     for index, (text, change) in enumerate(zip(line.texts, changes, strict=True))]
            table.add_row(line.key, *cells)
        print_table(table)
    if any(line.best is not None for line in comparison.scores):
        print_line("\n* the best on val. Differences are from column A. Times are medians. "
                   "Choose with val; then read the test score of that run.")


def document(comparison: Any) -> dict[str, Any]:
    """Return the comparison as JSON has it: the scores of every run, and the settings that differ."""
    titles = [group.title for group in comparison.groups]
    return {"groups": [{"title": group.title, "recipe": group.name, "runs": [row.path for row in group.rows],
                        "seeds": [row.recipe.get("seed", 0) for row in group.rows],
                        "scores": {line.key: summary(group.scores(line.key)) for line in comparison.scores}}
                       for group in comparison.groups],
            "settings": {line.key: dict(zip(titles, line.texts, strict=True)) for line in comparison.settings},
            "facts": {line.key: dict(zip(titles, line.texts, strict=True)) for line in comparison.facts},
            "remarks": comparison.remarks}


def summary(values: list[float]) -> dict[str, Any]:
    """Return the scores of the runs of a group, with their mean and sample deviation."""
    return {"runs": values, "mean": statistics.mean(values) if values else None,
            "deviation": statistics.stdev(values) if len(values) > 1 else None}
