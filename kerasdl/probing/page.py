"""probe.html: what the features of a run are worth, by the number of labels."""

from pathlib import Path
from typing import Any

from markupsafe import Markup

from kerasdl import figures
from kerasdl.reports import html
from kerasdl.text import duration, typed

PAGE = "probe.html"
NAMES = {"run": "the run", "random": "random weights", "raw": "raw"}
DRAWN = {"run": 0, "random": 1, "raw": 7}  # places in figures.SERIES
DASHES = {"linear": "-", "kNN": ":", "fine-tuned": "--", "from scratch": "--"}


def write(folder: Path, found: dict[str, Any]) -> Path:
    """Write the page, one file that needs no other, and return its path.

    Args:
        folder: of the run.
        found: what its probe.json holds.
    """
    ways = list(dict.fromkeys((row["features"], row["way"]) for row in found["rows"]))
    cells = {(row["features"], row["way"], row["labels"]): row for row in found["rows"]}
    text = html.render(Path(__file__).with_name(f"{PAGE}.j2"), found=found, ways=ways, cells=cells, title=title,
                       plot=drawing(found), duration=duration, command=command(folder, found))
    return html.write(folder / PAGE, text, "Make room, and probe it again.")


def drawing(found: dict[str, Any]) -> Markup:
    """Return accuracy on test against the number of labels, a line for each way."""
    lines: dict[tuple[str, str], list[tuple[int, float, tuple[float, float]]]] = {}
    for row in found["rows"]:
        low, high = row["interval"]
        point = (row["labels"], row["test"]["accuracy"], (low, high))
        lines.setdefault((row["features"], row["way"]), []).append(point)
    return figures.growth([(title(name, way), DRAWN[name], DASHES[way], points)
                           for (name, way), points in lines.items()], "labels", "test accuracy")


def title(name: str, way: str) -> str:
    """Return how a way is called: "the run, linear", "from scratch"."""
    return way if way in ("fine-tuned", "from scratch") else f"{NAMES[name]}, {way}"


def command(folder: Path, found: dict[str, Any]) -> str:
    """Return the command that probes again."""
    words = [folder, *found["asked"], f"--labels={','.join(map(str, found['labels']))}", f"--seed={found['seed']}"]
    return f"kerasdl probe {' '.join(map(typed, words))}"
