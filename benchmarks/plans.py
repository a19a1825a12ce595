"""The plans that docs/tpu.md and docs/lab/tpu.md show.

    python -m benchmarks.plans [RECIPE...]   docs/results/plan.json: all rows, or those of these recipes
    python -m benchmarks.plans --cpu         docs/results/plan_cpu.json: bounds and measured steps of this CPU, on a
                                             machine that does nothing else

Every row is made without its largest batch first, and again with it, which takes most of the time. The cache keeps what
was compiled, so an interrupted run resumes where it stopped.
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
    """Plan each row and replace the committed one."""
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
    """Compare bounds with measured steps of a few recipes on this machine."""
    write_json(RESULTS / "plan_cpu.json", [plan(load(name), "cpu") | {"environment": environment(device="CPU")}
                                           for name in MEASURED])


if __name__ == "__main__":
    measure() if sys.argv[1:] == ["--cpu"] else main(sys.argv[1:])
