"""Vision Transformer: Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", arXiv:2010.11929.

Sizes Ti and S are from Touvron et al. 2021 (arXiv:2012.12877); `pool="mean"` reads the mean of the patches in
place of a class token, as Beyer et al. 2022 (arXiv:2205.01580) do. XS is ours, for small images on a CPU.

Departs from the paper: position embeddings and the class token start from a normal distribution of deviation
0.02, the patches from Keras' Glorot uniform, which is narrower than the paper's LeCun normal, and the head does not
start at zero. GELU is exact, but written with erf, because Keras' own form does not survive an export to ONNX.

`body` is `patches`, then `tokens`, then `encode`. A masked autoencoder calls the three itself and keeps a subset of the
tokens in between; with the same layer names, its weights fit `build`.
"""

import math
import numbers

import keras
from keras import layers, ops

from kerasdl.zoo.blocks import DropPath, dropout, entrance, head, lookup, set_weights, stretch
from kerasdl.zoo.weights import loaded

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
    """Return x times the normal distribution function at x, which is the exact GELU."""
    return 0.5 * x * (1.0 + ops.erf(x * math.sqrt(0.5)))


@keras.saving.register_keras_serializable(package="kerasdl")
class ClassToken(layers.Layer):
    """Prepend one learned token: (B, N, D) -> (B, 1 + N, D)."""

    def build(self, input_shape):
        start = keras.initializers.RandomNormal(stddev=0.02)
        self.token = self.add_weight(shape=(1, 1, input_shape[-1]), initializer=start, name="token")

    def call(self, x):
        token = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([token, x], axis=1)


@keras.saving.register_keras_serializable(package="kerasdl")
class PositionEmbedding(layers.Layer):
    """Add a learned vector to each token: (B, N, D) -> (B, N, D)."""

    def build(self, input_shape):
        start = keras.initializers.RandomNormal(stddev=0.02)
        self.table = self.add_weight(shape=(1, *input_shape[1:]), initializer=start, name="table")

    def call(self, x):
        return x + self.table


@keras.saving.register_keras_serializable(package="kerasdl")
class FirstToken(layers.Layer):
    """Read the class token: (B, N, D) -> (B, D)."""

    def call(self, x):
        return x[:, 0]


@keras.saving.register_keras_serializable(package="kerasdl")
class TokenGrid(layers.Layer):
    """Lay tokens out on the grid that they came from: (B, T + h*w, D) and (B, h, w, ...) -> (B, h, w, D).

    The first T tokens, such as a class token, have no place and are left out.
    """

    def call(self, x, grid):
        height, width = grid.shape[1:3]
        return ops.reshape(x[:, -height * width:], (-1, height, width, x.shape[-1]))


def block(x, heads, drop, drop_path, name, ratio=4, *, attend=None, post=False):
    """Apply an encoder block: self-attention, then an MLP whose hidden layer is `ratio` times as wide.

    Args:
        x: tokens (B, N, D).
        heads: of the attention.
        drop, drop_path: as in `build`.
        name: prefix of the names of its layers.
        ratio: width of the hidden layer of the MLP, in widths of a token.
        attend: another attention, a layer or a function (B, N, D) -> (B, N, D); None: of every token to all.
        post: normalise the sums, as Vaswani et al. 2017 do, and not the inputs of the two branches.
    """
    norms = [layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm{number}") for number in (1, 2)]
    y = (attend or attention(heads, x.shape[-1], f"{name}_attn"))(x if post else norms[0](x))
    y = dropout(y, drop, f"{name}_attn_drop")
    x = layers.Add(name=f"{name}_add1")([x, skip(y, drop_path, f"{name}_path1")])
    x = norms[0](x) if post else x

    y = mlp(x if post else norms[1](x), ratio, drop, name)
    x = layers.Add(name=f"{name}_add2")([x, skip(y, drop_path, f"{name}_path2")])
    return norms[1](x) if post else x


def attention(heads, width, name):
    """Return the self-attention of all tokens, (B, N, width) -> (B, N, width)."""
    # Keras before 3.15 takes the attention's kernel (D, heads, D/heads) for a convolution's and initialises it
    # several times too small. This is Glorot's bound for a map from D to D, which it is.
    glorot = keras.initializers.RandomUniform(-math.sqrt(3 / width), math.sqrt(3 / width))
    layer = layers.MultiHeadAttention(heads, width // heads, kernel_initializer=glorot, name=name)
    return lambda x: layer(x, x)


def mlp(x, ratio, drop, name):
    """Apply the MLP of a block: (B, N, D) -> (B, N, D)."""
    width = x.shape[-1]
    y = layers.Dense(ratio * width, activation=gelu, name=f"{name}_up")(x)
    y = dropout(y, drop, f"{name}_up_drop")
    y = layers.Dense(width, name=f"{name}_down")(y)
    return dropout(y, drop, f"{name}_down_drop")


def skip(y, drop_path, name):
    return DropPath(drop_path, name=name)(y) if drop_path else y


def patches(image_shape, width, patch):
    """Return the input (B, H, W, C) and its embedded patches (B, H/patch, W/patch, width)."""
    inputs, x = entrance(image_shape, low=-1.0)
    check_patches(image_shape, patch)
    return inputs, layers.Conv2D(width, patch, patch, name="patches")(x)


def tokens(grid, *, pool="mean", drop=0.0):
    """Return patches (B, h, w, D) as tokens with their positions: (B, h*w, D); one more with pool="token"."""
    x = layers.Reshape((-1, grid.shape[-1]), name="tokens")(grid)
    if pool == "token":
        x = ClassToken(name="class_token")(x)
    x = PositionEmbedding(name="position")(x)
    return dropout(x, drop, "position_drop")


def encode(x, depth, heads, *, drop=0.0, drop_path=0.0, ratio=4, prefix=""):
    """Apply `depth` blocks and the last normalisation to any number of tokens: (B, N, D) -> (B, N, D).

    Layers are called "block1_attn" ... and "norm", after a prefix such as "decoder_". `drop_path` grows linearly from 0
    in the first block to its value in the last.
    """
    for i in range(depth):
        x = block(x, heads, drop, drop_path * i / max(depth - 1, 1), f"{prefix}block{i + 1}", ratio)
    return layers.LayerNormalization(epsilon=1e-6, name=f"{prefix}norm")(x)


def body(image_shape, *, size: str = "S", patch: int = 16, pool: str = "token", drop: float = 0.0,
         drop_path: float = 0.0, name: str = "vit_body") -> keras.Model:
    """Return all but the head: {"features": (B, D), "maps": (B, H/patch, W/patch, D)}. Arguments and errors as `build`.

    "features" is the class token or the mean of the patches, "maps" the encoded patches.
    """
    width, depth, heads = lookup(SIZES, size)
    if pool not in ("token", "mean"):
        raise ValueError(f"Expected pool='token' or 'mean'. Received: {pool!r}")
    inputs, grid = patches(image_shape, width, patch)
    x = encode(tokens(grid, pool=pool, drop=drop), depth, heads, drop=drop, drop_path=drop_path)
    pooling = FirstToken if pool == "token" else layers.GlobalAveragePooling1D
    return keras.Model(inputs, {"features": pooling(name="features")(x), "maps": TokenGrid(name="maps")(x, grid)},
                       name=name)


def build(
    image_shape,
    classes: int,
    *,
    size: str = "S",
    patch: int = 16,
    pool: str = "token",
    drop: float = 0.0,
    drop_path: float = 0.0,
    weights: str | None = None,
    name: str = "vit",
) -> keras.Model:
    """Build a classifier: images (B, H, W, C), 0..255, -> float32 logits (B, classes).

    Args:
        image_shape: (height, width, channels); height and width are multiples of patch.
        classes: number of classes.
        size: a key of SIZES.
        patch: side of a patch, in pixels.
        pool: "token" reads a class token, "mean" the mean of the patches.
        drop: dropout rate after the position embedding and after each linear map of a block except the
            projections to queries, keys and values, as in the paper's appendix B.1.
        drop_path: probability of dropping a residual branch; it grows linearly from 0 in the first block to this
            value in the last.
        weights: public weights or a file of them; see kerasdl.zoo.weights.
        name: name of the model.

    Raises:
        ValueError: not the shape of an image, one that does not divide into patches, an unknown size or pool, or
            weights of another network.
    """
    network = body(image_shape, size=size, patch=patch, pool=pool, drop=drop, drop_path=drop_path)
    return loaded(keras.Model(network.input, head(network.output["features"], classes), name=name), weights, "vit")


def resize(model: keras.Model, image_shape) -> keras.Model:
    """Return the same ViT for images of another size: position embeddings interpolated, every other weight equal.

    Section 3.2 of the paper. The grid of embeddings is resized bicubically; that of the class token is kept.

    Args:
        model: a model from `build` or `body`, trained or not.
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
        elif layer.weights:
            set_weights(new.get_layer(layer.name), layer.get_weights())
    return new


def check_patches(image_shape, patch):
    """Raise ValueError, with the nearest sizes that fit, if an image does not divide into patches."""
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
