"""How far each layer lies below the head, by which its learning rate is smaller."""

import re
from collections.abc import Sequence

import keras

from kerasdl.compression.graph import functional
from kerasdl.zoo.fake_quantized import FakeQuantize

# The part of a layer's name that is its block's; filters of several widths are side by side.
BLOCK = re.compile(r"stage\d+_block\d+|width(?=\d+_)|[a-z]+\d+(?![a-z0-9])")


def shares(network: keras.Model, decay: float) -> dict[str, float]:
    """Of each trainable variable, by its path, the share of the learning rate: `decay` to the power of its depth.

    Clark et al. 2020 (ELECTRA, arXiv:2003.10555) and Bao et al. 2021 (BEiT, arXiv:2106.08254).
    """
    below = depths(network)
    return {variable.path: decay ** below[layer.name]
            for layer in network.layers for variable in layer.trainable_variables}


def depths(network: keras.Model) -> dict[str, int]:
    """How many blocks each layer with weights lies below the head.

    A block is what shares the first part of its name: "block3", "stage2_block1", "stage1", "hidden2", "features", and
    otherwise a layer by itself; a normalisation belongs to the layer before it. The head makes the network's outputs.
    As in BEiT's own code, all that comes before the first block is one more, a transformer's patches or convolutions
    with its positions, or a stem, and what comes after the last one and only normalises or pools belongs to the head.
    """
    layers = [layer for layer in network.layers if layer.weights and not isinstance(layer, FakeQuantize)]
    names = [layer.name for layer in layers]
    ends = {"logits", "pool_scores", *makers(network, names)}
    blocks = [i for i, name in enumerate(names) if BLOCK.match(name) and name not in ends]
    encoder = [i for i in blocks if names[i].startswith("block")]
    begin = min(encoder or blocks, default=0)

    def unit(i, name):
        """The part that a layer belongs to; "" for a normalisation, whose part is that of its neighbours."""
        if i < begin:
            return "stem"
        if name in ends:
            return "head"
        if i in blocks:
            return BLOCK.match(name)[0]
        return "features" if name.startswith("features") else "" if "norm" in name else name

    own = [unit(i, name) for i, name in enumerate(names)]
    last = max((i for i, found in enumerate(own) if found not in ("", "head")), default=-1)
    units, below = {}, ""
    for i, (layer, found) in enumerate(zip(layers, own, strict=True)):
        batch = isinstance(layer, keras.layers.BatchNormalization) and layer.name != "norm"  # the zoo's before a head
        if not found:
            found = (below or layer.name) if i < last or batch else "head"
        units[layer.name] = found
        below = below if found == "head" else found
    order = list(dict.fromkeys(unit for unit in units.values() if unit != "head"))
    return {name: len(order) - order.index(unit) if unit != "head" else 0 for name, unit in units.items()}


def makers(network: keras.Model, names: Sequence[str]) -> set[str]:
    """Return which of some layers make a graph's outputs, alone or with operations of one tensor behind them."""
    graph = functional(network)
    made = {id(tensor): each for each in getattr(graph, "operations", ())
            for tensor in keras.tree.flatten(keras.Operation.output.fget(each))}
    found = set()
    for tensor in getattr(graph, "outputs", ()):
        while (maker := made.get(id(tensor))) and maker.name not in names:
            tensor, *others = keras.tree.flatten(keras.Operation.input.fget(maker)) or [None]
            if others:
                break
        found.add(maker.name if maker else "")
    return found & set(names)
