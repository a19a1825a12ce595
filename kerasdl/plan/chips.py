"""The chips that a plan can be made for: what their maker says of them, and libtpu's names of their slices.

Peak, bandwidth and links are from cloud.google.com/tpu/docs/v5e and its sister pages; memory is what libtpu lets a
program use. The clock is inferred from the peak and the number of multipliers (four of 128 x 128 on a v5e). The page of
the v6e has two of 256 x 256, which its peak does not fit at any clock that is known; it is given that of a v5p, so that
the upper bounds from cycles are less certain there.
"""

import re
from dataclasses import dataclass
from typing import Any

from kerasdl.errors import UserError, nearest

GIB = 2**30
COUNTS = (1, 4, 8, 16, 32, 64, 128, 256)  # chips of a slice
FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
DEEP = ("1x1x1", "2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8")


@dataclass(frozen=True)
class Chip:
    """One kind of TPU chip, by libtpu's name."""

    name: str
    peak: float  # bfloat16 operations a second
    memory: float  # bytes
    bandwidth: float  # of the memory, bytes a second
    links: float  # all links to other chips together, bytes a second
    clock: float  # cycles a second
    ports: int = 4  # the number of links
    shapes: tuple[str, ...] = FLAT  # topologies of COUNTS chips
    cores: int = 1  # cores of a chip that a slice's name counts: v5p-8 has four chips, v5e-8 has eight
    config: str | None = None  # libtpu's chip_config_name, where the default takes a chip for two devices

    def topology(self, chips: int) -> tuple[str, dict]:
        """Return libtpu's name of a slice, and the options that it needs."""
        options: dict[str, Any] = {"chip_config_name": self.config} if self.config else {}
        if chips == 1:  # by default a host has four chips or more
            options["chips_per_host_bounds"] = [1, 1, 1]
        return f"{self.name}:{self.shapes[COUNTS.index(chips)]}", options


CHIPS = {chip.name: chip for chip in (
    Chip("v4", 275e12, 30.75 * GIB, 1228e9, 300e9, 1.05e9, 6, DEEP, cores=2, config="megacore"),
    Chip("v5e", 197e12, 15.75 * GIB, 819e9, 200e9, 1.5e9),
    Chip("v5p", 459e12, 95.73 * GIB, 2765e9, 600e9, 1.75e9, 6, DEEP, cores=2),
    Chip("v6e", 918e12, 31.24 * GIB, 1638e9, 400e9, 1.75e9),
)}


def parse(name: str) -> tuple[Chip, int]:
    """Return the chip and the number of chips of "v5e-8", a name as Google Cloud and Colab give it to a slice; an
    unknown chip or size is a UserError."""
    found = re.fullmatch(r"(v\d\w*?)-(\d+)", name.lower().replace("v5litepod", "v5e"))
    if not found or not (chip := CHIPS.get(found[1])):
        raise UserError(f"No plan can be made for {name!r}. Choose cpu, or a slice such as v5e-8 of one of the chips "
                        f"{', '.join(CHIPS)}.")
    slices = {f"{chip.name}-{count * chip.cores}": count for count in COUNTS}
    if found[0] not in slices:
        raise UserError(f"There is no {name}. {nearest('', slices)}")
    return chip, slices[found[0]]
