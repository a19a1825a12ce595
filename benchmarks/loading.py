"""How fast tables and JPEGs are loaded, before and after a change, and what looking for leaks adds.

    python -m benchmarks.loading --opponent "kerasdl of 2026-11-27=PATH OF A CLONE"

Every measurement is a fresh process, and the versions take turns. A JPEG is 500 x 375 and about 60 kB; the table has
1,000,000 rows of 20 numbers. The leaks are looked for in the process that loaded, right after it.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

JPEGS, SIZE, ROWS, COLUMNS = 5000, (375, 500), 1_000_000, 20
RESIZED = (224, 224)
JOBS = {"streamed": "5,000 JPEGs, decoded as they are used", "table": "1,000,000 rows by 20 columns",
        "digits": "digits", "mnist": "MNIST", "cifar10": "CIFAR-10", "held": "5,000 JPEGs, made 224x224 and held"}
COMPARED = ("held", "streamed", "table")
SPLITS = {"train": "train", "val": "val", "test": "test"}


def make_jpegs(folder: Path) -> None:
    """Write crops of 50 textures, smooth with some noise, as a camera might: two classes."""
    import numpy as np
    from PIL import Image

    random, (height, width) = np.random.default_rng(0), SIZE
    views = []
    for _ in range(50):
        coarse = Image.fromarray(random.integers(0, 256, (40, 50, 3), dtype="uint8")).resize((2 * width, 2 * height), 3)
        noisy = np.asarray(coarse, "float32") + random.normal(0, 6, (2 * height, 2 * width, 3))
        views.append(np.clip(noisy, 0, 255).astype("uint8"))
    for index in range(JPEGS):
        top, left = (random.integers(0, side) for side in SIZE)
        home = folder / "jpegs" / f"class{index % 2}"
        home.mkdir(parents=True, exist_ok=True)
        crop = views[index % 50][top:top + height, left:left + width]
        Image.fromarray(crop).save(home / f"{index:04d}.jpg", quality=85)


def make_table(folder: Path) -> None:
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(ROWS, COLUMNS - 1)).round(4)).add_prefix("x")
    frame.assign(label=np.where(frame.x0 + random.normal(size=ROWS) > 0, "yes", "no")).to_csv(
        folder / "table.csv", index=False)


def load(job: str, folder: str):
    """Return the splits of a job, by whichever version of kerasdl is imported."""
    from kerasdl.data import load_splits

    if job == "table":
        return load_splits(f"csv:{folder}/table.csv", SPLITS, label="label")
    if job == "held":
        return load_splits(f"folder:{folder}/jpegs", SPLITS, image_size=RESIZED)
    if job == "streamed":
        return load_splits(f"folder:{folder}/jpegs", SPLITS)
    return load_splits(job, SPLITS)


def passed(splits) -> int:
    """Decode every example of all splits once, and return how many there were."""
    return sum(len(batch[0]) for split in splits.values() for batch in split.dataset(32))


def child(job: str, folder: str, by: str) -> None:
    """Load once and print what it took; see `load`. `by` is "kerasdl", or "pandas" for pandas.read_csv alone."""
    import tensorflow as tf

    tf.zeros(1)  # what starts TensorFlow is not loading
    import kerasdl.data  # noqa: F401

    began = time.perf_counter()
    if by == "pandas":
        import pandas as pd

        pd.read_csv(f"{folder}/table.csv")
        splits = {}
    else:
        splits = load(job, folder)
    if job == "streamed":
        passed(splits)
    found = {"seconds": time.perf_counter() - began}
    try:
        from kerasdl.data import duplicates, leaks  # noqa: F401

        began = time.perf_counter()
        remarks = leaks.remarks(splits)
        if splits:
            found |= {"leaks_seconds": time.perf_counter() - began, "remarks": remarks}
    except ImportError:  # a version that looks for none
        pass
    with open("/proc/self/status") as file:
        found["peak_mb"] = next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
    print("\n" + json.dumps(found), flush=True)


def run(root: str, job: str, folder: str, by: str = "kerasdl") -> dict:
    """Return what `child` says, with the kerasdl of that folder."""
    command = [sys.executable, "-P", __file__, "child", job, folder, by]
    done = subprocess.run(command, cwd=root, env=os.environ | {"PYTHONPATH": root}, capture_output=True, text=True)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no output"])[-1][:200]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    from benchmarks import harness

    parser = harness.parser(__doc__.partition("\n")[0], "bench_loading.json", repeats=3)
    parser.add_argument("--opponent", action="append", default=[], help="NAME=FOLDER of another version")
    options = parser.parse_args()
    harness.pin()
    around, repeats = harness.surroundings(), 1 if options.quick else options.repeats
    versions = {"this version": str(harness.ROOT)} | dict(each.split("=", 1) for each in options.opponent)
    entries = []
    with tempfile.TemporaryDirectory() as folder:
        make_jpegs(Path(folder))
        make_table(Path(folder))
        for job in JOBS:
            programs = {name: partial(run, root, job, folder) for name, root in versions.items()
                        if job in COMPARED or name == "this version"}
            if job == "table":
                programs["pandas.read_csv alone"] = partial(run, versions["this version"], job, folder, "pandas")
            for name, results in harness.interleaved(programs, repeats).items():
                shares = [result | {"share": result["leaks_seconds"] / result["seconds"]} for result in results
                          if "leaks_seconds" in result]
                failed = results[-1].get("error")
                entries.append({
                    "job": job, "program": name, "repeats": len(results),
                    **{key: harness.rounded(harness.median(results, key), 3)
                       for key in ("seconds", "leaks_seconds", "peak_mb")},
                    "leaks_share": harness.rounded(harness.median(shares, "share"), 4),
                    "spread": harness.spread(results, "seconds"), "remarks": results[-1].get("remarks"),
                    "environment": around, **({"error": failed} if failed else {})})
            harness.save(options.out, entries)


if __name__ == "__main__":
    child(*sys.argv[2:]) if sys.argv[1:2] == ["child"] else main()
