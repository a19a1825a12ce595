"""Residual multilayer perceptron for tables: the ResNet of Gorishniy et al. 2021, arXiv:2106.11959.

A linear map to the width, then blocks: batch normalisation, Dense to `ratio` times the width and ReLU, dropout, Dense
back, dropout, added to the block's input; at the end batch normalisation and ReLU.
"""

import keras
from keras import layers

from kerasdl.zoo.blocks import dropout, entrance, head, lookup, positive

SIZES = {"mu": (16, 1), "S": (64, 2), "M": (128, 4), "L": (256, 8)}  # width, blocks
PARAMETERS = {"mu": 13_866, "S": 84_426, "M": 366_730, "L": 2_311_434}  # trainable, 28x28x1 -> 10


def norm(x, name):
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def block(x, ratio, drop, name):
    """Add to rows (B, D) what two layers make of them."""
    width = x.shape[-1]
    y = norm(x, f"{name}_norm")
    y = layers.Dense(ratio * width, activation="relu", kernel_initializer="he_normal", name=f"{name}_up")(y)
    y = dropout(y, drop, f"{name}_up_drop")
    y = layers.Dense(width, name=f"{name}_down")(y)
    return layers.Add(name=f"{name}_add")([x, dropout(y, drop, f"{name}_down_drop")])


def body(image_shape, *, size: str = "S", width: int | None = None, depth: int | None = None, ratio: int = 2,
         drop: float = 0.0, name: str = "residual_mlp_body") -> keras.Model:
    """Return the network without its head: {"features": (B, width)}. Arguments and errors as `build`."""
    own_width, own_depth = lookup(SIZES, size)
    for key, value in {"width": width, "depth": depth, "ratio": ratio}.items():
        positive(key, value)
    inputs, x = entrance(image_shape, rows=True)
    x = layers.Dense(width or own_width, name="stem")(layers.Flatten(name="flatten")(x))
    for i in range(1, (depth or own_depth) + 1):
        x = block(x, ratio, drop, f"block{i}")
    return keras.Model(inputs, {"features": layers.ReLU(name="features")(norm(x, "norm"))}, name=name)


def build(image_shape, classes: int, *, size: str = "S", width: int | None = None, depth: int | None = None,
          ratio: int = 2, drop: float = 0.0, name: str = "residual_mlp") -> keras.Model:
    """Build the model: images (B, H, W, C) 0..255, or rows (B, columns), -> float32 logits (B, classes).

    Args:
        image_shape: (height, width, channels), or the number of columns of a table.
        classes: number of classes, or of outputs in a regression.
        size: a key of SIZES.
        width: numbers that each block takes and returns; None: the size's.
        depth: number of blocks; None: the size's.
        ratio: width of the hidden layer of a block, in widths.
        drop: dropout rate in the blocks.
        name: name of the model.

    Raises:
        ValueError: a shape that is neither, an unknown size, or a width, depth or ratio below 1.
    """
    network = body(image_shape, size=size, width=width, depth=depth, ratio=ratio, drop=drop)
    return keras.Model(network.input, head(network.output["features"], classes), name=name)
