"""kerasdl.train on a row of sequences: python -m benchmarks.sequences_ours ROW."""

import os
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import kerasdl  # noqa: E402
from benchmarks import meter  # noqa: E402
from benchmarks.sequences import EPOCHS, ROWS, Row  # noqa: E402
from kerasdl.recipe import Recipe  # noqa: E402

SIZES = {64: "S", 128: "M"}  # of an rnn


def recipe(row: Row) -> Recipe:
    model = {"model": "transformer", "model_args": {"size": "S"}} if row.cell == "gpt" else \
        {"model": "rnn", "model_args": {"cell": row.cell, "size": SIZES[row.width]}}
    return Recipe(name=f"bench_{row.cell}", **model, objective="classify" if row.classes else "language",
                  data="arrays", epochs=EPOCHS, batch=row.batch, lr=1e-3, weight_decay=0.0, schedule="constant")


def splits(row: Row) -> dict[str, kerasdl.data.Split]:
    x, y = row.arrays()
    kind, names = "tokens" if row.vocabulary else "sequence", tuple(map(str, range(row.classes)))
    args = {"vocabulary": row.vocabulary} if row.vocabulary else {}
    return {part: kerasdl.data.Split(part, x[:count], None if y is None else y[:count], x.shape[1:], count, names,
                                     kind=kind, build_args=args)
            for part, count in {"train": len(x), "val": row.batch, "test": row.batch}.items()}


def main() -> None:
    row = ROWS[sys.argv[1]]
    with tempfile.TemporaryDirectory() as folder:
        run = kerasdl.train(recipe(row), workdir=f"{folder}/run", data=splits(row), verbose=False)
        train, rates = run.result["train"], run.metrics["examples_per_second"]
        parameters = sum(weight.shape.num_elements() for weight in run.model().trainable_weights)
    meter.say(parameters=parameters, steps_per_second=float(rates.max()) / row.batch,
               first_step_seconds=train["compile_seconds"], total_seconds=meter.since_start())


if __name__ == "__main__":
    main()
