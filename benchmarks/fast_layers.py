"""What each form of kerasdl/train/fast_layers.py is worth, alone: whole training steps, with that form and without any.

    python -m benchmarks.fast_layers [--repeats 15] [--rows vit] [--policies float32]

The sides of a row take their steps in turns, in an order that changes, in one process. "again" is a second network
without any form: its ratio to the first says how much of a difference is noise. Processor seconds are given next to
wall-clock time, since other work on the machine lengthens only the latter. A form stays while it is worth 1.1x of a
step, or of the first step with its compilation, on some row.
"""

import argparse
import os
import random
import statistics
import time
from pathlib import Path
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import tensorflow as tf

from benchmarks.rows import precisions
from kerasdl import zoo
from kerasdl.environment import environment
from kerasdl.files import write_json
from kerasdl.train import fast_layers

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "bench_fast_layers.json"
ROWS = {  # model, its arguments, shape of an image, the forms that it has
    "mlp": ("mlp", {"size": "512", "drop": 0.2}, (28, 28, 1), ("Dropout", "AdamW")),
    "textbook": ("cnn", {"size": "textbook"}, (28, 28, 1), ("MaxPooling2D", "AdamW")),
    "cnn": ("cnn", {"size": "S"}, (28, 28, 1), ("BatchNormalization", "AdamW")),
    "resnet": ("resnet", {"size": "20"}, (32, 32, 3), ("BatchNormalization", "AdamW")),
    "vit": ("vit", {"size": "Ti", "patch": 4, "drop": 0.1}, (32, 32, 3),
            ("LayerNormalization", "Dense", "Dropout", "MultiHeadAttention", "Patches", "AdamW")),
    "vit_mnist": ("vit", {"size": "XS", "patch": 14, "pool": "mean"}, (28, 28, 1),
                  ("LayerNormalization", "Dense", "MultiHeadAttention", "Patches", "AdamW")),
}
COMPILED = ("vit_mnist",)  # as its recipe has it: XLA compiles a loop of steps, in which its convolutions are slower
STEPS = 8  # of a loop
BATCH = 128


class Side:
    """A network that trains with some of the forms."""

    def __init__(self, row: str, forms: tuple[str, ...]):
        model, args, shape, _ = ROWS[row]
        chosen = {base: form for base, form in fast_layers.FORMS.items() if form.__name__ in forms}
        network = zoo.build(model, shape, 10, **args)
        optimizer = (fast_layers if "AdamW" in forms else keras.optimizers).AdamW(1e-3, weight_decay=0.05)
        network.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True))
        optimizer.build(network.trainable_variables)
        self.x = tf.random.uniform((BATCH, *shape), 0, 255)
        self.y = tf.one_hot(tf.random.uniform((BATCH,), 0, 10, "int32"), 10)

        def step(x, y):
            with mock.patch.object(fast_layers, "FORMS", chosen), fast_layers.replacing(network):
                return network.train_step((x, y))["loss"]

        def loop(x, y):
            return tf.while_loop(lambda done, _: done < STEPS, lambda done, _: (done + 1, step(x, y)), (0, 0.0))[1]

        self.steps, compiled = (STEPS, True) if row in COMPILED else (1, False)
        self.step = tf.function(loop if compiled else step, autograph=False, jit_compile=compiled)
        self.wall: list[float] = []
        self.processor: list[float] = []
        self.first = self.take()

    def take(self) -> float:
        """Take a step, or a loop of them, and return the seconds of one."""
        wall, processor = time.perf_counter(), time.process_time()
        float(self.step(self.x, self.y))
        self.wall.append((time.perf_counter() - wall) / self.steps)
        self.processor.append((time.process_time() - processor) / self.steps)
        return self.wall[-1]

    def summary(self) -> dict[str, float]:
        """Return medians of the steps after the second, in milliseconds, and the first step in seconds."""
        return {"ms": round(1e3 * statistics.median(self.wall[2:]), 3),
                "processor_ms": round(1e3 * statistics.median(self.processor[2:]), 3), "first_s": round(self.first, 2)}


def measure(row: str, repeats: int) -> dict[str, dict[str, float]]:
    """Return the summary of each side of a row: none, each form alone, none again, all."""
    forms = ROWS[row][3]
    sides = {"none": (), **{form: (form,) for form in forms}, "again": (), "all": forms}
    made = {name: Side(row, chosen) for name, chosen in sides.items()}
    shuffled = random.Random(0)
    for _ in range(repeats + 1):
        for name in shuffled.sample(list(made), len(made)):
            made[name].take()
    return {name: side.summary() for name, side in made.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=ROWS)
    parser.add_argument("--policies", nargs="*", default=precisions())
    options = parser.parse_args()
    found = []
    for policy in options.policies:
        keras.config.set_dtype_policy(policy)
        for row in options.rows:
            sides = measure(row, options.repeats)
            found.append({"row": row, "policy": policy, "sides": sides})
            for name, side in sides.items():
                ratios = {key: sides["none"][key] / side[key] for key in side}
                print(f"{policy:16} {row:8} {name:20} {side['ms']:9.2f} ms  {ratios['ms']:5.2f}x  processor "
                      f"{ratios['processor_ms']:5.2f}x  first step {ratios['first_s']:5.2f}x", flush=True)
    write_json(RESULTS, {"rows": found, "environment": environment()})


if __name__ == "__main__":
    main()
