"""ConvNeXt: Liu et al. 2022, "A ConvNet for the 2020s", arXiv:2201.03545: a ResNet with the manners of a ViT.

Sizes Atto to N are those of Woo et al. 2023 (arXiv:2301.00808, table 15) with the blocks of the first paper, as timm
has them. A stem cuts the image into patches; four stages of blocks follow, each at half the resolution of the one
before. Small images want small patches: with 2 pixels a side, an image of 32x32 has a grid of 16x16.

Departs from the paper: kernels start from a normal distribution of deviation 0.02 that is not truncated. GELU is exact
and written with erf, as in `vit`.
"""

import keras
from keras import layers

from kerasdl.zoo.blocks import DropPath, at_least, entrance, head, lookup, positive
from kerasdl.zoo.vit import gelu
from kerasdl.zoo.weights import loaded

SIZES = {  # width of each stage, blocks in each stage
    "mu": ((8, 16), (1, 1)),
    "Atto": ((40, 80, 160, 320), (2, 2, 6, 2)),
    "Femto": ((48, 96, 192, 384), (2, 2, 6, 2)),
    "Pico": ((64, 128, 256, 512), (2, 2, 6, 2)),
    "Nano": ((80, 160, 320, 640), (2, 2, 8, 2)),
    "T": ((96, 192, 384, 768), (3, 3, 9, 3)),
    "S": ((96, 192, 384, 768), (3, 3, 27, 3)),
    "B": ((128, 256, 512, 1024), (3, 3, 27, 3)),
}
PARAMETERS = {  # 224x224x3 in patches of 4 -> 1000
    "mu": 21_936,
    "Atto": 3_695_520,
    "Femto": 5_217_784,
    "Pico": 9_045_672,
    "Nano": 15_593_560,
    "T": 28_589_128,
    "S": 50_223_688,
    "B": 88_591_464,
}


@keras.saving.register_keras_serializable(package="kerasdl")
class LayerScale(layers.Layer):
    """Multiply each channel by a learned number: (..., C) -> (..., C). Touvron et al. 2021, arXiv:2103.17239.

    Args:
        start: what the numbers start from.
    """

    def __init__(self, start=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def build(self, input_shape):
        self.gain = self.add_weight(shape=input_shape[-1:], initializer=keras.initializers.Constant(self.start),
                                    name="gain")

    def call(self, x):
        return x * self.gain

    def get_config(self):
        return super().get_config() | {"start": self.start}


def normal():
    return keras.initializers.RandomNormal(stddev=0.02)


def norm(x, name):
    return layers.LayerNormalization(epsilon=1e-6, name=name)(x)


def patches(x, width, side, name):
    """Embed patches that do not overlap: (B, H, W, C) -> (B, H/side, W/side, width)."""
    return layers.Conv2D(width, side, side, kernel_initializer=normal(), name=name)(x)


def block(x, drop_path, name, kernel=7):
    """Apply a 7x7 filter to each map, then an MLP of four times the width at each place, and add it to the input."""
    width = x.shape[-1]
    y = layers.DepthwiseConv2D(kernel, padding="same", depthwise_initializer=normal(), name=f"{name}_conv")(x)
    y = norm(y, f"{name}_norm")
    y = layers.Dense(4 * width, activation=gelu, kernel_initializer=normal(), name=f"{name}_up")(y)
    y = layers.Dense(width, kernel_initializer=normal(), name=f"{name}_down")(y)
    y = LayerScale(name=f"{name}_scale")(y)
    y = DropPath(drop_path, name=f"{name}_path")(y) if drop_path else y
    return layers.Add(name=f"{name}_add")([x, y])


def body(image_shape, *, size: str = "T", patch: int = 4, drop_path: float = 0.0, name: str = "convnext_body"
         ) -> keras.Model:
    """Return all but the head: {"features": (B, D), "maps": (B, h, w, D)}. Arguments and errors as `build`.

    "features" is the mean of the maps, normalised.
    """
    widths, repeats = lookup(SIZES, size)
    positive("patch", patch)
    inputs, x = entrance(image_shape, low=-1.0)
    at_least(patch * 2 ** (len(widths) - 1), inputs.shape[1:], size)
    x = norm(patches(x, widths[0], patch, "stem_conv"), "stem_norm")
    last, done = max(sum(repeats) - 1, 1), 0
    for i, (width, blocks) in enumerate(zip(widths, repeats, strict=True), 1):
        if i > 1:
            x = patches(norm(x, f"stage{i}_norm"), width, 2, f"stage{i}_conv")
        for j in range(1, blocks + 1):
            x = block(x, drop_path * done / last, f"stage{i}_block{j}")
            done += 1
    maps = layers.Identity(name="maps")(x)
    mean = layers.GlobalAveragePooling2D(name="mean")(maps)
    features = layers.Identity(name="features")(norm(mean, "norm"))
    return keras.Model(inputs, {"features": features, "maps": maps}, name=name)


def build(image_shape, classes: int, *, size: str = "T", patch: int = 4, drop: float = 0.0, drop_path: float = 0.0,
          weights: str | None = None, name: str = "convnext") -> keras.Model:
    """Build a classifier: images (B, H, W, C), 0..255, -> float32 logits (B, classes).

    Args:
        image_shape: (height, width, channels); a side has 8 patches or more, 2 for "mu". Pixels at the right and at the
            bottom that do not fill a patch are left out.
        classes: number of classes.
        size: a key of SIZES.
        patch: side of a patch of the stem, in pixels.
        drop: dropout rate before the head.
        drop_path: probability of dropping a residual branch; it grows linearly from 0 in the first block to this
            value in the last.
        weights: public weights or a file of them; see kerasdl.zoo.weights.
        name: name of the model.

    Raises:
        ValueError: weights of another network, not the shape of an image, too small a one, or an unknown size.
    """
    network = body(image_shape, size=size, patch=patch, drop_path=drop_path)
    model = keras.Model(network.input, head(network.output["features"], classes, drop), name=name)
    return loaded(model, weights, "convnext")
