"""What models of sequences share: an input with its mask, embedded steps, poolings that leave padding out, and heads.

A model takes batches of any length. A batch has sequences of one length. Shorter ones are padded at the end: tokens
with 0, numbers with NaN, which no data holds. The mask is computed from the input, once, and handed to every layer that
looks at more than one step; so nothing depends on whether a layer in between forgets it, as Keras' implicit masks do.
Padding changes no output.
"""

import numbers

import keras
from keras import layers, ops

from kerasdl.zoo.blocks import Standardize, dropout, head
from kerasdl.zoo.sound import LogMel


def entrance(shape, width, vocabulary=None, sample_rate=None):
    """Return the input, its mask (B, T), and its steps (B, T, D).

    Args:
        shape: (T, F) of sequences of F numbers a step, or (T,) of tokens, of up to T steps; None: not known. The input
            takes any number of steps in either case.
        width: numbers that stand for a token.
        vocabulary: how many tokens there are, with the 0 of padding; None for numbers.
        sample_rate: of sound, whose shape is (T, 1), in samples a second: the steps are the frames of its log mel
            spectrum, and F their filters. None for other sequences.

    Returns:
        inputs: "sequence" (B, T, F), or "tokens" (B, T).
        mask: which steps are there, booleans (B, T).
        steps: tokens embedded in D = width numbers; or the numbers, standardised once `adapt` of the layer "scale" has
            seen the training data, with 0 for padding, D = F.

    Raises:
        ValueError: a shape that is neither, tokens without a vocabulary, or a sample rate of something else than sound.
    """
    sides = tuple(shape) if hasattr(shape, "__iter__") else ()
    if len(sides) not in (1, 2) or not all(side is None or isinstance(side, numbers.Integral) and side > 0
                                           for side in sides) or sides[1:] == (None,):
        raise ValueError(f"Expected sequence_shape=(steps, numbers), or (steps,) of tokens. Received: {shape!r}")
    if (len(sides) == 1) != (vocabulary is not None):
        raise ValueError("A vocabulary is for tokens, which have sequence_shape=(steps,), and tokens need one. "
                         f"Received: sequence_shape={shape!r}, vocabulary={vocabulary!r}")
    if sample_rate is not None and sides[1:] != (1,):
        raise ValueError("A sample_rate is for sound, which has sequence_shape=(samples, 1). "
                         f"Received: sequence_shape={shape!r}, sample_rate={sample_rate!r}")
    if len(sides) == 1:
        inputs = keras.Input((None,), dtype="int32", name="tokens")
        steps, _ = TokenEmbedding(vocabulary, width, name="embedding")(inputs)
        return inputs, Present(name="mask")(inputs), steps
    inputs = keras.Input((None, sides[1]), name="sequence")
    steps = inputs if sample_rate is None else LogMel(sample_rate, name="mel")(inputs)
    return inputs, Present(name="mask")(steps), StandardizeSteps(name="scale", dtype="float32")(steps)


def tagger(network, classes, drop=0.0, *, name):
    """Return a body of a model of SEQUENCES with a class for each step: float32 logits (B, T, classes)."""
    return keras.Model(network.input, head(network.output["steps"], classes, drop), name=name)


def language_model(network, drop=0.0, *, name):
    """Return a body that reads tokens with a token for each step: float32 logits (B, T, vocabulary).

    The head is the table of the embedding (Press & Wolf 2017, arXiv:1608.05859), without a bias.

    Raises:
        ValueError: the body does not read tokens, or its steps are not as wide as its embedding.
    """
    steps, table = dropout(network.output["steps"], drop, "steps_drop"), None
    if "embedding" in {layer.name for layer in network.layers}:
        table = network.get_layer("embedding").output[1]
    if table is None or table.shape[1] != steps.shape[-1]:
        raise ValueError("A language model needs a body that reads tokens, with steps as wide as its embedding. "
                         f"Received: {network.name}, with steps of width {steps.shape[-1]}")
    return keras.Model(network.input, TiedLogits(name="logits")(steps, table), name=name)


@keras.saving.register_keras_serializable(package="kerasdl")
class TokenEmbedding(layers.Embedding):
    """Return embedded tokens, (B, T) -> (B, T, D), and the table (vocabulary, D), which a head may share."""

    def call(self, tokens):
        return super().call(tokens), ops.convert_to_tensor(self.embeddings)

    def compute_output_spec(self, tokens):
        return (keras.KerasTensor((*tokens.shape, self.output_dim), dtype=self.compute_dtype),
                keras.KerasTensor((self.input_dim, self.output_dim), dtype=self.compute_dtype))


@keras.saving.register_keras_serializable(package="kerasdl")
class Present(layers.Layer):
    """Say which steps are there: (B, T) tokens that are not 0, or (B, T, F) with a number that is not NaN -> (B, T)."""

    def __init__(self, **kwargs):
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)
        self.autocast = False

    def call(self, x):
        return ops.not_equal(x, 0) if len(x.shape) == 2 else ops.logical_not(ops.all(ops.isnan(x), axis=-1))

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape[:2], dtype="bool")


@keras.saving.register_keras_serializable(package="kerasdl")
class StandardizeSteps(Standardize):
    """Standardize of the numbers of each step; NaN, the padding, becomes 0 and is not adapted to."""

    def call(self, inputs):
        inputs = ops.cast(inputs, self.compute_dtype)
        mean, _ = self.moments()
        scaled = super().call(ops.where(ops.isnan(inputs), mean, inputs))
        return ops.where(ops.isnan(inputs), 0.0, scaled)


class Explicit(layers.Layer):
    """Base of layers that are handed their mask: one that Keras has attached to the input ends here.

    It would travel on to the logits, and Keras would weight the loss by it.
    """

    supports_masking = True

    def compute_mask(self, *inputs):
        return None


@keras.saving.register_keras_serializable(package="kerasdl")
class TiedLogits(Explicit):
    """Multiply steps by the rows of a table: (B, T, D), (vocabulary, D) -> float32 (B, T, vocabulary)."""

    def __init__(self, **kwargs):
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)

    def call(self, x, table):
        return ops.matmul(x, ops.transpose(table))


@keras.saving.register_keras_serializable(package="kerasdl")
class Hide(Explicit):
    """Put 0 where there is padding: (B, T, D) and a mask (B, T) -> (B, T, D)."""

    def call(self, x, mask):
        return ops.where(ops.expand_dims(mask, -1), x, ops.zeros((), x.dtype))


class Pooling(Explicit):
    """Base of layers from steps and a mask to features: (B, T, D), (B, T) -> (B, D); 0 where no step is there."""

    def compute_output_spec(self, x, mask):
        return keras.KerasTensor((x.shape[0], x.shape[-1]), dtype=self.compute_dtype)


@keras.saving.register_keras_serializable(package="kerasdl")
class MeanStep(Pooling):
    """The mean of the steps."""

    def call(self, x, mask):
        there = ops.expand_dims(ops.cast(mask, "float32"), -1)  # float16 counts to 65,504
        total = ops.sum(ops.where(there > 0, ops.cast(x, "float32"), 0.0), axis=1)
        return ops.cast(total / ops.maximum(ops.sum(there, axis=1), 1), x.dtype)


@keras.saving.register_keras_serializable(package="kerasdl")
class MaxStep(Pooling):
    """The maximum of each number over the steps."""

    def call(self, x, mask):
        there = ops.expand_dims(mask, -1)
        least = ops.cast(-3e38 if x.dtype == "float32" else -6e4, x.dtype)
        return ops.where(ops.any(there, axis=1), ops.max(ops.where(there, x, least), axis=1), 0.0)


@keras.saving.register_keras_serializable(package="kerasdl")
class LastStep(Pooling):
    """The last step that is there."""

    def call(self, x, mask):
        last = ops.maximum(ops.sum(ops.cast(mask, "int32"), axis=1) - 1, 0)
        steps = ops.take_along_axis(x, ops.expand_dims(last, (1, 2)), axis=1)[:, 0]
        return ops.where(ops.expand_dims(ops.any(mask, axis=1), 1), steps, 0.0)


@keras.saving.register_keras_serializable(package="kerasdl")
class AttentionStep(Pooling):
    """The mean of the steps by learned weights: a softmax of their products with one vector (Bahdanau et al. 2015)."""

    def build(self, input_shape):
        self.query = self.add_weight(shape=(input_shape[-1],), initializer=keras.initializers.RandomNormal(
            stddev=input_shape[-1] ** -0.5), name="query")

    def call(self, x, mask):
        score = ops.where(mask, ops.cast(ops.matmul(x, self.query), "float32"), -1e9)
        share = ops.exp(score - ops.max(score, axis=1, keepdims=True)) * ops.cast(mask, "float32")
        share = share / ops.maximum(ops.sum(share, axis=1, keepdims=True), 1e-9)
        return ops.sum(x * ops.expand_dims(ops.cast(share, x.dtype), -1), axis=1)


POOLINGS = {"mean": MeanStep, "max": MaxStep, "last": LastStep, "attention": AttentionStep}
