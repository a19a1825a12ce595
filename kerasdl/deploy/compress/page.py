"""compress.html: the versions of a model by size and score."""

from pathlib import Path
from typing import Any

import jinja2

from kerasdl import figures, reports
from kerasdl.files import whole, writing

PAGE = "compress.html"


def write(folder: Path, facts: dict[str, Any]) -> Path:
    """Write the page, one file that needs no other, and return its path.

    Args:
        folder: where compress.json is.
        facts: what it holds.
    """
    loader = jinja2.FileSystemLoader([Path(__file__).parent, Path(reports.__file__).parent])
    template = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True
                                  ).get_template(f"{PAGE}.j2")
    plot = figures.labelled([(one["name"], one["bytes"] / 1000, one["val"], one["frontier"])
                             for one in facts["versions"]], "KB", f"val {figures.label(facts['score'])}")
    with writing(folder / PAGE, "Make room, and run it again."), whole(folder / PAGE) as partial:
        partial.write_text(template.render(facts=facts, plot=plot, score=figures.label(facts["score"])))
    return folder / PAGE
