"""What MNIST-C draws over digits: a stripe, a dotted line, a zigzag; and edges in place of the image."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from kerasdl.data.corruptions.sampling import unit


def stripe(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Invert a vertical stripe."""
    width = max(1, round(x.shape[2] * (0.06, 0.1, 0.15, 0.2, 0.28)[severity - 1]))
    start = random.integers(0, x.shape[2] - width + 1, len(x))[:, None]
    columns = np.arange(x.shape[2])
    inside = (columns >= start) & (columns < start + width)
    return np.where(inside[:, None, :, None], 1 - x, x)


def dotted_line(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Draw bright dotted lines from side to side, one for each severity."""
    def lines(draw: ImageDraw.ImageDraw, ends: np.ndarray, height: int, width: int, thick: int) -> None:
        for first, last in ends:
            for share in np.arange(0, 1, 3 * thick / width):
                row, column = round(first + share * (last - first)), round(share * width)
                draw.rectangle((column, row, column + thick - 1, row + thick - 1), fill=255)

    return over(x, random, severity, lines)


def zigzag(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Draw bright zigzags from side to side, one for each severity."""
    def lines(draw: ImageDraw.ImageDraw, ends: np.ndarray, height: int, width: int, thick: int) -> None:
        for first, last in ends:
            shares = np.linspace(0, 1, 9)
            swing = height * 0.08 * np.where(np.arange(9) % 2, 1, -1)
            points = [(share * width, first + share * (last - first) + by) for share, by in zip(shares, swing,
                                                                                               strict=True)]
            draw.line(points, fill=255, width=thick)

    return over(x, random, severity, lines)


def canny_edges(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Blend in the edges of the image, alone at severity 5."""
    grey = ndimage.gaussian_filter(x.mean(axis=3), (0, 0.7 * unit(x), 0.7 * unit(x)))
    steep = np.hypot(ndimage.sobel(grey, 1), ndimage.sobel(grey, 2))
    edges = (steep > 0.35 * steep.max(axis=(1, 2), keepdims=True))[..., None].astype("float32")
    share = (0.3, 0.5, 0.7, 0.85, 1.0)[severity - 1]
    return (1 - share) * x + share * edges


def over(x: np.ndarray, random: np.random.Generator, count: int, lines: Callable) -> np.ndarray:
    """Return images with what is drawn over each: `count` lines that begin and end at random heights."""
    (number, height, width), thick = x.shape[:3], max(1, round(1.3 * unit(x)))
    ends = random.uniform(0, height, (number, count, 2))
    found = np.empty(x.shape[:3], "float32")
    for place in range(number):
        canvas = Image.new("L", (width, height))
        lines(ImageDraw.Draw(canvas), ends[place], height, width, thick)
        found[place] = np.asarray(canvas) / np.float32(255)
    return np.maximum(x, found[..., None])


KINDS = {function.__name__: function for function in (stripe, dotted_line, zigzag, canny_edges)}
