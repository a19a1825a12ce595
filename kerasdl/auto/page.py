"""report.html of a search: what was tried in which order, what was not, what wins, and what to do with it."""

from pathlib import Path
from typing import Any

from markupsafe import Markup

from kerasdl import figures
from kerasdl.auto.outcome import commands
from kerasdl.reports import html
from kerasdl.reports import page as reports
from kerasdl.text import duration, figure, typed

PAGE = "report.html"
KINDS = {"baseline": "baseline", "default": "default recipe", "search": "search", "ensemble": "ensemble",
         "retrained": "the winner once more"}


def write(home: Path, found: dict[str, Any]) -> Path:
    """Write the page, one file that needs no other but links to the reports of two runs, and return its path.

    Args:
        home: the folder of the search.
        found: what its auto.json holds.
    """
    shown = {found["chosen"], found["baseline"]}
    for name in shown:
        reports.report(home / name)
    text = html.render(
        Path(__file__).with_name("auto.html.j2"), found=found, shown=shown, kinds=KINDS, name=title(found),
        score=figures.label(found["score"]), as_score=as_score(found["score"]), duration=duration,
        best=next(row for row in found["candidates"] if row["name"] == found["chosen"]), again=again(found),
        plot=drawing(found), commands=commands(found))
    return html.write(home / PAGE, text, "Choose another --workdir.")


def there(home: Path) -> Path | None:
    """Return the page of a folder; None if it has none yet."""
    return home / PAGE if (home / PAGE).is_file() else None


def title(found: dict[str, Any]) -> str:
    """Return what the data is called: the name of its file or folder."""
    return Path(found["data"].partition(":")[2] or found["data"]).name


def as_score(score: str):
    """Return a function that writes a score as people read it: shares of 1 in percent."""
    def written(value: float) -> str:
        return f"{100 * value:.1f}%" if score not in ("loss", "mae", "r2") else figure(value)

    return written


def drawing(found: dict[str, Any]) -> Markup:
    """Return the candidates in their order, and the best validation score until each."""
    values = [row["val"][found["score"]] for row in found["candidates"]]
    return figures.best_so_far(list(range(1, len(values) + 1)), values, found["better"],
                               percent=found["score"] not in ("loss", "mae", "r2"))


def again(found: dict[str, Any]) -> str:
    """Return the command that searches again."""
    pairs = list(map(typed, found["overrides"]))
    limit = [] if found["max_kb"] is None else [f"--max-kb {found['max_kb']:g}"]
    return " ".join(["kerasdl auto", typed(found["data"]), *pairs, f"--minutes {found['minutes']:g}",
                     f"--objective {found['objective']}", *limit, f"--seed {found['seed']}"])
