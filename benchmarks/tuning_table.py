"""Record what an MLP learns of digits at every combination of a space: the table that samplers are measured on.

    python -m benchmarks.tuning_table [--seconds 120]

Goes on where it was; writes docs/results/bench_tuning_table.json: for each trial of `SEARCH` its validation loss.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from kerasdl.environment import environment
from kerasdl.files import write_json
from kerasdl.tuning import Search, choice

FILE = Path(__file__).parents[1] / "docs" / "results" / "bench_tuning_table.json"
SEARCH = Search(
    recipe="mlp_digits", oracle="grid", objective="val/loss",
    overrides={"epochs": 8, "augment": (), "ema": 0.0, "jit": None, "keep": "last"},
    space={
        "optimizer": choice("adamw", "sgd"),
        "lr": (choice(1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1).when(optimizer="adamw"),
               choice(1e-4, 3e-4, 1e-3, 3e-3).when(optimizer="sgd")),
        "optimizer_args.momentum": choice(0.0, 0.9).when(optimizer="sgd"),
        "model_args.size": choice("mu", "512", "512-512"),
        "model_args.drop": choice(0.0, 0.25, 0.5),
        "batch": choice(32, 128),
    },
)


def key(values: dict) -> str:
    """A row's name."""
    return ", ".join(f"{field}={value}" for field, value in values.items())


def load(file: Path = FILE) -> dict[str, float | None]:
    """Row -> validation loss; None where the training diverged."""
    return json.loads(file.read_text())["loss"] if file.exists() else {}


def main() -> None:
    import kerasdl

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3600.0, help="stop after so long; the next call goes on")
    start, seconds = time.monotonic(), parser.parse_args().seconds
    done = load()
    for values in SEARCH.combinations():
        if key(values) in done:
            continue
        if time.monotonic() - start > seconds:
            break
        with tempfile.TemporaryDirectory() as folder:
            try:
                run = kerasdl.train(SEARCH.trial(values), workdir=folder, verbose=False)
                done[key(values)] = run.result["val"]["loss"]
            except kerasdl.UserError:
                done[key(values)] = None
        if len(done) % 10 == 0:
            save(done)
    save(done)
    print(len(done), "of", sum(1 for _ in SEARCH.combinations()))


def save(done: dict[str, float | None]) -> None:
    """All that is known, with the search and the machine."""
    write_json(FILE, {"search": json.loads(SEARCH.to_json()), "environment": environment(), "loss": done})


if __name__ == "__main__":
    main()
