"""What every pair shares: inputs with or without a label, layers with their defaults, and outputs.

Everywhere `classes` is the number of classes or clusters, or None without labels.
"""

import math

import keras
from keras import layers

from kerasdl.zoo.gan.layers import Cluster, Projection


def latent_inputs(image_shape, latent, classes, clustered):
    """Return the generator's (inputs, noise, label): the label is an input, read from the noise, or None."""
    z = keras.Input((latent,), name="latent")
    if clustered:
        return z, z, Cluster(classes, math.prod(image_shape), dtype="float32", name="cluster")(z)
    label = keras.Input((), dtype="int32", name="label") if classes else None
    return [z, label] if classes else z, z, label


def concat_label(z, label, classes):
    """Append an embedding of the label to the noise (B, D) -> (B, 2D), if there are labels."""
    if not classes:
        return z
    vector = layers.Embedding(classes, z.shape[-1], embeddings_initializer="random_normal", name="class_vector")(label)
    return layers.Concatenate(name="latent_and_class")([z, vector])


def image_inputs(image_shape, classes):
    """Return the discriminator's (inputs, images, label or None)."""
    image = keras.Input(tuple(image_shape), name="images")
    label = keras.Input((), dtype="int32", name="label") if classes else None
    return [image, label] if classes else image, image, label


def dense(width, name):
    return layers.Dense(width, kernel_initializer="he_normal", name=name)


def lrelu(x, name):
    return layers.LeakyReLU(0.2, name=name)(x)


def tanh_output(x):
    """Bound images to -1..1, in float32 under any precision policy."""
    return layers.Activation("tanh", dtype="float32", name="images")(x)


def logit_head(x, label, classes):
    """Map features (B, D) to the logit (B, 1), float32; with labels add the projection on the class."""
    logit = layers.Dense(1, dtype="float32", name="logit" if classes else "logits")(x)
    if not classes:
        return logit
    match = Projection(classes, dtype="float32", name="of_class")(x, label)
    return layers.Add(dtype="float32", name="logits")([logit, match])
