"""A network of small images on an image of any size: crops around holes, or tiles that overlap."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasdl.errors import UserError

TILES = 512  # that the network sees at once
Box = tuple[slice, ...]  # rows and columns


@dataclass(frozen=True)
class Painted:
    """An image in which a network has brought something back.

    Attributes:
        image: uint8 (H, W, C).
        seen: what the network was given, uint8 (H, W, C).
        hidden: which pixels are new, bool (H, W).
        part: rows and columns that the network saw.
        how: what was done, a sentence.
        corruption: what was hidden, an entry of kerasdl.objectives.corruptions.
    """

    image: np.ndarray
    seen: np.ndarray
    hidden: np.ndarray
    part: Box
    how: str
    corruption: Any


def check_size(image: np.ndarray, side: tuple[int, int]) -> None:
    """Raise a UserError for an image that is smaller than those of the network."""
    if any(pixels < needed for pixels, needed in zip(image.shape[:2], side, strict=True)):
        raise UserError(f"The image is {shown(image.shape)}, smaller than the {shown(side)} that the model takes. "
                        "Enlarge it, or train on smaller images.")


def in_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Return an image with 1 or 3 channels, where it shows the same in them; any other one as it is."""
    if (image.shape[2], channels) == (1, 3):
        return image.repeat(3, axis=2)
    return image[..., :1] if (image.shape[2], channels) == (3, 1) and (image == image[..., :1]).all() else image


def crops(hole: np.ndarray, side: tuple[int, int]) -> Iterator[tuple[Box, np.ndarray]]:
    """Yield for each hole a crop of the network's size around it, and which pixels of the crop are of this hole.

    Args:
        hole: bool (H, W); what touches, also by a corner, is one hole.
        side: rows and columns of a crop, at most those of the image.

    Raises:
        UserError: a hole that is larger than a crop, or fills it.
    """
    from scipy.ndimage import find_objects, label  # which takes long to import, and only `kerasdl paint` needs

    numbers, _ = label(hole, np.ones((3, 3)))
    for number, place in enumerate(find_objects(numbers), 1):
        size = tuple(part.stop - part.start for part in place)
        box = tuple(around(part, length, pixels) for part, length, pixels in zip(place, side, hole.shape, strict=True))
        if any(extent > length for extent, length in zip(size, side, strict=True)) or hole[box].all():
            raise UserError(f"A hole of {shown(size)} pixels at row {place[0].start}, column {place[1].start} is more "
                            f"than the model can fill: it sees {shown(side)} pixels, of which some have to be visible. "
                            "White is the hole. Make it smaller, or the image.")
        yield box, numbers[box] == number


def around(part: slice, length: int, pixels: int) -> slice:
    """Return `length` places with a part in their middle, moved so that they stay among `pixels` places."""
    start = min(max(0, (part.start + part.stop - length) // 2), pixels - length)
    return slice(start, start + length)


def filled(kept: Any, seen: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, list[Box]]:
    """Return an image with its holes filled, float32 (H, W, C), and the crops that the network saw."""
    found = seen.astype("float32")
    places = list(crops(hole, kept.input_shape[1:3]))
    for start in range(0, len(places), TILES):
        some = places[start:start + TILES]
        answers = kept.predict(np.stack([seen[box] for box, _ in some]), verbose=0)
        for (box, own), answer in zip(some, answers, strict=True):
            found[box][own] = answer[own]
    return found, [box for box, _ in places]


def tiled(kept: Any, seen: np.ndarray) -> np.ndarray:
    """Return a network's answer for a whole image, float32 (H, W, C): the mean over tiles, which overlap by half.

    A tile counts least at its border, where the network sees the least around a pixel.
    """
    side = kept.input_shape[1:3]
    weight = np.outer(*(np.minimum(np.arange(length) + 1, length - np.arange(length)) for length in side))[..., None]
    total, weights = np.zeros(seen.shape, "float32"), np.zeros((*seen.shape[:2], 1), "float32")
    rows, columns = (starts(pixels, length) for pixels, length in zip(seen.shape[:2], side, strict=True))
    places = [(slice(row, row + side[0]), slice(column, column + side[1])) for row in rows for column in columns]
    for start in range(0, len(places), TILES):
        some = places[start:start + TILES]
        for box, answer in zip(some, kept.predict(np.stack([seen[box] for box in some]), verbose=0), strict=True):
            total[box] += weight * answer
            weights[box] += weight
    return total / weights


def starts(pixels: int, length: int) -> list[int]:
    """Return where tiles begin: every half of a tile, and one that ends with the image."""
    return sorted({*range(0, pixels - length, max(1, length // 2)), pixels - length})


def in_gamut(luma: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return colours (H, W, 3) of a luma (H, W, 1), paler where one would leave 0..255: cutting changes the luma."""
    colour = image - luma
    room = np.where(colour > 0, 255 - luma, luma) / np.maximum(np.abs(colour), 1e-6)
    return luma + colour * room.min(-1, keepdims=True).clip(0, 1)


def whole_pixels(image: np.ndarray) -> np.ndarray:
    """Return numbers as pixels, uint8."""
    return np.rint(image.clip(0, 255)).astype("uint8")


def shown(size: tuple[int, ...]) -> str:
    return f"{size[0]}x{size[1]}"
