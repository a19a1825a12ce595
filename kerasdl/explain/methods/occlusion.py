"""Occlusion: Zeiler & Fergus 2014, "Visualizing and Understanding Convolutional Networks", arXiv:1311.2901."""

import numpy as np

from kerasdl.explain.network import Network

TITLE = "Occlusion"
READS = ("How far the logit falls when a window is covered: by the mean colour of the image, by the training's mean, "
         "or, of a text, when a token is empty. Below 0 the logit rises.")
SOURCE = "Zeiler & Fergus 2014, arXiv:1311.2901"
KINDS = ("image", "sequence", "tokens")
SIGNED = True
WINDOWS = {"image": 7, "sequence": 16}  # windows a side


def attribute(network: Network, x: np.ndarray, target: np.ndarray, *, window: int | None = None) -> np.ndarray:
    """Return at each place the mean fall of the target's logit over the windows that cover it: (N, H, W) or (N, T).

    Args:
        network: the model.
        x: (N, ...) examples.
        target: (N,) which logits.
        window: its side in pixels or steps, moved by half of that; None: a seventh of an image, a sixteenth of a
            sequence, one token.
    """
    numbers, present = network.numbers(x), network.present(x)
    cover = covers(network, x, numbers)
    chosen = np.arange(len(x)), target
    whole = network.logits(x, numbers)[chosen]
    total, count = np.zeros(present.shape, "float32"), np.zeros(present.shape, "float32")
    for place in windows(present.shape[1:], window or default(network.kind, present.shape[1:])):
        if not present[:, *place].any():  # padding of all examples
            continue
        covered = numbers.copy()
        covered[:, *place] = cover[:, *place]
        fall = whole - network.logits(x, covered)[chosen]
        total[:, *place] += fall.reshape(-1, *[1] * len(place))
        count[:, *place] += 1
    return np.where(present, total / np.maximum(count, 1), 0)


def covers(network: Network, x: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return what covers each place; black would be a shape of its own on a bright image."""
    if network.kind == "image":
        return np.broadcast_to(numbers.mean(axis=(1, 2), keepdims=True), numbers.shape)
    return network.neutral(x)


def default(kind: str, size: tuple[int, ...]) -> int:
    """Return the side of a window."""
    return 1 if kind == "tokens" else max(1, min(size) // WINDOWS[kind])


def windows(size: tuple[int, ...], side: int) -> list[tuple[slice, ...]]:
    """Return windows that cover all places of a grid (H, W) or (T,), each moved by half a side."""
    starts = [sorted({*range(0, max(1, length - side), max(1, side // 2)), max(0, length - side)}) for length in size]
    if len(size) == 1:
        return [(slice(start, start + side),) for start in starts[0]]
    return [(slice(row, row + side), slice(column, column + side)) for row in starts[0] for column in starts[1]]


def grid(network: Network, values: np.ndarray) -> tuple[int, ...] | None:
    """Return the windows next to each other: what covers a part of something shows as far as its edge."""
    side = default(network.kind, values.shape[1:])
    return None if side == 1 else tuple(-(-length // side) for length in values.shape[1:])
