"""The names of the methods, and for which data they are, read from their files. Imports nothing heavy."""

from pathlib import Path

from kerasdl.errors import UserError, nearest
from kerasdl.unimported import constants

FOLDER = Path(__file__).parent / "methods"


def names() -> list[str]:
    """Return the names of the methods, in alphabetical order."""
    return sorted(file.stem for file in FOLDER.glob("*.py") if file.stem != "__init__")


def check(name: str) -> None:
    """Raise a UserError if there is no method of this name."""
    if name not in names():
        raise UserError(f"There is no method {name!r}. {nearest(name, names())}")


def other_kind(name: str, kind: str) -> str:
    """Return "" or that a method is for other data than the model takes."""
    kinds = constants(FOLDER / f"{name}.py")["KINDS"]
    if kind in kinds:
        return ""
    return f"{name} is for {' or '.join(kinds)} data, and the model takes {kind} examples."


def check_kind(name: str, kind: str) -> None:
    """Raise a UserError for a method that is for other data, with those that are not."""
    check(name)
    if why := other_kind(name, kind):
        raise UserError(f"{why} Choose from: {', '.join(each for each in names() if not other_kind(each, kind))}.")


def is_attribution(name: str) -> bool:
    """Return whether a method explains answers for examples, and not the model as a whole."""
    check(name)
    return "SIGNED" in constants(FOLDER / f"{name}.py")
