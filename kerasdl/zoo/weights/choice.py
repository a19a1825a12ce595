"""Which table of which network the tensors of a file fit."""

import importlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from kerasdl.zoo.weights.tables import Table

NETS = ("alexnet", "convnext", "inception", "mobilenet", "resnet", "transformer", "vgg", "vit")  # each has a file


def tables_of(net: str) -> list[Table]:
    """Return the tables of a network.

    Raises:
        ValueError: no weights from outside are known for it.
    """
    if net not in NETS:
        raise ValueError(f"The names of other libraries are known for {', '.join(NETS)}. Received: {net!r}.")
    return importlib.import_module(f"{__package__}.{net}").TABLES


def variables(model: Any) -> list[tuple[Any, str]]:
    """Return the weights and statistics of a network with their owners, without the states of random numbers."""
    return [(variable, variable.path.rpartition("/")[0]) for variable in model.variables
            if "seed_generator" not in variable.path]


def depthwise(model: Any, owner: str) -> bool:
    """Return whether the owner of a variable is a depthwise convolution."""
    return "Depthwise" in type(model.get_layer(owner.partition("/")[0])).__name__


def best(model: Any, tensors: Mapping[str, np.ndarray], net: str, what: str = "The tensors") -> Table:
    """Return the table of a network whose names the tensors have most of.

    Raises:
        ValueError: no table has any of them.
    """
    def found(table: Table) -> int:
        prepared = _quietly(table, tensors, model)
        return sum(table.name(variable.path) in prepared for variable, _ in variables(model))

    ranked = sorted(tables_of(net), key=found, reverse=True)
    if not ranked or not found(ranked[0]):
        others = [table for name in NETS for table in tables_of(name) if table.net != net and _knows(table, tensors)]
        hint = f" They look like those of {others[0].net} ({others[0].source})." if others else ""
        raise ValueError(f"{what} is not of {net}: the first tensors are {', '.join(list(tensors)[:3])}.{hint}")
    return ranked[0]


def _knows(table: Table, tensors: Mapping[str, np.ndarray]) -> bool:
    """Return whether some of the tensors have names that a table's replacements may give."""
    heads = [re.sub(r"\\\d|\{[^}]*\}", r"\\d+", re.escape(replacement).replace(r"\{", "{").replace(r"\}", "}")
                    .replace(r"\\", "\\")) for _, replacement in table.rules]
    return sum(any(re.match(head.removeprefix("="), name) for head in heads) for name in tensors) > len(tensors) / 2


def _quietly(table: Table, tensors: Mapping[str, np.ndarray], model: Any) -> Mapping[str, np.ndarray]:
    """Return the prepared tensors; the tensors as they are where they are not the table's."""
    try:
        return table.prepare(dict(tensors), model)
    except (KeyError, ValueError, IndexError):
        return tensors
