"""Sections that tools over runs hand to a run's report: files in RUN/sections, which the report shows as they are.

A tool stands above the reports, so that the reports cannot ask it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from kerasdl.files import write_json, writing
from kerasdl.objectives.sections import Section

FOLDER = "sections"


def hand(folder: Path, tool: str, sections: Sequence[Section]) -> None:
    """Write the sections of a tool into a run's folder, in place of those that it had handed before.

    Args:
        folder: of the run.
        tool: its name, which is that of the file.
        sections: in their order.
    """
    file = folder / FOLDER / f"{tool}.json"
    with writing(file, "Make room, and run it again."):
        file.parent.mkdir(exist_ok=True)
        write_json(file, [{"title": section.title, "body": str(section.body), "id": section.id, "above": section.above}
                          for section in sections])


def handed(folder: Path) -> list[Section]:
    """Return the sections that tools have handed to a run's report, in the order of the tools' names."""
    return [Section(row["title"], Markup(row["body"]), row["id"], row["above"])
            for file in sorted((folder / FOLDER).glob("*.json")) for row in json.loads(file.read_text())]
