"""kerasdl.train on a row: python -m benchmarks.ours ROW PRECISION STEPS."""

import csv
import os
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import kerasdl  # noqa: E402
from benchmarks import arrays, meter  # noqa: E402
from benchmarks.rows import BATCH, CLASSES, Row  # noqa: E402
from kerasdl.recipe import Recipe  # noqa: E402


def recipe(row: Row, name: str, precision: str, epochs: int) -> Recipe:
    return Recipe(name=f"bench_{name}", model=row.model, model_args=row.args, data=row.data, batch=BATCH, epochs=epochs,
                  optimizer=row.optimizer, lr=row.lr, schedule="constant", weight_decay=row.weight_decay,
                  jit=False if row.slow_jax else "auto", precision=precision)


def splits(row: Row, images: int) -> dict[str, kerasdl.data.Split]:
    """The same arrays as everybody's. kerasdl validates after each epoch, for which one batch is enough here."""
    names = tuple(map(str, range(CLASSES)))
    train, test = arrays.load(row.data, "train", images), arrays.load(row.data, "test", row.test_images)
    parts = {"train": train, "val": tuple(part[:BATCH] for part in test), "test": test}
    return {part: kerasdl.data.Split(part, x, y.astype("int32"), row.shape, len(x), names)
            for part, (x, y) in parts.items()}


def follow(folder: str, each_epoch) -> None:
    """Call `each_epoch(row of metrics.csv, seconds on the clock)` as the run in that folder writes them."""
    file, seen = Path(folder) / "metrics.csv", 0

    def watch():
        nonlocal seen
        size = 0
        while True:
            time.sleep(0.001)
            if not file.exists() or file.stat().st_size == size:
                continue
            now, size = time.perf_counter(), file.stat().st_size
            with open(file) as lines:
                rows = list(csv.DictReader(lines))
            for row in rows[seen:]:
                each_epoch(row, now)
            seen = len(rows)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    row, name, precision, steps = meter.arguments()
    images, epochs = row.epochs(steps)
    with tempfile.TemporaryDirectory() as folder:
        run = kerasdl.train(recipe(row, name, precision, epochs), workdir=f"{folder}/run", data=splits(row, images),
                            verbose=False)
        result, losses = run.result, list(run.metrics["loss"])
        total, memory = meter.since_start(), meter.peak_mb()
        parameters = sum(weight.shape.num_elements() for weight in run.model().trainable_weights)
    train = result["train"]
    # Where a whole epoch is one call there is no step to leave out, and the first one's compilation counts against us.
    rate = train["examples_per_second"] or BATCH * train["steps"] / train["seconds"]
    meter.report(parameters, rate, train["compile_seconds"], total, memory, accuracy=result["test"]["accuracy"],
                 loss=losses[-1])


if __name__ == "__main__":
    main()
