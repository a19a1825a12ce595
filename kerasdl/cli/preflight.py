"""Mistakes that need no TensorFlow, found before it is imported: that takes ten seconds.

Each check also runs later, when the data is read; called early it gives the same message. What cannot be
known from names, headers and folders is left to the checks that come with reading, and nothing is refused here that
these accept.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerasdl import registry, unimported, user_code, zoo
from kerasdl.checkpoints.files import seconds
from kerasdl.data import sources
from kerasdl.devices.names import check_name
from kerasdl.errors import UserError
from kerasdl.evaluation.located import located, located_args
from kerasdl.installation import backend
from kerasdl.recipe import Recipe
from kerasdl.run import INIT, Run, weights_file
from kerasdl.settings import check_keys


def training(recipe: Recipe, workdir: str | Path | None = None, strategy: str = "auto",
             checkpoint_every: str = "5 min", seeds: int | None = None) -> None:
    """Raise a UserError for a mistake in what is to be trained. With `seeds`, `workdir` holds a folder for each run."""
    check_name(strategy)
    seconds(checkpoint_every)
    before = Run.unfinished(workdir, recipe, several=seeds is not None)
    if recipe.init and not (before and (before.path / INIT).is_file()):
        weights_file(recipe.init)
    folder = before.path if before else None
    declared = _objective(recipe, folder)
    _model(recipe, bool(declared.get("predicts")), folder)
    if recipe.data != "arrays":
        began = before.folder if before else None
        sources.look(located(recipe.data, began), target=declared.get("target"),
                     **located_args(recipe.data_args, began))


def evaluation(run: Run, data: str | None) -> None:
    """Raise a UserError for a mistake in what a run is to be evaluated on."""
    backend.check()
    facts, recipe = run.data, run.recipe
    folder = facts.get("folder")
    args = located_args(recipe.data_args, folder)
    run.model_file  # noqa: B018  is there
    target = registry.declared(recipe.objective).get("target") if recipe.objective in registry.names() else None
    if data is not None:
        sources.look_for(facts, data, target=target, **args)
    elif recipe.data != "arrays":
        sources.look(located(recipe.data, folder), target=target, **args)


def prediction(run: Run, files: Sequence[str]) -> None:
    """Raise a UserError for a run without a model, or for files that are not there or not of the model's kind."""
    from kerasdl.data.to_predict import check

    run.model_file  # noqa: B018  is there
    check(files, run.data)


def apart(out: Path, files: Sequence[str | Path | None]) -> None:
    """Raise a UserError for a file to write that is among those to read."""
    for file in files:
        if file is not None and _is_same(out, file):
            raise UserError(f"--out {out} is a file to read, which would be lost. Name another one.")


def _is_same(out: Path, file: str | Path) -> bool:
    """Return whether both are one file, which is there; "-" is standard input, as in `kerasdl predict RUN - < FILE`."""
    try:
        return os.path.samestat(out.stat(), os.fstat(0) if file == "-" else os.stat(file))
    except OSError:  # one is not there
        return False


def explanation(run: Run, method: str, files: Sequence[str], mistakes: int | None, sample: int | None, check: bool
                ) -> list[str]:
    """Return the methods that were asked for, or raise a UserError for a mistake in what is to be explained."""
    from kerasdl.data.spec import recorded_kind
    from kerasdl.data.to_predict import check as check_files
    from kerasdl.explain import names

    found = list(dict.fromkeys(part for part in method.replace(" ", ",").split(",") if part))
    if not found:
        raise UserError(f"--method is empty. Name one, such as integrated_gradients, or several: "
                        f"{', '.join(names.names())}.")
    for name in found:
        names.check(name)
    run.model_file  # noqa: B018  is there
    recipe = run.recipe
    if recipe.objective in registry.names() and not registry.declared(recipe.objective).get("predicts"):
        raise UserError(f"There is no answer to explain: a model with objective={recipe.objective} makes no "
                        "predictions. Explain a run that does, such as one with objective=classify.")
    for name in found:
        names.check_kind(name, recorded_kind(run.data))
    asked = [word for word, given in (("FILE", files), ("--mistakes", mistakes), ("--sample", sample)) if given]
    if len(asked) > 1:
        raise UserError(f"Examples are files, --mistakes or --sample. Received: {' and '.join(asked)}. Choose one.")
    if not asked and not check and (some := [name for name in found if names.is_attribution(name)]):
        raise UserError(f"{some[0]} explains examples, and none is named. Give files, --mistakes 12, or --sample 12.")
    if files:
        check_files(files, run.data)
    return found


def painting(run: Run, out: Path, *files: Path | None) -> None:
    """Raise a UserError for a run without a model, images that are not there, or a file that would not keep pixels."""
    run.model_file  # noqa: B018  is there
    if out.suffix.lower() != ".png":
        raise UserError(f"The image is written as a PNG, which keeps every pixel. Received: {out}.")
    for file in files:
        if file is not None and not file.is_file():
            raise UserError(f"There is no file {str(file)!r}.")
    apart(out, files)


def _objective(recipe: Recipe, run: Path | None) -> dict[str, Any]:
    """Return what the objective declares, after a look at its settings; nothing of one that the user wrote."""
    if user_code.is_reference(recipe.objective):
        user_code.check(recipe.objective, run)
        return {}
    declared = registry.declared(recipe.objective)
    if "Settings" in declared:
        args = [key for key in recipe.objective_args if key not in declared.get("renamed", ())]
        check_keys(declared["Settings"], args, "objective_args", f"objective={recipe.objective}")
    return declared


def _model(recipe: Recipe, predicts: bool, run: Path | None) -> None:
    """Check the model's name, and the names of its arguments if the objective builds it as it is."""
    if user_code.is_reference(recipe.model):
        user_code.check(recipe.model, run)
        return
    try:
        file = zoo.file_of(recipe.model)
        if predicts:
            zoo.check_args(unimported.function(file, "build"), recipe.model_args, recipe.model)
    except ValueError as error:
        raise UserError(f"{recipe.model} cannot be built: {' '.join(str(error).split())}") from None
