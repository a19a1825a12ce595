"""Compact Convolutional Transformer: Hassani et al. 2021, "Escaping the Big Data Paradigm", arXiv:2104.05704.

A ViT for small data sets: tokens come from overlapping convolutions with pooling in place of patches, and the head
reads an average of the tokens by learned weights in place of a class token. The name of a size is the paper's: the
number of blocks, the side of the convolutions and their number.

Departs from the paper and its code: the blocks are the ViT's, without a second normalisation of the sum; the
projections of the attention have biases; dropout is after the position embedding and in the blocks, not on the
attention; position embeddings start from a normal distribution of deviation 0.02, and dense layers as in Keras; on
sides of even length the pools pad at the end and not at the beginning.
"""

import keras
from keras import layers

from kerasdl.zoo.blocks import entrance, head, lookup
from kerasdl.zoo.vit import TokenGrid, encode, tokens

SIZES = {  # width, blocks, heads, hidden widths over width, convolutions
    "mu": (32, 1, 2, 1, 1),
    "2/3x2": (128, 2, 2, 1, 2),
    "4/3x2": (128, 4, 2, 1, 2),
    "7/3x1": (256, 7, 4, 2, 1),
}
PARAMETERS = {"mu": 15_946, "2/3x2": 284_490, "4/3x2": 483_658, "7/3x1": 3_765_514}  # 32x32x3 -> 10


def convolve(x, width, convs):
    """Apply 3x3 convolutions, each with ReLU and a pool that halves the side: (B, H, W, C) -> (B, h, w, width)."""
    for i in range(1, convs + 1):
        x = layers.Conv2D(width // 2 ** (convs - i), 3, padding="same", use_bias=False, activation="relu",
                          kernel_initializer="he_normal", name=f"conv{i}")(x)
        x = layers.MaxPooling2D(3, 2, padding="same", name=f"pool{i}")(x)
    return x


def body(image_shape, *, size: str = "2/3x2", drop: float = 0.0, drop_path: float = 0.0, name: str = "cct_body"
         ) -> keras.Model:
    """Return all but the head: {"features": (B, D), "maps": (B, h, w, D)}. Arguments and errors as `build`.

    "features" is the weighted average of the encoded tokens, "maps" these tokens on their grid.
    """
    width, depth, heads, ratio, convs = lookup(SIZES, size)
    inputs, x = entrance(image_shape, low=-1.0)
    grid = convolve(x, width, convs)
    x = encode(tokens(grid, drop=drop), depth, heads, drop=drop, drop_path=drop_path, ratio=ratio)  # (B, N, D)
    scores = layers.Dense(1, use_bias=False, name="pool_scores")(x)
    shares = layers.Softmax(axis=1, name="pool_shares")(scores)  # (B, N, 1), the weight of each token
    mean = layers.Dot(axes=1, name="pool")([shares, x])  # (B, 1, D)
    features = layers.Reshape((width,), name="features")(mean)
    return keras.Model(inputs, {"features": features, "maps": TokenGrid(name="maps")(x, grid)}, name=name)


def build(image_shape, classes: int, *, size: str = "2/3x2", drop: float = 0.0, drop_path: float = 0.0,
          name: str = "cct") -> keras.Model:
    """Build a classifier: images (B, H, W, C), 0..255, -> float32 logits (B, classes).

    Args:
        image_shape: (height, width, channels).
        classes: number of classes.
        size: a key of SIZES.
        drop: dropout rate after the position embedding, after each attention and after both layers of each MLP.
        drop_path: probability of dropping a residual branch; it grows linearly from 0 in the first block to this
            value in the last.
        name: name of the model.

    Raises:
        ValueError: not the shape of an image, or an unknown size.
    """
    network = body(image_shape, size=size, drop=drop, drop_path=drop_path)
    return keras.Model(network.input, head(network.output["features"], classes), name=name)
