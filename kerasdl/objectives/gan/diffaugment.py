"""Augmentation that a gradient passes through, of real and generated pictures alike, for small sets.

Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training", arXiv:2006.10738. The discriminator
sees nothing else, so it cannot learn the few real pictures by heart, and the generator does not learn the augmentation.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from kerasdl.errors import UserError, nearest

Draw = Callable[[tuple[int, ...], int], tf.Tensor]  # (shape of a picture's numbers, which) -> (B, *shape), uniform 0..1


def color(images: tf.Tensor, draw: Draw) -> tf.Tensor:
    """Brightness by up to 1/2, saturation times 0..2, contrast times 1/2..3/2."""
    images = images + draw((1, 1, 1), 0) - 0.5
    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    images = (images - grey) * (2 * draw((1, 1, 1), 1)) + grey
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    return (images - mean) * (draw((1, 1, 1), 2) + 0.5) + mean


def translation(images: tf.Tensor, draw: Draw) -> tf.Tensor:
    """Shifts by up to an eighth of the side in whole pixels; what comes in is -1, the darkest.

    Each axis is a product with a 0/1 matrix a picture, of which the gradient is another product.
    """
    shifted = images + 1
    for axis, (i, equation) in enumerate(((3, "bhwc,bhk->bkwc"), (4, "bhwc,bwk->bhkc")), 1):
        side = images.shape[axis]
        most = round(side / 8)
        shift = tf.cast(tf.floor(draw((1, 1), i) * (2 * most + 1)), tf.int32) - most
        places = tf.range(side)
        shifted = tf.einsum(equation, shifted, tf.cast(places[:, None] + shift == places, images.dtype))
    return shifted - 1


def cutout(images: tf.Tensor, draw: Draw) -> tf.Tensor:
    """Sets a square of half the side to 0, its centre anywhere."""
    inside = True
    for axis, i in ((1, 5), (2, 6)):
        side = images.shape[axis]
        centre = tf.floor(draw((1, 1, 1), i) * (side + 1 - side % 2))
        places = tf.reshape(tf.range(side, dtype=tf.float32), [-1 if a == axis else 1 for a in range(4)])
        inside = inside & (places >= centre - side // 4) & (places < centre - side // 4 + side // 2)
    return tf.where(inside, tf.zeros((), images.dtype), images)


POLICIES = {"color": color, "translation": translation, "cutout": cutout}


def compose(names: Sequence[str]) -> Callable[[tf.Tensor, Draw], tf.Tensor] | None:
    """The augmentations of these names one after the other; None of none.

    Raises:
        UserError: an unknown name.
    """
    for name in names:
        if name not in POLICIES:
            raise UserError(f"Unknown DiffAugment policy {name!r}. {nearest(name, POLICIES)}")

    def augmented(images, draw):
        for name in names:
            images = POLICIES[name](images, draw)
        return images

    return augmented if names else None
