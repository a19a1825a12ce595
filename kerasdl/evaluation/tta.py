"""Test-time augmentation: the mean answer for several views of an image."""

from collections.abc import Callable

import keras
from keras import ops

from kerasdl.errors import UserError, nearest


def flip(network: Callable, image):
    """Return the mean of the answers for an image and its mirror image."""
    return (network(image) + network(ops.flip(image, axis=2))) / 2


def flip_shift(network: Callable, image):
    """Return the mean of `flip` for the image, at half the weight, and for the image moved by a pixel up and left and
    down and right (Jordan 2024, arXiv:2404.00498); the border is reflected."""
    wide = ops.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    moved = flip(network, wide[:, 2:, 2:]) + flip(network, wide[:, :-2, :-2])
    return flip(network, image) / 2 + moved / 4


VIEWS = {"flip": flip, "flip_shift": flip_shift}


def augmented(network: keras.Model, tta: str) -> keras.Model:
    """Return the same network, whose answer is the mean of its logits for several views of an image.

    Args:
        tta: a key of VIEWS.

    Raises:
        UserError: there is no such test-time augmentation, or the network does not take images of 2x2 pixels or more.
    """
    if tta not in VIEWS:
        raise UserError(f"There is no test-time augmentation {tta!r}. {nearest(tta, VIEWS)}")
    if len(network.input.shape) != 4 or min(network.input.shape[1:3]) < 2:
        raise UserError(f"tta={tta} is for images, and an example here is {network.input.shape[1:]}. Leave it out.")
    image = keras.Input(network.input.shape[1:], dtype=network.input.dtype)
    return keras.Model(image, VIEWS[tta](network, image))
