"""MNIST and CIFAR-10 as .npy files, so that a program without TensorFlow can read them at once.

    python -m benchmarks.arrays        writes what is not there yet
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.rows import DATA


def folder() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else "me"
    return Path(os.environ.get("KERASDL_BENCH_DATA") or Path(tempfile.gettempdir()) / f"kerasdl-bench-{user}")


def load(data: str, split: str, images: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The first images (N, H, W, C) uint8 and labels (N,) int64 of "train" or "test"."""
    if not (folder() / f"{data}-{split}-y.npy").exists():
        prepare()
    x, y = (np.load(folder() / f"{data}-{split}-{part}.npy", mmap_mode="r") for part in "xy")
    return np.array(x[:images]), np.array(y[:images])


def prepare() -> None:
    """Write the files in a process of its own: the memory that TensorFlow takes is nobody's."""
    subprocess.run([sys.executable, "-m", "benchmarks.arrays"], check=True, stdout=subprocess.DEVNULL,
                   cwd=Path(__file__).parents[1])


def main() -> None:
    import tensorflow_datasets as tfds

    folder().mkdir(parents=True, exist_ok=True)
    for name in DATA:
        for split in ("train", "test"):
            x, y = tfds.as_numpy(tfds.load(name, split=split, batch_size=-1, as_supervised=True, shuffle_files=False))
            for part, value in (("x", x), ("y", y.astype("int64"))):
                partial = folder() / f".{os.getpid()}.npy"
                np.save(partial, value)
                partial.rename(folder() / f"{name}-{split}-{part}.npy")


if __name__ == "__main__":
    main()
