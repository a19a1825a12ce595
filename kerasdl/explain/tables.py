"""A model of rows as scikit-learn sees one, so that its inspection can ask it."""

from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from kerasdl.explain.description import Material
from kerasdl.explain.network import Network


class Columns(BaseEstimator):
    """A model whose columns are permuted as wholes, also those that fill several places.

    Its rows hold, for each column, the number of the example whose value of that column it has.
    """

    def __init__(self, network: Network, material: Material):
        self.network, self.material = network, material

    @property
    def known(self) -> np.ndarray:
        """Return the examples whose values the rows name."""
        return self.material.x  # type: ignore[return-value]

    def fit(self, x: Any, y: Any) -> "Columns":
        """Do nothing: the model has learned."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def rows(self, x: np.ndarray) -> np.ndarray:
        """Return what the model takes: the values of the examples that are named."""
        blocks = self.material.blocks().values()
        return np.concatenate([self.known[np.asarray(x)[:, place].astype(int), block]
                               for place, block in enumerate(blocks)], axis=1)

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """Return the answers of the model, (N, K)."""
        return self.network.logits(self.rows(x))


class Values(Columns):
    """The same model of rows that hold the numbers themselves, and the places of categories."""

    def rows(self, x: np.ndarray) -> np.ndarray:
        parts = []
        for place, block in enumerate(self.material.blocks().values()):
            column, width = np.asarray(x)[:, place], block.stop - block.start
            parts.append(column[:, None] if width == 1 else np.eye(width + 1)[column.astype(int)][:, :width])
        return np.concatenate(parts, axis=1).astype("float32")


class _Classes(ClassifierMixin):
    """What scikit-learn asks of a classifier."""

    @property
    def classes_(self) -> np.ndarray:
        return np.arange(self.network.classes)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.outputs(x).argmax(axis=1)

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return softmax(self.outputs(x).astype("float64"), axis=1)


class _Numbers(RegressorMixin):
    """What scikit-learn asks of a regressor."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        found = self.outputs(x)
        return found[:, 0] if found.shape[1] == 1 else found


class ColumnsClassifier(_Classes, Columns):
    """Columns, of a classifier."""


class ColumnsRegressor(_Numbers, Columns):
    """Columns, of a model of numbers."""


class ValuesClassifier(_Classes, Values):
    """Values, of a classifier."""


class ValuesRegressor(_Numbers, Values):
    """Values, of a model of numbers."""


class ValuesLabels(ValuesRegressor):
    """Values, of a model of several labels: its numbers are their probabilities."""

    def outputs(self, x: np.ndarray) -> np.ndarray:
        return expit(super().outputs(x).astype("float64"))


def drawn(material: Material, most: int) -> np.ndarray:
    """Return the places of some rows, in their order: a file may be sorted."""
    rows = len(material.x)  # type: ignore[arg-type]
    return np.sort(np.random.default_rng(material.seed).permutation(rows)[:most])


def values(material: Material) -> np.ndarray:
    """Return a number for each column of each example: itself, or its category's place; past the last for none."""
    found = []
    for block in material.blocks().values():
        part = material.x[:, block]  # type: ignore[index]
        found.append(part[:, 0] if part.shape[1] == 1 else np.where(part.any(1), part.argmax(1), part.shape[1]))
    return np.stack(found, axis=1).astype("float64")
