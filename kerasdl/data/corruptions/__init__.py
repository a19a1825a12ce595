"""Common corruptions of images: kinds of noise, blur, weather, digital damage and lines, and moves, in five severities.

The kinds are those of CIFAR-10-C (Hendrycks & Dietterich 2019, arXiv:1903.12261) and MNIST-C (Mu & Gilmer 2019,
arXiv:1906.02337). They are made here, with strengths of our own that grow with the side of an image, so that accuracies
compare with one another and not with those of the published sets. Frost is drawn, where the paper pastes photographs.

An image is (H, W, C) uint8. Each function takes numbers of 0..1 (N, H, W, C), a severity of 1 to 5 and a generator.
"""

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from kerasdl.data.corruptions import blur, digital, drawn, moves, noise, weather
from kerasdl.errors import UserError, nearest

SEVERITIES = (1, 2, 3, 4, 5)
Corruption = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
FAMILIES: dict[str, dict[str, Corruption]] = {
    module.__name__.rpartition(".")[2]: module.KINDS for module in (noise, blur, weather, digital, drawn, moves)}
KINDS: dict[str, Corruption] = {name: function for family in FAMILIES.values() for name, function in family.items()}
IN_COLOUR = ("saturate",)  # kinds that change nothing in a grey image
POLICIES = ("randaugment", "autoaugment", "augmix")
TRAINED_BY = {  # augmentations that show a network the same kind of change
    "brightness": ("color_jitter", "randaugment", "autoaugment"),
    "contrast": ("color_jitter", "randaugment", "autoaugment"), "saturate": ("color_jitter", "randaugment",
                                                                             "autoaugment"),
    "defocus_blur": ("blur",), "translate": ("translate", "pad_crop", "random_resized_crop", *POLICIES),
    "rotate": POLICIES, "shear": POLICIES, "scale": ("random_resized_crop",), "stripe": ("cutout",)}


def kinds(image_shape: Sequence[int]) -> tuple[str, ...]:
    """Return the kinds that change images (H, W, C); of grey ones, without those that change colours."""
    return tuple(name for name in KINDS if image_shape[2] == 3 or name not in IN_COLOUR)


def family(kind: str) -> str:
    """Return which family a kind belongs to: "noise", "blur", "weather", "digital", "drawn" or "moves"."""
    return next(name for name, members in FAMILIES.items() if kind in members)


def corrupt(images: np.ndarray, kind: str, severity: int, seed: int = 0) -> np.ndarray:
    """Return corrupted images, uint8 (N, H, W, C). The same images and seed give the same ones.

    Args:
        images: uint8 (N, H, W, C) of 1 or 3 channels.
        kind: one of KINDS.
        severity: 1 to 5.
        seed: of all that is drawn.

    Raises:
        UserError: an unknown kind, or a severity that is not there.
    """
    if kind not in KINDS:
        raise UserError(f"There is no corruption {kind!r}. {nearest(kind, KINDS)}")
    if severity not in SEVERITIES:
        raise UserError(f"A severity is 1 to 5. Received: {severity!r}.")
    random = np.random.default_rng([seed, zlib.crc32(kind.encode()), severity])
    found = KINDS[kind](images.astype("float32") / 255, severity, random)
    np.clip(found, 0, 1, out=found)
    found *= 255
    return np.rint(found, out=found).astype("uint8")


def trained_on(augment: Sequence, kind: str) -> list[str]:
    """Return which of a recipe's augmentations show a network this kind of corruption already."""
    names = [spec if isinstance(spec, str) else spec[0] for spec in augment]
    return [name for name in names if name in TRAINED_BY.get(kind, ())]
