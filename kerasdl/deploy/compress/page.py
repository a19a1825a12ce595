"""compress.html: the versions of a model by size and score."""

from pathlib import Path
from typing import Any

from kerasdl import figures
from kerasdl.reports import html

PAGE = "compress.html"
AGAIN = "Once it can be, run it again: what is there is not trained again."  # closes messages of the command


def write(folder: Path, facts: dict[str, Any]) -> Path:
    """Write the page, one file that needs no other, and return its path.

    Args:
        folder: where compress.json is.
        facts: what it holds.
    """
    plot = figures.labelled([(one["name"], one["bytes"] / 1000, one["val"], one["frontier"])
                             for one in facts["versions"]], "KB", f"val {figures.label(facts['score'])}")
    text = html.render(Path(__file__).with_name(f"{PAGE}.j2"), facts=facts, plot=plot,
                       score=figures.label(facts["score"]))
    return html.write(folder / PAGE, text, AGAIN)
