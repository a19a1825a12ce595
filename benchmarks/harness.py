"""Fresh processes in turn, A B C A B C, and the medians of what they say. It imports no framework."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from kerasdl.environment import environment
from kerasdl.errors import UserError
from kerasdl.files import write_json
from kerasdl.run import Run

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
THREADS = 2
PACKAGES = ("torch", "keras-hub", "jaxlib")
OLDER = {"avx2": {  # what keeps the libraries from instructions that many processors do not have
    "ONEDNN_MAX_CPU_ISA": "AVX2", "XLA_FLAGS": "--xla_cpu_max_isa=AVX2", "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2", "OPENBLAS_CORETYPE": "Haswell"}}


def pin() -> None:
    """This process and all that it starts on the first two cores, with two threads in every library."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    os.environ.update(OMP_NUM_THREADS=str(THREADS), MKL_NUM_THREADS=str(THREADS), OPENBLAS_NUM_THREADS=str(THREADS),
                      TF_CPP_MIN_LOG_LEVEL="3")


def call(*words: Any, timeout: float = 600) -> dict[str, Any]:
    """The last line of `python -m WORDS` as JSON, or {"error"}: a program that fails is a result too."""
    command = [sys.executable, "-m", *map(str, words)]
    began = time.perf_counter()
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {timeout:.0f} s"}
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        complaint = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return {"error": f"exit code {done.returncode}: {complaint[:200]}"}
    return {**json.loads(lines[-1]), "wall_seconds": time.perf_counter() - began}


def interleaved(programs: dict[str, Callable[[], dict]], repeats: int, tell: Callable[[str], None] = print
                ) -> dict[str, list[dict]]:
    """What each program said, `repeats` times; one that failed is not asked again."""
    said: dict[str, list[dict]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, program in programs.items():
            if not (said[name] and "error" in said[name][-1]):
                said[name].append(program())
                tell(f"  {name}: {brief(said[name][-1])}")
    return said


def brief(said: dict[str, Any]) -> str:
    shown = {key: f"{value:,.4g}" if isinstance(value, float) else value for key, value in said.items()
             if not isinstance(value, (list, dict))}
    return ", ".join(f"{key} {value}" for key, value in shown.items())


def median(said: Iterable[dict], key: str) -> float | None:
    values = [result[key] for result in said if result.get(key) is not None]
    return statistics.median(values) if values else None


def spread(said: Iterable[dict], key: str) -> list[float]:
    """The least and the largest."""
    values = [result[key] for result in said if result.get(key) is not None]
    return [round(min(values), 4), round(max(values), 4)] if values else []


def ratio(one: float | None, other: float | None) -> float | None:
    return round(one / other, 3) if one and other else None


def rounded(value: float | None, digits: int = 2) -> float | None:
    return None if value is None else round(value, digits)


def surroundings(**facts: Any) -> dict[str, Any]:
    """The environment of a row: machine, versions, threads and how busy the machine was."""
    from importlib import metadata

    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return environment(device="CPU", threads=THREADS, load_average=[round(load, 2) for load in os.getloadavg()],
                       measured=time.strftime("%Y-%m-%d"), **versions, **facts)


def parser(description: str, out: str, repeats: int) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--out", type=Path, default=RESULTS / out, help="the JSON to write")
    made.add_argument("--repeats", type=int, default=repeats, help="fresh processes of each program")
    made.add_argument("--quick", action="store_true", help="two repeats and few steps: to see that it runs")
    return made


def completed(run: Run) -> Run:
    """Return a run that trained to its end.

    Raises:
        UserError: it diverged, so that it has no scores to compare.
    """
    if run.result["status"] != "completed":
        raise UserError(run.result["message"])
    return run


def save(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, rows)
