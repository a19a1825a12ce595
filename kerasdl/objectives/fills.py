"""What a network that fills images has to beat, and by which measures: PSNR and SSIM of what was hidden."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from scipy.ndimage import distance_transform_edt

from kerasdl.objectives.corruptions import LUMA

PEAK = 255.0  # the range of pixels
LEAST = 1e-5  # mean squared error in grey levels squared: a PSNR is 98 dB at most
WINDOW = 11  # pixels a side of the window of SSIM; of smaller images their shorter side
ROWS = 256  # images at once
Fill = Callable[[np.ndarray, np.ndarray], np.ndarray]


def mean_fill(seen: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Return images with the mean of the visible pixels in the hole. Images (B, H, W, C), hidden (B, H, W, 1)."""
    shown = 1.0 - hidden
    mean = (seen * shown).sum((1, 2), keepdims=True) / np.maximum(shown.sum((1, 2), keepdims=True), 1)
    return np.where(hidden > 0, mean, seen)


def nearest_fill(seen: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Return images with the nearest visible pixel in each place of the hole."""
    found = np.array(seen)
    for image, hole in zip(found, hidden[..., 0] > 0, strict=True):
        rows, columns = distance_transform_edt(hole, return_distances=False, return_indices=True)
        image[:] = image[rows, columns]
    return found


def as_seen(seen: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Return what the network is given."""
    return seen


def tinted(colour: np.ndarray) -> Fill:
    """Return a function that gives every pixel this chroma (2,), and its own luma."""
    return lambda seen, hidden: np.asarray(with_chroma(seen[..., :1], np.broadcast_to(colour, (*seen.shape[:3], 2))))


def controls(corruption: Any, colour: np.ndarray | None = None) -> Mapping[str, Fill]:
    """Return what fills without a network, by name.

    Args:
        corruption: of kerasdl.objectives.corruptions.
        colour: the mean chroma (2,) of the training images; None: not known.
    """
    if corruption.holes:
        return {"mean of the visible pixels": mean_fill, "nearest visible pixel": nearest_fill}
    if not corruption.colour:
        return {"the noisy image": as_seen}
    mean = {} if colour is None else {"mean colour of the training images": tinted(colour)}
    return {"no colour": as_seen, **mean}


def chroma(images: Any) -> Any:
    """Return Cb and Cr of images (..., 3) in 0..255, without an offset: (..., 2), grey is 0. Linear."""
    red, green, blue = (images[..., i:i + 1] for i in range(3))
    luma = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    return ops.concatenate([(blue - luma) / (2 - 2 * LUMA[2]), (red - luma) / (2 - 2 * LUMA[0])], axis=-1)


def with_chroma(luma: Any, colour: Any) -> Any:
    """Undo `chroma`: images (..., 3) float32 of a luma (..., 1) and Cb and Cr (..., 2)."""
    blue, red = luma + (2 - 2 * LUMA[2]) * colour[..., :1], luma + (2 - 2 * LUMA[0]) * colour[..., 1:]
    return ops.concatenate([red, (luma - LUMA[0] * red - LUMA[2] * blue) / LUMA[1], blue], axis=-1)


def psnr(truth: Any, filled: Any, hidden: Any) -> Any:
    """Return the peak signal-to-noise ratio of the hidden pixels of each image in dB, (B,), of answers cut to 0..255.

    Args:
        truth, filled: images (B, H, W, C).
        hidden: (B, H, W, 1).
    """
    error = ops.mean(ops.square(ops.clip(filled, 0.0, PEAK) - truth), axis=-1, keepdims=True)
    total = ops.sum(error * hidden, axis=(1, 2, 3)) / ops.maximum(ops.sum(hidden, axis=(1, 2, 3)), 1.0)
    return 10.0 * ops.log10(PEAK**2 / ops.maximum(total, LEAST))


def ssim(truth: np.ndarray, filled: np.ndarray) -> float:
    """Return the mean structural similarity of images (B, H, W, C) (Wang et al. 2004), 1 for equal ones."""
    window = min(WINDOW, *truth.shape[1:3])
    found = [tf.image.ssim(*(tf.constant(np.clip(images[start:start + ROWS], 0, PEAK), tf.float32)
                             for images in (truth, filled)), PEAK, filter_size=window).numpy()
             for start in range(0, len(truth), ROWS)]
    return float(np.concatenate(found).mean())


def scored(fill: Fill, truth: np.ndarray, seen: np.ndarray, hidden: np.ndarray) -> dict[str, float]:
    """Return PSNR and SSIM of what a function makes of images, the mean over images."""
    ratios, likeness = [], []
    for start in range(0, len(truth), ROWS):
        real, shown, gone = (np.asarray(part[start:start + ROWS], "float32") for part in (truth, seen, hidden))
        filled = fill(shown, gone).astype("float32")
        ratios.append(ops.convert_to_numpy(psnr(real, filled, gone)))
        likeness += [ssim(real, filled)] * len(real)
    return {"psnr": float(np.concatenate(ratios).mean()), "ssim": float(np.mean(likeness))}


class Psnr(keras.metrics.Mean):
    """The mean PSNR of images, by a function of (y, y_pred) that gives that of each image (B,)."""

    def __init__(self, of_images: Callable[[Any, Any], Any], name: str = "psnr", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.of_images = of_images

    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(self.of_images(y_true, y_pred), sample_weight)
