"""Multilayer perceptron: Dense and ReLU, with dropout after each hidden layer (Srivastava et al. 2014).

`norm` puts a batch normalisation before each ReLU (Ioffe & Szegedy 2015, arXiv:1502.03167).
"""

import keras
from keras import layers

from kerasdl.zoo.blocks import dropout, entrance, head, lookup, positive

SIZES = {"mu": (16,), "512": (512,), "512-512": (512, 512), "1024-1024": (1024, 1024)}  # widths of the hidden layers
PARAMETERS = {"mu": 12_730, "512": 407_050, "512-512": 669_706, "1024-1024": 1_863_690}  # trainable, 28x28x1 -> 10


def hidden(x, width, norm, name):
    """Apply Dense and ReLU, with a batch normalisation between them if `norm`: (B, D) -> (B, width)."""
    if not norm:
        return layers.Dense(width, activation="relu", kernel_initializer="he_normal", name=name)(x)
    x = layers.Dense(width, use_bias=False, kernel_initializer="he_normal", name=f"{name}_dense")(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(x)
    return layers.ReLU(name=name)(x)


def hidden_widths(size, width=None, depth=None):
    """Return the widths of the hidden layers: the size's, of which `width` and `depth` replace what they name."""
    widths = lookup(SIZES, size)
    for key, value in {"width": width, "depth": depth}.items():
        positive(key, value)
    depth = depth or len(widths)
    widths = (*widths, *[widths[-1]] * depth)[:depth]
    return (width,) * depth if width else widths


def body(image_shape, *, size: str = "512-512", width: int | None = None, depth: int | None = None, drop: float = 0.0,
         norm: bool = False, name: str = "mlp_body") -> keras.Model:
    """Return the hidden layers: {"features": (B, width of the last one)}, before its dropout. Arguments as `build`."""
    widths = hidden_widths(size, width, depth)
    inputs, x = entrance(image_shape, rows=True)
    x = layers.Flatten(name="flatten")(x)  # (B, H*W*C)
    for i, width in enumerate(widths[:-1], 1):
        x = dropout(hidden(x, width, norm, f"hidden{i}"), drop, f"hidden{i}_drop")
    return keras.Model(inputs, {"features": hidden(x, widths[-1], norm, "features")}, name=name)


def build(
    image_shape, classes: int, *, size: str = "512-512", width: int | None = None, depth: int | None = None,
    drop: float = 0.0, norm: bool = False, name: str = "mlp"
) -> keras.Model:
    """Build the model: images (B, H, W, C) 0..255, or rows (B, columns), -> float32 logits (B, classes).

    Args:
        image_shape: (height, width, channels), or the number of columns of a table.
        classes: number of classes, or of outputs in a regression.
        size: a key of SIZES.
        width: neurons of every hidden layer; None: the size's.
        depth: number of hidden layers; None: the size's. More than those repeat the last one.
        drop: dropout rate after each hidden layer.
        norm: whether each hidden layer is normalised.
        name: name of the model.

    Raises:
        ValueError: a shape that is neither, an unknown size, or a width or depth below 1.
    """
    network = body(image_shape, size=size, width=width, depth=depth, drop=drop, norm=norm)
    return keras.Model(network.input, head(network.output["features"], classes, drop), name=name)
