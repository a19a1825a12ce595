"""Maps drawn over the examples that they explain: images, series and texts."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from markupsafe import Markup
from PIL import Image

from kerasdl import figures

SIDE = 256  # pixels: smaller images are enlarged by a whole number
STRONG = 99  # percentile of a map that has the full colour, so that one pixel does not pale the others
FOR, AGAINST = (214, 39, 40), (31, 119, 180)  # red speaks for the answer, blue against it


def strength(values: np.ndarray) -> np.ndarray:
    """Return a map by its strong values, -1..1: each map by its own, of which all may be 0."""
    size = np.abs(values)
    limit = np.percentile(size, STRONG) or size.max()
    return np.clip(values / limit, -1, 1) if limit > 0 else np.zeros_like(values)


def of_image(image: np.ndarray, values: np.ndarray, signed: bool) -> np.ndarray:
    """Return an image in grey with its map in colour, uint8 (h, w, 3), at least SIDE high and wide.

    Args:
        image: (H, W, C), 0..255.
        values: (H, W).
        signed: red for, blue against; otherwise from dark to bright, where it matters.
    """
    grey = np.asarray(image, "float32")[..., :3].mean(axis=-1, keepdims=True)
    found = strength(values)
    if signed:
        colour = np.where(found[..., None] > 0, FOR, AGAINST)
        weight = np.abs(found)[..., None]
        pixels = (1 - weight) * (60 + 0.6 * grey) + weight * colour
    else:
        colour = 255 * matplotlib.colormaps["inferno"](found)[..., :3]
        pixels = 0.3 * grey + 0.7 * colour
    return enlarged(np.clip(pixels, 0, 255).round().astype("uint8"))


def enlarged(image: np.ndarray) -> np.ndarray:
    """Return an image whose pixels are repeated until it is about SIDE high and wide."""
    times = max(1, round(SIDE / max(image.shape[:2])))
    return image.repeat(times, 0).repeat(times, 1)


def of_series(series: np.ndarray, values: np.ndarray, signed: bool) -> np.ndarray:
    """Return the curves of a series (T, F) over its map (T,) as stripes, an image uint8 (h, w, 3)."""
    there = ~np.isnan(series).all(axis=-1)
    series, found = series[there], strength(values[there])
    width, height, edge = 2 * SIDE, SIDE, 8
    place = np.linspace(0, len(found) - 1, width)
    stripe = np.interp(place, np.arange(len(found)), found) if len(found) > 1 else np.full(width, found[0])
    colour = np.where(stripe[:, None] > 0, FOR, AGAINST) if signed else np.full((width, 3), (232, 113, 10))
    weight = 0.75 * np.abs(stripe)[:, None]
    page = np.broadcast_to((1 - weight) * 255 + weight * colour, (height, width, 3)).copy()
    low, high = np.nanmin(series), np.nanmax(series)
    for values_, ink in zip(series.T[:len(figures.SERIES)], range(len(figures.SERIES)), strict=False):
        line = np.interp(place, np.arange(len(series)), np.nan_to_num(values_)) if len(series) > 1 else \
            np.full(width, values_[0])
        down = edge + (height - 2 * edge) * (1 - (line - low) / (high - low if high > low else 1))
        draw(page, down, ink)
    return page.round().astype("uint8")


def draw(page: np.ndarray, down: np.ndarray, number: int) -> None:
    """Draw a line two pixels wide through a height for each column of a page."""
    dark = (20, 26, 36) if number == 0 else matplotlib.colors.to_rgb(figures.SERIES[number])
    colour = np.array(dark) if number == 0 else 255 * np.array(dark)
    before = np.concatenate([down[:1], down[:-1]])
    for column, (one, two) in enumerate(zip(before, down, strict=True)):
        top, bottom = sorted((round(one), round(two)))
        page[max(0, top):min(len(page), bottom + 2), column] = colour


def of_text(tokens: Sequence[str], values: np.ndarray, signed: bool) -> Markup:
    """Return tokens as HTML, each on a ground as strong as its value."""
    parts = []
    for token, value, share in zip(tokens, values, strength(values), strict=False):
        red, green, blue = FOR if share > 0 and signed else AGAINST if signed else (232, 113, 10)
        parts.append(Markup(
            '<span class="token" style="background:rgba({},{},{},{:.2f})" title="{:.4g}">{}</span>').format(
            red, green, blue, 0.75 * abs(share), value, token))
    return Markup('<p class="tokens">{}</p>').format(Markup(" ").join(parts))


def save(pixels: np.ndarray, file: Path) -> None:
    """Write an image (h, w, 3) uint8 as a PNG."""
    Image.fromarray(pixels).save(file, "PNG")
