"""What a training writes into its run's folder, at the beginning, after each epoch and at the end."""

import json
import logging
import math
import resource
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from kerasdl import user_code
from kerasdl.data import leaks, pipeline, spec
from kerasdl.devices import distribute_fixes
from kerasdl.devices import strategy as strategies
from kerasdl.devices.device import device
from kerasdl.environment import environment, gemm_peak
from kerasdl.errors import DataError, UserError
from kerasdl.files import whole, write_json, write_text
from kerasdl.installation import backend
from kerasdl.run import NOTES, Run
from kerasdl.text import moment
from kerasdl.train import pretrained, seen
from kerasdl.train.callbacks import BestWeights, Diverged
from kerasdl.train.setup import Setup
from kerasdl.train.tensorboard import EpochImages, EpochScalars

logger = logging.getLogger(__name__)
LONG = 10  # only benchmark the CPU after trainings longer than this, in seconds


def begin(run: Run, setup: Setup, choice: dict[str, Any], kept: keras.Model) -> None:
    """Write what the run began with: the user's own files, data.json, choice.json and init.json.

    Raises:
        UserError: a run that resumes began with other data or other files.
    """
    file, facts = run.path / "data.json", json.loads(json.dumps(setup.splits["train"].describe()))
    facts["orders"] = spec.ORDERS
    first, noted = setup.splits["train"], setup.objective.noted()
    large = first.streamed and math.prod(first.example_shape) * pipeline.BUFFER > pipeline.BUFFERED
    facts |= {"steps": spec.STEPS} if first.kind == "tokens" or large else {}
    facts["examples"] = {name: split.fingerprint() for name, split in setup.splits.items()}
    if setup.is_chief:
        with run.writing():
            user_code.keep(setup.recipe, run.path)
        if setup.initial:
            pretrained.note(run, setup.initial, setup.begun)
    if not file.exists() and setup.is_chief:
        cut = [line for split in setup.splits.values() for line in split.remarks]
        notes = {"folder": str(Path.cwd()), "remarks": [*cut, *leaks.remarks(setup.splits)],
                 **({"noted": noted} if noted else {})}
        for remark in notes["remarks"]:
            logger.warning(remark)
        with run.writing():
            if choice:
                write_json(run.path / "choice.json", choice)
            for name, text in setup.splits["train"].files.items():
                write_text(run.path / name, text)
            if setup.objective.target is None:
                seen.note(run, setup.splits["train"])
            write_json(file, facts | notes)
    elif file.exists() and run.data.get("orders", 1) != spec.ORDERS:
        raise UserError(f"{run.path} began with the orders of kerasdl 0.1 (docs/lab/orders.md), which later versions "
                        "do not have. Start a new run.")
    elif file.exists() and run.data.get("steps", 1) < facts.get("steps", 1):
        raise UserError(f"{run.path} began with version 0.2 of kerasdl, which trains otherwise on such data. Start a "
                        "new run.")
    elif file.exists() and {key: value for key, value in run.data.items() if key not in NOTES} != {
            key: facts[key] for key in facts if key in run.data or key != "examples"}:
        raise DataError(f"The data is not what {run.path} began with (see its data.json). Start a new run.")
    elif changed := [name for name in noted if file.exists() and noted[name] != run.data.get("noted", noted)[name]]:
        raise UserError(f"{run.path} began with another {changed[0]}. Start a new run.")


def callbacks(run: Run, setup: Setup, kept: keras.Model) -> list[keras.callbacks.Callback]:
    """Return what writes TensorBoard files and metrics.csv."""
    folder, draw = run.path / "tensorboard", setup.objective.preview(kept)
    return [EpochScalars(folder), *([EpochImages(folder, draw)] if draw else []),
            keras.callbacks.CSVLogger(run.path / "metrics.csv", append=True)]


def save(run: Run, kept: keras.Model) -> None:
    """Write model.keras without the optimizer, whole or not at all."""
    distribute_fixes.synchronize_norms(kept, False)
    distribute_fixes.synchronize_ranges(kept, False)
    pretrained.thaw(kept)
    with run.writing(), whole(run.path / "model.keras") as partial:
        kept.save(partial, include_optimizer=False)


def finish(run: Run, setup: Setup, choice: dict[str, Any], **measured: Any) -> None:
    """Write result.json, the run's last file, and remove what only an unfinished run needs."""
    asked = run.recipe
    facts = environment(backend=backend.current(), device=device(), strategy=strategies.describe(setup.devices),
                        replicas=setup.devices.num_replicas_in_sync, precision=setup.recipe.precision,
                        jit=strategies.jit(setup.devices, setup.recipe.jit))
    if measured.get("train", {}).get("seconds", 0) > LONG:
        facts["gemm_gflops"] = gemm_peak()
    with run.writing():
        write_json(run.path / "result.json", {
            "recipe": asked.name or asked.model, "seed": asked.seed, "orders": spec.ORDERS,
            "settings": asked.diff(), **measured, "better": setup.objective.scores, "finished": moment(),
            **({"choice": choice} if choice else {}), **({"init": run.origin} if asked.init else {}),
            "peak_rss_mb": round(peak_rss_mb(), 1), "environment": facts})
    shutil.rmtree(run.path / "checkpoint", ignore_errors=True)


def diverged(error: Diverged, run: Run, setup: Setup, choice: dict[str, Any], best: BestWeights,
             spent: Mapping[str, Any]) -> Diverged:
    """Keep what there was of a run whose loss became NaN, with what it has spent, and return the error with where that
    is."""
    if not setup.is_chief:
        return error
    kept, epoch = "nothing to keep yet", None
    if best.rank and math.isfinite(best.rank[0]):
        best.restore()
        save(run, best.kept)
        epoch = best.best_epoch
        kept = f"the model of epoch {epoch} is kept"
    finish(run, setup, choice, status="diverged", best_epoch=epoch, message=str(error), **spent)
    return Diverged(f"{error} In {run.path}: {kept}.")


def finite(scores: dict[str, Any]) -> dict[str, Any]:
    """Return the scores without those that are undefined, such as an R2 of equal targets."""
    return {name: finite(score) if isinstance(score, dict) else score for name, score in scores.items()
            if not isinstance(score, float) or math.isfinite(score)}


def peak_rss_mb() -> float:
    """Return the most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
