"""Whether orders of seeds and epochs are independent, and what they cost: python -m benchmarks.orders; five minutes.

For two orders it counts the pairs of examples that share a batch in both, as a multiple of what chance gives, and pools
that over pairs of seeds and of epochs. Then trainings with these orders and those of kerasdl 0.1 take turns. Writes
docs/results/bench_orders.json.
"""

import itertools
import json
import math
import statistics
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf

from kerasdl.data import pipeline
from kerasdl.environment import environment
from kerasdl.files import write_json
from kerasdl.train.fit import train

NAME = "bench_orders"
FILE = Path(__file__).parents[1] / "docs" / "results" / f"{NAME}.json"
SIZES = (1_437, 8_000, 45_000, 50_000, 60_000, 250_000, 1_281_167)
BATCHES = (32, 128, 1_000)
OLD_SEEDS = (0, 1, 2, 3, 4, 5, 42)  # which kerasdl 0.1 told apart
SEEDS = (*OLD_SEEDS, 256, 2**20)
WORST = (50_000, 128)  # examples and batch of the figure that the page begins with
EPOCHS = (0, 1, 2, 3, 255, 256, 257)  # of seed 0
TRAINED = {"linear_mnist": 30, "mlp_mnist": 8}  # recipes whose steps take least, and epochs
TIMES = 7  # of each with each kind of orders

Draw = tuple[int, int]  # seed, epoch


def order(draw: Draw, size: int) -> np.ndarray:
    """Return the examples (size,) in the order of a seed and an epoch."""
    seed, epoch = draw
    return pipeline.order(seed, tf.constant(epoch), size).numpy()


def old_order(draw: Draw, size: int) -> np.ndarray:
    """Return the order of kerasdl 0.1."""
    return by_cipher(draw[0], tf.constant(draw[1]), size).numpy()


def by_cipher(seed: int, epoch: tf.Tensor, size: int, stream: int = 0) -> tf.Tensor:
    """As `pipeline.order` was in kerasdl 0.1: four rounds, and the seed and the epoch as they are for a key."""
    return tf.random.experimental.index_shuffle(
        tf.range(size, dtype=tf.int64), seed=tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)]),
        max_index=tf.constant(size - 1, tf.int64))


def places(order: np.ndarray, batch: int) -> np.ndarray:
    """Return the batch of each example, (size,); -1 for those after the last full one."""
    found = np.full(len(order), -1)
    full = len(order) // batch * batch
    found[order[:full]] = np.arange(full) // batch
    return found


def shared(one: np.ndarray, other: np.ndarray, batch: int) -> tuple[int, float]:
    """Return how many pairs of examples share a batch in both orders, and how many chance would give."""
    a, b = places(one, batch), places(other, batch)
    both = (a >= 0) & (b >= 0)
    _, counts = np.unique(a[both] * len(one) + b[both], return_counts=True)
    batches, size = len(one) // batch, len(one)
    together = batches * math.comb(batch, 2)
    return int((counts * (counts - 1) // 2).sum()), together**2 / math.comb(size, 2)


def pooled(size: int, batch: int, draws: Iterable[tuple[Draw, Draw]], of=order) -> dict[str, float]:
    """Return the pairs shared as a multiple of chance over all pairs of draws, "mean", and how far the most unusual of
    these is from chance in standard errors, "most"."""
    draws = list(draws)
    orders = {draw: of(draw, size) for draw in set(itertools.chain(*draws))}
    counts = [shared(orders[one], orders[other], batch) for one, other in draws]
    seen, expected = (np.array(column, float) for column in zip(*counts, strict=True))
    return {"mean": seen.sum() / expected.sum(), "most": float(np.abs((seen - expected) / np.sqrt(expected)).max())}


def pairs(seeds: Iterable[int], epochs: Iterable[int]) -> list[tuple[Draw, Draw]]:
    """Return every two draws."""
    return list(itertools.combinations(itertools.product(seeds, epochs), 2))


def speeds(recipe: str, epochs: int) -> dict[str, Any]:
    """Return the examples a second of a recipe with the orders of today and of kerasdl 0.1, by training in turn."""
    found: dict[str, list[float]] = {"new": [], "old": []}
    for _ in range(TIMES):
        for kind, order in (("new", pipeline.order), ("old", by_cipher)):
            with mock.patch.object(pipeline, "order", order), tempfile.TemporaryDirectory() as folder:
                run = train(recipe, epochs=epochs, workdir=f"{folder}/run", verbose=False)
                found[kind].append(run.result["train"]["examples_per_second"])
    return {"recipe": recipe, **found}


def body(measured: dict[str, Any]) -> str:
    """Return the figures of docs/lab/orders.md."""
    if not measured:
        return "Not measured yet.\n"
    lines = ["| examples | batch | pairs shared by seeds, × chance | by epochs | by seeds of kerasdl 0.1 |",
             "| ---: | ---: | ---: | ---: | ---: |"]
    for row in measured["rows"]:
        old = f"{row['seeds of 0.1']['mean']:.3g}" if "seeds of 0.1" in row else ""
        lines.append(f"| {row['examples']:,} | {row['batch']:,} | {row['seeds']['mean']:.3f} | "
                     f"{row['epochs']['mean']:.3f} | {old} |")
    most = max(row[kind]["most"] for row in measured["rows"] for kind in ("seeds", "epochs")
               if row["examples"] >= 2 * row["batch"])  # pairs of one batch with most of a set are not independent
    return "\n".join(lines) + (
        f"\n\nThe most unusual two draws are {most:.1f} standard errors from chance, over all rows with two batches or "
        f"more. In kerasdl 0.1, {measured['old']['shared']:.1%} of the pairs that shared a batch of {WORST[1]} under "
        f"seed 0 shared one under seed 1, of {WORST[0]:,} examples; chance gives {measured['old']['chance']:.2%}."
        f"\n\n{speeds_body(measured.get('speeds', []))}")


def speeds_body(found: list[dict[str, Any]]) -> str:
    """Return the table of speeds."""
    lines = ["What they cost, where a step takes least:", "",
             "| recipe | examples/s | with the orders of kerasdl 0.1 | ratio |", "| --- | ---: | ---: | ---: |"]
    for row in found:
        new, old = (statistics.median(row[kind]) for kind in ("new", "old"))
        lines.append(f"| `{row['recipe']}` | {new:,.0f} | {old:,.0f} | {new / old:.3f} |")
    return "\n".join([*lines, "", f"Medians of {TIMES} trainings, which took turns.", ""])


def main() -> None:
    rows, (size, batch) = [], WORST
    seen, expected = shared(old_order((0, 0), size), old_order((1, 0), size), batch)
    count = size // batch * math.comb(batch, 2)
    old = {"shared": seen / count, "chance": expected / count}
    for size, batch in itertools.product(SIZES, BATCHES):
        row = {"examples": size, "batch": batch, "seeds": pooled(size, batch, pairs(SEEDS, [0])),
               "epochs": pooled(size, batch, pairs([0], EPOCHS))}
        if size <= 60_000:
            row["seeds of 0.1"] = pooled(size, batch, pairs(OLD_SEEDS, [0]), old_order)
        print(json.dumps(row), flush=True)
        rows.append(row)
    trained = []
    for recipe, epochs in TRAINED.items():
        trained.append(speeds(recipe, epochs))
        print(json.dumps(trained[-1]), flush=True)
    write_json(FILE, {"environment": environment(), "old": old, "rows": rows, "speeds": trained})


if __name__ == "__main__":
    main()
