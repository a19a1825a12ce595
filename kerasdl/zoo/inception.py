"""Inception: Szegedy et al. 2015, "Going Deeper with Convolutions", arXiv:1409.4842, and 2016, arXiv:1512.00567.

A block is a few branches side by side, filters of several sizes and a pool, whose maps are concatenated. "googlenet"
is the first paper's network. "googlenet_norm" is torchvision's form of it: batch normalisation in place of biases and
of response normalisation, 3x3 filters in the branches of 5x5, and a last pool of 2x2. "v3" is the second paper's
network as keras.applications and torchvision have it. "cifar" is the small network of Zhang et al. 2017
(arXiv:1611.03530), whose normalisation has no gains, and "mu" the beginning of it.

Departs from the papers: there are no auxiliary classifiers; batch statistics have momentum 0.9; weights start from
He et al. 2015 (arXiv:1502.01852). Weights of keras.applications' InceptionV3 fit "v3" with gains of one, which it does
not have: 23,817,352 parameters and 17,216 gains. Those of torchvision fit with `count_zeros`.
"""

import keras
from keras import layers

from kerasdl.zoo.blocks import ResponseNorm, at_least, entrance, head, lookup
from kerasdl.zoo.weights import loaded

# A step is a convolution, (filters, kernel), (filters, kernel, stride) or (filters, kernel, stride, padding), or a list
# of convolutions that read the same maps, or a name: "max" and "mean" pool 3x3 pixels at every place, "half" at every
# second, "half2" pools 2x2 pixels, "norm" is response normalisation. A branch is a list of steps.


def module(one, three, five, pool, side):
    """GoogLeNet's block: 1x1; 1x1 and 3x3; 1x1 and 5x5; a pool and 1x1."""
    return [[(one, 1)], [(three[0], 1), (three[1], 3)], [(five[0], 1), (five[1], side)], ["max", (pool, 1)]]


def googlenet(side, last_pool):
    """The first paper's table 1, from 3a to 5b; `side` is that of the branches of 5x5."""
    rows = [(64, (96, 128), (16, 32), 32), (128, (128, 192), (32, 96), 64), "half",
            (192, (96, 208), (16, 48), 64), (160, (112, 224), (24, 64), 64), (128, (128, 256), (24, 64), 64),
            (112, (144, 288), (32, 64), 64), (256, (160, 320), (32, 128), 128), last_pool,
            (256, (160, 320), (32, 128), 128), (384, (192, 384), (48, 128), 128)]
    return [row if isinstance(row, str) else module(*row, side) for row in rows]


def pair(one, three):
    """Zhang's block: 1x1; 3x3."""
    return [[(one, 1)], [(three, 3)]]


def squares(pool):
    """The first block of v3, figure 5: a 5x5 has become two of 3x3 in one branch."""
    return [[(64, 1)], [(48, 1), (64, 5)], [(64, 1), (96, 3), (96, 3)], ["mean", (pool, 1)]]


def strips(width):
    """The second block of v3, figure 6: a 7x7 has become 1x7 and 7x1."""
    row, column = (1, 7), (7, 1)
    return [[(192, 1)], [(width, 1), (width, row), (192, column)],
            [(width, 1), (width, column), (width, row), (width, column), (192, row)], ["mean", (192, 1)]]


def forks():
    """The third block of v3, figure 7: 1x3 and 3x1 read the same maps."""
    fork = [(384, (1, 3)), (384, (3, 1))]
    return [[(320, 1)], [(384, 1), fork], [(448, 1), (384, 3), fork], ["mean", (192, 1)]]


SIZES = {  # form, steps of the stem, blocks and the pools between them
    "mu": ("padded", [(8, 3)], [pair(4, 4), [[(8, 3, 2)], ["half"]]]),
    "cifar": ("padded", [(96, 3)], [pair(32, 32), pair(32, 48), [[(80, 3, 2)], ["half"]],
                                    pair(112, 48), pair(96, 64), pair(80, 80), pair(48, 96), [[(96, 3, 2)], ["half"]],
                                    pair(176, 160), pair(176, 160)]),
    "googlenet": ("biases", [(64, 7, 2), "half", "norm", (64, 1), (192, 3), "norm", "half"], googlenet(5, "half")),
    "googlenet_norm": ("ceil", [(64, 7, 2), "half", (64, 1), (192, 3), "half"], googlenet(3, "half2")),
    "v3": ("valid", [(32, 3, 2), (32, 3, 1, "valid"), (64, 3), "half", (80, 1), (192, 3, 1, "valid"), "half"],
           [squares(32), squares(64), squares(64), [[(384, 3, 2)], [(64, 1), (96, 3), (96, 3, 2)], ["half"]],
            strips(128), strips(160), strips(160), strips(192),
            [[(192, 1), (320, 3, 2)], [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2)], ["half"]],
            forks(), forks()]),
}
SMALLEST = {"mu": 1, "cifar": 1, "googlenet": 31, "googlenet_norm": 15, "v3": 75}  # pixels a side
PARAMETERS = {  # trainable; mu and cifar: 32x32x3 -> 10, the others 1000 classes
    "mu": 1_306,
    "cifar": 1_649_402,
    "googlenet": 6_998_552,
    "googlenet_norm": 6_624_904,
    "v3": 23_834_568,
}


def unit(x, form, name, filters, kernel, stride=1, padding=None):
    """Apply a convolution, batch normalisation in place of biases, and ReLU."""
    if stride > 1 and form != "valid":  # as many zeros on both sides, as in PyTorch
        x, padding = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x), "valid"
    padding = padding or ("same" if stride == 1 else "valid")
    x = layers.Conv2D(filters, kernel, stride, padding, use_bias=form == "biases", kernel_initializer="he_normal",
                      name=f"{name}_conv")(x)
    if form != "biases":
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-3, scale=form != "padded", name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def half(x, form, name, side):
    """Pool side x side pixels at every second place; after ReLU, zeros around the maps do not change a maximum.

    The form is "padded", as a convolution is; "valid", without padding; or rounds the number of places up.
    """
    pads = {"padded": 1, "valid": 0}.get(form, tuple((0, (side - pixels) % 2) for pixels in x.shape[1:3]))
    x = layers.ZeroPadding2D(pads, name=f"{name}_pad")(x) if pads else x
    return layers.MaxPooling2D(side, 2, name=f"{name}_pool")(x)


def apply(x, form, step, name, count_zeros):
    """Apply one step."""
    if isinstance(step, tuple):
        return unit(x, form, name, *step)
    if isinstance(step, list):
        ends = [unit(x, form, f"{name}{letter}", *each) for letter, each in zip("ab", step, strict=True)]
        return layers.Concatenate(name=f"{name}_join")(ends)
    if step in ("half", "half2"):
        return half(x, form, name, 2 if step == "half2" else 3)
    if step == "norm":
        return ResponseNorm(name=f"{name}_norm")(x)
    if step == "max":
        return layers.MaxPooling2D(3, 1, "same", name=f"{name}_pool")(x)
    if count_zeros:
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    return layers.AveragePooling2D(3, 1, "valid" if count_zeros else "same", name=f"{name}_pool")(x)


def block(x, form, branches, name, count_zeros):
    """Apply branches side by side and concatenate their maps."""
    ends = []
    for i, steps in enumerate(branches, 1):
        y = x
        for j, step in enumerate(steps, 1):
            y = apply(y, form, step, f"{name}_branch{i}_{j}", count_zeros)
        ends.append(y)
    return layers.Concatenate(name=f"{name}_join")(ends)


def body(image_shape, *, size: str = "cifar", count_zeros: bool = False, name: str = "inception_body") -> keras.Model:
    """Return all but the head: {"features": (B, D), "maps": (B, h, w, D)}. Arguments and errors as `build`."""
    form, stem, blocks = lookup(SIZES, size)
    inputs, x = entrance(image_shape, low=-1.0)
    at_least(SMALLEST[size], inputs.shape[1:], size)
    for j, step in enumerate(stem, 1):
        x = apply(x, form, step, f"stem_{j}", count_zeros)
    i = 0
    for branches in blocks:
        if isinstance(branches, str):
            x = apply(x, form, branches, f"after{i}", count_zeros)
        else:
            i += 1
            x = block(x, form, branches, f"block{i}", count_zeros)
    maps = layers.Identity(name="maps")(x)
    return keras.Model(inputs, {"features": layers.GlobalAveragePooling2D(name="features")(maps), "maps": maps},
                       name=name)


def build(image_shape, classes: int, *, size: str = "cifar", count_zeros: bool = False, drop: float = 0.0,
          weights: str | None = None, name: str = "inception") -> keras.Model:
    """Build a classifier: images (B, H, W, C), 0..255, -> float32 logits (B, classes).

    Args:
        image_shape: (height, width, channels); "v3" needs 75 pixels a side, "googlenet" 31, "googlenet_norm" 15.
        classes: number of classes.
        size: a key of SIZES.
        count_zeros: whether the average pools of "v3" count the zeros around the maps, as torchvision's do.
            TensorFlow's and the weights of keras.applications do not.
        drop: dropout rate before the head; the first paper has 0.4, the second 0.2.
        weights: public weights or a file of them; see kerasdl.zoo.weights.
        name: name of the model.

    Raises:
        ValueError: weights of another network, not the shape of an image, too small a one, or an unknown size.
    """
    network = body(image_shape, size=size, count_zeros=count_zeros)
    model = keras.Model(network.input, head(network.output["features"], classes, drop), name=name)
    return loaded(model, weights, "inception")
