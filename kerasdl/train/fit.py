"""From a recipe to a run: data, network, optimizer, fit, evaluate, result.json. It knows no objective by name."""

import json
import random
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import tensorflow as tf

from kerasdl import objectives
from kerasdl.data import Split, load_splits, pipeline
from kerasdl.data.augment import compose
from kerasdl.errors import UserError
from kerasdl.recipe import Recipe
from kerasdl.recipe import load as load_recipe
from kerasdl.run import Run, environment, whole, write_json
from kerasdl.train import ema, fused, optim, replicas, resume
from kerasdl.train import strategy as strategies
from kerasdl.train.callbacks import Diverged, EpochScalars, Keep, Narrator, StopOnNaN, Timing
from kerasdl.train.checkpoint import seconds

SPLITS = {"train": "train", "val": "val", "test": "test"}


def train(recipe: Recipe | str | Path, *overrides: str, workdir: str | Path | None = None,
          data: Mapping[str, Split] | str | None = None, verbose: bool = True, strategy: str = "auto",
          logical_cpus: int | None = None, checkpoint_every: str | float = "5 min", **changes: Any) -> Run:
    """Train a recipe and return its run.

    The epoch to keep is chosen on the val split; the test split is read once, at the end. With the `workdir` of a run
    of the same recipe that was interrupted, training goes on at the step of its last checkpoint, and ends as if nothing
    had happened.

    Args:
        recipe: a Recipe, the name of one, or a path to a .py file or to a run's recipe.json.
        *overrides: changes as text, "model_args.size=S".
        workdir: the run's folder; by default `runs/<recipe>/<time>-<id>/`.
        data: splits "train", "val" and "test", as kerasdl.data.from_arrays makes them, or the name of a data set.
        verbose: whether to tell of each epoch on stderr.
        strategy: "auto", "one", "mirrored", "multiworker" or "tpu"; see kerasdl.train.strategy.choose.
        logical_cpus: split the processor into so many devices, for "mirrored".
        checkpoint_every: how often to save the state, "5 min" or seconds.
        **changes: changes as values, epochs=3.

    Raises:
        UserError: for anything in the recipe or the data that cannot be; Diverged when the loss becomes NaN.
        KeyboardInterrupt, SystemExit: after Ctrl-C and SIGTERM, when the state is saved.
    """
    if data is not None:
        changes["data"] = data if isinstance(data, str) else "arrays"
    recipe = load_recipe(recipe).override(*overrides, **changes)
    every = seconds(checkpoint_every)
    Run.unfinished(workdir, recipe)
    devices = strategies.choose(strategy, logical_cpus)
    strategies.check(devices, recipe, workdir)
    if recipe.jit and not strategies.jit(devices, recipe.jit) and verbose and strategies.is_chief():
        print("jit is switched off: under replicas TensorFlow cannot compile the step", file=sys.stderr)
    objective = objectives.get(recipe.objective)
    splits = data if isinstance(data, Mapping) else load_splits(
        recipe.data, SPLITS | recipe.splits, target=objective.TARGET, **recipe.data_args)
    if (objective.TARGET == "class") != bool(splits["train"].classes):
        raise UserError(f"objective={recipe.objective} learns a {objective.TARGET}, and the data has "
                        f"{'classes' if splits['train'].classes else 'numbers'} as targets. Change one of the two.")
    steps = pipeline.steps_per_epoch(splits["train"], recipe.batch)
    batches = partial(training_batches, recipe, objective, splits["train"], devices)
    model, kept, judge = networks(recipe, objective, splits["train"], steps, devices)
    scores = {name: partial(evaluate, judge, objective, splits[name], recipe.batch, devices)
              for name in ("val", "test")}

    run = Run.unfinished(workdir, recipe) or Run.create(recipe, workdir, ours=strategies.is_chief())
    describe(run, splits["train"])
    timing = Timing(recipe.batch)
    keep = Keep(kept, scores["val"], objective.METRIC, objective.GOAL, recipe.patience)
    saver = resume.Saver(run.path, model, kept, keep, timing, steps, every, devices)
    callbacks = [StopOnNaN(steps), timing, keep, *(logging(run) if strategies.is_chief() else [])]
    try:
        fit(recipe, run, model, batches, steps, callbacks, saver, verbose and strategies.is_chief())
    except Diverged as error:
        raise diverged(error, run, recipe, keep, devices) from None
    except resume.Stopped as stopped:
        if verbose:
            print(f"{stopped} Go on with: kerasdl train --resume {run.path}", file=sys.stderr)
        raise (KeyboardInterrupt if stopped.signal == signal.SIGINT else SystemExit(128 + stopped.signal)) from None
    if recipe.keep == "best":
        keep.restore()
    measured = {name: score() for name, score in scores.items()}
    if strategies.is_chief():
        save(run, kept)
        finish(run, recipe, devices, status="completed", best_epoch=keep.best_epoch, parameters=kept.count_params(),
               test=measured["test"], val=measured["val"],
               train={**timing.summary(), "epochs": keep.epochs, "steps": keep.epochs * steps})
    return run


def fit(recipe: Recipe, run: Run, model: keras.Model, batches: Callable[[int], tf.data.Dataset], steps: int,
        callbacks: list[keras.callbacks.Callback], saver: resume.Saver, verbose: bool) -> None:
    """Train from the beginning, or from the run's last checkpoint.

    A run that goes on within an epoch first fits the rest of that epoch, and then the others.
    """
    start = saver.go_on()
    if strategies.is_chief():
        resume.trim(run.path, start // steps)
    epoch, done = divmod(start, steps)
    parts = [(epoch, epoch + 1, done), (epoch + 1, recipe.epochs, 0)] if done else [(epoch, recipe.epochs, 0)]
    with saver.stop, Narrator(recipe.epochs, steps, start, verbose) as narrator:
        try:
            for first, last, done in parts:
                if first < last and not saver.keep.enough:
                    model.fit(batches(first * steps + done), initial_epoch=first, epochs=last, shuffle=False, verbose=0,
                              steps_per_epoch=steps - done, callbacks=[*callbacks, narrator, saver])
        except tf.errors.OpError as error:
            strategies.blame(saver.devices, error)
            raise
        finally:
            saver.checkpoints.wait()


def training_batches(recipe: Recipe, objective: ModuleType, split: Split, devices: tf.distribute.Strategy, start: int
                     ) -> tf.data.Dataset:
    """Batches of all epochs from a step on, or under replicas their shares."""
    augment = compose(recipe.augment, split.shape) if recipe.augment else None
    targets = objective.targets(split, recipe.label_smoothing)
    return shared(devices, lambda: pipeline.shuffled(split, targets, recipe.batch, epochs=recipe.epochs,
                                                     seed=recipe.seed, augment=augment, start=start))


def shared(devices: tf.distribute.Strategy, make: Callable[[], tf.data.Dataset]):
    """The batches that `make` makes, cut up among replicas where there are any."""
    if strategies.describe(devices) == "one":
        return make()
    return devices.distribute_datasets_from_function(lambda context: replicas.share(make(), context))


def networks(recipe: Recipe, objective: ModuleType, split: Split, steps: int, devices: tf.distribute.Strategy
             ) -> tuple[keras.Model, keras.Model, keras.Model]:
    """The model that is fitted, the network that is kept (it or its average), and a model that evaluates this one."""
    many = strategies.describe(devices) != "one"
    with devices.scope(), seeded(recipe.seed), precision(recipe.precision):
        try:
            network = objective.network(recipe.model, split, recipe.model_args)
        except (ValueError, TypeError) as error:
            raise UserError(f"{recipe.model} cannot be built: {' '.join(str(error).split())}") from None
        if isinstance(split.shape, int):
            network.get_layer("scale").adapt(split.x)
        fused.fuse(network)
        kept = ema.copy(network) if recipe.ema else network
        if many:
            replicas.own_noise(network)
            replicas.synchronize_norms(network)
        faults = [replicas.FitsReplicas] * many + [ema.Averaging] * bool(recipe.ema) + \
            [replicas.MicroBatches] * (recipe.accumulate > 1)
        averager = ema.Averager(network, kept, recipe.ema) if recipe.ema else None
        model = replicas.compose(faults, network, parts=recipe.accumulate, averager=averager)
        judge = replicas.compose([replicas.FitsReplicas, replicas.CountsOnce] * many, kept)
        optimizer = optim.optimizer(recipe, model, steps, clip_after_reduce=many)
        objective.compile(model, optimizer, jit=strategies.jit(devices, recipe.jit))
        objective.compile(judge, None, jit=False)
        replicas.build(model)
        replicas.build(judge)
    return model, kept, judge


def evaluate(judge: keras.Model, objective: ModuleType, split: Split, batch: int,
             devices: tf.distribute.Strategy | None = None) -> dict[str, float]:
    """Loss and metrics of a compiled model on a split, every example counted once."""
    devices = devices or tf.distribute.get_strategy()
    examples = pipeline.in_order(split, objective.targets(split), batch)
    if strategies.describe(devices) != "one":
        examples = replicas.padded(examples, batch)
    scores = judge.evaluate(shared(devices, lambda: examples), return_dict=True, verbose=0)
    return {name: float(value) for name, value in scores.items()}


def logging(run: Run) -> list[keras.callbacks.Callback]:
    """TensorBoard and metrics.csv."""
    return [EpochScalars(run.path / "tensorboard", write_graph=False),
            keras.callbacks.CSVLogger(run.path / "metrics.csv", append=True)]


def describe(run: Run, split: Split) -> None:
    """Write data.json; of a run that goes on, refuse other data than it began with."""
    file, facts = run.path / "data.json", json.loads(json.dumps(split.describe()))
    if not file.exists() and strategies.is_chief():
        write_json(file, facts)
    elif file.exists() and run.data != facts:
        raise UserError(f"The data is not what {run.path} began with (see its data.json). Start a new run.")


def save(run: Run, kept: keras.Model) -> None:
    """model.keras without the optimizer, whole or not at all."""
    replicas.synchronize_norms(kept, False)
    fused.unfuse(kept)
    with whole(run.path / "model.keras") as partial:
        kept.save(partial, include_optimizer=False)


def finish(run: Run, recipe: Recipe, devices: tf.distribute.Strategy, **measured: Any) -> None:
    """Write result.json, the run's last file, and clear away what only an unfinished run needs."""
    write_json(run.path / "result.json", {
        "recipe": recipe.name or recipe.model, "seed": recipe.seed, "settings": recipe.diff(), **measured,
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "environment": environment(device=device(), strategy=strategies.describe(devices),
                                   replicas=devices.num_replicas_in_sync, precision=recipe.precision)})
    shutil.rmtree(run.path / "checkpoint", ignore_errors=True)


def diverged(error: Diverged, run: Run, recipe: Recipe, keep: Keep, devices: tf.distribute.Strategy) -> Diverged:
    """Keep what there was of a run whose loss became NaN, and say where it is."""
    kept = "nothing to keep yet"
    if not strategies.is_chief():
        return error
    if keep.best_epoch:
        keep.restore()
        save(run, keep.kept)
        kept = f"the model of epoch {keep.best_epoch} is kept"
    finish(run, recipe, devices, status="diverged", best_epoch=keep.best_epoch, message=str(error))
    return Diverged(f"{error} In {run.path}: {kept}.")


@contextmanager
def seeded(seed: int):
    """Initializers and dropout layers made inside take their seeds from `seed`; the caller's random state is put back.

    Keras draws them from Python's generator, and from nowhere else.
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


@contextmanager
def precision(policy: str):
    """Layers made inside have this dtype policy; the caller's is put back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def device() -> str:
    """What TensorFlow computes on: the name of the first GPU, or "CPU"."""
    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else "CPU"


def peak_rss_mb() -> float:
    """The most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
