"""Cards that tools over a finished run leave for its report.html: RUN/cards/TOOL.json."""

import json
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from kerasdl.files import write_json, writing
from kerasdl.objectives.sections import Section

FOLDER = "cards"


def leave(folder: Path, tool: str, sections: Sequence[Section]) -> None:
    """Keep a tool's cards for the next report of a run, in place of those that it left before.

    Args:
        folder: of the run.
        tool: the verb whose cards they are.
        sections: the cards. They refer to nothing outside of the run's folder.
    """
    file = folder / FOLDER / f"{tool}.json"
    with writing(file, "Make room, and try again."):
        file.parent.mkdir(exist_ok=True)
        write_json(file, [{"title": each.title, "body": str(each.body), "id": each.id, "above": each.above}
                          for each in sections])


def left(folder: Path) -> list[Section]:
    """Return the cards that tools left for a run's report, by the names of the tools."""
    return [Section(**{**card, "body": Markup(card["body"])})
            for file in sorted((folder / FOLDER).glob("*.json")) for card in json.loads(file.read_text())]
