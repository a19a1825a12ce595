"""What two or more models share: the input with its scaling, the head, the look-up of a size, and some layers."""

import math
import numbers

import keras
import numpy as np
from keras import layers, ops

from kerasdl.zoo import unknown

ROWS = 2**16  # whose moments are taken at a time


def entrance(shape, low=0.0, *, rows=False):
    """Return the first two layers of every model: an input of raw numbers, and their scaled form.

    Args:
        shape: (height, width, channels), or an int, the number of columns of a table.
        low: pixels 0..255 become low..1.
        rows: whether this model accepts the rows of a table.

    Returns:
        inputs: "image" (B, H, W, C) or "row" (B, columns).
        scaled: the output of the layer "scale", float32 under any precision policy, because bfloat16 would round
            the raw numbers. On rows it is a Standardize that changes nothing until
            `model.get_layer("scale").adapt(x)` has seen the training rows. Call that before the first step.

    Raises:
        ValueError: a shape that this model does not accept, or Keras is set to channels_first.
    """
    if isinstance(shape, numbers.Integral) and rows and shape > 0:
        inputs = keras.Input((int(shape),), name="row")
        return inputs, Standardize(name="scale", dtype="float32")(inputs)
    sides = tuple(shape) if hasattr(shape, "__iter__") else ()
    if len(sides) != 3 or not all(isinstance(n, numbers.Integral) and n > 0 for n in sides):
        hint = " or a number of columns." if rows else ". For rows of numbers use linear or mlp."
        raise ValueError(f"Expected image_shape=(height, width, channels){hint} Received: {shape!r}")
    check_format()
    inputs = keras.Input(sides, name="image")
    return inputs, layers.Rescaling((1.0 - low) / 255.0, offset=low, name="scale", dtype="float32")(inputs)


def check_format():
    """Raise ValueError if Keras is set to channels_first, where the same layers would build other models."""
    if keras.config.image_data_format() != "channels_last":
        raise ValueError("Channels come last here, and Keras is set to channels_first. Call "
                         "keras.config.set_image_data_format('channels_last'), or change keras.json.")


def head(x, classes, drop=0.0):
    """Map features (B, width) to "logits" (B, classes), float32 under any precision policy."""
    if not isinstance(classes, numbers.Integral) or classes < 1:
        raise ValueError(f"Expected classes to be a whole number, 1 or more. Received: {classes!r}")
    x = dropout(x, drop, "features_drop")
    return layers.Dense(int(classes), dtype="float32", name="logits")(x)


def dropout(x, drop, name):
    """Apply dropout; add no layer if the rate is 0."""
    return layers.Dropout(drop, name=name)(x) if drop else x


def positive(name, value):
    """Raise ValueError for what is neither None nor a whole number from 1 on."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1):
        raise ValueError(f"Expected {name} to be a whole number, 1 or more. Received: {value!r}")


def at_least(side, image_shape, size):
    """Raise ValueError if an image has fewer pixels a side than a size can shrink."""
    if min(image_shape[:2]) < side:
        raise ValueError(f"Expected {side}x{side} pixels or more for {size!r}. "
                         f"Received: {image_shape[0]}x{image_shape[1]}")


def lookup(sizes, size, what="size"):
    """Return the entry of a table of sizes, or raise ValueError with the nearest key that exists."""
    if not isinstance(size, str) or size not in sizes:
        raise ValueError(unknown(what, size, sizes))
    return sizes[size]


def stretch(table, old, new):
    """Resize position embeddings (1, T + h*w, D) of a grid (h, w) to (1, T + H*W, D) of (H, W); keep the first T."""
    tokens = table.shape[1] - math.prod(old)
    own, grid = table[:, :tokens], ops.reshape(table[:, tokens:], (1, *old, -1))
    grid = ops.image.resize(grid, new, interpolation="bicubic", antialias=True, data_format="channels_last")
    return ops.concatenate([own, ops.reshape(grid, (1, math.prod(new), -1))], axis=1)


def conv(x, filters, kernel, stride, name):
    """Apply a convolution without bias, padded equally on both sides at any stride."""
    if stride > 1 and kernel > 1:
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    padding = "same" if stride == 1 else "valid"
    return layers.Conv2D(
        filters, kernel, stride, padding, use_bias=False, kernel_initializer="he_normal", name=name
    )(x)


def hidden_layers(maps, side, width, drop):
    """Map the last grid (B, h, w, C) to "features" (B, width) by two hidden layers, as AlexNet and VGG do.

    A grid of other than side x side cells is averaged to that many, so that weights fit images of any size.
    """
    if maps.shape[1:3] != (side, side):
        maps = GridMean(side, name="grid")(maps)
    x = layers.Flatten(name="flatten")(maps)  # (B, side * side * C)
    x = layers.Dense(width, activation="relu", kernel_initializer="he_normal", name="hidden1")(x)
    x = dropout(x, drop, "hidden1_drop")
    return layers.Dense(width, activation="relu", kernel_initializer="he_normal", name="features")(x)


def moments(data):
    """Return mean and variance (F,) of the columns of an array (..., F), float64. Rows with a NaN, the padding of
    sequences, do not count.

    Keras adds up row by row in float32, in which the mean of a million years is wrong by more than their deviation.
    """
    rows = np.asarray(data).reshape(-1, data.shape[-1])

    def total(of):  # in parts, of which few are float64 at a time
        parts = (rows[start:start + ROWS] for start in range(0, len(rows), ROWS))
        return sum(of(part[~np.isnan(part).any(axis=1)].astype("float64")).sum(axis=0) for part in parts)

    count = total(np.ones_like)
    mean = total(np.asarray) / count
    return mean, total(lambda part: np.square(part - mean)) / count


def set_moments(layer, mean, variance):
    """Let a Normalization scale by these (F,). A column of one value is not scaled, as by scikit-learn's
    StandardScaler; Keras would blow up another value ten million times."""
    layer.adapt_mean.assign(mean)
    layer.adapt_variance.assign(np.where(variance > 0, variance, 1.0))
    layer.finalize_state()


def set_weights(layer, weights):
    """Give a layer or a model these arrays, in the order of its `get_weights`.

    A Normalization computes with copies of its weights, which Keras' set_weights leaves as they were.
    """
    layer.set_weights(weights)
    for each in inside(layer):
        if isinstance(each, layers.Normalization):
            each.finalize_state()


def inside(layer):
    """Return a layer, and where it is a model all layers in it, those of models that it calls as layers, too."""
    found = [layer]
    for each in found:
        found += each.layers if isinstance(each, keras.Model) else ()
    return found


@keras.saving.register_keras_serializable(package="kerasdl")
class Standardize(layers.Normalization):
    """Keras' Normalization, which takes no deviation to be less than 1e-7: columns in farads or in light years are.

    In float32 a deviation is 1e-18 to 1e18. A column of one value is not scaled.
    """

    def adapt(self, data):
        """Adapt to an array (..., F), see `moments`; to anything else as Keras does."""
        if not isinstance(data, np.ndarray):
            super().adapt(data)
            return
        if not self.built:
            self.build(data.shape)
        set_moments(self, *moments(data))

    def call(self, inputs):
        inputs, (mean, variance) = ops.cast(inputs, self.compute_dtype), self.moments()
        spread = ops.where(variance > 0, ops.sqrt(variance), 1.0)
        return inputs * spread + mean if self.invert else (inputs - mean) / spread

    def moments(self):
        """Return mean and variance of the columns. Keras holds them outside of a graph, where ONNX does not look."""
        if self.input_mean is not None:
            return [ops.convert_to_tensor(np.asarray(given), self.compute_dtype)
                    for given in (self.input_mean, self.input_variance)]
        return [ops.cast(weight, self.compute_dtype) for weight in (self.adapt_mean, self.adapt_variance)]


@keras.saving.register_keras_serializable(package="kerasdl")
class DropPath(layers.Layer):
    """Drop a whole residual branch for some samples of a batch, and scale up the others.

    Stochastic depth: Huang et al. 2016, arXiv:1603.09382.

    Args:
        rate: probability that a sample loses the branch, 0 <= rate < 1. At inference nothing is dropped.
    """

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"Expected 0 <= rate < 1. Received: rate={rate!r}")
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, x, training=False):
        if not training or self.rate == 0:
            return x
        shape = (ops.shape(x)[0],) + (1,) * (len(x.shape) - 1)  # one draw a sample
        kept = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator) >= self.rate
        return x * ops.cast(kept, x.dtype) / (1.0 - self.rate)

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(package="kerasdl")
class GridMean(layers.Layer):
    """Average maps of any size in side x side cells: (B, H, W, C) -> (B, side, side, C).

    Cells share pixels where their number does not divide that of the pixels, as in PyTorch's adaptive pooling.

    Args:
        side: cells a side.
    """

    def __init__(self, side, **kwargs):
        super().__init__(**kwargs)
        self.side = side

    def call(self, x):
        rows, columns = (ops.cast(self.shares(pixels), x.dtype) for pixels in x.shape[1:3])
        return ops.einsum("jw,biwc->bijc", columns, ops.einsum("ih,bhwc->biwc", rows, x))

    def shares(self, pixels):
        """Return what each cell takes of each pixel: (side, pixels), rows of sum 1."""
        shares = np.zeros((self.side, pixels), "float32")
        for i, row in enumerate(shares):
            begin, end = i * pixels // self.side, -(-(i + 1) * pixels // self.side)
            row[begin:end] = 1 / (end - begin)
        return shares

    def get_config(self):
        return super().get_config() | {"side": self.side}


@keras.saving.register_keras_serializable(package="kerasdl")
class MiddleSquare(layers.Layer):
    """Resize images and keep the square in their middle: (B, H, W, C) -> (B, side, side, C) float32, 0..255.

    The shorter side becomes side / crop, as when timm evaluates. A batch has images of one size, known when the layer
    is called.

    Args:
        side: of the square, in pixels.
        crop: what share of the shorter side is kept, 0 to 1.
        interpolation: "bilinear" or "bicubic", with an antialiasing filter.
    """

    def __init__(self, side, crop=0.875, interpolation="bicubic", **kwargs):
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)
        self.side, self.crop, self.interpolation = side, crop, interpolation

    def call(self, x):
        (height, width), short = x.shape[1:3], int(self.side / self.crop)
        size = (short * height // width, short) if width < height else (short, short * width // height)
        x = ops.cast(x, "float32")
        for to in ((height, size[1]), size):  # as Pillow: columns first, and whole numbers between
            x = ops.image.resize(x, to, interpolation=self.interpolation, antialias=True, data_format="channels_last")
            x = ops.round(ops.clip(x, 0.0, 255.0))
        top, left = (round((pixels - self.side) / 2) for pixels in size)
        return x[:, top:top + self.side, left:left + self.side]

    def get_config(self):
        return super().get_config() | {"side": self.side, "crop": self.crop, "interpolation": self.interpolation}


@keras.saving.register_keras_serializable(package="kerasdl")
class ResponseNorm(layers.Layer):
    """Divide each number by those of the maps around its own: Krizhevsky et al. 2012, section 3.3.

    x_i / (shift + alpha * sum of x_j^2 over the `size` maps j around i) ^ beta. Unlike PyTorch's and Caffe's, alpha is
    not divided by `size`. The sum is in float32 under any precision policy.

    Args:
        size: number of maps, odd.
        shift: the paper's k.
        alpha: weight of the sum.
        beta: the power.
    """

    def __init__(self, size=5, shift=2.0, alpha=1e-4, beta=0.75, **kwargs):
        super().__init__(**kwargs)
        self.size, self.shift, self.alpha, self.beta = size, shift, alpha, beta

    def call(self, x):
        maps = np.arange(x.shape[-1])
        near = np.abs(maps[:, None] - maps) <= self.size // 2  # a product with it is the sum, faster than slices are
        total = ops.matmul(ops.square(ops.cast(x, "float32")), near.astype("float32"))
        share = ops.exp(-self.beta * ops.log(self.shift + self.alpha * total))  # a power, which is slower on a CPU
        return x * ops.cast(share, x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {"size": self.size, "shift": self.shift, "alpha": self.alpha, "beta": self.beta}
