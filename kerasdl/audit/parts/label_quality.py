"""How good the data is: labels that are likely to be wrong, unusual examples, copies between splits, and ids."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from scipy.special import softmax
from sklearn.decomposition import PCA
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import StandardScaler

from kerasdl import figures
from kerasdl.audit import confident, copies
from kerasdl.audit.subject import Subject
from kerasdl.audit.words import fold, percent, some
from kerasdl.objectives.sections import Section, note, table

TITLE, ORDER, VERSION = "How good is the data?", 40, 3
EXAMPLES, QUICK = 10_000, 2000  # of train that are looked at
SHOWN, FEWEST = 12, 50
UNUSUAL = 2.0  # how many times sparser than around its neighbours it is around an unusual example
WEAK = 0.2  # share of all labels: who names more than that names its own mistakes


def applies(subject: Subject) -> str:
    if subject.target != "class":
        return "Wrong labels are looked for in data with classes, and a regression learns numbers."
    if subject.split("train").streamed:
        return "The data does not fit in memory, and is not gone through again."
    if len(subject.split("train")) < FEWEST:
        return f"Train has fewer than {FEWEST} examples."
    if np.bincount(subject.split("train").y).max() < 2:  # type: ignore[arg-type]
        return "No class has two training examples, of which one could be judged by the other."
    return ""


def measure(subject: Subject) -> dict[str, Any]:
    train = subject.split("train")
    index = subject.examples(subject.size(EXAMPLES, QUICK), "train")
    part = train.part(index)
    x, y, classes = confident.features(part), np.asarray(part.y), len(subject.classes)
    made = confident.out_of_fold(x, y, part.kind, classes, subject.seed)
    logits, truth = subject.answers("test")
    chances = softmax(logits.astype("float64"), axis=1)
    between = copies.between(subject)
    right = chances.argmax(1) == truth
    rest = np.setdiff1d(np.arange(len(truth)), between["test"]["places"])
    return {
        "train": len(train), "classes": list(subject.classes),
        "labels": {
            "train": suspected(subject, "train", index, made.chances, y) | {"model": made.model} | confident.recall(
                lambda labels: confident.out_of_fold(x, labels, part.kind, classes, subject.seed).chances, y, classes,
                subject.seed),
            "test": suspected(subject, "test", np.arange(len(truth)), chances, truth) | {"model": "this model"}
            | confident.recall(lambda _: chances, truth, classes, subject.seed)},
        "unusual": unusual(subject, index, x), "between": between,
        "accuracy": float(right.mean()), "accuracy_without": float(right[rest].mean()) if len(rest) else None,
        "columns": copies.ids(train) if train.kind == "row" else []}


def suspected(subject: Subject, name: str, index: np.ndarray, chances: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Return the likely errors among examples of a split, the likeliest first, and what the first look like.

    Args:
        subject: whose split.
        name: of the split.
        index: (N,) the places that were looked at.
        chances: (N, classes) by a model that did not learn these labels.
        y: (N,) the labels.
    """
    found, others = confident.suspects(chances, y)
    rows = [{"place": int(index[i]), "label": int(y[i]), "other": int(other), "chance": float(chances[i, y[i]]),
             "chance_other": float(chances[i, other])} for i, other in zip(found, others, strict=True)]
    return {"examined": len(index), "right": float((chances.argmax(1) == y).mean()), "suspects": rows,
            "shown": figures.examples(subject.split(name), index[found[:SHOWN]])}


def unusual(subject: Subject, index: np.ndarray, x: Any) -> dict[str, Any] | None:
    """Return the examples that lie far from their neighbours, by the local outlier factor (Breunig et al. 2000).

    None for texts, whose words are too many for distances.
    """
    split = subject.split("train")
    if split.kind == "tokens":
        return None
    if split.kind == "row":
        x = StandardScaler().fit_transform(x)
    x = PCA(min(confident.DIMENSIONS, *x.shape), svd_solver="randomized", random_state=0).fit_transform(x)
    factor = -LocalOutlierFactor(min(20, len(x) - 1)).fit(x).negative_outlier_factor_
    far = np.argsort(-factor, kind="stable")[:max(1, int((factor >= UNUSUAL).sum()))][:SHOWN]
    far = far[factor[far] >= UNUSUAL]
    return {"examined": len(index), "count": int((factor >= UNUSUAL).sum()),
            "places": index[far].tolist(), "factors": factor[far].tolist(),
            "shown": figures.examples(split, index[far])}


def lines(found: dict[str, Any]) -> list[str]:
    labels, between = found["labels"], found["between"]
    good = {name: each for name, each in labels.items() if not weak(each)}
    wrong = [f"{len(each['suspects']):,} of {each['examined']:,} in {name}" for name, each in good.items()]
    leaky = [row["column"] for row in found["columns"]]
    result = [f"Labels that are likely to be wrong, and worth a look: {' and '.join(wrong)}."] if good else [
        "Which labels are wrong cannot be said: simple models do not know the classes well enough."]
    if leaky:
        result.insert(0, f"Columns that look like ids or give the class away: {some(leaky)}. Is each known before the "
                         "class is?")
    if good:
        tests = [f"{each['found']} of {each['planted']} labels that were changed on purpose in {name} were found, and "
                 f"at least {percent(each['found'] / max(1, each['named']))} of those that were named then were wrong"
                 for name, each in good.items()]
        result.append(f"How far to trust that: {'; '.join(tests)}.")
    result += [f"Nothing is said of the labels in {name}: {each['model']}, right for {percent(each['right'])} of those "
               "not learned from, would name its own mistakes." for name, each in labels.items() if name not in good]
    both = [each["same"] + each["near"] for each in between.values()]
    if any(both):
        what = "; ".join(f"{name}: {each['same']:,} of {each['compared']:,} are in train, too"
                         + f", and {each['near']:,} of {each['looked']:,} that were looked at are near copies"
                         * bool(each["looked"]) for name, each in between.items())
        without = "" if found["accuracy_without"] is None or not between["test"]["places"] else \
            f" Without these it is right for {percent(found['accuracy_without'])} of the test examples, and with " \
            f"them for {percent(found['accuracy'])}."
        result.append(f"Copies between the splits: {what}.{without}")
    else:
        result.append("No example of validation or test is a copy of one in train" + (
            ", nor a near copy among those that were looked at." if between["test"]["looked"] else "."))
    if found["unusual"] and found["unusual"]["count"]:
        result.append(f"{found['unusual']['count']:,} of {found['unusual']['examined']:,} training examples are unlike "
                      "their neighbours. That is no mistake by itself: look at them.")
    return result


def weak(each: dict[str, Any]) -> bool:
    """Return whether a finder names more labels than can be wrong, since it does not know the classes."""
    return len(each["suspects"]) > WEAK * each["examined"]


def sections(found: dict[str, Any]) -> list[Section]:
    result = []
    for name, each in found["labels"].items():
        if each["suspects"] and not weak(each):
            rows = [(f"example {row['place']}", found["classes"][row["label"]],
                     f"{found['classes'][row['other']]}, {percent(row['chance_other'])}") for row in each["suspects"]]
            cards = gallery(each["shown"], ("", "labelled", "looks like"), rows)
            result.append(Section(f"Likely wrong labels in {name}", cards + note(
                f"The likeliest first, by {each['model']}, which is right for {percent(each['right'])} of labels that "
                "it has not learned from.")))
    if found["columns"]:
        result.append(Section("Columns to look at", table(
            ("column", "what it is", "neighbours of one class", "by chance"),
            [(row["column"], row["why"], percent(row["share"]), percent(row["chance"])) for row in found["columns"]])))
    if found["unusual"] and found["unusual"]["places"]:
        far = found["unusual"]
        distances = [(f"example {place}", f"{factor:.1f} times")
                     for place, factor in zip(far["places"], far["factors"], strict=True)]
        result.append(Section("", fold("Unusual training examples", gallery(
            far["shown"], ("", "as far"), distances) + note(
            "How many times as far from its neighbours as these are from theirs."))))
    copied = [(f"{name}, example {place}",) for name, each in found["between"].items()
              for place in each["places"][:SHOWN]]
    if copied:
        result.append(Section("", fold("Examples that are in train, too", table(("split",), copied))))
    return result


def gallery(shown: dict[str, Any], head: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> Markup:
    """Return images with what is said of each below, or a table of it and of what the examples hold.

    Args:
        shown: of kerasdl.figures.examples.
        head: what the cells of a row are; "" for the name of the example.
        rows: of each example that is shown, and perhaps of more.
    """
    if "images" in shown:
        lines = [", ".join(f"{name} {cell}".strip() for name, cell in zip(head, row, strict=True)) for row in rows]
        cards = [Markup('<figure><img src="{}" alt="" loading="lazy"><figcaption>{}</figcaption></figure>').format(
            address, line) for address, line in zip(shown["images"], lines, strict=False)]
        return Markup('<div class="images">{}</div>').format(Markup("").join(cards))
    return table((*head, *shown["columns"]), [(*row, *cells) for row, cells in zip(rows, shown["rows"], strict=False)])
