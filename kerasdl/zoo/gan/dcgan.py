"""Convolutional generator and discriminator: Radford et al. 2015, arXiv:1511.06434.

Departs from the paper: no batch normalisation in the discriminator, because a gradient penalty needs a logit that
depends on one image only (Gulrajani et al. 2017, arXiv:1704.00028); a hidden dense layer in each, as in Chen et al.
2016 for MNIST (arXiv:1606.03657), because two convolutions see ten pixels and no digit; kernels of 4x4, which a stride
of 2 divides; He initialisation.
"""

import keras
from keras import layers

from kerasdl.zoo.blocks import lookup
from kerasdl.zoo.gan.parts import concat_label, dense, image_inputs, latent_inputs, logit_head, lrelu, tanh_output

SIZES = {  # maps at half the image's side, doubled at each further halving; width of the hidden dense layer
    "mu": (8, 16),
    "XS": (32, 256),
    "S": (64, 256),
    "M": (128, 512),
}
MOST = 512  # maps at most
PARAMETERS = {  # trainable ones of both networks, 32x32x3 from 64 numbers of noise
    "mu": (19_987, 18_905),
    "XS": (707_011, 690_401),
    "S": (1_724_803, 1_707_969),
    "M": (6_857_475, 6_823_809),
}


def generator(image_shape, classes=None, *, size="S", latent=64, clustered=False) -> keras.Model:
    """Dense layers to the smallest maps, then transposed convolutions that double the side; batch norm and ReLU.

    `classes` is None without labels; `clustered` says that they are clusters.
    """
    side, halvings = grid(image_shape)
    narrowest, hidden = lookup(SIZES, size)
    widths = [min(narrowest * 2**i, MOST) for i in range(halvings)][::-1]
    inputs, z, label = latent_inputs(image_shape, latent, classes, clustered)
    x = concat_label(z, label, classes)
    x = norm_relu(layers.Dense(hidden, use_bias=False, kernel_initializer="he_normal", name="hidden")(x), "hidden")
    x = layers.Dense(side * side * widths[0], use_bias=False, kernel_initializer="he_normal", name="seed")(x)
    x = norm_relu(layers.Reshape((side, side, widths[0]), name="maps")(x), "seed")
    for i, width in enumerate(widths[1:], 1):
        x = norm_relu(up(width, f"up{i}", use_bias=False)(x), f"up{i}")
    x = up(image_shape[2], f"up{halvings}", kernel_initializer="glorot_uniform")(x)
    return keras.Model(inputs, tanh_output(x), name="dcgan_generator")


def discriminator(image_shape, classes=None, *, size="S") -> keras.Model:
    """Convolutions that halve the side, then a dense layer, with LeakyReLU and no normalisation."""
    _, halvings = grid(image_shape)
    narrowest, hidden = lookup(SIZES, size)
    inputs, x, label = image_inputs(image_shape, classes)
    for i in range(halvings):
        width = min(narrowest * 2**i, MOST)
        x = layers.Conv2D(width, 4, 2, padding="same", kernel_initializer="he_normal", name=f"down{i + 1}")(x)
        x = lrelu(x, f"relu{i + 1}")
    x = lrelu(dense(hidden, "hidden")(layers.Flatten(name="flatten")(x)), "features")
    return keras.Model(inputs, logit_head(x, label, classes), name="dcgan_discriminator")


def up(width, name, use_bias=True, kernel_initializer="he_normal"):
    """Double the side by a transposed convolution. Resizing and a 3x3 convolution would take 9/4 of the products."""
    return layers.Conv2DTranspose(width, 4, 2, padding="same", use_bias=use_bias,
                                  kernel_initializer=kernel_initializer, name=name)


def norm_relu(x, name):
    """Apply batch normalisation, with statistics that converge in a short training, and ReLU."""
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def grid(image_shape):
    """Return the side of the smallest maps of a square image, and how often it is doubled: 28 -> (7, 2), 32 -> (4, 3).

    Raises:
        ValueError: an image of another shape or size.
    """
    height, width = tuple(image_shape)[:2]
    side, halvings = height, 0
    while side % 2 == 0 and side > 7:
        side, halvings = side // 2, halvings + 1
    if height != width or not 8 <= height <= 128 or side > 7:
        raise ValueError("Expected square images of 8, 10, 12 or 14 pixels a side, or these doubled up to 128. "
                         f"Received: {height}x{width}")
    return side, halvings
