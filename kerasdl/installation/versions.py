"""Versions that are known not to work together: a table, of which each row says where that was seen.

All is read from package metadata. Some of these pairs end the process when TensorFlow is imported, and no `except`
catches that, so look here first.
"""

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from packaging.specifiers import SpecifierSet

from kerasdl.errors import UserError
from kerasdl.installation import tpu

TENSORFLOWS = ("tensorflow", "tensorflow-cpu", "tensorflow-tpu")  # wheels that hold the module `tensorflow`

CPUINFO = Path("/proc/cpuinfo")  # of Linux
MISSING = "TensorFlow is not installed, which also reads the data for JAX: pip install 'kerasdl[tf]', or [tpu] on a TPU"
HOLLOW = ("tensorflow is a folder without its module, as it is left when one of two wheels is uninstalled: "
          "pip install --force-reinstall --no-deps tensorflow, or tensorflow-tpu")


@dataclass(frozen=True)
class Bad:
    """A row.

    Attributes:
        packages: {distribution: its versions that are bad together, "" for any; None: it is missing}. "tensorflow"
            stands for any of TENSORFLOWS.
        why: what happens.
        do: what to do.
        seen: an issue, or what was run and when.
        aborts: whether the process ends when TensorFlow is imported.
    """

    packages: Mapping[str, str | None]
    why: str
    do: str
    seen: str
    aborts: bool = False

    def fits(self, versions: Mapping[str, str]) -> bool:
        """Whether these versions are such."""
        def bad(name, specifier):
            if specifier is None:
                return name not in versions
            return name in versions and SpecifierSet(specifier, prereleases=True).contains(versions[name])

        return all(bad(name, specifier) for name, specifier in self.packages.items())

    def told(self, versions: Mapping[str, str]) -> str:
        """One line: what there is, what happens, what to do."""
        there = " with ".join(f"{name} {versions[name]}" if specifier is not None else f"no {name}"
                              for name, specifier in self.packages.items())
        return f"{there}: {self.why} ({self.seen}). {self.do}"


TABLE = (
    Bad({"keras": "<3.14"}, "it is too old", "pip install 'keras>=3.14'",
        "OrbaxCheckpoint is exported from 3.14 on; up to 3.9.2 losses became NaN under any strategy, keras#21061"),
    Bad({"tensorflow": "<2.19.1"}, "it is too old", "Install one of 2.19.1 to 2.21",
        "2.18 no longer finds Colab's TPUs, colabtools#5419 and tensorflow#96203; NaN there, tensorflow#86953"),
    Bad({"tensorflow": ">=2.22"}, "it is newer than kerasdl knows", "Install one of 2.19.1 to 2.21", "not run"),
    Bad({"tensorflow": "", "tensorboard": None}, "TensorFlow 2.21 no longer brings tensorboard",
        "pip install tensorboard", "run 2026-11 with 2.21.0"),
    Bad({"tensorflow": "==2.19.*", "tensorflow-metadata": ">=1.18"}, "it does not load with that TensorFlow's protobuf",
        "pip install 'tensorflow-metadata<1.18'", "run 2026-11 with 2.19.1 and 1.21.0"),
    Bad({"tensorflow-datasets": "==4.9.10", "importlib_resources": None}, "it uses what it does not ask for",
        "pip install importlib_resources", "run 2026-11"),
    Bad({"tensorflow-tpu": "==2.20.*", "libtpu": ">0.0.24"}, "importing TensorFlow aborts the process",
        "pip install 'libtpu>=0.0.14,<=0.0.24'",
        "run 2026-11: 0.0.35, 0.0.42.1 and 0.0.52 abort, 0.0.14 and 0.0.24 import", aborts=True),
    Bad({"tensorflow-tpu": "==2.19.*", "libtpu": "!=0.0.10"}, "it was built for libtpu 0.0.10 alone",
        "pip install libtpu==0.0.10", "what tensorflow-tpu 2.19.1 asks for; not run"),
    Bad({"tensorflow-tpu": "", "libtpu": None}, "there is no driver for the TPU",
        "pip install 'libtpu>=0.0.14,<=0.0.24'", "what tensorflow-tpu 2.20.0 asks for"),
)


def installed() -> dict[str, str]:
    """The version of every package that the table speaks of."""
    names = {name for row in TABLE for name in row.packages} | {*TENSORFLOWS}
    found = {name: version for name in names if (version := tpu.installed(name))}
    wheel = next((found[name] for name in TENSORFLOWS if name in found), None)
    return found | ({"tensorflow": wheel} if wheel else {})


def problems(versions: Mapping[str, str]) -> list[str]:
    """A line for each row that these versions fit."""
    return [row.told(versions) for row in TABLE if row.fits(versions)]


def check() -> None:
    """To be called before TensorFlow is imported.

    Raises:
        UserError: if there is none, or if that would end the process.
    """
    spec = find_spec("tensorflow")
    if spec is None or spec.origin is None:
        raise UserError(MISSING if spec is None else HOLLOW)
    if (flags := cpu_flags()) and platform.machine() == "x86_64" and "avx" not in flags:
        raise UserError("This processor has no AVX, without which TensorFlow ends the process. Use another machine.")
    versions = installed()
    for row in TABLE:
        if row.aborts and row.fits(versions):
            raise UserError(row.told(versions))


def cpu_flags() -> set[str]:
    """What the processor can do, in Linux' words; empty where these are not to be had."""
    flags = re.search(r"^flags\b.*", CPUINFO.read_text(encoding="utf-8"), re.MULTILINE) if CPUINFO.is_file() else None
    return set(flags[0].split()) if flags else set()


def wheel_problems() -> list[str]:
    """What is wrong with the files of `tensorflow`: two wheels over each other, or what is left when one of them goes.

    pip says nothing of either, and `pip check` finds nothing.
    """
    owners = sorted(set(metadata.packages_distributions().get("tensorflow", [])))
    if len(owners) > 1:
        kept = "kerasdl[tpu-tf]" if any("tpu" in owner for owner in owners) else "kerasdl[tf]"
        return [f"{' and '.join(owners)} are installed over each other, and the last one has overwritten the others: "
                f"pip uninstall -y {' '.join(owners)}, then install one, as with: pip install '{kept}'"]
    spec = find_spec("tensorflow")
    if spec is None:
        return [MISSING]
    if spec.origin is None:
        return [HOLLOW]
    return []
