"""For whom it fails: accuracy by class and by group, how far groups are apart, and the worst part of the examples."""

from typing import Any

import numpy as np

from kerasdl import figures
from kerasdl.audit import intervals, slices
from kerasdl.audit.grouping import FEWEST
from kerasdl.audit.subject import Subject
from kerasdl.audit.words import NARROW, fold, percent, some, span
from kerasdl.objectives.sections import Section, drawing, note, table

TITLE, ORDER, VERSION = "For whom does it fail?", 10, 9
SETTINGS, PACKAGES = ("groups",), ("fairlearn",)
SHUFFLES, DRAWN = 1000, 20  # DRAWN: groups in a figure
DEVIATIONS = " standard deviations"  # what errors of several numbers are in
SEVERAL = "The error of several numbers is the mean of theirs, each in standard deviations of its training targets."
CHANCE, BEYOND = 0.05, 10  # how often chance may be called a failure; shuffles beyond that limit, at least


def applies(subject: Subject) -> str:
    return ""


def measure(subject: Subject) -> dict[str, Any]:
    answers, truth = subject.answers("test")
    if subject.target == "class":
        guess = answers.argmax(1)
        errors = (guess != truth).astype("float64")
        own = "true class" if "class" in subject.groups else "class"
        labels = {own: np.array(subject.classes)[truth]}
    else:
        guess, errors, labels = answers, distances(subject, answers, truth), {}
    attributes = slices.attributes_of(subject)
    several = subject.target == "number" and answers.shape[1] > 1
    return {"target": subject.target, "unit": DEVIATIONS * several, "test": len(truth), "fewest": FEWEST,
            "asked": list(subject.grouped_by),
            "overall": float(errors.mean() if subject.target == "number" else 1 - errors.mean()),
            "groupings": [compared(subject, name, values, errors, guess, truth, rates=name not in labels,
                                   groupings=max(1, len(subject.groups)))
                          for name, values in {**labels, **subject.groups}.items()],
            "attributes": list(attributes), "searched": slices.searchable(attributes, errors, subject.seed),
            "slices": [described(part, subject.target) for part in slices.worst(attributes, errors, subject.seed)]}


def distances(subject: Subject, answers: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the mean absolute error (N,) of numbers (N, outputs): that of several, which have units of their own, is
    in standard deviations of the training targets."""
    errors = np.abs(answers - truth).astype("float64")
    if errors.shape[1] > 1:
        train = subject.split("train")
        known = subject.answers("train")[1] if train.streamed else train.y
        spread = np.asarray(known, "float64").std(0)
        errors /= np.where(spread > 0, spread, 1)
    return errors.mean(1)


def compared(subject: Subject, name: str, groups: np.ndarray, errors: np.ndarray, guess: np.ndarray, truth: np.ndarray,
             rates: bool = True, groupings: int = 1) -> dict[str, Any]:
    """Return the scores of groups (N,) and how far they are apart, by fairlearn's MetricFrame.

    With `rates` also those of two classes, which say nothing where each group is a class; each is of the groups with
    FEWEST examples of what it is a share of. `groupings`: how many there are, for `chance`.
    """
    names, counts = np.unique(groups, return_counts=True)
    small = [{"name": str(each), "count": int(count)} for each, count in zip(names, counts, strict=True)
             if count < FEWEST]
    large = np.isin(groups, names[counts >= FEWEST])
    found: dict[str, Any] = {"name": name, "groups": [], "small": small}
    if len(np.unique(groups[large])) < 2:
        return found
    binary = rates and subject.target == "class" and len(subject.classes) == 2
    groups, errors, guess, truth = groups[large], errors[large], guess[large], truth[large]
    frame = framed(groups, errors, guess, truth, subject)
    main = next(iter(frame.by_group))
    asked = {"selection rate": truth >= 0, "true positive rate": truth == 1, "false positive rate": truth == 0}
    counted = {rate: which & enough(groups, which) for rate, which in asked.items() if binary}
    shown = {rate: which for rate, which in counted.items() if len(np.unique(groups[which])) > 1}
    right = 1 - errors if subject.target == "class" else errors
    for group in frame.by_group.index:
        mine = right[groups == group]
        found["groups"].append({
            "name": str(group), "count": len(mine), "value": float(frame.by_group[main][group]),
            "interval": intervals.of_mean(mine), "rates": {rate: share_of(guess, groups, which, group)
                                                           for rate, which in shown.items()}})
    values = {group["name"]: group["value"] for group in found["groups"]}
    good, bad = (max, min) if subject.target == "class" else (min, max)
    found |= {"worst": bad(values, key=lambda key: values[key]), "best": good(values, key=lambda key: values[key]),
              "difference": float(frame.difference()[main]),
              "difference_interval": intervals.of_spread(right, groups),
              "chance": chance(groups, errors, subject, groupings),
              "positive": subject.classes[1] if binary else "",
              "rates": {rate: {"difference": float(np.ptp([share_of(guess, groups, which, group)
                                                           for group in np.unique(groups[which])])),
                               "interval": intervals.of_spread((guess[which] == 1).astype("float64"), groups[which])}
                        for rate, which in shown.items()}}
    return found


def enough(groups: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Return which examples (N,) are of a group that has FEWEST of the examples `which`."""
    names, counts = np.unique(groups[which], return_counts=True)
    return np.isin(groups, names[counts >= FEWEST])


def share_of(guess: np.ndarray, groups: np.ndarray, which: np.ndarray, group: Any) -> float | None:
    """Return how many of the examples `which` of a group are said to be the second class; None without such ones."""
    mine = guess[which & (groups == group)]
    return float((mine == 1).mean()) if len(mine) else None


def framed(groups: np.ndarray, errors: np.ndarray, guess: np.ndarray, truth: np.ndarray, subject: Subject) -> Any:
    """Return the MetricFrame of groups."""
    from fairlearn import metrics

    if subject.target == "number":
        measures = {"mean absolute error": lambda one, other: float(np.mean(other))}
        one, other = np.zeros(len(errors)), errors
    else:
        measures = {"accuracy": lambda one, other: float(np.mean(one == other))}
        one, other = truth, guess
    return metrics.MetricFrame(metrics=measures, y_true=one, y_pred=other, sensitive_features=groups)


def chance(groups: np.ndarray, errors: np.ndarray, subject: Subject, groupings: int = 1) -> float:
    """Return the difference of best and worst group that 95 % of shuffles of the examples do not reach.

    The best and the worst of many groups differ though all are alike; this is by how much. Of several groupings the
    most extreme is looked at, so that each has its share of the 5 % (Bonferroni).

    Args:
        groups: (N,) which an example belongs to.
        errors: (N,) of each example.
        subject: what is audited.
        groupings: how many there are, of which the most extreme is looked at.
    """
    random, level = np.random.default_rng(subject.seed), CHANCE / groupings
    _, place, counts = np.unique(groups, return_inverse=True, return_counts=True)
    drawn = []
    for _ in range(max(subject.size(SHUFFLES, 300), round(BEYOND / level))):
        means = np.bincount(place, weights=random.permutation(errors)) / counts
        drawn.append(np.ptp(means))
    return float(np.percentile(drawn, 100 * (1 - level)))


def described(part: dict[str, Any], target: str) -> dict[str, Any]:
    """Return a slice with the interval of its error, and whether that lies above the interval of all others."""
    interval, others = (intervals.of_moments(each["error"], each["deviation"], each["count"], shares=target == "class")
                        for each in (part, part["others"]))
    return {**part, "interval": interval, "rest": part["others"]["error"], "holds": interval[0] > others[1]}


def lines(found: dict[str, Any]) -> list[str]:
    say, across = writers(found)
    compared = [each for each in found["groupings"] if each["groups"]]
    if not found["groupings"]:
        return ["Nothing to compare: numbers have no classes. Say who is compared with --group.", *slice_line(found)]
    if not compared:
        return [f"Nothing to compare: no two groups have {found['fewest']} test examples or more.", *slice_line(found)]
    asked = [each for each in compared if each["name"] in found["asked"]] or compared
    first = max(asked, key=lambda each: each["difference"] / max(each["chance"], 1e-9))
    size = {group["name"]: group["count"] for group in first["groups"]}
    real = first["difference"] > first["chance"]
    name, (bad, good) = first["name"], (say(values(first)[first[end]]) for end in ("worst", "best"))
    how = f"it is right for {bad}, and for {good}"
    if found["target"] == "number":
        how = f"it is off by {bad}, and by {good}"
    among = f", in one of {len(found['asked'])} groupings," if len(found["asked"]) > 1 else ""
    begin = "It fails most for" if real else "It fails for no group more than chance explains; worst is"
    result = [f"{begin} {name} {first['worst']}: {how} with {name} {first['best']}.",
              f"The difference of {across(first['difference'])} (95 %: {interval(found, first)}) is between "
              f"{size[first['worst']]:,} and {size[first['best']]:,} test examples. By chance alone the best and the "
              f"worst of {len(size)} groups of these sizes{among} differ by up to {across(first['chance'])}, so "
              f"{'it is more than chance' if real else 'it may be chance'}."]
    small = [f"{each['name']} {group['name']} ({group['count']})" for each in found["groupings"]
             for group in each["small"]]
    if small:
        result.append(f"Too small to say anything, with fewer than {found['fewest']} test examples: {some(small)}.")
    result += [SEVERAL] * bool(found["unit"])
    result += [f"By {each['name']}: {across(each['difference'])} between {each['worst']} and {each['best']}, where "
               f"chance alone gives up to {across(each['chance'])}." for each in compared if each is not first]
    return [*result[:5], *slice_line(found)]


def slice_line(found: dict[str, Any]) -> list[str]:
    """Return the sentence on the worst part of the examples."""
    if not found["attributes"]:
        return []
    say, _ = writers(found)
    held = [part for part in found["slices"] if part["holds"]]
    known = some(found["attributes"], 4)
    if not found["searched"]:
        return [f"No worst part of the examples was looked for: half of them have fewer than {slices.MISTAKES} "
                "mistakes, which say nothing."]
    if not found["slices"]:
        return [f"No part of the examples, by {known}, is worse than the rest: a tree looked for one in half of "
                "the test examples and found none."]
    if not held:
        return [f"No part of the examples, by {known}, is worse than the rest: a tree looked for one in half of "
                "the test examples, and the other half did not confirm it."]
    part = held[0]
    low, high = part["interval"]
    what = "is wrong for" if found["target"] == "class" else "is off by"
    ends = span(low, high) if found["target"] == "class" else f"{low:.4g} to {high:.4g}"
    return [f"Worst part of the examples: where {part['rule']}, it {what} {say(part['error'])} of {part['count']:,} "
            f"(95 %: {ends}), and {say(part['rest'])} of the others; found on one half of the test examples, and "
            "measured on the other."]


def writers(found: dict[str, Any]) -> tuple[Any, Any]:
    """Return how a score and how a difference is written."""
    if found["target"] == "class":
        return percent, lambda value: f"{100 * value:.1f} points"
    return (lambda value: f"{value:.4g}{found['unit']}"), (lambda value: f"{value:.4g}{found['unit']}")


def values(grouping: dict[str, Any]) -> dict[str, float]:
    return {group["name"]: group["value"] for group in grouping["groups"]}


def interval(found: dict[str, Any], grouping: dict[str, Any]) -> str:
    low, high = grouping["difference_interval"]
    return f"{100 * low:.1f} to {100 * high:.1f}" if found["target"] == "class" else f"{low:.4g} to {high:.4g}"


def sections(found: dict[str, Any]) -> list[Section]:
    asked_first = sorted(found["groupings"], key=lambda each: each["name"] not in found["asked"])
    return [shown(found, each) for each in asked_first if each["groups"]] + slice_section(found)


def shown(found: dict[str, Any], grouping: dict[str, Any]) -> Section:
    """Return a figure of the groups, the worst ones first, with all of them in a table."""
    say, _ = writers(found)
    worst = grouping["worst"]
    rows = sorted(grouping["groups"], key=lambda group: group["value"], reverse=found["target"] == "number")
    first = rows[:DRAWN]
    drawn = figures.intervals([group["name"] for group in first], [group["value"] for group in first],
                                [tuple(group["interval"]) for group in first],
                                [group["name"] for group in first].index(worst), percent=found["target"] == "class",
                                width=NARROW)
    ends = [span(*group["interval"]) if found["target"] == "class" else "{:.4g} to {:.4g}".format(*group["interval"])
            for group in rows]
    rates = list(grouping["rates"])
    measured = "right" if found["target"] == "class" else "mean absolute error"
    body = table((grouping["name"], "test examples", measured, "95 %", *rates),
                 [(group["name"], f"{group['count']:,}", say(group["value"]), end,
                   *("–" if group["rates"][rate] is None else percent(group["rates"][rate]) for rate in rates))
                  for group, end in zip(rows, ends, strict=True)])
    if found["unit"]:
        body += note(SEVERAL)
    if rates:
        body += note(f"Rates are those of the class {grouping['positive']}: how many are said to be it, of those that "
                     "are it, and of those that are not; – where there are "
                     f"fewer than {found['fewest']} of these. " + " ".join(
                         f"The {rate} differs by {100 * grouping['rates'][rate]['difference']:.1f} points (95 %: "
                         f"{span(*grouping['rates'][rate]['interval'])})." for rate in rates))
    return Section(f"By {grouping['name']}", drawing(drawn, f"Scores by {grouping['name']}, with intervals") + fold(
        f"All {len(rows)} groups", body))


def slice_section(found: dict[str, Any]) -> list[Section]:
    if not found["slices"]:
        return []
    say, _ = writers(found)
    rows = [(part["rule"], f"{part['count']:,}", say(part["error"]),
             span(*part["interval"]) if found["target"] == "class" else "{:.4g} to {:.4g}".format(*part["interval"]),
             say(part["rest"]), "yes" if part["holds"] else "no") for part in found["slices"]]
    wrong = "wrong" if found["target"] == "class" else "mean absolute error"
    return [Section("", fold("Parts of the examples that a tree found", table(
        ("where", "examples", wrong, "95 %", "of the others", "confirmed"), rows) + note(
        "A shallow tree looked for large errors in one half of the test examples. These are the errors on the other "
        f"half. {SEVERAL * bool(found['unit'])}")))]
