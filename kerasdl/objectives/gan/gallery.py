"""What a run that makes images has to show: samples, the film of its epochs, the way between two, and the nearest."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerasdl import figures
from kerasdl.objectives.film import film
from kerasdl.objectives.gan.gan import clusters, decode, latents
from kerasdl.objectives.gan.gan import sample as draw
from kerasdl.objectives.gan.scores import some
from kerasdl.objectives.images import enlarged, grid
from kerasdl.objectives.sections import Findings

WAYS, BETWEEN = 5, 9  # ways from one noise to another, and images on each
PAIRS = 10  # images beside their nearest ones
POOL = 2000  # generated images among which a real one's nearest is looked for
MOST = 60_000  # real images among which a generated one's nearest is looked for,
NUMBERS = 2**28  # or as many as have so many pixels, a gigabyte as they are compared
ROWS = {"test": "this generator", "train": "real images (train)", "noise": "noise", "untrained": "untrained generator"}


def findings(found: Findings) -> dict[str, Any]:
    """Return what the report shows of a generator: images as data: addresses, and the table of scores."""
    model, result, train = found.model(), found.result, found.splits("train")
    classes = train.classes
    labels = labels_of(model, classes, PAIRS)
    made = draw(model, PAIRS, labels, seed=1)
    pool = draw(model, POOL, labels_of(model, classes, POOL), seed=2)
    known = train.take(some(len(train), min(MOST, max(1, NUMBERS // made[0].size))))[0]
    test = found.splits("test")
    real = test.take(some(len(test), PAIRS))[0]
    return {
        "data": found.data, "film": film(found.folder / "tensorboard"),
        "ways": figures.png_of(grid(enlarged(ways(model, classes)), BETWEEN)),
        "made": pairs(made, known[closest(made, known)]), "known": len(known),
        "real": pairs(real, pool[closest(real, pool)]), "pool": POOL,
        "scores": scores(result), "counts": result.get("samples", {}), "taught": result.get("taught"),
    }


def labels_of(model, classes: Sequence[str], count: int) -> np.ndarray | None:
    """For a conditional model all classes in turn."""
    return np.arange(count) % len(classes) if len(model.inputs) == 2 else None


def ways(model, classes: Sequence[str]) -> np.ndarray:
    """WAYS rows of BETWEEN images from one noise to another, each of one class or cluster where the model has them."""
    ends = latents(2 * WAYS, model.inputs[0].shape[-1], seed=3)
    noise = np.concatenate([between(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True)])
    if clusters(model):  # of which each is a place of the last number
        noise[:, -1] = ends[::2, -1].repeat(BETWEEN)
    labels = labels_of(model, classes, WAYS)
    return decode(model, noise, labels if labels is None else labels.repeat(BETWEEN))


def between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """BETWEEN vectors from a to b on a great circle, which keeps to the lengths that normal noise has (White, 2016)."""
    angle = np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))
    share = np.linspace(0, 1, BETWEEN)[:, None]
    if np.sin(angle) < 1e-6:  # on one line, as all of one number are
        return (a + share * (b - a)).astype("float32")
    return ((np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)).astype("float32")


def closest(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The index of the other image that is nearest to each, by the distance of their pixels."""
    flat = others.reshape(len(others), -1).astype("float32")
    squares = np.einsum("ij,ij->i", flat, flat)
    rows = images.reshape(len(images), -1).astype("float32")
    return (squares - 2 * rows @ flat.T).argmin(1)


def pairs(one: np.ndarray, other: np.ndarray) -> str:
    """Images in a row, and below each its other one."""
    return figures.png_of(grid(enlarged(np.concatenate([one, other])), len(one)))


def scores(result: Mapping[str, Any]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Names of the scores, and (what was measured, its scores) of each row that result.json has."""
    rows = {"test": result.get("test"), **result.get("references", {})}
    names = list(result.get("test", {}))
    told = [(ROWS[key], [f"{row[name]:.4g}" if name in row else "" for name in names])
            for key in ROWS if (row := rows.get(key))]
    return [figures.label(name) for name in names], told
