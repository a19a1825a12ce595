"""The plans that docs/tpu.md shows: writes docs/results/plan.json, a row at a time.

    python -m benchmarks.plans [RECIPE...]      all rows, or those of these recipes
    python -m benchmarks.plans --cpu            docs/results/plan_cpu.json: bounds beside measured steps of this
                                                processor; leave the machine alone meanwhile

Every row is made first without its largest batch, and again with it: that takes most of the time. What the compiler has
answered is remembered, so what was stopped goes on where it was.
"""

import json
import sys
import time
from itertools import product
from pathlib import Path

from kerasdl.environment import environment
from kerasdl.files import write_json
from kerasdl.plan import plan
from kerasdl.recipe import load

ROWS = (("vit_cifar10", "v5e-1"), ("vit_cifar10", "v5e-16"), ("resnet_imagenet", "v5e-16"), ("vit_imagenet", "v5e-16"),
        ("vitb_imagenet", "v5e-16"))
MEASURED = ("mlp_mnist", "cnn_mnist", "resnet_mnist", "vit_mnist")
RESULTS = Path(__file__).parents[1] / "docs" / "results"


def main(recipes: list[str]) -> None:
    """Plan each row and put it in the place of the one that was there."""
    for search, (name, on) in product((False, True), ROWS):
        if recipes and name not in recipes:
            continue
        began = time.perf_counter()
        made = plan(load(name), on, search=search)
        print(f"{name} {on} {'with' if search else 'without'} the largest batch: {time.perf_counter() - began:.0f} s",
              flush=True)
        file = RESULTS / "plan.json"
        rows = json.loads(file.read_text()) if file.exists() else []
        rows = [row for row in rows if (row["recipe"], row["on"]) != (name, on)] + [made]
        write_json(file, sorted(rows, key=lambda row: ROWS.index((row["recipe"], row["on"]))))


def measure() -> None:
    """Bounds and measured steps of a few recipes on this machine, with its processor's name."""
    write_json(RESULTS / "plan_cpu.json", [plan(load(name), "cpu") | {"environment": environment(device="CPU")}
                                           for name in MEASURED])


if __name__ == "__main__":
    measure() if sys.argv[1:] == ["--cpu"] else main(sys.argv[1:])
