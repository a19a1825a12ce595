"""From a recipe to a run: fit, evaluate, result.json. It knows no objective by name."""

import json
import math
import resource
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from kerasdl.checkpoints import resume
from kerasdl.checkpoints.checkpoint import seconds
from kerasdl.data import Split
from kerasdl.data.sources.folders import naming
from kerasdl.data.split import check_same
from kerasdl.devices import replicas
from kerasdl.devices import strategy as strategies
from kerasdl.environment import environment, gemm_peak
from kerasdl.errors import UserError
from kerasdl.files import whole, write_json
from kerasdl.installation import backend
from kerasdl.recipe import Recipe
from kerasdl.recipe import load as load_recipe
from kerasdl.run import Run
from kerasdl.train import autotune as probe
from kerasdl.train import fused
from kerasdl.train import pretrained as transfer
from kerasdl.train import profile as profiles
from kerasdl.train.callbacks import Diverged, EpochPictures, EpochScalars, Keep, Narrator, StopOnNaN, Teller, Timing
from kerasdl.train.job import SPLITS, Job, seeded

LONG = 10  # seconds of training beside which it is nothing to measure the processor


def train(recipe: Recipe | str | Path, *overrides: str, workdir: str | Path | None = None,
          data: Mapping[str, Split] | str | None = None, verbose: bool = True, strategy: str = "auto",
          logical_cpus: int | None = None, checkpoint_every: str | float = "5 min", feed: str = "auto",
          profile: bool = False, callbacks: Sequence[keras.callbacks.Callback] = (), test: bool = True,
          **changes: Any) -> Run:
    """Train a recipe and return its run.

    It computes with the backend that Keras has: TensorFlow, or JAX where KERAS_BACKEND=jax was set before the import.

    The epoch to keep is chosen on the val split; the test split is read once, at the end. With the `workdir` of a run
    of the same recipe that was interrupted, training goes on at the step of its last checkpoint, and ends as if nothing
    had happened.

    Args:
        recipe: a Recipe, the name of one, or a path to a .py file or to a run's recipe.json.
        *overrides: changes as text, "model_args.size=S".
        workdir: the run's folder; by default `runs/<recipe>/<time>-<id>/`.
        data: splits "train", "val" and "test", as kerasdl.data.from_arrays makes them, or the name of a data set.
        verbose: whether to tell of each epoch on stderr.
        strategy: "auto", "one", "mirrored", "multiworker" or "tpu"; see kerasdl.devices.strategy.choose.
        logical_cpus: split the processor into so many devices, for "mirrored".
        checkpoint_every: how often to save the state, "5 min" or seconds.
        feed: "resident" keeps the examples on the device and takes many steps in one call, "streamed" sends each batch
            from the pipeline; "auto" is resident where the examples fit. The weights are the same.
        profile: first time a step and write a TensorBoard profile, and tell in one line what bounds the training.
        callbacks: called after an epoch's validation and the row of metrics.csv, and before the state is saved. What
            they know themselves is not in it, and they are told twice that training begins where a run goes on within
            an epoch.
        test: whether to read the test split at the end. A search, which trains to choose, does not.
        **changes: changes as values, epochs=3.

    Raises:
        UserError: for anything in the recipe or the data that cannot be; Diverged when the loss becomes NaN.
        KeyboardInterrupt, SystemExit: after Ctrl-C and SIGTERM, when the state is saved.
    """
    if data is not None:
        changes["data"] = data if isinstance(data, str) else "arrays"
        check_splits(data)
    recipe = load_recipe(recipe).override(*overrides, **changes)
    every = seconds(checkpoint_every)
    before = Run.unfinished(workdir, recipe)
    devices = strategies.choose(strategy, logical_cpus)
    strategies.check(devices, recipe, workdir)
    with seeded(recipe.seed):  # loading makes initializers, too
        origin = transfer.read(recipe, before)
    job = Job.of(recipe, data, devices, feed, origin)
    with naming(job.splits):
        job, choice = decided(job, before)
        with strategies.together(devices):
            model, kept = job.networks()
            told = verbose and job.chief
            judge = job.judge(kept, train, told)
    classes = job.splits["train"].classes
    if told:
        for line in [*([probe.tell(choice)] if choice else []), *strategies.remarks(devices, job.recipe, kept),
                     *([transfer.tell(origin, kept, classes)] if origin else [])]:
            print(line, file=sys.stderr)

    run = before or Run.create(recipe, workdir, ours=job.chief)
    with run.alone(job.chief):
        if origin and job.chief:
            transfer.note(run, origin, kept, classes)
        describe(run, job, choice)
        if profile:
            with run.writing(), strategies.together(devices):
                print(profiles.profile(job, run.path / "tensorboard"), file=sys.stderr)
        timing = Timing(recipe.batch)
        keep = Keep(kept, partial(judge, job.splits["val"]), judge.metric, job.objective.GOAL, recipe.patience)
        saver = resume.Saver(run.path, model, kept, keep, timing, job.steps, every, devices)
        callbacks = [StopOnNaN(job.steps, job.objective.LOSSES), timing, keep, *job.objective.watchers(),
                     *(logging(run, job, kept) if job.chief else []), *callbacks]
        try:
            with naming(job.splits):
                fit(job, run, model, callbacks, saver, told)
        except Diverged as error:
            raise diverged(error, run, job, keep, choice) from None
        except resume.Stopped as stopped:
            if verbose:
                Teller(file=sys.stderr, markup=False).tell(f"{stopped} To go on: {run.again}")
            raise (KeyboardInterrupt if stopped.signal == signal.SIGINT else SystemExit(128 + stopped.signal)) from None
        if recipe.keep == "best":
            keep.restore()
        if job.recipe.precision == "mixed_bfloat16" and not job.objective.pictures:
            fused.unfuse(kept)  # measured as it is saved, for Keras' own layers round elsewhere
            with strategies.together(devices):
                judge = job.judge(kept, train, False)
        with strategies.together(devices), naming(job.splits):
            measured = {name: judge(job.splits[name]) for name in ["test"] * test + ["val"]}
            beside = judge.beside(job.splits) if test else {}
        for split, scores in measured.items():
            for name in ("loss", judge.metric):
                if not math.isfinite(scores.get(name, 0.0)):  # by the last step, whose effect no loss has shown yet
                    error = Diverged(f"{split}/{name} is {scores[name]} at the end. Lower lr, or add warmup.")
                    raise diverged(error, run, job, keep, choice)
        if job.chief:
            save(run, kept)
            finish(run, job, choice, status="completed", best_epoch=keep.best_epoch, parameters=kept.count_params(),
                   **finite(measured), **finite(beside),
                   train={**timing.summary(), "epochs": keep.epochs, "steps": keep.epochs * job.steps})
    return run


def check_splits(data: str | Mapping[str, Split]) -> None:
    """Refuse what is neither a name nor three splits of one kind."""
    if isinstance(data, str):
        return
    if not isinstance(data, Mapping) or not all(isinstance(split, Split) for split in data.values()):
        raise UserError("data is a name, or splits as kerasdl.data.from_arrays and load_splits make them. "
                        f"Received: {type(data).__name__}.")
    if missing := [name for name in SPLITS if name not in data]:
        raise UserError(f"data has no split {missing[0]!r}. It has: {', '.join(data)}; a training takes "
                        f"{', '.join(SPLITS)}.")
    for name in ("val", "test"):
        check_same(data[name], data["train"].describe(), f"the split {name}")
        if data[name].outputs != data["train"].outputs:
            raise UserError(f"The split {name} has {data[name].outputs} targets, and train {data['train'].outputs}.")


def decided(job: Job, before: Run | None) -> tuple[Job, dict[str, Any]]:
    """The job with what "auto" becomes, and that choice: as the run began, else as remembered, else by measurement."""
    def start(recipe):
        return job.of_recipe(recipe).first_calls()

    with strategies.together(job.devices):
        shape = job.splits["train"].shape
        choice = probe.settle(job.recipe, before and before.choice, shape, device(), job.devices, job.stay, start)
    return job.of_recipe(probe.settled(job.recipe, choice)), choice


def fit(job: Job, run: Run, model: keras.Model, callbacks: list[keras.callbacks.Callback], saver: resume.Saver,
        verbose: bool) -> None:
    """Train from the beginning, or from the run's last checkpoint.

    A run that goes on within an epoch first fits the rest of that epoch, and then the others.
    """
    steps, epochs = job.steps, job.recipe.epochs
    with run.writing(), strategies.together(job.devices):
        start = saver.go_on()
        if job.chief:
            resume.trim(run.path, start // steps)
    epoch, done = divmod(start, steps)
    parts = [(epoch, epoch + 1, done), (epoch + 1, epochs, 0)] if done else [(epoch, epochs, 0)]
    with (run.writing(), strategies.together(job.devices), saver.stop,
          Narrator(epochs, steps, start, verbose) as narrator):
        try:
            for first, last, done in parts:
                if first < last and not saver.keep.enough:
                    model.fit(job.batches(model, first * steps + done), initial_epoch=first, epochs=last, shuffle=False,
                              verbose=0, steps_per_epoch=steps - done, callbacks=[*callbacks, narrator, saver])
                    if model.stop_training:
                        break
        finally:
            saver.checkpoints.wait()


def logging(run: Run, job: Job, kept: keras.Model) -> list[keras.callbacks.Callback]:
    """TensorBoard and metrics.csv."""
    folder, draw = run.path / "tensorboard", job.objective.pictures
    return [EpochScalars(folder, write_graph=False), *([EpochPictures(folder, partial(draw, kept))] if draw else []),
            keras.callbacks.CSVLogger(run.path / "metrics.csv", append=True)]


def describe(run: Run, job: Job, choice: dict[str, Any]) -> None:
    """Write data.json and choice.json; of a run that goes on, refuse other data than it began with."""
    file, facts = run.path / "data.json", json.loads(json.dumps(job.splits["train"].describe()))
    facts["examples"] = {name: split.fingerprint() for name, split in job.splits.items()}
    if not file.exists() and job.chief:
        with run.writing():
            if choice:
                write_json(run.path / "choice.json", choice)
            write_json(file, facts)
    elif file.exists() and run.data != {key: facts[key] for key in facts if key in run.data or key != "examples"}:
        raise UserError(f"The data is not what {run.path} began with (see its data.json). Start a new run.")


def save(run: Run, kept: keras.Model) -> None:
    """model.keras without the optimizer, whole or not at all."""
    replicas.synchronize_norms(kept, False)
    fused.unfuse(kept)
    transfer.thaw(kept)
    with run.writing(), whole(run.path / "model.keras") as partial:
        kept.save(partial, include_optimizer=False)


def finish(run: Run, job: Job, choice: dict[str, Any], **measured: Any) -> None:
    """Write result.json, the run's last file, and clear away what only an unfinished run needs."""
    asked = run.recipe
    facts = environment(backend=backend.current(), device=device(), strategy=strategies.describe(job.devices),
                        replicas=job.devices.num_replicas_in_sync, precision=job.recipe.precision, jit=job.recipe.jit)
    if measured.get("train", {}).get("seconds", 0) > LONG:
        facts["gemm_gflops"] = gemm_peak()
    with run.writing():
        write_json(run.path / "result.json", {
            "recipe": asked.name or asked.model, "seed": asked.seed, "settings": asked.diff(), **measured,
            **({"choice": choice} if choice else {}), **({"init": run.origin} if asked.init else {}),
            "peak_rss_mb": round(peak_rss_mb(), 1), "environment": facts})
    shutil.rmtree(run.path / "checkpoint", ignore_errors=True)


def finite(scores: dict[str, Any]) -> dict[str, Any]:
    """Without what cannot be told, such as an R2 of equal targets."""
    return {name: finite(score) if isinstance(score, dict) else score for name, score in scores.items()
            if not isinstance(score, float) or math.isfinite(score)}


def diverged(error: Diverged, run: Run, job: Job, keep: Keep, choice: dict[str, Any]) -> Diverged:
    """Keep what there was of a run whose loss became NaN, and say where it is."""
    kept, best = "nothing to keep yet", None
    if not job.chief:
        return error
    if keep.best and math.isfinite(keep.best[0]):
        keep.restore()
        save(run, keep.kept)
        best = keep.best_epoch
        kept = f"the model of epoch {best} is kept"
    finish(run, job, choice, status="diverged", best_epoch=best, message=str(error))
    return Diverged(f"{error} In {run.path}: {kept}.")


def device() -> str:
    """What Keras computes on: the name of the first GPU or TPU, or "CPU"."""
    if backend.jax():
        from kerasdl.devices import jax

        return jax.device()
    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else "CPU"


def peak_rss_mb() -> float:
    """The most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
