"""The model that is fitted: a network that learns an objective. Every step of it is Keras' own."""

from typing import Any

import keras
from keras import ops

from kerasdl.errors import UserError
from kerasdl.keras_private import FitsReplicas


class Learner(FitsReplicas):
    """A network and the objective that it learns, for `compile` and `fit`.

    Args:
        objective: gives the loss of each example, and the metrics; see kerasdl.objectives.base.
        network: what learns. Its layers and weights are shared, not copied.
        averager: moves the network's average; on JAX its weights are part of the state of a step.
    """

    def __init__(self, objective: Any, network: keras.Model, averager: Any = None):
        super().__init__(name=network.name, dtype="float32", autocast=False)
        objective.bind(network)
        self.objective, self.network, self.averager = objective, network, averager
        self.mean = MeanOverBatch()
        self.measures = objective.metrics()
        self.built = True

    def call(self, x, training=False):
        return self.network(x, training=training)  # by name: Keras' stateless_call, on JAX, leaves nothing to inherit

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the mean of the examples' losses, plus what layers add, such as regularizers."""
        objective = self.objective
        losses = (objective.compute_loss if training else objective.validation_loss)(x, y, y_pred)
        if len(losses.shape) != 1:
            raise UserError(f"Expected compute_loss of {type(self.objective).__name__} to return one number for each "
                             f"example, (B,). Received shape {tuple(losses.shape)}.")
        total = self.mean(losses, losses, sample_weight)
        if not self.losses:
            return total
        added = ops.sum([*map(self._aggregate_additional_loss, self.losses)])
        if not training and sample_weight is not None:  # the sum is divided by the padding, for which it is corrected
            added = added * ops.mean(ops.cast(sample_weight, added.dtype))
        return total + added

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        for metric in self.measures:
            metric.update_state(y, y_pred, sample_weight=sample_weight)
        return self.get_metrics_result()

    def padded_step(self, x, y, real):
        """Evaluate a batch padded to a fixed size; `real` (B,) is 1 for an example and 0 for padding.

        So every replica takes equal parts, in the one shape that a TPU compiles. Keras would divide the sum of the
        losses by the padding, too. Returns the answers.
        """
        y_pred = self(x, training=False)
        mean = self.compute_loss(x, y, y_pred, real, training=False) * self.distribute_strategy.num_replicas_in_sync
        examples = ops.sum(real)
        padded = ops.cast(ops.shape(real)[0], "float32")
        self.metrics[0].update_state(mean * padded / ops.maximum(examples, 1.0), sample_weight=examples)
        self.compute_metrics(x, y, y_pred, sample_weight=real)
        return y_pred

    @property
    def non_trainable_variables(self):
        """With the average's on JAX, so that Keras carries them through the step."""
        own = super().non_trainable_variables
        carried = keras.backend.backend() == "jax" and self.averager is not None
        return own + [slow for slow, _ in self.averager.pairs] if carried else own


class MeanOverBatch(keras.losses.Loss):
    """Keras' mean of losses over the global batch, divided by the number of replicas once."""

    def call(self, y_true, y_pred):
        return y_pred
