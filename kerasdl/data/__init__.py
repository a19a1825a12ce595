"""Data that carries its names and shapes: `load`, `from_arrays`, and the pipeline that feeds a model."""

from kerasdl.data.sources.sources import Split, from_arrays, load, load_splits

__all__ = ["Split", "from_arrays", "load", "load_splits"]
