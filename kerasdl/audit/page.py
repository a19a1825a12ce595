"""audit.html: each question with its answer, how far that can be trusted, a figure, and tables behind a fold."""

from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from kerasdl import reports
from kerasdl.audit import parts
from kerasdl.files import whole, writing
from kerasdl.objectives.sections import Section
from kerasdl.reports import additions
from kerasdl.text import duration, typed

PAGE = "audit.html"


def write(folder: Path, found: dict[str, Any]) -> Path:
    """Write the page, one file that needs no other, leave the run's report a card, and return the page's path.

    Args:
        folder: of the run.
        found: what its audit.json holds.
    """
    file = folder / PAGE
    text = template().render(found=found, command=command(folder, found), duration=duration,
                             cards={part["name"]: parts.find(part["name"]).sections(part["found"])
                                    for part in found["parts"] if not part["silent"]})
    with writing(file, "Make room, and audit it again."), whole(file) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")
    additions.add(folder, "audit", [card(found)])
    return file


def card(found: dict[str, Any]) -> Section:
    """Return the card of report.html: the questions with their answers, and where there is more."""
    rows = Markup("").join(Markup("<h3>{}</h3><p>{}</p>").format(part["title"], part["silent"] or part["lines"][0])
                           for part in found["parts"])
    return Section("Audit", Markup('{}<p class="soft"><a href="{}">audit.html</a> says how far these answers can be '
                                   "trusted{}.</p>").format(rows, PAGE, ", which were found quickly" * found["quick"]),
                   id="audit")


def command(folder: Path, found: dict[str, Any]) -> str:
    """Return the command that audits again."""
    options = [*(f"--group {typed(word)}" for word in found["groups"]), *["--quick"] * found["quick"],
               *[f"--shadows {found['shadows']}"] * (found["shadows"] is not None), f"--seed {found['seed']}"]
    return " ".join([f"kerasdl audit {typed(folder)}", *options])


def template() -> jinja2.Template:
    """Return the template of the page."""
    loader = jinja2.FileSystemLoader([Path(__file__).parent, Path(reports.__file__).parent])
    return jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True
                              ).get_template(f"{PAGE}.j2")
