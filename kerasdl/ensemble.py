"""Runs whose probabilities or numbers are averaged: one model, what it is worth, and what each of its members is."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from scipy.special import log_softmax

from kerasdl import objectives, user_code
from kerasdl.data import Split
from kerasdl.data.naming import naming
from kerasdl.data.tokens import FILE as TOKENIZER
from kerasdl.devices import strategy as strategies
from kerasdl.devices.device import device
from kerasdl.environment import environment
from kerasdl.errors import UserError
from kerasdl.evaluation import located
from kerasdl.evaluation.padded import evaluator
from kerasdl.evaluation.splits import Data, load_split
from kerasdl.files import whole, write_json, writing
from kerasdl.installation import backend
from kerasdl.objectives.calibration import calibration_error
from kerasdl.objectives.regress import Regress
from kerasdl.recipe import Recipe
from kerasdl.run import NOTES, Run
from kerasdl.train import pretrained
from kerasdl.zoo import ensemble as networks

ORDER = ("orders", "steps")  # of a run's data.json: the version of the order in which it has learned
OBJECTIVES = {"class": "classify", "number": "regress"}  # what a target is learned and measured by


def ensemble(runs: Sequence[str | Path | Run], split: str = "test", workdir: str | Path | None = None,
             data: Data = None) -> Run:
    """Average what several runs answer, probabilities or numbers.

    Args:
        runs: two or more finished runs of the same data that all learned classes, or all numbers.
        split: on which all are measured. Choose members on "val"; "test" is for what was chosen.
        workdir: the folder; by default runs/ensemble/<time>-<id>.
        data: splits, where the members were trained on arrays.

    Returns:
        A run's folder with their model. Its result.json has the scores of the members, too.

    Raises:
        UserError: runs that are not finished, answer something else, or differ in data, splits or classes.
    """
    members = opened(runs)
    files = kept(members)
    examples = load_split(members[0], split, data)
    models = [member.model() for member in members]
    target, first = target_of(members[0]), members[0].recipe
    model = networks.build(models, numbers=target == "number")
    recipe = Recipe(name="ensemble", model="ensemble", model_args={"members": tuple(str(run.path) for run in members)},
                    data=first.data, data_args=first.data_args, splits=first.splits, batch=first.batch,
                    objective=OBJECTIVES[target])
    Run.unfinished(workdir, recipe)  # refuses a folder with anything else in it
    run = Run.create(recipe, workdir)
    with run.writing():
        for name, file in files.items():
            (run.path / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(file, run.path / name)
        write_json(run.path / "data.json", members[0].data)
        with whole(run.path / "model.keras") as partial:
            model.save(partial, include_optimizer=False)
        write_json(run.path / "result.json", {
            "recipe": recipe.name, "seed": recipe.seed, "settings": recipe.diff(), "status": "completed",
            "parameters": model.count_params(), split: scores(model, examples, first.micro_batch),
            "members": [about(run, each) | {split: scores(each, examples, first.micro_batch)}
                        for run, each in zip(members, models, strict=True)],
            "environment": environment(backend=backend.current(), device=device())})
    return run


def opened(runs: Sequence[str | Path | Run]) -> list[Run]:
    """The members, which must go together."""
    members = [Run.open(run) for run in runs]
    paths = [run.path.resolve() for run in members]
    if len(members) < 2 or len(set(paths)) < len(paths):
        raise UserError(f"An ensemble is of two different runs or more. Received: {', '.join(map(str, paths))}.")
    for run in members:
        if run.result["status"] != "completed":
            raise UserError(f"The training of {run.path} {run.result['status']}. Leave it out.")
        if target_of(run) != target_of(members[0]):
            raise UserError(f"The members have to answer the same: the objective of {members[0].path} is "
                            f"{members[0].recipe.objective}, and that of {run.path} {run.recipe.objective}.")
        rooted = differ(members[0], run, rooted=True)
        if changed := [key for key in differ(members[0], run) if key in rooted]:
            one, other = (needs(each).get(changed[0]) for each in (members[0], run))
            raise UserError(f"The members differ in their data: {members[0].path} has {changed[0]} {one!r}, and "
                            f"{run.path} has {other!r}.")
    return members


def differ(first: Run, second: Run, rooted: bool = False) -> list[str]:
    """What two runs need that is not the same, by its names; `rooted` as in `needs`."""
    one, other = needs(first, rooted), needs(second, rooted)
    unknown = {key for key in one | other if key.startswith("examples of ") and (key in one) != (key in other)}
    return [key for key in one | other if one.get(key) != other.get(key) and key not in unknown]


def kept(members: Sequence[Run]) -> dict[str, Path]:
    """The files that the ensemble's folder needs of its members' folders, by name: the user's own, and a tokenizer.

    Raises:
        UserError: two members have different files of one name.
    """
    found: dict[str, Path] = {}
    for run in members:
        for file in sorted([*(run.path / user_code.CODE).glob("*"), *run.path.glob(TOKENIZER)]):
            name = str(file.relative_to(run.path))
            if name in found and found[name].read_bytes() != file.read_bytes():
                raise UserError(f"The members differ in {name}: {found[name]} and {file}.")
            found[name] = file
    return found


def target_of(run: Run) -> str:
    """What a run answers: "class" or "number"."""
    objective = objectives.get(run.recipe.objective, run.path)
    averaged = objective.target == "class" or issubclass(objective, Regress)  # of numbers in the units of the data
    if not objective.predicts or objective.target not in OBJECTIVES or not averaged:
        raise UserError(f"An ensemble averages probabilities of one class, or numbers, and the objective of {run.path} "
                        f"is {run.recipe.objective}.")
    return objective.target


def needs(run: Run, rooted: bool = False) -> dict[str, Any]:
    """What a model takes and answers, and what it is measured on. Members may have learned from different parts.

    "examples of val" and "of test" are there if the run has noted them, which old ones have not.

    Args:
        run: a member.
        rooted: with paths from the root, which are the same however they were written.
    """
    recipe, folder = run.recipe, run.data.get("folder")
    args = {key: value for key, value in recipe.data_args.items() if key not in ("per_class", "per_class_seed")}
    facts = {key: value for key, value in run.data.items() if key not in (*NOTES, *ORDER)}
    examples = facts.pop("examples", {})
    examined = {f"splits.{name}": recipe.splits.get(name) for name in ("val", "test")}
    examined |= {f"examples of {name}": examples[name] for name in ("val", "test") if name in examples}
    data = located.absolute(recipe.data, folder) if rooted else recipe.data
    return {"data": data, **facts, "data_args": located.absolute_args(args, folder) if rooted else args, **examined}


def scores(model: keras.Model, split: Split, batch: int) -> dict[str, float]:
    """Of classes accuracy, cross-entropy and expected calibration error on a split; of numbers R2 and errors."""
    if split.target == "number":
        found = numbers_of(model, split, batch)
        return {name: found[name] for name in ("r2", "mae", "loss")}
    batches = split.dataset(batch)
    with naming({split.name: split}):
        logs = log_softmax(model.predict(batches.map(lambda x, _: x), verbose=0).astype("float64"), axis=1)
    truth: Any = split.y
    if split.streamed:
        truth = np.concatenate([labels for _, labels in batches.as_numpy_iterator()])
    right = logs.argmax(1) == truth
    return {"accuracy": float(right.mean()), "loss": float(-logs[np.arange(len(truth)), truth].mean()),
            "calibration_error": calibration_error(np.exp(logs.max(1)), right)}


def numbers_of(model: keras.Model, split: Split, batch: int) -> dict[str, float]:
    """Scores of a model of numbers on a split, as those of a training are measured."""
    objective = objectives.of(Recipe(model="ensemble", data="arrays", objective=OBJECTIVES["number"]))
    objective.bind(model)
    with naming({split.name: split}):
        return evaluator(objective, model, batch, strategies.choose("one"))(split)


def about(run: Run, model: keras.Model) -> dict[str, Any]:
    """Which run a member is, and a hash of its weights."""
    weights = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    return {"run": str(run.path), "recipe": run.recipe.name or run.recipe.model, "seed": run.recipe.seed,
            "private": run.holds_private, "weights": pretrained.fingerprint(weights)}


def export(run: Run, file: Path) -> None:
    """Put the ensemble's model, one .keras file, somewhere else too."""
    with writing(file, "Choose another --out."), whole(file) as partial:
        shutil.copyfile(run.path / "model.keras", partial)


def table(result: Mapping[str, Any], split: str) -> pd.DataFrame:
    """A row a member, then their mean and the ensemble."""
    rows = {f"{member['run']} ({member['recipe']}, seed {member['seed']})": member[split]
            for member in result["members"]}
    frame = pd.DataFrame(rows).T
    return pd.concat([frame, pd.DataFrame({"mean of the members": frame.mean(), "ensemble": result[split]}).T])
