"""A model card: README.md with the front matter that hubs read. It says what a run's files say, and nothing else."""

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from kerasdl import objectives
from kerasdl.data.spec import PLURALS, recorded_kind
from kerasdl.errors import UserError
from kerasdl.hub import files, task
from kerasdl.hub.paths import folders, is_local, shortened
from kerasdl.recipe import Recipe
from kerasdl.recipe_text import backend_option, command
from kerasdl.run import Run
from kerasdl.text import duration, figure

SHOWN = 50  # classes and columns that are named
SPLITS = ("val", "test")
EXAMPLES = {"image": "an image of {0}x{1} pixels and {2} channels, 0..255, not normalised",
            "row": "{0} numbers", "sequence": "{0} steps of {1} numbers; a shorter one ends with NaN",
            "tokens": "{0} ids of tokens; a shorter text ends with zeros"}


def model_card(run: Run | str | Path, license: str | None = None, repository: str | None = None) -> str:
    """Return the model card of a finished run: front matter in YAML, and Markdown.

    Args:
        run: the run, or its folder.
        license: an identifier, such as apache-2.0, which hubs have in small letters; None: the card names none.
        repository: OWNER/NAME where the files will be, for the lines that load them.

    Raises:
        UserError: the run is not finished or diverged, the license is no identifier, or huggingface-hub is missing.
    """
    run = Run.open(run)
    if (status := run.result["status"]) != "completed":
        raise UserError(f"The training of {run.path} {status}. A card describes a completed run.")
    if license is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.\-]*", license):
        raise UserError(f"--license takes an identifier, such as apache-2.0 or cc-by-4.0. Received: {license!r}.")
    text = f"---\n{front_matter(run, license and license.lower())}\n---\n\n{body(run, repository)}"
    return text.encode("utf-8", "backslashreplace").decode()  # a folder's name, which is a class, need not be UTF-8


def front_matter(run: Run, license: str | None) -> str:
    """Return the YAML that hubs read."""
    try:
        from huggingface_hub import EvalResult, ModelCardData
    except ImportError:
        raise UserError("A card needs huggingface-hub: pip install 'kerasdl[hub]'") from None
    recipe, result, objective = run.recipe, run.result, objectives.of(run.recipe, run.path)
    tag = task.pipeline_tag(objective, run.data)
    scores = numbers(result.get("test", {}))
    data = shortened(recipe.data, "data")
    found = ModelCardData(
        library_name="keras", license=license, pipeline_tag=tag, model_name=recipe.name or recipe.model,
        tags=list(dict.fromkeys(["kerasdl", recipe.model.rpartition(":")[2], recipe.objective.rpartition(":")[2],
                                 recorded_kind(run.data)])),
        datasets=None if is_local(recipe.data) else [recipe.data],
        metrics=[name for name in scores if name != "loss"] or None,
        eval_results=[EvalResult(task_type=tag or "other", dataset_type=data, dataset_name=data, dataset_split="test",
                                 metric_type=name, metric_name=name, metric_value=value)
                      for name, value in scores.items()] or None)
    return found.to_yaml(line_break="\n")


def body(run: Run, repository: str | None) -> str:
    """Return the Markdown below the front matter."""
    recipe, result, facts = run.recipe, run.result, run.data
    kind, classes = recorded_kind(facts), facts.get("classes") or []
    environment = result.get("environment", {})
    pages = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent), trim_blocks=True,
                               lstrip_blocks=True, keep_trailing_newline=True)
    objective = objectives.of(recipe, run.path)
    return pages.get_template("card.md.j2").render(
        table=table, model=shortened(recipe.model, "model"), objective=shortened(recipe.objective, "objective"),
        repository=repository,
        name=repository.partition("/")[2] if repository else recipe.name or recipe.model,
        parameters=f"{result['parameters']:,}" if "parameters" in result else "unnamed",
        takes=PLURALS[kind], answers=f" of {len(classes)} classes" if classes and objective.predicts else "",
        data=f"`{shortened(recipe.data, 'data')}`", scores=score_rows(result), epochs=epochs(result, recipe.keep),
        scored=scored(result), limits=limits(run), controls=control_rows(result), control_names=control_names(result),
        examples=[(name, f"{int(count):,}" if (count := str(noted).partition("-")[0]).isdigit() else "not counted")
                  for name, noted in facts.get("examples", {}).items()],
        example=EXAMPLES[kind].format(*(["any number of" if side is None else side for side in sides(facts)])),
        classes=f"Classes: {named(classes)}." if classes else "",
        columns=[(name, "a number" if words is None else f"one of {named(words)}")
                 for name, words in list((facts.get("columns") or {}).items())[:SHOWN]],
        settings=[(key, f"`{json.dumps(shortened(value, key))}`") for key, value in recipe.diff().items()
                  if key not in ("name", "claim")],
        trained=trained(result, environment), origin=f"`{shortened(recipe.init, 'init')}`" if recipe.init else "",
        again=again(run), raw="raw examples in, logits or numbers out" if objective.predicts else "what was kept",
        command=objective.next_command(Path("FOLDER")),
        files=[(f"`{name}`", files.MEANING[name]) for name in files.MEANING if (run.path / name).exists()],
        versions={name: environment.get(name, "not noted") for name in (
            "kerasdl", "keras", environment.get("backend") or "tensorflow", "numpy", "python")})


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def numbers(scores: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores that are single numbers."""
    return {name: value for name, value in scores.items() if isinstance(value, (int, float))}


def score_rows(result: Mapping[str, Any]) -> list[list[str]]:
    val, test = (numbers(result.get(split, {})) for split in SPLITS)
    better = {"max": " (more is better)", "min": " (less is better)"}
    return [[name + better.get(result.get("better", {}).get(name, ""), ""),
             *(figure(scores[name]) if name in scores else "" for scores in (val, test))]
            for name in dict.fromkeys([*val, *test])]


def epochs(result: Mapping[str, Any], keep: str) -> str:
    """Return which epoch was kept, and that the test split had no part in it; "" of an ensemble, which notes none."""
    if "members" in result:
        return ""
    count = result.get("train", {}).get("epochs")
    if keep == "best" and result.get("best_epoch") and count:
        kept = f"Epoch {result['best_epoch']} of {count} was kept, by {result['monitor']} on the validation split. "
    else:
        kept = f"The last of {count} epochs was kept. " if keep == "last" and count else ""
    return f"{kept}The test split was read once, at the end."


def control_names(result: Mapping[str, Any]) -> list[str]:
    """Return the scores that the controls have, by split."""
    return list(dict.fromkeys(f"{split} {name}" for scores in result.get("controls", {}).values() for split in SPLITS
                              for name in numbers(scores.get(split) or {})))


def control_rows(result: Mapping[str, Any]) -> list[list[str]]:
    names = [name.partition(" ") for name in control_names(result)]
    return [[control, *(figure(value) if (value := (scores.get(split) or {}).get(name)) is not None else ""
                        for split, _, name in names)] for control, scores in result.get("controls", {}).items()]


def limits(run: Run) -> list[str]:
    """Return what the run's own files say of its weaknesses: remarks on the data, and classes that it knows only."""
    classes = run.data.get("classes") or []
    known = [f"Whatever it is given, it answers with one of its {len(classes)} classes."] \
        if classes and objectives.of(run.recipe, run.path).target == "class" else []
    named = sorted(folders(run.recipe), key=len, reverse=True)
    return [*known, *(without(remark, named) for remark in run.data.get("remarks", []))]


def without(remark: str, some: Sequence[str]) -> str:
    """Return a remark in which files are named without the folders that they are in."""
    for folder in some:
        remark = remark.replace(f"{folder.rstrip('/')}/", "")
    return remark


def scored(result: Mapping[str, Any]) -> str:
    """Return what the scores are those of."""
    if "members" not in result:
        return f"one training, with seed {result['seed']}"
    members = [f"{member['recipe']} with seed {member['seed']}" for member in result["members"]]
    return f"one average of {len(members)} trainings, {', '.join(members)}"


def sides(facts: Mapping[str, Any]) -> list[int | None]:
    shape = facts["shape"]
    return [shape] if isinstance(shape, int) else list(shape)


def named(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f"`{name}`" for name in names[:SHOWN]) + more


def trained(result: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
    seconds = result.get("train", {}).get("seconds")
    if seconds is None:
        return ""
    on = environment.get("device", "")
    processor = f" ({environment['cpu']})" if on == "CPU" and environment.get("cpu") else ""
    return f"Training took {duration(seconds)}{f' on {on}{processor}' if on else ''}. It ended at {result['finished']}."


def again(run: Run) -> str:
    """Return the command that repeats the training, without the places of files on the author's machine."""
    recipe, backend = run.recipe, run.result.get("environment", {}).get("backend")
    if recipe.model == "ensemble":
        return "kerasdl ensemble RUN RUN  # the runs that are averaged, which are not here"
    if "calibrated" in run.result:
        return "kerasdl calibrate RUN  # the training before it, which is not here"
    if recipe.data == "arrays":
        return "kerasdl show FOLDER  # the data were arrays, which are not here"
    if is_local(recipe.data):
        splits = [f"splits.{name}={part}" for name, part in recipe.splits.items()]  # other data would take them away
        return shlex.join(["kerasdl", "train", "FOLDER", f"data={recipe.data.partition(':')[0]}:PATH", *splits,
                           *backend_option(backend)])
    return command(Recipe(**{key: shortened(value, key) for key, value in recipe}), "FOLDER", backend)
