"""From a recipe to a run: set up, fit, evaluate, write result.json. It knows no objective by name."""

import logging
import math
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from kerasdl import logs
from kerasdl.checkpoints.callback import CheckpointCallback
from kerasdl.checkpoints.files import seconds
from kerasdl.checkpoints.signals import Stopped
from kerasdl.checkpoints.trim import trim
from kerasdl.data import Split
from kerasdl.data.naming import naming
from kerasdl.data.spec import PLURALS
from kerasdl.data.split import check_same
from kerasdl.devices import strategy as strategies
from kerasdl.devices.cluster import collective_errors
from kerasdl.devices.device import device
from kerasdl.errors import UserError
from kerasdl.evaluation import predictions
from kerasdl.evaluation.padded import evaluator
from kerasdl.evaluation.reference_classifier import FeatureExtractor, Found, of_objective
from kerasdl.objectives.base import Objective
from kerasdl.recipe import Recipe
from kerasdl.run import Run, recipe_of
from kerasdl.train import autotune, compressed, optim, pretrained, record, saves
from kerasdl.train import profile as profiles
from kerasdl.train.callbacks import BestWeights, Diverged, StopOnNaN, Timing, checked
from kerasdl.train.progress import ProgressBar
from kerasdl.train.setup import SPLITS, Setup, seeded

logger = logging.getLogger(__name__)


def train(recipe: Recipe | str | Path, *overrides: str, workdir: str | Path | None = None,
          data: Mapping[str, Split] | str | None = None, verbose: bool = True, strategy: str = "auto",
          logical_cpus: int | None = None, checkpoint_every: str | float = "5 min", feed: str = "auto",
          profile: bool = False, callbacks: keras.callbacks.Callback | Sequence[keras.callbacks.Callback] = (),
          test: bool = True, stop_after: int | None = None, **changes: Any) -> Run:
    """Train a recipe and return its run.

    The backend is that of Keras: TensorFlow, or JAX if KERAS_BACKEND=jax was set before the import.

    The val split chooses the epoch whose weights are kept; the test split is read once, at the end. If `workdir` holds
    an interrupted run of the same recipe, training resumes at the step of its last checkpoint and finishes with exactly
    the result of an uninterrupted run.

    Args:
        recipe: a Recipe, the name of one, a path to a .py file, or the folder of a run, whose copy of your own code
            is taken.
        *overrides: changes as text, "model_args.size=S".
        workdir: the run's folder; by default `runs/<recipe>/<time>-<id>/`.
        data: splits "train", "val" and "test", as kerasdl.data.from_arrays makes them, or the name of a data set.
        verbose: whether to log each epoch to stderr.
        strategy: "auto", "one", "mirrored", "multiworker" or "tpu"; see kerasdl.devices.strategy.choose.
        logical_cpus: split the processor into this many devices, for "mirrored".
        checkpoint_every: how often to save the state, "5 min" or seconds.
        feed: "resident" keeps the examples on the device and takes many steps in one call, "streamed" sends each batch
            from the pipeline; "auto" is resident if the examples fit. The weights are the same.
        profile: first time a step, write a TensorBoard profile, and report what comes before the steps and bounds them.
        callbacks: one or several, called after an epoch's validation and the row of metrics.csv, and before the state
            is saved. Their own state is not saved, and `on_train_begin` is called twice if a run resumes within an
            epoch. Whole models, the learning rate and resuming are the run's: Keras' callbacks for these are refused.
        test: whether to read the test split at the end. A search, which trains to choose, does not.
        stop_after: save the state after this many epochs and return the unfinished run, which may be resumed.
        **changes: changes as values, epochs=3.

    Raises:
        UserError: the recipe or the data is wrong; Diverged if the loss becomes NaN.
        KeyboardInterrupt, SystemExit: after Ctrl-C and SIGTERM, once the state is saved.
    """
    if stop_after is not None and stop_after < 1:
        raise UserError(f"stop_after is a number of epochs, 1 or more. Received: {stop_after}.")
    recipe, began = resolved(recipe, overrides, data, workdir, changes), time.perf_counter()
    every, before, given = seconds(checkpoint_every), Run.unfinished(workdir, recipe), checked(callbacks)
    with logs.on_stderr(verbose) as console:
        setup, choice = set_up(recipe, data, before, workdir, strategy, logical_cpus, feed)
        with naming(setup.splits):
            model, kept, scores = build(setup)
            announce(setup, choice, kept)
            run = before or Run.create(recipe, workdir, ours=setup.is_chief, new=True)
            with run.alone(setup.is_chief):
                record.begin(run, setup, choice, kept)
                if profile:
                    with run.writing(), collective_errors(setup.devices):
                        for line in profiles.profile(setup, run.path / "tensorboard", began):
                            logger.info(line)
                best = BestWeights(kept, lambda: scores(setup.splits["val"]), scores.monitor,
                                   goal(setup.objective, scores.monitor), recipe.patience, recipe.keep,
                                   compressed.first_counted(recipe))
                timing = Timing(recipe.batch, lambda: optim.rates(recipe, setup.steps), setup.steps)
                saver = CheckpointCallback(run.path, model, kept, best, timing, setup.steps, every, setup.devices,
                                           stop_after)
                own = [StopOnNaN(setup.steps, setup.objective.losses), timing,
                       *compressed.callbacks(recipe, model), best, *setup.objective.callbacks(),
                       *(record.callbacks(run, setup, kept) if setup.is_chief else []), *given]
                try:
                    with saver.stop:
                        fit(setup, run, model, own, saver, console, verbose)
                        if given and recipe.keep == "last":
                            best.scores = None  # of weights that a callback may have changed since
                        saver.finish()
                        conclude(run, setup, choice, kept, scores, saver, test)
                except Diverged as error:
                    taken = int(keras.ops.convert_to_numpy(model.optimizer.iterations))
                    error = record.diverged(error, run, setup, choice, best, spent(setup, taken))
                    saver.discard()
                    raise error from None
                except Stopped as stopped:
                    if stopped.signal is None:
                        return run
                    logger.warning("%s", f"{stopped} To resume: {run.again}" if resumes(run) else stopped)
                    raise (KeyboardInterrupt if stopped.signal == signal.SIGINT
                           else SystemExit(128 + stopped.signal)) from None
                except SystemExit:  # a training within this one was stopped
                    logger.warning("To resume: %s", run.again)
                    raise
    return run


def resumes(run: Run) -> bool:
    """Return whether the run's folder stays: those of trainings within another one go."""
    return not run.path.name.startswith(".partial-")


def resolved(recipe: Recipe | str | Path, overrides: Sequence[str], data: Mapping[str, Split] | str | None,
             workdir: str | Path | None, changes: dict[str, Any]) -> Recipe:
    """Return the recipe with its overrides, and `data` checked."""
    if data is not None:
        changes = changes | {"data": data if isinstance(data, str) else "arrays"}
        check_splits(data)
    return recipe_of(recipe, overrides, workdir, **changes)


def set_up(recipe: Recipe, data: Mapping[str, Split] | str | None, before: Run | None, workdir: str | Path | None,
           strategy: str, logical_cpus: int | None, feed: str) -> tuple[Setup, dict[str, Any]]:
    """Choose the devices, read data and initial weights, and resolve each "auto" of the recipe."""
    devices = strategies.choose(strategy, logical_cpus)
    strategies.check(devices, recipe, workdir)
    with seeded(recipe.seed):  # loading makes initializers, too
        initial = pretrained.read(recipe, before)
    setup = Setup.of(recipe, data, devices, feed, initial, before.path if before else None)
    noted = before.choice if before else None
    with naming(setup.splits), collective_errors(devices):
        choice = autotune.autotune(recipe, noted, setup.splits["train"].shape, device(), devices, setup.resident,
                                   lambda candidate: setup.with_recipe(candidate).first_calls())
    return setup.with_recipe(autotune.apply(recipe, choice)), choice


def build(setup: Setup) -> tuple[keras.Model, keras.Model, Any]:
    """Build the model to fit, the network to keep, and what scores that network on a split."""
    with collective_errors(setup.devices):
        model, kept = setup.networks()
        with seeded(setup.recipe.seed):  # the check makes initializers, too
            saves.check(kept, setup.recipe)
        reference = reference_classifier(setup.objective, setup.splits)
        scores = evaluator(setup.objective, kept, setup.recipe.micro_batch, setup.devices, reference)
    for name in ("val", "test"):
        scores.check(setup.splits[name])
    return model, kept, scores


def announce(setup: Setup, choice: dict[str, Any], kept: keras.Model) -> None:
    """Log what is not as the recipe says, or not only there."""
    if not setup.is_chief:
        return
    for line in [*([autotune.summary(choice)] if choice else []),
                 *strategies.remarks(setup.devices, setup.recipe, kept),
                 *([pretrained.summary(setup.initial, setup.begun)] if setup.initial else [])]:
        logger.info(line)


def fit(setup: Setup, run: Run, model: keras.Model, callbacks: list[keras.callbacks.Callback],
        saver: CheckpointCallback, console: logs.LogConsole, verbose: bool) -> None:
    """Train from the beginning, or from the run's last checkpoint.

    A run that resumes within an epoch first fits the rest of that epoch, and then the others.
    """
    steps, epochs = setup.steps, setup.recipe.epochs
    with run.writing(), collective_errors(setup.devices):
        start = saver.restore()
        if setup.is_chief:
            trim(run.path, saver.best.epochs)
    if saver.ended:
        return
    if saver.stop_after and start >= saver.stop_after * steps:
        raise Stopped(None, start, True)
    epoch, done = divmod(start, steps)
    parts = [(epoch, epoch + 1, done), (epoch + 1, epochs, 0)] if done else [(epoch, epochs, 0)]
    with (run.writing(), collective_errors(setup.devices),
          ProgressBar(epochs, steps, start, console, verbose, setup.is_chief,
                      PLURALS[setup.splits["train"].kind]) as progress):
        try:
            for first, last, done in parts:
                if first < last and not saver.best.enough:
                    model.fit(setup.batches(model, first * steps + done), initial_epoch=first, epochs=last,
                              shuffle=False, verbose=0, steps_per_epoch=steps - done,
                              callbacks=[*callbacks, progress, saver])
                    if model.stop_training:
                        break
        finally:
            saver.checkpoints.wait()


def conclude(run: Run, setup: Setup, choice: dict[str, Any], kept: keras.Model, scores: Any, saver: CheckpointCallback,
             test: bool) -> None:
    """Restore the weights that are kept, measure them on the test split, and write model.keras and result.json."""
    best, timing, steps = saver.best, saver.timing, saver.step
    if best.keep == "best":
        best.restore()
    splits, extra = setup.splits, {}
    with collective_errors(setup.devices):
        measured = {"test": scores(splits["test"])} if test else {}
        outputs = getattr(scores, "outputs", None)
        measured["val"] = best.scores or scores(splits["val"])
        if test:
            extra = scores.facts(splits) | follow_up(setup.objective, kept, splits)
    for split, found in measured.items():
        for name in ("loss", scores.monitor):
            if not math.isfinite(found.get(name, 0.0)):  # by the last step, whose effect no loss has shown yet
                raise Diverged(f"{split}/{name} is {found[name]} at the end. Lower lr, or add warmup.")
    saves.check_numbers(kept)
    if setup.is_chief:
        extra |= compressed.reached(setup.recipe, kept, best.epochs)  # before frozen kernels count as learning again
        record.save(run, kept)
        if test and setup.objective.predicts:
            objective, examples, batch = setup.objective, splits["test"], setup.recipe.micro_batch
            answering = run.model() if setup.replicated else kept  # one process cannot predict for several workers
            predictions.write(run, predictions.collect(objective, answering, examples, batch) if outputs is None else
                              predictions.of(objective, examples, outputs.numpy(), batch))
        record.finish(run, setup, choice, status="completed", monitor=scores.monitor, best_epoch=best.best_epoch,
                      parameters=kept.count_params(), **record.finite(measured), **record.finite(extra),
                      **spent(setup, steps),
                      **({"versions": saver.versions} if saver.versions[1:] else {}),
                      train={**timing.summary(), "epochs": best.epochs, "steps": steps})
    saver.discard()


def spent(setup: Setup, steps: int) -> dict[str, Any]:
    """Return what private training has spent, for result.json; nothing where it is not private."""
    return {"private": setup.privacy.facts(steps)} if setup.privacy else {}


def reference_classifier(objective: Objective, splits: Mapping[str, Split]) -> FeatureExtractor | None:
    """Return the classifier that the objective's scores look through, trained first if it is not there yet."""
    found = of_objective(objective, splits)
    if found is None:
        return None
    if found.recipe and not found.ready:
        logger.info("training %s, through which the images are measured; once, then it is in %s", found.recipe.name,
                    found.folder)
        with found.scratch() as folder:
            train(found.recipe, workdir=folder, data=splits if found.recipe.data == "arrays" else None,
                  strategy="one", verbose=False)
            found.keep(folder)
    return found.extractor()


def follow_up(objective: Objective, kept: keras.Model, splits: Mapping[str, Split]) -> dict[str, Any]:
    """Run the trainings that the objective asks for after its own, and return their test scores."""
    reference, results = reference_classifier(objective, splits), {}
    for name, (recipe, data) in objective.follow_ups(kept, splits, reference).items():
        with Found.scratch() as folder:
            run = train(recipe, workdir=folder, data=data, strategy="one", verbose=False)
            results[name] = {"samples": len(data["train"]), **run.result["test"]}
    return results


def goal(objective: Objective, monitor: str) -> str:
    """Return whether "max" or "min" is better; a score may carry its classifier's name: frechet_cnn_digits."""
    return objective.scores.get(monitor) or objective.scores[monitor.partition("_")[0]]


def check_splits(data: str | Mapping[str, Split]) -> None:
    """Raise a UserError for what is neither a name nor three splits of one kind."""
    if isinstance(data, str):
        return
    if not isinstance(data, Mapping) or not all(isinstance(split, Split) for split in data.values()):
        raise UserError("data is a name, or splits as kerasdl.data.from_arrays, from_frame and load_splits make them. "
                        f"Received: {type(data).__name__}.")
    if missing := [name for name in SPLITS if name not in data]:
        raise UserError(f"data has no split {missing[0]!r}. It has: {', '.join(data)}; a training takes "
                        f"{', '.join(SPLITS)}.")
    for name in ("val", "test"):
        check_same(data[name], data["train"].describe(), f"the split {name}")
        if data[name].outputs != data["train"].outputs:
            raise UserError(f"The split {name} has {data[name].outputs} targets, and train {data['train'].outputs}.")
