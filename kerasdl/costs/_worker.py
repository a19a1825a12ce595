"""Build networks and measure what they cost: python -m kerasdl.costs._worker

A line of standard input is {"recipe", "costs"}; a line of standard output is {"costs": {cost: number}}, or {"why"} if
the network cannot be built. The process keeps the data of a search, and uses no GPU.
"""

import contextlib
import json
import math
import sys
from functools import cache
from typing import Any

from kerasdl import costs, objectives
from kerasdl.data import Split, load_splits
from kerasdl.deploy import network
from kerasdl.errors import DataError, UserError
from kerasdl.recipe import Recipe

EXAMPLES = 8  # that a cost may look at


@cache
def train_split(data: str, splits: str, target: str | None, args: str) -> Split:
    """Return the training split; the arguments are JSON, and make one search read its data once."""
    return load_splits(data, {"train": "train"} | json.loads(splits), target=target, **json.loads(args))["train"]


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return what a network costs, or why there is none.

    Raises:
        DataError: the data cannot be read, so that no network can be built.
        UserError: a cost cannot be measured here at all.
    """
    recipe = Recipe.from_json(json.dumps(request["recipe"]))
    measures = {name: costs.find(name) for name in request["costs"]}
    objective = objectives.of(recipe)
    split = train_split(recipe.data, json.dumps(recipe.splits), objective.target, json.dumps(recipe.data_args))
    try:
        kept = objective.networks(split)[0]
    except (UserError, ValueError) as error:
        return {"why": " ".join(str(error).split())}
    plain = network.in_float32(kept)
    examples, _ = network.examples_of(objective, split, EXAMPLES)
    found = {name: float(measure(plain, examples)) for name, measure in measures.items()}
    wrong = [f"{name} is {value}" for name, value in found.items() if not math.isfinite(value)]
    return {"why": wrong[0]} if wrong else {"costs": found}


def main() -> None:
    import keras

    for line in sys.stdin:
        with contextlib.redirect_stdout(sys.stderr):  # converters print
            try:
                found = answer(json.loads(line))
            except UserError as error:
                found = {"error": str(error), "of_data": isinstance(error, DataError)}
            except Exception as error:  # of a converter or of the user's own cost
                found = {"why": f"{type(error).__name__}: {' '.join(str(error).split())}"}
            keras.backend.clear_session()
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
