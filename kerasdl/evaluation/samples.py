"""Images that a run's model makes, and texts that it continues."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerasdl import objectives
from kerasdl.errors import UserError, nearest
from kerasdl.files import whole, writing
from kerasdl.objectives.images import enlarged, grid
from kerasdl.run import Run


def sample(run: Run | str | Path, n: int = 64, label: str | int | None = None, seed: int = 0) -> np.ndarray:
    """Return images that a run's model makes, uint8 (n, H, W, C): the same for the same seed.

    Args:
        run: the run, or its folder.
        n: how many.
        label: for a conditional generator, a class by its name; by default all classes in turn.
        seed: of the noise.

    Raises:
        UserError: a run whose model makes no images, or a class that it does not know.
    """
    run = Run.open(run)
    objective, classes = objectives.of(run.recipe, run.path), run.data["classes"]
    if n < 1:
        raise UserError(f"n is 1 or more. Received: {n}.")
    if label is not None and str(label) not in classes:
        raise UserError(f"Unknown class {str(label)!r}. {nearest(str(label), classes)}")
    return objective.sample(run.model(), n, None if label is None else classes.index(str(label)), seed)


def continued(run: Run | str | Path, prompt: str, count: int = 300, **settings: Any) -> str:
    """Return a text with `count` tokens that a run's language model continues it with: the same for the same seed.

    Args:
        run: the run, or its folder.
        prompt: the text so far.
        count: how many tokens; characters, where these are the tokens.
        **settings: temperature, top_k, top_p and seed, as in kerasdl.zoo.generation.sample.

    Raises:
        UserError: a run whose model writes no text, a prompt without a token, or a setting out of range.
    """
    run = Run.open(run)
    return objectives.of(run.recipe, run.path).continued(run.model(), prompt, count, **settings)


def write(images: np.ndarray, file: Path) -> None:
    """Write images (N, H, W, C) uint8 as one PNG, a grid nearly square.

    Raises:
        UserError: another kind of file, or one that cannot be written.
    """
    if file.suffix.lower() != ".png":
        raise UserError(f"The images are written as a PNG. Received: {file}.")
    encoded = tf.io.encode_png(grid(enlarged(images), int(np.ceil(len(images) ** 0.5)))).numpy()
    with writing(file, "Choose another --out."), whole(file) as partial:
        partial.write_bytes(encoded)
