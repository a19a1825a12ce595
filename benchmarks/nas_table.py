"""Record what every cell of a small space learns of digits: the table on which searches and proxies are compared.

    python -m benchmarks.nas_table [--seed 0] [--seconds 3600]

A second call continues, and seeds may be recorded at once; an hour or so for each of the seeds 0 to 2. Writes
docs/results/nas_table.json: for each cell of `SEARCH` its proxies, and for each seed its validation accuracy after each
epoch.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from kerasdl.environment import environment
from kerasdl.files import in_turn, write_json
from kerasdl.tuning import load as load_search
from kerasdl.tuning.samplers.grid import combinations

FILE = Path(__file__).parents[1] / "docs" / "results" / "nas_table.json"
SEARCH = replace(load_search("cell_digits_table"), overrides={
    **load_search("cell_digits_table").overrides,
    "splits.train": "train[:800]", "splits.val": "train[800:]"})  # 637 images tell cells apart better than 180
SEEDS = 0, 1, 2
LOCK = Path(tempfile.gettempdir()) / "kerasdl_nas_table.lock"  # held while a row is added


def key(values: dict[str, Any]) -> str:
    """Return a cell's name in the table: the operations of its edges."""
    return " ".join(f"{field.removeprefix('model_args.edge')}:{kind}" for field, kind in values.items())


def load(file: Path = FILE) -> dict[str, Any]:
    """Return the table: {"rows": {cell: {"costs", "proxies", "curves": {seed: [accuracy of each epoch]}}}}."""
    return json.loads(file.read_text()) if file.exists() else {"rows": {}, "environment": {}}


def missing(rows: dict[str, Any]) -> int:
    """Return how many trainings a table lacks."""
    return sum(str(seed) not in rows.get(key(values), {}).get("curves", {})
               for values in combinations(SEARCH.dimensions) for seed in SEEDS)


def record(name: str, seed: int, scores: dict[str, float], curve: list[float], about: dict[str, Any]) -> None:
    """Add a training to the file, to which other processes may add at the same time."""
    with in_turn(LOCK):
        table = load(FILE)
        row = table["rows"].setdefault(name, {"proxies": scores, "curves": {}})
        row["curves"][str(seed)] = curve
        write_json(FILE, table | {"environment": about})


def measure(values: dict[str, Any], seed: int) -> list[float]:
    """Return the validation accuracy of a cell after each epoch."""
    import keras

    import kerasdl
    from kerasdl.tuning import median_stopping

    with tempfile.TemporaryDirectory() as folder:
        kerasdl.train(SEARCH.trial(values).override(seed=seed), workdir=folder, verbose=False, test=False)
        keras.backend.clear_session()
        return [round(value, 5) for value in median_stopping.curve(Path(folder), "val/accuracy")]


def main() -> None:
    from kerasdl.installation import backend
    from kerasdl.nas import proxies, rank
    from kerasdl.train.fit import device

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, choices=SEEDS, default=0)
    parser.add_argument("--seconds", type=float, default=3600.0, help="stop after this long; the next call continues")
    asked = parser.parse_args()
    began, seen = time.monotonic(), rank.examples(SEARCH)
    for values in combinations(SEARCH.dimensions):
        row = load()["rows"].get(key(values), {})
        if str(asked.seed) in row.get("curves", {}):
            continue
        if time.monotonic() - began > asked.seconds:
            break
        scores = row.get("proxies") or rank.scored(SEARCH, values, set(proxies.names()), *seen)[0]
        curve = measure(values, asked.seed)
        record(key(values), asked.seed, scores, curve, environment(backend=backend.current(), device=device()))
        print(f"{key(values)}, seed {asked.seed}: {curve[-1]:.4f}", flush=True)
    print(f"{missing(load()['rows'])} trainings of all seeds are missing.")


if __name__ == "__main__":
    main()
