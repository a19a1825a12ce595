"""What a trained run is worth: its numbers on a split, its predictions, and the page that shows both."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

import kerasdl
from kerasdl import figures, objectives
from kerasdl.data import Split, load_splits, pipeline
from kerasdl.data.sources import folders
from kerasdl.data.sources.folders import FORMATS, naming, read_images
from kerasdl.data.sources.tables import lines, read_for, read_rows
from kerasdl.data.split import Target, check_same
from kerasdl.errors import UserError, nearest
from kerasdl.evaluation import judge
from kerasdl.evaluation.referee import referee
from kerasdl.files import whole, writing
from kerasdl.installation import backend
from kerasdl.run import Run
from kerasdl.text import typed
from kerasdl.train.fit import train
from kerasdl.train.job import SPLITS

BINS = 15  # of confidence: Guo et al., "On Calibration of Modern Neural Networks", 2017
WORST = 20  # how many mistakes a report shows
CELLS = 20  # a confusion matrix of more classes than this is drawn as a heat map, without its numbers

Data = str | Mapping[str, Split] | None


def evaluate(run: Run | str | Path, split: str = "test", *, data: Data = None, tta: str | None = None
             ) -> dict[str, float]:
    """Loss and metrics of a run's model on a split.

    Args:
        run: the run, or its folder.
        split: "train", "val" or "test", as the run's recipe divides its data.
        data: another data set with the same shape and classes: its name, or splits as kerasdl.data makes them. Of
            another CSV file or folder of images the split is that of a set in one piece, or "all" of it.
        tta: "flip" takes the mean of the answers for an image and for its mirror image, "flip_shift" also of those
            that are moved by a pixel; see kerasdl.evaluation.judge.

    Raises:
        UserError: if the data is not what the model was trained for, or the run has no model.
    """
    backend.check_floatx()
    run = Run.open(run)
    objective = objectives.get(run.recipe.objective)
    examples, model = load_split(run, split, data), run.model()
    if tta and (objective.judge or objective.TARGET != "class"):
        does = "makes images" if objective.judge else "predicts numbers"
        raise UserError(f"tta is for images that have classes; the model of {run.path} {does}.")
    if objective.judge:
        with naming({split: examples}):
            return objective.judge(model, referee(run.recipe, learned(run, data), train, verbose=True))(examples)
    check_outputs(examples, model)
    network = judge.augmented(model, tta) if tta else model
    with naming({split: examples}):
        return judge.evaluate(judge.make(network, objective), objective, examples, run.recipe.micro_batch)


def predict(run: Run | str | Path, files: Sequence[str | Path], resize: bool = False,
            top: int = 3) -> list[tuple[str, list[tuple[str, float]]]]:
    """The model's answer for each image file, or for each row of each CSV file.

    Args:
        run: the run, or its folder.
        files: images for a model of images; CSV files for a model of CSV rows.
        resize: bring images of another size to the model's.
        top: how many classes to name.

    Returns:
        (file, or file:line for a row; answers) of each example. Answers are the `top` most probable classes with their
        probabilities, best first; of a model that predicts numbers, the numbers, each with an empty name.

    Raises:
        UserError: for no files, a missing or broken one, or one of the wrong kind.
    """
    run = Run.open(run)
    if objectives.get(run.recipe.objective).pictures:
        raise UserError(f"The model of {run.path} makes images and takes none. "
                        f"See some: kerasdl sample {typed(run.path)}")
    names, x = _examples(run.data, [Path(file) for file in files], resize)
    answers = outputs(run, run.model(), tf.data.Dataset.from_tensor_slices(x).batch(run.recipe.micro_batch))
    classes = run.data["classes"]
    if not classes:
        return [(name, [("", value) for value in row]) for name, row in zip(names, answers.tolist(), strict=True)]
    best = np.argsort(-answers, axis=1, kind="stable")[:, :top]
    return [(name, [(classes[index], float(row[index])) for index in chosen])
            for name, row, chosen in zip(names, answers, best, strict=True)]


def report(run: Run | str | Path, data: Data = None) -> Path:
    """Write report.html, one file that needs no other, and return its path.

    The headline numbers are result.json's own. Tables and pictures come from the model's predictions on the test split
    that result.json was measured on, or on that of `data`. A run that did not finish, or whose data is gone, shows what
    there is, and why no more.

    Raises:
        UserError: as evaluate does with this `data`, and for a run that has neither a result nor an epoch to show.
    """
    run = Run.open(run)
    recipe = run.recipe
    result = run.result if (run.path / "result.json").is_file() else {}
    history = _history(run)
    if not result and history.empty:
        raise UserError(f"{run.path} has nothing to report: no epoch was finished. Train it again.")
    name = data if isinstance(data, str) else recipe.data if data is None else "arrays"
    found, missing = None, ""
    if data is None and "test" not in result:
        missing = "The test split was not read" + (
            "." if recipe.model == "ensemble" else ": the run did not finish, or it is a trial of a search.")
    elif data is None and recipe.data == "arrays":
        missing = "The run was trained on arrays, which it does not keep. Give them: kerasdl.report(run, data=splits)."
    else:
        try:
            found = findings(run, data, name, result)
        except UserError as error:
            if data is not None:
                raise
            missing = str(error)  # what else there is needs no data
    page = _template().render(
        name=recipe.name or recipe.model, recipe=recipe, result=result, history=history, missing=missing, found=found,
        tiles=_tiles(result), curves=figures.curves(history, result.get("best_epoch")),
        settings={key: _plain(value) for key, value in recipe.diff().items()},
        environment={key: _plain(value) for key, value in result.get("environment", {}).items()},
        folder=run.path.name, version=kerasdl.__version__)
    file = run.path / "report.html"
    with writing(file, f"Once it can be: kerasdl report {typed(run.path)}"), whole(file) as partial:
        partial.write_text(page, encoding="utf-8", errors="backslashreplace")  # a folder's name need not be UTF-8
    return file


def load_split(run: Run, split: str = "test", data: Data = None) -> Split:
    """A split of the run's own data or of another set, which must have the shape, columns and classes of the run's."""
    recipe, name = run.recipe, data if isinstance(data, str) else "data"
    target = objectives.get(recipe.objective).TARGET
    if isinstance(data, str):
        found = _other(run, split, data, target)
    elif data is not None:
        if not isinstance(data, Mapping):
            raise UserError("data is a name, or a dictionary of splits. "
                            f"Received: {type(data).__name__}. Write data={{{split!r}: split}}.")
        if split not in data:
            raise UserError(f"data has no split {split!r}. {nearest(split, data)}")
        found = data[split]
        if not isinstance(found, Split):
            raise UserError(f"data[{split!r}] is {type(found).__name__}, and not a split as kerasdl.data.from_arrays "
                            "makes them.")
    elif recipe.data == "arrays":
        raise UserError(f"{run.path} was trained on arrays, which it does not keep. Give them from Python: "
                        "data=kerasdl.data.from_arrays(x, y).")
    else:
        name, expression = recipe.data, (SPLITS | recipe.splits).get(split, split)
        found = load_splits(name, {split: expression}, target=target, **recipe.data_args)[split]
        if run.data.get("examples", {}).get(split, now := found.fingerprint()) != now:
            held = recipe.data_args.get("test") if split == "test" else None
            other = f"{typed(f'csv:{held}')} --split all" if held else typed(name)
            raise UserError(f"The {split} split of {name} is not the one that {run.path} began with: something was "
                            "added, removed or changed, so that it may hold examples that the model learned from. "
                            f"To measure it all the same: kerasdl eval {typed(run.path)} --data {other}")
    check_same(found, run.data, name)
    return found


def learned(run: Run, data: Data) -> dict[str, Split]:
    """What a generator learned from, of which its referee is made: "train", and of arrays, as `data`, all splits."""
    if run.recipe.data != "arrays":
        return {"train": load_split(run, "train")}
    if not isinstance(data, Mapping) or set(SPLITS) - set(data):
        raise UserError(f"{run.path} was trained on arrays, and is measured through a classifier of the same: give all "
                        f"of {', '.join(SPLITS)} as data.")
    return dict(data)


def check_outputs(split: Split, model: keras.Model) -> None:
    """Refuse targets (N, outputs) of another width than the model's answers: they would be compared by broadcasting."""
    if split.y is not None and not split.classes and split.outputs != (answers := model.output_shape[-1]):
        raise UserError(f"The model answers with {answers} number{'s' * (answers > 1)}, and an example here has "
                        f"{split.outputs} to predict.")


def _other(run: Run, split: str, data: str, target: Target) -> Split:
    args = {key: value for key, value in run.recipe.data_args.items() if key != "per_class"}  # that is for training
    rows = isinstance(run.data["shape"], int)
    if rows != data.startswith("csv:"):
        wanted = "rows, as csv:PATH" if rows else "images"
        raise UserError(f"The model of {run.path} takes {wanted}. Received: {data}.")
    if rows:
        if not run.data["columns"]:
            raise UserError(f"{run.path} was trained on arrays, whose columns have no names. Give others from Python: "
                            "data=kerasdl.data.from_arrays(x, y).")
        return read_for(run.data, data.removeprefix("csv:"), split, label=args["label"], target=target,
                        classes=args.get("classes"))
    if split == "all" and data.startswith("folder:"):
        sizes = {"image_size": args["image_size"]} if "image_size" in args else {}
        return folders.read_for(run.data, data.removeprefix("folder:"), classes=args.get("classes"), **sizes)
    return load_splits(data, {split: split}, target=target, **args)[split]


def outputs(run: Run, model: keras.Model, batches: tf.data.Dataset) -> np.ndarray:
    """What the model answers: probabilities (N, classes), the softmax of its logits; or numbers (N, outputs)."""
    raw = model.predict(batches, verbose=0)
    return tf.nn.softmax(raw).numpy() if run.data["classes"] else raw


def calibration(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Top-label confidence against accuracy, in bins (lower, upper] of equal width (Guo et al., 2017).

    Args:
        confidence: (N,) the largest probability of each example.
        right: (N,) whether that class was the true one.

    Returns:
        A row a bin: count, and the mean confidence and accuracy, which are NaN where it is empty.
    """
    place = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    grouped = pd.DataFrame({"confidence": confidence, "accuracy": right}, dtype="float64").groupby(place)
    return grouped.mean().assign(count=grouped.size()).reindex(range(bins)).fillna({"count": 0})


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error, 0 (honest) to 1: the bins' gap of confidence and accuracy, weighted by count.

    Guo et al., "On Calibration of Modern Neural Networks", 2017. Arguments as in calibration.
    """
    table = calibration(confidence, right, bins)
    gaps = (table["accuracy"] - table["confidence"]).abs().fillna(0)
    return float((gaps * table["count"]).sum() / table["count"].sum())


def mistakes(probabilities: np.ndarray, truth: np.ndarray, count: int = WORST) -> np.ndarray:
    """Indices of the wrong predictions, the most confident first."""
    wrong = np.flatnonzero(probabilities.argmax(1) != truth)  # equal confidences stay in the order of the split
    return wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")][:count]


def findings(run: Run, data: Data, name: str, result: dict[str, Any]) -> dict[str, Any]:
    """What the page says of the model's answers on the test split of the data set `name`."""
    objective, split = objectives.get(run.recipe.objective), load_split(run, "test", data)
    if objective.pictures:
        from kerasdl.reports import gallery

        splits = {"train": load_split(run, "train", data), "test": split}
        with naming(splits):
            return {"data": run.recipe.data} | gallery.findings(run, splits, result)
    batches, model = pipeline.in_order(split, objective.targets(split), run.recipe.micro_batch), run.model()
    check_outputs(split, model)
    with naming({"test": split}):
        answers = outputs(run, model, batches)
    about = {"data": name, "size": len(split)}
    if objective.TARGET == "number":
        return about | _numbers(split, answers)
    truth = split.y if split.y is not None else np.concatenate([hot.numpy().argmax(1) for _, hot in batches])
    return about | _classes(split, answers, truth)


def _classes(split: Split, probabilities: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    names, guess, confidence = split.classes, probabilities.argmax(1), probabilities.max(1)
    labels, right = range(len(names)), guess == truth
    matrix = confusion_matrix(truth, guess, labels=labels)
    scores = precision_recall_fscore_support(truth, guess, labels=labels, zero_division=0)
    bins, edges = calibration(confidence, right), np.linspace(0, 1, BINS + 1)
    off = matrix - np.diag(np.diag(matrix))
    pairs = np.dstack(np.unravel_index(np.argsort(-off, axis=None, kind="stable")[:WORST], off.shape))[0]
    worst = mistakes(probabilities, truth)
    return {
        "right": int(right.sum()), "accuracy": float(right.mean()), "confidence": float(confidence.mean()),
        "names": names, "scores": list(zip(names, *(column.tolist() for column in scores), strict=True)),
        "means": [float(column.mean()) for column in scores[:3]],
        "matrix": matrix.tolist() if len(names) <= CELLS else None,
        "heat_map": figures.heat_map(matrix) if len(names) > CELLS else None,
        "confusions": [(names[true], names[said], int(off[true, said])) for true, said in pairs if off[true, said]],
        "reliability": figures.reliability(bins["confidence"], bins["accuracy"], bins["count"] / len(truth), edges),
        "calibration_error": calibration_error(confidence, right),
        "shown": figures.examples(split, worst),
        "worst": [(names[truth[i]], names[guess[i]], f"{confidence[i]:.1%}") for i in worst],
    }


def _numbers(split: Split, predicted: np.ndarray) -> dict[str, Any]:
    error = predicted - split.y
    worst = np.argsort(-np.abs(error).max(1), kind="stable")[:WORST]

    def told(values: np.ndarray) -> str:
        return ", ".join(f"{value:.5g}" for value in values)

    return {
        "scatter": figures.scatter(split.y.ravel(), predicted.ravel()),
        "residuals": figures.histogram(error.ravel(), "predicted - actual"),
        "shown": figures.examples(split, worst),
        "worst": [(told(split.y[i]), told(predicted[i]), told(error[i])) for i in worst],
    }


def _examples(expected: dict[str, Any], files: list[Path], resize: bool) -> tuple[list[str], np.ndarray]:
    rows = isinstance(expected["shape"], int)
    if not files:
        raise UserError(f"No files to predict. Give {'CSV files' if rows else 'image files'}.")
    for file in files:
        if file.is_dir():
            raise UserError(f"{file} is a folder. Name the files in it, as with {file}/*.")
        if not file.is_file():
            raise UserError(f"There is no file {str(file)!r}.")
        if rows and file.suffix.lower() in FORMATS:
            raise UserError(f"The model takes CSV rows, and {file} is an image.")
        if not rows and file.suffix.lower() == ".csv":
            raise UserError(f"The model takes images, and {file} is a CSV file.")
    if not rows:
        return [str(file) for file in files], read_images(files, expected["shape"], resize)
    if not expected["columns"]:
        raise UserError("The model was trained on arrays, whose columns have no names. Use run.model().predict(x).")
    parts = [read_rows(str(file), expected["columns"], expected.get("medians", {})) for file in files]
    names = [f"{file}:{line}" for file, part in zip(files, parts, strict=True) for line in lines(file, len(part))]
    return names, np.concatenate(parts)


def _history(run: Run) -> pd.DataFrame:
    try:
        return run.metrics
    except (UserError, pd.errors.EmptyDataError):  # a run that stopped within its first epoch
        return pd.DataFrame()


def _tiles(result: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """(label, value, text) of the headline, from result.json and nothing else."""
    train = result.get("train", {})
    found = []
    for part in ("test", "val", *["train"] * ("accuracy" in train)):  # seconds and steps, but of an ensemble scores
        for name, value in sorted(result.get(part, {}).items(), key=lambda score: score[0] == "loss"):
            text = f"{value:.2%}" if name == "accuracy" else f"{value:.4g}"
            found.append((f"{part} {figures.label(name)}", value, text))
    facts = (("parameters", result.get("parameters"), "{:,}".format),
             ("training time", train.get("seconds"), _duration),
             ("examples/s", train.get("images_per_second"), "{:,.0f}".format),
             ("best epoch", result.get("best_epoch"), str))
    return found + [(label, value, write(value)) for label, value, write in facts if value is not None]


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.1f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.1f} h"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={_plain(inner)}" for key, inner in value.items() if inner is not None)
    if isinstance(value, list):
        return ", ".join(_plain(inner) if not isinstance(inner, list) else f"({_plain(inner)})" for inner in value)
    return "none" if value is None else str(value)


def _template() -> jinja2.Template:
    pages = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parents[1] / "reports"), autoescape=True,
                               trim_blocks=True, lstrip_blocks=True)
    return pages.get_template("report.html.j2")
