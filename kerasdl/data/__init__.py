"""Data that carries its names and shapes: `load`, `from_arrays`, `from_frame`, and the pipeline that feeds a model."""

from kerasdl.data.sources import load, load_splits
from kerasdl.data.sources.arrays import from_arrays
from kerasdl.data.sources.csv import from_frame
from kerasdl.data.split import Split

__all__ = ["Split", "from_arrays", "from_frame", "load", "load_splits"]
