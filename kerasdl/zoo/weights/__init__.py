"""Weights from outside: files of timm, torchvision, Hugging Face, Google and Keras, read into the zoo's networks.

Every tensor of the file and every variable of the network is used exactly once, or nothing is loaded. A head for
another number of classes stays as it was initialised; the position embeddings of another grid are resized; the first
layer, "scale", gets the preprocessing that the weights were trained with, so that the network takes raw pixels 0..255.
"""

import importlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.zoo.weights import bodies, files, public
from kerasdl.zoo.weights.tables import Table

NETS = ("alexnet", "convnext", "inception", "mobilenet", "resnet", "vgg", "vit")  # each has a file of tables
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """What was read into a network.

    Attributes:
        table: the source.
        replaced: the owners that were not read, because the file has another number of classes.
        resized: whether position embeddings were resized.
    """

    table: Table
    replaced: tuple[str, ...]
    resized: bool

    def sentence(self) -> str:
        """Return what was done, for a log."""
        parts = [f"weights in the names of {self.table.source}"]
        if self.replaced:
            parts.append(f"the head {', '.join(self.replaced)} is new, for another number of classes")
        if self.resized:
            parts.append("the position embeddings are resized")
        return "; ".join(parts)


def load(model: Any, source: str | Path | Mapping[str, np.ndarray], net: str, *, table: Table | None = None,
         preprocessing: tuple | None = None) -> Loaded:
    """Read weights into a network, all or nothing.

    Args:
        model: a network of `build` or `body`.
        source: a file, or its tensors by name.
        net: the module of the zoo that built it.
        table: where each tensor goes; None: the table of this network that fits the tensors' names best.
        preprocessing: (mean, deviation) of pixels in 0..1; None: the table's.

    Raises:
        ValueError: a tensor or a variable that is left over, or one of another shape, with its name.
    """
    tensors = dict(source) if isinstance(source, Mapping) else files.read(source)
    what = "The tensors" if isinstance(source, Mapping) else f"{source}"
    table = table or best(model, tensors, net, what)
    prepared = table.prepare(tensors, model)
    values, used, replaced, resized = [], set(), [], False
    heads = _of_other_classes(model, table, prepared)
    for variable, owner in variables(model):
        if owner in heads:
            replaced.append(owner)
            continue
        name = table.name(variable.path)
        if name is None or name not in prepared:
            raise ValueError(f"{what} has no tensor for {variable.path} {tuple(variable.shape)}"
                             f"{f': {name!r} is expected' if name else ''}. {_left(prepared, model, table)}")
        array = table.arranged(prepared[name], variable, _depthwise(model, owner))
        if owner == "position" and array.shape != tuple(variable.shape):
            array, resized = _stretched(array, model), True
        if array.shape != tuple(variable.shape):
            raise ValueError(f"{what}: {name} has shape {prepared[name].shape}, which does not fit {variable.path} "
                             f"{tuple(variable.shape)}.")
        values.append((variable, array))
        used.add(name)
    names = {table.name(variable.path) for variable, owner in variables(model) if owner in heads}
    if "logits" not in {layer.name for layer in model.layers}:  # a body
        names |= {name for name in prepared for kind in ("kernel", "bias") if name == table.name(f"logits/{kind}")}
    if left := [name for name in prepared if name not in used | names and not re.search(table.ignored, name)]:
        raise ValueError(f"{what} has {len(left)} tensors that the network has no place for, such as {left[0]!r} "
                         f"{prepared[left[0]].shape}.")
    for variable, array in values:
        variable.assign(array)
    for layer in model.layers:
        if table.epsilon is not None and hasattr(layer, "epsilon"):
            layer.epsilon = table.epsilon
    _preprocess(model, *(preprocessing or (table.mean, table.deviation)))
    return Loaded(table, tuple(dict.fromkeys(replaced)), resized)


def loaded(model: Any, weights: str | Path | None, net: str) -> Any:
    """Return a network with weights from outside, if any; what was read is logged.

    Args:
        model: a network of `build` or `body`.
        weights: a name that kerasdl.zoo.weights.public knows, or a file; None: none.
        net: the module of the zoo that built it.

    Raises:
        ValueError: as `public.find` and `load` do, and for public weights of another network.
    """
    if weights is None:
        return model
    file, known = public.find(weights)
    if known is not None and known.net != net:
        raise ValueError(f"The weights {str(weights)!r} are of {known.net}, and not of {net}.")
    logger.info(load(model, file, net, preprocessing=known.preprocessing if known else None).sentence())
    return model


def backbone(weights: str | Path, image_shape: Sequence[int]) -> Any:
    """Return a trained network without its head: raw pixels (B, H, W, 3), 0..255, in; features and maps out.

    Args:
        weights: a name that kerasdl.zoo.weights.public knows, or a .keras file of a model of the zoo.
        image_shape: (height, width, channels). A network for another size is made for this one.

    Returns:
        A functional keras.Model with outputs {"features": (B, D), "maps": (B, h, w, C)}; a .keras file may have no
        maps.

    Raises:
        ValueError: as `public.find` and `load` do; a file that is no model of the zoo, or an image that does not fit.
    """
    from kerasdl import zoo

    file, known = public.find(weights)
    if known is None:
        return bodies.of_file(file, tuple(image_shape))
    model = zoo.body(known.net, tuple(image_shape), **known.args)
    load(model, file, known.net, preprocessing=known.preprocessing)
    return model


def save(model: Any, path: str | Path, net: str, source: str) -> None:
    """Write a network's weights as a .safetensors file in the names of a source.

    Args:
        model: a network of `build`.
        path: the file.
        net: the module of the zoo that built it.
        source: "hf", "timm" or "torchvision".

    Raises:
        ValueError: there is no such table, or a variable has no name there.
    """
    found = [table for table in tables_of(net) if table.source == source and table.family == "torch"]
    if not found:
        known = ", ".join(table.source for table in tables_of(net) if table.family == "torch")
        raise ValueError(f"Weights of {net} are not written in the names of {source!r}. Expected one of: {known}.")
    files.write(path, exported(model, found[0]), {"format": "pt", "made_by": "kerasdl"})


def exported(model: Any, table: Table) -> dict[str, np.ndarray]:
    """Return a network's weights as the tensors of a source.

    Raises:
        ValueError: a variable that has no name there.
    """
    found = {}
    for variable, owner in variables(model):
        if (name := table.name(variable.path)) is None:
            raise ValueError(f"{table.source} has no name for {variable.path}.")
        found[name] = table.released(np.asarray(variable.value), variable, _depthwise(model, owner),
                                     owner.endswith("attention_output"))
    return table.undo(found, model)


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


def tables_of(net: str) -> list[Table]:
    """Return the tables of a network.

    Raises:
        ValueError: no weights from outside are known for it.
    """
    if net not in NETS:
        raise ValueError(f"No weights from outside are known for {net!r}. They are for {', '.join(NETS)}.")
    return importlib.import_module(f"{__name__}.{net}").TABLES


def variables(model: Any) -> list[tuple[Any, str]]:
    """Return the weights and statistics of a network with their owners, without the states of random numbers."""
    return [(variable, variable.path.rpartition("/")[0]) for variable in model.variables
            if "seed_generator" not in variable.path]


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


def _depthwise(model: Any, owner: str) -> bool:
    return "Depthwise" in type(model.get_layer(owner.partition("/")[0])).__name__


def _of_other_classes(model: Any, table: Table, tensors: Mapping[str, np.ndarray]) -> set[str]:
    """Return the owners of heads whose tensors are for another number of classes, or not in the file."""
    found = set()
    for variable, owner in variables(model):
        there = tensors.get(table.name(variable.path) or "")
        if owner in table.heads and variable.path.endswith("/bias") and (there is None or
                                                                         there.size != variable.shape[-1]):
            found.add(owner)
    return found


def _left(tensors: Mapping[str, np.ndarray], model: Any, table: Table) -> str:
    """Return a sentence on the first tensors that no variable asks for."""
    asked = {table.name(variable.path) for variable, _ in variables(model)}
    left = [name for name in tensors if name not in asked and not re.search(table.ignored, name)]
    return f"Not used: {', '.join(left[:3])}." if left else "All its tensors are used."


def _stretched(table: np.ndarray, model: Any) -> np.ndarray:
    """Return position embeddings (1, T + h*h, D) for the grid of a model."""
    from kerasdl.zoo.blocks import stretch

    new = tuple(model.get_layer("patches").output.shape[1:3])
    tokens = model.get_layer("position").table.shape[1] - new[0] * new[1]
    side = int(round((table.shape[1] - tokens) ** 0.5))
    if table.ndim != 3 or tokens < 0 or side * side + tokens != table.shape[1]:
        return table
    return np.asarray(stretch(table, (side, side), new))


def _preprocess(model: Any, mean: Any, deviation: Any) -> None:
    """Let the first layer subtract the mean of pixels in 0..1 and divide by the deviation."""
    scale = model.get_layer("scale")
    mean, deviation = (np.asarray(values, "float64") for values in (mean, deviation))
    scale.scale = (1 / (255 * deviation)).tolist()
    scale.offset = (-mean / deviation).tolist()
