"""Pages of one file: Jinja templates with the style of the reports, and files that are whole or not there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2

from kerasdl.files import whole, writing

HERE = Path(__file__).parent


def render(template: Path, **values: Any) -> str:
    """Return a template with its values filled in. It may include the files of this folder, such as report.css."""
    loader = jinja2.FileSystemLoader([template.parent, HERE])
    pages = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return pages.get_template(template.name).render(**values)


def write(file: Path, text: str, then: str | Callable[[], str]) -> Path:
    """Write a page and return its path.

    Args:
        file: of the page, in a folder that is there.
        text: of the page.
        then: how the message ends, should that fail.

    Raises:
        UserError: the file cannot be written.
    """
    with writing(file, then), whole(file) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")  # a folder's name need not be UTF-8
    return file
