"""What happens to files: less contrast, distortion, fewer pixels, compression, other colours."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from kerasdl.data.corruptions.sampling import grid, sampled, smooth, unit


def contrast(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Bring each number nearer to the mean of the image."""
    mean = x.mean(axis=(1, 2), keepdims=True)
    return mean + (0.7, 0.5, 0.35, 0.22, 0.12)[severity - 1] * (x - mean)


def elastic(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Move each pixel a little, neighbours alike."""
    reach = unit(x) * (0.8, 1.3, 1.8, 2.4, 3.0)[severity - 1]
    rows, columns = grid(x)
    down, right = (smooth(field, 3 * unit(x)) for field in random.uniform(-1, 1, (2, *x.shape[:3])))
    most = np.maximum(np.abs(down), np.abs(right)).max(axis=(1, 2), keepdims=True).clip(1e-9)
    return sampled(x, rows + reach * down / most, columns + reach * right / most)


def pixelate(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Make the image smaller, and large again without smoothing."""
    share = (0.8, 0.65, 0.52, 0.42, 0.33)[severity - 1]
    size = tuple(max(1, round(share * length)) for length in (x.shape[2], x.shape[1]))

    def small(image: Image.Image) -> Image.Image:
        return image.resize(size, Image.Resampling.BOX).resize(image.size, Image.Resampling.NEAREST)

    return through(x, small)


def jpeg(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Compress the image as JPEG of low quality."""
    quality = (70, 50, 30, 18, 10)[severity - 1]

    def compressed(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return through(x, compressed)


def saturate(x: np.ndarray, severity: int, random: np.random.Generator) -> np.ndarray:
    """Move colours away from grey, or, at severities 1 and 2, towards it."""
    grey = x.mean(axis=3, keepdims=True)
    return grey + (0.4, 0.15, 1.8, 2.6, 4.0)[severity - 1] * (x - grey)


def through(x: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """Return what a function of Pillow's images makes of each image."""
    done = [np.asarray(change(image_of(pixels))) for pixels in np.rint(255 * x).astype("uint8")]
    return np.stack(done).reshape(x.shape).astype("float32") / 255


def image_of(pixels: np.ndarray) -> Image.Image:
    """Return an image (H, W, C) of 1 or 3 channels as Pillow's."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


KINDS = {function.__name__: function for function in (contrast, elastic, pixelate, jpeg, saturate)}
