"""What came of a comparison, as plain numbers: photos.json."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kerasdl
from kerasdl.environment import environment
from kerasdl.errors import UserError
from kerasdl.evaluation import intervals, predictions
from kerasdl.files import write_json, writing
from kerasdl.photos.compare import Candidate, Trials
from kerasdl.text import moment

FILE = "photos.json"


def document(trials: Trials) -> dict[str, Any]:
    """Return the comparison: what was found in the folder, and each candidate with its scores and their intervals.

    "interval" is of the test score, and "behind" of how much better the chosen candidate is, in the score that chooses.
    "remarks" are of the data, such as images that are in two splits, and of what there was no time for.
    """
    chosen, clock = trials.best(), trials.clock
    return {
        "folder": str(trials.folder.path), "found": trials.folder.sentence(), "classes": trials.folder.counts,
        "splits": trials.sizes, "score": chosen.run.result["monitor"], "chosen": chosen.run.path.name,
        "minutes": clock.seconds / 60, "seconds": round(clock.spent, 1), "seed": trials.seed,
        "weights": list(trials.weights), "group": trials.group,
        "candidates": [_described(candidate, chosen) for candidate in trials.candidates],
        "remarks": [*chosen.run.data.get("remarks", []), *trials.remarks],
        "finished": moment(), "kerasdl": kerasdl.__version__, "environment": environment()}


def write(trials: Trials) -> dict[str, Any]:
    """Write photos.json into the folder of the runs, the last of its files, and return what it holds."""
    found = document(trials)
    with writing(trials.home, "Choose another --workdir."):
        write_json(trials.home / FILE, found)
    return found


def finished(home: Path, path: str | Path, group: int | str | None, weights: Sequence[str], seed: int
             ) -> dict[str, Any] | None:
    """Return what photos.json of a folder says, if it is of the same comparison; None otherwise, or without one.

    Args:
        home: the folder.
        path, group, weights, seed: as in compare.compare.
    """
    try:
        found = json.loads((home / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    same = found["group"] == group and found["weights"] == list(weights) and found["seed"] == seed
    return found if same and Path(found["folder"]).expanduser().resolve() == Path(path).expanduser().resolve() else None


def _described(candidate: Candidate, chosen: Candidate) -> dict[str, Any]:
    result, score = candidate.run.result, chosen.run.result["monitor"]
    own, best = (predictions.read(each.run) for each in (candidate, chosen))
    if own is None or best is None:
        raise UserError(f"{candidate.run.path} has no predictions.npz. Remove the folder, and start again.")
    behind = None if candidate is chosen else intervals.of_difference(score, own.truth, best.outputs, own.outputs)
    return {
        "name": candidate.name, "kind": candidate.kind, "pixels": candidate.side, "run": candidate.run.path.name,
        "parameters": result["parameters"], "val": result["val"], "test": result["test"],
        "interval": intervals.of_score(score, own.truth, own.outputs), "behind": behind,
        "epochs": result["train"].get("epochs"), "augment": list(candidate.run.recipe.augment),
        "seconds": round(candidate.seconds, 1), "note": candidate.note}
