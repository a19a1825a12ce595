"""Signs that an attack failed because the gradient says nothing, and not because the model holds out.

Carlini et al. 2019, "On Evaluating Adversarial Robustness", arXiv:1902.06705, section 5; Athalye et al. 2018,
arXiv:1802.00420, section 3.1.
"""

from collections.abc import Mapping
from typing import NamedTuple

import keras
import numpy as np

from kerasdl.attacks.network import Attacked
from kerasdl.gradients import value_and_gradient

SLACK = 0.01  # share of the images by which a comparison may fail: chance
FEW = 0.02  # share of the images that may stay right where every image is allowed
FLAT = 0.05  # share of the images without a gradient from which on the model is said to hide it
GRADIENT = ("fgsm", "pgd", "apgd_ce", "apgd_t")  # attacks that see the gradient


class Check(NamedTuple):
    """One of the signs.

    Attributes:
        name: a short one, for JSON.
        expects: what is true of a model that hides no gradient.
        holds: whether it is.
        warning: whether it says little where it does not hold: some models that hide nothing fail it.
        says: the numbers that decided, in a sentence.
    """

    name: str
    expects: str
    holds: bool
    warning: bool
    says: str


def flat(model: keras.Model | Attacked, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return for which images (N,) every entry of the gradient of the cross-entropy is 0 in float32.

    Args:
        model: raw images -> logits.
        x: images (N, H, W, C), bytes or floats 0..255.
        y: their classes (N,).
    """
    attacked = Attacked.of(model)

    def steepest(x, rows):
        slope = value_and_gradient(lambda images: attacked.cross_entropy(images, rows), x)[2]
        return keras.ops.max(keras.ops.abs(slope), axis=(1, 2, 3))

    if not len(x):
        return np.zeros(0, bool)
    return attacked.run("steepest", steepest, [x.astype("float32"), attacked.rows(y)])[0] == 0


def checks(right: Mapping[str, np.ndarray], without_gradient: float) -> list[Check]:
    """Return the five signs, and how many images have no gradient at all.

    Args:
        right: which images (N,) are still answered correctly after "clean" (no attack), "fgsm", "pgd_short" (one start,
            few steps), "pgd_one" (one start, all steps), "pgd" (all starts), "apgd_ce", "apgd_t", "square", "transfer"
            and "whole_range" (PGD that may change every pixel to anything).
        without_gradient: share of the images that `flat` gives.
    """
    share = {name: float(np.mean(mask)) for name, mask in right.items()}
    gradient = float(np.mean(np.logical_and.reduce([right[name] for name in GRADIENT])))
    square, moved = share["square"], share["transfer"]

    def percent(*names: str) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {share[name]:.1%}" for name in names)

    return [
        Check("steps_beat_one", "many steps leave no more images right than one", share["pgd"] <= share["fgsm"] + SLACK,
              False, percent("fgsm", "pgd")),
        Check("more_is_stronger", "more steps and more starts leave no more images right",
              share["pgd_one"] <= share["pgd_short"] + SLACK and share["pgd"] <= share["pgd_one"] + SLACK, False,
              percent("pgd_short", "pgd_one", "pgd")),
        Check("no_budget_no_right", "where every pixel may become anything, no image stays right",
              share["whole_range"] <= FEW, False, percent("whole_range")),
        Check("square_loses", "random search without gradients leaves as many right as all attacks with them, or more",
              square >= gradient - SLACK, False, f"square {square:.1%}, all with gradients {gradient:.1%}"),
        Check("square_loses_to_pgd", "random search without gradients leaves as many right as PGD, or more",
              square >= share["pgd"] - SLACK, True, percent("square", "pgd")),
        Check("transfer_loses", "images made for another network leave as many right as those made for this one",
              moved >= gradient - SLACK, False, f"transfer {moved:.1%}, all with gradients {gradient:.1%}"),
        Check("has_gradient", "the cross-entropy has a gradient at every image", without_gradient <= FLAT, False,
              f"without {without_gradient:.1%}"),
    ]


def masked(found: list[Check]) -> bool:
    """Return whether a sign that counts says that the model hides its gradient."""
    return any(not check.holds and not check.warning for check in found)
