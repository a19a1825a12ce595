"""Median time of one example in ONNX Runtime with float32 and one thread."""

import tempfile
from pathlib import Path

from kerasdl.costs._timing import median_ms
from kerasdl.deploy.formats import onnx

UNIT = "ms"
PACKAGES = onnx.PACKAGES


def measure(network, examples):
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / onnx.FILE)
        onnx.write(network, file, None, examples[:0])
        return median_ms(onnx.load(file, 1), examples[:1])
