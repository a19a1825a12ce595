"""`export`: convert a run's model, run the file where it is to run, and keep it if it is right."""

import errno
import fcntl
import glob
import hashlib
import json
import logging
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasdl import objectives
from kerasdl.compression.quantize_aware import bits_of, is_aware
from kerasdl.data.tokens import FILE as TOKENIZER
from kerasdl.deploy import formats, gate, measure, network
from kerasdl.errors import Impossible, UserError
from kerasdl.evaluation.splits import load_split
from kerasdl.files import write_json, writing
from kerasdl.objectives.base import Objective
from kerasdl.run import Run
from kerasdl.zoo import weights
from kerasdl.zoo.precision import in_float32

FACTS = "export.json"
DISTRIBUTIONS = {"ai_edge_litert": "ai-edge-litert"}  # of modules that have another name on the package index
ROUNDED = ("litert", "onnx", "openvino", "web")  # formats that round a network for 8 bits otherwise than Keras does
logger = logging.getLogger(__name__)


def export(run: Run | str | Path, form: str, *, quantize: str | None = None, out: str | Path | None = None,
           tolerance: float | None = None, data: Any = None) -> dict[str, Any]:
    """Write a run's model for another runtime, and return what was measured, which export.json says, too.

    The file takes what the model takes, raw pixels, rows, series or token ids in float32 or int32, in batches of any
    size, and answers with logits, or with numbers.

    Args:
        run: the run, or its folder.
        form: a name of kerasdl.deploy.formats.
        quantize: None, "float16", "dynamic" or "int8", of those that the format has.
        out: the folder to write; by default `export/<form>` or `export/<form>-<quantize>` in the run.
        tolerance: how far a float32 file's answers may be from the model's, as a share of their range (1e-4), of
            numbers each of its own; how much of the validation score a file with fewer bits may lose (0.005, or one
            example), or without scores how far the correlation of its answers may be from 1 (0.05).
        data: the splits of a run that was trained on arrays.

    Raises:
        UserError: the format is unknown or not installed, TensorFlow makes it and Keras computes with something else,
            the folder exists, the model cannot be converted, the file does not run, or its answers are not the
            model's. Then nothing is written.
    """
    made, run = formats.find(form, quantize), Run.open(run)
    if getattr(made, "CONVERTS", True):
        check_backend()
    out = Path(out) if out is not None else run.path / "export" / "-".join(filter(None, (form, quantize)))
    if out.exists():
        raise UserError(f"{out} is there already. Remove it, or choose another --out.")
    objective, kept = objectives.of(run.recipe, run.path), run.model()
    if len(kept.inputs) > 1 or len(kept.outputs) > 1:
        raise UserError(f"{run.path} has a model of {len(kept.inputs)} inputs and {len(kept.outputs)} outputs. "
                        "One of each can be exported.")
    objective.bind(kept)
    if hasattr(made, "check"):
        made.check(run, objective, kept)
    plain = in_float32(kept)
    if form in ROUNDED and (bits := bits_of(plain) - {8}):
        raise UserError(f"{run.path} was trained with weights of {min(bits)} bits, for which no file is written. Train "
                        "with quantize=int8, or give --format keras, which rounds as the network does.")
    if is_aware(plain) and form in ROUNDED and (form, quantize) != ("litert", "int8"):
        raise UserError(f"{run.path} was trained to run in 8 bits, and other files do not round as it does. Give "
                        "--format litert --quantize int8.")
    x, y, calibration = tried_with(run, objective, plain, data, quantize == "int8")
    if not getattr(made, "LOOPS", True):
        plain = network.unrolled(plain, x.shape[1])
    with folder(out) as partial:
        convert(made, plain, partial / made.FILE, quantize, calibration, form)
        if hasattr(made, "annotate"):
            made.annotate(str(partial / made.FILE), {"kerasdl": json.dumps(about(run, objective, plain))})
        reference = measure.in_batches(plain.predict_on_batch, x)
        found = measured(form, partial / made.FILE, plain, x, run.path)
        before, after = (scores_of(objective, y, outputs) for outputs in (reference, found["all"]))
        scores = [gate.Score(name, before[name], after[name], better) for name, better in rated(objective).items()
                  if math.isfinite(before.get(name, math.nan)) and name in after]
        chosen = next((score for score in scores if score.name == objective.monitor), scores[0] if scores else None)
        answers = {name: value for name, value in found.items() if not name.startswith("seconds")}
        units = objective.target == "number" and reference.ndim == 2
        if why := gate.refusal(reference, answers, quantize, chosen, tolerance, units):
            raise Impossible(f"No file was written: as {described(form, quantize)} {why}.")
        facts = {"format": form, "quantize": quantize, "file": made.FILE, **about(run, objective, plain),
                 "examples": len(x), "difference": gate.difference(reference, found["all"], reference, units),
                 "scores": {score.name: {"keras": score.model, "file": score.file} for score in scores
                            if math.isfinite(score.file)},
                 "latency": latency(found), "packages": installed(*made.PACKAGES)}
        if hasattr(made, "accompany"):
            made.accompany(str(partial / made.FILE), run, objective, facts, x)
        if (tokens := run.path / TOKENIZER).is_file():
            shutil.copyfile(tokens, partial / TOKENIZER)
        facts |= {"run_data_sha256": run.data_digest, "run_model_sha256": digest(run.model_file)}
        write_json(partial / FACTS, facts | {"bytes": size(partial / made.FILE), "sha256": digest(partial / made.FILE)})
    return json.loads((out / FACTS).read_text(encoding="utf-8")) | {"folder": str(out)}


def check_backend() -> None:
    """Raise a UserError where Keras does not compute with TensorFlow, with which all converters begin."""
    if (name := keras.backend.backend()) != "tensorflow":
        raise UserError(f"Files for other runtimes are made by TensorFlow, and Keras computes with {name} here. Set "
                        "KERAS_BACKEND=tensorflow for this command; a run of any backend loads there.")


def read_back(model: keras.Model, file: Path, header: Mapping[str, Any]) -> dict[str, Any]:
    """Return what export.json says of a file of weights, once it is read into a new network that answers as ours does.

    Args:
        model: whose weights were written.
        file: that holds them.
        header: what kerasdl.zoo.weights.save returned.

    Raises:
        UserError: the answers to random images are others.
    """
    plain, images = in_float32(model), random_images(model)
    again = keras.models.clone_model(plain)
    weights.load(again, file, header["model"])
    wanted, found = (keras.ops.convert_to_numpy(one(images, training=False)) for one in (plain, again))
    apart = float(np.abs(wanted.astype("float64") - found).max() / (np.ptp(wanted) or 1.0))
    if not apart <= gate.APART:  # NaN is not
        raise Impossible(f"No file was written: read into a new network, its answers are {apart:.2g} of their range "
                        f"from the model's; allowed are {gate.APART:g}.")
    return {"difference": apart, "bytes": size(file), "sha256": digest(file),
            "packages": installed("safetensors")}


def random_images(model: keras.Model) -> np.ndarray:
    """Return some images (N, H, W, C) float32, 0..255, as a model takes them."""
    shape = [side or 32 for side in model.input_shape[1:]]
    return np.random.default_rng(0).integers(0, 256, (8, *shape)).astype("float32")


def described(form: str, quantize: str | None) -> str:
    return form if quantize is None else f"{form} in {quantize}"


def tried_with(run: Run, objective: Objective, plain: keras.Model, data: Any, calibrates: bool
               ) -> tuple[np.ndarray, Any, np.ndarray]:
    """Return the validation split, its targets, and training examples for a calibration."""
    if network.is_generator(objective):
        x = network.drawn(plain)
        return x, None, x
    x, y = network.examples_of(objective, load_split(run, "val", data))
    if not calibrates:
        return x, y, x[:0]
    train = load_split(run, "train", data)
    if not train.streamed:  # from every class, also of a split that is sorted by them
        count = min(len(train), network.CALIBRATION)
        train = train.part(np.arange(count) * len(train) // count)
    some, _ = network.examples_of(objective, train, network.CALIBRATION)
    return x, y, measure.as_input(some)


def convert(made: formats.Format, plain: keras.Model, path: Path, quantize: str | None, calibration: np.ndarray,
            form: str) -> None:
    """Write the file, or say in one line that it cannot be written."""
    try:
        made.write(plain, str(path), quantize, calibration)
    except Exception as error:  # converters raise anything
        logger.debug("%s", error, exc_info=True)
        raise Impossible(f"No file was written: {described(form, quantize)} cannot be made of this model: "
                        f"{first_line(error)}") from error
    if not path.exists():
        raise Impossible(f"No file was written: the converter of {form} wrote nothing, and raised no error.")


def first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:300]


def measured(form: str, path: Path, plain: keras.Model, x: np.ndarray, run: Path) -> dict[str, np.ndarray]:
    """Return what kerasdl.deploy.measure finds, in a process of its own."""
    with tempfile.TemporaryDirectory() as held:
        compared, given, found = (f"{held}/{name}" for name in ("network.keras", "given.npz", "found.npz"))
        plain.save(compared)
        np.savez(given, x=x)
        command = [sys.executable, "-P", "-m", measure.__name__, form, str(path), compared, given, found, str(run)]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"KERAS_BACKEND": "tensorflow"})
        if done.returncode:
            why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise Impossible(f"No file was written: the runtime of {form} does not run it: {why[:300]}")
        with np.load(found) as arrays:
            return dict(arrays)


def scores_of(objective: Objective, y: Any, outputs: np.ndarray) -> dict[str, float]:
    """Return the scores of answers; none without targets, or of answers that are no numbers or too few."""
    if y is None or len(outputs) != len(y) or not np.isfinite(outputs).all():
        return {}
    found = {}
    for metric in objective.metrics():
        metric.update_state(y, outputs)
        found[metric.name] = float(metric.result())
    for name in objective.overall_scores:
        if name not in objective.learner_scores:
            found[name] = float(objective.overall(name, y, outputs))
    return {name: value for name, value in found.items() if name not in objective.learner_scores}


def rated(objective: Objective) -> dict[str, str]:
    """Return {score: "max" or "min"} of the scores that the kept model's answers have."""
    return {name: better for name, better in {**objective.scores, **objective.overall_scores}.items()
            if name not in objective.learner_scores}


def about(run: Run, objective: Objective, plain: keras.Model) -> dict[str, Any]:
    """Return what a reader of the file has to know to use it."""
    facts, recipe, generates = run.data, run.recipe, network.is_generator(objective)
    return {"recipe": recipe.name, "objective": recipe.objective, "kind": facts["kind"],
            "input": {"name": plain.inputs[0].name, "shape": list(plain.input_shape[1:]),
                      "dtype": str(plain.inputs[0].dtype), "is": NOISE[0] if generates else INPUTS[facts["kind"]]},
            "output": {"shape": list(plain.output_shape[1:]),
                       "is": NOISE[1] if generates else OUTPUTS.get(objective.target or "", "numbers")},
            "classes": list(facts.get("classes") or ()), **{key: facts[key] for key in PREPARES if facts.get(key)}}


PREPARES = ("columns", "medians", "reading", "numbers")  # of data.json: what a table, a text or an image becomes
INPUTS = {"image": "pixels, 0..255, not normalised",
          "row": "for each of `columns` its number, minus that in `reading.offsets` if it is there, or 1 at one of its "
                 "categories and 0 at the others",
          "sequence": "steps of numbers; NaN at the end of shorter ones",
          "tokens": "ids of tokenizer.json; 0 is padding"}
NOISE = "noise from a standard normal distribution", "pixels, -1..1"  # in and out of a generator
OUTPUTS = {"class": "logits of classes", "labels": "logits of labels",
           "tags": "logits of tags at each token"}


def latency(found: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return medians in milliseconds at each batch, of the file and of Keras' compiled call, and their ratio."""
    table = {}
    for batch in measure.TIMED:
        ours, keras_call = (statistics.median(row) for row in found[f"seconds{batch}"].tolist())
        table[str(batch)] = {"file_ms": round(1e3 * ours, 4), "keras_ms": round(1e3 * keras_call, 4),
                             "ratio": round(keras_call / ours, 3)}
    return table


def installed(*names: str) -> dict[str, str]:
    """Return the versions of packages, and of those that every export needs."""
    found = {}
    for name in dict.fromkeys(("keras", "tensorflow", *names)):
        try:
            found[name] = version(DISTRIBUTIONS.get(name, name))
        except PackageNotFoundError:  # TensorFlow's wheels have several names
            found[name] = str(getattr(sys.modules.get(name), "__version__", "unknown"))
    return found


def files_of(path: Path) -> list[Path]:
    return sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]


def size(path: Path) -> int:
    return sum(one.stat().st_size for one in files_of(path))


def digest(path: Path) -> str:
    """Return SHA-256 of the file, or of the files of a folder one after another."""
    found = hashlib.sha256()
    for one in files_of(path):
        found.update(one.read_bytes())
    return found.hexdigest()


@contextmanager
def folder(out: Path, then: str = "Make room, or name another folder.") -> Iterator[Path]:
    """A folder to write to, which becomes `out` once the block has ended well. `then` ends the message if it cannot.

    Those that killed processes have left are removed.
    """
    partial, lock = out.with_name(f".partial-{os.getpid()}-{out.name}"), None
    try:
        with writing(out, then):
            remove_left(out)
            if partial.exists():  # of a process that was killed: in a container the next one has the same id
                shutil.rmtree(partial)
            partial.mkdir(parents=True)
            lock = lock_of(partial)
        yield partial
        with writing(out, then):
            try:
                partial.rename(out)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                raise UserError(f"{out} was written by another process meanwhile. Remove it, or choose another folder."
                                ) from None
    finally:
        if lock is not None:
            os.close(lock)
        shutil.rmtree(partial, ignore_errors=True)


def remove_left(out: Path) -> None:
    """Remove what half-written folders killed processes have left next to one.

    A number says little of a process, which may be in another container or on another host: whose lock is held lives.
    """
    for left in out.parent.glob(f".partial-*-{glob.escape(out.name)}"):
        if (lock := lock_of(left)) is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)


def lock_of(folder: Path) -> int | None:
    """Take the lock of a folder; None if somebody has it, or if the file system, as NFS, has none of folders."""
    lock = None
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if lock is not None:
            os.close(lock)
        return None
    return lock
