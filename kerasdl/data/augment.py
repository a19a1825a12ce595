"""Augmentation: names to pure functions `(images, labels, seed) -> (images, labels)` of a whole batch.

- images: (B, H, W, C), uint8 or floats, 0..255. The dtype that came in goes out, but `mixup` gives float32.
- labels: (B, classes) floats, one-hot or any targets, or None. Only `mixup` and `cutmix` need and change them.
- seed: integers of shape (2,). The same seed gives the same batch, so a run can resume exactly.
- flip_parity: (B,) integers, 0 or 1 for each example, the other one in the next epoch. Only `alternating_flip` reads
  it.

All of it compiles with XLA, to run on the device inside the train step. Keras' layers (3.15) draw from a seed
generator of their own, and RandomRotation, MixUp, CutMix, RandAugment and others do not compile: hence these.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.special import betaincinv

from kerasdl.data import randaugment as operations
from kerasdl.errors import UserError, nearest

KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
Batch = tuple[tf.Tensor, tf.Tensor]


def flip(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> Batch:
    """Mirror each image left to right with probability 1/2."""
    mirrored = _integers(seed, (_batch(images), 1, 1, 1), 0, 2) == 1
    return tf.where(mirrored, tf.reverse(images, axis=[2]), images), labels


def alternating_flip(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, *, flip_parity: tf.Tensor) -> Batch:
    """Mirror each image left to right in every other epoch, half of them in the first (Jordan 2024, arXiv:2404.00498).

    With `flip` a quarter of the images looks the same in three epochs running, and a network learns less from it.

    Raises:
        UserError: if `flip_parity` is not given.
    """
    if flip_parity is None:
        raise UserError("alternating_flip needs to know which images to mirror: augment(images, labels, seed, "
                        "flip_parity), where flip_parity (B,) is 0 or 1 for each image and the other one in the next "
                        "epoch. Or take flip.")
    return tf.where(tf.reshape(flip_parity, (-1, 1, 1, 1)) == 1, tf.reverse(images, axis=[2]), images), labels


def pad_crop(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, pad: int = 4) -> Batch:
    """Pad by reflection and cut a window of the old size at a random place (after He et al., 2015).

    Args:
        pad: pixels on each side, 0 to the shorter side - 1.
    """
    rows, columns = _moved(images, pad, seed)
    return _gather(images, _reflect(rows, images.shape[1]), _reflect(columns, images.shape[2])), labels


def translate(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, pixels: int = 2) -> Batch:
    """Shift each image by up to `pixels` whole pixels, up or down and left or right; what comes in is 0.

    Args:
        pixels: 0 to the shorter side - 1.
    """
    rows, columns = _moved(images, pixels, seed)
    height, width = images.shape[1:3]
    inside = _within(rows, 0, height)[:, :, None] & _within(columns, 0, width)[:, None, :]
    moved = _gather(images, tf.clip_by_value(rows, 0, height - 1), tf.clip_by_value(columns, 0, width - 1))
    return tf.where(inside[..., None], moved, tf.zeros((), images.dtype)), labels


def cutout(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, size: int = 8, fill: str = "mean") -> Batch:
    """Fill a square of each image (DeVries and Taylor, 2017).

    Its centre is any pixel, so the border may cut it.

    Args:
        size: side of the square in pixels, 0 to the shorter side.
        fill: "mean", the image's own mean colour, where the paper has that of the data set; or "black", whose edges
            stand out among the patches of a whitened network.
    """
    colour = tf.zeros((), images.dtype)
    if fill == "mean":
        colour = tf.cast(tf.round(tf.reduce_mean(tf.cast(images, tf.float32), (1, 2), keepdims=True)), images.dtype)
    return tf.where(_box(images, size, size, seed), colour, images), labels


def mixup(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, alpha: float = 0.2) -> Batch:
    """Blend images and labels: share * own + (1 - share) * neighbour's (Zhang et al., 2017).

    The share is drawn per image. The neighbour is the image before it: batches are shuffled already.

    Args:
        alpha: share ~ Beta(alpha, alpha), 0.01 to 100; small alphas blend little.
    """
    images = tf.cast(images, tf.float32)
    share = _beta(seed, _batch(images), alpha)
    blended = _blend(images, _neighbour(images), share[:, None, None, None])
    return blended, _blend_labels("mixup", labels, share)


def cutmix(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, alpha: float = 1.0) -> Batch:
    """Paste a box of its neighbour into each image, and blend the labels by area (Yun et al., 2019).

    Args:
        alpha: an image keeps a share ~ Beta(alpha, alpha) of its area, more where the border cuts the box;
            0.01 to 100.
    """
    for_share, for_place = tf.unstack(_split(seed))
    side = tf.sqrt(1 - _beta(for_share, _batch(images), alpha))[:, None]  # (B, 1), in sides of the image
    height, width = (tf.cast(side * length, tf.int32) for length in images.shape[1:3])
    box = _box(images, height, width, for_place)
    share = 1 - tf.reduce_mean(tf.cast(box, tf.float32), axis=(1, 2, 3))
    return tf.where(box, _neighbour(images), images), _blend_labels("cutmix", labels, share)


def randaugment(
    images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, layers: int = 2, magnitude: float = 9
) -> Batch:
    """Apply to each image `layers` operations drawn from `randaugment.OPERATIONS` (Cubuk et al., 2020).

    Departures: the moves of all layers become one, after the tones, by nearest pixel, and grey 128 around it;
    solarize grows with the magnitude, as the others do. Floats are rounded to whole numbers.

    Args:
        layers: operations an image, 1 to 10.
        magnitude: strength, 0 (only autocontrast and equalize still act) to 30.
    """
    shape = (layers, _batch(images))
    for_operation, for_sign = tf.unstack(_split(seed))
    drawn = _integers(for_operation, shape, 0, len(operations.OPERATIONS))
    signs = 2 * _integers(for_sign, shape, 0, 2) - 1
    return tf.cast(operations.apply(images, drawn, signs, magnitude / 30), images.dtype), labels


AUGMENTS: dict[str, Callable[..., Batch]] = {
    "flip": flip,
    "alternating_flip": alternating_flip,
    "pad_crop": pad_crop,
    "translate": translate,
    "cutout": cutout,
    "mixup": mixup,
    "cutmix": cutmix,
    "randaugment": randaugment,
}
BLENDING = {"mixup": mixup, "cutmix": cutmix}  # of these, those that need labels
FILLS = ("mean", "black")  # of cutout
ALTERNATING = {"alternating_flip": alternating_flip}  # of these, those that read `flip_parity`


def alternates(specs: Sequence) -> bool:
    """Return whether one of these transforms reads `flip_parity`."""
    return any((spec if isinstance(spec, str) else spec[0]) in ALTERNATING for spec in specs)


def compose(specs: Sequence, image_shape: tuple[int, ...], labels: bool = True) -> Callable[..., Batch]:
    """Return a function `(images, labels, seed, flip_parity=None)` that applies transforms in order.

    Each draws from a seed of its own.

    Args:
        specs: names of `AUGMENTS`, or `(name, *arguments)`: `(("pad_crop", 4), "flip", ("mixup", 0.2))`.
            Empty: nothing is done.
        image_shape: (H, W, C), to check the arguments against.
        labels: whether there are labels, which `mixup` and `cutmix` need.

    Raises:
        UserError: an unknown name, arguments that do not fit, data that are not images, or that have no labels.
    """
    if not isinstance(specs, (list, tuple)):
        raise UserError(f"augment is a list of transforms, not {specs!r}; write ('flip', ('cutout', 8)).")
    steps = [_step(spec, image_shape) for spec in specs]
    for name, function in BLENDING.items():
        if not labels and any(step.func is function for step in steps):
            raise UserError(f"{name} blends labels, and there are none. Leave it out of augment.")

    def augment(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, flip_parity: tf.Tensor | None = None) -> Batch:
        for position, step in enumerate(steps):
            more = {"flip_parity": flip_parity} if step.func in ALTERNATING.values() else {}
            own = tf.random.fold_in(seed, tf.constant(position, tf.int64), alg="philox")
            images, labels = step(images, labels, own, **more)
        return images, labels

    return augment


def check_names(specs: Sequence) -> None:
    """Raise a UserError for an augmentation that does not exist."""
    for spec in specs:
        name = spec[0] if isinstance(spec, (list, tuple)) and spec else spec
        if not isinstance(name, str) or name not in AUGMENTS:
            raise UserError(f"There is no augmentation {name!r}. {nearest(name, AUGMENTS)}")


def _step(spec: str | Sequence, image_shape: tuple[int, ...]) -> partial[Batch]:
    """Return the function that a spec names, with its arguments checked and bound."""
    check_names([spec])
    name, *values = spec if isinstance(spec, (list, tuple)) else (spec,)
    if np.size(image_shape) != 3:
        raise UserError(f"{name} needs images, (height, width, channels), but an example is {image_shape}.")
    if name == "randaugment" and image_shape[2] not in (1, 3):
        raise UserError(f"randaugment needs images of 1 or 3 channels, not {image_shape[2]}; leave it out.")
    parameters = list(inspect.signature(AUGMENTS[name]).parameters.values())[3:]
    arguments = {parameter.name: parameter.default for parameter in parameters if parameter.kind != KEYWORD_ONLY}
    if len(values) > len(arguments):
        known = ", ".join(arguments) or "no arguments"
        raise UserError(f"{name} takes {known}; {len(values)} values came: {', '.join(map(repr, values))}.")
    arguments.update(zip(arguments, values, strict=False))
    _check(name, arguments, min(image_shape[:2]))
    return partial(AUGMENTS[name], **arguments)


def _check(name: str, arguments: dict, side: int) -> None:
    limits: dict[str, tuple[Any, float, float]] = {
        "pad": (Integral, 0, side - 1),
        "pixels": (Integral, 0, side - 1),
        "size": (Integral, 0, side),
        "alpha": (Real, 0.01, 100),
        "layers": (Integral, 1, 10),
        "magnitude": (Real, 0, 30),
    }
    for argument, value in arguments.items():
        if argument == "fill":
            if value not in FILLS:
                raise UserError(f"{name}'s fill is one of {', '.join(FILLS)}, not {value!r}.")
            continue
        kind, low, high = limits[argument]
        if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
            noun = "a whole number" if kind is Integral else "a number"
            raise UserError(f"{name}'s {argument} is {noun} from {low} to {high} here, not {value!r}.")


def _batch(images: tf.Tensor) -> tf.Tensor | int:
    return images.shape[0] or tf.shape(images)[0]


def _integers(seed: tf.Tensor, shape: tuple, low: int, high: int) -> tf.Tensor:
    """Draw from low..high - 1. With and without XLA, TensorFlow draws the same integers, but different floats."""
    return tf.random.stateless_uniform(shape, seed, low, high, tf.int32, alg="philox")


def _split(seed: tf.Tensor) -> tf.Tensor:
    return tf.random.split(seed, 2, alg="philox")


def _beta(seed: tf.Tensor, batch: tf.Tensor | int, alpha: float) -> tf.Tensor:
    """Return (B,) draws of Beta(alpha, alpha), by quantiles: TensorFlow's gamma draws do not compile with XLA."""
    quantiles = tf.constant(betaincinv(alpha, alpha, np.linspace(0, 1, 4097)), tf.float32)
    draw = _integers(seed, (batch,), 0, 2**24)
    cell, within = draw // 4096, tf.cast(draw % 4096, tf.float32) / 4096
    return _blend(tf.gather(quantiles, cell + 1), tf.gather(quantiles, cell), within)


def _blend(own: tf.Tensor, other: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    return share * own + (1 - share) * other


def _blend_labels(name: str, labels: tf.Tensor | None, share: tf.Tensor) -> tf.Tensor:
    if labels is None or labels.shape.rank != 2 or not labels.dtype.is_floating:
        got = "none" if labels is None else f"{labels.dtype.name} {labels.shape}"
        raise UserError(f"{name} needs labels as floats of shape (batch, classes), not {got}; one-hot them.")
    return _blend(labels, _neighbour(labels), tf.cast(share, labels.dtype)[:, None])


def _neighbour(rows: tf.Tensor) -> tf.Tensor:
    return tf.roll(rows, shift=1, axis=0)


def _within(index: tf.Tensor, start: tf.Tensor | int, stop: tf.Tensor | int) -> tf.Tensor:
    return (start <= index) & (index < stop)


def _moved(images: tf.Tensor, reach: int, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return rows (B, H) and columns (B, W) of windows that are shifted by up to `reach`."""
    down, right = tf.unstack(_integers(seed, (2, _batch(images), 1), -reach, reach + 1))
    return down + tf.range(images.shape[1]), right + tf.range(images.shape[2])


def _reflect(index: tf.Tensor, length: int) -> tf.Tensor:
    """Return indices inside an axis: -1 becomes 1, length becomes length - 2."""
    return (length - 1) - tf.abs((length - 1) - tf.abs(index))


def _gather(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    return tf.gather(tf.gather(images, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


def _box(images: tf.Tensor, height: tf.Tensor | int, width: tf.Tensor | int, seed: tf.Tensor) -> tf.Tensor:
    """Return (B, H, W, 1) booleans: a box whose centre is any pixel; height and width are one for all or (B, 1)."""
    for_row, for_column = tf.unstack(_split(seed))
    top = _integers(for_row, (_batch(images), 1), 0, images.shape[1]) - height // 2
    left = _integers(for_column, (_batch(images), 1), 0, images.shape[2]) - width // 2
    rows = _within(tf.range(images.shape[1]), top, top + height)
    columns = _within(tf.range(images.shape[2]), left, left + width)
    return (rows[:, :, None] & columns[:, None, :])[..., None]
