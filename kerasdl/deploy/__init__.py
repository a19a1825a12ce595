"""Trained models for other runtimes: a file is written, run there, compared, and kept only if it is right.

    from kerasdl.deploy import export

    facts = export("runs/vit_digits", "onnx")  # runs/vit_digits/export/onnx/model.onnx, and export.json

A format is a file of `formats`. `export` converts (`network`), runs the file in a process of its own (`measure`) and
judges what came out (`gate`).
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """Return `export`, for which alone Keras is imported: `measure` runs other runtimes without it."""
    if name != "export":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kerasdl.deploy.exporting import export

    return export
