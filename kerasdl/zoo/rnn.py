"""Recurrent networks: SimpleRNN (Elman 1990), GRU (Cho et al. 2014, arXiv:1406.1078), LSTM (Hochreiter and Schmidhuber
1997).

Layers of cells in one or both directions (Schuster & Paliwal 1997), and a pooling of their outputs. The LSTM's forget
gate starts open, with a bias of 1 (Jozefowicz et al. 2015), as Keras has it; the GRU's candidate applies the reset gate
after the product, as cuDNN does.

Departs from the papers: nothing in the cells. Recurrent kernels start orthogonal, the others from Glorot's uniform.
"""

import keras
from keras import layers, ops

from kerasdl.zoo.blocks import dropout, head, lookup
from kerasdl.zoo.sequences import POOLINGS, Explicit, entrance, language_model

CELLS = {"simple": layers.SimpleRNN, "gru": layers.GRU, "lstm": layers.LSTM}
SIZES = {  # numbers a token, width of each direction, layers
    "mu": (8, 8, 1),
    "XS": (32, 32, 1),
    "S": (64, 64, 1),
    "M": (128, 128, 2),
    "L": (256, 256, 2),
}
PARAMETERS = {"mu": 410, "XS": 4_682, "S": 17_546, "M": 199_434, "L": 792_074}  # an LSTM of 40 steps of 1 -> 10


@keras.saving.register_keras_serializable(package="kerasdl")
class Backwards(Explicit):
    """Turn the order of the steps around: (B, T, D) -> (B, T, D)."""

    def call(self, x):
        return ops.flip(x, axis=1)


@keras.saving.register_keras_serializable(package="kerasdl")
class FirstStep(Explicit):
    """Read the first step: (B, T, D) -> (B, D)."""

    def call(self, x):
        return x[:, 0]


def layer(x, mask, cell, width, directions, name):
    """Apply cells to steps, forwards, and backwards too with two directions: a list of one or two (B, T, width).

    Forwards nobody asks for the mask: padding comes last, so what is read of it reaches no step that is there.
    """
    found = [CELLS[cell](width, return_sequences=True, name=f"{name}_forward")(x)]
    if directions == 2:
        back = CELLS[cell](width, return_sequences=True, go_backwards=True, name=f"{name}_backward")(x, mask=mask)
        found.append(Backwards(name=f"{name}_turned")(back))
    return found


def joined(parts, name):
    return parts[0] if len(parts) == 1 else layers.Concatenate(name=name)(parts)


def body(sequence_shape, *, cell: str = "lstm", size: str = "S", directions: int = 1, pool: str = "last",
         vocabulary: int | None = None, sample_rate: int | None = None, drop: float = 0.0, name: str = "rnn_body"
         ) -> keras.Model:
    """Return all but the head: {"features": (B, D), "steps": (B, T, D)}. Arguments and errors as `build`."""
    embedded, width, depth = lookup(SIZES, size)
    lookup(CELLS, cell, "cell"), lookup(POOLINGS, pool, "pool")
    if directions not in (1, 2):
        raise ValueError(f"Expected directions=1 or 2. Received: {directions!r}")
    inputs, mask, x = entrance(sequence_shape, embedded, vocabulary, sample_rate)
    for number in range(1, depth + 1):
        parts = layer(dropout(x, drop, f"layer{number}_drop"), mask, cell, width, directions, f"layer{number}")
        x = joined(parts, f"layer{number}_joined")
    if pool == "last":  # that of a direction: the backward cells have read everything at the first step
        ends = [POOLINGS["last"](name="last")(parts[0], mask), *(FirstStep(name="first")(part) for part in parts[1:])]
        pooled = joined(ends, "ends")
    else:
        pooled = POOLINGS[pool](name="pooled")(x, mask)
    return keras.Model(inputs, {"features": layers.Identity(name="features")(pooled),
                                "steps": layers.Identity(name="steps")(x)}, name=name)


def build(sequence_shape, classes: int, *, cell: str = "lstm", size: str = "S", directions: int = 1,
          pool: str = "last", vocabulary: int | None = None, sample_rate: int | None = None, drop: float = 0.0,
          name: str = "rnn") -> keras.Model:
    """Build a classifier: sequences (B, T, F) or tokens (B, T) -> float32 logits (B, classes).

    Args:
        sequence_shape: (steps, numbers), or (steps,) of tokens; steps may be None. Padding is NaN, or 0.
        classes: number of classes, or of outputs in a regression.
        cell: "simple", "gru" or "lstm".
        size: a key of SIZES.
        directions: 1: forwards; 2: backwards too.
        pool: "last", "mean", "max" or "attention", what is read of the steps.
        vocabulary: number of tokens, with the 0 of padding; None for numbers.
        sample_rate: of sound (samples, 1), whose log mel spectrum is read; see kerasdl.zoo.sound. None: other numbers.
        drop: dropout rate before each layer and before the head.
        name: name of the model.

    Raises:
        ValueError: another shape, tokens without a vocabulary, or an unknown cell, size, pool or number of directions.
    """
    network = body(sequence_shape, cell=cell, size=size, directions=directions, pool=pool, vocabulary=vocabulary,
                   sample_rate=sample_rate, drop=drop)
    return keras.Model(network.input, head(network.output["features"], classes, drop), name=name)


def build_language(sequence_shape, *, vocabulary: int, cell: str = "lstm", size: str = "S", drop: float = 0.0,
                   name: str = "rnn_language") -> keras.Model:
    """Build a language model: tokens (B, T) -> float32 logits (B, T, vocabulary) of the token after each.

    Args:
        sequence_shape: (steps,); steps may be None, and any length fits.
        vocabulary: number of tokens.
        cell: "simple", "gru" or "lstm", as in `build`.
        size: a key of SIZES.
        drop: dropout rate before each layer and before the head, whose weights are those of the embedding.
        name: name of the model.

    Raises:
        ValueError: as `build`.
    """
    return language_model(body(sequence_shape, cell=cell, size=size, vocabulary=vocabulary, drop=drop), drop, name=name)
