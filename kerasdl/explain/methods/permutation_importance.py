"""Permutation importance of the columns of a table: Breiman 2001, by scikit-learn."""

import numpy as np
from markupsafe import Markup

from kerasdl.errors import UserError
from kerasdl.explain.description import Material
from kerasdl.explain.network import Network
from kerasdl.explain.tables import ColumnsClassifier, ColumnsRegressor, drawn
from kerasdl.objectives.sections import note, table

TITLE = "Permutation importance"
READS = ("How much worse the model answers if the values of a column are mixed among the rows: accuracy that is lost, "
         "or R² of numbers. Of two columns that say the same, each can look unimportant.")
SOURCE = "Breiman 2001"
KINDS = ("row",)
NEEDS = "labels"
EXAMPLES = 2000


def describe(network: Network, material: Material, *, repeats: int = 10) -> dict[str, np.ndarray]:
    """Return `mean` and `deviation` (columns,) of the score that is lost, over `repeats` orders; and `score`, ().

    A column of text is mixed as a whole. At most EXAMPLES examples are read.

    Raises:
        UserError: examples with several labels each.
    """
    from sklearn.inspection import permutation_importance

    if material.several:
        raise UserError("permutation_importance is for one class an example, or for numbers, and these examples have "
                        "several labels. Explain examples with integrated_gradients.")
    estimator = (ColumnsClassifier if material.classes else ColumnsRegressor)(network, material)
    rows = drawn(material, EXAMPLES)
    x = rows[:, None].repeat(len(material.blocks()), axis=1)
    y = material.y[rows]  # type: ignore[index]
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    found = permutation_importance(estimator, x, y, n_repeats=repeats, random_state=material.seed)
    return {"mean": found.importances_mean, "deviation": found.importances_std,
            "score": np.array(estimator.score(x, y))}


def show(found: dict[str, np.ndarray], material: Material) -> Markup:
    """Return a table of the columns, the most important first."""
    score = "accuracy" if material.classes else "R²"
    names, order = list(material.blocks()), np.argsort(-found["mean"], kind="stable")
    rows = [(names[place], f"{found['mean'][place]:.4f}", f"± {found['deviation'][place]:.4f}") for place in order]
    return note(f"The model's {score} on these examples is {float(found['score']):.4f}.") + table(
        ("column", f"{score} lost", "deviation"), rows)
