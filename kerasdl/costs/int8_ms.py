"""Median time of one example in LiteRT with 8 bits and one thread."""

import tempfile

from kerasdl.costs import int8_kb
from kerasdl.costs._timing import median_ms
from kerasdl.deploy.formats import litert

UNIT = "ms"
PACKAGES = litert.PACKAGES


def measure(network, examples):
    with tempfile.TemporaryDirectory() as folder:
        return median_ms(litert.load(str(int8_kb.exported(network, examples, folder)), 1), examples[:1])
