"""Noise: of a sensor, of few photons, of dead pixels."""

import numpy as np


def gaussian_noise(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Add the same noise everywhere."""
    return x + (0.04, 0.07, 0.10, 0.14, 0.20)[severity - 1] * random.standard_normal(x.shape)


def shot_noise(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Count photons, of which white gives a few hundred or fewer."""
    photons = (300, 150, 80, 40, 20)[severity - 1]
    return random.poisson(x * photons) / photons


def impulse_noise(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Set some numbers to black or white."""
    share = (0.01, 0.02, 0.04, 0.07, 0.11)[severity - 1]
    drawn = random.random(x.shape)
    return np.where(drawn < share / 2, 0.0, np.where(drawn < share, 1.0, x))


def speckle_noise(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Add noise that grows with the brightness."""
    return x + x * (0.06, 0.12, 0.18, 0.25, 0.35)[severity - 1] * random.standard_normal(x.shape)


KINDS = {function.__name__: function for function in (gaussian_noise, shot_noise, impulse_noise, speckle_noise)}
