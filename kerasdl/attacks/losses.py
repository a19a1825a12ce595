"""What attacks make as large as they can: functions of logits (B, C) and classes, (B,) each."""

from typing import Any

from keras import ops

FAR = 1e9  # taken from the logit of a class that does not count


def cross_entropy(logits: Any, rows: Any) -> Any:
    """Return the cross-entropy with targets (B, C) that sum to 1.

    In float32 it is 0, and so is its gradient, where the right class is ahead of all others by 17 or more: an attack
    with it then stands still, however near the decision is.
    """
    return -ops.sum(rows * ops.log_softmax(logits), axis=-1)


def margin(logits: Any, rows: Any) -> Any:
    """Return how far the best other class is ahead of the right one: above 0 for a wrong answer."""
    return ops.max(logits - FAR * rows, axis=-1) - ops.sum(logits * rows, axis=-1)


def targeted_dlr(logits: Any, rows: Any, wanted: Any) -> Any:
    """Return the targeted difference of logits ratio (Croce & Hein 2020, equation 6), which no scale of logits changes.

    -(z_y - z_t) / (z_1 - (z_3 + z_4) / 2), with logits in descending order below. Of three classes the divisor is
    z_1 - z_3, of two it is 1: there it would be the difference itself.

    Args:
        logits: (B, C).
        rows: the right class, one-hot (B, C).
        wanted: the class that the attack wants, one-hot (B, C).
    """
    ahead = ops.sum(logits * wanted, axis=-1) - ops.sum(logits * rows, axis=-1)
    classes = logits.shape[-1]
    if classes < 3:
        return ahead
    ordered = ops.top_k(logits, min(4, classes))[0]
    last = ordered[:, 2] if classes == 3 else (ordered[:, 2] + ordered[:, 3]) / 2
    return ahead / ops.maximum(ordered[:, 0] - last, 1e-12)
