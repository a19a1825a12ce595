"""Partial dependence on the columns of a table: Friedman 2001, by scikit-learn."""

from typing import Any

import numpy as np
from markupsafe import Markup

from kerasdl import figures
from kerasdl.explain.description import Material
from kerasdl.explain.network import Network
from kerasdl.explain.tables import ValuesClassifier, ValuesLabels, ValuesRegressor, drawn, values
from kerasdl.objectives.sections import drawing

TITLE = "Partial dependence"
READS = ("The mean answer if every row had the same value of one column. Where columns go together, some of these rows "
         "do not exist.")
SOURCE = "Friedman 2001"
KINDS = ("row",)
NEEDS = "labels"
EXAMPLES, POINTS, MOST = 300, 24, 12  # examples, points of a line, columns that are drawn


def describe(network: Network, material: Material) -> dict[str, np.ndarray]:
    """Return for each column its `grid NAME` (points,), and `mean NAME` (outputs, points): probabilities, or numbers.

    The points of a number are between its percentiles 5 and 95, or all its values if these are few, as of a flag that
    is rarely set; those of a text are its categories.
    """
    from sklearn.inspection import partial_dependence

    one_of = bool(material.classes) and not material.several
    estimator = (ValuesClassifier if one_of else ValuesLabels if material.several else ValuesRegressor)(
        network, material)
    x = values(material)[drawn(material, EXAMPLES)]
    found: dict[str, np.ndarray] = {}
    for place, (name, block) in enumerate(material.blocks().items()):
        width = block.stop - block.start
        points = np.arange(width, dtype="float64") if width > 1 else points_of(x[:, place])
        if len(points) < 2:
            continue  # a constant
        how: dict[str, Any] = {"response_method": "predict_proba"} if one_of else {}
        answer = partial_dependence(estimator, x, [place], kind="average", method="brute",
                                    custom_values={place: points}, **how)["average"]
        if one_of and len(answer) == 1:
            answer = np.concatenate([1 - answer, answer])  # of two classes scikit-learn gives the second one
        found |= {f"grid {name}": points + material.offsets.get(name, 0.0), f"mean {name}": np.asarray(answer)}
    return found


def points_of(numbers: np.ndarray) -> np.ndarray:
    """Return where the line of a column is drawn, in order."""
    few = np.unique(numbers)
    return few if len(few) <= POINTS else np.unique(np.quantile(numbers, np.linspace(0.05, 0.95, POINTS)))


def show(found: dict[str, np.ndarray], material: Material) -> Markup:
    """Return a drawing for each column: a line for each of the first classes, or points over categories; of several
    numbers, which have units of their own, a drawing for each."""
    blocks = material.blocks()
    names = [name for name in blocks if f"grid {name}" in found]
    names.sort(key=lambda name: -np.ptp(found[f"mean {name}"], axis=1).max())
    drawings = []
    for name in names[:MOST]:
        means = found[f"mean {name}"][:len(figures.SERIES)]
        lines = [(material.named(index) if material.classes else "", values.tolist())
                 for index, values in enumerate(means)]
        for index, some in enumerate([lines] if material.classes else [[line] for line in lines]):
            several = len(lines) > 1 and not material.classes
            svg = figures.lines(found[f"grid {name}"].tolist(), some, name, material.named(index) if several else "",
                                percent=bool(material.classes), ticks=material.columns.get(name))
            drawings.append(drawing(svg, f"The mean answer by {name}"))
    return Markup('<div class="curves" style="--columns:2">{}</div>').format(Markup("").join(drawings))
