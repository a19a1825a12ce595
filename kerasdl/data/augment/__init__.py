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

from kerasdl.data.augment.autoaugment_tables import POLICIES
from kerasdl.data.augment.colours import blur, color_jitter, grey, solarize
from kerasdl.data.augment.draws import Batch
from kerasdl.data.augment.mixing import cutmix, mixup
from kerasdl.data.augment.places import (
    FILLS,
    alternating_flip,
    cutout,
    flip,
    pad_crop,
    random_resized_crop,
    translate,
)
from kerasdl.data.augment.policies import augmix, autoaugment, randaugment
from kerasdl.errors import UserError, nearest

KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
AUGMENTS: dict[str, Callable[..., Batch]] = {function.__name__: function for function in (
    flip, alternating_flip, pad_crop, translate, random_resized_crop, cutout, mixup, cutmix, color_jitter, grey,
    solarize, blur, randaugment, autoaugment, augmix)}
BLENDING = {"mixup": mixup, "cutmix": cutmix}  # of these, those that need labels
ALTERNATING = {"alternating_flip": alternating_flip}  # of these, those that read `flip_parity`
CHANNELS = {"randaugment": (1, 3), "autoaugment": (1, 3), "augmix": (1, 3), "color_jitter": (1, 3),
            "grey": (3,)}  # the rest: any
CHOICES = {"fill": FILLS, "policy": tuple(POLICIES)}


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
        raise UserError(f"{name} needs images, (height, width, channels), but an example is {image_shape}. "
                        "Leave it out; augment= on the command line takes none.")
    if image_shape[2] not in CHANNELS.get(name, image_shape[2:]):
        channels = " or ".join(map(str, CHANNELS[name]))
        raise UserError(f"{name} needs images of {channels} channels, not {image_shape[2]}; leave it out.")
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
        "scale": (Real, 0.01, 1),
        "ratio": (Real, 1, 10),
        "brightness": (Real, 0, 1),
        "contrast": (Real, 0, 1),
        "saturation": (Real, 0, 1),
        "hue": (Real, 0, 0.5),
        "p": (Real, 0, 1),
    }
    for argument, value in arguments.items():
        if argument in CHOICES:
            if value not in CHOICES[argument]:
                raise UserError(f"{name}'s {argument} is one of {', '.join(CHOICES[argument])}, not {value!r}.")
            continue
        kind, low, high = limits[argument]
        if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
            noun = "a whole number" if kind is Integral else "a number"
            raise UserError(f"{name}'s {argument} is {noun} from {low} to {high} here, not {value!r}.")
