"""Compact Convolutional Transformer: Hassani et al. 2021, "Escaping the Big Data Paradigm", arXiv:2104.05704.

A ViT for little data: overlapping convolutions with pooling make the tokens in place of patches, and the tokens'
average by learned weights is read in place of a class token. A size is called, as in the paper, by the number of
blocks, the side of the convolutions and how many of them there are.

Departs from the paper and its code: each block is the ViT's, which normalises before the second branch and not also
the sum; the maps of the attention have biases; dropout is after the position embedding and in the blocks, not on the
attention; position embeddings start from a normal distribution of deviation 0.02, and dense layers as Keras' do; of an
even side the pools pad the end and not the beginning.
"""

import keras
from keras import layers

from kerasdl.zoo.blocks import choose, dropout, entrance, head
from kerasdl.zoo.vit import PositionEmbedding, block

SIZES = {  # width, blocks, heads, hidden widths over width, convolutions
    "mu": (32, 1, 2, 1, 1),
    "2/3x2": (128, 2, 2, 1, 2),
    "4/3x2": (128, 4, 2, 1, 2),
    "7/3x1": (256, 7, 4, 2, 1),
}
PARAMETERS = {"mu": 15_946, "2/3x2": 284_490, "4/3x2": 483_658, "7/3x1": 3_765_514}  # 32x32x3 -> 10


def tokenize(x, width, convs):
    """3x3 convolutions, each with ReLU and a pool that halves the side: (B, H, W, C) -> (B, N, D)."""
    for i in range(1, convs + 1):
        x = layers.Conv2D(width // 2 ** (convs - i), 3, padding="same", use_bias=False, activation="relu",
                          kernel_initializer="he_normal", name=f"conv{i}")(x)
        x = layers.MaxPooling2D(3, 2, padding="same", name=f"pool{i}")(x)
    return layers.Reshape((-1, width), name="tokens")(x)


def build(image_shape, classes: int, *, size: str = "2/3x2", drop: float = 0.0, drop_path: float = 0.0,
          name: str = "cct") -> keras.Model:
    """Images (B, H, W, C), 0..255, -> float32 logits (B, classes).

    Args:
        image_shape: (height, width, channels).
        classes: number of classes.
        size: a key of SIZES.
        drop: dropout rate after the position embedding and after the last map of each attention and both of the MLP.
        drop_path: probability of losing a residual branch, growing linearly from 0 in the first block to this
            in the last.
        name: name of the model.

    Raises:
        ValueError: not the shape of an image, or an unknown size.
    """
    width, depth, heads, ratio, convs = choose(SIZES, size)
    inputs, x = entrance(image_shape, low=-1.0)
    x = tokenize(x, width, convs)  # (B, N, D)
    x = PositionEmbedding(name="position")(x)
    x = dropout(x, drop, "position_drop")
    for i in range(depth):
        x = block(x, heads, drop, drop_path * i / max(depth - 1, 1), f"block{i + 1}", ratio)
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    scores = layers.Dense(1, use_bias=False, name="pool_scores")(x)
    shares = layers.Softmax(axis=1, name="pool_shares")(scores)  # (B, N, 1), what each token counts
    x = layers.Dot(axes=1, name="pool")([shares, x])  # (B, 1, D)
    x = layers.Reshape((width,), name="features")(x)
    return keras.Model(inputs, head(x, classes), name=name)
