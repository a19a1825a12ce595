"""What objectives have in common that compare two views of an image: how views are made, embedded, and measured.

A view is the image after the recipe's `augment`. The embedding comes from a small network on top of the features, the
projector of SimCLR (Chen et al. 2020, arXiv:2002.05709), which is worth nothing afterwards: a classifier starts from
the body. Its layers are called as those of the model's `build`, so that `init=RUN` finds them.
"""

import logging
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from pydantic import Field

from kerasdl import zoo
from kerasdl.data.augment import alternates, compose
from kerasdl.data.split import Split
from kerasdl.errors import UserError
from kerasdl.objectives import features
from kerasdl.objectives.base import Objective, build_model
from kerasdl.objectives.learner import Learner
from kerasdl.objectives.sections import Findings, Section
from kerasdl.objectives.views import spread
from kerasdl.settings import Settings

logger = logging.getLogger(__name__)
COUNT = 2  # views of an image


class ViewSettings(Settings):
    """Settings of the embedding."""

    width: int = Field(512, gt=0, description="units of the projector's hidden layers")
    depth: int = Field(2, ge=1, description="layers of the projector, the last one included")
    dimensions: int = Field(128, ge=2, description="numbers of an embedding")


class ViewLearner(Learner):
    """A learner whose network sees the views of a batch as images of their own."""

    def call(self, x, training=False):
        """(B, V, H, W, C) -> (B, V, D)."""
        embedded = self.network(ops.reshape(x, (-1, *x.shape[2:])), training=training)
        return ops.reshape(embedded, (-1, *x.shape[1:2], embedded.shape[-1]))


class Views(Objective):
    """Learn from two views of each image. The kept model maps an image (B, H, W, C) to its embedding (B, D) float32."""

    inputs = ("image",)
    scores = {"loss": "min", "alignment": "min", "uniformity": "min", "rank": "max"}
    overall_scores: ClassVar = dict(scores)
    learner_scores: ClassVar = tuple(scores)
    makes_views = prepares_for_learner = True
    learner = ViewLearner
    Settings: ClassVar[type[Settings]] = ViewSettings

    def check(self, split: Split, replicas: int = 1) -> None:
        super().check(split, replicas)
        name, recipe = self.recipe.objective, self.recipe
        if not recipe.augment:
            raise UserError(f"objective={name} compares two views of an image, and without augment they are the same. "
                            "Give augment=\"(('random_resized_crop', 0.2), 'flip', ('color_jitter', 0.4, 0.4, 0.4, "
                            "0.1))\", for example.")
        if min(len(split), recipe.batch) < 2:
            raise UserError(f"objective={name} compares the images of a batch, and one has a single image. Give two or "
                            "more, and batch=2 or more.")
        if alternates(recipe.augment):
            raise UserError(f"alternating_flip is the same for both views of an image, which objective={name} "
                            "compares. Write flip.")
        if recipe.accumulate > 1:
            raise UserError(f"objective={name} compares the images of a batch, and accumulate={recipe.accumulate} "
                            "shows them in parts. Leave it out, or take a smaller batch.")

    def network(self, split: Split) -> keras.Model:
        body = zoo.features(build_model(self.recipe, split, 1, run=self.run))
        x = layers.Flatten(name="flat")(body.output)
        for number in range(1, self.settings.depth):
            x = layers.Dense(self.settings.width, use_bias=False, name=f"projector{number}")(x)
            x = layers.BatchNormalization(name=f"projector{number}_norm")(x)
            x = layers.Activation("relu", name=f"projector{number}_relu")(x)
        x = layers.Dense(self.settings.dimensions, dtype="float32", name="embedding")(x)
        return keras.Model(body.input, x, name=body.name.removesuffix("_features"))

    def bind(self, network: keras.Model) -> None:
        self.view = tf.function(compose(self.recipe.augment, network.input_shape[1:], labels=False), jit_compile=True,
                                autograph=False)

    def prepare(self, x: tf.Tensor, y: Any, seed: tf.Tensor) -> tuple[tf.Tensor, Any]:
        """Return the views of each image, (B, V, H, W, C)."""
        seeds = [tf.random.fold_in(seed, number) for number in range(COUNT)]
        return tf.stack([self.view(x, None, one)[0] for one in seeds], axis=1), y

    def validation_loss(self, x: Any, y: Any, y_pred: Any) -> Any:
        """Return how far apart the views of each image are; "loss" of a split is that of `overall`, by whole batches.
        """
        own = normalized(y_pred)
        return ops.sum(ops.square(own[:, 0] - own[:, 1]), axis=-1)

    def overall(self, score: str, y: Any, y_pred: Any) -> float:
        """Return the loss in batches as large as those of training, or a score of kerasdl.objectives.views.spread.

        A loss that compares the images of a batch is another one in larger or smaller batches, and in batches of one
        class, as a split that is sorted has them.
        """
        if score != "loss":
            return getattr(spread, score)(y_pred)
        order = np.random.default_rng(0).permutation(len(y_pred))
        parts = np.array_split(order, max(1, round(len(y_pred) / self.recipe.batch)))
        losses = [ops.convert_to_numpy(self.compute_loss(None, None if y is None else y[part], y_pred[part]))
                  for part in parts]
        return float(np.concatenate(losses).mean())

    def callbacks(self) -> list[keras.callbacks.Callback]:
        return [Collapse()]

    def sections(self, findings: Findings) -> list[Section]:
        return features.sections(zoo.features(findings.model()), findings, labels_seen=self.target is not None)


class Collapse(keras.callbacks.Callback):
    """Warn once if the embeddings of all images become the same, or lie on a line."""

    def __init__(self):
        super().__init__()
        self.warned = False

    def on_epoch_end(self, epoch, logs=None):
        uniformity, rank = ((logs or {}).get(f"val_{name}") for name in ("uniformity", "rank"))
        if self.warned or rank is None or (uniformity <= spread.SAME and rank >= spread.LINE):
            return
        self.warned = True
        logger.warning("The embeddings have collapsed: all images look alike to the network (uniformity %.2f, of at "
                       "most 0, and rank %.1f). Lower lr, or give the terms of the loss that keep images apart more "
                       "weight.", uniformity, rank)


def normalized(embedded: Any) -> Any:
    """Return embeddings (..., D) of length 1, float32."""
    embedded = ops.cast(embedded, "float32")
    return embedded / ops.sqrt(ops.sum(ops.square(embedded), axis=-1, keepdims=True) + 1e-12)


def gathered(values: Any) -> tuple[Any, Any]:
    """Return the values of all replicas (G, ...), through which gradients flow, and the row at which one's own begin.

    On JAX a batch is whole, whatever the devices.
    """
    context = tf.distribute.get_replica_context() if keras.backend.backend() == "tensorflow" else None
    if context is None or context.num_replicas_in_sync == 1:
        return values, 0
    return context.all_gather(values, axis=0), context.replica_id_in_sync_group * ops.shape(values)[0]
