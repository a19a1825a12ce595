"""The same steps on either backend of Keras. In the tests' own process it is TensorFlow; run as a program it is JAX.

As a program it has four logical CPUs, does what its arguments say and writes one .npz.
"""

import os
import shutil
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

from kerasdl.installation import backend

if __name__ == "__main__":
    backend.choose("jax")

import keras
import numpy as np
import pytest
from replicas_harness import labelled_data

from kerasdl import objectives, recipe, zoo
from kerasdl.data import from_arrays, load_splits
from kerasdl.devices import distribute_fixes, jax
from kerasdl.devices import strategy as strategies
from kerasdl.devices.cluster import collective_errors
from kerasdl.evaluation.linear_probe import features_of
from kerasdl.evaluation.padded import PaddedEvaluator
from kerasdl.explain.explanation import explain
from kerasdl.explain.network import Network
from kerasdl.objectives.classify import Classify
from kerasdl.recipe import Recipe
from kerasdl.run import Run
from kerasdl.train import fast_layers
from kerasdl.train.callbacks import Diverged
from kerasdl.train.fit import train
from kerasdl.train.setup import Setup

STEPS = 20
SMALL = {"mlp_digits": {"optimizer": "sgd", "lr": 0.02, "layer_decay": 0.5, "weight_decay": 0.1}}
ALL = [f"{model}_{data}" for data in ("digits", "mnist") for model in ("linear", "mlp", "cnn", "resnet", "vit")]
# AdamW's first steps are the sign of the gradient, also where that is rounding alone, and these networks carry it on:
# resnet_mnist on TensorFlow is 4e-3 from itself when the weights change in their last bit, mlp_mnist 1e-3 when by 1e-6.
APART = {"mlp_digits": 3e-4, "resnet_digits": 5e-4, "mlp_mnist": 2e-3, "cnn_mnist": 1e-3, "resnet_mnist": 5e-3}
ROUNDED = {"mlp_digits": 1e-6, "resnet_digits": 1e-6, "mlp_mnist": 1e-6, "cnn_mnist": 1e-4}  # of these, in float64
NOISY = Recipe(name="noisy", model="mlp", model_args={"size": "mu", "drop": 0.2}, data="digits", batch=128, epochs=4,
               augment=(("translate", 1),), lr=1e-2, weight_decay=0.01, ema=0.9, prune=0.5)
NORM = {"model": "resnet", "model_args": {"size": "mu"}}
BASE = Recipe(model="mlp", model_args={"size": "mu"}, data="arrays", batch=16, epochs=1, lr=0.05, schedule="constant",
              optimizer="sgd")
DIVIDED = {"sgd": {}, "adamw": {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.1}, "norm": NORM,
           "ema": {"ema": 0.9, **NORM}, "clipnorm": {"global_clipnorm": 0.1},
           "noise": {"model_args": {"size": "mu", "drop": 0.5}}, "accumulate": {"accumulate": 4},
           "all": {"model": "cnn", "model_args": {"size": "mu", "drop": 0.3}, "ema": 0.9, "global_clipnorm": 0.1}}
FEW = (("all", 4),)
HOLES = BASE.override(objective="reconstruct", objective_args={"width": 4}, model="cnn", model_args={"size": "mu"},
                      accumulate=2, ema=0.5)
LABELLED = BASE.override(objective="multilabel", monitor="auc", accumulate=2, ema=0.5)


def still(name: str, **changes) -> Recipe:
    """The recipe without dropout, of which each backend draws its own."""
    found = recipe.load(name).override(**changes)
    drops = [key for key in ("drop", "drop_path") if key in found.model_args]
    return found.override(model_args={key: 0.0 for key in drops})


def setup_of(found: Recipe, splits, devices) -> Setup:
    return Setup(found, objectives.of(found), splits, devices)


def scores_of(setup: Setup, kept) -> dict[str, float]:
    """Loss and metrics on the training split."""
    return PaddedEvaluator(setup.objective, kept, setup.recipe.micro_batch, setup.devices)(setup.splits["train"])


def start(found: Recipe, devices=None) -> tuple[Setup, keras.Model, keras.Model]:
    """The setup with its data, its model and the network that is kept."""
    splits = load_splits(found.data, {"train": found.splits.get("train", "train")})
    setup = setup_of(found, splits, devices or strategies.choose("one"))
    return setup, *setup.networks()


def losses(found: Recipe, weights: list[np.ndarray], file: Path | None = None, judged: bool = True) -> np.ndarray:
    """The loss of each of the first STEPS steps from these weights, and last the loss of what is kept, in `file`."""
    setup, model, kept = start(found)
    for network in (model, kept):
        network.set_weights(weights)
    batches = setup.batches(model).as_numpy_iterator()
    seen = [model.train_on_batch(*next(batches), return_dict=True)["loss"] for _ in range(STEPS)]
    seen += [scores_of(setup, kept)["loss"]] if judged else []
    if file:
        distribute_fixes.synchronize_norms(kept, False)
        kept.save(file)
    return np.array(seen)


@contextmanager
def float64():
    """Networks, losses and optimizers made inside compute with 53 bits, and are Keras' own: no rounding to speak of."""
    made = Classify.network
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_layers, "FORMS", {})
        patch.setattr(fast_layers, "AdamW", keras.optimizers.AdamW)
        patch.setattr(Classify, "network", lambda self, split: wider(made(self, split)))
        keras.config.set_floatx("float64")
        try:
            yield
        finally:
            keras.config.set_floatx("float32")


def wider(network: keras.Model) -> keras.Model:
    """The network in float64, also what is float32 in any precision."""
    made = keras.models.model_from_json(network.to_json().replace('"float32"', '"float64"'))
    scale = made.get_layer("scale")  # Keras brings its numbers to float32 first, with TensorFlow alone
    scale.scale, scale.offset = float(np.float32(scale.scale)), float(np.float32(scale.offset))
    return made


def weights_of(found: Recipe) -> list[np.ndarray]:
    return start(found)[1].get_weights()


def divided(case: str, count: int) -> list[np.ndarray]:
    """Weights and scores after five steps on so many devices."""
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (130, 8, 8, 1)).astype("uint8"), random.integers(0, 3, 130)
    splits = from_arrays(x, y, classes=["a", "b", "c"])
    names = keras.distribution.list_devices()[:count]
    devices = jax.Devices(keras.distribution.DataParallel(devices=names)) if count > 1 else strategies.choose("one")
    setup = setup_of(BASE.override(**DIVIDED[case]), splits, devices)
    with collective_errors(devices):
        model, kept = setup.networks()
        model.fit(setup.batches(model), steps_per_epoch=5, verbose=0, shuffle=False)
        scores = scores_of(setup, kept)
    return [*kept.get_weights(), np.array([scores["loss"], scores["accuracy"]])]


class Stop(keras.callbacks.Callback):
    """Asks this process to stop after so many steps."""

    def __init__(self, steps: int):
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGTERM)


def interrupted(folder: Path) -> Run:
    """A run that was stopped within its second epoch and went on."""
    try:
        train(NOISY, workdir=folder, verbose=False, callbacks=[Stop(12)])
    except SystemExit as stopped:
        assert stopped.code == 143 and list(folder.glob("checkpoint/step-00000012.npz"))
        shutil.copytree(folder, folder.with_name("stopped"))
    return train(NOISY, workdir=folder, verbose=False)


def suite(folder: Path) -> dict[str, np.ndarray]:
    """All that the tests of the suite look at."""
    given = np.load(folder / "given.npz")
    out = {f"losses/{name}": losses(still(name, **changes), unpacked(given, name)) for name, changes in SMALL.items()}
    for case, count in FEW:
        out |= on_devices(case, 1) | on_devices(case, count)
    run = train(NOISY, workdir=folder / "whole", verbose=False)
    interrupted(folder / "interrupted")
    out |= labelled() | {"diverged": np.array(diverged(folder / "diverged"))}
    out["features"] = features()
    out["predicted/jax"] = run.model().predict(given["x"], verbose=0)
    out["predicted/tensorflow"] = Run.open(folder / "tensorflow").model().predict(given["x"], verbose=0)
    return out | explained(folder / "tensorflow", given["x"][:8])


def diverged(folder: Path) -> str:
    """What is said of a run whose loss becomes NaN within an epoch."""
    try:
        train(NOISY.override(optimizer="sgd", lr=1e38, schedule="constant", prune=0.0), workdir=folder, verbose=False)
    except Diverged as error:
        return str(error)
    return "nothing"


def features() -> np.ndarray:
    """Features of examples of which four devices cannot take the last batch in equal parts."""
    splits = from_arrays(np.random.default_rng(0).integers(0, 256, (130, 8, 8, 1)).astype("uint8"))
    inputs = keras.Input((8, 8, 1))
    body = keras.Model(inputs, keras.layers.Dense(2, "relu")(keras.layers.Flatten()(inputs)))
    names = keras.distribution.list_devices()[:4]
    with jax.Devices(keras.distribution.DataParallel(devices=names)).scope():
        return features_of(body, {"train": splits["train"]})["train"]


def soak(folder: Path) -> dict[str, np.ndarray]:
    """Every supervised recipe as it is, with what the networks then answer in files, and every case of devices."""
    given, out = np.load(folder / "given.npz"), reconstructed()
    for case in DIVIDED:
        for count in (1, 2, 4):
            out |= on_devices(case, count)
    for name in ALL:
        file = folder / f"{name}.keras"
        out[f"losses/{name}"] = losses(still(name), unpacked(given, name), file)
        out[f"predicted/{name}"] = answers(file)
    return out


def double(folder: Path) -> dict[str, np.ndarray]:
    """The losses in float64 of the recipes that rounding carries apart."""
    given = np.load(folder / "given.npz")
    with float64():
        return {f"losses/{name}": losses(still(name, ema=0.0), unpacked(given, name), judged=False) for name in ROUNDED}


def draw_weights(model: keras.Model, kept: keras.Model, deviation: float) -> None:
    """Give what is fitted and what is kept the same random weights, on any backend."""
    random = np.random.default_rng(1)
    weights = [random.normal(0, deviation, weight.shape) for weight in model.trainable_variables]
    for network in (model.network, kept):
        for variable, values in zip(network.trainable_variables, weights, strict=True):
            variable.assign(values)


def explained(run: Path, x: np.ndarray) -> dict[str, np.ndarray]:
    """What methods of explanation compute for images with a run's model."""
    network = Network(Run.open(run).model())
    return {f"explained/{name}": explain(network, x, name, target=3, **settings).values for name, settings in (
        ("gradient", {}), ("integrated_gradients", {"steps": 8}), ("grad_cam", {}))}


def labelled() -> dict[str, np.ndarray]:
    """Scores, thresholds and answers after five steps of several labels an example, with weights of examples."""
    data = labelled_data()
    setup = setup_of(LABELLED, data, strategies.choose("one"))
    model, kept = setup.networks()
    draw_weights(model, kept, 0.3)
    model.fit(setup.batches(model), steps_per_epoch=5, verbose=0, shuffle=False)
    scores = PaddedEvaluator(setup.objective, kept, 16, setup.devices)
    found, facts = scores(data["test"]), scores.facts(data)
    return {"labels/scores": np.array([found[name] for name in ("loss", "map", "auc")]),
            "labels/thresholds": np.array(list(facts["thresholds"].values())),
            "labels/answers": kept.predict(data["test"].x, verbose=0)}


def reconstructed() -> dict[str, np.ndarray]:
    """Scores and controls after five steps of filling holes, in parts of a batch and with an average."""
    images = np.random.default_rng(0).integers(0, 256, (130, 8, 8, 3)).astype("uint8")
    setup = setup_of(HOLES, from_arrays(images), strategies.choose("one"))
    model, kept = setup.networks()
    draw_weights(model, kept, 0.1)
    model.fit(setup.batches(model), steps_per_epoch=5, verbose=0, shuffle=False)
    scores = PaddedEvaluator(setup.objective, kept, 16, setup.devices)
    controls = scores.facts(setup.splits)["controls"]
    return {"holes/scores": np.array(list(scores(setup.splits["test"]).values())),
            "holes/controls": np.array([list(control["test"].values()) for control in controls.values()])}


def on_devices(case: str, count: int) -> dict[str, np.ndarray]:
    """What so many devices make of a case, by name."""
    return packed(f"{case}/{count}", divided(case, count))


def answers(file: Path) -> np.ndarray:
    """What the network in a file says to some pictures."""
    zoo.register()
    network = keras.saving.load_model(file, compile=False)
    pictures = np.random.default_rng(0).integers(0, 256, (32, *network.input_shape[1:])).astype("uint8")
    return network.predict(pictures, verbose=0)


def packed(name: str, arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{name}/{i:03}": array for i, array in enumerate(arrays)}


def unpacked(file, name: str) -> list[np.ndarray]:
    return [file[key] for key in sorted(file) if key.startswith(f"{name}/")]


if __name__ == "__main__":
    what, where = sys.argv[1], Path(sys.argv[2])
    strategies.choose("mirrored", logical_cpus=4)
    np.savez(where / "found.npz", **{"suite": suite, "soak": soak, "double": double}[what](where))
