"""Rank points of a search's space before any is trained, and write them for `oracle="ranked:FILE"`."""

import inspect
import math
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasdl import costs, objectives
from kerasdl.data import load_splits
from kerasdl.deploy import measure, network
from kerasdl.errors import UserError, described, nearest
from kerasdl.files import write_json, writing
from kerasdl.nas import one_shot, proxies
from kerasdl.train.setup import adapt, seeded
from kerasdl.tuning import Search
from kerasdl.tuning.samplers.random import points
from kerasdl.tuning.search import ALWAYS
from kerasdl.zoo import cell
from kerasdl.zoo.precision import in_float32

SHARED = "shared_weights"  # of a supernet
OF_CLASSES = ("zico", SHARED)  # ways that compare answers with classes
EXAMPLES = 128  # that a proxy looks at


def ways() -> list[str]:
    """Return what `rank` can go by."""
    return [*proxies.names(), SHARED]


def rank(search: Search, by: str, file: str | Path, candidates: int = 200, verbose: bool = True) -> dict[str, Any]:
    """Write the points of a space, the best first, and return what was written.

    Args:
        search: whose space, recipe, limits and seed count.
        by: a proxy, or "shared_weights", which trains a network of all cells first, in a folder next to the file.
        file: to write.
        candidates: how many points: the first of the random oracle.

    Returns:
        {"search", "recipe", "by", "points": [{"values", "scores": {way: score}}]}, with None for a score that is not
        finite; "refused", how many points had no network or one beyond the limits.

    Raises:
        UserError: an unknown way, a model or data that it does not fit, or no point within the limits.
    """
    if by not in ways():
        raise UserError(f"Unknown way to rank {by!r}. {nearest(by, ways())}")
    if search.build:
        raise UserError("A search of build(hp) has no networks of the zoo to rank.")
    if by in OF_CLASSES and objectives.of(search.base).target != "class":
        raise UserError(f"{by} ranks networks by how they see classes. Received: objective={search.base.objective}. "
                        "Rank by another proxy, such as multiply_adds.")
    others = [key for key in search.space if not key.startswith("model_args.edge")]
    if by == SHARED and search.base.model == "cell" and others:
        raise UserError(f"{SHARED} tells cells of one size apart by their edges. {others[0]} is searched, too: rank by "
                        "a proxy.")
    file = Path(file)
    with writing(file, "Choose another --out."):
        file.parent.mkdir(parents=True, exist_ok=True)
    x, y, split = examples(search)
    rows, reasons = [], []
    for values in islice(points(search.dimensions, search.seed), candidates):
        found, why = scored(search, values, {by, *ALWAYS} - {SHARED}, x, y, split)
        rows += [] if why else [{"values": values, "scores": found}]
        reasons += [why] if why else []
    if not rows:
        raise UserError(f"None of {len(reasons)} points has a network within the limits. The first because: "
                        f"{reasons[0].rstrip('.')}.")
    if by == SHARED:
        run = one_shot.supernet_of(search.base, file.with_name(f"{file.stem}_supernet"), verbose)
        cells = [edges(search, row["values"]) for row in rows]
        for row, score in zip(rows, one_shot.scores(run, cells), strict=True):
            row["scores"][SHARED] = score
    rows.sort(key=lambda row: -row["scores"][by])
    if not math.isfinite(rows[0]["scores"][by]):
        raise UserError(f"No network of the space has a score by {by}.")
    for row in rows:
        row["scores"] = {way: score if math.isfinite(score) else None for way, score in row["scores"].items()}
    document = {"search": search.name, "recipe": search.base.name, "by": by, "refused": len(reasons), "points": rows}
    with writing(file, "Choose another --out."):
        write_json(file, document)
    return document


def examples(search: Search) -> tuple[np.ndarray, np.ndarray | None, Any]:
    """Return some training examples as networks take them, their classes where they have some, and the split."""
    objective = objectives.of(search.base)
    split = some = load_splits(search.base.data, {"train": "train"} | search.base.splits, target=objective.target,
                               **search.base.data_args)["train"]
    if not split.streamed:  # it may be sorted by class, and proxies compare small batches
        some = split.part(np.random.default_rng(search.base.seed).permutation(len(split))[:EXAMPLES])
    x, y = network.examples_of(objective, some, EXAMPLES)
    return measure.as_input(x), y.argmax(-1) if objective.target == "class" else None, split


def scored(search: Search, values: Mapping[str, Any], names: set[str], x: np.ndarray, y: Any, split: Any
           ) -> tuple[dict[str, float], str]:
    """Return {proxy: score} of the network of some values, as a trial begins with it, and why there is none within the
    limits; "" if there is."""
    try:
        recipe = search.trial(values)
        with seeded(recipe.seed):
            built = objectives.of(recipe).networks(split)[0]
        net = in_float32(built)
    except ValueError as error:
        return {}, " ".join(str(error).split()) or described(error)
    except Exception as error:  # of the user's own model
        return {}, described(error)
    for name, most in search.limits.items():
        if why := costs.over({name: cost_of(name, net, x)}, {name: most}):
            return {}, why
    if any(map(proxies.looks, names)):
        adapt(net, split)
    untouched, found = [ops.convert_to_numpy(variable) for variable in net.variables], {}
    for name in sorted(names):
        for variable, value in zip(net.variables, untouched, strict=True):  # a proxy may change ranges, and draw noise
            variable.assign(value)
        try:
            found[name] = proxies.find(name)(net, x, y)
        except ValueError as error:
            raise UserError(f"{recipe.model}: {error}") from None
    return found, ""


def cost_of(name: str, net: Any, x: np.ndarray) -> float:
    """Return a cost of a network.

    Raises:
        UserError: it cannot be measured here, as a file's size on a backend that writes no such files.
    """
    try:
        return float(costs.find(name)(net, x))
    except Exception as error:  # of a converter, or of the user's own cost
        hint = "" if keras.backend.backend() == "tensorflow" else " Set KERAS_BACKEND=tensorflow."
        raise UserError(f"The cost {name} cannot be measured: {described(error).rstrip('.')}.{hint}") from error


def edges(search: Search, values: Mapping[str, Any]) -> dict[str, str]:
    """Return the operations of a cell, {"01": "conv3", ...}."""
    args, own = search.trial(values).model_args, inspect.signature(cell.build).parameters
    return {edge: args.get(f"edge{edge}", own[f"edge{edge}"].default) for edge in one_shot.supernet.EDGES}
