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
import numpy as np
import tensorflow as tf

from kerasdl import objectives
from kerasdl.data import Split, load_splits, pipeline
from kerasdl.data.augment import compose
from kerasdl.errors import UserError
from kerasdl.recipe import Recipe
from kerasdl.recipe import load as load_recipe
from kerasdl.run import Run, environment, whole, write_json
from kerasdl.train import ema, fused, optim, probe, replicas, resident, resume
from kerasdl.train import judge as judges
from kerasdl.train import profile as profiles
from kerasdl.train import strategy as strategies
from kerasdl.train.callbacks import Diverged, EpochScalars, Keep, Narrator, StopOnNaN, Timing
from kerasdl.train.checkpoint import seconds

SPLITS = {"train": "train", "val": "val", "test": "test"}


def train(recipe: Recipe | str | Path, *overrides: str, workdir: str | Path | None = None,
          data: Mapping[str, Split] | str | None = None, verbose: bool = True, strategy: str = "auto",
          logical_cpus: int | None = None, checkpoint_every: str | float = "5 min", feed: str = "auto",
          profile: bool = False, **changes: Any) -> Run:
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
        feed: "resident" keeps the examples on the device and takes many steps in one call, "streamed" sends each batch
            from the pipeline; "auto" is resident where the examples fit. The weights are the same.
        profile: first time a step and write a TensorBoard profile, and tell in one line what bounds the training.
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
    told = verbose and strategies.is_chief(devices)
    objective, splits = material(recipe, data)
    steps = pipeline.steps_per_epoch(splits["train"], recipe.batch)
    stay = resident.chosen(feed, splits["train"])
    before = Run.unfinished(workdir, recipe)
    with strategies.together(devices):
        start = partial(first_calls, objective, splits["train"], devices, stay)
        choice = probe.settle(recipe, before and before.choice, splits["train"].shape, device(), devices, start)
        settled = probe.settled(recipe, choice)
        model, kept, judge = networks(settled, objective, splits["train"], steps, devices, stay)
    if told:
        for line in ([probe.tell(choice)] if choice else []) + strategies.remarks(devices, settled, kept):
            print(line, file=sys.stderr)
    batches = partial(training_batches, settled, objective, splits["train"], devices,
                      size=model.steps_per_execution if stay else None)
    scores = {name: partial(judges.evaluate, judge, objective, splits[name], recipe.batch, devices)
              for name in ("val", "test")}

    run = before or Run.create(recipe, workdir, ours=strategies.is_chief(devices))
    describe(run, splits["train"], choice, devices)
    if profile:
        least = devices.num_replicas_in_sync * recipe.accumulate
        line = profiles.profile(settled, least, run.path / "tensorboard", start, None if stay else iter(batches(0)))
        print(line, file=sys.stderr)
    timing = Timing(recipe.batch)
    keep = Keep(kept, scores["val"], objective.METRIC, objective.GOAL, recipe.patience)
    saver = resume.Saver(run.path, model, kept, keep, timing, steps, every, devices)
    callbacks = [StopOnNaN(steps), timing, keep, *(logging(run) if strategies.is_chief(devices) else [])]
    try:
        fit(recipe, run, model, batches, steps, callbacks, saver, told)
    except Diverged as error:
        raise diverged(error, run, recipe, keep, devices, choice) from None
    except resume.Stopped as stopped:
        if verbose:
            print(f"{stopped} To go on: {run.again}", file=sys.stderr)
        raise (KeyboardInterrupt if stopped.signal == signal.SIGINT else SystemExit(128 + stopped.signal)) from None
    if recipe.keep == "best":
        keep.restore()
    with strategies.together(devices):
        measured = {name: score() for name, score in scores.items()}
    if strategies.is_chief(devices):
        save(run, kept)
        finish(run, recipe, devices, choice, status="completed", best_epoch=keep.best_epoch,
               parameters=kept.count_params(), test=measured["test"], val=measured["val"],
               train={**timing.summary(), "epochs": keep.epochs, "steps": keep.epochs * steps})
    return run


def material(recipe: Recipe, data: Mapping[str, Split] | str | None) -> tuple[ModuleType, Mapping[str, Split]]:
    """The objective, and the splits that it learns from.

    Raises:
        UserError: if the two do not fit.
    """
    objective = objectives.get(recipe.objective)
    splits = data if isinstance(data, Mapping) else load_splits(
        recipe.data, SPLITS | recipe.splits, target=objective.TARGET, **recipe.data_args)
    if (objective.TARGET == "class") != bool(splits["train"].classes):
        raise UserError(f"objective={recipe.objective} learns a {objective.TARGET}, and the data has "
                        f"{'classes' if splits['train'].classes else 'numbers'} as targets. Change one of the two.")
    return objective, splits


def first_calls(objective: ModuleType, split: Split, devices: tf.distribute.Strategy, stay: bool, recipe: Recipe
                ) -> Callable[[], int]:
    """A function that trains one call of the recipe and returns the number of its examples, for probe and profile."""
    recipe = recipe.override(epochs=100)  # enough for all calls
    model, *_ = networks(recipe, objective, split, pipeline.steps_per_epoch(split, recipe.batch), devices, stay)
    size = model.steps_per_execution
    iterator = iter(training_batches(recipe, objective, split, devices, 0, size if stay else None))
    model.make_train_function()

    def call():
        model.train_function(iterator)
        return size * recipe.batch

    return call


def fit(recipe: Recipe, run: Run, model: keras.Model, batches: Callable[[int], tf.data.Dataset], steps: int,
        callbacks: list[keras.callbacks.Callback], saver: resume.Saver, verbose: bool) -> None:
    """Train from the beginning, or from the run's last checkpoint.

    A run that goes on within an epoch first fits the rest of that epoch, and then the others.
    """
    with run.writing(), strategies.together(saver.devices):
        start = saver.go_on()
        if strategies.is_chief(saver.devices):
            resume.trim(run.path, start // steps)
    epoch, done = divmod(start, steps)
    parts = [(epoch, epoch + 1, done), (epoch + 1, recipe.epochs, 0)] if done else [(epoch, recipe.epochs, 0)]
    with (run.writing(), strategies.together(saver.devices), saver.stop,
          Narrator(recipe.epochs, steps, start, verbose) as narrator):
        try:
            for first, last, done in parts:
                if first < last and not saver.keep.enough:
                    model.fit(batches(first * steps + done), initial_epoch=first, epochs=last, shuffle=False, verbose=0,
                              steps_per_epoch=steps - done, callbacks=[*callbacks, narrator, saver])
        finally:
            saver.checkpoints.wait()


def training_batches(recipe: Recipe, objective: ModuleType, split: Split, devices: tf.distribute.Strategy, start: int,
                     size: int | None = None):
    """Batches of all epochs from a step on, or under replicas their shares; for resident data, blocks of `size`."""
    order = {"epochs": recipe.epochs, "seed": recipe.seed, "start": start}
    if size:
        return strategies.shared(devices, lambda: pipeline.blocks(split, recipe.batch, size, **order), replicas.repeat)
    targets, augment = lessons(recipe, objective, split)
    return strategies.shared(devices, lambda: pipeline.shuffled(split, targets, recipe.batch, augment=augment, **order),
                             replicas.share)


def lessons(recipe: Recipe, objective: ModuleType, split: Split) -> tuple[np.ndarray, pipeline.Augment | None]:
    """What the examples are trained with: targets and augmentation."""
    augment = compose(recipe.augment, split.shape) if recipe.augment else None
    return objective.targets(split, recipe.label_smoothing), augment


def networks(recipe: Recipe, objective: ModuleType, split: Split, steps: int, devices: tf.distribute.Strategy,
             stay: bool = False) -> tuple[keras.Model, keras.Model, keras.Model]:
    """The model that is fitted, the network that is kept (it or its average), and a model that evaluates this one.

    Where the examples `stay` on the device, the model takes blocks of steps.
    """
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
        faults = [resident.Resident] * stay + [replicas.FitsReplicas] * many + [ema.Averaging] * bool(recipe.ema) + \
            [replicas.MicroBatches] * (recipe.accumulate > 1)
        averager = ema.Averager(network, kept, recipe.ema) if recipe.ema else None
        source = resident.Source(split, *lessons(recipe, objective, split), recipe.seed) if stay else None
        model = replicas.compose(faults, network, parts=recipe.accumulate, averager=averager, source=source)
        optimizer = optim.optimizer(recipe, model, steps, clip_after_reduce=many)
        objective.compile(model, optimizer, jit=strategies.jit(devices, recipe.jit))
        model.steps_per_execution = resident.block_size(network, recipe.batch, steps) if stay else 1
        replicas.build(model)
        return model, kept, judges.make(kept, objective, devices)


def logging(run: Run) -> list[keras.callbacks.Callback]:
    """TensorBoard and metrics.csv."""
    return [EpochScalars(run.path / "tensorboard", write_graph=False),
            keras.callbacks.CSVLogger(run.path / "metrics.csv", append=True)]


def describe(run: Run, split: Split, choice: dict[str, Any], devices: tf.distribute.Strategy) -> None:
    """Write data.json and choice.json; of a run that goes on, refuse other data than it began with."""
    file, facts = run.path / "data.json", json.loads(json.dumps(split.describe()))
    if not file.exists() and strategies.is_chief(devices):
        with run.writing():
            if choice:
                write_json(run.path / "choice.json", choice)
            write_json(file, facts)
    elif file.exists() and run.data != facts:
        raise UserError(f"The data is not what {run.path} began with (see its data.json). Start a new run.")


def save(run: Run, kept: keras.Model) -> None:
    """model.keras without the optimizer, whole or not at all."""
    replicas.synchronize_norms(kept, False)
    fused.unfuse(kept)
    with run.writing(), whole(run.path / "model.keras") as partial:
        kept.save(partial, include_optimizer=False)


def finish(run: Run, recipe: Recipe, devices: tf.distribute.Strategy, choice: dict[str, Any], **measured: Any) -> None:
    """Write result.json, the run's last file, and clear away what only an unfinished run needs."""
    facts = environment(device=device(), strategy=strategies.describe(devices), replicas=devices.num_replicas_in_sync,
                        precision=choice.get("precision", recipe.precision), jit=choice.get("jit", recipe.jit))
    with run.writing():
        write_json(run.path / "result.json", {
            "recipe": recipe.name or recipe.model, "seed": recipe.seed, "settings": recipe.diff(), **measured,
            **({"choice": choice} if choice else {}),
            "peak_rss_mb": round(peak_rss_mb(), 1), "environment": facts})
    shutil.rmtree(run.path / "checkpoint", ignore_errors=True)


def diverged(error: Diverged, run: Run, recipe: Recipe, keep: Keep, devices: tf.distribute.Strategy,
             choice: dict[str, Any]) -> Diverged:
    """Keep what there was of a run whose loss became NaN, and say where it is."""
    kept = "nothing to keep yet"
    if not strategies.is_chief(devices):
        return error
    if keep.best_epoch:
        keep.restore()
        save(run, keep.kept)
        kept = f"the model of epoch {keep.best_epoch} is kept"
    finish(run, recipe, devices, choice, status="diverged", best_epoch=keep.best_epoch, message=str(error))
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
