"""Size of the file of LiteRT in 8 bits. The network is exported as it is, untrained: the size is the same."""

import tempfile
from pathlib import Path

from kerasdl.deploy import network as networks
from kerasdl.deploy.formats import litert

UNIT = "KB"
PACKAGES = litert.PACKAGES
CALIBRATION = 8  # examples: their ranges do not change the size


def measure(network, examples):
    with tempfile.TemporaryDirectory() as folder:
        return exported(network, examples, folder).stat().st_size / 1000


def exported(network, examples, folder):
    """Write the file into a folder, and return its path."""
    file = Path(folder) / litert.FILE
    litert.write(networks.unrolled(network, examples.shape[1]), str(file), "int8", examples[:CALIBRATION])
    return file
