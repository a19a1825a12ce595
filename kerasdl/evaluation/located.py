"""Where the data of a run is: its paths are from the folder in which it was trained. Imports nothing heavy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerasdl.run import PATHS_IN, located_path

PATHS = PATHS_IN["data_args"]


def located(name: str, folder: str | None) -> str:
    """Return the name of data, csv:PATH, whose path is from a run's folder where there is nothing of that path here."""
    source, colon, path = name.partition(":")
    return f"{source}:{located_path(path, folder)}" if colon else name


def absolute(name: str, folder: str | None = None) -> str:
    """Return the name of data with its path from the root, which is the same however the path was written."""
    source, colon, path = located(name, folder).partition(":")
    return f"{source}:{Path(path).expanduser().resolve()}" if colon else name


def located_args(args: Mapping[str, Any], folder: str | None) -> dict[str, Any]:
    """Return data_args with those that are paths as `located` finds them."""
    return {key: located_path(value, folder) if key in PATHS and isinstance(value, str) else value
            for key, value in args.items()}


def absolute_args(args: Mapping[str, Any], folder: str | None = None) -> dict[str, Any]:
    """Return data_args with paths from the root, where there is something of that path."""
    found = located_args(args, folder)
    return {key: str(path.resolve()) if key in PATHS and isinstance(value, str)
            and (path := Path(value).expanduser()).exists() else value for key, value in found.items()}
