"""Whose data it gives away: whether someone with an example can find out that the model has learned it.

An attack is worth what it recognises while it accuses few others (Carlini et al. 2022, arXiv:2112.03570): shares of
training examples at 1 % and 0.1 % false alarms. How often it is right on average says nothing of the worst case.
"""

from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from kerasdl import figures
from kerasdl.audit import shadows
from kerasdl.audit.subject import Subject
from kerasdl.audit.words import NARROW, fold, percent, share, span
from kerasdl.errors import UserError
from kerasdl.evaluation.intervals import of_share
from kerasdl.objectives.sections import Section, drawing, note, table

TITLE, ORDER, VERSION = "Whose data does it give away?", 50, 4
SETTINGS = ("shadows",)
EXAMPLES, QUICK, FEWEST = 10_000, 2000, 50  # of train, and as many of test
RATES = (0.01, 0.001)  # shares of others that an attack may accuse
LOSS, LIRA = "loss", "loss less shadows'"
WORDS = {LOSS: "how sure it is of the right class", LIRA: "how much surer of the right class it is than shadow runs"}
FAR = 3.0  # standard errors from which train and test differ by themselves


def applies(subject: Subject) -> str:
    if subject.target != "class":
        return "Attacks of regressions are not tried here."
    if subject.split("train").streamed:
        return "The data does not fit in memory, and is not gone through again."
    fewest = min(len(learned(subject)), len(subject.split("test")))
    return f"Train or test has fewer than {FEWEST} examples that count." if fewest < FEWEST else ""


def learned(subject: Subject) -> np.ndarray:
    """Return the places in train of what the run learned from (M,): an example of weight 0 is none of it."""
    train = subject.split("train")
    return np.arange(len(train)) if train.weights is None else np.flatnonzero(train.weights)


def measure(subject: Subject) -> dict[str, Any]:
    places = learned(subject)
    size = min(subject.size(EXAMPLES, QUICK), len(places), len(subject.split("test")))
    members, others = subject.examples(size, "train", places), subject.examples(size, "test")
    logits, truth = zip(*(subject.answers_at(*pair) for pair in (("train", members), ("test", others))), strict=True)
    known, fresh = (shadows.sureness(*pair) for pair in zip(logits, truth, strict=True))
    count, out, failed = shadows.count_for(subject), None, ""
    attacks, shift = {LOSS: attacked(known, fresh)}, None
    if count >= 2:
        try:
            out = shadows.outside(subject, members, others, count)
        except UserError as error:
            if subject.shadows:
                raise
            count, failed = 0, str(error)
    if out is not None:
        attacks[LIRA] = attacked(known - out[:size], fresh - out[size:])
        shift = differ(out[:size], out[size:])
    accuracy = [float((one.argmax(1) == other).mean()) for one, other in zip(logits, truth, strict=True)]
    return {"examples": size, "shadows": count, "unlike": shadows.unlike(subject), "failed": failed,
            "seconds": subject.run.result.get("train", {}).get("seconds"),
            "accuracy": {"train": accuracy[0], "test": accuracy[1]}, "smallest": 1 / size, "attacks": attacks,
            "shift": shift}


def attacked(members: np.ndarray, others: np.ndarray) -> dict[str, Any]:
    """Return what an attack recognises at each rate of false alarms.

    Args:
        members: (M,) how sure the attack is that examples were learned, of those that were.
        others: (N,) the same of those that were not.
    """
    there = np.concatenate([np.ones(len(members)), np.zeros(len(others))])
    return {"auc": float(roc_auc_score(there, np.concatenate([members, others]))),
            "rates": [at_rate(members, others, rate) for rate in RATES]}


def at_rate(members: np.ndarray, others: np.ndarray, rate: float) -> dict[str, Any]:
    """Return the share of members above the threshold that this share of the others is above, with intervals.

    Intervals are those of Clopper and Pearson. An attack works if all of its interval lies above that of its false
    alarms. {"recognised": None} if there are too few others for that rate.
    """
    allowed = int(rate * len(others) + 1e-9)
    if allowed < 1:
        return {"rate": rate, "recognised": None, "works": False}
    threshold = np.sort(others)[-allowed - 1]
    right, wrong = int((members > threshold).sum()), int((others > threshold).sum())
    interval, alarms = of_share(right, len(members), "exact"), of_share(wrong, len(others), "exact")
    return {"rate": rate, "recognised": right / len(members), "interval": list(interval), "alarms": wrong / len(others),
            "alarms_interval": list(alarms), "works": interval[0] > alarms[1]}


def differ(members: np.ndarray, others: np.ndarray) -> dict[str, Any]:
    """Return whether train and test examples differ for networks that have learned neither: then some of what an attack
    recognises is no memory."""
    area = float(roc_auc_score(np.concatenate([np.ones(len(members)), np.zeros(len(others))]),
                               np.concatenate([members, others])))
    error = float(np.sqrt((len(members) + len(others) + 1) / (12 * len(members) * len(others))))
    return {"auc": area, "differ": abs(area - 0.5) > FAR * error}


def lines(found: dict[str, Any]) -> list[str]:
    shown = [(name, row) for name, attack in found["attacks"].items() for row in attack["rates"]
             if row["recognised"] is not None]
    if not shown:
        return [f"Nothing can be said: with {found['examples']} examples that it did not learn from, a false alarm "
                f"rate of {share(RATES[0])} cannot be shown."]
    works = [pair for pair in shown if pair[1]["works"]]
    name, row = max(works or shown, key=lambda pair: pair[1]["recognised"] / pair[1]["rate"] if works else
                    (pair[0] == LIRA, -pair[1]["rate"]))
    first = f"It gives training examples away: {percent(row['recognised'])} of them can be recognised, with " \
            f"{share(row['rate'])} false alarms." if works else \
        "No attack that was tried tells its training examples from others."
    numbers = f"By {WORDS[name]}, an attack recognises {percent(row['recognised'])} (95 %: {span(*row['interval'])}) " \
              f"of the training examples while it accuses {percent(row['alarms'])} (95 %: " \
              f"{span(*row['alarms_interval'])}) of the others: {'more' if works else 'no more'} than chance."
    trust = f"Of {found['examples']:,} examples each that it learned from and did not, the smallest rate of false " \
            f"alarms that can be shown is {share(found['smallest'])}."
    rights = [percent(found["accuracy"][name]) for name in ("train", "test")]
    result = [first, numbers, f"{trust} {stronger(found)}",
              f"It is right for {rights[0]} of those that it learned from, and for {rights[1]} of the others."]
    if found["shift"] and found["shift"]["differ"]:
        result.append("Shadow runs that learned neither tell train from test, too: the splits differ by themselves, "
                      "and part of what attacks recognise is not memory.")
    return result


def stronger(found: dict[str, Any]) -> str:
    """Return the sentence on shadow runs."""
    if found["shadows"] >= 2:
        return f"{found['shadows']} shadow runs were trained."
    if found["unlike"]:
        return f"A stronger attack may work, which was not tried: shadow runs say nothing here, as {found['unlike']}."
    if found["failed"]:
        return f"A stronger attack may work, which was not tried, as shadow runs failed: {found['failed']}"
    return "No shadow run was trained, so that a stronger attack may work: --shadows 8."


def sections(found: dict[str, Any]) -> list[Section]:
    rows = [(name, row) for name, attack in found["attacks"].items() for row in attack["rates"]
            if row["recognised"] is not None]
    if not rows:
        return []
    bars = [(f"{name}, {share(row['rate'])}", row["recognised"], row["interval"]) for name, row in rows]
    chance = {f"false alarms, {share(row['rate'])}": (row["alarms"], row["alarms_interval"]) for _, row in rows}
    names, values, ends = zip(*bars, *((name, *pair) for name, pair in chance.items()), strict=True)
    body = table(("attack by", "false alarms", "95 %", "recognised", "95 %", "works", "area under the curve"),
                 [(name, percent(row["alarms"]), span(*row["alarms_interval"]), percent(row["recognised"]),
                   span(*row["interval"]), "yes" if row["works"] else "no", f"{found['attacks'][name]['auc']:.3f}")
                  for name, row in rows])
    drawn = figures.intervals(names, values, ends, -1, width=NARROW)
    return [Section("", drawing(drawn, "What attacks recognise, and false alarms")
                    + note("How many training examples are recognised, and how many others are accused. An attack "
                           "works if its interval lies to the right of that of its false alarms.")
                    + fold("All attacks", body))]
