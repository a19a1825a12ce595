"""What kerasdl.data.images makes of an image with TensorFlow, without it, bit for bit: for a server that has none.

TensorFlow sums in float32, rows before columns and one pixel after another; so does this. A test compares the two.
"""

from functools import lru_cache

import numpy as np

from kerasdl.data.images import Fit

LUMA = np.array([0.2989, 0.5870, 0.1140], "float32")  # as tf.image.rgb_to_grayscale has them
ONE = np.float32(1)
Taps = tuple[tuple[int, np.ndarray], ...]  # for each pixel of the result the first source pixel, and the weights


def fitted(image: np.ndarray, shape: tuple[int, ...], fit: Fit | None) -> np.ndarray:
    """Return an image with the channels (grey repeated, colour made grey) and, by `fit`, the size of `shape`.

    Args:
        image: uint8 (H, W, 1 or 3).
        shape: (H, W, 1 or 3) of the result.
        fit: how it gets the size; None: it has it.
    """
    if image.shape[2] != shape[2]:
        image = np.repeat(image, 3, axis=2) if shape[2] == 3 else grey(image)
    if fit is None:
        return image
    if fit == Fit():
        return resized(image, shape[0], shape[1], fit.interpolation) if image.shape[:2] != shape[:2] else image
    height, width = covered(fit, image.shape[0], image.shape[1], shape)
    for rows in (image.shape[0], height):  # as Pillow: columns first, and whole numbers between
        image = resized(image, rows, width, fit.interpolation)
    top, left = (round((held - side) / 2) if fit.crop is not None else 0
                 for held, side in zip((height, width), shape, strict=False))
    return image[top:top + shape[0], left:left + shape[1]]


def most(given: tuple[int, ...], shape: tuple[int, ...], fit: Fit) -> int:
    """Return the most pixels that an image of the shape `given` has on its way to `shape`."""
    height, width = given[:2]
    if fit == Fit():
        return shape[0] * width
    rows, columns = covered(fit, height, width, shape)
    return max(height * width, height * columns, rows * columns)


def covered(fit: Fit, height: int, width: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the height and width that an image gets before its centre is cut; Fit.covered for whole numbers."""
    rows, columns = shape[:2]
    if fit.crop is None:
        return rows, columns
    inner, outer = int(rows / fit.crop), int(columns / fit.crop)
    if height * columns <= width * rows:  # the height decides
        return inner, max(columns, inner * width // height)
    return max(rows, outer * height // width), outer


def grey(image: np.ndarray) -> np.ndarray:
    """Return colours (H, W, 3) as grey (H, W, 1), uint8."""
    red, green, blue = np.moveaxis(image.astype("float32") * np.float32(1 / 255), 2, 0)
    return ((red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]) * np.float32(255.5)).astype("uint8")[..., None]


def resized(image: np.ndarray, height: int, width: int, interpolation: str) -> np.ndarray:
    """Return an image (H, W, C) with another height and width, uint8; smaller ones with an antialiasing filter."""
    rows = weighted(image, taps(image.shape[0], height, interpolation))
    columns = weighted(rows.swapaxes(0, 1), taps(image.shape[1], width, interpolation)).swapaxes(0, 1)
    return np.round(np.clip(columns, 0, 255)).astype("uint8")


def weighted(values: np.ndarray, by: Taps) -> np.ndarray:
    """Return weighted sums along the first axis, float32."""
    found = np.zeros((len(by), *values.shape[1:]), "float32")
    for place, (first, weights) in enumerate(by):
        for step, weight in enumerate(weights):
            found[place] += weight * values[first + step].astype("float32")
    return found


@lru_cache(64)
def taps(size: int, wanted: int, interpolation: str) -> Taps:
    """Return which of `size` pixels make each of the wanted ones, and how much of each."""
    step = ONE / (np.float32(wanted) / np.float32(size))
    reach = max(step, ONE)  # the kernel is as wide as a pixel of the result
    radius, kernel = {"bilinear": (ONE, triangle), "bicubic": (np.float32(2), keys)}[interpolation]
    half, found = np.float32(0.5), []
    for place in range(wanted):
        centre = (np.float32(place) + half) * step
        first = max(int(np.ceil(centre - radius * reach - half)), 0)
        last = min(int(np.floor(centre + radius * reach - half)), size - 1)
        distances = np.abs((np.arange(first, last + 1, dtype="float32") + half - centre) * (ONE / reach))
        weights = kernel(distances)
        found.append((first, weights * (ONE / np.add.accumulate(weights)[-1])))  # accumulate: one after another
    return tuple(found)


def triangle(distance: np.ndarray) -> np.ndarray:
    return np.maximum(0, ONE - distance)


def keys(distance: np.ndarray) -> np.ndarray:
    """Return the cubic kernel of Keys 1981 with a = -0.5."""
    half, far = np.float32(0.5), distance >= 1
    inner = ((np.float32(1.5) * distance - np.float32(2.5)) * distance) * distance + ONE
    outer = ((-half * distance + np.float32(2.5)) * distance - np.float32(4)) * distance + np.float32(2)
    return np.where(distance >= 2, np.float32(0), np.where(far, outer, inner)).astype("float32")
