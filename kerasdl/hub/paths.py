"""Paths in the settings of a recipe: others need not know the author's folders."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerasdl.data import sources
from kerasdl.recipe import Recipe

FULL = re.compile(r"/|~|\.{1,2}/")  # what a path begins with that is no name of anything else
NAMED = ("model", "objective", "init", "teacher", "members", "root", "val", "test", "tokens")  # take others


def is_local(data: str) -> bool:
    """Return whether the data are the author's own, and not a dataset that others know by its name."""
    prefix, colon, _ = data.partition(":")
    return data == "arrays" or bool(colon) and prefix in sources.prefixes()


def parted(value: str, key: str) -> tuple[str, str]:
    """Return what stands before the path in a setting, such as "csv:", and the path; "" if there is none with a folder.

    A column may be called km/h, and public weights augreg/b16.
    """
    source, colon, path = value.partition(":") if is_local(value) else ("", "", value)
    named = colon or FULL.match(path) or key in NAMED or key == "weights" and "." in Path(path).name
    return (source + colon, path) if named and "/" in path else (value, "")


def shortened(value: Any, key: str) -> Any:
    """Return a setting with the last part only of each path in it."""
    if isinstance(value, dict):
        return {name: shortened(inner, name) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(shortened(inner, key) for inner in value)
    if not isinstance(value, str):
        return value
    before, path = parted(value, key)
    return before + Path(path).name


def folders(recipe: Recipe) -> set[str]:
    """Return the folders that the settings of a recipe name, as they are written there."""
    found = set()
    for key, text in texts(recipe.model_dump(mode="json"), ""):
        path = parted(text, key)[1]
        above = path.rstrip("/").rpartition("/")[0]
        found.add(above if above.strip("~.") else path)
    return found - {"", "/"}


def texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of all settings that are texts."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from texts(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner, key)
