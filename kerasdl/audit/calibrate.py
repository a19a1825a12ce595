"""A run whose model is as sure as it should be: the same network with its logits divided by a temperature."""

import shutil
from pathlib import Path
from typing import Any

import keras

from kerasdl import objectives
from kerasdl.audit import temperature
from kerasdl.audit.subject import Subject
from kerasdl.data import Split
from kerasdl.devices.device import device
from kerasdl.environment import environment
from kerasdl.errors import UserError
from kerasdl.evaluation import predictions
from kerasdl.evaluation.padded import PaddedEvaluator
from kerasdl.files import whole, write_json
from kerasdl.installation import backend
from kerasdl.run import Run, folder_for
from kerasdl.text import moment

LAYER = "temperature"
KEPT = ("seed", "orders", "monitor", "best_epoch", "better", "train", "private", "init", "members", "fitted")
COPIED = ("data.json", "init.json", "metrics.csv", "tokenizer.json", "code")


def calibrate(run: Run | str | Path, workdir: str | Path | None = None, data: dict[str, Split] | None = None) -> Run:
    """Return a new run whose model divides its logits by the temperature that validation chooses.

    The classes that it says are the same. What is kept of its recipe is what trained the network; result.json says
    which run and which temperature it came from.

    Args:
        run: a finished classifier.
        workdir: the folder of the new run; by default runs/<recipe>_calibrated/<time>-<id>.
        data: the splits of a run that was trained on arrays.

    Raises:
        UserError: a run that is no classifier, that is calibrated already, or whose likelihood on validation examples
            that the temperature was not fitted on does not improve, or which no temperature fits best.
    """
    subject = Subject(run, data=data)
    check(subject)
    logits, truth = subject.answers("val")
    if why := temperature.unfit(logits, truth):
        raise UserError(f"{why[0].upper()}{why[1:]}, so that no temperature can be fitted. {subject.run.path} stays "
                        "as it is.")
    degree, gain = temperature.fit(logits, truth), temperature.gain(logits, truth)
    before, after = temperature.nll(logits, truth), temperature.nll(logits / degree, truth)
    if gain <= 0:
        raise UserError(f"{subject.run.path} is as sure as its {len(truth)} validation examples can tell: a "
                        f"temperature of {degree:.3f} takes their NLL from {before:.4f} to {after:.4f}, and fitted on "
                        "one half it does not improve the other. It stays as it is.")
    subject.split("test")
    facts = {"from": str(subject.run.path), "model": subject.weights, "on": "val", "examples": len(truth),
             "temperature": degree, "nll": {"before": before, "after": after}}
    return written(subject, cooled(subject.model, degree), facts, workdir)


def check(subject: Subject) -> None:
    """Raise a UserError for a run that gives no probabilities, or has a temperature already."""
    path = subject.run.path
    if subject.target != "class":
        raise UserError(f"A temperature is for a classifier, and the objective of {path} is "
                        f"{subject.recipe.objective}.")
    if "calibrated" in subject.run.result:
        raise UserError(f"{path} is calibrated already. Calibrate {subject.run.result['calibrated']['from']}.")


def cooled(model: keras.Model, degree: float) -> keras.Model:
    """Return the network with a layer "temperature" after its logits, sharing its weights."""
    scaled = keras.layers.Rescaling(1 / degree, dtype="float32", name=LAYER)(model.output)
    return keras.Model(model.input, scaled, name=model.name)


def written(subject: Subject, model: keras.Model, facts: dict[str, Any], workdir: str | Path | None) -> Run:
    """Write the folder of the new run, result.json last, and return the run."""
    old, name = subject.run, f"{subject.recipe.name or subject.recipe.model}_calibrated"
    recipe = subject.recipe.model_copy(update={"name": name, "claim": None})
    path = folder_for(name) if workdir is None else Path(workdir)
    if (path / "recipe.json").exists():
        raise UserError(f"{path} holds a run already. Choose another --workdir.")
    run = Run.create(recipe, path)
    objective = objectives.of(recipe, old.path)
    with run.writing():
        for each in COPIED:
            if (old.path / each).is_dir():
                shutil.copytree(old.path / each, run.path / each, dirs_exist_ok=True)
            elif (old.path / each).is_file():
                shutil.copyfile(old.path / each, run.path / each)
        with whole(run.path / "model.keras") as partial:
            model.save(partial, include_optimizer=False)
        splits = {name: subject.split(name) for name in ("val", "test")}
        scored = PaddedEvaluator(objective, model, recipe.micro_batch)
        predictions.write(run, predictions.collect(objective, model, splits["test"], recipe.micro_batch))
        kept = {key: value for key, value in old.result.items() if key in KEPT}
        write_json(run.path / "result.json", {
            "recipe": name, "settings": recipe.diff(), **kept, "status": "completed", "calibrated": facts,
            "parameters": model.count_params(), **{each: scored(split) for each, split in splits.items()},
            "finished": moment(), "environment": environment(backend=backend.current(), device=device())})
    return run
