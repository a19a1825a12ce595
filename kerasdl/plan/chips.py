"""Chips that a plan can be made for: what the maker says of them, and how libtpu calls so many of them.

Peak, bandwidth and links are those of cloud.google.com/tpu/docs/v5e and its sister pages. The clock follows from the
peak and the number of multipliers (four of 128 x 128 on a v5e), which is an inference. The memory that a program may
have is not here: the compiler is asked.
"""

import re
from dataclasses import dataclass

from kerasdl.errors import UserError, nearest

COUNTS = (1, 4, 8, 16, 32, 64, 128, 256)  # chips of a slice
FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
DEEP = ("1x1x1", "2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8")


@dataclass(frozen=True)
class Chip:
    """One kind of TPU chip.

    Attributes:
        name: libtpu's own.
        peak: bfloat16 operations a second.
        bandwidth: of its memory, bytes a second.
        links: of all links to other chips together, bytes a second.
        ports: how many links that are.
        clock: cycles a second.
        shapes: topologies of COUNTS chips.
        cores: TensorCores of a chip that the number in a slice's name counts: v5p-8 has four chips, v5e-8 has eight.
        config: libtpu's chip_config_name, where the usual one takes a chip for two devices.
    """

    name: str
    peak: float
    bandwidth: float
    links: float
    clock: float
    ports: int = 4
    shapes: tuple[str, ...] = FLAT
    cores: int = 1
    config: str | None = None

    def topology(self, chips: int) -> tuple[str, dict]:
        """The name that libtpu has for so many chips, and the options that go with it."""
        shape = self.shapes[COUNTS.index(chips)]
        options = {"chip_config_name": self.config} if self.config else {}
        if chips == 1:  # a host has four chips or more unless it is said that it has one
            options["chips_per_host_bounds"] = [1, 1, 1]
        return f"{self.name}:{shape}", options


CHIPS = {chip.name: chip for chip in (
    Chip("v4", 275e12, 1228e9, 300e9, 1.05e9, 6, DEEP, cores=2, config="megacore"),
    Chip("v5e", 197e12, 819e9, 200e9, 1.5e9),
    Chip("v5p", 459e12, 2765e9, 600e9, 1.75e9, 6, DEEP, cores=2),
    Chip("v6e", 918e12, 1640e9, 448e9, 1.75e9),
)}


def slices() -> list[str]:
    """Every name that `parse` knows."""
    return [f"{chip.name}-{count * chip.cores}" for chip in CHIPS.values() for count in COUNTS]


def parse(name: str) -> tuple[Chip, int]:
    """The chip and how many of them: "v5e-8", in the names that Google Cloud and Colab have for slices.

    Raises:
        UserError: no such chip, or no slice of so many.
    """
    found = re.fullmatch(r"(v\d\w*?)-(\d+)", name.lower().replace("v5litepod", "v5e"))
    if not found or found[1] not in CHIPS:
        raise UserError(f"No plan can be made for {name!r}: a plan is for cpu, or for a slice such as v5e-8 of one of "
                        f"the chips {', '.join(CHIPS)}.")
    chip, number = CHIPS[found[1]], int(found[2])
    if number % chip.cores or number // chip.cores not in COUNTS:
        known = [f"{chip.name}-{count * chip.cores}" for count in COUNTS]
        raise UserError(f"There is no {name}. {nearest('', known)}")
    return chip, number // chip.cores
