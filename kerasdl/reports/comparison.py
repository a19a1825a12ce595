"""comparison.html: runs next to one another, their settings, scores and curves."""

import os
from pathlib import Path
from urllib.parse import quote

import pandas as pd

import kerasdl
from kerasdl import figures
from kerasdl.files import writing
from kerasdl.reports import html
from kerasdl.runs.compare import Comparison, Group
from kerasdl.runs.find import Row
from kerasdl.text import typed


def write(comparison: Comparison, file: Path) -> Path:
    """Write the page and return its path.

    Raises:
        UserError: the file cannot be written.
    """
    folders = [[link(row, file.parent) for row in group.rows] for group in comparison.groups]
    page = html.render(
        html.HERE / "comparison.html.j2",
        comparison=comparison, folders=folders, curves=curves(comparison.groups), colours=figures.SERIES,
        version=kerasdl.__version__,
        command=" ".join(["kerasdl compare", *(typed(row.path) for group in comparison.groups for row in group.rows)]))
    then = "Name another file: kerasdl compare ... --out FILE.html"
    with writing(file, then):
        file.parent.mkdir(parents=True, exist_ok=True)
    return html.write(file, page, then)


def link(row: Row, home: Path) -> tuple[str, str]:
    """Return a run's folder as it is shown, and the address of its report from the page; "" if it has none."""
    page = row.path / "report.html"
    address = quote(os.fsencode(os.path.relpath(page.resolve(), home.resolve()))) if page.is_file() else ""
    return str(row.path), address


def curves(groups: list[Group]) -> list[tuple[str, object]]:
    """Return (title, drawing) of each quantity of metrics.csv: on val where it was measured there, else on train."""
    histories = [[history for row in group.rows if not (history := read(row.path)).empty] for group in groups]
    columns = dict.fromkeys(name for group in histories for history in group for name in history
                            if name not in figures.SINGLE)
    names = [name for name in columns if name.startswith("val_") or f"val_{name}" not in columns]
    names.sort(key=lambda name: (not name.startswith("val_"), name.endswith("loss")))
    return [(figures.heading(f"{figures.label(name.removeprefix('val_'))} on "
                             f"{'val' if name.startswith('val_') else 'train'}"),
             figures.overlay([[history[name] for history in group if name in history] for group in histories],
                             percent=name.endswith("accuracy"))) for name in names]


def read(folder: Path) -> pd.DataFrame:
    """Return a run's metrics.csv; an empty frame if there is none yet."""
    try:
        return pd.read_csv(folder / "metrics.csv")
    except (OSError, pd.errors.EmptyDataError):
        return pd.DataFrame()
