"""Stages of any blocks of the zoo: convolutions, residual blocks, ConvNeXt's and the ViT's.

The network for a search: block, width, depth and kernel of each of three stages are arguments of their own. Attention
after convolutions is the order of Dai et al. 2021, "CoAtNet", arXiv:2106.04803. The stem is a 3x3 convolution, and
a 2x2 convolution with stride 2 stands before each stage but the first.

Tokens of a stage of attention get no positions: convolutions with padding have seen where the borders are.
"""

import keras
from keras import layers

from kerasdl.zoo import cnn, convnext, resnet, unknown, vit
from kerasdl.zoo.blocks import at_least, conv, entrance, head, lookup, positive

SIZES = {  # width and depth of each stage; the blocks are residual
    "mu": ((8, 16), (1, 1)),
    "S": ((16, 32, 64), (1, 1, 1)),
}
PARAMETERS = {"mu": 6_818, "S": 108_858}  # trainable, 32x32x3 -> 10
BLOCKS = ("conv", "residual", "convnext", "attention")
HEAD = 32  # numbers of a head of attention, about


def heads(width):
    """Return how many heads of about HEAD numbers divide a width."""
    return next(count for count in range(max(width // HEAD, 1), 0, -1) if width % count == 0)


def block(x, kind, kernel, name):
    """Apply a block that keeps the shape (B, H, W, C)."""
    if kind == "conv":
        return cnn.conv(x, x.shape[-1], name, kernel=kernel)
    if kind == "residual":
        y = resnet.basic(x, x.shape[-1], 1, name, kernel)
        return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, y]))
    if kind == "convnext":
        return convnext.block(x, 0.0, name, kernel)
    tokens = layers.Reshape((-1, x.shape[-1]), name=f"{name}_tokens")(x)
    return vit.TokenGrid(name=f"{name}_grid")(vit.block(tokens, heads(x.shape[-1]), 0.0, 0.0, name), x)


def entry(x, width, stride, name):
    """Change the width by a convolution, 3x3, or 2x2 with stride 2, and a normalisation."""
    x = conv(x, width, 3, 1, f"{name}_conv") if stride == 1 else convnext.patches(x, width, 2, f"{name}_conv")
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(x)


def body(image_shape, *, size: str = "S", block1: str = "residual", block2: str = "residual", block3: str = "residual",
         width1: int | None = None, width2: int | None = None, width3: int | None = None, depth1: int | None = None,
         depth2: int | None = None, depth3: int | None = None, kernel1: int = 3, kernel2: int = 3, kernel3: int = 3,
         name: str = "stages_body") -> keras.Model:
    """Return all but the head: {"features": (B, D), "maps": (B, h, w, D)}. Arguments and errors as `build`."""
    widths, depths = lookup(SIZES, size)
    asked = list(zip((block1, block2, block3), (width1, width2, width3), (depth1, depth2, depth3),
                     (kernel1, kernel2, kernel3), strict=True))
    if any(given != ("residual", None, None, 3) for given in asked[len(widths):]):
        raise ValueError(f"A network of size={size!r} has {len(widths)} stages, and no third one to change.")
    inputs, x = entrance(image_shape, low=-1.0)
    at_least(2 ** (len(widths) - 1), inputs.shape[1:], size)
    for i, (own_width, own_depth, given) in enumerate(zip(widths, depths, asked, strict=False), 1):
        kind, width, depth, kernel = given
        if kind not in BLOCKS:
            raise ValueError(unknown("block", kind, BLOCKS))
        for argument, value in ((f"width{i}", width), (f"depth{i}", depth), (f"kernel{i}", kernel)):
            positive(argument, value)
        x = entry(x, width or own_width, 1 if i == 1 else 2, f"stage{i}")
        x = layers.ReLU(name="stem_relu")(x) if i == 1 else x
        for j in range(1, (depth or own_depth) + 1):
            x = block(x, kind, kernel, f"stage{i}_block{j}")
    maps = layers.Identity(name="maps")(x)
    return keras.Model(inputs, {"features": layers.GlobalAveragePooling2D(name="features")(maps), "maps": maps},
                       name=name)


def build(image_shape, classes: int, *, size: str = "S", block1: str = "residual", block2: str = "residual",
          block3: str = "residual", width1: int | None = None, width2: int | None = None, width3: int | None = None,
          depth1: int | None = None, depth2: int | None = None, depth3: int | None = None, kernel1: int = 3,
          kernel2: int = 3, kernel3: int = 3, drop: float = 0.0, name: str = "stages") -> keras.Model:
    """Build a classifier: images (B, H, W, C), 0..255, -> float32 logits (B, classes).

    Args:
        image_shape: (height, width, channels); "mu" has two stages, other sizes three, and each but the first halves
            the resolution.
        classes: number of classes.
        size: a key of SIZES.
        block1: what the first stage is made of: "conv" (a convolution, a normalisation, ReLU), "residual", "convnext"
            or "attention".
        block2: the second.
        block3: the third.
        width1: channels of the first stage; None: the size's.
        width2: of the second.
        width3: of the third.
        depth1: blocks of the first stage; None: the size's.
        depth2: of the second.
        depth3: of the third.
        kernel1: side of the filters of the first stage, an odd number; attention has none.
        kernel2: of the second.
        kernel3: of the third.
        drop: dropout rate before the head.
        name: name of the model.

    Raises:
        ValueError: not the shape of an image, too small a one, an unknown size or block, or a number below 1.
    """
    network = body(image_shape, size=size, block1=block1, block2=block2, block3=block3, width1=width1, width2=width2,
                   width3=width3, depth1=depth1, depth2=depth2, depth3=depth3, kernel1=kernel1, kernel2=kernel2,
                   kernel3=kernel3)
    return keras.Model(network.input, head(network.output["features"], classes, drop), name=name)
