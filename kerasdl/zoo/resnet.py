"""Residual networks: He et al. 2015, "Deep Residual Learning for Image Recognition", arXiv:1512.03385.

Two forms. CIFAR (section 4.2; sizes 8, 20, 56): a 3x3 stem, three stages, and shortcuts without parameters,
which skip pixels and pad with empty channels (option A). ImageNet (section 4.1; sizes 18, 50): a 7x7 stem and a
pool, four stages, and 1x1 convolutions where the shape changes (option B). "cifar18" has the stages of 18 in the
CIFAR form.

Departs from the paper: a bottleneck halves the resolution in its 3x3 and not its first 1x1 (v1.5, which is more
accurate; `stride_in="1x1"` is the paper's), and batch statistics have momentum 0.9. Strided layers pad both sides
alike, so weights trained in PyTorch or by keras.applications fit.
"""

import keras
from keras import layers, ops

from kerasdl.zoo.blocks import conv, entrance, head, lookup, positive
from kerasdl.zoo.weights import loaded

SIZES = {  # form, block, width of each stage, blocks in each stage
    "mu": ("cifar", "basic", (8, 16), (1, 1)),
    "8": ("cifar", "basic", (16, 32, 64), (1, 1, 1)),
    "20": ("cifar", "basic", (16, 32, 64), (3, 3, 3)),
    "56": ("cifar", "basic", (16, 32, 64), (9, 9, 9)),
    "cifar18": ("cifar", "basic", (64, 128, 256, 512), (2, 2, 2, 2)),
    "18": ("imagenet", "basic", (64, 128, 256, 512), (2, 2, 2, 2)),
    "50": ("imagenet", "bottleneck", (64, 128, 256, 512), (3, 4, 6, 3)),
}
# Trainable. CIFAR form: 32x32x3 -> 10. ImageNet form: 1000 classes.
PARAMETERS = {
    "mu": 5_106,
    "8": 75_290,
    "20": 269_722,
    "56": 853_018,
    "cifar18": 11_000_138,
    "18": 11_689_512,
    "50": 25_557_032,
}


@keras.saving.register_keras_serializable(package="kerasdl")
class PadShortcut(layers.Layer):
    """Take every stride-th pixel and pad with empty channels (option A): (B, H, W, C) -> (B, H/s, W/s, filters)."""

    def __init__(self, filters, stride, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.stride = stride

    def call(self, x):
        x = x[:, :: self.stride, :: self.stride]
        return ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.filters - x.shape[-1])))


def norm(x, name):
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def unit(x, filters, kernel, stride, name, i):
    """Apply the i-th convolution of a block and its batch normalisation."""
    return norm(conv(x, filters, kernel, stride, f"{name}_conv{i}"), f"{name}_norm{i}")


def basic(x, width, stride, name, kernel=3):
    """Two 3x3 convolutions."""
    x = layers.ReLU(name=f"{name}_relu1")(unit(x, width, kernel, stride, name, 1))
    return unit(x, width, kernel, 1, name, 2)


def bottleneck(x, width, stride, name, stride_in):
    """1x1 to `width` channels, 3x3, 1x1 to four times as many."""
    first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
    x = layers.ReLU(name=f"{name}_relu1")(unit(x, width, 1, first, name, 1))
    x = layers.ReLU(name=f"{name}_relu2")(unit(x, width, 3, second, name, 2))
    return unit(x, 4 * width, 1, 1, name, 3)


def shortcut(x, like, stride, form, name):
    """Bring the block's input to the shape of its output."""
    if x.shape == like.shape:
        return x
    if form == "cifar":
        return PadShortcut(like.shape[-1], stride, name=f"{name}_shortcut")(x)
    x = conv(x, like.shape[-1], 1, stride, f"{name}_shortcut_conv")
    return norm(x, f"{name}_shortcut_norm")


def stem(x, width, form, stride):
    """CIFAR: 3x3. ImageNet: 7x7 and a pool."""
    kernel = 3 if form == "cifar" else 7
    x = layers.ReLU(name="stem_relu")(norm(conv(x, width, kernel, stride, "stem_conv"), "stem_norm"))
    if form == "imagenet":  # after ReLU nothing is below zero, so padding with zeros does not change a maximum
        x = layers.MaxPooling2D(3, 2, name="stem_pool")(layers.ZeroPadding2D(1, name="stem_pool_pad")(x))
    return x


def body(image_shape, *, size: str = "20", stride_in: str = "3x3", stem_stride: int | None = None,
         name: str = "resnet_body") -> keras.Model:
    """Return all but the head: {"features": (B, D), "maps": (B, h, w, D)}. Arguments and errors as `build`."""
    form, kind, widths, repeats = lookup(SIZES, size)
    if stride_in not in ("3x3", "1x1") or (stride_in == "1x1" and kind == "basic"):
        raise ValueError(
            f"Expected stride_in='3x3', or '1x1' in bottlenecks. Received: {stride_in!r} with size={size!r}"
        )
    positive("stem_stride", stem_stride)
    inputs, x = entrance(image_shape, low=-1.0)
    if stem_stride is None:
        stem_stride = 1 if form == "cifar" else 2
    x = stem(x, widths[0], form, stem_stride)
    for i, (width, blocks) in enumerate(zip(widths, repeats, strict=True), 1):
        for j in range(1, blocks + 1):
            stride = 2 if i > 1 and j == 1 else 1
            at = f"stage{i}_block{j}"
            if kind == "basic":
                y = basic(x, width, stride, at)
            else:
                y = bottleneck(x, width, stride, at, stride_in)
            y = layers.Add(name=f"{at}_add")([shortcut(x, y, stride, form, at), y])
            x = layers.ReLU(name=f"{at}_relu")(y)
    maps = layers.Identity(name="maps")(x)
    return keras.Model(inputs, {"features": layers.GlobalAveragePooling2D(name="features")(maps), "maps": maps},
                       name=name)


def build(
    image_shape,
    classes: int,
    *,
    size: str = "20",
    stride_in: str = "3x3",
    stem_stride: int | None = None,
    drop: float = 0.0,
    weights: str | None = None,
    name: str = "resnet",
) -> keras.Model:
    """Build a classifier: images (B, H, W, C), 0..255, -> float32 logits (B, classes).

    Args:
        image_shape: (height, width, channels).
        classes: number of classes.
        size: a key of SIZES, a string: "20".
        stride_in: which convolution of a bottleneck halves the resolution, "3x3" or "1x1". Basic blocks have
            only 3x3.
        stem_stride: None for the paper's: 1 in the CIFAR form, 2 in the ImageNet form. 2 in the CIFAR form
            takes a quarter of the work.
        drop: dropout rate before the head.
        weights: public weights or a file of them; see kerasdl.zoo.weights.
        name: name of the model.

    Raises:
        ValueError: not the shape of an image, an unknown size, a stride_in the blocks cannot have, or weights of
            another network.
    """
    network = body(image_shape, size=size, stride_in=stride_in, stem_stride=stem_stride)
    model = keras.Model(network.input, head(network.output["features"], classes, drop), name=name)
    return loaded(model, weights, "resnet")
