"""Transformers of steps: an encoder as BERT (Devlin et al. 2019, arXiv:1810.04805), and a causal decoder as GPT-2.

Blocks are those of the ViT, with an attention that leaves padding out. `norm="post"` normalises the sums, as Vaswani et
al. 2017 (arXiv:1706.03762) and BERT do, and the embedded steps, as BERT does; `norm="pre"` normalises the inputs of the
branches, and the last steps, as GPT-2 does. Positions are learned, or rotary (Su et al. 2021, arXiv:2104.09864).

Sizes "tiny", "minilm" and "base" are BERT-tiny (Turc et al. 2019), MiniLM-L6-H384 (Wang et al. 2020) and BERT-base;
with norm="post", types=2 and `weights` their public weights are read. "S" with 64 positions and 66 tokens is nanoGPT's
setting for a CPU, of 0.8 million parameters.

Departs from BERT: no pooler, and every token is of the first type. Departs from both: no dropout of the attention's
weights, dropout in the MLP as in the ViT, and Keras' distributions of initial weights.
"""

import keras
from keras import layers

from kerasdl.zoo import vit
from kerasdl.zoo.attention import Positions, SelfAttention
from kerasdl.zoo.blocks import dropout, head, lookup, positive
from kerasdl.zoo.sequences import POOLINGS, Explicit, entrance, language_model
from kerasdl.zoo.sound import frames
from kerasdl.zoo.weights import loaded

SIZES = {  # width, depth, heads
    "mu": (32, 2, 2),
    "XS": (64, 2, 4),
    "S": (128, 4, 4),
    "M": (256, 6, 8),
    "tiny": (128, 2, 2),
    "minilm": (384, 6, 12),
    "base": (768, 12, 12),
}
PARAMETERS = {  # trainable, 40 steps of 1 -> 10
    "mu": 27_146,
    "XS": 103_434,
    "S": 800_010,
    "M": 4_752_394,
    "tiny": 403_466,
    "minilm": 10_667_530,
    "base": 85_095_946,
}


@keras.saving.register_keras_serializable(package="kerasdl")
class FirstType(Explicit):
    """Add the first of some learned vectors to every step: (B, T, D) -> (B, T, D). BERT has one a segment of its text.

    Args:
        types: number of vectors.
    """

    def __init__(self, types, **kwargs):
        super().__init__(**kwargs)
        self.types = types

    def build(self, input_shape):
        self.table = self.add_weight(shape=(self.types, input_shape[-1]), name="table",
                                     initializer=keras.initializers.RandomNormal(stddev=0.02))

    def call(self, x):
        return x + self.table[0]

    def get_config(self):
        return super().get_config() | {"types": self.types}


def positions_of(sequence_shape, longest):
    """Return the number of positions: `longest`, or the steps of sequence_shape.

    Raises:
        ValueError: neither is known, or there are more steps than positions.
    """
    positive("longest", longest)
    steps = sequence_shape[0]
    if steps is None and longest is None:
        raise ValueError("Expected a number of positions: longest=N, or the steps in sequence_shape. Received: "
                         f"sequence_shape={tuple(sequence_shape)}, longest=None")
    if steps is not None and longest is not None and steps > longest:
        raise ValueError(f"Expected sequences of up to longest={longest} steps. Received: {steps} steps.")
    return longest or steps


def body(sequence_shape, *, size: str = "S", vocabulary: int | None = None, sample_rate: int | None = None,
         causal: bool = False, positions: str = "learned", norm: str = "pre", pool: str = "mean", drop: float = 0.0,
         longest: int | None = None, types: int = 0, weights: str | None = None, name: str = "transformer_body"
         ) -> keras.Model:
    """Return all but the head: {"features": (B, D), "steps": (B, T, D)}. Arguments and errors as `build`."""
    width, depth, heads = lookup(SIZES, size)
    for key, value, known in (("positions", positions, ("learned", "rotary")), ("norm", norm, ("pre", "post")),
                              ("pool", pool, ("mean", "token", "last"))):
        if value not in known:
            raise ValueError(f"Expected {key} to be one of: {', '.join(known)}. Received: {value!r}")
    inputs, mask, x = entrance(sequence_shape, width, vocabulary, sample_rate)
    steps = sequence_shape[0] if sample_rate is None else frames(sequence_shape[0], sample_rate)
    longest, post = positions_of((steps, *sequence_shape[1:]), longest), norm == "post"
    if vocabulary is None:
        x = layers.Dense(width, name="embedding")(x)
    if positions == "learned":
        x = Positions(longest, name="position")(x)
    if types:
        x = FirstType(types, name="types")(x)
    if post:
        x = layers.LayerNormalization(epsilon=1e-6, name="embedding_norm")(x)
    x = dropout(x, drop, "position_drop")
    rotary = longest if positions == "rotary" else 0
    for number in range(1, depth + 1):
        attention = SelfAttention(heads, causal, rotary, name=f"block{number}_attn")
        x = vit.block(x, heads, drop, 0.0, f"block{number}", post=post,
                      attend=lambda y, attention=attention: attention(y, mask))
    if not post:
        x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    pooled = vit.FirstToken(name="pooled")(x) if pool == "token" else POOLINGS[pool](name="pooled")(x, mask)
    network = keras.Model(inputs, {"features": layers.Identity(name="features")(pooled),
                                   "steps": layers.Identity(name="steps")(x)}, name=name)
    return loaded(network, weights, "transformer")


def build(sequence_shape, classes: int, *, size: str = "S", vocabulary: int | None = None,
          sample_rate: int | None = None, causal: bool = False, positions: str = "learned", norm: str = "pre",
          pool: str = "mean", drop: float = 0.0, longest: int | None = None, types: int = 0, weights: str | None = None,
          name: str = "transformer") -> keras.Model:
    """Build a classifier: sequences (B, T, F) or tokens (B, T) -> float32 logits (B, classes).

    Args:
        sequence_shape: (steps, numbers), or (steps,) of tokens; steps may be None. Padding is NaN, or 0.
        classes: number of classes, or of outputs in a regression.
        size: a key of SIZES.
        vocabulary: number of tokens, with the 0 of padding; None for numbers.
        sample_rate: of sound (samples, 1), whose log mel spectrum is read, a frame a step; see kerasdl.zoo.sound. None:
            other numbers.
        causal: whether a step sees itself and earlier steps only.
        positions: "learned" or "rotary".
        norm: "pre" or "post".
        pool: "mean" reads the mean of the steps, "token" the first one, as BERT does, "last" the last one.
        drop: dropout rate of the embedded steps, after each linear map of a block except the projections to queries,
            keys and values, and before the head.
        longest: number of positions; None: the steps of sequence_shape. Longer sequences are refused.
        types: number of BERT's types of tokens, 2; all tokens are of the first. 0: none.
        weights: public weights or a file of them; see kerasdl.zoo.weights.
        name: name of the model.

    Raises:
        ValueError: another shape, tokens without a vocabulary, an unknown size, positions, norm or pool, a number of
            positions that is not known or less than the steps, or weights of another network.
    """
    network = body(sequence_shape, size=size, vocabulary=vocabulary, sample_rate=sample_rate, causal=causal,
                   positions=positions, norm=norm, pool=pool, drop=drop, longest=longest, types=types, weights=weights)
    return keras.Model(network.input, head(network.output["features"], classes, drop), name=name)


def build_language(sequence_shape, *, vocabulary: int, size: str = "S", causal: bool = True,
                   positions: str = "learned", norm: str = "pre", drop: float = 0.0, longest: int | None = None,
                   types: int = 0, weights: str | None = None, name: str = "transformer_language") -> keras.Model:
    """Build a language model: tokens (B, T) -> float32 logits (B, T, vocabulary).

    Args:
        sequence_shape: (steps,); steps may be None.
        vocabulary: number of tokens. The head's weights are those of the embedding.
        size: a key of SIZES.
        causal: True: logits of the token after each; False: of the token itself, which the text may hide.
        positions: "learned" or "rotary", as in `build`.
        norm: "pre" or "post", as in `build`.
        drop: dropout rate, as in `build`.
        longest: rows of the table of learned positions, as in `build`.
        types: segment types of BERT, as in `build`.
        weights: a name or a file, as in `build`.
        name: name of the model.

    Raises:
        ValueError: as `build`.
    """
    network = body(sequence_shape, size=size, vocabulary=vocabulary, causal=causal, positions=positions, norm=norm,
                   drop=drop, longest=longest, types=types, weights=weights)
    return language_model(network, drop, name=name)
