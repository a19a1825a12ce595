"""Read weights into a network, all or nothing."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerasdl.zoo.weights import files, public
from kerasdl.zoo.weights.choice import best, depthwise, variables
from kerasdl.zoo.weights.tables import Table

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """What was read into a network.

    Attributes:
        table: the source.
        replaced: the owners that were not read, because the file has another number of classes.
        resized: whether position embeddings were resized.
        left: the tensors of layers that the network does not have, such as BERT's pooler.
    """

    table: Table
    replaced: tuple[str, ...]
    resized: bool
    left: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Return what was done, for a log."""
        parts = [f"weights in the names of {self.table.source}"]
        if self.replaced:
            parts.append(f"the head {', '.join(self.replaced)} is new, for another number of classes")
        if self.resized:
            parts.append("the position embeddings are resized")
        if self.left:
            parts.append(f"not read, because the network has no such layers: {', '.join(self.left)}")
        return "; ".join(parts)


def load(model: Any, source: str | Path | Mapping[str, np.ndarray], net: str, *, table: Table | None = None,
         preprocessing: tuple | None = None) -> Loaded:
    """Read weights into a network, all or nothing.

    Args:
        model: a network of `build` or `body`.
        source: a file, or its tensors by name.
        net: the module of the zoo that built it.
        table: where each tensor goes; None: the table of this network that fits the tensors' names best.
        preprocessing: (mean, deviation) of pixels in 0..1; None: what a file of `save` says, else the table's.

    Raises:
        ValueError: a tensor or a variable that is left over, or one of another shape, with its name.
    """
    if isinstance(source, Mapping):
        what, tensors, header = "The tensors", dict(source), {}
    else:
        what, tensors, header = str(source), files.read(source), files.header(source)
    table = table or best(model, tensors, net, what)
    if why := table.refuses(model):
        raise ValueError(f"{table.source} builds another network than this one: {why}. Not read: {what}.")
    prepared = _prepared(table, tensors, model, net, what)
    left = tuple(name for name in prepared if table.others and re.search(table.others, name))
    prepared = {name: array for name, array in prepared.items() if name not in left}
    heads = _of_other_classes(model, table, prepared)
    own = (header["mean"], header["std"]) if header else (table.mean, table.deviation)
    mean, deviation = preprocessing or own
    if table.mean is not None and np.size(mean) not in (1, channels := model.input_shape[-1]):
        raise ValueError(f"{what} is for images of {np.size(mean)} channels, and the network takes {channels}. To read "
                         f"images so: data_args.channels={np.size(mean)}")
    arrays, resized = _arranged(model, table, prepared, heads, what, header.get("image_size"))
    _check_all_used(model, table, prepared, what)
    for variable, array in arrays:
        variable.assign(array)
    for layer in model.layers:
        if hasattr(layer, "epsilon") and (epsilon := header.get("epsilon") or table.epsilon) is not None:
            layer.epsilon = epsilon
    if table.mean is not None:
        _preprocess(model, mean, deviation)
    return Loaded(table, heads, resized, left)


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


def classes_of(model: Any, source: str | Path, net: str) -> int | None:
    """Return how many classes the head of a file of weights tells apart; None: it has none.

    Args:
        model: a network that the file is for, with any number of classes.
        source: the file.
        net: the module of the zoo that built it.

    Raises:
        ValueError: as `load` does for a file of another network.
    """
    tensors = files.read(source)
    table = best(model, tensors, net, str(source))
    bias = _prepared(table, tensors, model, net, str(source)).get(table.name("logits/bias") or "")
    return None if bias is None else bias.size


def _prepared(table: Table, tensors: Mapping[str, np.ndarray], model: Any, net: str, what: str
              ) -> Mapping[str, np.ndarray]:
    """Return the tensors as the table's rules name them.

    Raises:
        ValueError: they are of another architecture.
    """
    try:
        return table.prepare(dict(tensors), model)
    except (KeyError, ValueError, IndexError) as error:
        why = f"there is no tensor {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{what} is of another architecture than this {net}: {why}. Its first tensors are "
                         f"{', '.join(f'{name} {array.shape}' for name, array in list(tensors.items())[:3])}."
                         ) from None


def _of_other_classes(model: Any, table: Table, tensors: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Return the owners of heads whose tensors are for another number of classes, or not in the file."""
    found = []
    for variable, owner in variables(model):
        there = tensors.get(table.name(variable.path) or "")
        if owner in table.heads and variable.path.endswith("/bias") and (there is None or
                                                                         there.size != variable.shape[-1]):
            found.append(owner)
    return tuple(found)


def _arranged(model: Any, table: Table, tensors: Mapping[str, np.ndarray], heads: Sequence[str], what: str,
              image_size: Sequence[int] | None) -> tuple[list[tuple[Any, np.ndarray]], bool]:
    """Return (variable, array) for all but the variables of some heads, and whether positions were resized.

    Raises:
        ValueError: a variable without a tensor, or with one that does not fit.
    """
    found, resized = [], False
    for variable, owner in variables(model):
        if owner in heads:
            continue
        name, shape = table.name(variable.path), tuple(variable.shape)
        if name is None or name not in tensors:
            raise ValueError(f"{what} has no tensor for {variable.path} {shape}"
                             f"{f': {name!r} is expected' if name else ''}. {_left(tensors, model, table)}")
        array = table.arranged(tensors[name], variable, depthwise(model, owner))
        if owner == "position" and array.ndim == 3:
            array, stretched = _stretched(array, model, image_size)
            resized |= stretched
        if array.shape != shape:
            raise ValueError(f"{what}: {name} has shape {tensors[name].shape}, which does not fit "
                             f"{variable.path} {shape}.")
        found.append((variable, array))
    return found, resized


def _check_all_used(model: Any, table: Table, tensors: Mapping[str, np.ndarray], what: str) -> None:
    """Raise ValueError for tensors that the network has no place for; a body has none for those of the head."""
    used = {table.name(variable.path) for variable, _ in variables(model)}
    if "logits" not in {layer.name for layer in model.layers}:
        used |= {table.name(f"logits/{kind}") for kind in ("kernel", "bias")}
    if left := [name for name in tensors if name not in used and not re.search(table.ignored, name)]:
        raise ValueError(f"{what} has {len(left)} tensors that the network has no place for, such as {left[0]!r} "
                         f"{tensors[left[0]].shape}.")


def _left(tensors: Mapping[str, np.ndarray], model: Any, table: Table) -> str:
    """Return a sentence on the first tensors that no variable asks for."""
    asked = {table.name(variable.path) for variable, _ in variables(model)}
    left = [name for name in tensors if name not in asked and not re.search(table.ignored, name)]
    return f"Not used: {', '.join(left[:3])}." if left else "All its tensors are used."


def _stretched(table: np.ndarray, model: Any, image_size: Sequence[int] | None) -> tuple[np.ndarray, bool]:
    """Return position embeddings (1, T + h*w, D) for the grid of a model, and whether that is another one.

    Args:
        table: those of the file.
        model: the model.
        image_size: (height, width) of the images that the file is for; None: its grid is square.
    """
    from kerasdl.zoo.blocks import stretch

    patches = model.get_layer("patches")
    new = tuple(patches.output.shape[1:3])
    tokens = model.get_layer("position").table.shape[1] - new[0] * new[1]
    side = round(max(0, table.shape[1] - tokens) ** 0.5)
    old = tuple(size // stride for size, stride in zip(image_size, patches.strides, strict=True)) if image_size else \
        (side, side)
    if old == new or tokens < 0 or old[0] * old[1] + tokens != table.shape[1]:
        return table, False
    return np.asarray(stretch(table, old, new)), True


def _preprocess(model: Any, mean: Any, deviation: Any) -> None:
    """Let the first layer subtract the mean of pixels in 0..1 and divide by the deviation."""
    scale = model.get_layer("scale")
    mean, deviation = (np.asarray(values, "float64") for values in (mean, deviation))
    scale.scale = (1 / (255 * deviation)).tolist()
    scale.offset = (-mean / deviation).tolist()
