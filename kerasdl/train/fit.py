"""From a recipe to a run: data, network, optimizer, fit, evaluate, result.json. It knows no objective by name."""

import random
import resource
import sys
from collections.abc import Mapping
from contextlib import contextmanager
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
from kerasdl.train import ema, optim
from kerasdl.train.callbacks import Diverged, EpochScalars, Keep, Narrator, StopOnNaN, Timing

SPLITS = {"train": "train", "val": "val", "test": "test"}


def train(recipe: Recipe | str | Path, *overrides: str, workdir: str | Path | None = None,
          data: Mapping[str, Split] | str | None = None, verbose: bool = True, **changes: Any) -> Run:
    """Train a recipe and return its run.

    The epoch to keep is chosen on the val split; the test split is read once, at the end.

    Args:
        recipe: a Recipe, the name of one, or a path to a .py file or to a run's recipe.json.
        *overrides: changes as text, "model_args.size=S".
        workdir: the run's folder; by default `runs/<recipe>/<time>-<id>/`.
        data: splits "train", "val" and "test", as kerasdl.data.from_arrays makes them, or the name of a data set.
        verbose: whether to tell of each epoch on stderr.
        **changes: changes as values, epochs=3.

    Raises:
        UserError: for anything in the recipe or the data that cannot be; Diverged when the loss becomes NaN.
    """
    if data is not None:
        changes["data"] = data if isinstance(data, str) else "arrays"
    recipe = load_recipe(recipe).override(*overrides, **changes)
    Run.vacant(workdir)
    objective = objectives.get(recipe.objective)
    splits = data if isinstance(data, Mapping) else load_splits(
        recipe.data, SPLITS | recipe.splits, target=objective.TARGET, **recipe.data_args)
    if (objective.TARGET == "class") != bool(splits["train"].classes):
        raise UserError(f"objective={recipe.objective} learns a {objective.TARGET}, and the data has "
                        f"{'classes' if splits['train'].classes else 'numbers'} as targets. Change one of the two.")
    batches, steps = training_batches(recipe, objective, splits["train"])
    model, kept = networks(recipe, objective, splits["train"], steps)

    run = Run.create(recipe, workdir)
    write_json(run.path / "data.json", splits["train"].describe())
    timing = Timing(recipe.batch)
    keep = Keep(kept, evaluation(objective, splits["val"], recipe.batch), objective.METRIC, objective.GOAL,
                recipe.patience)
    with Narrator(recipe.epochs, steps, verbose) as narrator:
        callbacks = [StopOnNaN(steps), timing, keep, *logging(run), narrator]
        try:
            history = model.fit(batches, epochs=recipe.epochs, steps_per_epoch=steps, shuffle=False, verbose=0,
                                callbacks=callbacks)
        except Diverged as error:
            raise diverged(error, run, recipe, keep) from None
    if recipe.keep == "best":
        keep.restore()
    save(run, kept)
    epochs = len(history.epoch)
    finish(run, recipe, status="completed", best_epoch=keep.best_epoch, parameters=kept.count_params(),
           test=evaluate(kept, objective, splits["test"], recipe.batch),
           val=evaluate(kept, objective, splits["val"], recipe.batch),
           train={**timing.summary(), "epochs": epochs, "steps": epochs * steps})
    return run


def training_batches(recipe: Recipe, objective: ModuleType, split: Split) -> tuple[tf.data.Dataset, int]:
    """Batches of all epochs, and the steps of one."""
    augment = compose(recipe.augment, split.shape) if recipe.augment else None
    targets = objective.targets(split, recipe.label_smoothing)
    batches = pipeline.shuffled(split, targets, recipe.batch, epochs=recipe.epochs, seed=recipe.seed, augment=augment)
    return batches, pipeline.steps_per_epoch(split, recipe.batch)


def networks(recipe: Recipe, objective: ModuleType, split: Split, steps: int) -> tuple[keras.Model, keras.Model]:
    """The model that is fitted, and the network that is validated and kept: its moving average, or the same one."""
    with seeded(recipe.seed), precision(recipe.precision):
        try:
            network = objective.network(recipe.model, split, recipe.model_args)
        except (ValueError, TypeError) as error:
            raise UserError(f"{recipe.model} cannot be built: {' '.join(str(error).split())}") from None
        if isinstance(split.shape, int):
            network.get_layer("scale").adapt(split.x)
        model, kept = network, network
        if recipe.ema:
            kept = ema.copy(network)
            objective.compile(kept, "sgd")
            model = ema.averaging(network, kept, recipe.ema)
        objective.compile(model, optim.optimizer(recipe, model, steps), jit=recipe.jit)
        model.optimizer.build(model.trainable_variables)  # made inside the first step, its slots cost a second trace
    return model, kept


def evaluation(objective: ModuleType, split: Split, batch: int) -> tf.data.Dataset:
    """The split's examples in order, each once, with targets as the loss wants them."""
    return pipeline.in_order(split, objective.targets(split), batch)


def evaluate(model: keras.Model, objective: ModuleType, split: Split, batch: int) -> dict[str, float]:
    """Loss and metrics of a compiled model on a split."""
    scores = model.evaluate(evaluation(objective, split, batch), return_dict=True, verbose=0)
    return {name: float(value) for name, value in scores.items()}


def logging(run: Run) -> list[keras.callbacks.Callback]:
    """TensorBoard and metrics.csv."""
    return [EpochScalars(run.path / "tensorboard", write_graph=False),
            keras.callbacks.CSVLogger(run.path / "metrics.csv")]


def save(run: Run, kept: keras.Model) -> None:
    """model.keras without the optimizer, whole or not at all."""
    with whole(run.path / "model.keras") as partial:
        kept.save(partial, include_optimizer=False)


def finish(run: Run, recipe: Recipe, **measured: Any) -> None:
    """Write result.json, the run's last file."""
    write_json(run.path / "result.json", {
        "recipe": recipe.name or recipe.model, "seed": recipe.seed, "settings": recipe.diff(), **measured,
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "environment": environment(device=device(), strategy="one", precision=recipe.precision)})


def diverged(error: Diverged, run: Run, recipe: Recipe, keep: Keep) -> Diverged:
    """Keep what there was of a run whose loss became NaN, and say where it is."""
    kept = "nothing to keep yet"
    if keep.best_epoch:
        keep.restore()
        save(run, keep.kept)
        kept = f"the model of epoch {keep.best_epoch} is kept"
    finish(run, recipe, status="diverged", best_epoch=keep.best_epoch, message=str(error))
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
