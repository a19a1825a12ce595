"""What breaks it on purpose: attacks with and without gradients within a budget, and whether it hides its gradient."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from kerasdl import figures
from kerasdl.attacks import masking, suite
from kerasdl.attacks.apgd import apgd_ce, apgd_t
from kerasdl.attacks.network import Attacked
from kerasdl.audit.subject import Subject
from kerasdl.audit.words import fold, percent, span
from kerasdl.evaluation.intervals import of_share
from kerasdl.objectives.sections import Section, drawing, note, table

TITLE, ORDER, VERSION = "What breaks it on purpose?", 30, 4
FULL, QUICK = 300, 60  # test images
OTHERS = 2000  # training images that another network learns from, for the attack by transfer
BUDGETS = {1: 76.5, 3: 8.0}  # grey levels by channels, where the run was not trained against attacks: those of MNIST
# and CIFAR-10 in the literature
PARTS = (1 / 8, 1 / 4, 1 / 2)  # of the budget, at which the strongest attacks are tried too
SHOWN = 6
NAMES = {"clean": "no attack", "fgsm": "FGSM, one step", "pgd_short": "PGD, few steps", "pgd_one": "PGD, one start",
         "pgd": "PGD, several starts", "apgd_ce": "APGD, cross-entropy", "apgd_t": "APGD, targeted DLR",
         "square": "Square, without gradients", "transfer": "images that fool another network",
         "whole_range": "PGD where every pixel may be anything", "worst": "the strongest for each image"}


def applies(subject: Subject) -> str:
    if subject.target != "class" or subject.kind != "image":
        return "Attacks are measured on images that have a class."
    channels = subject.run.data["shape"][2]
    return "" if channels in BUDGETS else f"Attacks are measured on images of 1 or 3 channels. These have {channels}."


def budget(subject: Subject) -> tuple[float, str]:
    """Return the budget in grey levels, and why it is this one."""
    if own := subject.objective.attack_budget:
        return own, "that of its training"
    channels = subject.run.data["shape"][2]
    return BUDGETS[channels], f"the literature's for {'MNIST' if channels == 1 else 'CIFAR-10'}"


def measure(subject: Subject) -> dict[str, Any]:
    index = subject.examples(subject.size(FULL, QUICK))
    split, attacked = subject.split("test"), Attacked(subject.model, batch=min(128, len(index)))
    x, y = split.take(index)[0], subject.answers("test")[1][index]
    train, count = subject.split("train"), subject.size(OTHERS, OTHERS // 2)
    # of a set that is streamed the first ones, because a share of each class takes a pass over all of it
    others = train.sample(count) if train.streamed else train.take(subject.examples(count, "train"))[0]
    effort = suite.QUICK if subject.quick else suite.FULL
    eps, why = budget(subject)
    done = suite.attack(attacked, x, y, eps, others, effort=effort, seed=subject.seed)
    ladder, left = smaller(attacked, x, y, eps, effort, subject.seed)
    worst = done.worst & left
    right = {**done.right, "worst": worst}
    return {"examples": len(index), "eps": eps, "why": why, "whole_bytes": x.dtype == np.uint8, "moved": done.moved,
            "effort": effort._asdict(), "right": {name: shared(mask) for name, mask in right.items()},
            "budgets": [{"eps": 0.0, **shared(done.right["clean"])}, *ladder, {"eps": eps, **shared(worst)}],
            "checks": [check._asdict() for check in done.checks], "masked": masking.masked(done.checks),
            "sheet": sheet(attacked, x, y, eps, effort, subject.seed)}


def shared(mask: np.ndarray) -> dict[str, Any]:
    """Return how many images are still right, with the interval of 95 %."""
    return {"accuracy": float(mask.mean()), "interval": of_share(int(mask.sum()), len(mask))}


def smaller(attacked: Attacked, x: np.ndarray, y: np.ndarray, eps: float, effort: suite.Effort, seed: int
            ) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Return what APGD leaves right with smaller budgets, and which images all of them leave.

    An image that a smaller budget fooled is fooled by a larger one.
    """
    found, left = [], attacked.right(x, y)
    for part in PARTS:
        if eps * part < 1:
            continue
        for attack in (apgd_ce, apgd_t):
            if (places := np.flatnonzero(left)).size:
                moved = attack(attacked, x[places], y[places], eps * part, steps=effort.apgd, seed=seed)
                left[places] = attacked.right(moved, y[places])
        found.append({"eps": eps * part, **shared(left)})
    return found, left


def sheet(attacked: Attacked, x: np.ndarray, y: np.ndarray, eps: float, effort: suite.Effort, seed: int) -> str:
    """Return the first images above what APGD makes of them, as the address of a PNG."""
    x, y = x[:SHOWN], y[:SHOWN]
    moved = apgd_t(attacked, x, y, eps, steps=effort.apgd, seed=seed)
    rows = [np.concatenate(list(row), axis=1) for row in (x, moved)]
    return figures.png_of(np.rint(np.concatenate(rows)).astype("uint8"))


def lines(found: dict[str, Any]) -> list[str]:
    right: Mapping[str, Any] = found["right"]
    low, high = right["worst"]["interval"]
    whole = " in whole bytes" if found["whole_bytes"] else ""
    answer = f"It is right for {percent(right['clean']['accuracy'])} of {found['examples']} test images, and for " \
             f"{percent(right['worst']['accuracy'])} (95 % {span(low, high)}) if each number of an image may move by " \
             f"{found['eps']:g} of 255 grey levels{whole}: {found['why']}."
    failed = [check for check in found["checks"] if not check["holds"] and not check["warning"]]
    warned = [check for check in found["checks"] if not check["holds"] and check["warning"]]
    if failed:
        trust = "It hides its gradient, so that attacks may leave too many right: not true that " + \
                "; ".join(f"{check['expects']} ({check['says']})" for check in failed) + "."
    else:
        trust = "Nothing says that it hides its gradient: more steps, more starts and larger budgets leave fewer " \
                "right, and attacks that see no gradient leave more."
    alone = f"PGD alone would have said {percent(right['pgd']['accuracy'])}, one step of FGSM " \
            f"{percent(right['fgsm']['accuracy'])}, and random search without gradients " \
            f"{percent(right['square']['accuracy'])}."
    more = [f"A warning, which nets that hide nothing give too: not true that {check['expects']} ({check['says']})."
            for check in warned]
    return [answer, trust, alone, *more,
            "Nobody can say that no attack does better: this is how many are right at most."][:6]


def sections(found: dict[str, Any]) -> list[Section]:
    head = ("attack", "still right", "95 %")
    rows = [(title, percent(found["right"][name]["accuracy"]), span(*found["right"][name]["interval"]))
            for name, title in NAMES.items()]
    checks = table(("what a model that hides nothing does", "", ""), [
        (check["expects"], "yes" if check["holds"] else "no, a warning" if check["warning"] else "no", check["says"])
        for check in found["checks"]])
    ladder = table(("budget, grey levels", "still right", "95 %"), [
        (f"{row['eps']:g}", percent(row["accuracy"]), span(*row["interval"])) for row in found["budgets"]])
    plot = figures.lines([row["eps"] for row in found["budgets"]],
                         [("", [row["accuracy"] for row in found["budgets"]])], "budget, grey levels", "accuracy", True)
    image = Markup('<img class="sheet" src="{}" alt="images, and what an attack makes of them">').format(found["sheet"])
    return [Section("", drawing(plot, "Accuracy by the budget of the attacks") + fold(
        "Every attack", table(head, rows)) + fold("Does it hide its gradient?", checks + note(
            "An attack that follows the gradient fails where the gradient says nothing, however easily the model is "
            "fooled. Then attacks that do not need it do better, or more steps do not help.")) + fold(
        "Smaller budgets", ladder) + fold("What an attacked image looks like", image + note(
            f"Test images, and below them what an attack makes of them with {found['eps']:g} grey levels.")))]
