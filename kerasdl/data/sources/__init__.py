"""Where examples come from."""

from kerasdl.data.sources.sources import Split, from_arrays, load, load_splits

__all__ = ["Split", "from_arrays", "load", "load_splits"]
