"""Attention among steps, with an explicit mask, and positions.

Each layer has two ways to be called. `layer(x, ...)` takes whole sequences. `layer.step(x, ...)` takes the next steps
of sequences whose earlier steps are in a cache: zoo/generation.py generates with it, at a cost of O(length) a token.
"""

import keras
import numpy as np
from keras import layers, ops

from kerasdl.zoo.sequences import Explicit

BASE = 10_000  # of the wave lengths of rotary positions


@keras.saving.register_keras_serializable(package="kerasdl")
class SelfAttention(Explicit):
    """Multi-head attention: steps (B, T, D) and a mask (B, T) of those that are there -> (B, T, D).

    Vaswani et al. 2017, arXiv:1706.03762. Padding is never attended to. The softmax is in float32 under any policy.

    Args:
        heads: a divisor of D.
        causal: whether a step attends to itself and to earlier steps only.
        rotary: number of rotary positions (Su et al. 2021, arXiv:2104.09864); 0: no positions. The numbers i and
            i + d/2 of a head of d numbers are a pair, which turns by t / 10000^(2i/d) at step t.

    Raises:
        ValueError: heads do not divide D, an odd number a head with rotary positions, or more steps than positions.
    """

    def __init__(self, heads, causal=False, rotary=0, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.causal, self.rotary = heads, causal, rotary

    def build(self, x_shape):
        width = x_shape[-1]
        if width % self.heads or self.rotary and width // self.heads % 2:
            raise ValueError(f"Expected heads that divide the width, and an even number a head with rotary positions. "
                             f"Received: width={width}, heads={self.heads}")
        self.query, self.key, self.value, self.attention_output = (
            layers.Dense(width, dtype=self.dtype_policy, trainable=self.trainable, name=name)
            for name in ("query", "key", "value", "attention_output"))
        for layer in (self.query, self.key, self.value, self.attention_output):
            layer.build(x_shape)
        half = width // self.heads // 2
        angles = np.arange(self.rotary)[:, None] / BASE ** (np.arange(half) / max(half, 1))
        self.turns = np.concatenate([np.cos(angles), np.sin(angles)], axis=-1).astype("float32")  # (rotary, d)

    def call(self, x, mask):
        return self.attend(*self.projected(x), self.allowed(x, mask))

    def allowed(self, x, mask):
        """Return which steps each step may attend to, as (B, 1, 1 or T, T): queries x keys."""
        there = ops.expand_dims(mask, (1, 2))
        if self.causal:
            order = ops.arange(ops.shape(x)[1])
            there = ops.logical_and(there, order[:, None] >= order)
        return there

    def step(self, x, mask, cache, position):
        """Attend from the next steps (B, n, D), the first of which is at `position`, to all so far.

        Returns:
            what they read (B, n, D), and the cache with their own keys and values.
        """
        query, *new = self.projected(x, position)
        cache = [written(held, each, position) for held, each in zip(cache, new, strict=True)]
        own = position + ops.arange(ops.shape(x)[1])
        return self.attend(query, *cache, ops.arange(cache[0].shape[2]) <= own[:, None]), cache

    def cache_shapes(self, batch, longest):
        """Return the shapes of the cache: keys and values (B, heads, longest, d)."""
        width = self.query.units
        return [(batch, self.heads, longest, width // self.heads)] * 2

    def projected(self, x, position=None):
        """Return queries, keys and values (B, heads, T, d), the first two turned to their positions."""
        shape = (-1, ops.shape(x)[1], self.heads, x.shape[-1] // self.heads)
        query, key, value = (ops.transpose(ops.reshape(layer(x), shape), (0, 2, 1, 3))
                             for layer in (self.query, self.key, self.value))
        if self.rotary:
            turns = at(self.turns, x, position)
            query, key = turned(query, turns), turned(key, turns)
        return query, key, value

    def shares(self, query, key, allowed):
        """Return what share of each value each query reads, the softmax of scores: (B, heads, T, T) float32."""
        scores = ops.matmul(query * query.shape[-1] ** -0.5, ops.transpose(key, (0, 1, 3, 2)))
        return ops.softmax(ops.where(allowed, ops.cast(scores, "float32"), -1e9))

    def attend(self, query, key, value, allowed):
        """Return the values by their shares: (B, heads, T, d) -> (B, T, D)."""
        shares = self.shares(query, key, allowed)
        read = ops.transpose(ops.matmul(ops.cast(shares, value.dtype), value), (0, 2, 1, 3))
        return self.attention_output(ops.reshape(read, (-1, ops.shape(read)[1], self.query.units)))

    def compute_output_spec(self, x, mask):
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)

    def get_config(self):
        return super().get_config() | {"heads": self.heads, "causal": self.causal, "rotary": self.rotary}


@keras.saving.register_keras_serializable(package="kerasdl")
class Positions(Explicit):
    """Add a learned vector for each position: (B, T, D) -> (B, T, D).

    Args:
        longest: number of positions.

    Raises:
        ValueError: more steps than positions.
    """

    def __init__(self, longest, **kwargs):
        super().__init__(**kwargs)
        self.longest = longest

    def build(self, input_shape):
        self.table = self.add_weight(shape=(self.longest, input_shape[-1]), name="table",
                                     initializer=keras.initializers.RandomNormal(stddev=0.02))

    def call(self, x):
        return x + at(self.table, x)

    def step(self, x, cache, position):
        """Add the vectors of the positions from `position` on; nothing is cached."""
        return x + ops.cast(at(self.table, x, position), x.dtype), cache

    def cache_shapes(self, batch, longest):
        return []

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)

    def get_config(self):
        return super().get_config() | {"longest": self.longest}


def at(table, x, position=None):
    """Return the rows of a table of positions (longest, ...) for steps (B, T, D), from the first or from `position` on.

    Where T is known only when the model runs, too many steps fail as well: the shapes of rows and steps differ.
    """
    table = ops.convert_to_tensor(table)
    if x.shape[1] is not None and x.shape[1] > table.shape[0]:
        raise ValueError(f"Expected sequences of up to {table.shape[0]} steps, as many as the model has positions. "
                         f"Received: {x.shape[1]} steps. Cut them, or build the model with longest={x.shape[1]}.")
    if position is None:
        return table[:ops.shape(x)[1]]
    return ops.take(table, position + ops.arange(ops.shape(x)[1]), axis=0)


def turned(x, turns):
    """Return pairs of numbers (B, heads, T, d) turned by angles, of which `turns` (T, d) holds cosines and sines."""
    cos, sin = ops.split(turns, 2, axis=-1)
    one, other = ops.split(ops.cast(x, "float32"), 2, axis=-1)
    return ops.cast(ops.concatenate([one * cos - other * sin, one * sin + other * cos], axis=-1), x.dtype)


def written(cache, new, position):
    """Return a cache (B, heads, longest, d) with new rows (B, heads, n, d) from `position` on."""
    count, places = ops.shape(new)[2], ops.arange(cache.shape[2]) - position
    rows = ops.take(new, ops.clip(places, 0, count - 1), axis=2)
    return ops.where(ops.logical_and(places >= 0, places < count)[:, None], rows, cache)
