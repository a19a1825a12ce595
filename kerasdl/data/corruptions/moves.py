"""Moves: the object elsewhere, turned, smaller, or slanted. Beyond the border are the border's pixels."""

import numpy as np

from kerasdl.data.corruptions.sampling import grid, sampled, unit


def translate(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Move in any direction."""
    rows, columns = grid(x)
    length, angle = unit(x) * (1.5, 3, 4.5, 6, 8)[severity - 1], random.uniform(0, 2 * np.pi, (len(x), 1, 1))
    return sampled(x, rows + length * np.sin(angle), columns + length * np.cos(angle))


def rotate(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Turn about the centre, to the left or to the right."""
    rows, columns = grid(x)
    angle = signs(x, random) * np.radians((10, 18, 26, 35, 45)[severity - 1])
    return sampled(x, np.cos(angle) * rows + np.sin(angle) * columns, np.cos(angle) * columns - np.sin(angle) * rows)


def scale(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Make the object smaller."""
    rows, columns = grid(x)
    times = (1.15, 1.3, 1.5, 1.75, 2.1)[severity - 1]
    return sampled(x, times * rows, times * columns)


def shear(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Slant to the left or to the right."""
    rows, columns = grid(x)
    return sampled(x, rows, columns + signs(x, random) * (0.15, 0.3, 0.45, 0.6, 0.8)[severity - 1] * rows)


def signs(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return -1 or 1 for each image, (N, 1, 1)."""
    return random.choice((-1.0, 1.0), (len(x), 1, 1))


KINDS = {function.__name__: function for function in (translate, rotate, scale, shear)}
