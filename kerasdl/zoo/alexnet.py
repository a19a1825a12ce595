"""AlexNet: Krizhevsky, Sutskever & Hinton 2012, "ImageNet Classification with Deep Convolutional Neural Networks".

Five convolutions, three overlapping pools and two hidden layers. "2012" is the paper's: two towers, one a GPU, which
see each other's maps only before the third convolution and in the hidden layers, with response normalisation. "2014" is
the single tower of Krizhevsky 2014 (arXiv:1404.5997) as torchvision has it, without the normalisation. "cifar" is the
network of his cuda-convnet for CIFAR-10: three convolutions, the pools of the last two averages, and no hidden layer.

Departs from the papers: weights start from He et al. 2015 (arXiv:1502.01852) and biases from zero, in place of a
normal distribution of deviation 0.01 and of ones; images of 224 pixels are padded to 228, because the paper's
stated size does not give its stated maps of 55; "cifar" normalises across maps, as the paper does, where
cuda-convnet's file for 18 % error does within each map.
"""

import keras
from keras import layers

from kerasdl.zoo.blocks import ResponseNorm, at_least, entrance, head, hidden_layers, lookup
from kerasdl.zoo.weights import loaded

SIZES = {  # form, filters of each convolution
    "mu": ("cifar", (8, 8, 16)),
    "cifar": ("cifar", (32, 32, 64)),
    "2012": ("towers", (96, 256, 384, 384, 256)),
    "2014": ("tower", (64, 192, 384, 256, 256)),
}
PARAMETERS = {"mu": 8_002, "cifar": 89_578, "2012": 60_965_224, "2014": 61_100_840}  # 32x32x3 -> 10; 224x224x3 -> 1000
KERNELS = (11, 5, 3, 3, 3)
POOLED = (1, 2, 5)  # convolutions that a pool follows


def stage(x, i, width, name, *, normed):
    """Apply the i-th convolution with ReLU, and the normalisation and the pool that follow it."""
    if i == 1:
        x = layers.ZeroPadding2D(2, name=f"{name}_pad")(x)
    stride, padding = (4, "valid") if i == 1 else (1, "same")
    x = layers.Conv2D(width, KERNELS[i - 1], stride, padding, activation="relu", kernel_initializer="he_normal",
                      name=f"{name}_conv")(x)
    if normed and i <= 2:
        x = ResponseNorm(name=f"{name}_norm")(x)
    return layers.MaxPooling2D(3, 2, name=f"{name}_pool")(x) if i in POOLED else x


def tower(x, widths):
    """One tower, 2014: images (B, 224, 224, 3) -> maps (B, 6, 6, 256)."""
    for i, width in enumerate(widths, 1):
        x = stage(x, i, width, f"stage{i}", normed=False)
    return x


def towers(x, widths):
    """Two towers of half the width, 2012, each with its own convolutions; the third read the maps of both."""
    halves = [x, x]
    for i, width in enumerate(widths, 1):
        if i == 3:
            halves = [layers.Concatenate(name="towers")(halves)] * 2
        halves = [stage(half, i, width // 2, f"stage{i}_tower{side}", normed=True)
                  for side, half in enumerate(halves, 1)]
    return layers.Concatenate(name="both")(halves)


def small(x, widths):
    """The CIFAR form: convolutions of 5x5 pixels, each with a pool that halves the resolution."""
    for i, width in enumerate(widths, 1):
        x = layers.Conv2D(width, 5, padding="same", kernel_initializer="he_normal", name=f"stage{i}_conv")(x)
        if i == 1:  # what comes first, a maximum or ReLU, makes no difference, but for an average it does
            x = layers.MaxPooling2D(3, 2, padding="same", name=f"stage{i}_pool")(x)
            x = layers.ReLU(name=f"stage{i}_relu")(x)
        else:
            x = layers.ReLU(name=f"stage{i}_relu")(x)
            x = layers.AveragePooling2D(3, 2, padding="same", name=f"stage{i}_pool")(x)
        if i < len(widths):
            x = ResponseNorm(name=f"stage{i}_norm")(x)
    return x


def body(image_shape, *, size: str = "cifar", drop: float = 0.0, name: str = "alexnet_body") -> keras.Model:
    """Return all but the head: {"features": (B, D), "maps": (B, h, w, C)}. Arguments and errors as `build`.

    "features" is the second hidden layer, or in the CIFAR form the flattened maps.
    """
    form, widths = lookup(SIZES, size)
    inputs, x = entrance(image_shape, low=-1.0)
    if form == "cifar":
        maps = layers.Identity(name="maps")(small(x, widths))
        features = layers.Flatten(name="features")(maps)
    else:
        at_least(63, inputs.shape[1:], size)
        maps = layers.Identity(name="maps")((towers if form == "towers" else tower)(x, widths))
        features = hidden_layers(maps, 6, 4096, drop)
    return keras.Model(inputs, {"features": features, "maps": maps}, name=name)


def build(image_shape, classes: int, *, size: str = "cifar", drop: float = 0.0,
          weights: str | None = None, name: str = "alexnet") -> keras.Model:
    """Build a classifier: images (B, H, W, C), 0..255, -> float32 logits (B, classes).

    Args:
        image_shape: (height, width, channels); "2012" and "2014" need 63 pixels a side.
        classes: number of classes.
        size: a key of SIZES.
        drop: dropout rate after each hidden layer, and before the head of the CIFAR form; the papers have 0.5.
        weights: public weights or a file of them; see kerasdl.zoo.weights.
        name: name of the model.

    Raises:
        ValueError: weights of another network, not the shape of an image, too small a one, or an unknown size.
    """
    network = body(image_shape, size=size, drop=drop)
    model = keras.Model(network.input, head(network.output["features"], classes, drop), name=name)
    return loaded(model, weights, "alexnet")
