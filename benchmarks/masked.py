"""What a masked autoencoder saves by leaving hidden patches out of the encoder: docs/results/bench_masked.json.

    python -m benchmarks.masked [--repeats 15]

Training steps of the encoder alone and of the whole, with a quarter of the patches visible and with all of them, take
turns in one process. Processor seconds are given next to wall-clock time, since other work on the machine lengthens
only the latter.
"""

import argparse
import os
import random
import statistics
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf

from kerasdl import objectives
from kerasdl.data import from_arrays
from kerasdl.environment import environment
from kerasdl.files import write_json
from kerasdl.recipe import load
from kerasdl.zoo import vit

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "bench_masked.json"
RECIPE, SHAPE, BATCH, VISIBLE = "mae_cifar10", (32, 32, 3), 256, 0.25
SHARES = {"a quarter": VISIBLE, "all": 1.0}


class Side:
    """Steps of a network, with their times."""

    def __init__(self, network: keras.Model, loss, x):
        self.wall, self.processor = [], []
        optimizer = keras.optimizers.AdamW(1e-3)
        optimizer.build(network.trainable_variables)

        @tf.function(autograph=False)
        def step():
            with tf.GradientTape() as tape:
                value = tf.reduce_mean(loss(network(x, training=True)))
            optimizer.apply(tape.gradient(value, [one.value for one in network.trainable_variables]))
            return value

        self.step = step

    def take(self) -> None:
        wall, processor = time.perf_counter(), time.process_time()
        float(self.step())
        self.wall.append(time.perf_counter() - wall)
        self.processor.append(time.process_time() - processor)

    def summary(self) -> dict[str, float]:
        """Return medians of the steps after the second, in milliseconds."""
        return {"ms": round(1e3 * statistics.median(self.wall[2:]), 1),
                "processor_ms": round(1e3 * statistics.median(self.processor[2:]), 1)}


def encoder(share: float) -> Side:
    """Return the blocks of the recipe's ViT on a share of the patches."""
    args = load(RECIPE).model_args
    width, depth, heads = vit.SIZES[args["size"]]
    count = round((SHAPE[0] // args["patch"])**2 * share)
    inputs = keras.Input((count, width))
    return Side(keras.Model(inputs, vit.encode(inputs, depth, heads)), tf.square,
                tf.random.stateless_normal((BATCH, count, width), (0, 0)))


def whole(share: float) -> Side:
    """Return the step of the recipe with a share of the patches visible; with all, the last one alone is hidden."""
    images = tf.random.stateless_uniform((BATCH, *SHAPE), (0, 0), 0, 256, "int32").numpy().astype("uint8")
    split = from_arrays(images, [0, 1] * (BATCH // 2))["train"]
    objective = objectives.of(load(RECIPE).override(**{"objective_args.mask": 1 - min(share, 0.99)}))
    network = objective.network(split)
    objective.bind(network)
    x, _ = objective.prepare(tf.constant(images), None, tf.constant([0, 0], "int64"))
    return Side(network, lambda answer: objective.compute_loss(x, None, answer), x)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    sides = {(part, name): make(share) for part, make in (("encoder", encoder), ("whole step", whole))
             for name, share in SHARES.items()}
    for _ in range(repeats + 2):
        for side in random.sample(list(sides.values()), len(sides)):
            side.take()
    rows = [{"part": part, "patches": name, **side.summary()} for (part, name), side in sides.items()]
    times = {(row["part"], row["patches"]): row["processor_ms"] for row in rows}
    ratios = {part: round(times[part, "all"] / times[part, "a quarter"], 2) for part in ("encoder", "whole step")}
    write_json(RESULTS, {"recipe": RECIPE, "batch": BATCH, "rows": rows, "times_faster": ratios,
                         "environment": environment()})
    print(*rows, ratios, sep="\n")


if __name__ == "__main__":
    main()
