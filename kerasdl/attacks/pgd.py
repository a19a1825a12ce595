"""FGSM and PGD: steps along the sign of the gradient of the cross-entropy.

Goodfellow et al. 2015, arXiv:1412.6572; Madry et al. 2018, arXiv:1706.06083.
"""

from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasdl.attacks import ball, losses
from kerasdl.attacks.network import Attacked
from kerasdl.gradients import constant, value_and_gradient

CROSSES = 2.5  # the steps of PGD together, in budgets: fewer could not cross the ball from a random start


def fgsm(model: keras.Model | Attacked, x: np.ndarray, y: np.ndarray, eps: float) -> np.ndarray:
    """Return images after one step of the whole budget from the image itself.

    Args:
        model: raw images -> logits.
        x: images (N, H, W, C), bytes or floats 0..255.
        y: their classes (N,).
        eps: budget in grey levels, 1 to 255.
    """
    return _search(Attacked.of(model), x, y, np.zeros(x.shape, "float32"), eps, 1, 1.0)


def pgd(model: keras.Model | Attacked, x: np.ndarray, y: np.ndarray, eps: float, *, steps: int = 40, restarts: int = 1,
        seed: int = 0) -> np.ndarray:
    """Return images after steps of 2.5 / `steps` of the budget from random points of the ball.

    Of all points on the way the first wrong answer is taken, or else the one with the greatest loss. A restart is for
    the images that are still answered correctly.

    Args:
        model: raw images -> logits.
        x: images (N, H, W, C), bytes or floats 0..255.
        y: their classes (N,).
        eps: budget in grey levels, 1 to 255.
        steps: of each restart.
        restarts: how many random points to begin with.
        seed: of the random points.
    """
    attacked = Attacked.of(model)

    def attempt(left, number):
        random = np.random.default_rng([seed, number])
        start = random.uniform(-eps, eps, x.shape).astype("float32")[left]  # the same for an image, whatever is left
        return _search(attacked, x[left], y[left], start, eps, steps, CROSSES / steps)

    return attacked.retried(x, y, [partial(attempt, number=number) for number in range(restarts)])


def pushed(model: keras.Model | Attacked, x: np.ndarray, y: np.ndarray, eps: float, *, steps: int = 40, seed: int = 0
           ) -> np.ndarray:
    """Return every image after all steps of PGD from a random point, for an attack on another model by transfer.

    Where this model is wrong already, or was fooled on the way, the other one may need more. Arguments as `pgd`.
    """
    if not len(x):
        return x.copy()
    attacked, eps = Attacked.of(model), ball.reach(x, eps)
    start = np.random.default_rng([seed, 0, 4]).uniform(-eps, eps, x.shape).astype("float32")

    def way(x, rows, start, eps):
        return climbed(attacked.model, x, rows, start, eps, CROSSES / steps * eps, steps)

    (found,) = attacked.run(("pushed", steps), way, [x.astype("float32"), attacked.rows(y), start], eps)
    return ball.delivered(found, x, eps)


def _search(attacked: Attacked, x: np.ndarray, y: np.ndarray, start: np.ndarray, eps: float, steps: int,
            stride: float) -> np.ndarray:
    """Return the best of the points on the way, in the dtype of the images."""
    eps, look = ball.reach(x, eps), ball.seen(x)
    if not len(x):
        return x.copy()

    def way(x, rows, start, eps, steps, stride):
        low, high = ball.bounds(x, eps)

        def step(i, at, best, most, wrong):
            shown = look(at)
            each, logits, slope = value_and_gradient(lambda images: attacked.cross_entropy(images, rows), shown)
            fooled = losses.margin(logits, rows) > 0
            better = ops.logical_and(ops.logical_not(wrong), ops.logical_or(fooled, each > most))
            best = ops.where(better[:, None, None, None], shown, best)
            moved = ball.within(at + stride * eps * ops.sign(slope), low, high)
            return i + 1, moved, best, ops.where(better, each, most), ops.logical_or(wrong, fooled)

        at = ball.within(x + start, low, high)
        count = ops.sum(rows, axis=-1)
        state = (ops.zeros(()), at, at, -losses.FAR * count, count < 0)
        return ops.while_loop(
            lambda i, at, best, most, wrong: ops.logical_and(i <= steps, ops.any(ops.logical_not(wrong))), step,
            state)[2]

    given = [x.astype("float32"), attacked.rows(y), start]
    (found,) = attacked.run(("pgd", x.dtype.name), way, given, eps, steps, stride)
    return ball.delivered(found, x, eps)


def climbed(model: keras.Model, x: Any, rows: Any, start: Any, eps: float, stride: float, steps: int) -> Any:
    """Return images at the end of some steps along the sign of the gradient, for a training step; tensors.

    The model answers as in inference: no statistic of a batch normalisation moves, and no dropout is drawn.

    Args:
        model: raw images -> logits.
        x: images (B, H, W, C) float32, 0..255.
        rows: targets (B, classes), smoothed or mixed ones too.
        start: what is added first, (B, H, W, C).
        eps: budget in grey levels.
        stride: of a step, in grey levels.
        steps: how many, 1 or more.
    """
    low, high = ball.bounds(x, eps)
    attacked = Attacked.of(model)

    def step(_, at):
        slope = value_and_gradient(lambda images: attacked.cross_entropy(images, rows), at)[2]
        return ball.within(at + stride * ops.sign(slope), low, high)

    with constant(model):
        at = ball.within(x + start, low, high)
        at = step(0, at) if steps == 1 else ops.fori_loop(0, steps, step, at)
    return ops.stop_gradient(at)
