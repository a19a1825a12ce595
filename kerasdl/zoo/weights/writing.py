"""Write a network's weights in the names of a source, with what such a file leaves out in its header."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.zoo.weights import files
from kerasdl.zoo.weights.choice import depthwise, tables_of, variables
from kerasdl.zoo.weights.tables import Table

SOURCES = ("hf", "timm", "torchvision")  # whose names are written; the first that a network has is the default


def sources(net: str) -> list[str]:
    """Return the sources in whose names weights of a network are written, the default first.

    Raises:
        ValueError: no names but ours are known for it, or its weights are only read.
    """
    known = {table.source for table in tables_of(net) if table.mean is not None}
    if not known:
        raise ValueError(f"Weights of {net} are not written in the names of another library.")
    return [source for source in SOURCES if source in known]


def save(model: Any, path: str | Path, net: str, source: str | None = None, classes: Sequence[str] = ()
         ) -> dict[str, Any]:
    """Write a network's weights as a .safetensors file in the names of a source.

    Args:
        model: a network of `build`.
        path: the file.
        net: the module of the zoo that built it.
        source: "hf", "timm" or "torchvision"; None: the first of them that builds such a network.
        classes: their names.

    Returns:
        What the header says: "model", "names" (the source), "image_size" (height, width), "mean" and "std" of pixels
        in 0..1, "epsilon" of the normalisations, None without any, and "classes". `load` reads them back.

    Raises:
        ValueError: no such source, a variable that has no name there, or a network that the source builds otherwise.
    """
    if (last := model.layers[-1].name) != "logits":
        raise ValueError(f"Expected a classifier, whose last layer is 'logits'. The last layer of {model.name} is "
                         f"{last!r}, which no other library has.")
    known = sources(net)
    if source not in (None, *known):
        raise ValueError(f"Weights of {net} are not written in the names of {source!r}. Expected one of: "
                         f"{', '.join(known)}.")
    table, tensors = _first(model, [table for each in known for table in tables_of(net)
                                    if table.source == each and source in (None, each)])
    mean, deviation = _preprocessing(model)
    header = {"model": net, "names": table.source, "image_size": list(model.input_shape[1:3]), "mean": mean,
              "std": deviation, "epsilon": _epsilon(model), "classes": list(classes)}
    files.write(path, tensors, {"format": "pt", "made_by": files.OURS} | {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in header.items()})
    return header


def _first(model: Any, tables: Sequence[Table]) -> tuple[Table, dict[str, np.ndarray]]:
    """Return the first table in whose names a network can be written, and its tensors; else raise the first error."""
    errors = []
    for table in tables:
        try:
            return table, exported(model, table)
        except ValueError as error:
            errors.append(error)
    raise errors[0]


def exported(model: Any, table: Table) -> dict[str, np.ndarray]:
    """Return a network's weights as the tensors of a source.

    Raises:
        ValueError: a variable that has no name there, or a network that the source builds otherwise.
    """
    found = {}
    for variable, owner in variables(model):
        if (name := table.name(variable.path)) is None:
            raise ValueError(f"{table.source} has no name for {variable.path} {tuple(variable.shape)}.")
        found[name] = table.released(np.asarray(variable.value), variable, depthwise(model, owner),
                                     owner.endswith("attention_output"))
        if table.family == "torch" and name.endswith(".running_mean"):  # PyTorch expects a count that it never uses
            found[name.replace("running_mean", "num_batches_tracked")] = np.zeros((), "int64")
    if why := table.refuses(model):
        raise ValueError(f"{model.name} is not a network of {table.source}: {why}.")
    return table.undo(found, model)


def _preprocessing(model: Any) -> tuple[list[float], list[float]]:
    """Return mean and deviation, of pixels in 0..1, that the first layer applies to each channel."""
    scale, channels = model.get_layer("scale"), model.input_shape[3]
    deviation = 1 / (255 * np.broadcast_to(np.asarray(scale.scale, "float64"), (channels,)))
    return (-np.asarray(scale.offset, "float64") * deviation).tolist(), deviation.tolist()


def _epsilon(model: Any) -> float | None:
    """Return what the normalisations add to a variance; all of a network add the same."""
    found = {layer.epsilon for layer in model.layers if hasattr(layer, "epsilon")}
    if len(found) > 1:
        raise ValueError(f"{model.name} has normalisations with different epsilons: {sorted(found)}.")
    return found.pop() if found else None
