"""MobileNetV2, Sandler et al. 2018 (arXiv:1801.04381), and EfficientNet-Lite0, its descendant for phones.

An inverted residual block widens the maps with 1x1 filters, filters each map by itself, which is cheap, and narrows
them again without an activation; it adds its input where the shape is the same. Lite0 is EfficientNet-B0 (Tan & Le
2019, arXiv:1905.11946) without squeeze and excitation and with ReLU6 in place of swish, as Google published it in 2020.

Departs from the papers: batch statistics have momentum 0.9 and epsilon 1e-5; weights trained with another epsilon fit
when the variances grow by the difference. Weights start from He et al. 2015 (arXiv:1502.01852).
"""

import math

import keras
from keras import layers

from kerasdl.zoo.blocks import entrance, head, lookup
from kerasdl.zoo.weights import loaded

SIZES = {  # filters of the stem; of each stage kernel, expansion, filters, repeats, stride; filters of the last layer
    "mu": (8, ((3, 1, 8, 1, 2), (3, 2, 8, 1, 1)), 16),
    "v2": (32, ((3, 1, 16, 1, 1), (3, 6, 24, 2, 2), (3, 6, 32, 3, 2), (3, 6, 64, 4, 2), (3, 6, 96, 3, 1),
                (3, 6, 160, 3, 2), (3, 6, 320, 1, 1)), 1280),
    "lite0": (32, ((3, 1, 16, 1, 1), (3, 6, 24, 2, 2), (5, 6, 40, 2, 2), (3, 6, 80, 3, 2), (5, 6, 112, 3, 1),
                   (5, 6, 192, 4, 2), (3, 6, 320, 1, 1)), 1280),
}
PARAMETERS = {"mu": 18_040, "v2": 3_504_872, "lite0": 4_652_008}  # trainable, 1000 classes


def strided(x, kernel, stride, padding, name):
    """Pad maps for a stride with zeros, and return them with the padding that the convolution still has to do."""
    if stride == 1 or padding == "same":
        return x, "same"
    return layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x), "valid"


def norm(x, name, *, relu=True):
    """Apply batch normalisation, and ReLU6 if `relu`."""
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x) if relu else x


def conv(x, filters, kernel, stride, padding, name, *, relu=True):
    """Apply a convolution without bias, batch normalisation, and ReLU6 if `relu`."""
    x, padding = strided(x, kernel, stride, padding, name)
    x = layers.Conv2D(filters, kernel, stride, padding, use_bias=False, kernel_initializer="he_normal",
                      name=f"{name}_conv")(x)
    return norm(x, name, relu=relu)


def block(x, kernel, expansion, filters, stride, padding, name):
    """Widen, filter each map, narrow; and add the input if the shape is the same."""
    y = x
    if expansion > 1:
        y = conv(y, expansion * x.shape[-1], 1, 1, "same", f"{name}_expand")
    y, pads = strided(y, kernel, stride, padding, f"{name}_filter")
    spread = keras.initializers.RandomNormal(stddev=math.sqrt(2) / kernel)  # of the kernel^2 numbers that it reads
    y = layers.DepthwiseConv2D(kernel, stride, pads, use_bias=False, depthwise_initializer=spread,
                               name=f"{name}_filter_conv")(y)
    y = conv(norm(y, f"{name}_filter"), filters, 1, 1, "same", f"{name}_project", relu=False)
    return layers.Add(name=f"{name}_add")([x, y]) if x.shape == y.shape else y


def body(image_shape, *, size: str = "v2", padding: str = "same", name: str = "mobilenet_body") -> keras.Model:
    """Return all but the head: {"features": (B, D), "maps": (B, h, w, D)}. Arguments and errors as `build`."""
    stem, stages, last = lookup(SIZES, size)
    if padding not in ("same", "both"):
        raise ValueError(f"Expected padding='same' or 'both'. Received: {padding!r}")
    inputs, x = entrance(image_shape, low=-1.0)
    x = conv(x, stem, 3, 2, padding, "stem")
    for i, (kernel, expansion, filters, repeats, stride) in enumerate(stages, 1):
        for j in range(1, repeats + 1):
            x = block(x, kernel, expansion, filters, stride if j == 1 else 1, padding, f"stage{i}_block{j}")
    maps = layers.Identity(name="maps")(conv(x, last, 1, 1, "same", "last"))
    return keras.Model(inputs, {"features": layers.GlobalAveragePooling2D(name="features")(maps), "maps": maps},
                       name=name)


def build(image_shape, classes: int, *, size: str = "v2", padding: str = "same", drop: float = 0.0,
          weights: str | None = None, name: str = "mobilenet") -> keras.Model:
    """Build a classifier: images (B, H, W, C), 0..255, -> float32 logits (B, classes).

    Args:
        image_shape: (height, width, channels).
        classes: number of classes.
        size: a key of SIZES.
        padding: where a strided layer pads an image of even sides: "same", at the end, as TensorFlow and
            keras.applications; "both", on both sides, as PyTorch and torchvision.
        drop: dropout rate before the head; both papers have 0.2.
        weights: public weights or a file of them; see kerasdl.zoo.weights.
        name: name of the model.

    Raises:
        ValueError: weights of another network, not the shape of an image, or an unknown size or padding.
    """
    network = body(image_shape, size=size, padding=padding)
    model = keras.Model(network.input, head(network.output["features"], classes, drop), name=name)
    return loaded(model, weights, "mobilenet")
