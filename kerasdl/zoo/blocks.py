"""What two or more models share: the way in, the way out, and reading a table of sizes."""

import numbers

import keras
from keras import layers, ops

from kerasdl.zoo import unknown


def entrance(shape, low=0.0, *, rows=False):
    """Raw numbers in, scaled numbers out: the first two layers of every model.

    Args:
        shape: (height, width, channels), or an int, the number of columns of a table.
        low: pixels 0..255 become low..1.
        rows: whether this model can read a table.

    Returns:
        The input and its scaled form. The layer is called "scale". On a table it is a Normalization that
        changes nothing until `model.get_layer("scale").adapt(x)` shows it the training rows, which has to
        come before the first step or prediction. It always computes in float32: a reduced precision would
        round the raw numbers.

    Raises:
        ValueError: the shape is not what this model reads, or Keras is set to images whose channels come first.
    """
    if isinstance(shape, numbers.Integral) and rows and shape > 0:
        inputs = keras.Input((int(shape),), name="row")
        return inputs, layers.Normalization(name="scale", dtype="float32")(inputs)
    sides = tuple(shape) if hasattr(shape, "__iter__") else ()
    if len(sides) != 3 or not all(isinstance(n, numbers.Integral) and n > 0 for n in sides):
        hint = " or a number of columns." if rows else ". For rows of numbers use linear or mlp."
        raise ValueError(f"Expected image_shape=(height, width, channels){hint} Received: {shape!r}")
    check_format()
    inputs = keras.Input(sides, name="image")
    return inputs, layers.Rescaling((1.0 - low) / 255.0, offset=low, name="scale", dtype="float32")(inputs)


def check_format():
    """Refuses a Keras that is set to channels that come first, in whose layers these models would be others."""
    if keras.config.image_data_format() != "channels_last":
        raise ValueError("Images are (H, W, C) here, and Keras is set to channels_first. Call "
                         "keras.config.set_image_data_format('channels_last'), or change keras.json.")


def head(x, classes, drop=0.0):
    """The representation (B, width) -> logits (B, classes), in float32 whatever the precision of the rest."""
    if not isinstance(classes, numbers.Integral) or classes < 1:
        raise ValueError(f"Expected classes to be a whole number, 1 or more. Received: {classes!r}")
    x = dropout(x, drop, "features_drop")
    return layers.Dense(int(classes), dtype="float32", name="logits")(x)


def dropout(x, drop, name):
    """Dropout where there is something to drop; no layer where there is not."""
    return layers.Dropout(drop, name=name)(x) if drop else x


def choose(sizes, size):
    """The row of a table of sizes.

    Raises:
        ValueError: the table has no such row.
    """
    if size not in sizes:
        raise ValueError(unknown("size", size, sizes))
    return sizes[size]


@keras.saving.register_keras_serializable(package="kerasdl")
class DropPath(layers.Layer):
    """Drops a whole residual branch for some samples of a batch, and scales up the rest.

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
