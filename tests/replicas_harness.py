"""Trains the same five steps on one device and on several replicas, in a process that has four logical CPUs.

Run as a program it writes one .npz: "<case>/<replicas>/<number>" -> a weight, and what else the tests look at.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from kerasdl import objectives
from kerasdl.data import from_arrays
from kerasdl.devices import distribute_fixes
from kerasdl.devices.on_device import replica_slice
from kerasdl.devices.strategy import mirrored
from kerasdl.evaluation.padded import PaddedEvaluator
from kerasdl.objectives.classify import Classify
from kerasdl.objectives.distill import Distill
from kerasdl.recipe import Recipe
from kerasdl.train import private
from kerasdl.train.setup import Setup

BASE = Recipe(model="mlp", model_args={"size": "mu"}, data="arrays", batch=16, epochs=1, lr=0.05, schedule="constant")
NORM = {"model": "resnet", "model_args": {"size": "mu"}}
VIEWS = ("contrast", "supcon", "agree")
CASES = {
    "sgd": {"optimizer": "sgd"}, "adamw": {"weight_decay": 0.1}, "lion": {"optimizer": "lion", "lr": 1e-3},
    "muon": {"optimizer": "muon", "lr": 1e-3}, "kernel_rms": {"optimizer": "muon", "lr": 1e-3, "kernel_rms": 0.05},
    "clipnorm": {"optimizer": "sgd", "clipnorm": 0.05}, "clipvalue": {"optimizer": "sgd", "clipvalue": 0.01},
    "global_clipnorm": {"optimizer": "sgd", "global_clipnorm": 0.1},
    "accumulate": {"optimizer": "sgd", "accumulate": 4},
    "accumulate_clip": {"accumulate": 2, "global_clipnorm": 0.1, "lr": 0.01},
    "accumulate_norm": {"optimizer": "sgd", "accumulate": 2, **NORM},
    "norm": {"optimizer": "sgd", **NORM}, "ema": {"ema": 0.9, **NORM, "optimizer": "sgd"},
    "augment": {"optimizer": "sgd", "augment": (("translate", 1), ("mixup", 0.2))},
    "bfloat16": {"optimizer": "sgd", "precision": "mixed_bfloat16", **NORM},
    "smooth": {"optimizer": "sgd", "label_smoothing": 0.1},
    "layer_decay": {"optimizer": "sgd", "layer_decay": 0.5, "weight_decay": 0.1},
    "frozen": {"optimizer": "lion", "lr": 1e-3, "layer_decay": 0.5, "weight_decay": 0.1, "freeze": ("stem_*",),
               "ema": 0.9, **NORM},
    "prune": {"optimizer": "sgd", "prune": 0.5, "ema": 0.9},
    "quantize": {"optimizer": "sgd", "lr": 1e-3, "quantize": "int8", "init": "its own weights", **NORM},
    "distill": {"optimizer": "sgd", "objective": "distill", "objective_args": {"teacher": "a network"}},
    **{name: {"optimizer": "sgd", "objective": name, "augment": (("random_resized_crop", 0.5), "flip"), **NORM,
              "objective_args": {"width": 16, "dimensions": 8}, "lr": 1e-3} for name in VIEWS},
    "reconstruct": {"optimizer": "sgd", "objective": "reconstruct", "objective_args": {"width": 4}, "accumulate": 2,
                    "ema": 0.9, "model": "vit", "model_args": {"size": "mu", "patch": 2}},
    "robust": {"optimizer": "sgd", "objective": "robust", "objective_args": {"eps": 16.0, "steps": 2}, "accumulate": 2,
               "ema": 0.9},
    "private": {"optimizer": "sgd", "private": {"clip": 0.5, "delta": 1e-3, "noise": 0.5}, "accumulate": 2},
    "series": {"optimizer": "sgd", "model": "rnn", "model_args": {"cell": "gru", "size": "mu"}},
    "masked_norm": {"optimizer": "sgd", "model": "conv1d", "model_args": {"size": "mu"}},
}
SERIES = ("rnn", "conv1d")
FEW = [("sgd", 2), ("masked_norm", 2), ("accumulate", 4), ("accumulate_norm", 2), ("global_clipnorm", 2), ("prune", 2),
       ("distill", 2)]
APART = {"bfloat16": 1e-2}  # 2.8e-3 was seen: a number of 8 bits is rounded by up to 4e-3 of itself
STEPS = 5


class Taught(Distill):
    """With a teacher of random weights, which no run has."""

    def network(self, split):
        student = Classify.network(self, split)
        self.teacher = keras.models.clone_model(student)
        return student


def split(series: bool = False):
    """130 images, or series of 1 to 9 steps."""
    random = np.random.default_rng(0)
    size = 130
    x = random.integers(0, 256, (size, 8, 8, 1)).astype("uint8")
    if series:
        x = np.where(np.arange(9) < random.integers(1, 10, (size, 1)), random.normal(size=(size, 9)), np.nan)[..., None]
    return from_arrays(x, random.integers(0, 3, size), classes=["a", "b", "c"])["train"]


def devices(count: int) -> tf.distribute.Strategy:
    if count == 1:
        return tf.distribute.get_strategy()
    return mirrored([f"CPU:{i}" for i in range(count)])


def trained(recipe: Recipe, count: int, stay: bool = True):
    """(model, kept, scores) after STEPS steps on `count` replicas. One device has its examples streamed."""
    strategy, stay = devices(count), stay and count > 1
    objective = Taught(recipe) if recipe.objective == "distill" else objectives.of(recipe)
    train = split(recipe.model in SERIES)
    setup = Setup(recipe, objective, {"train": train}, strategy, stay,
                  privacy=private.plan(recipe, train, objective, count))
    model, kept = setup.networks()
    if recipe.prune:
        model.pruner.prune(recipe.prune)
    scores = PaddedEvaluator(setup.objective, kept, recipe.micro_batch, strategy)
    model.fit(setup.batches(model), steps_per_epoch=STEPS, verbose=0, shuffle=False)
    return model, kept, scores


def compare(cases: list[tuple[str, int]], stay: bool = True) -> dict[str, np.ndarray]:
    """Weights and scores of each (case, replicas), and of the case on one device."""
    out = {}
    for name, count in sorted({*cases, *((name, 1) for name, _ in cases)}):
        _, kept, scores = trained(BASE.override(**CASES[name]), count, stay)
        out |= {f"{name}/{count}/{i}": keras.ops.convert_to_numpy(w) for i, w in enumerate(kept.weights)}
        found = scores(split(CASES[name].get("model") in SERIES))
        out[f"{name}/{count}/scores"] = np.array(list(found.values()))
    return out


def labelled_data():
    """Rows with several labels each, and weights from 0 on."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(130, 6)), random.integers(0, 2, (130, 3))
    return from_arrays(x, y, target="labels", weights=random.integers(0, 3, 130))


def labelled() -> dict[str, np.ndarray]:
    """Weights and all scores of several labels an example, with weights of examples, on one device and on two."""
    data, out = labelled_data(), {}
    for feed, stay in (("resident", True), ("streamed", False)):
        for count in (1, 2):
            recipe = BASE.override(objective="multilabel", monitor="auc", accumulate=2, optimizer="sgd")
            setup = Setup(recipe, objectives.of(recipe), data, devices(count), stay)
            model, kept = setup.networks()
            scores = PaddedEvaluator(setup.objective, kept, recipe.micro_batch, setup.devices)
            model.fit(setup.batches(model), steps_per_epoch=STEPS, verbose=0, shuffle=False)
            out |= {f"{feed}_labels/{count}/{i}": keras.ops.convert_to_numpy(w) for i, w in enumerate(kept.weights)}
            found = scores(data["train"])
            out[f"{feed}_labels/{count}/scores"] = np.array([found[name] for name in ("loss", "map", "auc")])
            out[f"{feed}_labels/{count}/answers"] = kept.predict(data["train"].x, verbose=0)
    return out


def streamed(cases: list[tuple[str, int]]) -> dict[str, np.ndarray]:
    """The same where the replicas have their examples streamed."""
    return {f"streamed_{key}": value for key, value in compare(cases, stay=False).items()}


def stock(case: str, fix: str) -> dict[str, np.ndarray]:
    """The case without the fix, on two replicas and on one device."""
    mended = getattr(distribute_fixes, fix)
    setattr(distribute_fixes, fix, lambda thing: thing)
    found = compare([(case, 2)])
    setattr(distribute_fixes, fix, mended)
    return {f"stock_{key}": value for key, value in found.items()}


def noise() -> dict[str, np.ndarray]:
    """Dropout's masks on two replicas, and the weights of one run made twice."""
    noisy = BASE.override(model_args={"size": "mu", "drop": 0.5}, optimizer="sgd")
    twice = {attempt: trained(noisy, 2)[0] for attempt in "ab"}
    out = {f"noise/{attempt}": network.get_weights()[0] for attempt, network in twice.items()}
    out["own"] = np.array([type(value) is distribute_fixes.OwnNoise for layer in twice["a"]._flatten_layers()
                           for value in vars(layer).values() if isinstance(value, keras.random.SeedGenerator)])
    for name, mend in {"stock": lambda _: None, "own": distribute_fixes.own_noise}.items():
        strategy = devices(2)
        with strategy.scope():
            network = keras.Sequential([keras.Input((64,)), keras.layers.Dropout(0.5, seed=1)])
            mend(network)
        masks = strategy.run(tf.function(lambda network=network: network(tf.ones((2, 64)), training=True)))
        out[f"masks/{name}"] = np.stack([mask.numpy() for mask in strategy.experimental_local_results(masks)])
    return out


def views() -> dict[str, np.ndarray]:
    """Losses (16,) of objectives that compare images, and their gradients, on one device and with half on each of two.
    """
    random, out = np.random.default_rng(0), {}
    embedded, y = tf.constant(random.normal(size=(16, 2, 8)), "float32"), tf.constant(random.integers(0, 3, 16))
    for name in VIEWS:
        objective = objectives.of(BASE.override(**CASES[name]))

        def step(values, labels, objective=objective):
            own = replica_slice(values)
            with tf.GradientTape() as tape:
                tape.watch(own)
                losses = objective.compute_loss(None, replica_slice(labels), own)
                mean = tf.reduce_sum(losses) / 16
            return losses, tape.gradient(mean, own)

        for count in (1, 2):
            strategy = devices(count)
            found = tf.function(lambda strategy=strategy, step=step: strategy.run(step, args=(embedded, y)))()
            for key, values in zip(("loss", "gradient"), found, strict=True):
                out[f"views/{name}/{count}/{key}"] = np.concatenate(
                    [one.numpy() for one in strategy.experimental_local_results(values)])
    return out


def plain(strategy: tf.distribute.Strategy, kind: type[keras.Model] = keras.Model, **options) -> keras.Model:
    """A small network of Keras alone, compiled, that has seen nothing."""
    with strategy.scope():
        inputs = keras.Input((4,))
        normal = keras.layers.BatchNormalization()(keras.layers.Dense(3, kernel_initializer="ones")(inputs))
        network = kind(inputs, keras.layers.Dense(2, kernel_initializer="ones")(normal))
        network.compile(keras.optimizers.SGD(**options), "mse")
    return network


def fails(network: keras.Model, error: type[Exception], told: str, batch: int = 8) -> np.ndarray:
    """Whether `fit` raises this error with these words in it."""
    try:
        network.fit(np.ones((batch * 2, 4), "float32"), np.zeros((batch * 2, 2), "float32"), batch_size=batch,
                    verbose=0)
    except error as raised:
        return np.array(told in str(raised))
    return np.array(False)


def keras_alone() -> dict[str, np.ndarray]:
    """What plain Keras gets wrong: true where it still does."""
    two, one = devices(2), devices(1)
    x, y = np.arange(44, dtype="float32").reshape(11, 4), np.arange(22, dtype="float32").reshape(11, 2)
    loss = plain(one).evaluate(x[:6], y[:6], batch_size=8, verbose=0)
    padded = plain(two).evaluate(x[:8], y[:8], sample_weight=1.0 * (np.arange(8) < 6), verbose=0)
    averaged, before = plain(one, use_ema=True, ema_momentum=0.5), []
    averaged.fit(x, y, epochs=3, verbose=0, callbacks=[keras.callbacks.LambdaCallback(  # the average comes at the end
        on_epoch_end=lambda epoch, logs: before.__setitem__(slice(None), averaged.get_weights()))])
    moved = [not np.array_equal(a, b) for a, b in zip(before, averaged.get_weights(), strict=True)]
    statistics = [not variable.trainable for variable in averaged.variables]
    return {"still/accumulation": fails(plain(two, gradient_accumulation_steps=2), RuntimeError, "merge_call"),
            "still/odd_batch": fails(plain(two), tf.errors.InvalidArgumentError, "AddN", batch=7),
            "still/ema_overwrite": fails(plain(two, use_ema=True, ema_overwrite_frequency=1), RuntimeError, ""),
            "still/ema_statistics": np.array(any(moved) and not np.any(np.array(moved) & np.array(statistics))),
            "still/padding": np.array(abs(padded / loss - 6 / 8) < 1e-3),
            "still/late_variables": np.array(not plain(one).optimizer.built)}


def keras_on_workers() -> dict[str, np.ndarray]:
    """The same of several workers, of which this process is one."""
    class Builds(keras.Model):  # and so comes to the fault behind the first one
        def _maybe_symbolic_build(self, iterator=None, data_batch=None):
            pass

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    second = plain(strategy, Builds)
    with strategy.scope():
        x = np.ones((1, 4), "float32")
        second._symbolic_build(data_batch=(x, x[:, :2]))
    return {"still/workers": fails(plain(strategy), ValueError, "PerReplica"),
            "still/workers_logs": fails(second, ValueError, "Invalid reduction dimension 0")}


def bfloat16() -> dict[str, np.ndarray]:
    """Weights of mixed precision, with what its network and optimizer are on two replicas."""
    recipe = BASE.override(**CASES["bfloat16"])
    model = Setup(recipe, Classify(recipe), {"train": split()}, devices(2)).networks()[0]
    return {"bfloat16/logits": np.array(model.network.outputs[0].dtype),
            "bfloat16/optimizer": np.array(type(model.optimizer).__name__), **compare([("bfloat16", 2)])}


def main(path: str, which: str) -> None:
    if which == "workers":
        return np.savez(path, **keras_on_workers())
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 4)
    if which == "all":
        cases = [(name, count) for name in CASES for count in (2, 4)]
        found = compare(cases) | streamed(cases) | bfloat16()
    elif which == "keras":
        found = keras_alone() | stock("clipnorm", "clip_after_reduce") | stock("norm", "synchronize_norms")
    else:
        found = compare(FEW) | noise() | views() | streamed([("sgd", 2)]) | labelled()
    np.savez(path, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
