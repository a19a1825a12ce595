"""The objectives of the package: the folder is the registry. It is read, not imported, so that Keras stays out."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from kerasdl import user_code
from kerasdl.errors import UserError, nearest
from kerasdl.unimported import attributes

OBJECTIVES = Path(__file__).parent / "objectives"
BASES = {"Classify": "classify.py", "Contrast": "contrast.py", "Views": "views/base.py"}  # besides Objective itself


@cache
def bases() -> dict[str, str]:
    """Return {objective of the package: the base of its class}: the files that define a subclass of Objective or of one
    of BASES, in alphabetical order."""
    derived = re.compile(rf"^class \w+\(({'|'.join(('Objective', *BASES))})\)", re.M)
    found = {file.stem: derived.search(file.read_text(encoding="utf-8"))
             for file in sorted(OBJECTIVES.glob("*.py"))}
    return {name: match[1] for name, match in found.items() if match}


def names() -> list[str]:
    """Return the objectives of the package, in alphabetical order."""
    return list(bases())


def declared(name: str) -> dict[str, Any]:
    """Return what the class of an objective of the package declares: its target, and the names of its settings."""
    return _declared(OBJECTIVES / f"{name}.py", bases()[name])


def _declared(file: Path, base: str) -> dict[str, Any]:
    own = attributes(file, base)
    if base == "Objective":
        return own
    above = OBJECTIVES / BASES[base]
    inherited = _declared(above, bases().get(above.stem, "Objective"))
    return {key: value for key, value in inherited.items() if key != "Settings"} | own


def check(name: str) -> None:
    """Raise a UserError if no file of the package, and no FILE.py:CLASS, is called that."""
    if user_code.is_reference(name):
        return
    if name not in names():
        raise UserError(f"Unknown objective {name!r}. {nearest(name, names())} Your own: FILE.py:CLASS.")
