"""What the Tab key offers. It imports nothing but Python's own library, so that it answers at once."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
DEPTH = 4  # folders below runs/ that are searched


def recipes(incomplete: str) -> list[str]:
    """Return the recipes of the package and the files of Python here, by what was typed of them."""
    return matching([*modules(PACKAGE / "recipes"), *files(incomplete)], incomplete)


def searches(incomplete: str) -> list[str]:
    """Return the searches of the package and the files of Python here."""
    return matching([*modules(PACKAGE / "tuning" / "searches"), *files(incomplete)], incomplete)


def fields(incomplete: str) -> list[str]:
    """Return the fields of a recipe with their equals sign."""
    return matching([f"{name}=" for name in field_names()], incomplete)


def runs(incomplete: str) -> list[str]:
    """Return the folders of runs below runs/, or below the folder that was typed so far."""
    start = Path(incomplete.rpartition("/")[0] or "runs")
    return matching([str(path) for path in holding(start, "recipe.json", DEPTH)], incomplete)


def studies(incomplete: str) -> list[str]:
    """Return the folders of searches."""
    start = Path(incomplete.rpartition("/")[0] or "runs")
    return matching([str(path) for path in holding(start, "search.json", DEPTH)], incomplete)


def matching(words: list[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]


def modules(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def files(incomplete: str) -> list[str]:
    """The files of Python in the folder that was typed so far."""
    home = incomplete.rpartition("/")[0]
    return sorted(os.path.join(home, entry.name) for entry in entries(Path(home or "."))
                  if entry.name.endswith(".py"))


def field_names() -> list[str]:
    """The fields of Recipe, read from its source: importing pydantic would take longer than a person waits."""
    own = (PACKAGE / "recipe.py").read_text().partition("class Recipe(")[2].partition("@model_validator")[0]
    return re.findall(r"^    (\w+): (?!.*ConfigDict)", own, re.M)


def holding(folder: Path, name: str, depth: int) -> Iterator[Path]:
    """The folders at or below one that hold a file of this name, the newest first."""
    if (folder / name).is_file():
        yield folder
        return
    if depth:
        for entry in sorted(entries(folder), key=lambda entry: -entry.stat().st_mtime):
            if entry.is_dir() and not entry.name.startswith("."):
                yield from holding(Path(entry.path), name, depth - 1)


def entries(folder: Path) -> list[os.DirEntry]:
    try:
        return list(os.scandir(folder))
    except OSError:
        return []
