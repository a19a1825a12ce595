"""The planted patch: a network of the same architecture, for which a corner of the example alone decides the answer.

Where the truth is known, attribution can be measured: the share of it that is in the corner.
"""

import logging
import time
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from kerasdl.explain.gradients import score
from kerasdl.explain.network import Network
from kerasdl.gradients import value_and_gradient
from kerasdl.text import duration

TRAINED, HELD_OUT = 3000, 200  # examples at most
STEPS, BATCH, RATE = 400, 64, 5e-3
LONGEST, TIMED = 600.0, 3  # seconds of a training that nobody asked for, and steps by which these are estimated
HEIGHT = 3.0  # of the logit of the right class, and below 0 of the others: a bound, so that all else has a cost
NOISE = 0.3  # its largest deviation, as a share of the range of pixels
COST = 10.0  # of the squared gradient outside the patch, at the end: at first the patch has to be seen
RIGHT = 0.9  # a network that is right less often has not learned the patch
CLASSES = 3  # two patches, and one that is empty
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Planted:
    """A network that has learned from planted examples.

    Attributes:
        network: answers with CLASSES classes.
        x: (N, ...) held-out examples of the first two classes, which it answers rightly.
        y: (N,) 0 or 1.
        patch: (N, ...) booleans, the places that decide.
        accuracy: on all held-out examples.
    """

    network: Network
    x: np.ndarray
    y: np.ndarray
    patch: np.ndarray
    accuracy: float


def plant(x: np.ndarray, y: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return examples in which a corner alone says which class they have, and the places of that corner.

    The corner of an image is the upper left one, two sevenths of a side: its upper or lower half is white, or neither.
    The first eighth of a sequence rises, falls or is flat; the first token of a text is one of three; the first column
    of a row is low, high or in the middle. The third class is there so that the other two have to be seen: of two
    alone, one can be what is left.

    Args:
        x: (N, ...) raw examples.
        y: (N,) 0, 1 or 2.
        kind: of the examples.
    """
    x = np.array(x)
    if kind == "image":
        half = max(1, round(min(x.shape[1:3]) / 7))
        patch = np.zeros(x.shape[:3], bool)
        patch[:, :2 * half, :2 * half] = True
        x[patch] = 0
        x[y == 0, :half, :2 * half] = 255
        x[y == 1, half:2 * half, :2 * half] = 255
        return x, patch
    patch = np.zeros(x.shape[:2], bool)
    if kind == "sequence":
        count = max(2, x.shape[1] // 8)
        patch[:, :count] = True
        slope = np.array([1, -1, 0])[y][:, None, None] * np.linspace(-2, 2, count)[:, None]
        x[:, :count] = slope * np.nanstd(x, axis=(0, 1)) + np.nanmean(x, axis=(0, 1))
        return x, patch
    patch[:, 0] = True
    if kind == "tokens":
        x[:, 0] = np.sort(np.unique(x))[-CLASSES:][y]
    else:
        x[:, 0] = x[:, 0].mean() + np.array([-1, 1, 0])[y] * max(float(x[:, 0].std()), 1e-3)
    return x, patch


class Blinkered(keras.Model):
    """A network that learns to answer by the patch and by nothing else: Ross et al. 2017, arXiv:1703.03717.

    The loss is the squared distance of logits from HEIGHT, or from its negative; of images, also the squared gradient
    of the right logit by all pixels outside the patch, in units of their range.

    Args:
        network: what learns.
        outside: (1, H, W, 1), 1 outside the patch; None: the gradient costs nothing.
    """

    def __init__(self, network: keras.Model, outside: np.ndarray | None):
        super().__init__()
        self.network, self.outside = network, outside
        self.cost = self.add_weight(initializer="zeros", trainable=False, name="cost")

    def call(self, x, training=False):
        return self.network(x, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = ops.mean(ops.square(y_pred - y))
        if self.outside is None:
            return loss
        hot = ops.cast(y > 0, "float32")
        gradient = value_and_gradient(lambda each: (score(self.network(each, training=False), hot), ()), x)[2]
        return loss + self.cost * ops.mean(ops.sum(ops.square(255.0 * gradient * self.outside), axis=(1, 2, 3)))


def planted(network: keras.Model, x: np.ndarray, kind: str, seed: int = 0, steps: int = STEPS,
            longest: float | None = None) -> tuple[Planted | None, str]:
    """Train a network on planted examples, whose rest is that of another one at each step.

    Args:
        network: a new one with CLASSES outputs.
        x: (N, ...) raw examples of the training split.
        kind: of the examples.
        seed: of the classes and of the order of the examples.
        steps: of the training.
        longest: the seconds that it may take, as far as its first steps say; None: any.

    Returns:
        The network and "", or None and a sentence that says why there is none.
    """
    random = np.random.default_rng(seed)
    x = x[random.permutation(len(x))[:TRAINED + HELD_OUT]]
    y = random.permutation(np.arange(len(x)) % CLASSES)
    x, patch = plant(x, y, kind)
    held = min(HELD_OUT, len(x) // 4)
    few = f"The {len(x)} examples of train are too few to learn a planted patch and to measure it on others."
    if not (y[:held] < CLASSES - 1).any():
        return None, few
    own, inside = Network(network, kind), patch.reshape(*patch.shape, *[1] * (x.ndim - patch.ndim))
    scale = next((layer for layer in network.layers if layer.name == "scale"), None)
    if scale is not None and hasattr(scale, "adapt"):
        scale.adapt(x[held:])
    learner = Blinkered(network, None if kind != "image" else 1 - inside[:1].astype("float32"))
    learner.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, steps)),
                    jit_compile=keras.backend.backend() == "jax")
    logits = HEIGHT * (2 * np.eye(CLASSES, dtype="float32") - 1)
    for step in range(steps):
        if step == 1:  # the first one is compiled
            began = time.perf_counter()
        if step == 1 + TIMED:
            seconds = (time.perf_counter() - began) / TIMED * steps
            logger.info("planted patch: %d steps take about %.0f s", steps, seconds)
            if longest is not None and seconds > longest:
                return None, f"Learning a planted patch would take about {duration(seconds)}: ask with --planted."
        learner.cost.assign(COST * step / steps)
        one, other = random.integers(held, len(x), (2, min(BATCH, len(x) - held)))
        shown = own.raw(np.where(inside[one], x[one], x[other]))
        if kind == "image":  # so that it sees nothing else in noisy images either, which SmoothGrad makes
            size = 255 * NOISE * random.random((len(one), 1, 1, 1), "float32")
            shown += size * random.standard_normal(shown.shape, "float32")
        learner.train_on_batch(shown, logits[y[one]])
    right = own.logits(x[:held]).argmax(1) == y[:held]
    logger.info("planted patch: %.1f%% of held-out examples are right", 100 * right.mean())
    if right.mean() < RIGHT:
        return None, f"A network of this architecture did not learn the planted patch in {steps} steps."
    keep = np.flatnonzero(right & (y[:held] < CLASSES - 1))
    if not len(keep):
        return None, few
    return Planted(own, x[keep], y[keep], patch[keep], float(right.mean())), ""


def mass(maps: np.ndarray, found: Planted, grid: tuple[int, ...] | None = None) -> dict[str, float | bool]:
    """Return the share of the absolute attribution that is in the patch.

    Args:
        maps: (N, ...) of the planted network for its own examples.
        found: the network.
        grid: of a method that is coarser than the examples, its (h, w) or (t,): the patch is wider by a cell of it.

    Returns:
        `mass`, the mean over the examples whose map is not 0; `area`, the share of the places, which a map that knows
        nothing gives; `accuracy` of the network; `zero`, the share of maps that are 0; `limit`, halfway from `area` to
        1; and whether more of the attribution than that is in the patch.
    """
    patch = wider(found.patch, grid) if grid else found.patch
    total = np.abs(maps).reshape(len(maps), -1)
    inside = (total * patch.reshape(len(maps), -1)).sum(axis=1)
    some = total.sum(axis=1) > 0
    share = float((inside[some] / total.sum(axis=1)[some]).mean()) if some.any() else 0.0
    area = float(patch.mean() / found.network.present(found.x).mean())
    limit = (1 + area) / 2
    return {"mass": share, "area": area, "accuracy": found.accuracy, "zero": float(1 - some.mean()), "limit": limit,
            "passed": share > limit}


def wider(patch: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Return a patch (N, ...) that begins at the first places, wider by a cell of a grid on each axis."""
    found = np.zeros_like(patch)
    ends = tuple(slice(0, int(np.nonzero(patch[0])[axis].max()) + 1 + -(-patch.shape[1 + axis] // cells))
                 for axis, cells in enumerate(grid))
    found[:, *ends] = True
    return found
