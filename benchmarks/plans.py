"""The plans that docs/tpu.md shows: writes docs/results/plan.json, a row at a time.

    python -m benchmarks.plans [RECIPE...]      all rows, or those of these recipes

Every row is made first without its largest batch, and again with it: that takes most of the time. What the compiler has
answered is remembered, so what was stopped goes on where it was.
"""

import json
import sys
import time
from itertools import product
from pathlib import Path

from kerasdl.plan import plan
from kerasdl.recipe import load
from kerasdl.run import write_json

ROWS = (("vit_cifar10", "v5e-1"), ("vit_cifar10", "v5e-16"), ("resnet_imagenet", "v5e-16"), ("vit_imagenet", "v5e-16"),
        ("vitb_imagenet", "v5e-16"))
RESULTS = Path(__file__).parents[1] / "docs" / "results" / "plan.json"


def main(recipes: list[str]) -> None:
    """Plan each row and put it in the place of the one that was there."""
    for search, (name, on) in product((False, True), ROWS):
        if recipes and name not in recipes:
            continue
        began = time.perf_counter()
        made = plan(load(name), on, search=search)
        print(f"{name} {on} {'with' if search else 'without'} the largest batch: {time.perf_counter() - began:.0f} s",
              flush=True)
        rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
        rows = [row for row in rows if (row["recipe"], row["on"]) != (name, on)] + [made]
        write_json(RESULTS, sorted(rows, key=lambda row: ROWS.index((row["recipe"], row["on"]))))


if __name__ == "__main__":
    main(sys.argv[1:])
