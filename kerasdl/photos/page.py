"""photos.html: what was tried on a folder of photographs, what was chosen, and where it is wrong."""

from pathlib import Path
from typing import Any

import numpy as np

from kerasdl import figures, objectives
from kerasdl.data import Split
from kerasdl.reports import html
from kerasdl.reports import page as pages
from kerasdl.run import Run
from kerasdl.text import duration, typed

PAGE = "photos.html"
SHOWN = 6  # images of a class
CLASSES = 12  # of which images are shown


def write(home: Path, found: dict[str, Any]) -> Path:
    """Write the page, one file that needs no other but links to the runs, and return its path.

    Args:
        home: the folder of the comparison.
        found: what its photos.json holds.
    """
    for row in found["candidates"]:
        pages.report(home / row["run"])
    run = Run.open(home / found["chosen"])
    shown = pages.findings(run, None, run.recipe.data, run.result)
    score, rows = found["score"], found["candidates"]
    text = html.render(
        Path(__file__).with_name("photos.html.j2"),
        found=found, rows=rows, best=next(row for row in rows if row["run"] == found["chosen"]),
        score=figures.label(score), scores={row["run"]: (row["val"][score], row["test"][score]) for row in rows},
        plot=figures.intervals([f"{row['name']}, {row['kind']}, {row['pixels']}" for row in rows],
                               [row["test"][score] for row in rows], [row["interval"] for row in rows],
                               [row["run"] for row in rows].index(found["chosen"])),
        sheets=sheets(shown.splits("train")), sections=objectives.of(run.recipe, run.path).sections(shown),
        folder=Path(found["folder"]).name, duration=duration, run=typed(run.path), command=command(home, found),
        settings=run.recipe.diff())
    return html.write(home / PAGE, text, "Choose another --workdir.")


def there(home: Path) -> bool:
    """Return whether a folder has the page."""
    return (home / PAGE).is_file()


def command(home: Path, found: dict[str, Any]) -> str:
    """Return the command that compares again."""
    group = [] if found["group"] is None else [f"--group={found['group']}"]
    words = [found["folder"], f"--minutes={found['minutes']:g}", *group,
             *(f"--weights={name}" for name in found["weights"]), f"--seed={found['seed']}"]
    return f"kerasdl photos {' '.join(map(typed, words))}"


def sheets(split: Split) -> list[tuple[str, list[str]]]:
    """Return (class, addresses of some images), of the classes with the most images."""
    counts, found = np.bincount(np.asarray(split.y), minlength=len(split.classes)), []
    for label in np.argsort(-counts, kind="stable")[:CLASSES]:
        places = np.flatnonzero(np.asarray(split.y) == label)
        chosen = places[np.linspace(0, len(places) - 1, min(SHOWN, len(places))).astype(int)]
        found.append((split.classes[label], figures.examples(split, chosen)["images"]))
    return found
