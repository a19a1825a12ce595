"""Blur: out of focus, behind frosted glass, moving, zooming."""

import numpy as np
from scipy import ndimage

from kerasdl.data.corruptions.sampling import along, averaged, grid, sampled, unit


def defocus_blur(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Take the mean of a disk around each pixel."""
    radius = 0.45 + unit(x) * (0.4, 0.7, 1.1, 1.6, 2.2)[severity - 1]  # a disk of 0.5 is a pixel
    reach = int(np.ceil(radius))
    rows, columns = np.mgrid[-reach:reach + 1, -reach:reach + 1]
    disk = np.clip(radius + 0.5 - np.hypot(rows, columns), 0, 1)  # the rim counts in part
    return ndimage.convolve(x, (disk / disk.sum())[None, :, :, None], mode="nearest")


def glass_blur(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Exchange each pixel for one near it."""
    reach = unit(x) * (0.7, 1.0, 1.4, 1.9, 2.5)[severity - 1]
    rows, columns = grid(x)
    down, right = random.uniform(-reach, reach, (2, *x.shape[:3]))
    return sampled(x, rows + down, columns + right)


def motion_blur(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Take the mean along a direction, which differs from image to image."""
    return along(x, random.uniform(0, np.pi, len(x)), unit(x) * (2, 3.5, 5, 7, 9)[severity - 1])


def zoom_blur(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Take the mean of enlargements."""
    most = (0.08, 0.14, 0.20, 0.28, 0.38)[severity - 1]
    rows, columns = grid(x)
    return averaged(x, [(rows / scale, columns / scale) for scale in np.linspace(1, 1 + most, 9)])


KINDS = {function.__name__: function for function in (defocus_blur, glass_blur, motion_blur, zoom_blur)}
