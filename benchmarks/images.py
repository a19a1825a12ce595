"""How fast pictures come from a folder of 224x224 JPEGs, with no model behind: python -m benchmarks.images.

Pictures a second a core. The folder is made on the fly: what a camera gives, roughly, in 20 to 40 kB.
"""

import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks import harness

COUNT, SIDE, CLASSES, BATCH, EPOCHS = 640, 224, 4, 32, 3
PROGRAMS = ("kerasdl", "keras", "torch_0", "torch_2")  # PyTorch's loader with so many workers


def make(folder: Path) -> None:
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for i in range(COUNT):
        coarse = Image.fromarray(random.integers(0, 256, (14, 14, 3), dtype="uint8")).resize((SIDE, SIDE), 3)
        pixels = np.asarray(coarse, "float32") + random.normal(0, 8, (SIDE, SIDE, 3))
        home = folder / f"class{i % CLASSES}"
        home.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(pixels, 0, 255).astype("uint8")).save(home / f"{i:04d}.jpg", quality=90)


def passes(epoch) -> float:
    """Images a second of `epoch()`, which yields how many pictures each batch has; the first pass is not counted."""
    list(epoch())
    began = time.perf_counter()
    seen = sum(sum(epoch()) for _ in range(EPOCHS))
    return seen / (time.perf_counter() - began)


def kerasdl(folder: str):
    """The training part of the folder, decoded as it is used: what happens where pictures do not fit in memory."""
    import numpy as np

    from kerasdl import data
    from kerasdl.data import image_files, pipeline

    image_files.MEMORY = 0
    split = data.load(f"folder:{folder}", "train")
    targets = np.eye(CLASSES, dtype="float32")[split.y]
    batches = iter(pipeline.shuffled(split, targets, BATCH, epochs=EPOCHS + 1, seed=0))
    return lambda: (len(next(batches)[0]) for _ in range(len(split) // BATCH))


def keras(folder: str):
    import keras

    batches = keras.utils.image_dataset_from_directory(folder, image_size=(SIDE, SIDE), batch_size=BATCH, verbose=False)
    batches = batches.prefetch(-1)
    return lambda: (len(images) for images, _ in batches)


def torch(folder: str, workers: int):
    import numpy as np
    import torch
    from PIL import Image

    files = sorted(Path(folder).rglob("*.jpg"))

    class Pictures(torch.utils.data.Dataset):
        def __len__(self):
            return len(files)

        def __getitem__(self, i):
            return torch.from_numpy(np.array(Image.open(files[i]).convert("RGB"))), int(files[i].parent.name[5:])

    loader = torch.utils.data.DataLoader(Pictures(), BATCH, shuffle=True, num_workers=workers,
                                         persistent_workers=workers > 0)
    return lambda: (len(images) for images, _ in loader)


def child(who: str, folder: str) -> None:
    from benchmarks import meter

    name, _, workers = who.partition("_")
    epoch = torch(folder, int(workers)) if name == "torch" else {"kerasdl": kerasdl, "keras": keras}[name](folder)
    print("\n" + json.dumps({"images_per_second": passes(epoch), "peak_mb": meter.peak_mb()}), flush=True)


def main() -> None:
    options = harness.parser(__doc__.partition("\n")[0], "bench_images.json", repeats=5).parse_args()
    harness.pin()
    around = harness.surroundings()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        size = sum(file.stat().st_size for file in Path(folder).rglob("*.jpg")) / COUNT
        said = harness.interleaved({who: partial(harness.call, "benchmarks.images", who, folder) for who in PROGRAMS},
                                   2 if options.quick else options.repeats)
    cores, entries = around["cores"], []
    for who, results in said.items():
        speed, failed = harness.median(results, "images_per_second"), results[-1].get("error")
        entries.append({"program": who, "images_per_second": harness.rounded(speed, 1),
                        "images_per_second_a_core": harness.rounded(speed and speed / cores, 1),
                        "spread": harness.spread(results, "images_per_second"), "repeats": len(results),
                        "peak_mb": harness.rounded(harness.median(results, "peak_mb"), 1), "images": COUNT,
                        "kilobytes": round(size / 1000, 1), "batch": BATCH, "environment": around,
                        **({"error": failed} if failed else {})})
    harness.save(options.out, entries)


if __name__ == "__main__":
    child(*sys.argv[1:]) if sys.argv[1:2] and sys.argv[1] in PROGRAMS else main()
