"""Many images as one."""

import numpy as np

SIDE = 56  # pixels an image of a grid has at least, or nearly: smaller ones are enlarged


def grid(images: np.ndarray, columns: int, gap: int = 4) -> np.ndarray:
    """Images (N, H, W, C) uint8 in rows of so many columns, with black lines between: one image (H', W', C)."""
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    cells = np.zeros((rows * columns, height + gap, width + gap, channels), "uint8")
    cells[:count, :height, :width] = images
    cells = cells.reshape(rows, columns, height + gap, width + gap, channels).swapaxes(1, 2)
    return cells.reshape(rows * (height + gap), columns * (width + gap), channels)[:rows * (height + gap) - gap,
                                                                                 :columns * (width + gap) - gap]


def enlarged(images: np.ndarray) -> np.ndarray:
    """Small images (N, H, W, C) with every pixel repeated, so that one can see them; of five channels or more the first
    three, because a PNG has at most four."""
    if images.shape[3] > 4:
        images = images[..., :3]
    times = max(1, SIDE // max(images.shape[1:3]))
    return images.repeat(times, axis=1).repeat(times, axis=2)
