"""Generators and discriminators: noise to pictures, and pictures to one logit. Goodfellow et al. 2014, arXiv:1406.2661.

"mlp" is the textbook's pair of dense networks; "dcgan" is convolutional (Radford et al. 2015, arXiv:1511.06434), for
square pictures of 8 to 128 pixels a side; "resnet" has residual blocks (Miyato et al. 2018, arXiv:1802.05957), for
pictures of 32x32.

Inside, pictures are -1..1: a generator ends in tanh, and a discriminator takes that. Conditional pairs take the class
as well. The generator reads an embedding of it beside the noise ("mlp", "dcgan"), or has a gain and an offset of each
class after every normalisation ("resnet"; Dumoulin et al. 2017, arXiv:1610.07629). The discriminator adds the inner
product of its features and the class's vector (projection: Miyato & Koyama 2018, arXiv:1802.05637).

Pairs with clusters are conditional, too, on the part of the data that an image lies in, which needs no labels (Sage et
al. 2018, arXiv:1712.04407; Liu et al. 2020, arXiv:2006.10728). Here the generator reads the cluster from its noise.

Departs from DCGAN: no batch normalisation in the discriminator, for a gradient penalty is about the logit of one
picture (Gulrajani et al. 2017, arXiv:1704.00028); a hidden dense layer in each, as Chen et al. 2016 have it for MNIST
(arXiv:1606.03657), because two convolutions see ten pixels and no digit; kernels of 4x4, which a stride of 2 divides;
weights start as He et al. 2015 say. Departs from SNGAN: upsampling is a transposed convolution, 4/9 of the work; any
width.
"""

import math
import numbers

import keras
from keras import layers

from kerasdl.zoo import unknown
from kerasdl.zoo.blocks import check_format, choose
from kerasdl.zoo.gan.layers import ClassGain, Cluster, Projection, SpectralConv2D, SpectralDense

MLP = {"mu": (32,), "textbook": (256, 512, 1024)}  # the generator's hidden layers; the other net has them reversed
DCGAN = {  # maps at half the picture's side, twice as many at a quarter, and so on; width of the hidden dense layer
    "mu": (8, 16),
    "XS": (32, 256),
    "S": (64, 256),
    "M": (128, 512),
}
RESNET = {"mu": 8, "S": 64, "M": 128}  # maps of every block
MOST = 512  # maps of "dcgan"
NETS = ("mlp", "dcgan", "resnet")
PARAMETERS = {  # (net, size): the trainable ones of both networks, 32x32x3 from 64 numbers of noise
    ("mlp", "mu"): (103_456, 98_369),
    ("mlp", "textbook"): (3_822_336, 3_803_137),
    ("dcgan", "mu"): (19_987, 18_905),
    ("dcgan", "XS"): (707_011, 690_401),
    ("dcgan", "S"): (1_724_803, 1_707_969),
    ("dcgan", "M"): (6_857_475, 6_823_809),
    ("resnet", "mu"): (13_475, 4_905),
    ("resnet", "S"): (376_579, 297_281),
    ("resnet", "M"): (1_367_555, 1_184_385),
}


def build(
    image_shape, classes: int, *, net: str = "dcgan", size: str = "S", latent: int = 64, conditional: bool = False,
    clusters: int = 0, spectral: bool = False,
) -> tuple[keras.Model, keras.Model]:
    """A generator and a discriminator that fit each other.

    Args:
        image_shape: (height, width, channels).
        classes: number of classes, for the conditional pair.
        net: one of NETS.
        size: a key of that net's table.
        latent: how many numbers of noise make a picture.
        conditional: whether both take the class.
        clusters: how many parts of the data both tell apart, in place of classes; see gan_layers.Cluster.
        spectral: whether the discriminator's kernels have spectral norm 1; not of "mlp".

    Returns:
        generator: "latent" (B, latent), and "label" (B,) if conditional -> "images" (B, H, W, C), float32, -1..1.
        discriminator: "images" (B, H, W, C), -1..1, and "label" (B,) if conditional or with clusters -> "logits"
            (B, 1), float32.

    Raises:
        ValueError: an unknown net or size, a shape that the net cannot make, both classes and clusters, or a Keras
            that is set to channels_first.
    """
    if len(tuple(image_shape)) != 3:
        raise ValueError(f"Expected image_shape=(height, width, channels). Received: {image_shape!r}")
    check_format()
    if net not in NETS:
        raise ValueError(unknown("net", net, NETS))
    if clusters and (conditional or clusters < 2):
        raise ValueError(f"Expected clusters, 2 or more, in place of conditional=True. Received: {clusters!r}")
    if conditional and (not isinstance(classes, numbers.Integral) or classes < 1):
        raise ValueError(f"Expected classes to be a whole number, 1 or more. Received: {classes!r}")
    if net == "mlp" and spectral:
        raise ValueError("Expected spectral=True with net='dcgan' or 'resnet'. Received: net='mlp'")
    found, classes = bool(clusters), clusters or (classes if conditional else None)
    if net == "mlp":
        return mlp_generator(image_shape, classes, size, latent, found), mlp_discriminator(image_shape, classes, size)
    generator, discriminator = {"dcgan": (dcgan_generator, dcgan_discriminator),
                                "resnet": (resnet_generator, resnet_discriminator)}[net]
    return (generator(image_shape, classes, size, latent, found),
            discriminator(image_shape, classes, size, spectral))


def mlp_generator(image_shape, classes=None, size="textbook", latent=100, found=False) -> keras.Model:
    """Dense layers with LeakyReLU: 100-256-512-1024-784 for MNIST.

    Here and below, `classes` is None without labels, and `found` says that they are clusters.
    """
    inputs, z, label = noise(image_shape, latent, classes, found)
    x = beside(z, label, classes)
    for i, width in enumerate(choose(MLP, size), 1):
        x = leaky(dense(width, f"hidden{i}")(x), f"relu{i}")
    x = layers.Dense(math.prod(image_shape), name="pixels")(x)
    x = layers.Reshape(tuple(image_shape), name="maps")(x)
    return keras.Model(inputs, bounded(x), name="mlp_generator")


def mlp_discriminator(image_shape, classes=None, size="textbook") -> keras.Model:
    """The generator's widths in reverse."""
    image, label, inputs = pictures(image_shape, classes)
    x = layers.Flatten(name="flatten")(image)
    for i, width in enumerate(choose(MLP, size)[::-1], 1):
        x = leaky(dense(width, f"hidden{i}")(x), f"relu{i}")
    return keras.Model(inputs, verdict(x, label, classes), name="mlp_discriminator")


def dcgan_generator(image_shape, classes=None, size="S", latent=64, found=False) -> keras.Model:
    """Dense layers make the smallest maps, transposed convolutions double them; batch norm and ReLU between."""
    side, halvings = grid(image_shape)
    narrowest, hidden = choose(DCGAN, size)
    widths = [min(narrowest * 2**i, MOST) for i in range(halvings)][::-1]
    inputs, z, label = noise(image_shape, latent, classes, found)
    x = beside(z, label, classes)
    x = norm_relu(layers.Dense(hidden, use_bias=False, kernel_initializer="he_normal", name="hidden")(x), "hidden")
    x = layers.Dense(side * side * widths[0], use_bias=False, kernel_initializer="he_normal", name="seed")(x)
    x = norm_relu(layers.Reshape((side, side, widths[0]), name="maps")(x), "seed")
    for i, width in enumerate(widths[1:], 1):
        x = norm_relu(up(width, f"up{i}", use_bias=False)(x), f"up{i}")
    x = up(image_shape[2], f"up{halvings}", kernel_initializer="glorot_uniform")(x)
    return keras.Model(inputs, bounded(x), name="dcgan_generator")


def dcgan_discriminator(image_shape, classes=None, size="S", spectral=False) -> keras.Model:
    """Convolutions that halve, and a dense layer, with LeakyReLU and no normalisation, or spectral normalisation."""
    _, halvings = grid(image_shape)
    narrowest, hidden = choose(DCGAN, size)
    x, label, inputs = pictures(image_shape, classes)
    for i in range(halvings):
        width = min(narrowest * 2**i, MOST)
        x = leaky(conv(width, 4, 2, f"down{i + 1}", spectral)(x), f"relu{i + 1}")
    x = leaky(dense(hidden, "hidden", spectral)(layers.Flatten(name="flatten")(x)), "features")
    return keras.Model(inputs, verdict(x, label, classes, spectral), name="dcgan_discriminator")


def resnet_generator(image_shape, classes=None, size="S", latent=64, found=False) -> keras.Model:
    """Three residual blocks from 4x4 to 32x32, each of which doubles the side."""
    check_resnet(image_shape)
    width = choose(RESNET, size)
    inputs, x, label = noise(image_shape, latent, classes, found)
    x = layers.Reshape((4, 4, width), name="maps")(dense(16 * width, "seed")(x))
    for i in range(1, 4):
        name = f"block{i}"
        y = norm_relu(x, f"{name}_1", label, classes)
        y = norm_relu(up(width, f"{name}_up", use_bias=False)(y), f"{name}_2", label, classes)
        y = conv(width, 3, 1, f"{name}_conv", kernel_initializer="zeros")(y)
        x = layers.Add(name=f"{name}_add")([layers.UpSampling2D(2, name=f"{name}_skip")(x), y])
    x = norm_relu(x, "last", label, classes)
    x = conv(image_shape[2], 3, 1, "pixels", kernel_initializer="glorot_uniform")(x)
    return keras.Model(inputs, bounded(x), name="resnet_generator")


def resnet_discriminator(image_shape, classes=None, size="S", spectral=False) -> keras.Model:
    """Residual blocks: two that halve the side, two that keep it; the sum over places is the representation."""
    check_resnet(image_shape)
    width = choose(RESNET, size)
    image, label, inputs = pictures(image_shape, classes)
    x = conv(width, 3, 1, "stem", spectral)(image)
    for i in range(1, 5):
        name = f"block{i}"
        y = conv(width, 3, 1, f"{name}_conv1", spectral)(leaky(x, f"{name}_relu1"))
        y = conv(width, 3, 1, f"{name}_conv2", spectral)(leaky(y, f"{name}_relu2"))
        if i < 3:
            x, y = (layers.AveragePooling2D(2, name=f"{name}_pool_{way}")(z) for way, z in (("skip", x), ("path", y)))
        x = layers.Add(name=f"{name}_add")([x, y])
    x = layers.GlobalAveragePooling2D(name="features")(leaky(x, "last_relu"))
    return keras.Model(inputs, verdict(x, label, classes, spectral), name="resnet_discriminator")


def count_classes(generator) -> int:
    """How many classes a conditional generator knows."""
    found = [getattr(layer, "classes", None) or getattr(layer, "input_dim", None) for layer in generator.layers]
    return next(number for number in found if number)


def noise(image_shape, latent, classes, found):
    """What the generator takes, the noise of it, and the class: given, read from the noise, or None."""
    z = keras.Input((latent,), name="latent")
    if found:
        return z, z, Cluster(classes, math.prod(image_shape), dtype="float32", name="cluster")(z)
    label = keras.Input((), dtype="int32", name="label") if classes else None
    return [z, label] if classes else z, z, label


def beside(z, label, classes):
    """The noise, and the class's embedding beside it."""
    if not classes:
        return z
    vector = layers.Embedding(classes, z.shape[-1], embeddings_initializer="random_normal", name="class_vector")(label)
    return layers.Concatenate(name="latent_and_class")([z, vector])


def pictures(image_shape, classes):
    """The discriminator's inputs: (images, label or None, what the model takes)."""
    image = keras.Input(tuple(image_shape), name="images")
    label = keras.Input((), dtype="int32", name="label") if classes else None
    return image, label, [image, label] if classes else image


def bounded(x):
    """Pictures within -1..1, float32 whatever the precision of the rest."""
    return layers.Activation("tanh", dtype="float32", name="images")(x)


def verdict(x, label, classes, spectral=False):
    """Features to the logit, float32; with a label also whether they are of this class."""
    logit = (SpectralDense if spectral else layers.Dense)(1, dtype="float32", name="logit" if classes else "logits")(x)
    if not classes:
        return logit
    match = Projection(classes, dtype="float32", name="of_class")(x, label)
    return layers.Add(dtype="float32", name="logits")([logit, match])


def dense(width, name, spectral=False):
    return (SpectralDense if spectral else layers.Dense)(width, kernel_initializer="he_normal", name=name)


def conv(width, kernel, stride, name, spectral=False, kernel_initializer="he_normal"):
    kind = SpectralConv2D if spectral else layers.Conv2D
    return kind(width, kernel, stride, padding="same", kernel_initializer=kernel_initializer, name=name)


def up(width, name, use_bias=True, kernel_initializer="he_normal"):
    """Twice the side: a transposed convolution. Resizing and a 3x3 convolution take 9/4 of the products."""
    return layers.Conv2DTranspose(width, 4, 2, padding="same", use_bias=use_bias,
                                  kernel_initializer=kernel_initializer, name=name)


def leaky(x, name):
    return layers.LeakyReLU(0.2, name=name)(x)


def norm_relu(x, name, label=None, classes=None):
    """Batch norm with statistics that settle in a short training, the class's gain and offset, ReLU."""
    plain = label is None
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, center=plain, scale=plain, name=f"{name}_norm")(x)
    if not plain:
        x = ClassGain(classes, name=f"{name}_gain")(x, label)
    return layers.ReLU(name=f"{name}_relu")(x)


def grid(image_shape):
    """Side of the smallest maps of a square picture, and how often it is doubled: 28 -> (7, 2), 32 -> (4, 3)."""
    height, width = tuple(image_shape)[:2]
    side, halvings = height, 0
    while side % 2 == 0 and side > 7:
        side, halvings = side // 2, halvings + 1
    if height != width or not 8 <= height <= 128 or side > 7:
        raise ValueError("Expected square pictures of 8, 10, 12 or 14 pixels a side, or these doubled up to 128. "
                         f"Received: {height}x{width}")
    return side, halvings


def check_resnet(image_shape):
    if tuple(image_shape)[:2] != (32, 32):
        raise ValueError(f"Expected pictures of 32x32 for net='resnet'. Received: {image_shape}; use net='dcgan'.")
