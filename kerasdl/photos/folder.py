"""What a folder of photographs holds: how many of which class, and how large they are. No file is decoded."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from kerasdl.data import layout
from kerasdl.data.images import ORIENTATION
from kerasdl.errors import DataError, listed, nearest

FEWEST = 5  # images of a class: three to learn from, one to choose with, one to measure on
LOOKS = 500  # files whose size is looked at
TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange height and width
LONG = 1.5  # ratio of the sides from which a centre crop would lose a third of the image
RARE = 2.0  # ratio of the largest class to the smallest from which classes get weights


@dataclass(frozen=True)
class Folder:
    """A folder of photographs.

    Attributes:
        path: the folder.
        counts: {class: images}.
        height, width: medians of their sizes, in pixels.
    """

    path: Path
    counts: dict[str, int]
    height: int
    width: int

    @property
    def images(self) -> int:
        """How many images there are."""
        return sum(self.counts.values())

    @property
    def shorter(self) -> int:
        """The shorter side of the usual image, in pixels."""
        return min(self.height, self.width)

    @property
    def crop(self) -> float | None:
        """How images become squares: 1.0, the largest square in their middle; None: long ones, as a whole."""
        return 1.0 if max(self.height, self.width) <= LONG * self.shorter else None

    @property
    def imbalanced(self) -> bool:
        """Whether the largest class has more than RARE times the images of the smallest."""
        return max(self.counts.values()) > RARE * min(self.counts.values())

    def sentence(self) -> str:
        """Return what was found, for a log and a page."""
        largest, smallest = (choose(self.counts, key=lambda name: self.counts[name]) for choose in (max, min))
        equal = self.counts[largest] == self.counts[smallest]
        shares = f"{self.counts[largest]} of each" if equal else \
            f"{largest!r} has {self.counts[largest]}, {smallest!r} {self.counts[smallest]}"
        return (f"{self.images} images of {len(self.counts)} classes, {self.height}x{self.width} pixels in the median; "
                f"{shares}")


def look(path: str | Path, classes: Sequence[str] | str | None = None) -> Folder:
    """Return what a folder holds: PATH/<class>/*.jpg, or PATH/{train,val,test}/<class>/*.jpg.

    Args:
        path: the folder.
        classes: those that count, as data_args has them; None: all.

    Raises:
        DataError: no folder, an unknown class, fewer than two classes, or a class of fewer than FEWEST images.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise DataError(f"There is no folder {str(root)!r}. Expected one with a folder of images for each class.")
    files: dict[str, list[Path]] = {}
    for part in layout.roots(root).values():
        for name, found in layout.classes(part).items():
            files[name] = files.get(name, []) + found
    wanted = list(files) if classes is None else listed(classes, files)
    if unknown := [name for name in wanted if name not in files]:
        raise DataError(f"classes: there is no class {unknown[0]!r}. {nearest(unknown[0], files)}")
    counts = {name: len(files[name]) for name in wanted}
    if len(counts) < 2:
        raise DataError(f"{root} has {len(counts)} class folders. Expected a folder of images for each of at least two "
                        "classes.")
    if few := {name: count for name, count in counts.items() if count < FEWEST}:
        name, count = min(few.items(), key=lambda item: item[1])
        more = f" (and {len(few) - 1} more such classes)" if len(few) > 1 else ""
        raise DataError(f"The class {name!r} has {count} image{'s' * (count != 1)}{more}. Expected {FEWEST} or more "
                        "of each, to learn from, to choose with and to measure on. Add some, or take the class out.")
    return Folder(root, counts, *_median_size([file for name in wanted for file in files[name]]))


def _median_size(files: Sequence[Path]) -> tuple[int, int]:
    """Return (height, width), each the median of up to LOOKS files, as viewers show them."""
    with ThreadPoolExecutor() as pool:
        found = list(filter(None, pool.map(_size, files[::max(1, len(files) // LOOKS)])))
    if not found:
        raise DataError(f"{files[0].parent} holds no file that opens as an image.")
    height, width = np.median(np.array(found), axis=0).round().astype(int).tolist()
    return height, width


def _size(file: Path) -> tuple[int, int] | None:
    try:
        with Image.open(file) as image:
            width, height = image.size
            return (width, height) if image.getexif().get(ORIENTATION) in TURNED else (height, width)
    except (OSError, ValueError, RuntimeError, Image.DecompressionBombError):
        return None  # reading it for training will say what is wrong with it
