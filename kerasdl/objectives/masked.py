"""Masked language modelling: predict hidden tokens from those around them (Devlin et al. 2019, arXiv:1810.04805).

Of the tokens that are chosen in a step, 80 % are replaced by [MASK], 10 % by a random one, and 10 % stay. They are
drawn anew in each step, as RoBERTa does (Liu et al. 2019, arXiv:1907.11692). The layers of the body are called as those
of `build`, so that `init=RUN` starts a classifier from them; see kerasdl.objectives.mae for images.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from pydantic import Field

from kerasdl.data.split import Split
from kerasdl.data.tokens import FILE, Tokens
from kerasdl.errors import UserError
from kerasdl.objectives.base import Objective
from kerasdl.objectives.token_loss import Bits, TokenAccuracy, mean_loss
from kerasdl.objectives.token_model import token_model
from kerasdl.settings import Settings


class MaskedSettings(Settings):
    """Settings of masked language modelling."""

    mask: float = Field(0.15, gt=0, lt=1, description="share of the tokens that are predicted")


class Masked(Objective):
    """Predict hidden tokens. The kept model maps tokens (B, T) to float32 logits (B, T, tokens)."""

    inputs = ("tokens",)
    scores = {"loss": "min", "bits": "min", "accuracy": "max"}
    Settings = MaskedSettings

    def check(self, split: Split, replicas: int = 1) -> None:
        super().check(split, replicas)
        if FILE not in split.files or Tokens(split.files[FILE]).mask is None:
            raise UserError("objective=masked hides tokens behind the token [MASK], and the data's tokenizer has none. "
                            "Train one: data_args.tokens=bpe.")

    @cached_property
    def tokens(self) -> Tokens:
        """The tokenizer of the run; while a network is built, that of its data."""
        return Tokens((Path(self.run or ".") / FILE).read_text(encoding="utf-8"))

    def network(self, split: Split) -> keras.Model:
        self.tokens = Tokens(split.files[FILE])
        return token_model(self.recipe, split, split.example_shape, run=self.run, causal=False)

    def prepare(self, x: tf.Tensor, y: None, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the tokens with some of them hidden, and those that were: (B, T) both, -1 where none was."""
        tokens = self.tokens
        text = tf.reduce_all(x[..., None] != tf.constant(tokens.special, x.dtype), axis=-1)
        keys = [tf.random.fold_in(seed, number) for number in range(3)]
        chosen, how = (tf.random.stateless_uniform(tf.shape(x), key) for key in keys[:2])
        chosen = text & (chosen < self.settings.mask)
        other = tf.random.stateless_uniform(tf.shape(x), keys[2], len(tokens.special), tokens.size, x.dtype)
        shown = tf.where(how < 0.8, tf.cast(tokens.mask, x.dtype), tf.where(how < 0.9, other, x))
        return tf.where(chosen, shown, x), tf.where(chosen, x, -1)

    def compute_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        return mean_loss(y, y_pred)

    def metrics(self) -> list[keras.metrics.Metric]:
        return [Bits(), TokenAccuracy()]
