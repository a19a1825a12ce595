"""Steps of sequences a second against plain Keras and PyTorch: python -m benchmarks.sequences. Imports no framework.

Writes docs/results/bench_sequences.json. All programs train the same network on the same batches' worth of the same
arrays, full length, without dropout, with Adam; each is in its best mode: kerasdl as its recipes run, Keras' `fit`
without a mask and compiled as Keras chooses, PyTorch eager and compiled, with a fused optimizer and
scaled_dot_product_attention.
"""

import argparse
import json
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks import harness

NAME = "bench_sequences"
OPPONENTS = ("sequences_keras", "sequences_torch", "sequences_compiled")
TITLES = {"sequences_keras": "Keras `fit`", "sequences_torch": "PyTorch eager",
          "sequences_compiled": "PyTorch compiled"}
EPOCHS = 3  # of which the fastest counts


@dataclass(frozen=True)
class Row:
    """One network and its data.

    Attributes:
        title: as the table has it.
        cell: "gru" or "lstm", or "gpt": a causal transformer.
        width, depth: numbers a step, and layers.
        length: steps of an example.
        vocabulary: tokens; 0: one number a step.
        classes: of an example; 0: the next token is predicted at each step.
        batch, steps: examples of a step, and steps of an epoch.
        parameters: trainable ones as Keras counts them; PyTorch's cells have one more bias for each bias of an LSTM.
    """

    title: str
    cell: str
    width: int
    depth: int
    length: int
    vocabulary: int
    classes: int
    batch: int
    steps: int
    parameters: int

    def arrays(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Examples and class indices; of a language model windows of one token more, and None."""
        random, count = np.random.default_rng(0), self.batch * self.steps
        if not self.classes:
            return random.integers(1, self.vocabulary, (count, self.length + 1), "int32"), None
        y = random.integers(0, self.classes, count).astype("int32")
        if self.vocabulary:
            return random.integers(1, self.vocabulary, (count, self.length), "int32"), y
        return random.normal(size=(count, self.length, 1)).astype("float32"), y


ROWS = {
    "gru": Row("GRU of 64, 40 numbers", "gru", 64, 1, 40, 0, 10, 64, 60, 13_514),
    "lstm": Row("LSTM of 2 × 128, 64 words", "lstm", 128, 2, 64, 10_000, 2, 64, 30, 1_543_426),
    "gpt": Row("GPT of 4 × 128, 64 characters", "gpt", 128, 4, 64, 66, 0, 32, 60, 809_984),
}


def measure(name: str, repeats: int) -> list[dict[str, Any]]:
    """An entry for each opponent."""
    programs = {program: partial(harness.call, f"benchmarks.{program}", name)
                for program in ("sequences_ours", *OPPONENTS)}
    said = harness.interleaved(programs, repeats)
    ours = harness.median(said["sequences_ours"], "steps_per_second")
    if ours is None or {one.get("parameters") for one in said["sequences_ours"]} != {ROWS[name].parameters}:
        raise SystemExit(f"{name}: {said['sequences_ours']}")
    entries = []
    for opponent in OPPONENTS:
        theirs = harness.median(said[opponent], "steps_per_second")
        failed = next((one["error"] for one in said[opponent] if "error" in one), None)
        entries.append({"row": name, "opponent": opponent, "ours": ours, "theirs": theirs,
                        "ratio": theirs and ours / theirs, "repeats": repeats, "error": failed,
                        "first": [harness.median(said[who], "first_step_seconds")
                                  for who in ("sequences_ours", opponent)],
                        "environment": harness.environment(packages=harness.PACKAGES)})
    return entries


def body(entries: list[dict[str, Any]]) -> str:
    """The table of docs/benchmarks.md."""
    if not entries:
        return "not run\n"
    lines = ["| network | against | kerasdl, tokens/s | other, tokens/s | ratio | first step, s |",
             "| --- | --- | ---: | ---: | ---: | ---: |"]
    for entry in entries:
        row = ROWS[entry["row"]]
        count = row.batch * row.length
        theirs = f"{entry['theirs'] * count:,.0f} | **{entry['ratio']:.2f}**" if entry["theirs"] else "failed |"
        first = " and ".join("" if value is None else f"{value:.1f}" for value in entry["first"])
        lines.append(f"| {row.title} | {TITLES[entry['opponent']]} | {entry['ours'] * count:,.0f} | {theirs} | "
                     f"{first} |")
    repeats = entries[0]["repeats"]
    machines = sorted({f"{e['environment']['cpu']}, {harness.THREADS} threads" for e in entries})
    return "\n".join([*lines, "", f"Medians of {repeats} interleaved runs on {'; '.join(machines)}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rows", nargs="*", default=list(ROWS), metavar="ROW")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    harness.pin()
    path = harness.RESULTS / f"{NAME}.json"
    kept = json.loads(path.read_text()) if path.exists() else []
    for name in asked.rows:
        print(name, flush=True)
        kept = [entry for entry in kept if entry["row"] != name] + measure(name, asked.repeats)
        harness.write_json(path, sorted(kept, key=lambda entry: list(ROWS).index(entry["row"])))


if __name__ == "__main__":
    main()
