"""Vision Transformer: Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", arXiv:2010.11929.

Sizes Ti and S are from Touvron et al. 2021 (arXiv:2012.12877); `pool="mean"` reads the mean of the patches in
place of a class token, as Beyer et al. 2022 (arXiv:2205.01580) do. XS is ours, for small pictures on a
processor.

Departs from the paper: position embeddings and the class token start from a normal distribution of deviation
0.02, the patches from Keras' Glorot uniform, which is narrower than the paper's LeCun normal, and the head is not
started at zero. GELU is exact, but written with erf: what Keras writes for it does not survive ONNX.
"""

import math
import numbers

import keras
from keras import layers, ops

from kerasdl.zoo.blocks import DropPath, choose, dropout, entrance, head

SIZES = {  # width, depth, heads
    "mu": (32, 2, 2),
    "XS": (128, 2, 4),
    "Ti": (192, 12, 3),
    "S": (384, 12, 6),
    "B": (768, 12, 12),
    "L": (1024, 24, 16),
}
PARAMETERS = {  # 224x224x3 in patches of 16 -> 1000, with a class token
    "mu": 89_416,
    "XS": 649_576,
    "Ti": 5_717_416,
    "S": 22_050_664,
    "B": 86_567_656,
    "L": 304_326_632,
}


@keras.saving.register_keras_serializable(package="kerasdl")
def gelu(x):
    """Exact GELU: x times the normal distribution function at x."""
    return 0.5 * x * (1.0 + ops.erf(x * math.sqrt(0.5)))


@keras.saving.register_keras_serializable(package="kerasdl")
class ClassToken(layers.Layer):
    """Puts one learned token before the patches: (B, N, D) -> (B, 1 + N, D)."""

    def build(self, input_shape):
        start = keras.initializers.RandomNormal(stddev=0.02)
        self.token = self.add_weight(shape=(1, 1, input_shape[-1]), initializer=start, name="token")

    def call(self, x):
        token = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([token, x], axis=1)


@keras.saving.register_keras_serializable(package="kerasdl")
class PositionEmbedding(layers.Layer):
    """Adds one learned vector to each token: (B, N, D) -> (B, N, D)."""

    def build(self, input_shape):
        start = keras.initializers.RandomNormal(stddev=0.02)
        self.table = self.add_weight(shape=(1, *input_shape[1:]), initializer=start, name="table")

    def call(self, x):
        return x + self.table


@keras.saving.register_keras_serializable(package="kerasdl")
class FirstToken(layers.Layer):
    """Reads the class token: (B, N, D) -> (B, D)."""

    def call(self, x):
        return x[:, 0]


def block(x, heads, drop, drop_path, name, ratio=4):
    """Pre-norm encoder block: the tokens look at each other, then each thinks for itself, `ratio` times as wide."""
    width = x.shape[-1]
    # Keras before 3.15 takes the attention's kernel (D, heads, D/heads) for a convolution's, and starts it
    # several times too small. This is Glorot's bound for what it is: a map from D to D.
    glorot = keras.initializers.RandomUniform(-math.sqrt(3 / width), math.sqrt(3 / width))

    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm1")(x)
    y = layers.MultiHeadAttention(heads, width // heads, kernel_initializer=glorot, name=f"{name}_attn")(y, y)
    y = dropout(y, drop, f"{name}_attn_drop")
    x = layers.Add(name=f"{name}_add1")([x, skip(y, drop_path, f"{name}_path1")])

    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm2")(x)
    y = layers.Dense(ratio * width, activation=gelu, name=f"{name}_up")(y)
    y = dropout(y, drop, f"{name}_up_drop")
    y = layers.Dense(width, name=f"{name}_down")(y)
    y = dropout(y, drop, f"{name}_down_drop")
    return layers.Add(name=f"{name}_add2")([x, skip(y, drop_path, f"{name}_path2")])


def skip(y, drop_path, name):
    return DropPath(drop_path, name=name)(y) if drop_path else y


def build(
    image_shape,
    classes: int,
    *,
    size: str = "S",
    patch: int = 16,
    pool: str = "token",
    drop: float = 0.0,
    drop_path: float = 0.0,
    name: str = "vit",
) -> keras.Model:
    """Images (B, H, W, C), 0..255, -> float32 logits (B, classes).

    Args:
        image_shape: (height, width, channels); height and width are multiples of patch.
        classes: number of classes.
        size: a key of SIZES.
        patch: side of a patch, in pixels.
        pool: "token" reads a class token, "mean" the mean of the patches.
        drop: dropout rate after the position embedding and after each linear map of a block but those to
            queries, keys and values, as in the paper's appendix B.1.
        drop_path: probability of losing a residual branch, growing linearly from 0 in the first block to this
            in the last.
        name: name of the model.

    Raises:
        ValueError: not the shape of an image, one that does not divide into patches, an unknown size or pool.
    """
    width, depth, heads = choose(SIZES, size)
    if pool not in ("token", "mean"):
        raise ValueError(f"Expected pool='token' or 'mean'. Received: {pool!r}")
    inputs, x = entrance(image_shape, low=-1.0)
    check_patches(image_shape, patch)

    x = layers.Conv2D(width, patch, patch, name="patches")(x)  # (B, H/p, W/p, D)
    x = layers.Reshape((-1, width), name="tokens")(x)  # (B, N, D)
    if pool == "token":
        x = ClassToken(name="class_token")(x)  # (B, 1 + N, D)
    x = PositionEmbedding(name="position")(x)
    x = dropout(x, drop, "position_drop")
    for i in range(depth):
        x = block(x, heads, drop, drop_path * i / max(depth - 1, 1), f"block{i + 1}")
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    pooling = FirstToken if pool == "token" else layers.GlobalAveragePooling1D
    x = pooling(name="features")(x)  # (B, D)
    return keras.Model(inputs, head(x, classes), name=name)


def resize(model: keras.Model, image_shape) -> keras.Model:
    """The same ViT for pictures of another size: position embeddings interpolated, every other weight equal.

    Section 3.2 of the paper. The grid of embeddings is resized bicubically; the class token keeps its own.

    Args:
        model: what `build` gave, trained or not.
        image_shape: (height, width, channels), as many channels as before, multiples of the model's patch.

    Returns:
        A new model with its own weights, not compiled.

    Raises:
        ValueError: the model has no patches, or the shape does not fit it.
    """
    names = {layer.name for layer in model.layers}
    if not {"patches", "position"} <= names:
        raise ValueError(f"Expected a model from vit.build. Received: {model.name!r}, which has no patches")
    if tuple(image_shape)[2:] != model.input_shape[3:]:
        raise ValueError(f"Expected {model.input_shape[3]} channels, as before. Received: {image_shape}")
    check_patches(image_shape, model.get_layer("patches").kernel_size[0])

    new = keras.models.clone_model(model, input_tensors=keras.Input(tuple(image_shape), name="image"))
    for layer in model.layers:
        if layer.name == "position":
            grids = (m.get_layer("patches").output.shape[1:3] for m in (model, new))
            new.get_layer("position").table.assign(stretch(layer.table, *grids))
        else:
            new.get_layer(layer.name).set_weights(layer.get_weights())
    return new


def stretch(table, old, new):
    """Embeddings (1, T + h*w, D) on a grid (h, w) -> (1, T + H*W, D) on (H, W); T class tokens stay."""
    tokens = table.shape[1] - math.prod(old)
    own, grid = table[:, :tokens], ops.reshape(table[:, tokens:], (1, *old, -1))
    grid = ops.image.resize(grid, new, interpolation="bicubic", antialias=True, data_format="channels_last")
    return ops.concatenate([own, ops.reshape(grid, (1, math.prod(new), -1))], axis=1)


def check_patches(image_shape, patch):
    """Refuses a picture that does not divide into patches, and names the nearest sizes that do."""
    if not isinstance(patch, numbers.Integral) or patch < 1:
        raise ValueError(f"Expected patch to be a number of pixels. Received: {patch!r}")
    for pixels in tuple(image_shape)[:2]:
        if pixels % patch:
            below, above = pixels // patch * patch, (pixels // patch + 1) * patch
            near = f"{below} or {above}" if below else f"{above}"
            raise ValueError(
                f"Expected height and width to be multiples of patch={patch}. Received: "
                f"image_shape={tuple(image_shape)}; near {pixels} is {near}."
            )
