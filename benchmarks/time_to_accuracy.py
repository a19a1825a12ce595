"""Seconds from starting the program to a test accuracy: python -m benchmarks.time_to_accuracy.

Start-up, reading the data and compilation count. Everybody looks at the test images after each epoch, which steers
nothing but when the clock stops. Ours and the Keras script read MNIST through tensorflow-datasets, PyTorch from arrays.

Each repeat has its own seed, the same for all: how many epochs it takes is chance too. Entries that are not asked for
stay as they are.

"ours" is the same work as everybody's: that network, at a constant rate, until it is there. "recipe" is what a user of
ours would do: the recipe with its own schedule, augmentation and averaging, cut to EPOCHS, which were chosen on
validation data with other seeds. It looks at the test images once, at its end.

    python -m benchmarks.time_to_accuracy ours cnn_mnist 0      one run
"""

import json
import os
import sys
from functools import partial
from itertools import count
from operator import itemgetter

from benchmarks import harness
from benchmarks.rows import BATCH, GOALS, MNIST, RACES

PROGRAMS = ("ours", "recipe", "keras_script", "torch_eager", "torch_compiled")
OURS = PROGRAMS[:2]
EPOCHS = {"mlp_mnist": 4, "cnn_mnist": 1, "vit_mnist": 4}  # of the recipe


def done(name: str, epochs: int, accuracy: float) -> None:
    """Tell, and end the process: what comes after the goal is nobody's time."""
    from benchmarks import meter

    print("\n" + json.dumps({"seconds": meter.since_start(), "epochs": epochs, "accuracy": accuracy,
                             "peak_mb": meter.peak_mb()}), flush=True)
    os._exit(0)


def ours(name: str, epochs: int, seed: int) -> None:
    import shutil
    import tempfile

    from benchmarks import ours as program

    def look(epoch, _):
        if float(epoch["val_accuracy"]) >= GOALS[name]:
            shutil.rmtree(folder, ignore_errors=True)
            done(name, int(epoch["epoch"]) + 1, float(epoch["val_accuracy"]))

    kerasdl = program.kerasdl
    splits = kerasdl.data.load_splits("mnist", {"train": f"train[:{MNIST}]", "test": "test"})
    splits["val"] = splits["test"]
    with tempfile.TemporaryDirectory() as folder:
        program.follow(f"{folder}/run", look)
        kerasdl.train(program.recipe(RACES[name], name, "float32", epochs), workdir=f"{folder}/run", data=splits,
                      verbose=False, seed=seed)


def recipe(name: str, epochs: int, seed: int) -> None:
    import tempfile

    import kerasdl

    with tempfile.TemporaryDirectory() as folder:
        run = kerasdl.train(name, epochs=EPOCHS[name], seed=seed, workdir=f"{folder}/run", verbose=False)
        if (accuracy := run.result["test"]["accuracy"]) >= GOALS[name]:
            done(name, EPOCHS[name], accuracy)
    sys.exit(f"{accuracy}")


def keras_script(name: str, epochs: int, seed: int) -> None:
    from benchmarks import keras_models
    from benchmarks import keras_script as program

    class Look(program.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if logs["val_accuracy"] >= GOALS[name]:
                done(name, epoch + 1, logs["val_accuracy"])

    row = RACES[name]
    program.keras.utils.set_random_seed(seed)
    train, test = program.datasets(row, row.images)
    model = keras_models.build(row, name)
    model.compile(optimizer=keras_models.optimizer(row),
                  loss=program.keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model.fit(train, epochs=epochs, validation_data=test, callbacks=[Look()])


def torch_eager(name: str, epochs: int, seed: int, compiled: bool = False) -> None:
    from benchmarks import torch_eager as program

    row = RACES[name]
    (x, y), test = program.tensors(row, "train", row.images), program.tensors(row, "test", row.test_images)
    training = program.Training(row, name, "float32", compiled, seed)
    for epoch in range(epochs):
        training.epoch(x, y)
        if (accuracy := training.accuracy(*test)) >= GOALS[name]:
            done(name, epoch + 1, accuracy)


def entry(name: str, program: str, opponent: str, mine: list[dict], theirs: list[dict]) -> dict:
    made = {"row": name, "goal": GOALS[name], "batch": BATCH, "program": program, "opponent": opponent}
    for who, said in (("ours", mine), ("opponent", theirs)):
        for key in ("seconds", "epochs", "peak_mb"):
            made[f"{who}_{key}"] = harness.rounded(harness.median(said, key))
        made[f"{who}_spread"] = harness.spread(said, "seconds")
    made["ratio"] = harness.ratio(made["opponent_seconds"], made["ours_seconds"])  # how many times faster we are
    failed = next((said["error"] for said in mine + theirs if "error" in said), None)
    return {**made, "ours_repeats": len(mine), "repeats": len(theirs), **({"error": failed} if failed else {})}


def once(who: str, name: str, seeds) -> dict:
    return harness.call("benchmarks.time_to_accuracy", who, name, next(seeds))


def main() -> None:
    parser = harness.parser(__doc__.partition("\n")[0], "bench_accuracy.json", repeats=3)
    parser.add_argument("--rows", nargs="+", choices=RACES, default=list(RACES))
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    options = parser.parse_args()
    harness.pin()
    for name in options.rows:
        print(name, flush=True)
        around = harness.surroundings()
        said = harness.interleaved(
            {who: partial(once, who, name, count()) for who in options.programs},
            1 if options.quick else options.repeats)
        made = [{**entry(name, mine, who, said[mine], said[who]), "environment": around}
                for mine in said if mine in OURS for who in said if who not in OURS]
        key = itemgetter("row", "program", "opponent")
        known = {key(row): row for row in json.loads(options.out.read_text())} if options.out.exists() else {}
        known |= {key(row): row for row in made}
        harness.save(options.out, sorted(known.values(), key=lambda row: list(RACES).index(row["row"])))


def child(who: str, name: str, seed: str) -> None:
    programs = {"ours": ours, "recipe": recipe, "keras_script": keras_script, "torch_eager": torch_eager,
                "torch_compiled": partial(torch_eager, compiled=True)}
    row = RACES[name]
    programs[who](name, row.epochs(row.steps)[1], int(seed))
    sys.exit(f"{who} did not reach {GOALS[name]} in {row.epochs(row.steps)[1]} epochs")


if __name__ == "__main__":
    child(*sys.argv[1:]) if sys.argv[1:2] and sys.argv[1] in PROGRAMS else main()
