"""A network of equal cells, each a small graph: Dong & Yang 2020, "NAS-Bench-201", arXiv:2001.00326.

A cell has four nodes: 0 is its input, 3 its output. From each node to each later one there is an edge, which is an
operation, and a node is the sum of the edges into it. So six arguments, `edge01` to `edge23`, are a network, and there
are 5^6 = 15,625 of them. They stand behind a 3x3 stem in three stages, with a residual block of stride 2 between two.

Departs from the paper: edges that are on no path from 0 to 3 are left out, with their weights; batch statistics have
momentum 0.9.
"""

import keras
from keras import layers

from kerasdl.zoo import unknown
from kerasdl.zoo.blocks import conv, entrance, head, lookup

SIZES = {  # width of each stage, cells in each
    "mu": ((8, 16), 1),
    "S": ((16, 32, 64), 1),
    "201": ((16, 32, 64), 5),  # the paper's
}
PARAMETERS = {"mu": 12_866, "S": 219_130, "201": 802_426}  # trainable, 32x32x3 -> 10, with the edges of `build`
OPERATIONS = ("none", "skip", "conv1", "conv3", "pool3")
NODES = 4


def norm(x, name):
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def unit(x, width, kernel, stride, name):
    """Apply ReLU, a convolution and a normalisation."""
    return norm(conv(layers.ReLU(name=f"{name}_relu")(x), width, kernel, stride, f"{name}_conv"), f"{name}_norm")


def operation(x, kind, name):
    """Apply the operation of an edge, which keeps the shape; "none" is not an edge at all."""
    if kind == "skip":
        return x
    if kind == "pool3":
        return layers.AveragePooling2D(3, 1, "same", name=name)(x)
    return unit(x, x.shape[-1], {"conv1": 1, "conv3": 3}[kind], 1, name)


def on_paths(edges):
    """Return the edges {(from, to): operation} that are on a path from the first node to the last.

    Raises:
        ValueError: there is none.
    """
    there = {pair for pair, kind in edges.items() if kind != "none"}
    reached, reaching = {0}, {NODES - 1}
    for start, end in sorted(there):
        reached |= {end} if start in reached else set()
    for start, end in sorted(there, reverse=True):
        reaching |= {start} if end in reaching else set()
    if NODES - 1 not in reached:
        raise ValueError("This cell has no path from its input to its output. Give edge03, edge01 and edge13, or "
                         "edge02 and edge23 another operation than 'none'.")
    return {pair: edges[pair] for pair in sorted(there) if pair[0] in reached and pair[1] in reaching}


def graph(edge01="conv3", edge02="skip", edge12="conv3", edge03="skip", edge13="none", edge23="conv3"):
    """Return how many nodes a cell has, and the edges {(from, to): operation} that count, to draw it."""
    return NODES, on_paths({(0, 1): edge01, (0, 2): edge02, (1, 2): edge12, (0, 3): edge03, (1, 3): edge13,
                            (2, 3): edge23})


def cell(x, edges, name):
    """Apply a cell (B, H, W, C) -> (B, H, W, C); `edges` as `on_paths` returns them.

    Layers are named by their edge and its operation, so that equal edges of two cells fit each other's weights.
    """
    nodes = {0: x}
    for node in range(1, NODES):
        into = [operation(nodes[start], kind, f"{name}_edge{start}{end}_{kind}") for (start, end), kind in edges.items()
                if end == node]
        if into:
            nodes[node] = into[0] if len(into) == 1 else layers.Add(name=f"{name}_node{node}")(into)
    return nodes[NODES - 1]


def reduction(x, width, name):
    """Halve the resolution by two 3x3 convolutions, and an average and a 1x1 convolution next to them."""
    y = unit(unit(x, width, 3, 2, f"{name}_1"), width, 3, 1, f"{name}_2")
    x = layers.AveragePooling2D(2, 2, "same", name=f"{name}_pool")(x)
    return layers.Add(name=f"{name}_add")([conv(x, width, 1, 1, f"{name}_shortcut"), y])


def body(image_shape, *, size: str = "S", edge01: str = "conv3", edge02: str = "skip", edge12: str = "conv3",
         edge03: str = "skip", edge13: str = "none", edge23: str = "conv3", name: str = "cell_body") -> keras.Model:
    """Return all but the head: {"features": (B, D), "maps": (B, h, w, D)}. Arguments and errors as `build`."""
    widths, repeats = lookup(SIZES, size)
    edges = {(0, 1): edge01, (0, 2): edge02, (1, 2): edge12, (0, 3): edge03, (1, 3): edge13, (2, 3): edge23}
    for kind in edges.values():
        if kind not in OPERATIONS:
            raise ValueError(unknown("operation", kind, OPERATIONS))
    edges = on_paths(edges)
    inputs, x = entrance(image_shape, low=-1.0)
    x = norm(conv(x, widths[0], 3, 1, "stem_conv"), "stem_norm")
    for i, width in enumerate(widths, 1):
        if i > 1:
            x = reduction(x, width, f"stage{i}_reduction")
        for j in range(1, repeats + 1):
            x = cell(x, edges, f"stage{i}_cell{j}")
    maps = layers.Identity(name="maps")(layers.ReLU(name="relu")(norm(x, "norm")))
    return keras.Model(inputs, {"features": layers.GlobalAveragePooling2D(name="features")(maps), "maps": maps},
                       name=name)


def build(image_shape, classes: int, *, size: str = "S", edge01: str = "conv3", edge02: str = "skip",
          edge12: str = "conv3", edge03: str = "skip", edge13: str = "none", edge23: str = "conv3", drop: float = 0.0,
          name: str = "cell") -> keras.Model:
    """Build a classifier: images (B, H, W, C), 0..255, -> float32 logits (B, classes).

    Args:
        image_shape: (height, width, channels).
        classes: number of classes.
        size: a key of SIZES.
        edge01: the operation from node 0 of a cell to node 1: "none", "skip" (the node as it is), "conv1" or "conv3"
            (ReLU, a convolution and a normalisation), "pool3" (a 3x3 average). The default of all edges is a residual
            cell of three convolutions.
        edge02: from node 0 to 2.
        edge12: from node 1 to 2.
        edge03: from node 0 to 3.
        edge13: from node 1 to 3.
        edge23: from node 2 to 3.
        drop: dropout rate before the head.
        name: name of the model.

    Raises:
        ValueError: not the shape of an image, an unknown size or operation, or a cell without a path from its input to
            its output.
    """
    network = body(image_shape, size=size, edge01=edge01, edge02=edge02, edge12=edge12, edge03=edge03, edge13=edge13,
                   edge23=edge23)
    return keras.Model(network.input, head(network.output["features"], classes, drop), name=name)
