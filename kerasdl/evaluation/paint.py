"""What a run's model brings back in an image file: holes filled, colours, or less noise; and how well."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from kerasdl import objectives
from kerasdl.data import images
from kerasdl.errors import DataError, UserError
from kerasdl.files import whole, writing
from kerasdl.objectives import fills
from kerasdl.objectives.painting import Painted, in_channels, shown
from kerasdl.run import Run

LOSSY = ("JPEG", "MPO", "JPEG2000", "WEBP", "AVIF")  # formats in which black may not be 0


@dataclass(frozen=True)
class Result:
    """An image that a model has painted in.

    Attributes:
        painted: the image, and what was done.
        scores: {"model" or a control: {"psnr": dB of the new pixels, "ssim": of the part that the model saw}}; None
            where the true image is not known.
    """

    painted: Painted
    scores: dict[str, dict[str, float]] | None = None


def paint(run: Run | str | Path, image: str | Path, mask: str | Path | None = None, truth: str | Path | None = None
          ) -> Result:
    """Fill the holes of an image of any size, give it colours or take its noise, by what a run has learned.

    Args:
        run: the run, or its folder; its objective brings something back in images.
        image: an image file, read as kerasdl.evaluation.predict reads one, but never resized.
        mask: an image file of the same size: what is not black is a hole; where it has transparency, what is fully
            transparent.
        truth: an image file that shows what was there, for scores.

    Raises:
        UserError: a run that paints nothing, a file that cannot be read or has another size, no hole, or one that is
            larger than the model can fill.
    """
    run = Run.open(run)
    objective, reading = objectives.of(run.recipe, run.path), run.data.get("reading", {})
    ends = images.checked_range(reading.get("value_range"))
    given = images.read_raw(Path(image), ends)
    hole = None if mask is None else hole_of(Path(mask), given, Path(image))
    true = None if truth is None else images.read_raw(Path(truth), ends)
    if true is not None and true.shape[:2] != given.shape[:2]:
        raise DataError(f"{truth} is {shown(true.shape)} pixels and {image} is {shown(given.shape)}. They have to be "
                        "the same.")
    painted = objective.painted(run.model(), given, hole)
    return Result(painted, None if true is None else scores(painted, true, str(truth)))


def hole_of(file: Path, image: np.ndarray, name: Path) -> np.ndarray:
    """Return which pixels of an image a mask hides, bool (H, W).

    Raises:
        DataError: a mask of another size, without a hole, or in a format that does not keep black.
    """
    with images.decoding(file), Image.open(file) as opened:
        if opened.format in LOSSY:
            raise DataError(f"{file} is a {opened.format}, in which black may not be quite black. Save the mask as a "
                            "PNG.")
        turned = images.turned(opened)
        deep = turned.mode in images.DEEP
        layers = np.asarray(turned)[..., None] if deep else np.asarray(turned.convert("RGBA"))
    transparent = not deep and bool((layers[..., 3] == 0).any())
    hole = np.asarray(layers[..., 3] == 0 if transparent else (layers[..., :3] > 0).any(-1))
    if hole.shape != image.shape[:2]:
        raise DataError(f"The mask {file} is {shown(hole.shape)} pixels and {name} is {shown(image.shape)}. They have "
                        "to be the same.")
    if not hole.any():
        raise DataError(f"The mask {file} is black, and so has no hole. What is to be filled is white.")
    return hole


def scores(painted: Painted, truth: np.ndarray, name: str) -> dict[str, dict[str, float]]:
    """Return PSNR and SSIM of the painted image, and of what fills without a network.

    Raises:
        DataError: the true image has other channels than the painted one.
    """
    if not painted.corruption.colour:  # a grey image is not the truth of its colours
        truth = in_channels(truth, painted.image.shape[2])
    if truth.shape[2] != painted.image.shape[2]:
        was, wanted = ("grey" if pixels.shape[2] == 1 else "in colour" for pixels in (truth, painted.image))
        raise DataError(f"{name} is {was}, and the image that was painted is {wanted}. Give the true image as that is.")
    made = {"model": lambda *_: painted.image[painted.part][None], **fills.controls(painted.corruption)}
    real, seen, hidden = (pixels[painted.part][None] for pixels in (truth, painted.seen, painted.hidden[..., None]))
    return {name: fills.scored(fill, real, seen, hidden) for name, fill in made.items()}


def write(image: np.ndarray, file: Path) -> None:
    """Write an image uint8 (H, W, C) as a PNG.

    Raises:
        UserError: another kind of file, or one that cannot be written.
    """
    if file.suffix.lower() != ".png":
        raise UserError(f"The image is written as a PNG, which keeps every pixel. Received: {file}.")
    encoded: Any = tf.io.encode_png(image).numpy()
    with writing(file, "Choose another --out."), whole(file) as partial:
        partial.write_bytes(encoded)
