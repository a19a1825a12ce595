"""Images of any size as public weights were evaluated on them."""

from typing import Any

from kerasdl.zoo import unknown
from kerasdl.zoo.weights import public


def evaluation(name: str) -> Any:
    """Return the layer that resizes images and keeps their middle, as in the evaluation of some public weights.

    The scaling of pixels is the network's own first layer, so `network(evaluation(name)(images))` is the whole of it.

    Args:
        name: a key of kerasdl.zoo.weights.public.KNOWN.

    Returns:
        A layer (B, H, W, 3), 0..255 -> (B, side, side, 3) float32, 0..255.

    Raises:
        ValueError: weights that are not known, or not of images.
    """
    from kerasdl.zoo.blocks import MiddleSquare

    of_images = {key: known for key, known in public.KNOWN.items() if known.image_size}
    if name not in of_images:
        raise ValueError(unknown("weights of images", name, of_images))
    known = of_images[name]
    return MiddleSquare(known.image_size, known.crop, known.interpolation, name="middle")
