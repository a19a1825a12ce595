"""The budget of an attack: how far each number of an image may move, in grey levels of 0..255 (the L-infinity ball)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from kerasdl.errors import UserError

MOST = 255.0


def check(eps: float, what: str = "eps") -> float:
    """Return a budget.

    Raises:
        UserError: not a number in 1 to 255, such as one that is meant for pixels in 0..1.
    """
    if not 0 < eps <= MOST:
        raise UserError(f"{what} is in grey levels, above 0 and up to 255. Received: {eps}.")
    if eps < 1:
        raise UserError(f"{what} is in grey levels of 0..255, and {eps:g} is less than one, so that no image of bytes "
                        f"could change. A share of the range of {eps:g} is {what}={255 * eps:g}.")
    return float(eps)


def reach(x: np.ndarray, eps: float) -> float:
    """Return how far numbers of these images may move: of bytes, the whole grey levels in the budget."""
    return float(int(check(eps)) if x.dtype == np.uint8 else check(eps))


def seen(x: np.ndarray) -> Callable[[Any], Any]:
    """Return what a model is shown of a point on the way of an attack: of bytes, the nearest whole ones.

    So that an image is wrong or right as it will be delivered, and not between two bytes.
    """
    return ops.round if x.dtype == np.uint8 else lambda images: images


def bounds(x: Any, eps: Any) -> tuple[Any, Any]:
    """Return the least and the greatest value of each number of images (B, ...) float32, as tensors."""
    return ops.maximum(x - eps, 0.0), ops.minimum(x + eps, MOST)


def within(x: Any, low: Any, high: Any) -> Any:
    """Return images moved to the nearest point between two bounds."""
    return ops.minimum(ops.maximum(x, low), high)


def delivered(found: np.ndarray, x: np.ndarray, eps: float) -> np.ndarray:
    """Return adversarial images in the dtype of the originals; of bytes, rounded to whole ones within the budget.

    An image file holds whole bytes, so that an attack that works between them only does not work. A budget of 76.5 is
    76 for bytes: rounding never exceeds it.
    """
    if x.dtype != np.uint8:
        return np.clip(found, x - np.float32(eps), x + np.float32(eps)).clip(0, MOST).astype(x.dtype)
    whole, original, most = np.rint(found).astype("int16"), x.astype("int16"), int(eps)
    return whole.clip(original - most, original + most).clip(0, 255).astype("uint8")
