"""The plans that docs/tpu.md shows: writes docs/results/plan.json, a row at a time.

    python -m benchmarks.plans [RECIPE...]      all rows, or those of these recipes

What the compiler has answered is remembered, so that a row which was stopped goes on where it was.
"""

import json
import sys
import time
from pathlib import Path

from kerasdl.plan import plan
from kerasdl.recipe import load
from kerasdl.run import write_json

ROWS = (("vit_cifar10", "v5e-1"), ("vit_cifar10", "v5e-16"), ("resnet_imagenet", "v5e-16"), ("vit_imagenet", "v5e-16"),
        ("vitb_imagenet", "v5e-16"))
RESULTS = Path(__file__).parents[1] / "docs" / "results" / "plan.json"


def main(recipes: list[str]) -> None:
    """Plan each row and put it in the place of the one that was there."""
    for name, on in ROWS:
        if recipes and name not in recipes:
            continue
        began = time.perf_counter()
        made = plan(load(name), on)
        print(f"{name} {on}: {time.perf_counter() - began:.0f} s", flush=True)
        rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
        rows = [row for row in rows if (row["recipe"], row["on"]) != (name, on)] + [made]
        write_json(RESULTS, sorted(rows, key=lambda row: ROWS.index((row["recipe"], row["on"]))))


if __name__ == "__main__":
    main(sys.argv[1:])
