"""Two logical CPUs against one device with the same threads: python -m benchmarks.replicas.

The same recipe, batch and machine, both without XLA, which replicas cannot have: what replication itself costs.
"""

import json
import sys
from functools import partial

from benchmarks import harness

RECIPES = ("mlp_mnist", "cnn_mnist", "vit_mnist")
IMAGES = 16384  # of an epoch
EPOCHS = 3  # the first one compiles, and may be a single call


def child(recipe: str, devices: int, images: int) -> None:
    import tempfile

    import kerasdl

    with tempfile.TemporaryDirectory() as folder:
        run = kerasdl.train(recipe, workdir=f"{folder}/run", verbose=False, epochs=EPOCHS, jit=False,
                            splits={"train": f"train[:{images}]"}, logical_cpus=devices if devices > 1 else None)
        train = run.result["train"]
        print("\n" + json.dumps({"images_per_second": train["examples_per_second"], "seconds": train["seconds"],
                                 "first_step_seconds": train["compile_seconds"],
                                 "accuracy": run.result["test"]["accuracy"],
                                 "replicas": run.result["environment"]["replicas"],
                                 "peak_mb": run.result["peak_rss_mb"]}), flush=True)


def main() -> None:
    options = harness.parser(__doc__.partition("\n")[0], "bench_replicas.json", repeats=5).parse_args()
    harness.pin()
    entries, images = [], 2048 if options.quick else IMAGES
    for recipe in RECIPES:
        print(recipe, flush=True)
        around = harness.surroundings()
        said = harness.interleaved(
            {str(devices): partial(harness.call, "benchmarks.replicas", recipe, devices, images) for devices in (1, 2)},
            2 if options.quick else options.repeats)
        made = {"recipe": recipe, "images": images, "repeats": len(said["2"]), "environment": around}
        for devices, results in said.items():
            for key in ("images_per_second", "seconds", "first_step_seconds", "accuracy", "peak_mb"):
                made[f"{key}_{devices}"] = harness.rounded(harness.median(results, key), 4)
            made[f"spread_{devices}"] = harness.spread(results, "images_per_second")
        made["ratio_images_per_second"] = harness.ratio(made["images_per_second_2"], made["images_per_second_1"])
        made["ratio_seconds"] = harness.ratio(made["seconds_2"], made["seconds_1"])
        failed = next((result["error"] for results in said.values() for result in results if "error" in result), None)
        entries.append({**made, **({"error": failed} if failed else {})})
    harness.save(options.out, entries)


if __name__ == "__main__":
    child(sys.argv[1], *map(int, sys.argv[2:4])) if sys.argv[1:2] and sys.argv[1] in RECIPES else main()
