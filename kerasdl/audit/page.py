"""audit.html: each question with its answer, how far that can be trusted, a figure, and tables behind a fold."""

from pathlib import Path
from typing import Any

from markupsafe import Markup

from kerasdl.audit import parts
from kerasdl.objectives.sections import Section
from kerasdl.reports import additions, html
from kerasdl.text import duration, typed

PAGE = "audit.html"


def write(folder: Path, found: dict[str, Any]) -> Path:
    """Write the page, one file that needs no other, add a section to the run's report, and return the page's path.

    Args:
        folder: of the run.
        found: what its audit.json holds.
    """
    text = html.render(Path(__file__).with_name(f"{PAGE}.j2"), found=found, command=command(folder, found),
                       left_out=left_out(found), duration=duration,
                       cards={part["name"]: parts.find(part["name"]).sections(part["found"])
                              for part in found["parts"] if not part["silent"]})
    additions.add(folder, "audit", [card(found)])
    return html.write(folder / PAGE, text, "Make room, and audit it again.")


def card(found: dict[str, Any]) -> Section:
    """Return the section of report.html: the questions with their answers, and where there is more."""
    rows = Markup("").join(Markup("<h3>{}</h3><p>{}</p>").format(part["title"], part["silent"] or part["lines"][0])
                           for part in found["parts"])
    quickly = ", which were found quickly" * found["quick"]
    return Section("Audit", Markup('{}<p class="soft"><a href="{}">audit.html</a> says how far these answers can be '
                                   "trusted{}. {}</p>").format(rows, PAGE, quickly, left_out(found)), id="audit")


def left_out(found: dict[str, Any]) -> str:
    """Return "" or which questions --only left out, and how all come back."""
    asked = {part["name"] for part in found["parts"]}
    rest = [name for name in parts.names() if name not in asked]
    return "" if not rest else (f"Not asked this time: {', '.join(rest)}. Without --only all are, and what is measured "
                                "is not measured again.")


def command(folder: Path, found: dict[str, Any]) -> str:
    """Return the command that audits again; functions, which no command can name, as a remark."""
    asked = [part["name"] for part in found["parts"]]
    words = [word for word in found["groups"] if word not in found["functions"]]
    options = [*(f"--group {typed(word)}" for word in words), *["--quick"] * found["quick"],
               *(f"--only {name}" for name in asked if len(asked) < len(parts.names())),
               *[f"--shadows {found['shadows']}"] * (found["shadows"] is not None), f"--seed {found['seed']}",
               *[f"# and from Python: audit(run, [{', '.join(found['functions'])}])"] * bool(found["functions"])]
    return " ".join([f"kerasdl audit {typed(folder)}", *options])
