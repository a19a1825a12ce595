"""What breaks it by accident: noise, blur, weather, digital damage, lines and moves, in five severities."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from kerasdl import figures
from kerasdl.attacks.network import Attacked
from kerasdl.audit.subject import Subject
from kerasdl.audit.words import fold, percent, points, some, span
from kerasdl.data import corruptions
from kerasdl.evaluation.intervals import of_share
from kerasdl.objectives.sections import Section, drawing, note, table

TITLE, ORDER, VERSION = "What breaks it by accident?", 32, 1
FULL, QUICK = 400, 100  # test images
SEVERITIES = {False: corruptions.SEVERITIES, True: (1, 3, 5)}  # by whether it is quick
WORST = 3
SHOWN = 6


def applies(subject: Subject) -> str:
    if subject.target != "class" or subject.kind != "image":
        return "Corruptions are measured on images that have a class."
    channels = subject.run.data["shape"][2]
    return "" if channels in (1, 3) else f"Corruptions are made of images of 1 or 3 channels. These have {channels}."


def measure(subject: Subject) -> dict[str, Any]:
    index = subject.examples(subject.size(FULL, QUICK))
    split, attacked = subject.split("test"), Attacked(subject.model)
    x, y = split.take(index)[0], subject.answers("test")[1][index]
    severities = SEVERITIES[subject.quick]
    rows = by_kind(attacked, x, y, severities, subject.recipe.augment, subject.seed)
    clean = attacked.right(x, y)
    worst = worst_first(rows)[0]["kind"]
    return {"examples": len(index), "clean": float(clean.mean()), "interval": of_share(int(clean.sum()), len(clean)),
            "severities": list(severities), "kinds": rows, "mean": mean(rows),
            "mean_new": mean([row for row in rows if not row["trained_on"]]), "sheet": sheet(x, worst, subject.seed)}


def by_kind(attacked: Attacked, x: np.ndarray, y: np.ndarray, severities: Sequence[int], augment: Sequence, seed: int
            ) -> list[dict[str, Any]]:
    """Return the accuracy of each kind at each severity, and which of a recipe's augmentations show it in training.

    Args:
        attacked: the classifier.
        x: images (N, H, W, C), bytes.
        y: their classes (N,).
        severities: which ones, 1 to 5.
        augment: of the recipe.
        seed: of all that is drawn.
    """
    rows = []
    for kind in corruptions.kinds(x.shape[1:]):
        right = [attacked.right(corruptions.corrupt(x, kind, severity, seed), y) for severity in severities]
        rows.append({"kind": kind, "family": corruptions.family(kind), "accuracy": [float(one.mean()) for one in right],
                     "trained_on": corruptions.trained_on(augment, kind)})
    return rows


def mean(rows: list[dict[str, Any]]) -> float:
    """Return the accuracy averaged over kinds and severities."""
    return float(np.mean([row["accuracy"] for row in rows]))


def worst_first(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return kinds by their accuracy averaged over severities, the lowest first."""
    return sorted(rows, key=lambda row: float(np.mean(row["accuracy"])))


def sheet(x: np.ndarray, kind: str, seed: int) -> str:
    """Return the first images as they are and in three severities of a kind, a row each, as the address of a PNG."""
    rows = [x[:SHOWN], *(corruptions.corrupt(x[:SHOWN], kind, severity, seed) for severity in (1, 3, 5))]
    return figures.png_of(np.concatenate([np.concatenate(list(row), axis=1) for row in rows]))


def lines(found: dict[str, Any]) -> list[str]:
    rows = worst_first(found["kinds"])
    worst = [f"{name(row)} ({percent(float(np.mean(row['accuracy'])))})" for row in rows[:WORST]]
    known = [name(row) for row in found["kinds"] if row["trained_on"]]
    seen = f"Its own training augmentation shows it {some(known)}. Over the other kinds the average is " \
           f"{percent(found['mean_new'])}." if known else "No kind is one that its training augmentation shows it."
    low, high = found["interval"]
    return [f"It is right for {percent(found['clean'])} of {found['examples']} test images (95 % {span(low, high)}), "
            f"and for {percent(found['mean'])} of corrupted ones ({points(found['mean'] - found['clean'])}), on "
            f"average over {len(rows)} kinds and {len(found['severities'])} severities.",
            f"It loses most to {', '.join(worst[:-1])} and {worst[-1]}.", seen,
            "The kinds are those of CIFAR-10-C and MNIST-C with strengths of kerasdl's own, so that the numbers "
            "compare runs with each other, and not with published ones."]


def name(row: dict[str, Any]) -> str:
    """Return how a kind is called in a sentence."""
    return row["kind"].replace("_", " ")


def sections(found: dict[str, Any]) -> list[Section]:
    severities = found["severities"]
    series = [(family, np.mean([row["accuracy"] for row in found["kinds"] if row["family"] == family], axis=0))
              for family in dict.fromkeys(row["family"] for row in found["kinds"])]
    head = ("", *(f"severity {severity}" for severity in severities), "mean", "in training")
    cells = [(name(row), *(percent(value) for value in row["accuracy"]), percent(float(np.mean(row["accuracy"]))),
              ", ".join(row["trained_on"])) for row in worst_first(found["kinds"])]
    worst = worst_first(found["kinds"])[0]
    plot = figures.lines(severities, series, "severity", "accuracy", True)
    drawn = drawing(plot, "Accuracy by severity, for each family")
    return [Section("", drawn + fold("Every kind", table(head, cells)) + fold(
        f"What {name(worst)} looks like", image(found["sheet"], name(worst)) + note(
            "Test images as they are, and in severities 1, 3 and 5.")))]


def image(address: str, description: str) -> Any:
    """Return an image that is kept as its address."""
    return Markup('<img class="sheet" src="{}" alt="{}">').format(address, description)
