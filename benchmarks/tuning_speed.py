"""One Bayesian search, by kerasdl's processes and by keras-tuner's own loop in one process.

    python -m benchmarks.tuning_speed                    30 trials each, one after the other; writes docs/results/
    python -m benchmarks.tuning_speed --memory           the parent's memory over 200 trials

keras-tuner's side is what one would write: `tuner.search` over a function build(hp), `fit` on a tf.data pipeline with
the recipe's augmentation, validation after each epoch. It has the same space, network, optimizer, schedule, batch and
epochs; it does not average the weights, which the recipe does. Both sides have two cores. Trials differ after the
first few, because two Gaussian processes choose them.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import harness
from kerasdl.tuning import Search, load, log, uniform
from kerasdl.tuning.dimensions import Choice, Dimension, Log

NAME = "vit_digits_bayesian"
WORKERS = 2


def ours(trials: int, folder: Path) -> dict[str, Any]:
    """kerasdl: a process for each trial, two at a time; without poor trials that stop early, to train as much."""
    from kerasdl.tuning.engine import tune
    from kerasdl.tuning.table import ranked

    search = replace(load(NAME), trials=trials, stop_early=False)
    study = tune(search, folder, workers=WORKERS)
    rows = study.records()
    return {"best": ranked(rows, search)[0].score, "trials": len(rows),
            "failed": sum(row.status == "failed" for row in rows), "epochs": sum(row.epochs for row in rows),
            "trial_seconds": [row.seconds for row in rows]}


def theirs(trials: int, folder: Path) -> dict[str, Any]:
    """keras-tuner: one trial after the other in this process."""
    import keras
    import keras_tuner

    from kerasdl import objectives
    from kerasdl.data import load_splits, pipeline
    from kerasdl.data.augment import compose
    from kerasdl.train import optim
    from kerasdl.train.setup import SPLITS

    search = load(NAME)
    splits = load_splits(search.base.data, SPLITS)
    val, objective = splits["val"], objectives.of(search.base)

    class Network(keras_tuner.HyperModel):
        def build(self, hp):
            for field, dimension in search.dimensions:
                declare(hp, field, dimension)
            recipe = search.trial(hp.values)
            steps = pipeline.steps_per_epoch(splits["train"], recipe.batch)
            (model,) = objectives.of(recipe).networks(splits["train"])
            model.compile(optim.optimizer(recipe, model, steps),
                          keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
            return model

        def fit(self, hp, model, **options):
            recipe, train = search.trial(hp.values), splits["train"]
            steps = pipeline.steps_per_epoch(train, recipe.batch)
            batches = pipeline.shuffled(train, objective.targets(train), recipe.batch, epochs=recipe.epochs, seed=0,
                                        augment=compose(recipe.augment, train.shape))
            options |= {"verbose": 0, "epochs": recipe.epochs, "steps_per_epoch": steps}
            return model.fit(batches, validation_data=(val.x, objective.targets(val)), **options)

    tuner = keras_tuner.BayesianOptimization(
        Network(), objective="val_accuracy", max_trials=trials, seed=1, directory=folder, project_name="theirs",
        overwrite=True)
    tuner.search(verbose=0)
    done = tuner.oracle.get_best_trials(trials)
    return {"best": done[0].score, "trials": len(done), "epochs": len(done) * search.base.epochs}


def declare(hp: Any, field: str, dimension: Dimension) -> None:
    """Ask keras-tuner for a dimension without conditions."""
    if isinstance(dimension, Choice):
        hp.Choice(field, list(dimension.values))
    else:
        hp.Float(field, dimension.low, dimension.high, sampling="log" if isinstance(dimension, Log) else "linear")


def memory(trials: int, folder: Path) -> dict[str, Any]:
    """Return the parent's resident megabytes after every tenth of so many trials of a second each."""
    from kerasdl.tuning import engine

    search = Search(recipe="linear_digits", space={"lr": log(1e-4, 1e-1), "weight_decay": uniform(0, 0.1)},
                    trials=trials, overrides={"epochs": 1, "jit": None}, stop_early=False)
    seen: list[float] = []

    class Weighed(engine.Loop):
        def _reap(self, table):
            ended = super()._reap(table)
            if sum(not record.pending for record in self.trials.records()) >= len(seen) * trials // 10:
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                seen.append(round(pages * resource.getpagesize() / 2**20, 1))
            return ended

    engine.Loop = Weighed
    study = engine.tune(search, folder, workers=WORKERS, verbose=False)
    return {"trials": len(study.records()), "rss_mb": seen, "spread_mb": round(max(seen) - min(seen), 1)}


SIDES = {"ours": ours, "theirs": theirs, "memory": memory}


def side(name: str, trials: int) -> dict[str, Any]:
    """One side in a process of its own; with `wall_seconds`, which has everything in it, imports too."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "benchmarks.tuning_speed", "--side", name, "--trials", str(trials)],
                          stdout=subprocess.PIPE, text=True, check=True, cwd=harness.ROOT)
    return {**json.loads(done.stdout.strip().splitlines()[-1]), "wall_seconds": round(time.perf_counter() - began, 1)}


def main() -> None:
    parser = harness.parser(__doc__.splitlines()[0], "bench_tuning_speed.json", 1)
    parser.add_argument("--trials", type=int, help="of each side; by default 30, and 200 for --memory")
    parser.add_argument("--memory", action="store_true", help="weigh the parent over many tiny trials instead")
    parser.add_argument("--side", choices=SIDES, help="only this one, and print what it says")
    words = parser.parse_args()
    if words.side:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(SIDES[words.side](words.trials, Path(folder))))
        return
    harness.pin()
    if words.memory:
        rows = [{"what": "memory", **side("memory", words.trials or 200), "environment": harness.surroundings()}]
        out = words.out.with_name("bench_tuning_memory.json")
    else:
        said = {name: side(name, words.trials or 30) for name in ("ours", "theirs")}
        ratio = harness.ratio(said["theirs"]["wall_seconds"], said["ours"]["wall_seconds"])
        rows = [{"what": "speed", "search": NAME, "workers": WORKERS, **said, "times_faster": ratio,
                 "environment": harness.surroundings(workers=WORKERS)}]
        out = words.out
    print(json.dumps(rows, indent=2))
    harness.save(out, rows)


if __name__ == "__main__":
    main()
