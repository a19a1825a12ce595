"""What several corruptions are made of: images read between their pixels, and smooth random fields."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

SIDE = 32  # pixels of the side of an image that strengths are given for
PIXELS = 2 ** 18  # of images that are read at once: photographs by the hundred take gigabytes


def grid(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column of each pixel from the centre, (1, H, 1) and (1, 1, W)."""
    height, width = images.shape[1:3]
    return (np.arange(height)[None, :, None] - (height - 1) / 2, np.arange(width)[None, None, :] - (width - 1) / 2)


def unit(images: np.ndarray) -> float:
    """Return how many pixels of these images are one of an image of SIDE pixels."""
    return min(images.shape[1:3]) / SIDE


def sampled(images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return images read at places from the centre, bilinearly; beyond the border the border's pixels.

    Args:
        images: (N, H, W, C).
        rows: (N or 1, H or 1, W or 1), as `grid` has them.
        columns: the same.
    """
    return averaged(images, [(rows, columns)])


def averaged(images: np.ndarray, places: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the mean of images read at several places, each as in `sampled`; a few images at a time."""
    found, step = np.zeros(images.shape), max(1, PIXELS // (images.shape[1] * images.shape[2]))
    for start in range(0, len(images), step):
        some = slice(start, start + step)
        for place in places:
            rows, columns = (each[some] if len(each) > 1 else each for each in place)
            found[some] += _read(images[some], rows, columns)
    found /= len(places)
    return found


def _read(images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return images read at places; see `sampled`."""
    count, height, width, _ = images.shape
    rows, columns = np.broadcast_arrays(rows + (height - 1) / 2, columns + (width - 1) / 2)
    rows, columns = (np.broadcast_to(np.clip(place, 0, length - 1), (count, height, width))
                     for place, length in ((rows, height), (columns, width)))
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    below, after = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    number = np.arange(count)[:, None, None]
    upper = images[number, top, left] * (1 - right) + images[number, top, after] * right
    lower = images[number, below, left] * (1 - right) + images[number, below, after] * right
    return upper * (1 - down) + lower * down


def along(images: np.ndarray, angles: np.ndarray, length: float, taps: int = 9) -> np.ndarray:
    """Return the mean of images moved along a direction each: angles (N,) in radians, a length in pixels."""
    rows, columns = grid(images)
    angles = angles[:, None, None]
    return averaged(images, [(rows + step * np.sin(angles), columns + step * np.cos(angles))
                             for step in np.linspace(-length / 2, length / 2, taps)])


def smooth(fields: np.ndarray, deviation: float) -> np.ndarray:
    """Return fields (N, H, W) blurred by a Gaussian of this deviation in pixels."""
    return ndimage.gaussian_filter(fields, (0, deviation, deviation), mode="reflect")


def clouds(shape: tuple[int, int, int], random: np.random.Generator, roughness: float = 0.6) -> np.ndarray:
    """Return random fields (N, H, W) of 0..1 with structure at every size, each finer one weaker by `roughness`."""
    total, scale, weight = np.zeros(shape), min(shape[1:]) / 3, 1.0
    while scale >= 0.5:
        layer = smooth(random.standard_normal(shape), scale)
        total += weight * layer / layer.std(axis=(1, 2), keepdims=True).clip(1e-9)
        scale, weight = scale / 2, weight * roughness
    low, high = (function(axis=(1, 2), keepdims=True) for function in (total.min, total.max))
    return (total - low) / (high - low).clip(1e-9)
