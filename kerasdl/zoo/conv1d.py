"""Convolutions over steps: the text CNN of Kim 2014 (arXiv:1408.5882), and for series the FCN and the ResNet of Wang,
Yan & Oates 2017 (arXiv:1611.06455).

The text CNN takes the maximum over time of filters of three widths. The FCN has three convolutions with batch
normalisation, the ResNet three blocks of three with a shortcut; both end in the mean over time.

Departs from the papers: padding is hidden before each convolution, and counts neither in the statistics nor in the
pooling, so that sequences of any length may share a batch. Kim's filters slide over the padded text too ("same"
padding), and the norm of his last kernel is not bounded; batch statistics have momentum 0.9, not 0.99.
"""

import keras
from keras import layers

from kerasdl.zoo.blocks import check_format, dropout, head, lookup
from kerasdl.zoo.sequences import POOLINGS, Hide, entrance

SIZES = {  # kind, numbers a token, filters of each layer or block, their kernels
    "mu": ("plain", 8, (8, 8), (5, 3)),
    "kim": ("text", 300, (100,), (3, 4, 5)),
    "fcn": ("plain", 128, (128, 256, 128), (8, 5, 3)),
    "resnet": ("residual", 128, (64, 128, 128), (8, 5, 3)),
}
PARAMETERS = {"mu": 370, "kim": 4_510, "fcn": 265_994, "resnet": 505_290}  # trainable, 40 steps of 1 -> 10


def conv(x, mask, filters, kernel, name, relu=True):
    """Apply a convolution, batch normalisation, and ReLU if `relu`: (B, T, D) -> (B, T, filters)."""
    x = Hide(name=f"{name}_hide")(x, mask)
    x = layers.Conv1D(filters, kernel, padding="same", kernel_initializer="he_normal", name=f"{name}_conv")(x)
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x, mask=mask)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def block(x, mask, filters, kernels, name):
    """Apply three convolutions and add the input, as it is if the width is the same."""
    y = x
    for number, kernel in enumerate(kernels, 1):
        y = conv(y, mask, filters, kernel, f"{name}_layer{number}", relu=number < len(kernels))
    if x.shape[-1] == filters:
        short = layers.BatchNormalization(momentum=0.9, name=f"{name}_short_norm")(x, mask=mask)
    else:
        short = conv(x, mask, filters, 1, f"{name}_short", relu=False)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([y, short]))


def texts(x, mask, filters, kernels):
    """Apply filters of some widths: (B, T, D) -> (B, T, len(kernels) * filters)."""
    x = Hide(name="hide")(x, mask)
    steps = [layers.Conv1D(filters, kernel, padding="same", activation="relu", kernel_initializer="he_normal",
                           name=f"width{kernel}_conv")(x) for kernel in kernels]
    return layers.Concatenate(name="joined")(steps)


def body(sequence_shape, *, size: str = "fcn", vocabulary: int | None = None, sample_rate: int | None = None,
         drop: float = 0.0, name: str = "conv1d_body") -> keras.Model:
    """Return all but the head: {"features": (B, D), "steps": (B, T, D)}. Arguments and errors as `build`."""
    kind, embedded, filters, kernels = lookup(SIZES, size)
    check_format()
    inputs, mask, x = entrance(sequence_shape, embedded, vocabulary, sample_rate)
    if vocabulary is not None:
        x = dropout(x, drop, "embedding_drop")
    if kind == "text":
        x = texts(x, mask, filters[0], kernels)
    elif kind == "residual":
        for number, width in enumerate(filters, 1):
            x = block(x, mask, width, kernels, f"block{number}")
    else:
        for number, (width, kernel) in enumerate(zip(filters, kernels, strict=True), 1):
            x = conv(x, mask, width, kernel, f"layer{number}")
    pooled = POOLINGS["max" if kind == "text" else "mean"](name="pooled")(x, mask)
    return keras.Model(inputs, {"features": layers.Identity(name="features")(pooled),
                                "steps": layers.Identity(name="steps")(x)}, name=name)


def build(sequence_shape, classes: int, *, size: str = "fcn", vocabulary: int | None = None,
          sample_rate: int | None = None, drop: float = 0.0, name: str = "conv1d") -> keras.Model:
    """Build a classifier: sequences (B, T, F) or tokens (B, T) -> float32 logits (B, classes).

    Args:
        sequence_shape: (steps, numbers), or (steps,) of tokens; steps may be None. Padding is NaN, or 0.
        classes: number of classes, or of outputs in a regression.
        size: a key of SIZES.
        vocabulary: number of tokens, with the 0 of padding; None for numbers.
        sample_rate: of sound (samples, 1), whose log mel spectrum is read; see kerasdl.zoo.sound. None: other numbers.
        drop: dropout rate of embedded tokens and before the head; Kim has 0.5 before the head.
        name: name of the model.

    Raises:
        ValueError: another shape, tokens without a vocabulary, or an unknown size.
    """
    network = body(sequence_shape, size=size, vocabulary=vocabulary, sample_rate=sample_rate, drop=drop)
    return keras.Model(network.input, head(network.output["features"], classes, drop), name=name)
