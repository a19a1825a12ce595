"""Data that carries its names and shapes: `load`, `from_arrays`, `from_frame`, and the pipeline that feeds a model.

Importing this package is light: pandas arrives with the first of these names, and TensorFlow with the first image.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kerasdl.data.sources import load, load_splits
    from kerasdl.data.sources.arrays import from_arrays
    from kerasdl.data.sources.csv import from_frame
    from kerasdl.data.split import Split

_HOMES = {"Split": "split", "from_arrays": "sources.arrays", "from_frame": "sources.csv", "load": "sources",
          "load_splits": "sources"}

__all__ = ["Split", "from_arrays", "from_frame", "load", "load_splits"]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return [*globals(), *__all__]
