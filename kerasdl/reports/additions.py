"""Sections that tools over a finished run add to its report.html: RUN/sections/TOOL.json.

A tool stands above the reports, so that the reports cannot ask it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from kerasdl.files import write_json, writing
from kerasdl.objectives.sections import Section

FOLDER = "sections"


def add(folder: Path, tool: str, sections: Sequence[Section]) -> None:
    """Keep a tool's sections for the next report of a run, in place of those that it added before.

    Args:
        folder: of the run.
        tool: the verb whose sections they are.
        sections: in their order. They refer to nothing outside of the run's folder.
    """
    file = folder / FOLDER / f"{tool}.json"
    with writing(file, "Make room, and run it again."):
        file.parent.mkdir(exist_ok=True)
        write_json(file, [{"title": each.title, "body": str(each.body), "id": each.id, "above": each.above}
                          for each in sections])


def added(folder: Path) -> list[Section]:
    """Return the sections that tools have added to a run's report, by the names of the tools."""
    return [Section(**{**section, "body": Markup(section["body"])})
            for file in sorted((folder / FOLDER).glob("*.json"))
            for section in json.loads(file.read_text(encoding="utf-8"))]
