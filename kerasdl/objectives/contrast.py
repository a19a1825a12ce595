"""SimCLR: Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations", arXiv:2002.05709.

A view of an image is to be closer to the other view of it than to the views of all other images of the batch, whichever
replica has them.
"""

from typing import Any

from keras import ops
from pydantic import Field

from kerasdl.objectives.views import Views, ViewSettings
from kerasdl.objectives.views.base import COUNT, gathered, normalized


class ContrastSettings(ViewSettings):
    """Settings of contrastive learning."""

    temperature: float = Field(0.2, gt=0, description="what similarities are divided by: lower, and near images count")


class Contrast(Views):
    """Learn which views are of one image. Labels are not read."""

    Settings = ContrastSettings

    def compute_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        """Return the normalised, temperature-scaled cross-entropy, averaged over the views of each image: (B,)."""
        everything, first = gathered(normalized(y_pred))
        places = first + ops.arange(ops.shape(y_pred)[0])
        groups = self.groups(y, places)
        return contrasted(normalized(y_pred), everything, places, groups, gathered(groups)[0],
                          self.settings.temperature)

    def groups(self, y: Any, places: Any) -> Any:
        """Return a number for each image (B,): the views of one number belong together."""
        return places


def contrasted(own: Any, everything: Any, places: Any, groups: Any, all_groups: Any, temperature: float) -> Any:
    """Return the contrastive loss of each image, (B,): minus the mean log probability of what belongs to its views.

    With groups of one image it is SimCLR's (equation 1), with classes it is that of Khosla et al. 2020
    (arXiv:2004.11362), equation 2.

    Args:
        own: (B, V, D) of length 1.
        everything: (G, V, D), those of all replicas.
        places: (B,) the row of each of `own` in `everything`.
        groups: (B,), and `all_groups` (G,): which images belong together.
        temperature: what cosines are divided by.
    """
    size = own.shape[-1]
    logits = ops.matmul(ops.reshape(own, (-1, size)), ops.transpose(ops.reshape(everything, (-1, size)))) / temperature
    row = ops.reshape(places[:, None] * COUNT + ops.arange(COUNT), (-1,))
    itself = row[:, None] == ops.arange(ops.shape(logits)[1])
    logits = ops.where(itself, -1e9, logits)
    together = ops.repeat(groups, COUNT)[:, None] == ops.repeat(all_groups, COUNT)
    together = ops.cast(together & ~itself, "float32")
    likely = logits - ops.logsumexp(logits, axis=1, keepdims=True)
    losses = -ops.sum(together * likely, axis=1) / ops.sum(together, axis=1)
    return ops.mean(ops.reshape(losses, (-1, COUNT)), axis=1)
