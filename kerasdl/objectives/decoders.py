"""From the maps of a body back to an image: decoders that objectives put behind any network of the zoo with a grid.

Layers are called "decoder_...", so that none has the name of a body's layer.
"""

from typing import Any

import keras
from keras import layers, ops

APART = 1.5  # a resolution gets a skip connection if its sides are at most 1/1.5 of the finer one's
WIDEST = 8  # a coarse level has at most this many times the channels of the finest one


def light(body: keras.Model, width: int, channels: int) -> Any:
    """Return (B, H, W, channels) float32 from the body's "maps" alone, which then have to hold all that is needed.

    A convolution and a linear layer give each cell of the grid its square of pixels (Shi et al. 2016,
    arXiv:1609.05158).

    Args:
        body: of `zoo.body`.
        width: the convolution has 4 times as many channels.
        channels: of the answer.
    """
    (height, width_of), maps = body.input_shape[1:3], body.output["maps"]
    rows, columns = (-(-side // cells) for side, cells in zip((height, width_of), maps.shape[1:3], strict=True))
    times = max(rows, columns)
    x = conv(maps, 4 * width, "decoder_conv")
    x = layers.Conv2D(times**2 * channels, 1, dtype="float32", name="decoder_pixels")(x)
    x = ops.depth_to_space(x, times, data_format="channels_last") if times > 1 else x
    return x[:, :height, :width_of]


def unet(body: keras.Model, width: int, channels: int) -> Any:
    """Return (B, H, W, channels) float32 from the "maps" and the last tensor of each finer resolution of the body.

    Ronneberger et al. 2015, arXiv:1505.04597, with one convolution a level.

    Args:
        body: of `zoo.body`.
        width: channels at the finest resolution; twice as many at each coarser one, up to WIDEST times.
        channels: of the answer.
    """
    skips = resolutions(body)
    x = conv(body.output["maps"], wide(width, len(skips)), "decoder_bottom")
    for level in reversed(range(len(skips))):
        skip = skips[level]
        x = enlarged(x, skip.shape[1:3], f"decoder_up{level}")
        x = layers.Concatenate(name=f"decoder_skip{level}")([x, skip])
        x = conv(x, wide(width, level), f"decoder_conv{level}")
    return layers.Conv2D(channels, 3, padding="same", dtype="float32", name="decoder_pixels")(x)


def wide(width: int, level: int) -> int:
    """Return the channels of a level, of which 0 is the finest."""
    return width * min(2**level, WIDEST)


def resolutions(body: keras.Model) -> list[Any]:
    """Return the last tensor (B, h, w, C) of each resolution of a body, finest first, without that of "maps".

    Resolutions only shrink on the way, so that what is padded for a strided convolution is none of its own. One that
    is nearly as fine as the next, as 31 pixels of 32, is left out.
    """
    smallest, found = body.input_shape[1:3], {}
    for layer in body.layers[1:]:
        tensor = layer.output
        if isinstance(tensor, keras.KerasTensor) and len(tensor.shape) == 4 and tensor.shape[1:3] != (1, 1):
            size = tensor.shape[1:3]
            if all(side <= least for side, least in zip(size, smallest, strict=True)):
                smallest, found[size] = size, tensor
    bottom = body.output["maps"].shape[1:3]
    kept: list[Any] = []
    for size, tensor in found.items():
        fine = not kept or size[0] * APART <= kept[-1].shape[1]
        if fine and bottom[0] * APART <= size[0]:
            kept.append(tensor)
    return kept


def enlarged(x: Any, size: tuple[int, int], name: str) -> Any:
    """Return maps resized to a height and width: every cell repeated, or interpolated where that does not divide."""
    times = tuple(side // cells for side, cells in zip(size, x.shape[1:3], strict=True))
    if size == tuple(n * cells for n, cells in zip(times, x.shape[1:3], strict=True)):
        return layers.UpSampling2D(times, name=name)(x)
    return ops.image.resize(x, size, interpolation="bilinear", data_format="channels_last")


def conv(x: Any, filters: int, name: str) -> Any:
    return layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer="he_normal", name=name)(x)


DECODERS = {"unet": unet, "light": light}
