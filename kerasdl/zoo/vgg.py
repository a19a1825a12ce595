"""VGG: Simonyan & Zisserman 2015, "Very Deep Convolutional Networks ...", arXiv:1409.1556.

Convolutions of 3x3 pixels only, in five stages that a pool ends, and two hidden layers of 4096. A size is the number
of layers with weights: the paper's A (11), B (13), D (16) and E (19). "cifar16" has the convolutions of 16 and no
hidden layers, as is usual for images of 32x32 pixels: the head reads the mean of the last maps.

`norm` puts a batch normalisation (Ioffe & Szegedy 2015, arXiv:1502.03167) after each convolution, as torchvision's
vgg16_bn has it. Without it the deep ones train only with care: the paper began with the weights of A.

Departs from the paper: weights start from He et al. 2015 (arXiv:1502.01852), in place of a normal distribution of
deviation 0.01; batch statistics have momentum 0.9.
"""

import keras
from keras import layers

from kerasdl.zoo.blocks import at_least, entrance, head, hidden_layers, lookup
from kerasdl.zoo.weights import loaded

WIDTHS = (64, 128, 256, 512, 512)
SIZES = {  # filters of each stage, convolutions in each stage, width of the two hidden layers, if any
    "mu": ((8, 16), (1, 1), None),
    "cifar16": (WIDTHS, (2, 2, 3, 3, 3), None),
    "11": (WIDTHS, (1, 1, 2, 2, 2), 4096),
    "13": (WIDTHS, (2, 2, 2, 2, 2), 4096),
    "16": (WIDTHS, (2, 2, 3, 3, 3), 4096),
    "19": (WIDTHS, (2, 2, 4, 4, 4), 4096),
}
PARAMETERS = {  # without norm; mu and cifar16: 32x32x3 -> 10, the others 224x224x3 -> 1000
    "mu": 1_562,
    "cifar16": 14_719_818,
    "11": 132_863_336,
    "13": 133_047_848,
    "16": 138_357_544,
    "19": 143_667_240,
}


def unit(x, width, norm, name, i):
    """Apply the i-th convolution of a stage, batch normalisation if `norm`, and ReLU."""
    x = layers.Conv2D(width, 3, padding="same", kernel_initializer="he_normal", name=f"{name}_conv{i}")(x)
    if norm:
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm{i}")(x)
    return layers.ReLU(name=f"{name}_relu{i}")(x)


def body(image_shape, *, size: str = "cifar16", norm: bool = False, drop: float = 0.0, name: str = "vgg_body"
         ) -> keras.Model:
    """Return all but the head: {"features": (B, D), "maps": (B, h, w, C)}. Arguments and errors as `build`.

    "features" is the second hidden layer, or the mean of the maps where there are none.
    """
    widths, convs, hidden = lookup(SIZES, size)
    inputs, x = entrance(image_shape, low=-1.0)
    at_least(2 ** len(widths), inputs.shape[1:], size)
    for i, (width, count) in enumerate(zip(widths, convs, strict=True), 1):
        for j in range(1, count + 1):
            x = unit(x, width, norm, f"stage{i}", j)
        x = layers.MaxPooling2D(2, name=f"stage{i}_pool")(x)
    maps = layers.Identity(name="maps")(x)
    if hidden:
        features = hidden_layers(maps, 7, hidden, drop)
    else:
        features = layers.GlobalAveragePooling2D(name="features")(maps)
    return keras.Model(inputs, {"features": features, "maps": maps}, name=name)


def build(image_shape, classes: int, *, size: str = "cifar16", norm: bool = False, drop: float = 0.0,
          weights: str | None = None, name: str = "vgg") -> keras.Model:
    """Build a classifier: images (B, H, W, C), 0..255, -> float32 logits (B, classes).

    Args:
        image_shape: (height, width, channels); 32 pixels a side or more, 4 for "mu".
        classes: number of classes.
        size: a key of SIZES, a string: "16".
        norm: whether a batch normalisation follows each convolution.
        drop: dropout rate after each hidden layer and before the head; the paper has 0.5.
        weights: public weights or a file of them; see kerasdl.zoo.weights.
        name: name of the model.

    Raises:
        ValueError: weights of another network, not the shape of an image, too small a one, or an unknown size.
    """
    network = body(image_shape, size=size, norm=norm, drop=drop)
    model = keras.Model(network.input, head(network.output["features"], classes, drop), name=name)
    return loaded(model, weights, "vgg")
