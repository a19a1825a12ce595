"""Sound for models of sequences: raw samples become log mel spectra (after Davis & Mermelstein 1980).

A frame is a Hann window of 25 ms, every 10 ms. The mel scale is HTK's, 2595 log10(1 + f / 700) (Young et al., The HTK
Book, section 5.4), with triangles of equal width on it from 0 to half the sample rate. The spectrum is a product with
the matrix of the discrete Fourier transform, so that every backend computes the same.

Departs from HTK: no pre-emphasis, powers in place of magnitudes, and log(1e-6 + power).
"""

import keras
import numpy as np
from keras import layers, ops

WINDOW, HOP, MELS = 0.025, 0.010, 40  # seconds, seconds, filters
FLOOR = 1e-6  # added to powers of samples in -1..1: somewhat above the noise of 16 bits


def frames(steps, sample_rate):
    """Return how many frames that many samples have, the masked ones included; None: not known."""
    return None if steps is None else -(-steps // round(HOP * sample_rate))


@keras.saving.register_keras_serializable(package="kerasdl")
class LogMel(layers.Layer):
    """Return log mel spectra: samples (B, T, 1) -> float32 (B, frames(T), mels).

    Padding is NaN, before and after. A frame is there if all its samples are. The first frame is there if any is, with
    zeros in place of the others, so that every sound has one.

    Args:
        sample_rate: samples a second, 100 or more.
        mels: number of filters.
    """

    def __init__(self, sample_rate, mels=MELS, **kwargs):
        super().__init__(dtype=kwargs.pop("dtype", "float32"), **kwargs)
        if not isinstance(sample_rate, int) or sample_rate < 100:
            raise ValueError(f"Expected a sample_rate of 100 or more a second. Received: {sample_rate!r}")
        self.autocast = False
        self.sample_rate, self.mels = sample_rate, mels
        self.window, self.hop = round(WINDOW * sample_rate), round(HOP * sample_rate)
        self.waves, self.filters = matrices(self.window, sample_rate, mels)

    def call(self, x):
        x = ops.pad(ops.cast(x, "float32"), [(0, 0), (0, self.window - 1), (0, 0)], constant_values=float("nan"))
        there = ops.logical_not(ops.isnan(x))
        parts = ops.conv(ops.where(there, x, 0.0), ops.convert_to_tensor(self.waves[:, None]), strides=self.hop,
                         padding="valid", data_format="channels_last")
        real, imaginary = ops.split(parts, 2, axis=-1)
        mel = ops.log(FLOOR + ops.matmul(real**2 + imaginary**2, ops.convert_to_tensor(self.filters)))
        last = there[:, self.window - 1::self.hop]
        return ops.where(ops.concatenate([there[:, :1], last[:, 1:]], axis=1), mel, float("nan"))

    def compute_output_spec(self, x):
        return keras.KerasTensor((x.shape[0], frames(x.shape[1], self.sample_rate), self.mels), dtype="float32")

    def get_config(self):
        return {**super().get_config(), "sample_rate": self.sample_rate, "mels": self.mels}


def matrices(window, sample_rate, mels):
    """Return the windowed waves of a Fourier transform, cosines and then sines (window, 2 * bins), and the mel filters
    (bins, mels), both float32.

    The transform has the least power of two that leaves no filter without a frequency, from the window on.
    """
    size = 2 ** (window - 1).bit_length()
    while not (filters := mel_filters(size, sample_rate, mels)).any(axis=0).all():
        size *= 2
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    angle = 2 * np.pi * (np.outer(np.arange(window), np.arange(size // 2 + 1)) % size) / size
    waves = hann[:, None] * np.concatenate([np.cos(angle), -np.sin(angle)], axis=1)
    return waves.astype("float32"), filters.astype("float32")


def mel_filters(size, sample_rate, mels):
    """Return triangles (size / 2 + 1, mels) over the frequencies of a transform, of height 1."""
    mel = 2595 * np.log10(1 + np.arange(size // 2 + 1) * sample_rate / size / 700)
    edges = np.linspace(0, mel[-1], mels + 2)
    place = (mel[:, None] - edges[None, 1:-1]) / (edges[1] - edges[0])
    return np.maximum(0, 1 - np.abs(place))
