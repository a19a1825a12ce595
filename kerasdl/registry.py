"""The objectives of the package: the folder is the registry. It is read, not imported, so that Keras stays out."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from kerasdl import user_code
from kerasdl.errors import UserError, nearest
from kerasdl.unimported import attributes

OBJECTIVES = Path(__file__).parent / "objectives"


@cache
def names() -> list[str]:
    """Return the objectives of the package, in alphabetical order: the files that define a subclass of Objective."""
    found = (file for file in OBJECTIVES.glob("*.py") if re.search(r"^class \w+\(Objective\)", file.read_text(), re.M))
    return sorted(file.stem for file in found)


def declared(name: str) -> dict[str, Any]:
    """Return what the class of an objective of the package declares: its target, and the names of its settings."""
    return attributes(OBJECTIVES / f"{name}.py", "Objective")


def check(name: str) -> None:
    """Raise a UserError if no file of the package, and no FILE.py:CLASS, is called that."""
    if user_code.is_reference(name):
        return
    if name not in names():
        raise UserError(f"Unknown objective {name!r}. {nearest(name, names())} Your own: FILE.py:CLASS.")
