"""Weather: snow, frost, fog, light, and drops on the lens."""

import numpy as np

from kerasdl.data.corruptions.sampling import along, clouds, smooth, unit


def snow(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Whiten the image, and let bright flakes fall through it."""
    share, white = ((0.02, 0.1), (0.04, 0.15), (0.06, 0.2), (0.09, 0.25), (0.13, 0.3))[severity - 1]
    flakes = (random.random((*x.shape[:3], 1)) < share) * random.uniform(0.6, 1.0, (*x.shape[:3], 1))
    falling = along(flakes, np.pi / 2 + random.uniform(-0.5, 0.5, len(x)), 3 * unit(x), taps=5)
    return x * (1 - white) + white + 2 * falling


def frost(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Cover the image with bright veins, which are drawn."""
    share = (0.2, 0.3, 0.4, 0.5, 0.6)[severity - 1]
    veins = 1 - 2 * np.abs(clouds(x.shape[:3], random, 0.8) - 0.5)
    return x * (1 - share) + share * (veins[..., None] ** 2)


def fog(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Add clouds, and lower the contrast so that nothing leaves the range."""
    dense = (0.3, 0.5, 0.8, 1.2, 1.8)[severity - 1]
    return (x + dense * clouds(x.shape[:3], random)[..., None]) / (1 + dense)


def brightness(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Make everything brighter."""
    return x + (0.06, 0.12, 0.18, 0.26, 0.35)[severity - 1]


def spatter(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Cover parts of the image with bright drops that let some of it through."""
    share = (0.04, 0.08, 0.13, 0.19, 0.26)[severity - 1]
    field = smooth(random.standard_normal(x.shape[:3]), 1.2 * unit(x))
    level = np.quantile(field, 1 - share, axis=(1, 2), keepdims=True)
    drops = smooth((field > level).astype("float32"), 0.4 * unit(x))[..., None]
    return x * (1 - 0.8 * drops) + 0.8 * drops


KINDS = {function.__name__: function for function in (snow, frost, fog, brightness, spatter)}
