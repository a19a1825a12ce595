"""From return to prompt: python -m benchmarks.startup writes docs/results/bench_startup.json.

Whole commands in fresh processes, interleaved: `python -c "import tensorflow, keras"`, which everybody who uses Keras
waits for, and `kerasdl` with an empty cache (first) and with what the first left there (second). Where the time goes is
asked of benchmarks.startup_phases. Commands that are not asked for stay as they are.

    python -m benchmarks.startup                      all COMMANDS, five times
    python -m benchmarks.startup vit_digits           train this recipe
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import harness

COMMANDS = {"linear_digits": "train linear_digits", "vit_digits": "train vit_digits epochs=5",
            "predict": "predict",
            # ViT-Ti in float32, as benchmarks.run has it, and with few images: what counts is its first step.
            "vit_cifar10": "train vit_cifar10 epochs=1 precision=float32 splits.train=train[:512] "
                           "splits.val=train[512:712] splits.test=test[:200]"}
FILE = "bench_startup"
IMPORT = "import tensorflow, keras"


def wall(*words: str, **variables: str) -> dict[str, Any]:
    """The seconds of a command, and what its last line says if that is JSON."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=harness.ROOT,
                          env=os.environ | variables)
    seconds = time.perf_counter() - began
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no output"])[-1][:200]}
    last = (done.stdout.strip().splitlines() or [""])[-1]
    return {"seconds": seconds, **(json.loads(last) if last.startswith('{"phases"') else {})}


def measured(name: str, repeats: int, home: Path) -> dict[str, Any]:
    """A row: the seconds of the import, of the first and of the second run of a command."""
    cache, run = home / "cache", home / "run"

    def command() -> dict[str, Any]:
        if name == "predict":
            return wall("-m", "kerasdl", "predict", str(home / "trained"), str(home / "digit.png"),
                        KERASDL_CACHE=str(cache))
        shutil.rmtree(run, ignore_errors=True)
        words = COMMANDS.get(name, f"train {name}").split()
        found = wall("-m", "benchmarks.startup_phases", *words, "--workdir", str(run), KERASDL_CACHE=str(cache))
        if "error" not in found:
            train = json.loads((run / "result.json").read_text())["train"]
            found |= {"training": train["seconds"], "first_step": train["compile_seconds"]}
        return found

    def first() -> dict[str, Any]:
        shutil.rmtree(cache, ignore_errors=True)
        return command()

    said = harness.interleaved({"import": lambda: wall("-c", IMPORT), "first": first, "second": command}, repeats)
    row: dict[str, Any] = {"command": COMMANDS.get(name, f"train {name}"), "name": name, "repeats": repeats}
    for key, found in said.items():
        if any("error" in one for one in found):
            raise SystemExit(f"{name}, {key}: {found[-1]['error']}")
        row[key] = {what: harness.rounded(harness.median(found, what)) for what in ("seconds", "training", "first_step")
                    if what in found[0]} | {"spread": harness.spread(found, "seconds")}
        if "phases" in found[0]:
            middle = sorted(found, key=lambda one: one["seconds"])[len(found) // 2]
            row[key]["phases"] = middle["phases"]
        due = row["import"]["seconds"] + row[key].get("training", 0.0)
        row[key]["ratio"] = harness.ratio(row[key]["seconds"], due)
    return row | {"environment": harness.surroundings()}


def prepare(home: Path) -> None:
    """Make a run and an image for `predict`."""
    import numpy as np
    from PIL import Image

    found = wall("-m", "kerasdl", "train", "cnn_digits", "epochs=1", "--no-report", "--workdir", str(home / "trained"))
    if "error" in found:
        raise SystemExit(found["error"])
    Image.fromarray(np.full((8, 8), 128, "uint8")).save(home / "digit.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=list(COMMANDS))
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    harness.pin()
    file = harness.RESULTS / f"{FILE}.json"
    rows = json.loads(file.read_text()) if file.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        if "predict" in asked.names:
            prepare(Path(folder))
        for name in asked.names:
            row = measured(name, asked.repeats, Path(folder))
            rows = [other for other in rows if other["name"] != name] + [row]
            harness.save(file, rows)


if __name__ == "__main__":
    main()
