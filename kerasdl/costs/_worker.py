"""Build networks and measure what they cost: python -m kerasdl.costs._worker

A line of standard input is {"recipe", "costs", "limits"}, one of standard output {"costs": {cost: number}, "why"}:
"why" says that the network cannot be built, is beyond a limit, or has a cost that cannot be measured, which is named in
"unmeasured"; after that no more is measured. It is {"error"} if nothing can be measured here. The process keeps the
data of a search, and uses no GPU.
"""

import contextlib
import json
import math
import sys
from functools import cache
from typing import Any

import keras

from kerasdl import costs, objectives
from kerasdl.data import Split, load_splits
from kerasdl.deploy import measure, network
from kerasdl.errors import DataError, Unwritable, UserError, described
from kerasdl.recipe import Recipe
from kerasdl.zoo.precision import in_float32

EXAMPLES = 8  # that a cost may look at
KNOWN: dict[tuple[str, ...], dict[str, float]] = {}  # {(network, data): {cost: number}}


@cache
def train_split(data: str, splits: str, target: Any, args: str) -> Split:
    """Return the training split; the arguments are JSON, and make one search read its data once."""
    return load_splits(data, {"train": "train"} | json.loads(splits), target=target, **json.loads(args))["train"]


def known(network: keras.Model, recipe: Recipe) -> dict[str, float]:
    """Return the dictionary {cost: number} of networks like this one: many points of a space differ in training alone.
    """
    try:
        text = network.to_json()
    except Exception:  # a layer of the user's own that does not say what it is made of
        return {}
    return KNOWN.setdefault((text, recipe.data, json.dumps(recipe.data_args), json.dumps(recipe.splits)), {})


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return what a network costs, and why it is not to be trained.

    Raises:
        UserError: the data cannot be read, or a cost of any network cannot be measured here.
    """
    recipe, limits = Recipe.from_json(json.dumps(request["recipe"])), request["limits"]
    objective = objectives.of(recipe)
    split = train_split(recipe.data, json.dumps(recipe.splits), objective.target, json.dumps(recipe.data_args))
    try:
        plain = in_float32(objective.networks(split)[0])
    except (UserError, ValueError) as error:
        return {"costs": {}, "why": " ".join(str(error).split()) or described(error)}
    except Exception as error:  # of the user's own model
        return {"costs": {}, "why": described(error)}
    found: dict[str, float] = {}
    examples = measure.as_input(network.examples_of(objective, split, EXAMPLES)[0])
    before = known(plain, recipe)
    for name in request["costs"]:
        measure_cost = costs.find(name)
        try:
            value = before[name] = before[name] if name in before else float(measure_cost(plain, examples))
        except (ImportError, OSError, Unwritable) as error:  # of this machine, whatever the network is
            raise UserError(f"The cost {name} cannot be measured: {described(error)}") from error
        except Exception as error:  # of a converter, or of the user's own cost
            return {"costs": found, "why": f"The cost {name} cannot be measured: {described(error)}",
                    "unmeasured": name}
        if not math.isfinite(value):
            return {"costs": found, "why": f"The cost {name} is {value}.", "unmeasured": name}
        found[name] = value
        if why := costs.over(found, {name: limits[name]} if name in limits else {}):
            return {"costs": found, "why": why}
    return {"costs": found, "why": ""}


def main() -> None:
    for line in sys.stdin:
        with contextlib.redirect_stdout(sys.stderr):  # converters print
            try:
                found = answer(json.loads(line))
            except UserError as error:
                found = {"error": str(error), "of_data": isinstance(error, DataError)}
            keras.backend.clear_session()
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
