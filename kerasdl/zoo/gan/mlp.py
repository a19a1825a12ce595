"""The textbook's pair of dense networks: 100-256-512-1024-784 for MNIST, and the same widths back to one logit."""

import math

import keras
from keras import layers

from kerasdl.zoo.blocks import lookup
from kerasdl.zoo.gan.parts import concat_label, dense, image_inputs, latent_inputs, logit_head, lrelu, tanh_output

SIZES = {"mu": (32,), "textbook": (256, 512, 1024)}  # hidden widths of the generator; the discriminator reverses them
PARAMETERS = {"mu": (103_456, 98_369), "textbook": (3_822_336, 3_803_137)}  # of both, 32x32x3 from 64 numbers of noise


def generator(image_shape, classes=None, *, size="textbook", latent=100, clustered=False) -> keras.Model:
    """Dense layers with LeakyReLU. `classes` is None without labels; `clustered` says that they are clusters."""
    inputs, z, label = latent_inputs(image_shape, latent, classes, clustered)
    x = concat_label(z, label, classes)
    for i, width in enumerate(lookup(SIZES, size), 1):
        x = lrelu(dense(width, f"hidden{i}")(x), f"relu{i}")
    x = layers.Dense(math.prod(image_shape), name="pixels")(x)
    x = layers.Reshape(tuple(image_shape), name="maps")(x)
    return keras.Model(inputs, tanh_output(x), name="mlp_generator")


def discriminator(image_shape, classes=None, *, size="textbook") -> keras.Model:
    """Dense layers with LeakyReLU, in the generator's widths reversed."""
    inputs, image, label = image_inputs(image_shape, classes)
    x = layers.Flatten(name="flatten")(image)
    for i, width in enumerate(lookup(SIZES, size)[::-1], 1):
        x = lrelu(dense(width, f"hidden{i}")(x), f"relu{i}")
    return keras.Model(inputs, logit_head(x, label, classes), name="mlp_discriminator")
