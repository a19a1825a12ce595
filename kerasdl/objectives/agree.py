"""Agreement without negatives: VICReg (Bardes et al. 2022, arXiv:2105.04906) and Barlow Twins (Zbontar et al. 2021).

Two views of an image are to have the same embedding, while over the batch each number of an embedding keeps its spread
and says what no other one says: so nothing collapses, and no view is pushed away from another one.
"""

from typing import Any, Literal

from keras import ops
from pydantic import Field

from kerasdl.objectives.views import Views, ViewSettings
from kerasdl.objectives.views.base import gathered


class AgreeSettings(ViewSettings):
    """Settings of agreement."""

    method: Literal["vicreg", "barlow"] = Field("vicreg", description="how the embeddings of a batch are kept apart")
    invariance: float = Field(25.0, ge=0, description="weight of VICReg's distance between the views")
    variance: float = Field(25.0, ge=0, description="weight of VICReg's spread of each number")
    covariance: float = Field(1.0, ge=0, description="weight of VICReg's covariances between numbers")
    redundancy: float = Field(0.005, ge=0, description="weight of Barlow Twins' correlations between numbers")


class Agree(Views):
    """Learn embeddings that two views of an image share. Labels are not read."""

    Settings = AgreeSettings

    def compute_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        """Return the loss of each image, (B,): what is of the whole batch is a part of each of them."""
        own = ops.cast(y_pred, "float32")
        everything = gathered(own)[0]
        first, second = everything[:, 0], everything[:, 1]
        if self.settings.method == "barlow":
            return ops.zeros_like(own[:, 0, 0]) + redundant(first, second, self.settings.redundancy)
        apart = ops.mean(ops.square(own[:, 0] - own[:, 1]), axis=-1)
        narrow, covarying = (part(first) + part(second) for part in (too_narrow, covariances))
        return (self.settings.invariance * apart + self.settings.variance * narrow / 2  # as the authors' program has it
                + self.settings.covariance * covarying)


def too_narrow(embedded: Any) -> Any:
    """Return by how much the deviations of (G, D) numbers fall short of 1, in the mean; equation 1 of VICReg."""
    deviation = ops.sqrt(ops.sum(ops.square(_centered(embedded)), axis=0) / _others(embedded) + 1e-4)
    return ops.mean(ops.relu(1.0 - deviation))


def covariances(embedded: Any) -> Any:
    """Return the sum of the squared covariances of different numbers, divided by D; equations 3 and 4 of VICReg."""
    centered = _centered(embedded)
    matrix = ops.matmul(ops.transpose(centered), centered) / _others(embedded)
    return _off_diagonal(matrix) / embedded.shape[-1]


def redundant(first: Any, second: Any, weight: float) -> Any:
    """Return equation 1 of Barlow Twins: how far the correlations of the views are from those of independent numbers.
    """
    first, second = (one / ops.sqrt(ops.mean(ops.square(one), axis=0) + 1e-5)
                     for one in map(_centered, (first, second)))
    matrix = ops.matmul(ops.transpose(first), second) / ops.cast(ops.shape(first)[0], "float32")
    return ops.sum(ops.square(1.0 - ops.diagonal(matrix))) + weight * _off_diagonal(matrix)


def _centered(embedded: Any) -> Any:
    return embedded - ops.mean(embedded, axis=0)


def _others(embedded: Any) -> Any:
    """Return the number of rows less one, at least one."""
    return ops.maximum(ops.cast(ops.shape(embedded)[0], "float32") - 1.0, 1.0)


def _off_diagonal(matrix: Any) -> Any:
    return ops.sum(ops.square(matrix)) - ops.sum(ops.square(ops.diagonal(matrix)))
