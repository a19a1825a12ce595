"""How weights from outside fit a network of the zoo: a table for each source says which tensor goes where.

A table's rules are patterns of our variables' owners, a layer or a part of one, "stage1_block2_conv1" or
"block1_attn/query", and what their source calls them. A family of sources stores a kernel in one way:

- "torch": weight (out, in, height, width) or (out, in), bias, running_mean, running_var;
- "flax": as Keras does, with scale and mean and var;
- "keras": by the layer's name and the place of the array in it, "conv1/0".
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SUFFIXES = {
    "torch": {"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "moving_mean": "running_mean",
              "moving_variance": "running_var"},
    "flax": {"kernel": "kernel", "bias": "bias", "gamma": "scale", "beta": "bias", "moving_mean": "mean",
             "moving_variance": "var"},
    "keras": {"kernel": "0", "bias": "1", "gamma": "0", "beta": "1", "moving_mean": "2", "moving_variance": "3"},
}
SEPARATOR = {"torch": ".", "flax": "/", "keras": "/"}
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation of pixels in 0..1
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # -1..1
Tensors = dict[str, np.ndarray]


def same(tensors: Tensors, model: Any) -> Tensors:
    """Return the tensors as they are."""
    return tensors


@dataclass(frozen=True)
class Table:
    """One source of weights for one network.

    Attributes:
        net: the module of the zoo.
        source: whose names these are: "timm", "torchvision", "hf", "augreg", "keras" (keras.applications), "keras_hub".
        family: a key of SUFFIXES.
        rules: (pattern of one of our owners, what the source calls it); the first that matches counts. A replacement
            that begins with "=" is the whole name of a tensor.
        ignored: a pattern of tensors that are no weights.
        others: a pattern of tensors of layers that our network does not have, such as BERT's pooler; None: none.
        prepare: changes the tensors first, for the model: splits what is stored together, folds what we do not have.
        undo: the other way round, for an export.
        refuses: says why the source builds another network than a model, although its weights have the same names;
            "" if it does not.
        epsilon: of the normalisations that the weights were trained with; None: ours.
        mean, deviation: what is subtracted from pixels in 0..1 and what they are divided by; None for tokens.
        heads: owners, of ours, that depend on the number of classes.
    """

    net: str
    source: str
    family: str
    rules: Sequence[tuple[str, str]]
    ignored: str = r"num_batches_tracked$"
    others: str | None = None
    prepare: Callable[[Tensors, Any], Tensors] = same
    undo: Callable[[Tensors, Any], Tensors] = same
    refuses: Callable[[Any], str] = lambda model: ""
    epsilon: float | None = None
    mean: Sequence[float] | None = IMAGENET[0]
    deviation: Sequence[float] | None = IMAGENET[1]
    heads: Sequence[str] = ("logits",)

    def name(self, path: str) -> str | None:
        """Return what the source calls one of our variables, by its path, "stem_conv/kernel"; None if it has none."""
        owner, _, kind = path.rpartition("/")
        for pattern, replacement in self.rules:
            if match := re.fullmatch(pattern, owner):
                found = counted(match.expand(replacement))
                return found[1:] if found[:1] == "=" else \
                    f"{found}{SEPARATOR[self.family]}{SUFFIXES[self.family].get(kind, kind)}"
        return None

    def arranged(self, array: np.ndarray, variable: Any, depthwise: bool) -> np.ndarray:
        """Return a tensor of the source as our variable holds it; of another shape if it does not fit."""
        if self.family == "torch" and array.ndim == 4:
            array = array.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
        elif depthwise and array.ndim == 4 and array.shape[2] == 1:  # stored as a convolution in groups of one
            array = array.transpose(0, 1, 3, 2)
        elif self.family == "torch" and array.ndim == 2 and variable.path.endswith("/kernel"):
            array = array.T
        fits = array.size == np.prod(variable.shape) and (array.ndim < 4 or len(variable.shape) < 4)
        return array.reshape(variable.shape) if fits else array

    def released(self, array: np.ndarray, variable: Any, depthwise: bool, inward: bool) -> np.ndarray:
        """Return what our variable holds as a tensor of the source: `arranged` the other way round.

        Args:
            array: the values.
            variable: whose they are.
            depthwise: whether it is the kernel of a depthwise convolution.
            inward: whether a kernel of three axes maps (heads, D / heads) to D, and not D to (heads, D / heads).
        """
        if self.family != "torch":
            return array
        if array.ndim == 4:
            return array.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
        if variable.path.endswith("/kernel"):
            return array.reshape((-1, array.shape[-1]) if inward else (array.shape[0], -1)).T
        return array.reshape(-1) if variable.path.endswith("/bias") else array


def counted(text: str) -> str:
    """Return a text in which {3-1} is 2 and {3+1} is 4: sources count from other numbers than 1."""
    return re.sub(r"\{(\d+)([-+]\d+)\}", lambda match: str(int(match[1]) + int(match[2])), text)


def renamed(tensors: Mapping[str, np.ndarray], *changes: tuple[str, str]) -> Tensors:
    """Return tensors under other names: each change is a pattern and its replacement."""
    found = {}
    for name, array in tensors.items():
        for pattern, replacement in changes:
            name = re.sub(pattern, replacement, name)
        found[name] = array
    return found


def by_channel(tensors: Mapping[str, np.ndarray], name: str, model: Any) -> Tensors:
    """Return tensors whose first hidden layer reads flattened maps (C, h, w): `by_row` the other way round."""
    found = dict(tensors)
    if name in found:
        height, width, channels = model.get_layer("flatten").input.shape[1:]
        kernel = found[name].reshape(-1, height, width, channels)
        found[name] = kernel.transpose(0, 3, 1, 2).reshape(len(kernel), -1)
    return found


def lacks(**reasons: str) -> Callable[[Any], str]:
    """Return what gives the reason for the first layer of these names that a model does not have."""
    return lambda model: next((why for layer, why in reasons.items() if not owners(model, layer)), "")


def has(**reasons: str) -> Callable[[Any], str]:
    """Return what gives the reason for the first layer of these names that a model has."""
    return lambda model: next((why for layer, why in reasons.items() if owners(model, layer)), "")


def paired(theirs: Sequence[Any], ours: Sequence[str], what: str) -> list[tuple[Any, str]]:
    """Return what a source counts through with the owners that are ours, in order.

    Raises:
        ValueError: there are more of the one than of the other, in a sentence that says of `what`.
    """
    if len(theirs) != len(ours):
        raise ValueError(f"it has {len(theirs)} {what}, and the network has {len(ours)}")
    return list(zip(theirs, ours, strict=True))


def hub_names(tensors: Tensors, model: Any) -> Tensors:
    """Return KerasHub's tensors with one prefix for every network, as a preset is read, and none for its head."""
    return renamed(tensors, (r"^\w+_backbone/", "backbone/"), (r"^sequential/", ""))


def owners(model: Any, pattern: str) -> list[str]:
    """Return the layers of a network whose names a pattern matches, in the order of the network."""
    return [layer.name for layer in model.layers if re.fullmatch(pattern, layer.name)]


def by_row(tensors: Mapping[str, np.ndarray], name: str, model: Any) -> Tensors:
    """Return tensors whose first hidden layer reads flattened maps (h, w, C), where it read (C, h, w).

    Args:
        tensors: of torch.
        name: the weight (out, C * h * w) of that layer.
        model: ours, whose layer "hidden1" reads the maps.
    """
    found = dict(tensors)
    if name in found and "hidden1" in {layer.name for layer in model.layers}:
        height, width, channels = model.get_layer("flatten").input.shape[1:]
        kernel = found[name].reshape(-1, channels, height, width)
        found[name] = kernel.transpose(0, 2, 3, 1).reshape(len(kernel), -1)
    return found
