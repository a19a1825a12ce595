"""Generators and discriminators: noise to images, and images to one logit. Goodfellow et al. 2014, arXiv:1406.2661.

"mlp" is the textbook's pair of dense networks; "dcgan" is convolutional, for square images of 8 to 128 pixels a side.
Both generators end in tanh, and both discriminators take images in -1..1.

Conditional pairs take the class as well. The generator reads an embedding of it along with the noise. The discriminator
adds the inner product of its features and a vector of the class (projection: Miyato & Koyama 2018, arXiv:1802.05637).

Pairs with clusters are conditional on the part of the data that an image lies in, which needs no labels (Sage et al.
2018, arXiv:1712.04407; Liu et al. 2020, arXiv:2006.10728). Here the generator reads the cluster from its noise.
"""

import numbers

import keras

from kerasdl.zoo import unknown
from kerasdl.zoo.blocks import check_format, positive
from kerasdl.zoo.gan import dcgan, mlp

NETS = {"mlp": mlp, "dcgan": dcgan}


def build(image_shape, classes: int, *, net: str = "dcgan", size: str = "S", latent: int = 64,
          conditional: bool = False, clusters: int = 0) -> tuple[keras.Model, keras.Model]:
    """Build a generator and a discriminator that fit each other.

    Args:
        image_shape: (height, width, channels).
        classes: number of classes, for a conditional pair.
        net: a key of NETS.
        size: a key of that network's SIZES.
        latent: how many numbers of noise make an image.
        conditional: whether both networks take the class.
        clusters: how many parts of the data both tell apart, in place of classes, or 0; see layers.Cluster.

    Returns:
        generator: "latent" (B, latent), and "label" (B,) if conditional -> "images" (B, H, W, C), float32, -1..1.
        discriminator: "images" (B, H, W, C), -1..1, and "label" (B,) if conditional or with clusters -> "logits"
            (B, 1), float32.

    Raises:
        ValueError: an unknown net or size, a shape that the net cannot make, both classes and clusters, or Keras is
            set to channels_first.
    """
    sides = tuple(image_shape) if hasattr(image_shape, "__iter__") else ()
    if len(sides) != 3:
        raise ValueError(f"Expected image_shape=(height, width, channels). Received: {image_shape!r}")
    check_format()
    if net not in NETS:
        raise ValueError(unknown("net", net, NETS))
    for what, number in zip(("the height", "the width", "the channels", "latent"), (*sides, latent), strict=True):
        positive(what, 0 if number is None else number)
    if clusters and (conditional or not isinstance(clusters, int) or clusters < 2):
        raise ValueError(f"Expected clusters, 2 or more, in place of conditional=True. Received: {clusters!r}")
    if conditional and (not isinstance(classes, numbers.Integral) or classes < 1):
        raise ValueError(f"Expected classes to be a whole number, 1 or more. Received: {classes!r}")
    labels = clusters or (classes if conditional else None)
    return (NETS[net].generator(image_shape, labels, size=size, latent=latent, clustered=bool(clusters)),
            NETS[net].discriminator(image_shape, labels, size=size))


def count_classes(generator) -> int:
    """Return the number of classes of a conditional generator."""
    return next(layer.input_dim for layer in generator.layers if isinstance(layer, keras.layers.Embedding))
