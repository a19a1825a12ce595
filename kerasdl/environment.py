"""The machine and the versions that a result was made with."""

import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

from kerasdl.installation.tpu import installed


def environment(**facts: Any) -> dict[str, Any]:
    """Versions and machine, for result.json; `facts` adds what only the caller knows (device, strategy)."""
    packages = ("kerasdl", "keras", "tensorflow", "tensorflow-cpu", "tensorflow-tpu", "tensorflow-datasets", "jax",
                "libtpu", "numpy")
    versions = {name: installed(name) for name in packages}
    return {
        "python": platform.python_version(),
        **{name: version for name, version in versions.items() if version},
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "git": _git(),
        **facts,
    }


def gemm_peak(size: int = 2048, times: int = 3) -> float:
    """GFLOP/s of this process' cores in float32 products of two size x size matrices by NumPy, the best of several.

    A scale for what a run took: two processors of one name can differ by a factor.
    """
    import numpy as np

    matrix, seconds = np.ones((size, size), "float32"), []
    for _ in range(times + 1):
        began = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - began)
    return round(2e-9 * size**3 / min(seconds[1:]), 1)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _git() -> str | None:
    """The commit of the source tree that kerasdl runs from; None when it was installed from a wheel."""
    here = Path(__file__).parent
    if not (here.parent / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(here), "describe", "--always", "--dirty"]
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
