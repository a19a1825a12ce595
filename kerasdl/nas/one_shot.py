"""Rank the cells of a space by the validation score that each has with the weights of one supernet."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from keras import ops

from kerasdl import objectives
from kerasdl.data import load_splits
from kerasdl.deploy import measure, network
from kerasdl.errors import UserError
from kerasdl.gradients import compiled
from kerasdl.nas import supernet
from kerasdl.recipe import Recipe
from kerasdl.run import Run
from kerasdl.train.fit import train
from kerasdl.train.setup import SPLITS

BATCH = 256
LONGER = 3  # times as many epochs as one network has, as each path trains in few of the steps


def supernet_of(recipe: Recipe, folder: Path, verbose: bool = True) -> Run:
    """Train all cells of a recipe's size in one network, or resume that; what is finished is not trained again.

    Raises:
        UserError: the recipe is of another model, or the folder holds the network of another recipe.
    """
    if recipe.model != "cell":
        raise UserError(f"One network for a whole space is there for model=cell. Received: model={recipe.model}. Rank "
                        "by a proxy, such as multiply_adds.")
    shared = recipe.override(model=f"{Path(supernet.__file__)}:build", epochs=LONGER * recipe.epochs, keep="last",
                             patience=None, model_args={"size": recipe.model_args.get("size", "S")})
    shared = shared.model_copy(update={"name": "supernet"})
    if not (folder / "result.json").exists():
        return train(shared, workdir=folder, verbose=verbose, test=False)
    run = Run.open(folder)
    if run.recipe.model_dump_json() != shared.model_dump_json():
        raise UserError(f"{folder} holds the shared weights of another recipe. Choose another --out.")
    if run.result["status"] != "completed":
        raise UserError(f"The training in {folder} diverged. Remove the folder, and lower lr.")
    return run


def scores(run: Run, candidates: Sequence[Mapping[str, str]]) -> Iterator[float]:
    """Yield the validation accuracy of each cell, {"01": "conv3", ...}, with the weights of a supernet.

    Norms use the statistics of the batch: those that they keep are of many paths together. So the batches are random,
    as data may be sorted by class, and as large as one another.
    """
    recipe, model = run.recipe, run.model()
    objective = objectives.of(recipe, run.path)
    splits = load_splits(recipe.data, SPLITS | recipe.splits, target=objective.target, **recipe.data_args)
    x, path = measure.as_input(network.examples_of(objective, splits["val"])[0]), model.get_layer("path")
    order = np.random.default_rng(recipe.seed).permutation(len(x))
    batches, y = np.array_split(x[order], math.ceil(len(x) / BATCH)), np.asarray(splits["val"].y)[order]
    answer = compiled(model, lambda some: model(some, training=True))
    for candidate in candidates:
        path.select(candidate)
        logits = np.concatenate([ops.convert_to_numpy(answer(batch)) for batch in batches])
        yield float((logits.argmax(1) == y).mean())
