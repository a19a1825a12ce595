"""Where it fails most: a part of the examples that a shallow tree finds by what is known of them.

The tree is fitted on one half of the test examples, and what it finds is measured on the other half: the worst of many
parts looks worse than it is on the examples that it was found on (Chung et al., "Slice Finder", 2019).
"""

from typing import Any

import numpy as np
from sklearn.tree import DecisionTreeRegressor

from kerasdl.audit.subject import Subject
from kerasdl.data import Split
from kerasdl.data.leaks import places

DEPTH, SHOWN = 3, 3  # of the tree; parts that are named
SMALLEST, SHARE = 20, 0.02  # examples and share of a half that a part has at least
MISTAKES = 5  # on the half that the tree is fitted on, fewer of which say nothing
EXACT = 15  # digits that every float64 has
CATEGORIES = 30  # a column of more different texts says nothing in a short sentence


def attributes_of(subject: Subject) -> dict[str, np.ndarray]:
    """Return what is known of each test example, {name: (N,) numbers or texts}: columns, brightness, length, groups."""
    split = subject.split("test")
    describe = {"row": columns, "image": light, "sequence": level, "tokens": length}[split.kind]
    own = {} if split.streamed else describe(split)
    return {name: values for name, values in {**own, **subject.groups}.items()
            if values.dtype.kind == "f" or 1 < len(np.unique(values)) <= CATEGORIES}


def columns(split: Split) -> dict[str, np.ndarray]:
    """Return the columns of rows: numbers as they are, categories as texts."""
    offsets, found = split.reading.get("offsets", {}), {}
    for name, place in places(split).items():
        block, names = split.x[:, place], split.columns.get(name)
        numbers = block[:, 0].astype("float64") + offsets.get(name, 0)
        found[name] = np.array(names)[block.argmax(1)] if names else numbers
    return found


def light(split: Split) -> dict[str, np.ndarray]:
    """Return how bright images are, 0 to 255, and how much of that varies within each."""
    means, spreads = [], []
    for start in range(0, len(split), 512):
        x = split.take(np.arange(start, min(start + 512, len(split))))[0].astype("float32").reshape(-1, *split.shape)
        means.append(x.mean((1, 2, 3)))
        spreads.append(x.std((1, 2, 3)))
    return {name: np.concatenate(values).astype("float64")
            for name, values in (("brightness", means), ("contrast", spreads))}


def level(split: Split) -> dict[str, np.ndarray]:
    """Return the mean and the deviation of series, and how many steps they have."""
    there = ~np.isnan(split.x).all(axis=2)
    return {"mean": np.nanmean(split.x, axis=(1, 2)).astype("float64"),
            "deviation": np.nanstd(split.x, axis=(1, 2)).astype("float64"), "steps": there.sum(1).astype("float64")}


def length(split: Split) -> dict[str, np.ndarray]:
    """Return how many tokens texts have."""
    return {"tokens": (split.x > 0).sum(1).astype("float64")}


def worst(attributes: dict[str, np.ndarray], errors: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """Return parts of the examples with large errors on one half, measured on the other, the worst one first.

    Args:
        attributes: {name: (N,) numbers or texts}.
        errors: (N,) of each example, 0 or more.
        seed: which examples are in which half.

    Returns:
        rule: what the part is, in words.
        count, error, deviation: of its examples on the half that it was not found on.
        others: the same of all other examples there.
    """
    if not searchable(attributes, errors, seed):
        return []
    half = first_half(len(errors), seed)
    names, known = encoded(attributes)
    centre = np.median(known, axis=0)
    x = known - centre  # the tree has float32, in which large numbers lose their differences
    leaf = max(SMALLEST, round(SHARE * half.sum()))
    tree = DecisionTreeRegressor(max_depth=DEPTH, min_samples_leaf=leaf, random_state=seed).fit(x[half], errors[half])
    place, found = tree.apply(x), []
    means = {node: errors[half & (place == node)].mean() for node in np.unique(place[half])}
    for node in sorted(means, key=lambda node: -means[node])[:SHOWN]:
        mine, others = ~half & (place == node), ~half & (place != node)
        if means[node] > errors[half].mean() and mine.any() and others.any():
            found.append({"rule": rule(tree, node, names, known, centre), **summed(errors[mine]),
                          "others": summed(errors[others])})
    return found


def searchable(attributes: dict[str, np.ndarray], errors: np.ndarray, seed: int) -> bool:
    """Return whether something is known of the examples, and the half that a tree is fitted on has MISTAKES."""
    return bool(attributes) and int(np.count_nonzero(errors[first_half(len(errors), seed)])) >= MISTAKES


def first_half(count: int, seed: int) -> np.ndarray:
    """Return which examples (N,) a tree is fitted on."""
    return np.random.default_rng(seed).permutation(count) % 2 == 0


def summed(errors: np.ndarray) -> dict[str, Any]:
    """Return what an interval of the mean error needs."""
    deviation = errors.std(ddof=min(1, len(errors) - 1))
    return {"count": len(errors), "error": float(errors.mean()), "deviation": float(deviation)}


def encoded(attributes: dict[str, np.ndarray]) -> tuple[list[tuple[str, str | None]], np.ndarray]:
    """Return (attribute, category or None) of each column, and the columns (N, F): categories are 0 and 1."""
    names: list[tuple[str, str | None]] = []
    found = []
    for name, values in attributes.items():
        if values.dtype.kind == "f":
            names.append((name, None))
            found.append(np.nan_to_num(values))
        else:
            for category in np.unique(values).tolist():
                names.append((name, category))
                found.append(values == category)
    return names, np.stack(found, axis=1).astype("float64")


def rule(tree: DecisionTreeRegressor, node: int, names: list[tuple[str, str | None]], known: np.ndarray,
         centre: np.ndarray) -> str:
    """Return the way to a leaf in words, "site is C and age is over 40.5", of the columns (N, F) less their centre."""
    inner, steps = tree.tree_, []
    while node:
        above = int(np.flatnonzero((inner.children_left == node) | (inner.children_right == node))[0])
        steps.append((int(inner.feature[above]), bool(inner.children_right[above] == node), inner.threshold[above]))
        node = above
    limits: dict[tuple[int, bool], str] = {}
    for feature, over, value in reversed(steps):  # the last of several limits is the narrowest
        limits[feature, over] = written(value + centre[feature], known[:, feature])
    words = []
    for feature in dict.fromkeys(feature for feature, _ in limits):
        (name, category), low, high = names[feature], limits.get((feature, True)), limits.get((feature, False))
        if category is not None:
            words.append(f"{name} is {'not ' * (low is None)}{category}")
        elif low is not None and high is not None:
            words.append(f"{name} is over {low} and up to {high}")
        else:
            words.append(f"{name} is over {low}" if high is None else f"{name} is up to {high}")
    return " and ".join(words)


def written(limit: float, values: np.ndarray) -> str:
    """Return a limit with as few digits, from four, as divide values (N,) as it does."""
    for digits in range(4, EXACT):
        rounded = float(f"{limit:.{digits}g}")
        if ((values <= rounded) == (values <= limit)).all():
            return f"{rounded:.{EXACT}g}"
    return f"{limit:.{EXACT}g}"
