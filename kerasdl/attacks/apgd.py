"""APGD: PGD with momentum, whose step halves where it makes no progress, with the cross-entropy or targeted DLR.

Croce & Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks",
arXiv:2003.01690, algorithm 1 and equation 6, written from the paper. AutoAttack is APGD-CE, APGD-T, FAB-T and Square;
here FAB-T is left out.
"""

from functools import partial

import keras
import numpy as np
from keras import ops

from kerasdl.attacks import ball, losses
from kerasdl.attacks.network import Attacked
from kerasdl.gradients import value_and_gradient

MOMENTUM = 0.75  # the paper's alpha
PROGRESS = 0.75  # its rho: share of the steps between two checkpoints that have to raise the loss


def checkpoints(steps: int) -> dict[int, int]:
    """Return the steps at which the size of a step is decided on, {step: steps since the one before}.

    p_0 = 0, p_1 = 0.22, p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06), times the number of steps, rounded up.
    """
    shares = [0, 22]  # in hundredths, which are whole
    while shares[-1] < 100:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 3, 6))
    places = sorted({-(-share * steps // 100) for share in shares if share <= 100})
    return {later: later - earlier for earlier, later in zip(places, places[1:], strict=False)}


def apgd_ce(model: keras.Model | Attacked, x: np.ndarray, y: np.ndarray, eps: float, *, steps: int = 100,
            seed: int = 0) -> np.ndarray:
    """Return images that APGD with the cross-entropy found, from one random point each.

    Arguments as `kerasdl.attacks.pgd.pgd`.
    """
    attacked = Attacked.of(model)
    return attacked.retried(x, y, [
        lambda left: _apgd(attacked, x[left], y[left], None, eps, steps, starts(x, eps, seed, 0)[left])])


def apgd_t(model: keras.Model | Attacked, x: np.ndarray, y: np.ndarray, eps: float, *, steps: int = 100,
           targets: int = 9, seed: int = 0) -> np.ndarray:
    """Return images that APGD found with the targeted DLR, for the most probable wrong classes in turn.

    Args:
        model: raw images -> logits.
        x: images (N, H, W, C), bytes or floats 0..255.
        y: their classes (N,).
        eps: budget in grey levels, 1 to 255.
        steps: for each class.
        targets: how many wrong classes; as many as there are, if there are fewer.
        seed: of the random points that it begins with.
    """
    attacked = Attacked.of(model)
    order = np.argsort(-(attacked.logits(x) - losses.FAR * attacked.rows(y)), axis=1, kind="stable")

    def attempt(left, number):
        return _apgd(attacked, x[left], y[left], order[left, number], eps, steps, starts(x, eps, seed, number)[left])

    return attacked.retried(x, y, [partial(attempt, number=number)
                                   for number in range(min(targets, attacked.classes - 1))])


def starts(x: np.ndarray, eps: float, seed: int, number: int) -> np.ndarray:
    """Return what is added to images first: a random direction each, as long as the budget, (N, H, W, C)."""
    drawn = np.random.default_rng([seed, number, 1]).uniform(-1, 1, x.shape)
    return (eps * drawn / np.abs(drawn).reshape(len(x), -1).max(1).clip(1e-12)[:, None, None, None]).astype("float32")


def _apgd(attacked: Attacked, x: np.ndarray, y: np.ndarray, wanted: np.ndarray | None, eps: float, steps: int,
          start: np.ndarray) -> np.ndarray:
    """Return a wrongly answered point on the way of each image, or the one with the greatest loss."""
    eps, look = ball.reach(x, eps), ball.seen(x)
    spans = np.zeros(steps + 1, "float32")  # steps since the last checkpoint, at a checkpoint; else 0
    for place, span in checkpoints(steps).items():
        spans[place] = span

    def way(x, rows, wanted, start, eps, spans):
        low, high = ball.bounds(x, eps)
        last = spans.shape[0] - 1

        def loss(images):
            if not targeted:
                return attacked.cross_entropy(images, rows)
            logits = attacked.answers(images)
            return losses.targeted_dlr(logits, rows, wanted), logits

        def step(k, at, before, value_before, stride, best, slope_best, most, rises, halved, most_then, found, wrong):
            shown = look(at)
            value, logits, slope = value_and_gradient(loss, shown)
            fooled = losses.margin(logits, rows) > 0
            found = where(ops.logical_and(fooled, ops.logical_not(wrong)), shown, found)
            better = value > most
            best, slope_best = where(better, at, best), where(better, slope, slope_best)
            most = ops.maximum(value, most)
            rises = rises + ops.cast(value > value_before, "float32")
            # Halve where fewer than rho of the steps raised the loss, or where neither the size of the step nor the
            # greatest loss has changed since the last checkpoint; then go on from the best point.
            span = ops.take(spans, k)
            stuck = ops.logical_and(ops.logical_not(halved), most <= most_then)
            halve = ops.logical_and(span > 0, ops.logical_or(rises < PROGRESS * span, stuck))
            at, slope = where(halve, best, at), where(halve, slope_best, slope)
            stride = ops.where(halve, stride / 2, stride)
            halved = ops.where(span > 0, halve, halved)
            most_then = ops.where(span > 0, most, most_then)
            rises = ops.where(span > 0, 0.0, rises)
            forward = ball.within(at + stride[:, None, None, None] * ops.sign(slope), low, high)
            share = ops.where(k > 0, MOMENTUM, 1.0)
            after = ball.within(at + share * (forward - at) + (1 - share) * (at - before), low, high)
            return (k + 1, after, at, value, stride, best, slope_best, most, rises, halved, most_then, found,
                    ops.logical_or(wrong, fooled))

        at, one = ball.within(x + start, low, high), ops.sum(rows, axis=-1)
        least = -losses.FAR * one
        state = (0, at, at, -least, 2 * eps * one, at, ops.zeros_like(at), least, 0 * one, one > 0, least, at, one < 0)
        done = ops.while_loop(lambda k, *state: ops.logical_and(k <= last, ops.any(ops.logical_not(state[-1]))), step,
                              state)
        return where(done[-1], done[-2], done[5])

    targeted = wanted is not None
    rows = attacked.rows(y)
    given = [x.astype("float32"), rows, attacked.rows(wanted) if wanted is not None else rows, start]
    (found,) = attacked.run(("apgd", targeted, x.dtype.name), way, given, eps, spans)
    return ball.delivered(found, x, eps)


def where(rows, one, other):
    """Return the images of `one` where rows (B,) are true, and else of `other`."""
    return ops.where(rows[:, None, None, None], one, other)
