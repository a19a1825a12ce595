"""All attacks on a model with one budget, from the weakest to the strongest, and what they leave right."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from kerasdl.attacks import ball, masking
from kerasdl.attacks.apgd import apgd_ce, apgd_t
from kerasdl.attacks.masking import Check
from kerasdl.attacks.network import Attacked
from kerasdl.attacks.pgd import fgsm, pgd, pushed
from kerasdl.attacks.square import square
from kerasdl.attacks.transfer import substitute


class Effort(NamedTuple):
    """How long attacks try.

    Attributes:
        steps: of PGD, from each start.
        short: of PGD where it has few.
        starts: of PGD.
        apgd: steps of APGD, for each class that it aims at.
        queries: of Square.
    """

    steps: int = 40
    short: int = 10
    starts: int = 3
    apgd: int = 50
    queries: int = 1000


FULL = Effort()
QUICK = Effort(steps=20, short=5, starts=2, apgd=20, queries=200)


class Attacks(NamedTuple):
    """What attacks left of a model's right answers.

    Attributes:
        right: which of the images (N,) are still answered correctly, by attack; "clean" is without one.
        worst: the same after every attack: those that nothing fooled.
        checks: signs that the model hides its gradient.
        moved: the most that any attack moved a number of any image, in grey levels.
    """

    right: dict[str, np.ndarray]
    worst: np.ndarray
    checks: list[Check]
    moved: float


def attack(model: keras.Model | Attacked, x: np.ndarray, y: np.ndarray, eps: float, others: np.ndarray, *,
           effort: Effort = FULL, seed: int = 0) -> Attacks:
    """Return what every attack leaves of a model's right answers.

    Args:
        model: raw images -> logits.
        x: images (N, H, W, C), bytes or floats 0..255.
        y: their classes (N,).
        eps: budget in grey levels, 1 to 255.
        others: images to make another network with, for the attack by transfer; not those that are attacked.
        effort: how long they try.
        seed: of everything that is drawn.
    """
    attacked, most = Attacked.of(model), 0.0
    ball.check(eps)
    clean = attacked.right(x, y)
    places = np.flatnonzero(clean)
    x, y = x[places], y[places]
    right: dict[str, np.ndarray] = {"clean": clean}
    other = substitute(attacked, others, seed)
    attacks: dict[str, Callable[[], np.ndarray]] = {
        "fgsm": lambda: fgsm(attacked, x, y, eps),
        "pgd_short": lambda: pgd(attacked, x, y, eps, steps=effort.short, seed=seed),
        "pgd_one": lambda: pgd(attacked, x, y, eps, steps=effort.steps, seed=seed),
        "pgd": lambda: pgd(attacked, x, y, eps, steps=effort.steps, restarts=effort.starts, seed=seed),
        "apgd_ce": lambda: apgd_ce(attacked, x, y, eps, steps=effort.apgd, seed=seed),
        "apgd_t": lambda: apgd_t(attacked, x, y, eps, steps=effort.apgd, seed=seed),
        "square": lambda: square(attacked, x, y, eps, queries=effort.queries, seed=seed),
        "transfer": lambda: pushed(other, x, y, eps, steps=effort.steps, seed=seed),
        "whole_range": lambda: pgd(attacked, x, y, ball.MOST, steps=effort.steps, seed=seed)}
    for name, run in attacks.items():
        found = run()
        if name != "whole_range" and len(found):
            most = max(most, float(np.abs(found.astype("float32") - x.astype("float32")).max()))
        right[name] = np.zeros(len(clean), bool)
        right[name][places] = attacked.right(found, y)
    worst = np.logical_and.reduce([mask for name, mask in right.items() if name != "whole_range"])
    flat = masking.flat(attacked, x, y)
    return Attacks(right, worst, masking.checks(right, float(flat.mean()) if len(flat) else 0.0), most)
