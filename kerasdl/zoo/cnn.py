"""Convolutional networks for small images: the textbook's, and stronger ones.

"textbook" is the network every Keras course starts with: 2.4 million multiply-adds on a 28x28 image. The
others are a ladder of 3x3 convolutions in the manner of VGG (Simonyan & Zisserman 2015, arXiv:1409.1556) with
batch normalisation (Ioffe & Szegedy 2015, arXiv:1502.03167): one at full resolution, then two a stage, each
stage at half the resolution of the one before, so that most of the work happens at low resolution.
"S" spends 13 million. "airbench" has the widths and depth of Jordan 2024 (arXiv:2404.00498), 147 million on
32x32: two convolutions in each of three stages, the first of which halves the resolution. "M" is two fifths of it, and
"airbench95" is the paper's wider network of that name, two and a half times it.

`whitened` replaces the stem by the whitening of Page 2019, as Jordan 2024 does: the principal directions of small
patches, each scaled to unit variance. They are computed from training images and are not trained.

Departs from VGG: pools before normalisation and ReLU, which for a positive gain computes the same from a
quarter of the numbers; averages the last maps instead of flattening them; batch statistics have momentum 0.9, so that
they converge in a short training. Departs from airbench94: ReLU in place of GELU; randomly initialised filters in
place of the identity; normalisation with gains; a head with a bias, whose logits are not divided by 9.
"""

import keras
import numpy as np
from keras import layers, ops

from kerasdl.zoo.blocks import at_least, entrance, head, lookup, positive

SIZES = {  # filters: the stem's, then each stage's
    "mu": (8, 16),
    "textbook": (32, 64),
    "S": (32, 48, 96),
    "M": (24, 32, 128, 256),
    "airbench": (24, 64, 256, 256),
    "airbench95": (24, 128, 384, 384),
}
AIRBENCH = ("M", "airbench", "airbench95")
PARAMETERS = {  # trainable, 28x28x1 -> 10
    "mu": 3_778,
    "textbook": 34_826,
    "S": 160_874,
    "M": 1_089_682,
    "airbench": 1_972_754,
    "airbench95": 4_606_482,
}


def textbook(x, widths):
    """Conv, pool, conv, pool without padding, as in the Keras example `mnist_convnet`: the last maps."""
    at_least(10, x.shape[1:], "textbook")
    for i, width in enumerate(widths, 1):
        x = layers.Conv2D(width, 3, activation="relu", name=f"conv{i}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{i}")(x)
    return x


def conv(x, width, name, suffix="", pool=None, kernel=3):
    """Apply a convolution, a pool with this padding if any, batch normalisation and ReLU."""
    x = layers.Conv2D(
        width, kernel, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv{suffix}"
    )(x)
    if pool:
        x = layers.MaxPooling2D(2, padding=pool, name=f"{name}_pool")(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm{suffix}")(x)
    return layers.ReLU(name=f"{name}_relu{suffix}")(x)


def stages(x, widths, depth):
    """The stem at full resolution, then `depth` convolutions a stage; each stage halves the resolution at its end."""
    x = conv(x, widths[0], "stem", pool="same")
    for i, width in enumerate(widths[1:], 1):
        for j in range(1, depth + 1):
            x = conv(x, width, f"stage{i}", j, pool="same" if j == depth and i < len(widths) - 1 else None)
    return x


@keras.saving.register_keras_serializable(package="kerasdl")
class Whitening(layers.Layer):
    """Project small patches on their principal directions at unit variance, and on the negated ones.

    (B, H, W, C) -> (B, H - P + 1, W - P + 1, 2PPC). Until `adapt` has seen images the directions are the pixels.
    Page 2019, "How to Train Your ResNet 8: Bag of Tricks". Only the bias is trained.

    Args:
        patch: P, side of a patch in pixels.
        floor: added to each variance, so that directions in which images hardly vary are not amplified.
    """

    def __init__(self, patch=2, floor=5e-4, **kwargs):
        super().__init__(**kwargs)
        self.patch, self.floor = patch, floor

    def build(self, input_shape):
        shape, count = (self.patch, self.patch, input_shape[-1]), self.patch**2 * input_shape[-1]
        start = np.concatenate([np.eye(count), -np.eye(count)], 1).reshape(*shape, -1)
        self.kernel = self.add_weight(shape=start.shape, initializer=lambda *_, **__: start, trainable=False,
                                      name="kernel")
        self.bias = self.add_weight(shape=start.shape[-1:], initializer="zeros", name="bias")

    def adapt(self, images):
        """Compute directions and bias from images (N, H, W, C), scaled as this layer sees them; outputs get mean 0."""
        windows = np.lib.stride_tricks.sliding_window_view(images, (self.patch, self.patch), axis=(1, 2))
        patches = np.moveaxis(windows, 3, -1).reshape(-1, int(np.prod(self.kernel.shape[:3])))
        variance, directions = np.linalg.eigh(np.cov(patches.T, dtype="float64"))
        directions *= np.sign(directions[np.abs(directions).argmax(0), np.arange(len(variance))])  # eigh has any sign
        kernel = (directions / np.sqrt(variance + self.floor))[:, ::-1]
        kernel = np.concatenate([kernel, -kernel], 1)
        self.kernel.assign(kernel.reshape(self.kernel.shape))
        self.bias.assign(-patches.mean(0) @ kernel)

    def call(self, images):
        return ops.conv(images, self.kernel, padding="valid", data_format="channels_last") + self.bias

    def get_config(self):
        return super().get_config() | {"patch": self.patch, "floor": self.floor}


def airbench(x, widths, depth, whitened):
    """The stem at full resolution, then `depth` convolutions a stage, the first with a pool.

    A pool drops the odd row of 31 pixels, which saves a fifth of the work.
    """
    if whitened and min(x.shape[1:3]) < 2:
        raise ValueError(f"Expected 2x2 pixels or more with whitened=True. Received: {x.shape[1]}x{x.shape[2]}")
    if whitened:
        x = layers.ReLU(name="stem_relu")(Whitening(name="stem")(x))
    else:
        x = conv(x, widths[0], "stem")
    for i, width in enumerate(widths[1:], 1):
        x = conv(x, width, f"stage{i}", 1, pool="valid" if min(x.shape[1:3]) > 1 else "same")
        for j in range(2, depth + 1):
            x = conv(x, width, f"stage{i}", j)
    return x


def filters(size, width=None):
    """Return the filters of the stem and of each stage: the size's, in proportion to a stem of `width` filters."""
    widths = lookup(SIZES, size)
    positive("width", width)
    return tuple(max(1, round(each * width / widths[0])) for each in widths) if width else widths


def body(image_shape, *, size: str = "S", width: int | None = None, depth: int | None = None, whitened: bool = False,
         name: str = "cnn_body") -> keras.Model:
    """Return all but the head: {"features": (B, D), "maps": (B, h, w, C)}. Arguments and errors as `build`."""
    widths = filters(size, width)
    positive("depth", depth)
    inputs, x = entrance(image_shape)
    if depth and size == "textbook":
        raise ValueError(f"Expected depth=None with size='textbook', which has one convolution a stage. "
                         f"Received: depth={depth}")
    if whitened and size not in AIRBENCH:
        raise ValueError(f"Expected size to be one of {AIRBENCH} with whitened=True. Received: size={size!r}")
    if size in AIRBENCH:
        x, pool = airbench(x, widths, depth or 2, whitened), layers.GlobalMaxPooling2D
    elif size == "textbook":
        x, pool = textbook(x, widths), layers.Flatten
    else:
        x, pool = stages(x, widths, depth or 2), layers.GlobalAveragePooling2D
    maps = layers.Identity(name="maps")(x)
    return keras.Model(inputs, {"features": pool(name="features")(maps), "maps": maps}, name=name)


def build(image_shape, classes: int, *, size: str = "S", width: int | None = None, depth: int | None = None,
          drop: float = 0.0, whitened: bool = False, name: str = "cnn") -> keras.Model:
    """Build a classifier: images (B, H, W, C), 0..255, -> float32 logits (B, classes).

    Args:
        image_shape: (height, width, channels); "textbook" needs 10 pixels a side.
        classes: number of classes.
        size: a key of SIZES.
        width: filters of the stem, with the other stages in proportion; None: the size's.
        depth: convolutions in each stage; None: 2. Not for "textbook".
        drop: dropout rate before the head; the Keras example has 0.5.
        whitened: whether a size of AIRBENCH begins with Whitening, which `kerasdl.train` adapts to training images.
        name: name of the model.

    Raises:
        ValueError: not the shape of an image, too small a one, an unknown size, one that has no whitened form or
            no depth, or a width or depth below 1.
    """
    network = body(image_shape, size=size, width=width, depth=depth, whitened=whitened)
    return keras.Model(network.input, head(network.output["features"], classes, drop), name=name)
