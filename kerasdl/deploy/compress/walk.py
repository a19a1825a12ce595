"""`compress`: walk the ladder until a version reaches the target, choose one, and write what was found."""

import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from kerasdl import objectives, user_code, zoo
from kerasdl.compression import graph
from kerasdl.deploy import exporting, formats, measure, network
from kerasdl.deploy.compress import ladder, page
from kerasdl.deploy.compress.choose import Target, chosen, frontier
from kerasdl.errors import UserError
from kerasdl.evaluation.splits import load_split
from kerasdl.files import alone, write_json, writing
from kerasdl.run import Run
from kerasdl.train import pretrained

FOLDER, FACTS = "compress", "compress.json"
logger = logging.getLogger(__name__)


def compress(run: Run | str | Path, target: Target = Target(), *, epochs: int | None = None, data: Any = None,  # noqa: B008
             report: bool = True) -> dict[str, Any]:
    """Make smaller versions of a run's model, and return what each is like, as compress.json has it.

    The run's folder `compress` holds the versions, and in `chosen` the file of the best one by validation of those that
    reach the target; without a target the smallest that loses no more than half a point. That one reads the test split.

    Args:
        run: the run, or its folder.
        target: what the file has to reach; the ladder ends with the first rung of which a version does.
        epochs: of each training; by default a fifth of the run's.
        data: the splits of a run that was trained on arrays.
        report: whether to write compress.html.

    Raises:
        UserError: a run without scores, one that is compressed already or just now by another process, a folder that
            cannot be written, or a target that no version reaches; then compress.json and compress.html say how near
            they came, and nothing is chosen.
    """
    exporting.check_backend()
    formats.find(ladder.FORMAT, ladder.BITS)
    run = Run.open(run)
    check(run)
    with alone(run.path / FOLDER, page.AGAIN):
        return walked(run, target, epochs, data, report)


def walked(run: Run, target: Target, epochs: int | None, data: Any, report: bool) -> dict[str, Any]:
    """Make the versions, choose one, and write what each is like; see `compress`."""
    folder, result, monitor = run.path / FOLDER, run.result, ladder.score_of(run)
    better = exporting.rated(objectives.of(run.recipe, run.path))[monitor]
    with writing(folder, page.AGAIN):  # known before anything is trained
        tempfile.TemporaryFile(dir=folder).close()
    found: list[dict[str, Any]] = []
    for version in ladder.versions(run, folder, better, target, epochs, data):
        found.append(version)
        logger.info(line(version))
    before = result["val"][monitor]
    best, ahead = chosen(found, target, before, better), frontier(found, better)
    facts = {"run": str(run.path), "recipe": run.recipe.name, "score": monitor, "better": better, "val": before,
             "parameters": result["parameters"], "target": target._asdict(),
             "versions": [version | {"frontier": version["name"] in ahead} for version in found],
             "chosen": best and best["name"]}
    if best:
        file = keep(folder / best["name"] / "export", folder / "chosen")
        facts |= {"file": str(file), "test": tested(run, file, data)}
    else:
        shutil.rmtree(folder / "chosen", ignore_errors=True)
    with writing(folder, page.AGAIN):
        write_json(folder / FACTS, facts)
    if report:
        page.write(folder, facts)
    if best is None:
        raise UserError(f"No version reaches {target}. The nearest: {'; '.join(map(line, found[-2:]))}. "
                        f"{folder / FACTS} has all of them.")
    return facts


def check(run: Run) -> None:
    """Raise a UserError for a run that cannot be compressed, or is already."""
    recipe = run.recipe
    if pretrained.is_changed(run):
        raise UserError(f"{run.path} is compressed already. Name the run that it began with: {recipe.init}.")
    if run.holds_private:
        raise UserError(f"{run.path} was trained privately, and its smaller versions would read the data without that "
                        "promise. Export it with --quantize.")
    if not objectives.of(recipe, run.path).predicts:
        raise UserError(f"{run.path} has no scores of answers to compare, as its objective is {recipe.objective}. "
                        "Compress a model that predicts.")
    if recipe.model not in (*zoo.MODELS, *zoo.SEQUENCES) and not user_code.is_reference(recipe.model):
        raise UserError(f"{run.path} holds model={recipe.model}, which cannot be trained again as a smaller one is. "
                        "Compress a network.")
    if run.result["status"] != "completed" or "test" not in run.result:
        raise UserError(f"{run.path} has no scores on the test split, to which a smaller file could be compared: its "
                        "training did not end, or it is a trial of a search. Train its recipe.")
    try:
        graph.check_flat(run.model())
    except ValueError as error:
        raise UserError(f"{run.path} cannot be compressed: {error}") from None


def keep(exported: Path, chosen: Path) -> Path:
    """Copy an exported folder, whole before it has its name, and return the file in it."""
    with exporting.folder(chosen, page.AGAIN) as partial:
        with writing(chosen, page.AGAIN):
            for file in exported.iterdir():
                shutil.copyfile(file, partial / file.name)
        shutil.rmtree(chosen, ignore_errors=True)
    return chosen / formats.find(ladder.FORMAT).FILE


def tested(run: Run, file: Path, data: Any) -> dict[str, float]:
    """Return the score of a file on the test split, and that of the run's model."""
    objective = objectives.of(run.recipe, run.path)
    objective.bind(run.model())
    x, y = network.examples_of(objective, load_split(run, "test", data))
    call = formats.find(ladder.FORMAT).load(str(file), os.cpu_count() or 1)
    scores = exporting.scores_of(objective, y, measure.in_batches(call, x))
    monitor = ladder.score_of(run)
    return {"file": scores[monitor], "keras": run.result["test"][monitor]}


def line(version: dict[str, Any]) -> str:
    """Return a version in a line of the log."""
    return f"{version['name']}: {version['bytes'] / 1000:.1f} KB, {version['milliseconds']:.3g} ms, " \
           f"val {version['val']:.4f}"
