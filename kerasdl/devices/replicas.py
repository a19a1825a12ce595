"""What Keras gets wrong under tf.distribute, put right: one short class or function a fault.

Each has a test that fails without it, and a second one that fails when Keras has mended the fault, so that ours can go.
All were seen in Keras 3.15 on TensorFlow 2.21.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import tree


def clip_after_reduce(optimizer: type[keras.optimizers.Optimizer]) -> type[keras.optimizers.Optimizer]:
    """The optimizer's class, clipping the gradient of the whole batch.

    Keras clips each replica's own gradient and adds them up then (keras#20582 is about the same place): two replicas
    differ from one device by 2e-2 after five steps of clipnorm=0.05.
    """

    class ClipAfterReduce(optimizer):
        def _clip_gradients(self, grads):
            return grads

        def _all_reduce_sum_gradients(self, grads_and_vars):
            reduced = super()._all_reduce_sum_gradients(grads_and_vars)
            grads, variables = zip(*reduced, strict=True)
            return list(zip(super()._clip_gradients(list(grads)), variables, strict=True))

    ClipAfterReduce.__name__ = optimizer.__name__
    return ClipAfterReduce


class OwnNoise(keras.random.SeedGenerator):
    """Draws another seed on each replica; Keras gives all of them one, and dropout's masks are copies."""

    def next(self, ordered=True):
        seed = super().next(ordered)
        context = tf.distribute.get_replica_context()
        if context is None:
            return seed
        replica = tf.cast(context.replica_id_in_sync_group, seed.dtype)
        return tf.bitwise.bitwise_xor(seed, tf.stack([replica, tf.zeros_like(replica)]))


def own_noise(network: keras.Model) -> None:
    """Every seed generator in the network's layers becomes an OwnNoise; replica 0 draws what it drew before."""
    for layer in network._flatten_layers():
        for value in vars(layer).values():
            if type(value) is keras.random.SeedGenerator:
                value.__class__ = OwnNoise


def synchronize_norms(network: keras.Model, together: bool = True) -> None:
    """Batch normalisation over the whole batch; Keras' default normalises each replica's part by itself."""
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = together


class MicroBatches:
    """Mixin that takes a batch's gradient in parts, one after the other, and then one step: less memory, the same step.

    Keras' `gradient_accumulation_steps` raises a RuntimeError under replicas (keras#20582), and counts a step for each
    part. Batch normalisation sees the parts, not the whole.
    """

    parts: int

    def train_step(self, data):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        weights, total = self.trainable_weights, None
        for part_x, part_y in zip(tf.split(x, self.parts), tf.split(y, self.parts), strict=True):
            with tf.GradientTape() as tape:
                y_pred = self(part_x, training=True)
                loss = self._compute_loss(part_x, part_y, y_pred, None, training=True)
            grads = tape.gradient(loss, weights)
            total = grads if total is None else [a + b for a, b in zip(total, grads, strict=True)]
            size = tf.shape(part_x)[0]
            self._loss_tracker.update_state(loss * self.distribute_strategy.num_replicas_in_sync, sample_weight=size)
            logs = self.compute_metrics(part_x, part_y, y_pred)
        self.optimizer.apply([grad / self.parts for grad in total], weights)
        return logs


class FitsReplicas:
    """Mixin that lets `fit` and `evaluate` run under any strategy; the model comes out of `build`.

    Keras 3 averages a first batch over the replicas only to learn its shape, which fails with several workers
    (keras#20585) and with a batch that does not divide (keras#19246); and with several workers it reduces the scalar
    logs of a step over their axis 0, which scalars do not have.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        pass

    def train_step(self, data):
        return self._reducible(super().train_step(data))

    def test_step(self, data):
        return self._reducible(super().test_step(data))

    def _reducible(self, logs):
        workers = isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy)
        return {name: value[None] for name, value in logs.items()} if workers else logs


def stepping(steps: list[type], base: type[keras.Model] = keras.Model, **attributes) -> type[keras.Model]:
    """The class of models with the first class's step around the second's, and so on to the base's own.

    `steps` must not be subclasses of keras.Model: where one of inputs and outputs is made, Keras rewrites the bases of
    its classes for good, and no model of another kind could be made of them after that.
    """
    return type("Composed", (*steps, base), attributes) if steps else base


def compose(steps: list[type], network: keras.Model, **attributes) -> keras.Model:
    """The network, sharing its layers, as a model that has these classes' steps."""
    return stepping(steps, **attributes)(network.inputs[0], network.outputs[0], name=network.name)


def build(model: keras.Model) -> None:
    """Make the metrics' and the optimizer's variables of a compiled model now; one without inputs has them already.

    Keras makes them inside the first step. That costs a second trace of it (vit_digits: 16 s in place of 9), fails
    under replicas, and comes too late for a state that is to be restored.
    """
    if not getattr(model, "inputs", None):
        return
    x = np.zeros((1, *model.input_shape[1:]), model.inputs[0].dtype)
    model._symbolic_build(data_batch=(x, np.zeros((1, *model.output_shape[1:]), "float32")))


def share(batches: tf.data.Dataset, context: tf.distribute.InputContext) -> tf.data.Dataset:
    """Of every global batch the parts of this worker's replicas, one after the other.

    Each worker makes whole batches and takes its own part, so that augmentation, mixup with another worker's pictures
    too, is that of one device.
    """
    replicas, workers = context.num_replicas_in_sync, context.num_input_pipelines
    first = context.input_pipeline_id * (replicas // workers)

    def parts(*batch):
        def own(values):
            split = tf.reshape(values, (replicas, values.shape[0] // replicas, *values.shape[1:]))
            return split[first:first + replicas // workers]
        return tree.map_structure(own, batch)

    return batches.map(parts).unbatch().prefetch(2)


def repeat(batches: tf.data.Dataset, context: tf.distribute.InputContext) -> tf.data.Dataset:
    """Every element once for each of this worker's replicas, which share it out themselves."""
    copies = context.num_replicas_in_sync // context.num_input_pipelines
    return batches.flat_map(lambda *element: tf.data.Dataset.from_tensors(element).repeat(copies))
