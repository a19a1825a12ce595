"""Corrections of what Keras gets wrong under tf.distribute: one short class or function for each fault.

Each has a test that fails without it, and a second one that fails once Keras has fixed the fault, so that ours can go.
All were seen in Keras 3.15 on TensorFlow 2.21.
"""

from collections.abc import Callable

import keras
import tensorflow as tf
from keras import tree

from kerasdl.keras_private import flat_layers, take_moments
from kerasdl.zoo.fake_quantized import FakeQuantize


def clip_after_reduce(optimizer: type[keras.optimizers.Optimizer]) -> type[keras.optimizers.Optimizer]:
    """Return the optimizer's class, clipping the gradient of the whole batch.

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

    ClipAfterReduce.__name__ = keras.saving.get_registered_name(optimizer)
    return ClipAfterReduce


class OwnNoise(keras.random.SeedGenerator):
    """Draw another seed on each replica. Keras gives all of them one, so that dropout's masks are copies."""

    def next(self, ordered=True):
        seed = super().next(ordered)
        context = tf.distribute.get_replica_context()
        if context is None:
            return seed
        replica = tf.cast(context.replica_id_in_sync_group, seed.dtype)
        return tf.bitwise.bitwise_xor(seed, tf.stack([replica, tf.zeros_like(replica)]))


def own_noise(network: keras.Model) -> None:
    """Make every seed generator in the network's layers an OwnNoise; replica 0 draws what it drew before."""
    for layer in flat_layers(network):
        for value in vars(layer).values():
            if type(value) is keras.random.SeedGenerator:
                value.__class__ = OwnNoise


def synchronize_norms(network: keras.Model, together: bool = True) -> None:
    """Normalise over the whole batch; Keras' default normalises each replica's part by itself, and so do layers with
    a mask, as those of series have, even when `synchronized` is set."""
    for layer in flat_layers(network):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = together
            take_moments(layer, moments_of_all if together else None)


def moments_of_all(own: Callable, inputs: tf.Tensor, mask: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the mean and the variance (C,) of what a mask leaves of the whole batch; without one what Keras does.

    Args:
        own: Keras' method.
        inputs: (B, ..., C) of a replica, channels last.
        mask: (B, ...), True where a step counts.
    """
    context = tf.distribute.get_replica_context()
    if mask is None or context is None or context.num_replicas_in_sync == 1:
        return own(inputs, mask)
    there, axes = tf.cast(mask, "bool")[..., None], list(range(inputs.shape.rank - 1))

    def over_all(values):
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.reduce_sum(values, axes))

    count = over_all(tf.cast(there, inputs.dtype)) + keras.backend.epsilon()
    mean = over_all(tf.where(there, inputs, 0.0)) / count
    return mean, over_all(tf.where(there, tf.square(inputs - mean), 0.0)) / count


class RangeOfAll(FakeQuantize):
    """Follow the smallest and the largest number of the whole batch; each replica sees those of its part."""

    def ends(self, x):
        low, high = super().ends(x)
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return low, high
        every = context.all_gather(tf.stack([low, -high])[None], axis=0)  # a reduction takes a sum or a mean only
        return tf.reduce_min(every[:, 0]), -tf.reduce_min(every[:, 1])


def synchronize_ranges(network: keras.Model, together: bool = True) -> None:
    """Let layers that round activations see the range of the whole batch, or again that of their part."""
    for layer in flat_layers(network):
        if type(layer) in (FakeQuantize, RangeOfAll):
            layer.__class__ = RangeOfAll if together else FakeQuantize


def share(batches: tf.data.Dataset, context: tf.distribute.InputContext, parts: int = 1) -> tf.data.Dataset:
    """Return the parts of this worker's replicas of every global batch, one after the other; a replica has its share
    of each of the `parts` that are micro-batches of one device.

    Each worker makes whole batches and takes its own part, so that augmentation, including mixup with images
    of another worker, is that of one device.
    """
    replicas, workers = context.num_replicas_in_sync, context.num_input_pipelines
    first = context.input_pipeline_id * (replicas // workers)

    def shares(*batch):
        def own(values):
            if values is None:  # no labels
                return None
            size, sides = values.shape[0] // replicas, tf.shape(values)[1:]
            split = tf.reshape(values, tf.concat([(parts, replicas, size // parts), sides], axis=0))
            split = tf.transpose(split, (1, 0, *range(2, split.shape.rank)))
            split = tf.reshape(split, tf.concat([(replicas, size), sides], axis=0))
            split = tf.ensure_shape(split, (replicas, size, *values.shape[1:]))  # the length of sequences is not known
            return split[first:first + replicas // workers]
        return tree.map_structure(own, batch)

    return batches.map(shares).unbatch().prefetch(2)


def repeat(batches: tf.data.Dataset, context: tf.distribute.InputContext) -> tf.data.Dataset:
    """Return every element once for each of this worker's replicas, each of which takes its slice."""
    copies = context.num_replicas_in_sync // context.num_input_pipelines
    return batches.flat_map(lambda *element: tf.data.Dataset.from_tensors(element).repeat(copies))
