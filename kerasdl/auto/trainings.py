"""The trainings: a default of each family, a search around the best of them, and the winner once more."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kerasdl.auto import sizes, timing
from kerasdl.auto.defaults import FEWEST, Family, recipes_of, space_of
from kerasdl.auto.task import CUT, Candidate, Task
from kerasdl.costs import int8_kb
from kerasdl.deploy import measure, network
from kerasdl.errors import UserError
from kerasdl.files import write_text, writing
from kerasdl.objectives.base import build_model
from kerasdl.photos.budget import Deadline
from kerasdl.recipe import SEEDS, Recipe
from kerasdl.run import Run
from kerasdl.text import duration
from kerasdl.train.fit import train
from kerasdl.tuning import engine, preflight, ray_cluster
from kerasdl.tuning.costing import FILE as REFUSED
from kerasdl.tuning.search import Search, load
from kerasdl.tuning.study import SEARCH, Study
from kerasdl.tuning.trial import out_of_memory
from kerasdl.zoo.precision import in_float32

SHARE = 0.5  # of the time after the baselines, that the default recipes may take together
STARTING = 12.0  # seconds in which the first process of a trial imports TensorFlow, reads the data and compiles
FORKED = 1.0  # seconds in which a later one begins, which is forked from one that has imported it
SLOWER = 1.3  # times the longest trial so far, that the next one is given
TRIALS = 50  # at most
EXAMPLES = 8  # by which the size of a file is measured
TRAINED = "search"  # folder of the study
OPTIONS = {"checkpoint_every": "1 min"}  # of kerasdl.train, for each trial


def defaults(task: Task, families: Sequence[Family]) -> None:
    """Train each family with its settings, for the epochs that fit into its share of the time."""
    end = (1 - SHARE) * task.left
    for number, family in enumerate(families):
        part = (task.left - end) / (len(families) - number)
        more = () if task.ranked("default") else (task.left - end, task.left)  # one network rather than none
        one(task, recipes_of(family, task.base, task.splits["train"]), "default", part, *more)


def one(task: Task, recipes: Sequence[Recipe], kind: str, *seconds: float) -> None:
    """Train a recipe within a time, or say why not. A training that takes longer ends after its epoch.

    Args:
        task: what it belongs to.
        recipes: of one name, with the most epochs that they may have; the first that is small enough is trained.
        kind: of the candidate.
        *seconds: that it may take; the second, if the first are too few for a training, and so on.
    """
    path = task.home / recipes[0].name
    if (path / "recipe.json").exists():  # its size and its length are what was planned then
        recipe = Run(path).recipe
    else:
        planned = planned_for(task, recipes, seconds)
        if planned is None:
            return
        recipe = planned
    deadline = Deadline(max(*seconds, 0.0))
    task.add(recipe.name, kind, lambda folder: train(recipe, workdir=folder, strategy="one", callbacks=[deadline],
                                                     test=False, verbose=False),
             lambda: cut(deadline, recipe))


def cut(deadline: Deadline, recipe: Recipe) -> str:
    """Return after which epoch the budget ended a training; "" if it did not."""
    return f"{CUT} after epoch {deadline.ended} of {recipe.epochs}" if deadline.ended else ""


def planned_for(task: Task, recipes: Sequence[Recipe], seconds: Sequence[float]) -> Recipe | None:
    """Return a recipe with as many epochs as fit into a time; None if none is to be started, which is noted.

    The arguments are those of `one`.
    """
    began, name = time.monotonic(), recipes[0].name
    if max(seconds) <= 0:
        task.skip(name, "not started: no time was left")
        return None
    try:
        for recipe in recipes:
            if not (why := too_large(task, recipe)):
                break
        else:
            task.skip(name, why)
            return None
        pace = timing.pace(recipe, task.splits_of(recipe))
    except (UserError, ValueError) as error:
        task.skip(name, f"not started: {' '.join(str(error).split())}")
        return None
    except out_of_memory():
        task.skip(name, "not started: out of memory")
        return None
    gone, fewest = time.monotonic() - began, min(FEWEST, recipe.epochs)
    left = next((each - gone for each in seconds if pace.epochs(each - gone, fewest) == fewest), max(seconds) - gone)
    if (epochs := pace.epochs(left, recipe.epochs)) < fewest:
        task.skip(name, f"not started: {FEWEST} epochs would take {duration(pace.seconds(FEWEST))}, and "
                        f"{duration(max(left, 0.0))} were left for it")
        return None
    return recipe.override(epochs=epochs)


def too_large(task: Task, recipe: Recipe) -> str:
    """Return why a network's 8-bit file is not small enough; "" if it is, or if only its training shows whether."""
    limit = task.asked.max_kb
    if limit is None:
        return ""
    split = task.splits_of(recipe)["train"]
    model = in_float32(build_model(recipe, split))
    if (count := model.count_params()) > 1000 * limit:  # each takes a byte
        return f"not started: {count:,} parameters take more than {limit:g} KB in 8 bits"
    try:
        kilobytes = int8_kb.measure(model, measure.as_input(network.examples_of(task.objective, split, EXAMPLES)[0]))
    except Exception:  # converters raise anything; the export of the trained network says it
        return ""
    return f"not started: its 8-bit file would have {kilobytes:.1f} KB, and {limit:g} are asked for" \
        if kilobytes > limit else ""


def search(task: Task, families: Sequence[Family], workers: int = 1, ray: str | None = None) -> None:
    """Search around the best default with kerasdl.tuning, as long as other trials fit before the winner is retrained.

    Nothing is searched where validation data could show no improvement. Trials are processes, and their search resumes
    if it is killed. A network that is too large for the limit is not trained.

    Args:
        task: what has been tried.
        families: what has a space.
        workers: how many trials run at a time.
        ray: the address of the cluster on which they do; None: this machine.
    """
    folder, best = task.home / TRAINED, task.ranked()[0]
    perfect = task.better == "max" and best.val[task.monitor] >= 1
    if perfect and task.asked.max_kb is None and not folder.exists():
        task.skip(TRAINED, f"not started: {best.name} makes no mistake on validation data, which cannot show a better "
                           "one")
        return
    found = begun(task, folder / SEARCH) if (folder / SEARCH).is_file() else around_best(task, families)
    if found is None:
        return
    try:
        try_more(task, found, folder, workers, ray)
    except UserError as error:
        task.remark(f"The search ended: {error}")
    took_part(task, folder)


def begun(task: Task, file: Path) -> Search:
    """Return the search that a resumed task has begun, with the data where it is from here, also of what its trials
    have begun."""
    found = load(file)
    if (recipe := task.here(found.recipe)) != found.recipe:
        found = replace(found, recipe=recipe)
        with writing(task.home, "Choose another --workdir."):
            for each in file.parent.glob("trials/*/recipe.json"):
                if not (each.parent / "result.json").exists():
                    Run.create(task.here(Run(each.parent).recipe), each.parent)
            write_text(file, found.to_json())
    return found


def try_more(task: Task, found: Search, folder: Path, workers: int, ray: str | None) -> None:
    """Run the trials of a search as long as there is time for another one; see `search` for the arguments."""
    preflight.check(found)
    study, default = Study.create(found, folder, OPTIONS), task.ranked("default")
    shares, start = ray_cluster.connect(ray, workers)  # once: what has imported Keras stays there for the next trial
    longest = max((each.seconds for each in default), default=0.0) + STARTING
    spared = default[0].seconds if default else 0.0
    while (done := len(study.ended())) < TRIALS and (left := task.left - spared) >= SLOWER * longest:
        study.extend(max(len(study.records()), done + workers))
        study.end = time.monotonic() + left - SLOWER * longest
        engine.run(study, shares, verbose=False, start=start, deadline=time.monotonic() + left)
        task.save()  # the time that is gone
        if len(study.ended()) == done:
            break
        again = FORKED if ray is None else STARTING
        longest = again + max(record.seconds or 0.0 for record in study.ended())
    if study.given_up:
        task.remark(f"The search ended: {study.given_up}")


def around_best(task: Task, families: Sequence[Family]) -> Search | None:
    """Return the search around the best default; None, which is noted with the reason, if none is hopeful."""
    spaces = {family.name: space_of(family, task.base) for family in families if family.space}
    some = [each for each in task.ranked("default") if each.name in spaces]
    best, reasons = None, []
    for each in some:
        if not (why := hopeless(task, each, spaces[each.name])):
            best = each
            break
        reasons.append(why)
    if best is None:
        if reasons:
            task.skip(TRAINED, f"not started: what is searched changes the training of {some[0].name} alone, and "
                               f"{reasons[0]}")
        return None
    limit = task.asked.max_kb
    small = {} if limit is None else {"parameters": 1000 * limit, "int8_kb": limit}
    return Search(recipe=best.run.recipe, space=spaces[best.name], objective=f"val/{task.monitor}",
                  goal=task.better, oracle="bayesian", trials=1, seed=task.asked.seed, limits=small,
                  name=f"{best.name}_search")


def hopeless(task: Task, candidate: Candidate, space: Mapping[str, Any]) -> str:
    """Return why a space around a candidate holds no network that is small enough, where there is a limit; "": it may.
    """
    limit = task.asked.max_kb
    if limit is None or any(key.startswith("model_args.") for key in space):
        return ""
    try:
        kilobytes = sizes.as_file(candidate)["bytes"] / 1000
    except UserError as error:
        return f"it has no 8-bit file: {error}"
    return f"its 8-bit file has {kilobytes:.1f} KB, more than {limit:g}" if kilobytes > limit else ""


def took_part(task: Task, folder: Path) -> None:
    """Take the trials that trained to their end into the comparison, and say how many did not."""
    study = Study.open(folder) if (folder / SEARCH).is_file() else None
    records = study.records() if study else []
    if not records:
        refused = len(study.refused.entries()) if study else 0
        task.skip(TRAINED, "not started: no trial would have ended in the time that was left"
                  + f", in which {refused} proposals were refused: see {TRAINED}/{REFUSED}" * bool(refused))
    for record in records:
        name = f"{TRAINED}/trials/{record.id}"
        if record.status == "completed" and (record.folder / "result.json").is_file():
            run = Run(record.folder)
            changed = ", ".join(f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}"
                                for key, value in record.values.items())
            task.keep(Candidate(name, "search", run, run.result["val"], record.seconds or 0.0, changed))
        else:
            status = "not finished" if record.pending else record.status
            task.skip(name, f"{status}: {record.why}" if record.why else status)


def again(task: Task, winner: Candidate) -> Candidate | None:
    """Train the winner's recipe once more with another seed, if there is time, and return that training.

    Of many tries the best score is also the luckiest: the score of the second training was not chosen by anything.
    """
    recipe = task.here(winner.run.recipe)
    recipe = recipe.override(seed=(recipe.seed + 1) % SEEDS).model_copy(update={"name": "retrained"})
    folder = task.home / recipe.name
    there = (folder / "recipe.json").exists()
    if there and task.here(Run(folder).recipe).diff() != recipe.diff():
        shutil.rmtree(folder)  # of what was the best before a resumption with more time
        there = False
    recipe = Run(folder).recipe if there else recipe
    needed, whole = winner.run.result["train"]["seconds"] + STARTING / 5, winner.run.result["train"]["epochs"]
    if not there and task.left < needed:
        task.skip(recipe.name, f"not started: it would take {duration(needed)}, and {duration(max(task.left, 0.0))} "
                               "were left")
        return None
    deadline = Deadline(max(task.left, needed))

    def make(folder: Path) -> Run:
        run = train(recipe, workdir=folder, strategy="one", test=False, callbacks=[deadline], verbose=False)
        if deadline.ended and deadline.ended < whole:  # its score would say nothing of the recipe
            shutil.rmtree(folder)
            raise UserError(f"not finished in the time left, which was over after epoch {deadline.ended} of {whole}")
        return run

    task.add(recipe.name, "retrained", make, lambda: ", ".join(filter(None, [f"seed {recipe.seed}", cut(
        deadline, recipe)])))
    return next(iter(task.ranked("retrained")), None)
