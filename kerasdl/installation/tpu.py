"""Whether a TPU is here, and by which route it can be used; found out without importing TensorFlow or JAX."""

import os
from importlib import metadata
from pathlib import Path

PCI = Path("/sys/bus/pci/devices")
GOOGLE = "0x1ae0"
CHIPS = {"0x0027": "v2 or v3", "0x005e": "v4", "0x0062": "v5p", "0x0063": "v5e", "0x006f": "v6e", "0x0076": "7x"}


def attached() -> str | None:
    """What TPU there is, "4 chips of v5e" or "the one called NAME" (TPU_NAME); None where there is none.

    Chips are looked for on the PCI bus by their vendor and device numbers, as JAX does (jax/_src/hardware_utils.py).
    """
    found = []
    for vendor in PCI.glob("*/vendor"):
        try:
            if vendor.read_text(encoding="utf-8").strip() == GOOGLE:
                found.append(CHIPS.get((vendor.parent / "device").read_text(encoding="utf-8").strip()))
        except OSError:
            continue  # a device that has gone, or that may not be read
    chips = [chip for chip in found if chip]
    if chips:
        return f"{len(chips)} chip{'s' * (len(chips) > 1)} of {chips[0]}"
    name = os.environ.get("TPU_NAME")
    return f"the one called {name} (TPU_NAME)" if name else None


def route() -> str | None:
    """Which of "jax" and "tensorflow" the installed packages let drive a TPU; None where neither can."""
    there = {name for name in ("jax", "libtpu", "tensorflow-tpu") if installed(name)}
    if "libtpu" not in there:
        return None
    if "tensorflow-tpu" in there:  # its libtpu is older than JAX's, and the two cannot share a chip (jax#13260)
        return "tensorflow"
    return "jax" if "jax" in there else None


def installed(package: str) -> str | None:
    """The version of a distribution, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
