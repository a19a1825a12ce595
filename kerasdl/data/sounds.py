"""Sounds of .wav files as samples, one after the other, at one rate."""

import warnings
from collections.abc import Sequence
from math import gcd
from pathlib import Path
from threading import Lock

import numpy as np

from kerasdl.errors import DataError

ENDING = ".wav"
MEMORY = 4 * 2**30  # bytes of padded samples that are kept in memory
RATIO = 10**6  # the parts of a ratio of rates may be as large: the filter of a resampling has 20 times as many taps
LOCK = Lock()  # Python's filters of warnings are of the process, and threads read files


def read(file: Path, rate: int | None = None) -> tuple[np.ndarray, int]:
    """Return the samples of a file (T,), float32 in -1..1, the mean of its channels, and their rate a second.

    Args:
        file: PCM of 8, 16, 24 or 32 bits, or floats, which may leave -1..1.
        rate: that to convert to; None: the file's own.

    Raises:
        DataError: not such a file, one that is cut off or has no samples, or numbers that are not finite.
    """
    own, samples = _decoded(file)
    if not samples.size:
        raise DataError(f"{file} has no samples. Remove it.")
    if samples.dtype.kind == "f":
        sound = samples.astype("float32")
    else:
        bits = 8 * samples.dtype.itemsize  # 24 bits come as the upper ones of 32
        zero = 128.0 if samples.dtype == np.uint8 else 0.0
        sound = ((samples - zero) / 2.0 ** (bits - 1)).astype("float32")
    if not np.isfinite(sound).all():
        raise DataError(f"{file} holds samples that are no finite numbers. Remove it.")
    sound = sound if sound.ndim == 1 else sound.mean(axis=1)
    if rate in (None, own):
        return sound, own
    if not own or max(own, rate) // gcd(own, rate) > RATIO:
        raise DataError(f"{file} has {own:,} samples a second, by its header, and cannot be resampled to {rate:,}. "
                        "Mend or remove it.")
    return _resampled(sound, own, rate), rate


def length(file: Path, rate: int) -> int:
    """Return how many samples `read` makes of a file at a rate, without computing them.

    Raises:
        DataError: as `read` does for a file that cannot be decoded.
    """
    own, samples = _decoded(file)
    return len(samples) * rate // max(1, own)


def read_all(files: Sequence[Path], rate: int | None) -> tuple[list[np.ndarray], int]:
    """Return the samples of files and the rate of all of them.

    Raises:
        DataError: as `read` does, and for files of several rates where none is given.
    """
    found: list[np.ndarray] = []
    first = rate
    for file in files:
        sound, own = read(file, rate)
        first = first or own
        if own != first:
            raise DataError(f"{files[0]} has {first} samples a second, and {file} has {own}. Give data_args.rate="
                            f"{min(first, own)}, which resamples all files to that rate.")
        found.append(sound)
    return found, first or 0


def padded(sounds: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Return sounds as an array (N, length, 1): longer ones lose their end, and shorter ones end with NaN.

    Raises:
        DataError: an array of more than MEMORY bytes.
    """
    if (size := 4 * len(sounds) * length) > MEMORY:
        raise DataError(f"{len(sounds)} sounds, padded to the longest, of {length} samples, take {size / 2**30:.1f} "
                        f"GiB of memory, and {MEMORY / 2**30:.0f} is the most. Give data_args.seconds, or a lower "
                        "data_args.rate.")
    found = np.full((len(sounds), length, 1), np.nan, "float32")
    for row, sound in zip(found, sounds, strict=True):
        row[:len(sound), 0] = sound[:length]
    return found


def _decoded(file: Path) -> tuple[int, np.ndarray]:
    """Return the rate of a file and its samples (T,) or (T, channels), as they are stored."""
    from scipy.io import wavfile

    with LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore", wavfile.WavFileWarning)  # of chunks that are no sound, such as names
        warnings.filterwarnings("error", "Reached EOF", wavfile.WavFileWarning)
        try:
            return wavfile.read(file)
        except FileNotFoundError:
            raise DataError(f"There is no file {str(file)!r}.") from None
        except Exception as error:  # a broken header raises what its numbers lead to
            raise DataError(f"{file} cannot be read as a .wav file: {' '.join(str(error).split())}") from None


def _resampled(sound: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    from scipy.signal import resample_poly

    common = gcd(rate, wanted)
    return resample_poly(sound, wanted // common, rate // common).astype("float32")
