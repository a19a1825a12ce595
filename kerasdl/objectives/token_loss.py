"""Cross-entropy over the tokens of sequences, of which some are not scored; for objectives that predict tokens."""

import math
from typing import Any

import keras
from keras import ops


def cross_entropy(targets: Any, logits: Any) -> tuple[Any, Any]:
    """Return the cross-entropy of each token in nats, 0 where none is scored, and which are scored.

    Args:
        targets: (B, T) whole numbers; -1 is not scored.
        logits: (B, T, classes).

    Returns:
        (B, T) both, float32.
    """
    scored = ops.cast(targets >= 0, "float32")
    loss = keras.losses.sparse_categorical_crossentropy(ops.maximum(targets, 0), logits, from_logits=True)
    return loss * scored, scored


def mean_loss(targets: Any, logits: Any) -> Any:
    """Return the mean cross-entropy of the scored tokens of each sequence (B,); 0 of one without such."""
    loss, scored = cross_entropy(targets, logits)
    return ops.sum(loss, axis=1) / ops.maximum(ops.sum(scored, axis=1), 1.0)


@keras.saving.register_keras_serializable(package="kerasdl")
class Bits(keras.metrics.Mean):
    """The mean cross-entropy of a token in bits, over all scored tokens."""

    def __init__(self, name="bits", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        loss, scored = cross_entropy(y_true, y_pred)
        super().update_state(*of_tokens(loss / math.log(2), scored, sample_weight))


@keras.saving.register_keras_serializable(package="kerasdl")
class TokenAccuracy(keras.metrics.Mean):
    """The share of the scored tokens whose most probable class is right."""

    def __init__(self, name="accuracy", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        right = ops.equal(ops.cast(ops.argmax(y_pred, axis=-1), "int32"), ops.cast(y_true, "int32"))
        scored = ops.cast(y_true >= 0, "float32")
        super().update_state(*of_tokens(ops.cast(right, "float32"), scored, sample_weight))


def of_tokens(values: Any, scored: Any, weights: Any) -> tuple[Any, Any]:
    """Return values and weights of all tokens in a row: a metric that had them as (B, T) would take the mean over T,
    and count the tokens of short sequences for more than those of long ones.

    Args:
        values: (B, T).
        scored: (B, T), 1 where a token is scored.
        weights: of the sequences (B,), or None.
    """
    weighed = scored if weights is None else scored * ops.cast(weights, "float32")[:, None]
    return ops.reshape(values, (-1,)), ops.reshape(weighed, (-1,))
