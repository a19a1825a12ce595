"""Write the sequences that recipes learn: mnist1d.npz, adding.npz and four pairs of files of the UCR archive.

    python -m benchmarks.sequences_data FOLDER

MNIST-1D (Greydanus 2020, arXiv:2011.14439) is made by the package mnist1d from its own seed. The adding problem
(Hochreiter & Schmidhuber 1997, section 5.4) is made here. The package aeon holds the UCR files, with the archive's own
division into train and test (Dau et al. 2019, arXiv:1810.07758). It is not imported, and no extra brings it: it asks
for an older pandas.
"""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

STEPS, TRAIN, TEST = 200, 10_000, 1_000
UCR = ("GunPoint", "ItalyPowerDemand", "ArrowHead", "OSULeaf")


def mnist1d() -> dict[str, np.ndarray]:
    """Return 4,000 training and 1,000 test series of 40 steps, of ten classes."""
    from mnist1d import data

    made = data.make_dataset(data.get_dataset_args())
    return {key: made[key].astype("float32" if key.startswith("x") else "int32")
            for key in ("x", "y", "x_test", "y_test")}


def adding(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return series (count, STEPS, 2) of random numbers in 0..1 and marks, and the sums of the two marked (count,).

    One mark is in the first half of a series, one in the second. A model that always answers 1 has a mean squared error
    of 1/6.
    """
    rng = np.random.default_rng(seed)
    numbers, marks = rng.random((count, STEPS), "float32"), np.zeros((count, STEPS), "float32")
    for low, high in ((0, STEPS // 2), (STEPS // 2, STEPS)):
        marks[np.arange(count), rng.integers(low, high, count)] = 1
    return np.stack([numbers, marks], axis=-1), (numbers * marks).sum(axis=1)


def ucr() -> list[Path]:
    """Return the files NAME_TRAIN.ts and NAME_TEST.ts of the package aeon."""
    found = find_spec("aeon")
    if found is None:
        raise SystemExit("The UCR files lie in the package aeon: pip install --no-deps aeon")
    package = Path(next(iter(found.submodule_search_locations)))
    return [package / "datasets" / "data" / name / f"{name}_{part}.ts" for name in UCR for part in ("TRAIN", "TEST")]


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "mnist1d.npz", **mnist1d())
    (x, y), (x_test, y_test) = adding(TRAIN, 0), adding(TEST, 1)
    np.savez(folder / "adding.npz", x=x, y=y, x_test=x_test, y_test=y_test)
    for file in ucr():
        shutil.copy(file, folder)


if __name__ == "__main__":
    main()
